//! Packages that only the whole image tells: those of a Nix store, and those that give way to a better source.
//!
//! Invariant: what gives way is told by something else that stays: the operating-system package that owns the file, or
//! the list of dependencies in the same folder.

use super::origin::Originated;
use super::tree::Tree;
use crate::packages;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{LayerPath, PackageFormat};
use std::collections::{HashMap, HashSet};

/// A package of a store, and the layer that brought it in.
pub(super) struct Stored {
    package: LayerPackage,
    layer: u32,
}

/// The packages of the Nix store, one per entry of the store.
pub(super) fn of_store(tree: &Tree<'_>) -> Vec<Stored> {
    let mut found: Vec<Stored> = Vec::new();
    let mut last: &[u8] = b"";
    for (path, node) in tree.live() {
        let Some(entry) = packages::nix_store_entry(path).filter(|entry| *entry != last) else { continue };
        last = entry;
        let place = LayerPath::normalise(entry).map(|path| Place { path, line: None });
        if let (Some(key), Ok(place)) = (packages::nix_package_of(entry), place) {
            let package = LayerPackage { key, place, licenses: Vec::new() };
            found.push(Stored { package, layer: node.entry.layer });
        }
    }
    found
}

/// The same, in the form of all other packages.
pub(super) fn originated(stored: &[Stored]) -> impl Iterator<Item = Originated<'_>> {
    stored.iter().map(|Stored { package, layer }| Originated {
        package,
        layer: *layer,
        path: package.place.path.clone(),
        line: None,
    })
}

/// What is better than the evidence of a single file.
pub(super) struct Better<'t> {
    owners: &'t HashMap<Vec<u8>, String>,
    /// Folders with a list of .NET dependencies.
    lists: HashSet<&'t [u8]>,
}

impl<'t> Better<'t> {
    pub(super) fn new(tree: &'t Tree<'_>, owners: &'t HashMap<Vec<u8>, String>) -> Self {
        let lists = tree.live().filter(|(path, node)| path.ends_with(b".deps.json") && node.is_file());
        Self { owners, lists: lists.map(|(path, _)| folder(path)).collect() }
    }

    /// Does the package give way? Software without a package manager of its own does, in a file that an
    /// operating-system package owns; so does what a .NET assembly tells of itself, beside a list of dependencies.
    pub(super) fn than(&self, found: &Originated<'_>) -> bool {
        let path = found.path.as_bytes();
        let format = found.package.key.format;
        format == PackageFormat::Generic && self.owners.contains_key(path)
            || format == PackageFormat::NuGet && path.ends_with(b".dll") && self.lists.contains(folder(path))
    }
}

fn folder(path: &[u8]) -> &[u8] {
    &path[..memchr::memrchr(b'/', path).unwrap_or(0)]
}
