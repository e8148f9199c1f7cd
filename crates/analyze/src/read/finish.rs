//! From what a pass saw, in archive order, to the facts that are stored, sorted.
//!
//! Invariant: of entries that replace each other inside the archive only the last stays, as a runtime that unpacks
//! in order would have it; what analyzers read from the others goes with them.

use super::digests::Digested;
use super::pass::{Pass, Seen, Walked};
use super::{LAYER_SCOPE, Unpacked};
use crate::analyzer::{FileEntry, Want};
use crate::decompress::Packing;
use crate::malware::keep_first_matches;
use crate::packages::ANALYZERS;
use crate::sink::{Collected, Sink, Tagged};
use model::evidence::Place;
use model::inventory::{DetectorFacts, FileKind, FileRecord, RawInput, RecordedFiles};
use model::layer::LayerMedia;
use model::observation::{FileModeFact, LayerObservation, ObservationKind};
use model::{Detector, GapReason, LayerPath};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Hard links to hard links are followed this often.
const LINK_DEPTH_MAX: usize = 8;

impl Pass<'_> {
    /// Turns the way that walking and unpacking ended into gaps.
    pub(super) fn note_end(&mut self, walked: &Walked, unpacked: &Unpacked, media: LayerMedia) {
        let Walked { entries, position, broken } = walked;
        if let Some((reason, why)) = &unpacked.stopped {
            let detail = format!("{why}; {entries} entries were read");
            self.gaps.push_for_all(LAYER_SCOPE, *reason, detail);
        } else if let Some(broken) = broken {
            let detail = format!("layer archive broken after {entries} entries at byte {position}: {}", broken.text());
            self.gaps.push_for_all(LAYER_SCOPE, GapReason::Malformed, detail);
        } else if *position == 0 && Packing::of_media(media) != unpacked.packing {
            let detail =
                format!("the layer is empty, and not {} as its media type says", Packing::of_media(media).as_str());
            self.gaps.push_for_all(LAYER_SCOPE, GapReason::Malformed, detail);
        }
    }

    /// The facts of every detector that ran; `digested` are the programs'.
    pub(super) fn finish(mut self, mut digested: Vec<Digested>) -> BTreeMap<Detector, DetectorFacts> {
        let mut seen = std::mem::take(&mut self.seen);
        let (superseded, conflicts) = drop_superseded(&mut seen);
        self.collected.drop_entries(&superseded);
        digested.retain(|program| !superseded.contains(&program.number));
        for path in conflicts {
            let detail = "the archive puts entries below this path and makes it something else than a folder later; \
                          what lay below is not looked at";
            self.gaps.push_for_all(path.to_string(), GapReason::Malformed, detail.to_owned());
        }
        let links = resolve_hard_links(&mut seen);
        if self.run.packages {
            self.copy_facts_to_links(&seen, &links);
        }
        let mut facts = BTreeMap::new();
        for (detector, runs) in [
            (Detector::Files, true),
            (Detector::Packages, self.run.packages),
            (Detector::Secrets, self.run.secrets),
            (Detector::Malware, self.run.malware),
        ] {
            if runs {
                facts.insert(detector, DetectorFacts::new(self.request.detectors.version(detector)));
            }
        }
        if let Some(malware) = facts.get_mut(&Detector::Malware) {
            let (digests, others): (_, Vec<_>) = digested.into_iter().map(Digested::into_facts).unzip();
            malware.digests = digests;
            malware.checksums = others.into_iter().flatten().collect();
        }
        self.fill(&mut facts, seen);
        for (detector, facts) in &mut facts {
            facts.gaps.extend(self.gaps.take(*detector));
            facts.normalise();
        }
        facts
    }

    fn fill(&mut self, facts: &mut BTreeMap<Detector, DetectorFacts>, seen: Vec<Seen>) {
        keep_programs(&mut self.collected.recorded, &seen);
        if let Some(files) = facts.get_mut(&Detector::Files) {
            files.files = seen.into_iter().map(|seen| seen.record).collect();
            files.observations = files.files.iter().filter_map(mode_observation).collect();
            files.observations.append(&mut self.accounts);
        }
        if let Some(packages) = facts.get_mut(&Detector::Packages) {
            let collected = std::mem::take(&mut self.collected);
            self.gaps.refuse(Detector::Packages, collected.refused());
            packages.packages = untag(collected.packages);
            packages.owned = untag(collected.owned);
            packages.recorded = untag(collected.recorded);
            packages.raw_inputs = untag(collected.raw_inputs);
            packages.gaps = untag(collected.gaps);
        }
        for gap in keep_first_matches(&mut self.malware) {
            self.gaps.push_gap(Detector::Malware, gap);
        }
        let max = self.limits.observations_max;
        for (detector, mut found) in [
            (Detector::Secrets, std::mem::take(&mut self.secrets)),
            (Detector::Malware, std::mem::take(&mut self.malware)),
        ] {
            if let Some(facts) = facts.get_mut(&detector) {
                self.gaps.refuse(detector, found.len().saturating_sub(max) as u64);
                found.truncate(max);
                facts.observations = found;
            }
        }
    }

    /// A hard link to a database or manifest is one as well, under its own name.
    fn copy_facts_to_links(&mut self, seen: &[Seen], links: &[HardLink]) {
        let lengths = Lengths {
            packages: self.collected.packages.len(),
            owned: self.collected.owned.len(),
            recorded: self.collected.recorded.len(),
            raw_inputs: self.collected.raw_inputs.len(),
        };
        for link in links {
            let record = &seen[link.at].record;
            let entry = FileEntry {
                path: &record.path,
                bytes: record.bytes,
                mode: record.mode,
                uid: record.uid,
                gid: record.gid,
            };
            for analyzer in ANALYZERS {
                if analyzer.wants(&entry, self.limits) == Want::No {
                    continue;
                }
                let Some(target) = link.target else { continue };
                let target = &seen[target];
                let target_entry = FileEntry { path: &target.record.path, ..entry };
                if analyzer.wants(&target_entry, self.limits) == Want::No {
                    let detail = format!("a hard link to {}, which was not read as such", target.record.path);
                    self.gaps.push(analyzer.detector(), record.path.to_string(), GapReason::Unsupported, detail);
                } else {
                    let mut sink = Sink::new(&mut self.collected, self.limits, analyzer.id(), target.number);
                    copy_entry(&mut sink, &lengths, target.number, &record.path);
                }
            }
        }
    }
}

