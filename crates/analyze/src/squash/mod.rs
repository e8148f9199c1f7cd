//! Layers, in order, become an image: whiteouts, replacements, links, the operating system, who brought what in.
//!
//! Not here: bytes; everything comes from stored facts. Invariant: squashing stored layers equals reading the
//! flattened image, apart from the layer numbers and from what lower layers still hold of deleted files.

mod altered;
mod assembled;
mod facts;
mod folders;
mod fresh;
mod gaps;
mod origin;
mod tree;

use crate::detectors::Detectors;
use crate::packages;
use crate::read::is_mode_of_interest;
use facts::{Facts, inventory};
use model::evidence::Evidence;
use model::inventory::{FileKind, ImageFile, LayerInventory, OsRelease};
use model::layer::{ImageConfig, Layer};
use model::observation::{LayerObservation, Observation, ObservationKind};
use model::{Detector, DetectorVersion, Gap, ImageInventory, LayerPath, Package, PackageKey};
use origin::{Originated, OsPackages};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use tree::{Node, Tree};

/// The stored facts of an image's layers, and what else is known about it.
#[derive(Clone, Copy)]
pub struct SquashInput<'a> {
    /// The layers as manifest and configuration claim them, lowest first.
    pub layers: &'a [Layer],
    /// The configuration.
    pub configuration: &'a ImageConfig,
    /// The facts of each layer; `None` where it could not be read.
    pub inventories: &'a [Option<LayerInventory>],
    /// Gaps that are known already, such as why a layer could not be read (`scope`: `layer N`).
    pub gaps: &'a [Gap],
    /// The compiled detectors: configuration secrets, and the current versions.
    pub detectors: &'a Detectors,
    /// Whose facts are asked for.
    pub only: &'a BTreeSet<Detector>,
}

impl std::fmt::Debug for SquashInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SquashInput").field("layers", &self.layers).field("only", &self.only).finish_non_exhaustive()
    }
}

/// Squashes the layers. Never fails: what is missing becomes a gap.
pub fn squash(input: &SquashInput<'_>) -> ImageInventory {
    let facts = Facts::new(input);
    let mut tree = Tree::new();
    let mut os_packages = OsPackages::default();
    for (layer, number) in (0..facts.layers.len()).zip(0_u32..) {
        tree.apply(number, facts.layers[layer].files);
        os_packages.after_layer(layer, &mut tree, &facts);
    }
    let mut gaps = gaps::of_layers(input, &mut tree, &facts);
    let os = operating_system(&mut tree, &facts);
    if input.only.contains(&Detector::Packages) {
        let has_database = os_packages.has_database() || has_database_file(&mut tree);
        gaps.extend(gaps::of_os(os.as_ref(), has_database, has_shell(&mut tree)));
    }
    gaps.extend(gaps::of_rules(input));
    let owners = owners(&mut tree, &facts);
    let stored = if input.only.contains(&Detector::Packages) { assembled::of_store(&tree) } else { Vec::new() };
    let better = assembled::Better::new(&tree, &facts, &owners);
    let found = os_packages.into_packages().chain(origin::language_packages(&tree, &facts));
    let found = found.chain(assembled::originated(&stored)).filter(|found| !better.than(found));
    let packages = merge_packages(found, os.as_ref(), &owners, input.layers);
    let mut observations = file_observations(&tree, &facts, input.layers);
    observations.extend(configuration_secrets(input));
    let (folders, too_many) = folders::observations(&tree, input.layers);
    observations.extend(folders);
    gaps.extend(too_many);
    if input.only.contains(&Detector::Malware) && input.only.contains(&Detector::Packages) {
        let compared = altered::compare(&mut tree, &facts, input.layers);
        observations.extend(compared.altered);
        gaps.extend(compared.gap);
    }
    observations.sort();
    observations.dedup();
    gaps.sort();
    gaps.dedup();
    let files = image_files(&tree, &facts, &observations);
    ImageInventory {
        layers: verified_layers(input),
        configuration: input.configuration.clone(),
        os,
        packages,
        observations,
        files,
        gaps,
        detectors: detector_versions(input),
    }
}

/// The layers with the digests and sizes that were computed while reading.
fn verified_layers(input: &SquashInput<'_>) -> Vec<Layer> {
    let verified = |(at, layer): (usize, &Layer)| {
        let mut layer = layer.clone();
        if let Some(inventory) = inventory(input, at) {
            layer.blob = inventory.blob;
            layer.diff_id = inventory.diff_id;
            layer.bytes = inventory.bytes;
        }
        layer
    };
    input.layers.iter().enumerate().map(verified).collect()
}

