//! Which layer brought a package in: not the last that rewrote its database.
//!
//! Invariant: a package's layer is the lowest from which on it is recorded without a break.

use super::facts::Facts;
use super::tree::{Entry, Tree};
use model::package::LayerPackage;
use model::{LayerPath, PackageKey};
use std::collections::{BTreeSet, HashMap};

/// A package of the flattened image, and where it first was recorded.
pub(super) struct Originated<'a> {
    pub(super) package: &'a LayerPackage,
    pub(super) layer: u32,
    /// The database or manifest in the flattened image.
    pub(super) path: LayerPath,
    pub(super) line: Option<u32>,
}

/// Follows the operating system's packages from layer to layer: a database is rewritten as a whole.
#[derive(Default)]
pub(super) struct OsPackages<'a> {
    databases: BTreeSet<Vec<u8>>,
    live: Vec<(Vec<u8>, Entry<'a>)>,
    since: HashMap<&'a PackageKey, Originated<'a>>,
}

impl<'a> OsPackages<'a> {
    /// Takes note of what is installed after a layer was applied.
    pub(super) fn after_layer(&mut self, layer: usize, tree: &mut Tree<'a>, facts: &Facts<'a>) {
        for (path, packages) in &facts.layers[layer].packages {
            if packages.iter().any(|package| package.key.format.is_os()) {
                self.databases.insert(tree.locate(path, false));
            }
        }
        let node_at = |path: &Vec<u8>| Some((path.clone(), tree.get(path)?.entry));
        let live: Vec<_> = self.databases.iter().filter_map(node_at).collect();
        let same = live.len() == self.live.len()
            && live.iter().zip(&self.live).all(|((path, entry), (old_path, old))| path == old_path && entry.is(old));
        if same {
            return;
        }
        let mut before = std::mem::take(&mut self.since);
        for (path, entry) in &live {
            let Some(node) = tree.get(path) else { continue };
            for package in facts.packages(node, path).iter().filter(|package| package.key.format.is_os()) {
                let known = before.remove(&package.key).map(|origin| Originated { package, ..origin });
                let origin = known.unwrap_or_else(|| Originated {
                    package,
                    layer: entry.layer,
                    path: LayerPath::normalise(path).unwrap_or_else(|_| package.place.path.clone()),
                    line: package.place.line,
                });
                self.since.entry(&package.key).or_insert(origin);
            }
        }
        self.live = live;
    }

    /// Is there a database of packages?
    pub(super) fn has_database(&self) -> bool {
        !self.live.is_empty()
    }

    /// What is installed after the last layer.
    pub(super) fn into_packages(self) -> impl Iterator<Item = Originated<'a>> {
        self.since.into_values()
    }
}

/// One appearance of a manifest: from `layer` on, until `removed_in`.
struct Appearance<'a, 'f> {
    layer: u32,
    removed_in: Option<u32>,
    packages: &'f [&'a LayerPackage],
}

/// The language packages of the flattened image. A manifest that a layer only wrote again, because an owner or a
/// mode changed, was brought in by the layer below.
pub(super) fn language_packages<'a>(tree: &Tree<'a>, facts: &Facts<'a>) -> Vec<Originated<'a>> {
    let mut appearances: HashMap<&[u8], Vec<Appearance<'a, '_>>> = HashMap::new();
    let gone = tree.gone().iter().map(|gone| (gone.path.as_ref(), &gone.node, Some(gone.removed_in)));
    let live = tree.live().filter(|(_, node)| node.is_file()).map(|(path, node)| (path, node, None));
    for (path, node, removed_in) in gone.chain(live) {
        let packages = facts.packages(node, path);
        if packages.iter().any(|package| !package.key.format.is_os()) {
            let layer = node.entry.layer;
            appearances.entry(path).or_default().push(Appearance { layer, removed_in, packages });
        }
    }
    let mut found = Vec::new();
    for (path, mut appearances) in appearances {
        appearances.sort_by_key(|appearance| appearance.layer);
        let Some(last) = appearances.last().filter(|last| last.removed_in.is_none()) else { continue };
        for package in last.packages.iter().filter(|package| !package.key.format.is_os()) {
            found.push(Originated {
                package,
                layer: first_layer(&appearances, &package.key),
                path: LayerPath::normalise(path).unwrap_or_else(|_| package.place.path.clone()),
                line: package.place.line,
            });
        }
    }
    found
}

/// The lowest layer from which on the manifest names this package without a break.
fn first_layer(appearances: &[Appearance<'_, '_>], key: &PackageKey) -> u32 {
    let mut newest_first = appearances.iter().rev();
    let mut first = newest_first.next().map_or(0, |last| last.layer);
    for earlier in newest_first {
        let is_same = earlier.removed_in == Some(first) && earlier.packages.iter().any(|package| package.key == *key);
        if !is_same {
            break;
        }
        first = earlier.layer;
    }
    first
}