/// A database tells checksums of texts and pictures as well. Of what lies in this layer only programs are compared;
/// what does not lie in it is kept. Folders that were merged into `usr` have two names.
fn keep_programs(recorded: &mut Vec<Tagged<RecordedFiles>>, seen: &[Seen]) {
    let find = |path: &[u8]| seen.binary_search_by(|seen| seen.record.path.as_bytes().cmp(path)).ok();
    for tagged in recorded.iter_mut() {
        tagged.fact.files.retain(|(path, _)| {
            let at = find(path.as_bytes()).or_else(|| find(&[b"usr/", path.as_bytes()].concat()));
            at.is_none_or(|at| seen[at].is_program || seen[at].record.bytes == 0)
        });
    }
    recorded.retain(|tagged| !tagged.fact.files.is_empty());
}

fn untag<T>(facts: Vec<Tagged<T>>) -> Vec<T> {
    facts.into_iter().map(|tagged| tagged.fact).collect()
}

/// Setuid, setgid and world-writable files.
fn mode_observation(record: &FileRecord) -> Option<LayerObservation> {
    let FileRecord { path, kind, mode, uid, gid, .. } = record;
    let has_content = matches!(kind, FileKind::Regular | FileKind::HardLink(_));
    (has_content && is_mode_of_interest(*mode)).then(|| LayerObservation {
        kind: ObservationKind::FileMode(FileModeFact { mode: *mode, uid: *uid, gid: *gid }),
        place: Place { path: path.clone(), line: None },
    })
}

/// Setuid, setgid, or writable by everybody.
pub(crate) const fn is_mode_of_interest(mode: u32) -> bool {
    mode & 0o6002 != 0
}

/// Marks about lower layers stand beside entries of the same path; entries replace each other.
const fn class(kind: &FileKind) -> u8 {
    match kind {
        FileKind::Whiteout => 0,
        FileKind::Opaque => 1,
        FileKind::Regular | FileKind::Folder | FileKind::Symlink(_) | FileKind::HardLink(_) | FileKind::Special => 2,
    }
}

/// Sorts by path and drops what later entries of the same archive replaced. Answers the numbers of what was dropped,
/// and the paths that were a folder first and something else later.
fn drop_superseded(seen: &mut Vec<Seen>) -> (HashSet<u32>, Vec<LayerPath>) {
    seen.sort_unstable_by(|a, b| {
        let by_path = a.record.path.cmp(&b.record.path);
        by_path.then_with(|| class(&a.record.kind).cmp(&class(&b.record.kind))).then(a.number.cmp(&b.number))
    });
    let mut dropped = HashSet::new();
    seen.dedup_by(|later, earlier| {
        let same = later.record.path == earlier.record.path && class(&later.record.kind) == class(&earlier.record.kind);
        if same {
            std::mem::swap(later, earlier);
            dropped.insert(later.number);
        }
        same
    });
    let (hidden, conflicts) = hidden_by_non_folders(seen);
    if !hidden.is_empty() {
        seen.retain(|seen| !hidden.contains(&seen.number));
        dropped.extend(hidden);
    }
    (dropped, conflicts)
}

