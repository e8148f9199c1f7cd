//! What only the flattened image tells of its folders: which anybody may write to, and what caches hold.
//!
//! Not here: whether that is a fault (policies). Invariant: folders that a later layer removed or closed are not named.

use super::evidence;
use super::tree::Tree;
use model::inventory::FileKind;
use model::layer::Layer;
use model::observation::{CacheFact, FileModeFact, Observation, ObservationKind};
use model::{Detector, Gap, GapReason, LayerPath};
use std::collections::BTreeMap;

/// Folders open to everybody that are listed.
const FOLDERS_MAX: usize = 10_000;

/// Write permission for everybody, and the sticky bit that tames it (chmod(1), "RESTRICTED DELETION FLAG").
const WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// What package managers keep for the next install, each by its own documentation: apt(8), apk(8), dnf(8), zypper(8),
/// `pip cache dir`, `npm config get cache`, `yarn cache dir`, Cargo's home, Go's module cache, RubyGems, Composer.
const CACHES: [&str; 18] = [
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/apk",
    "var/cache/dnf",
    "var/cache/libdnf5",
    "var/cache/yum",
    "var/cache/zypp",
    "var/cache/pacman/pkg",
    "root/.cache/pip",
    "root/.cache/uv",
    "root/.npm/_cacache",
    "root/.cache/yarn",
    "usr/local/share/.cache/yarn",
    "root/.cargo/registry",
    "root/go/pkg/mod/cache",
    "root/.cache/go-build",
    "root/.gem/specs",
    "root/.composer/cache",
];

/// What was observed, and the gap when there was too much of it.
pub(super) fn observations(tree: &Tree<'_>, layers: &[Layer]) -> (Vec<Observation>, Option<Gap>) {
    let mut out = Vec::new();
    let mut more = 0_u64;
    let mut caches: BTreeMap<&str, (u32, CacheFact)> = BTreeMap::new();
    for (path, node) in tree.live() {
        let record = node.entry.record;
        if node.is_file() {
            let Some(cache) = CACHES.iter().find(|cache| is_in(path, cache)) else { continue };
            let (_, fact) = caches.entry(cache).or_insert((node.entry.layer, CacheFact { files: 0, bytes: 0 }));
            fact.files += 1;
            fact.bytes = fact.bytes.saturating_add(node.content.record.bytes);
        } else if record.kind == FileKind::Folder && record.mode & WRITABLE != 0 && record.mode & STICKY == 0 {
            if out.len() == FOLDERS_MAX {
                more += 1;
                continue;
            }
            let fact = FileModeFact { mode: record.mode, uid: record.uid, gid: record.gid };
            let place = LayerPath::normalise(path).unwrap_or_else(|_| record.path.clone());
            out.push(observation(layers, node.entry.layer, place, ObservationKind::FolderMode(fact)));
        }
    }
    let caches = caches.into_iter();
    out.extend(
        caches.map(|(path, (layer, fact))| {
            observation(layers, layer, LayerPath::from(path), ObservationKind::Cache(fact))
        }),
    );
    let gap = (more > 0).then(|| Gap {
        scope: "image".to_owned(),
        detector: Some(Detector::Files),
        reason: GapReason::TooMany,
        detail: format!("more than {FOLDERS_MAX} folders are open to everybody; {more} are not listed"),
    });
    (out, gap)
}

fn is_in(path: &[u8], folder: &str) -> bool {
    path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

fn observation(layers: &[Layer], layer: u32, path: LayerPath, kind: ObservationKind) -> Observation {
    Observation { detector: Detector::Files, kind, evidence: evidence(layers, layer, path, None) }
}
