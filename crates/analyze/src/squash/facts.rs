//! The facts of each layer, found by the path that they were read from.

use super::SquashInput;
use super::tree::{Entry, Node};
use crate::packages;
use model::checksum::Checksum;
use model::inventory::{DetectorFacts, FileRecord, LayerInventory, OwnedFiles, RawInput, RecordedFiles};
use model::observation::LayerObservation;
use model::package::LayerPackage;
use model::{Detector, Digest, LayerPath};
use std::collections::HashMap;

/// One layer's facts, of the detectors that are asked for.
#[derive(Default)]
pub(super) struct LayerFacts<'a> {
    pub(super) files: &'a [FileRecord],
    pub(super) packages: HashMap<&'a LayerPath, Vec<&'a LayerPackage>>,
    owned: HashMap<&'a LayerPath, Vec<&'a OwnedFiles>>,
    recorded: HashMap<&'a LayerPath, Vec<&'a RecordedFiles>>,
    checksums: HashMap<&'a LayerPath, &'a [Checksum]>,
    raw_inputs: HashMap<&'a LayerPath, &'a RawInput>,
    observations: HashMap<&'a LayerPath, Vec<(Detector, &'a LayerObservation)>>,
    digests: HashMap<&'a LayerPath, Digest>,
}

impl<'a> LayerFacts<'a> {
    fn new(inventory: &'a LayerInventory, input: &SquashInput<'_>) -> Self {
        let mut facts = Self::default();
        for (detector, found) in &inventory.detectors {
            if *detector != Detector::Files && !input.only.contains(detector) {
                continue;
            }
            if *detector == Detector::Files {
                facts.files = &found.files;
            }
            facts.digests.extend(found.digests.iter().map(|file| (&file.path, file.sha256)));
            for package in &found.packages {
                facts.packages.entry(&package.place.path).or_default().push(package);
            }
            for owned in &found.owned {
                facts.owned.entry(&owned.recorded_in).or_default().push(owned);
            }
            for recorded in &found.recorded {
                facts.recorded.entry(&recorded.recorded_in).or_default().push(recorded);
            }
            facts.checksums.extend(found.checksums.iter().map(|file| (&file.path, &file.checksums[..])));
            for input in &found.raw_inputs {
                facts.raw_inputs.insert(&input.path, input);
            }
        }
        for (detector, observation) in asked(inventory, input) {
            let file = facts.file_of(&observation.place.path);
            facts.observations.entry(file).or_default().push((detector, observation));
        }
        facts
    }

