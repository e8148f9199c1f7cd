//! What could not be seen of an image: the layers' gaps with the layer named, and what the squash itself misses.

use super::SquashInput;
use super::facts::{Facts, inventory};
use super::tree::Tree;
use crate::read::LAYER_SCOPE;
use model::extraction::RuleKind;
use model::inventory::{FileKind, LayerInventory, OsRelease};
use model::{Detector, EcosystemRelease, Gap, GapReason, LayerPath};

/// Detectors that read layers.
const READING: [Detector; 4] = [Detector::Files, Detector::Packages, Detector::Secrets, Detector::Malware];

/// The gaps of all layers, and those that were known before.
pub(super) fn of_layers(input: &SquashInput<'_>, tree: &mut Tree<'_>, facts: &Facts<'_>) -> Vec<Gap> {
    let mut gaps = input.gaps.to_vec();
    for (at, layer) in input.layers.iter().enumerate() {
        let name = format!("layer {}", layer.index);
        let Some(inventory) = inventory(input, at) else {
            if !input.gaps.iter().any(|gap| gap.scope == name) {
                let detail = format!("{} could not be read: what it adds and removes is not known", layer.blob);
                gaps.push(Gap { scope: name, detector: None, reason: GapReason::Unreadable, detail });
            }
            continue;
        };
        let mut is_cut = false;
        for gap in stored(inventory, input) {
            is_cut |= gap.scope == LAYER_SCOPE && gap.detector.is_none();
            if is_about_hidden_packages(gap, at, tree, facts) {
                continue;
            }
            gaps.push(named(gap, &name, inventory));
        }
        if inventory.diff_id != layer.diff_id && !is_cut {
            let detail = format!(
                "the configuration names {} as the layer's uncompressed digest, its bytes have {}",
                layer.diff_id, inventory.diff_id
            );
            gaps.push(Gap { scope: name.clone(), detector: None, reason: GapReason::Malformed, detail });
        }
        not_yet_read(input, inventory, &name, &mut gaps);
    }
    for entry in tree.collisions() {
        let detail = format!("lies where another entry of layer {} lies; only that one was looked at", entry.layer);
        let scope = entry.record.path.to_string();
        gaps.push(Gap { scope, detector: None, reason: GapReason::Malformed, detail });
    }
    if tree.is_exhausted() {
        let detail = "the image's symbolic links take more steps to follow than any real image's".to_owned();
        gaps.push(Gap { scope: "image".to_owned(), detector: None, reason: GapReason::TooMany, detail });
    }
    gaps
}

/// The gaps that detectors stored with a layer's facts, of those that are asked for.
fn stored<'a>(inventory: &'a LayerInventory, input: &SquashInput<'_>) -> impl Iterator<Item = &'a Gap> {
    let asked = |detector: &Detector| *detector == Detector::Files || input.only.contains(detector);
    inventory.detectors.iter().filter(move |(detector, _)| asked(detector)).flat_map(|(_, facts)| &facts.gaps)
}

/// A database that an upper layer replaced does not matter any more, whatever was wrong with it.
fn is_about_hidden_packages(gap: &Gap, at: usize, tree: &mut Tree<'_>, facts: &Facts<'_>) -> bool {
    if gap.detector != Some(Detector::Packages) || gap.scope == LAYER_SCOPE {
        return false;
    }
    let files = facts.layers[at].files;
    let path = LayerPath::from(gap.scope.as_str());
    let start = files.partition_point(|record| record.path < path);
    let is_entry = |kind: &FileKind| !matches!(kind, FileKind::Whiteout | FileKind::Opaque);
    let Some(record) = files[start..].iter().take_while(|r| r.path == path).find(|r| is_entry(&r.kind)) else {
        return false;
    };
    let view = tree.locate(&path, false);
    tree.get(&view).is_none_or(|node| !std::ptr::eq(node.entry.record, record))
}

/// The gap with the layer's number in it.
fn named(gap: &Gap, name: &str, inventory: &LayerInventory) -> Gap {
    let mut gap = gap.clone();
    if gap.scope == LAYER_SCOPE {
        name.clone_into(&mut gap.scope);
        gap.detail = format!("{}: {}", inventory.blob, gap.detail);
    } else {
        gap.detail = format!("{} ({name})", gap.detail);
    }
    gap
}

fn not_yet_read(input: &SquashInput<'_>, inventory: &LayerInventory, name: &str, gaps: &mut Vec<Gap>) {
    for detector in READING {
        if detector != Detector::Files && !input.only.contains(&detector) {
            continue;
        }
        let current = input.detectors.version(detector);
        let detail = match inventory.detectors.get(&detector) {
            Some(facts) if facts.version == current => continue,
            Some(facts) => format!(
                "read by the {detector} detector with rule set {}, not yet with {}",
                facts.version.fingerprint, current.fingerprint
            ),
            None => format!("not yet read by the {detector} detector (rule set {})", current.fingerprint),
        };
        let reason = GapReason::NotYetRead;
        gaps.push(Gap { scope: name.to_owned(), detector: Some(detector), reason, detail });
    }
}

/// Rules of the installation that are not in force, of the detectors that are asked for: one gap for each detector.
pub(super) fn of_rules(input: &SquashInput<'_>) -> Vec<Gap> {
    let gap = |kind: RuleKind| {
        let detector = match kind {
            RuleKind::Secrets => Detector::Secrets,
            RuleKind::Malware => Detector::Malware,
        };
        let mut problems = input.detectors.problems().iter().filter(|problem| problem.kind == kind);
        let first = problems.next().filter(|_| input.only.contains(&detector))?;
        let detail = format!("{} rules of this installation are left out: {first}", 1 + problems.count());
        Some(Gap { scope: "rules".to_owned(), detector: Some(detector), reason: GapReason::Unsupported, detail })
    };
    RuleKind::ALL.into_iter().filter_map(gap).collect()
}

/// What is missing when the operating system is not known or not supported.
pub(super) fn of_os(os: Option<&OsRelease>, has_database: bool, has_shell: bool) -> Option<Gap> {
    let (reason, detail) = match os {
        Some(os) if EcosystemRelease::of_distro(&os.distro()).is_some() => return None,
        Some(os) => {
            let text =
                format!("operating system {:?} ({}) is not supported: its packages are not matched", os.id, os.name);
            (GapReason::UnsupportedOs, text)
        }
        None if has_database => {
            let text = "a package database is there, but no release file that tells whose packages they are".to_owned();
            (GapReason::UnknownOs, text)
        }
        None if has_shell => {
            let text = "there is a shell, but no release file that tells the operating system".to_owned();
            (GapReason::UnknownOs, text)
        }
        None => return None,
    };
    Some(Gap { scope: "image".to_owned(), detector: Some(Detector::Packages), reason, detail })
}