/// Entries under a path that a later entry of the same archive made something else than a folder.
fn hidden_by_non_folders(seen: &[Seen]) -> (HashSet<u32>, Vec<LayerPath>) {
    let mut hidden = HashSet::new();
    let mut conflicts = Vec::new();
    for (at, entry) in seen.iter().enumerate() {
        let path = &entry.record.path;
        if class(&entry.record.kind) != 2 || entry.record.kind == FileKind::Folder {
            continue;
        }
        // Everything below a path starts with it, and so does its next neighbour if anything is below.
        let is_prefix = seen.get(at + 1).is_some_and(|next| next.record.path.as_bytes().starts_with(path.as_bytes()));
        if is_prefix {
            let below = range_below(&seen[at + 1..], path);
            let known = hidden.len();
            let earlier = below.iter().filter(|below| below.number < entry.number);
            hidden.extend(earlier.map(|below| below.number));
            if hidden.len() > known {
                conflicts.push(path.clone());
            }
        }
    }
    (hidden, conflicts)
}

/// The records below a folder, in a list that is sorted by path.
fn range_below<'a>(sorted: &'a [Seen], folder: &LayerPath) -> &'a [Seen] {
    let prefix = folder.join(b"");
    let start = sorted.partition_point(|seen| seen.record.path.as_bytes() < prefix.as_bytes());
    let length = sorted[start..].partition_point(|seen| seen.record.path.as_bytes().starts_with(prefix.as_bytes()));
    &sorted[start..start + length]
}

/// A hard link, and the file of the same archive that it names, as positions in the sorted list.
struct HardLink {
    at: usize,
    target: Option<usize>,
}

/// Gives hard links the size and mode of the file they name, when it is in the same archive.
fn resolve_hard_links(seen: &mut [Seen]) -> Vec<HardLink> {
    let mut links = Vec::new();
    for at in 0..seen.len() {
        if let FileKind::HardLink(_) = seen[at].record.kind {
            let target = follow(seen, at);
            links.push(HardLink { at, target });
        }
    }
    for link in &links {
        if let Some(target) = link.target {
            let FileRecord { mode, uid, gid, bytes, .. } = seen[target].record;
            let record = &mut seen[link.at].record;
            (record.mode, record.uid, record.gid, record.bytes) = (mode, uid, gid, bytes);
        }
    }
    links
}

fn follow(seen: &[Seen], mut at: usize) -> Option<usize> {
    for _ in 0..LINK_DEPTH_MAX {
        let FileKind::HardLink(target) = &seen[at].record.kind else { break };
        let key = |seen: &Seen| (class(&seen.record.kind) == 2).cmp(&true);
        let found = seen.binary_search_by(|seen| seen.record.path.cmp(target).then_with(|| key(seen)));
        at = found.ok()?;
    }
    (seen[at].record.kind == FileKind::Regular).then_some(at)
}

impl Collected {
    /// Forgets what was read from entries that are not there any more.
    fn drop_entries(&mut self, entries: &HashSet<u32>) {
        if !entries.is_empty() {
            self.packages.retain(|tagged| !entries.contains(&tagged.entry));
            self.owned.retain(|tagged| !entries.contains(&tagged.entry));
            self.recorded.retain(|tagged| !entries.contains(&tagged.entry));
            self.raw_inputs.retain(|tagged| !entries.contains(&tagged.entry));
            self.gaps.retain(|tagged| !entries.contains(&tagged.entry));
        }
    }
}

/// The part of a list that was read from one entry; lists are in archive order.
fn of_entry<T>(facts: &[Tagged<T>], entry: u32) -> Range<usize> {
    let start = facts.partition_point(|tagged| tagged.entry < entry);
    let length = facts[start..].partition_point(|tagged| tagged.entry == entry);
    start..start + length
}

/// Gives a hard link what an analyzer read from the entry that it names. `lengths` are those of the lists before any
/// copy was appended.
fn copy_entry(sink: &mut Sink<'_>, lengths: &Lengths, entry: u32, path: &LayerPath) {
    let analyzer = sink.analyzer();
    for at in of_entry(&sink.collected().packages[..lengths.packages], entry) {
        let tagged = &sink.collected().packages[at];
        if tagged.analyzer == analyzer {
            let mut package = tagged.fact.clone();
            package.place.path = path.clone();
            if !sink.package(package) {
                return;
            }
        }
    }
    for at in of_entry(&sink.collected().owned[..lengths.owned], entry) {
        let tagged = &sink.collected().owned[at];
        if tagged.analyzer == analyzer {
            let mut owned = tagged.fact.clone();
            owned.recorded_in = path.clone();
            if !sink.owned(owned) {
                return;
            }
        }
    }
    for at in of_entry(&sink.collected().recorded[..lengths.recorded], entry) {
        let tagged = &sink.collected().recorded[at];
        if tagged.analyzer == analyzer {
            let recorded = RecordedFiles { recorded_in: path.clone(), ..tagged.fact.clone() };
            if !sink.recorded(recorded) {
                return;
            }
        }
    }
    for at in of_entry(&sink.collected().raw_inputs[..lengths.raw_inputs], entry) {
        let tagged = &sink.collected().raw_inputs[at];
        if tagged.analyzer == analyzer {
            let input = RawInput { path: path.clone(), ..tagged.fact.clone() };
            if !sink.raw_input(input) {
                return;
            }
        }
    }
}

/// How long the lists were before hard links got their copies.
struct Lengths {
    packages: usize,
    owned: usize,
    recorded: usize,
    raw_inputs: usize,
}
