//! Packages that only the whole image tells: those of a Nix store, and those that give way to a better source.
//!
//! Invariant: what gives way is told by something else that stays: the operating-system package that owns the file, the
//! list of dependencies in the same folder, or Bitnami's document about the application in whose folder it lies.

use super::facts::Facts;
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
    /// Folders of Bitnami's applications, with their names.
    applications: HashMap<&'t [u8], &'t str>,
}

/// Bitnami's names of programs that are known by another.
const BITNAMI_NAMES: [(&str, &str); 4] =
    [("apache", "httpd"), ("java", "openjdk"), ("jre", "openjdk"), ("node-min", "node")];

impl<'t> Better<'t> {
    pub(super) fn new(tree: &'t Tree<'_>, facts: &'t Facts<'_>, owners: &'t HashMap<Vec<u8>, String>) -> Self {
        let (mut lists, mut applications) = (HashSet::new(), HashMap::new());
        for (path, node) in tree.live().filter(|(_, node)| node.is_file()) {
            if path.ends_with(b".deps.json") {
                lists.insert(folder(path));
            } else if path.starts_with(BITNAMI) && path.ends_with(b".spdx") {
                let told = facts.packages(node, path).iter().find(|found| found.key.format == PackageFormat::Bitnami);
                applications.extend(told.map(|told| (folder(path), told.key.name.as_str())));
            }
        }
        Self { owners, lists, applications }
    }

    /// Does the package give way? Software without a package manager of its own does, in a file that an
    /// operating-system package owns, or that belongs to Bitnami's application of that name, which has advisories of its
    /// own; so does what a .NET assembly tells of itself, beside a list of dependencies.
    pub(super) fn than(&self, found: &Originated<'_>) -> bool {
        let path = found.path.as_bytes();
        let format = found.package.key.format;
        let name = &found.package.key.name;
        format == PackageFormat::Generic && (self.owners.contains_key(path) || self.is_application(path, name))
            || format == PackageFormat::NuGet && path.ends_with(b".dll") && self.lists.contains(folder(path))
    }

    /// Is it the program of the application in whose folder it lies?
    fn is_application(&self, path: &[u8], name: &str) -> bool {
        let Some(rest) = path.strip_prefix(BITNAMI) else { return false };
        let end = BITNAMI.len() + memchr::memchr(b'/', rest).unwrap_or(rest.len());
        self.applications
            .get(&path[..end])
            .is_some_and(|application| *application == name || BITNAMI_NAMES.contains(&(application, name)))
    }
}

const BITNAMI: &[u8] = b"opt/bitnami/";

fn folder(path: &[u8]) -> &[u8] {
    &path[..memchr::memrchr(b'/', path).unwrap_or(0)]
}