/// Which detectors, in which states, the facts come from.
fn detector_versions(input: &SquashInput<'_>) -> Vec<DetectorVersion> {
    let asked = |detector: &Detector| *detector == Detector::Files || input.only.contains(detector);
    let read = input.inventories.iter().flatten().flat_map(|inventory| &inventory.detectors);
    let mut versions: BTreeSet<DetectorVersion> =
        read.filter(|(detector, _)| asked(detector)).map(|(_, facts)| facts.version.clone()).collect();
    // What reads no layer, or has none to read, ran all the same.
    let ran = |detector: &Detector| *detector == Detector::Configuration || input.layers.is_empty();
    versions.extend(input.only.iter().filter(|d| ran(d)).map(|detector| input.detectors.version(*detector)));
    versions.into_iter().collect()
}

fn operating_system(tree: &mut Tree<'_>, facts: &Facts<'_>) -> Option<OsRelease> {
    let located: HashMap<&str, Vec<u8>> =
        packages::RELEASE_FILES.iter().map(|path| (*path, tree.locate(&LayerPath::from(*path), true))).collect();
    packages::assemble_os(|path| {
        let path = located.get(path)?;
        facts.raw_input(tree.get(path)?, path)
    })
}

/// A database that was recognised but not read has no packages.
fn has_database_file(tree: &mut Tree<'_>) -> bool {
    packages::DATABASE_FILES.iter().any(|path| is_file(tree, path))
}

fn has_shell(tree: &mut Tree<'_>) -> bool {
    ["bin/sh", "usr/bin/sh"].iter().any(|path| is_file(tree, path))
}

fn is_file(tree: &mut Tree<'_>, path: &str) -> bool {
    let located = tree.locate(&LayerPath::from(path), true);
    tree.get(&located).is_some_and(Node::is_file)
}

/// Which operating-system package claims which manifest of the flattened image.
fn owners(tree: &mut Tree<'_>, facts: &Facts<'_>) -> HashMap<Vec<u8>, String> {
    let live = tree.live().filter(|(_, node)| node.is_file());
    let claims: Vec<_> = live.flat_map(|(path, node)| facts.owned(node, path)).copied().collect();
    let mut owners = HashMap::new();
    for claim in claims {
        for path in &claim.paths {
            owners.entry(tree.locate(path, false)).or_insert_with(|| claim.package.clone());
        }
    }
    owners
}

/// One package per key, with every place that records it; owned only when each of them is.
fn merge_packages<'a>(
    found: impl Iterator<Item = Originated<'a>>,
    os: Option<&OsRelease>,
    owners: &HashMap<Vec<u8>, String>,
    layers: &[Layer],
) -> Vec<Package> {
    let mut merged: BTreeMap<PackageKey, Package> = BTreeMap::new();
    let mut not_owned = HashSet::new();
    for Originated { package, layer, path, line } in found {
        let mut key = package.key.clone();
        if key.format.is_os() {
            key.distro = os.map(OsRelease::distro);
        }
        match owners.get(path.as_bytes()).filter(|_| !key.format.is_os()) {
            Some(owner) => {
                let package = merged.entry(key.clone()).or_insert_with(|| empty_package(key.clone()));
                // The same whatever the order: the first by name.
                if package.owner.as_ref().is_none_or(|known| owner < known) {
                    package.owner = Some(owner.clone());
                }
            }
            None => {
                not_owned.insert(key.clone());
            }
        }
        let merged = merged.entry(key.clone()).or_insert_with(|| empty_package(key));
        merged.evidence.push(evidence(layers, layer, path, line));
        merged.licenses.extend_from_slice(&package.licenses);
    }
    let mut packages: Vec<Package> = merged.into_values().collect();
    for package in &mut packages {
        package.evidence.sort();
        package.evidence.dedup();
        package.licenses.sort();
        package.licenses.dedup();
        if not_owned.contains(&package.key) {
            package.owner = None;
        }
    }
    packages.sort_by_cached_key(|package| package.key.purl());
    packages
}

const fn empty_package(key: PackageKey) -> Package {
    Package { key, evidence: Vec::new(), licenses: Vec::new(), owner: None }
}

fn evidence(layers: &[Layer], layer: u32, path: LayerPath, line: Option<u32>) -> Evidence {
    let history = usize::try_from(layer).ok().and_then(|at| layers.get(at)).and_then(|l| l.instruction.clone());
    Evidence { layer: Some(layer), path: Some(path), line, removed_in: None, history }
}