    /// The file of the layer that a path lies in: its own, or the archive's for a member of an archive.
    fn file_of(&self, path: &'a LayerPath) -> &'a LayerPath {
        let at = |bytes: &[u8]| {
            let found = self.files.binary_search_by(|record| record.path.as_bytes().cmp(bytes)).ok()?;
            Some(&self.files[found].path)
        };
        let bytes = path.as_bytes();
        if memchr::memmem::find(bytes, b"!/").is_none() || at(bytes).is_some() {
            return path;
        }
        memchr::memmem::find_iter(bytes, b"!/").find_map(|end| at(&bytes[..end])).unwrap_or(path)
    }
}

/// The observations of a layer, of the detectors that are asked for.
fn asked<'a>(
    inventory: &'a LayerInventory,
    input: &SquashInput<'_>,
) -> impl Iterator<Item = (Detector, &'a LayerObservation)> {
    let wanted = |detector: &Detector| *detector == Detector::Files || input.only.contains(detector);
    let of = |(detector, found): (&Detector, &'a DetectorFacts)| (*detector, &found.observations);
    let lists = inventory.detectors.iter().filter(move |(detector, _)| wanted(detector)).map(of);
    lists.flat_map(|(detector, observations)| observations.iter().map(move |observation| (detector, observation)))
}

/// The facts of every layer.
pub(super) struct Facts<'a> {
    pub(super) layers: Vec<LayerFacts<'a>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(input: &SquashInput<'a>) -> Self {
        let facts = |at| match inventory(input, at) {
            Some(inventory) => LayerFacts::new(inventory, input),
            None => LayerFacts::default(),
        };
        Self { layers: (0..input.layers.len()).map(facts).collect() }
    }

    fn of(&self, entry: Entry<'_>) -> Option<&LayerFacts<'a>> {
        self.layers.get(usize::try_from(entry.layer).ok()?)
    }

    /// Where facts about the content of a node at `path` are kept: with the entry itself, or, when that is a hard link
    /// into a lower layer, with what it names, if a file of that name is read for packages at all.
    fn reading(node: &Node<'a>, path: &[u8]) -> Option<Entry<'a>> {
        if node.entry.layer == node.content.layer {
            return Some(node.entry);
        }
        packages::reads(&LayerPath::normalise(path).ok()?, node.content.record).then_some(node.content)
    }

    /// What the file at `path` records.
    pub(super) fn packages(&self, node: &Node<'a>, path: &[u8]) -> &[&'a LayerPackage] {
        let found = Self::reading(node, path).and_then(|entry| self.of(entry)?.packages.get(&entry.record.path));
        found.map_or(&[], Vec::as_slice)
    }

    /// Whose files the file at `path` lists.
    pub(super) fn owned(&self, node: &Node<'a>, path: &[u8]) -> &[&'a OwnedFiles] {
        let found = Self::reading(node, path).and_then(|entry| self.of(entry)?.owned.get(&entry.record.path));
        found.map_or(&[], Vec::as_slice)
    }

    /// What the file at `path` records of packages' files.
    pub(super) fn recorded(&self, node: &Node<'a>, path: &[u8]) -> &[&'a RecordedFiles] {
        let found = Self::reading(node, path).and_then(|entry| self.of(entry)?.recorded.get(&entry.record.path));
        found.map_or(&[], Vec::as_slice)
    }

    /// The checksums of a node's content, besides its digest.
    pub(super) fn checksums(&self, node: &Node<'a>) -> &'a [Checksum] {
        let found = self.of(node.content).and_then(|facts| facts.checksums.get(&node.content.record.path));
        found.copied().unwrap_or_default()
    }

    /// The content of the small file at `path`.
    pub(super) fn raw_input(&self, node: &Node<'a>, path: &[u8]) -> Option<&'a [u8]> {
        let entry = Self::reading(node, path)?;
        Some(&self.of(entry)?.raw_inputs.get(&entry.record.path)?.content)
    }

    /// What was observed in a file: about its mode at its own name, about its content at the name it was read from.
    pub(super) fn observations(&self, node: &Node<'a>) -> impl Iterator<Item = (Detector, &'a LayerObservation)> {
        let at = |entry: Entry<'a>| {
            let found = self.of(entry).and_then(|facts| facts.observations.get(&entry.record.path));
            found.map_or(&[][..], Vec::as_slice).iter().copied()
        };
        let own = at(node.entry).filter(|(detector, _)| *detector == Detector::Files);
        own.chain(at(node.content).filter(|(detector, _)| *detector != Detector::Files))
    }

    /// The digest of a node's content, if it is one that a list of bad files can name.
    pub(super) fn digest(&self, node: &Node<'a>) -> Option<Digest> {
        self.of(node.content)?.digests.get(&node.content.record.path).copied()
    }

    /// Every observation of a layer, with the path that it was read from.
    pub(super) fn all_observations(&self) -> impl Iterator<Item = (u32, Detector, &'a LayerObservation)> {
        (0_u32..).zip(&self.layers).flat_map(|(layer, facts)| {
            facts.observations.values().flatten().map(move |(detector, observation)| (layer, *detector, *observation))
        })
    }
}

/// The facts of one layer, when it could be read.
pub(super) fn inventory<'a>(input: &SquashInput<'a>, at: usize) -> Option<&'a LayerInventory> {
    input.inventories.get(at).and_then(Option::as_ref)
}
