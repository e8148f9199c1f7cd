//! Programs of the flattened image that are not those that their packages brought: stored checksums are compared
//! with what the package databases record.
//!
//! Not here: which files are worth it (the package analyzers leave out data and configuration). Left out here:
//! symbolic links (alternatives, merged folders are followed), what is not there any more, files moved away by a
//! diversion (dpkg-divert(1)), which are compared where they lie now. A path that several packages claim is altered
//! only when it is nobody's. Invariant: what could not be compared is counted.

use super::evidence;
use super::facts::Facts;
use super::tree::{Node, Tree};
use crate::packages::DIVERSIONS;
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::inventory::RecordedFiles;
use model::layer::Layer;
use model::observation::{AlteredFileFact, Observation, ObservationKind};
use model::{Detector, Gap, GapReason, LayerPath, PackageFormat};
use std::collections::{BTreeMap, HashMap};

/// What the comparison found.
pub(super) struct Compared {
    pub(super) altered: Vec<Observation>,
    /// How many files could not be compared.
    pub(super) gap: Option<Gap>,
}

/// A package's claim on a file.
#[derive(Clone, Copy)]
struct Claim<'a> {
    by: &'a RecordedFiles,
    checksum: &'a Checksum,
}

/// Compares every file that a database of the flattened image records.
pub(super) fn compare<'a>(tree: &mut Tree<'a>, facts: &Facts<'a>, layers: &[Layer]) -> Compared {
    let mut compared = Compared { altered: Vec::new(), gap: None };
    let mut unknown = 0_u64;
    let mut example = None;
    for (path, claims) in claims(tree, facts) {
        let Some(node) = tree.get(&path).filter(|node| node.is_file()) else { continue };
        match verdict(node, facts, &claims) {
            Verdict::Same => {}
            Verdict::NotComputed => {
                unknown += 1;
                example.get_or_insert_with(|| String::from_utf8_lossy(&path).into_owned());
            }
            Verdict::Altered(fact) => {
                let at = LayerPath::normalise(&path).unwrap_or_else(|_| node.entry.record.path.clone());
                let evidence = evidence(layers, node.entry.layer, at, None);
                let kind = ObservationKind::AlteredFile(fact);
                compared.altered.push(Observation { detector: Detector::Malware, kind, evidence });
            }
        }
    }
    compared.gap = example.map(|example| Gap {
        scope: "image".to_owned(),
        detector: Some(Detector::Malware),
        reason: GapReason::Unsupported,
        detail: format!(
            "{unknown} files are not compared with the checksums that their packages record, {example} first: their \
             own were not computed"
        ),
    });
    compared
}

/// Who claims which file, by where it really lies.
fn claims<'a>(tree: &mut Tree<'a>, facts: &Facts<'a>) -> BTreeMap<Vec<u8>, Vec<Claim<'a>>> {
    let live = tree.live().filter(|(_, node)| node.is_file());
    let recorded: Vec<&RecordedFiles> = live.flat_map(|(path, node)| facts.recorded(node, path)).copied().collect();
    let diversions = diversions(tree, facts);
    let mut claims: BTreeMap<Vec<u8>, Vec<Claim<'a>>> = BTreeMap::new();
    for by in recorded {
        for (path, checksum) in &by.files {
            let moved = diversions.get(path).filter(|diversion| {
                by.format == PackageFormat::Deb && diversion.by.as_deref() != Some(by.package.as_str())
            });
            let path = moved.map_or(path, |diversion| &diversion.to);
            claims.entry(tree.locate(path, false)).or_default().push(Claim { by, checksum });
        }
    }
    claims
}

enum Verdict {
    Same,
    NotComputed,
    Altered(AlteredFileFact),
}

fn verdict<'a>(node: &Node<'a>, facts: &Facts<'a>, claims: &[Claim<'_>]) -> Verdict {
    let record = node.content.record;
    let sha256 = facts.digest(node);
    let has = |algorithm: ChecksumAlgorithm| match algorithm {
        _ if record.bytes == 0 => Some(algorithm.of_nothing()),
        ChecksumAlgorithm::Sha256 => Checksum::new(algorithm, sha256?.as_bytes()),
        ChecksumAlgorithm::Md5 | ChecksumAlgorithm::Sha1 => {
            facts.checksums(node).iter().find(|checksum| checksum.algorithm() == algorithm).cloned()
        }
    };
    let mut altered = None;
    let mut is_known = true;
    for claim in claims {
        match has(claim.checksum.algorithm()) {
            Some(found) if found == *claim.checksum => return Verdict::Same,
            Some(found) => {
                altered.get_or_insert_with(|| AlteredFileFact {
                    package: claim.by.package.clone(),
                    recorded_in: claim.by.recorded_in.clone(),
                    recorded: claim.checksum.clone(),
                    found,
                    sha256,
                });
            }
            None => is_known = false,
        }
    }
    match altered {
        Some(fact) if is_known => Verdict::Altered(fact),
        // Without a digest of any kind it is no program (any more): a text, which people may edit.
        _ if sha256.is_none() && record.bytes > 0 => Verdict::Same,
        Some(_) | None => Verdict::NotComputed,
    }
}

/// Where a file was moved, and for which package it made room; `None` for the administrator.
struct Diversion {
    to: LayerPath,
    by: Option<String>,
}

/// Three lines for each diversion: from, to, package or `:` (dpkg-divert(1), "FILES").
fn diversions(tree: &mut Tree<'_>, facts: &Facts<'_>) -> HashMap<LayerPath, Diversion> {
    let path = tree.locate(&LayerPath::from(DIVERSIONS), true);
    let content = tree.get(&path).and_then(|node| facts.raw_input(node, &path)).unwrap_or_default();
    let lines: Vec<&[u8]> = content.split(|&b| b == b'\n').collect();
    let read = |lines: &[&[u8]]| {
        let [from, to, by] = lines else { return None };
        let by = (*by != b":").then(|| String::from_utf8_lossy(by).into_owned());
        Some((LayerPath::normalise(from).ok()?, Diversion { to: LayerPath::normalise(to).ok()?, by }))
    };
    lines.chunks_exact(3).filter_map(read).collect()
}