/// Observations in files of the flattened image, and those about content that lower layers still hold.
fn file_observations(tree: &Tree<'_>, facts: &Facts<'_>, layers: &[Layer]) -> Vec<Observation> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let gone = tree.gone().iter().map(|gone| (gone.path.as_ref(), &gone.node, Some(gone.removed_in)));
    let live = tree.live().filter(|(_, node)| node.is_file()).map(|(path, node)| (path, node, None));
    for (path, node, removed_in) in gone.chain(live) {
        for (detector, observation) in facts.observations(node) {
            seen.insert(std::ptr::from_ref(observation));
            // The mode of a file that is gone is of no interest, nor who could log in; its content still is.
            if removed_in.is_some() && is_of_the_present(observation) {
                continue;
            }
            let path = path_of(path, node, observation);
            let layer = node.entry.layer;
            let evidence = Evidence { removed_in, ..evidence(layers, layer, path, observation.place.line) };
            out.push(Observation { detector, kind: observation.kind.clone(), evidence });
        }
    }
    // What an archive replaced within itself lies nowhere any more, but it is still in the layer.
    for (layer, detector, observation) in facts.all_observations() {
        if !seen.contains(&std::ptr::from_ref(observation)) && !is_of_the_present(observation) {
            let place = &observation.place;
            let evidence = evidence(layers, layer, place.path.clone(), place.line);
            let evidence = Evidence { removed_in: Some(layer), ..evidence };
            out.push(Observation { detector, kind: observation.kind.clone(), evidence });
        }
    }
    out
}

/// Is it about what is there now, and not about content that a layer still holds?
const fn is_of_the_present(observation: &LayerObservation) -> bool {
    matches!(observation.kind, ObservationKind::FileMode(_) | ObservationKind::Account(_))
}

/// Where an observation lies in the image: the place of its file, and within an archive of the member.
fn path_of(path: &[u8], node: &Node<'_>, observation: &LayerObservation) -> LayerPath {
    let seen = &observation.place.path;
    let inside = seen.as_bytes().strip_prefix(node.content.record.path.as_bytes());
    let member = inside.filter(|member| member.starts_with(b"!/")).unwrap_or_default();
    LayerPath::normalise(&[path, member].concat()).unwrap_or_else(|_| seen.clone())
}

/// Possible secrets in environment, labels and history.
fn configuration_secrets(input: &SquashInput<'_>) -> Vec<Observation> {
    if !input.only.contains(&Detector::Secrets) {
        return Vec::new();
    }
    let found = input.detectors.secrets().scan_config(input.configuration);
    let observation = |(fact, history)| Observation {
        detector: Detector::Secrets,
        kind: ObservationKind::Secret(fact),
        evidence: Evidence { layer: None, path: None, line: None, removed_in: None, history: Some(history) },
    };
    found.into_iter().map(observation).collect()
}

/// Files that a hash list may name, members of archives among them, and those with a mode of interest.
fn image_files<'a>(tree: &Tree<'a>, facts: &Facts<'a>, observations: &[Observation]) -> Vec<ImageFile> {
    let gone = tree.gone().iter().map(|gone| (gone.path.as_ref(), &gone.node, Some(gone.removed_in)));
    let live = tree.live().filter(|(_, node)| node.is_file()).map(|(path, node)| (path, node, None));
    let mut files: Vec<ImageFile> =
        gone.chain(live).filter_map(|(path, node, removed_in)| image_file(facts, path, node, removed_in)).collect();
    files.extend(observations.iter().filter_map(archive_member));
    files.sort();
    files
}

/// A member of an archive: it has no mode and no owner that count.
fn archive_member(observation: &Observation) -> Option<ImageFile> {
    let (ObservationKind::FileHash(file), evidence) = (&observation.kind, &observation.evidence) else { return None };
    Some(ImageFile {
        path: evidence.path.clone()?,
        layer: evidence.layer?,
        removed_in: evidence.removed_in,
        mode: 0,
        uid: 0,
        bytes: file.bytes,
        sha256: Some(file.sha256),
        checksums: Vec::new(),
    })
}

fn image_file<'a>(facts: &Facts<'a>, path: &[u8], node: &Node<'a>, removed_in: Option<u32>) -> Option<ImageFile> {
    let (own, content) = (node.entry.record, node.content.record);
    // A hard link has the mode of what it names; its own header may say anything.
    let shown = if matches!(content.kind, FileKind::Regular) { content } else { own };
    let sha256 = facts.digest(node);
    let of_interest = sha256.is_some() || removed_in.is_none() && is_mode_of_interest(shown.mode);
    of_interest.then(|| ImageFile {
        path: LayerPath::normalise(path).unwrap_or_else(|_| own.path.clone()),
        layer: node.entry.layer,
        removed_in,
        mode: shown.mode,
        uid: shown.uid,
        bytes: content.bytes,
        sha256,
        checksums: facts.checksums(node).to_vec(),
    })
}
