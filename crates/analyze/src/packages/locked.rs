//! What the readers of lockfiles share, and how lockfiles are treated.
//!
//! A lockfile in an image says what was resolved when it was written, not what is installed. Still it is often all
//! that is left: of front ends that were bundled, of programs that were compiled, of images that install at start.
//! Therefore:
//!
//! * what a lockfile pins is reported as a package, and its place is the lockfile, so that nobody takes it for
//!   installed; a package that also is installed has both places;
//! * a lockfile inside a folder of installed packages (`node_modules`, `vendor`, `site-packages`, …) says how somebody
//!   else developed that package, and is not read;
//! * what the lockfile marks as needed for development only is left out: images are made to run. pnpm's since
//!   version 9, uv's and yarn's do not mark it, so there it is reported;
//! * members of the project itself (workspaces, folders) are left out: they are no release of anything.
//!
//! Invariant: one package per name and version, in the order of names.

use super::{FIELD_BYTES_MAX, is_depth_below};
use crate::analyzer::{FileEntry, FileView, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{PackageFormat, PackageKey};
use std::collections::BTreeMap;

/// Folders whose content was installed or fetched.
const INSTALLED: [&[u8]; 6] =
    [b"node_modules", b"vendor", b"site-packages", b"dist-packages", b"gems", b"bower_components"];
/// Caches of sources, as two folders.
const FETCHED: [(&[u8], &[u8]); 4] =
    [(b".cargo", b"registry"), (b"cargo", b"registry"), (b"cargo", b"git"), (b"pkg", b"mod")];

/// Does a file of this path belong to a package that was installed or fetched, rather than to the application?
pub(super) fn is_in_installed_folder(path: &[u8]) -> bool {
    let mut before: &[u8] = b"";
    path.split(|&b| b == b'/').any(|part| {
        let is = INSTALLED.contains(&part) || FETCHED.contains(&(before, part));
        before = part;
        is
    })
}

/// Wants lockfiles of these names.
pub(super) fn wants(file: &FileEntry<'_>, names: &[&[u8]], limits: &Limits) -> Want {
    let path = file.path.as_bytes();
    let is_named = names.contains(&file.path.file_name());
    if is_named && file.bytes > 0 && is_depth_below(path) && !is_in_installed_folder(path) {
        Want::Whole { bytes_max: limits.lockfile_bytes_max }
    } else {
        Want::No
    }
}

/// The packages that one file tells of.
pub(super) struct Locked {
    format: PackageFormat,
    packages: BTreeMap<(String, String), (Option<u32>, Vec<String>)>,
}

impl Locked {
    pub(super) const fn new(format: PackageFormat) -> Self {
        Self { format, packages: BTreeMap::new() }
    }

    /// Adds a package. One without name or version, or with one that is too long, is none.
    pub(super) fn add(&mut self, name: &str, version: &str) {
        self.add_with(name, version, None, &[]);
    }

    /// Adds a package that stands in a line.
    pub(super) fn add_at(&mut self, name: &str, version: &str, line: u32) {
        self.add_with(name, version, Some(line), &[]);
    }

    /// Adds a package with its licences.
    pub(super) fn add_licensed(&mut self, name: &str, version: &str, licenses: &[String]) {
        self.add_with(name, version, None, licenses);
    }

    fn add_with(&mut self, name: &str, version: &str, line: Option<u32>, licenses: &[String]) {
        let is_field = |text: &str| !text.is_empty() && text.len() <= FIELD_BYTES_MAX;
        let (name, version) = (name.trim(), version.trim());
        if !is_field(name) || !is_field(version) {
            return;
        }
        let known = self.packages.entry((name.to_owned(), version.to_owned())).or_insert((line, Vec::new()));
        known.1.extend(licenses.iter().filter(|license| is_field(license)).take(LICENSES_MAX).cloned());
        known.1.sort();
        known.1.dedup();
    }

    /// Hands everything on, with the file as place.
    pub(super) fn push(self, file: &FileView<'_>, out: &mut Sink<'_>) {
        for ((name, version), (line, licenses)) in self.packages {
            let key = PackageKey::new(self.format, name, version);
            out.package(LayerPackage { key, place: Place { path: file.entry.path.clone(), line }, licenses });
        }
    }
}

/// Licences of one package that are kept.
const LICENSES_MAX: usize = 32;

/// The content without the mark that some editors put first.
pub(super) fn without_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockfiles_of_installed_packages_are_told_apart() {
        let check = |path: &str, expect: bool| assert_eq!(is_in_installed_folder(path.as_bytes()), expect, "{path}");
        check("app/package-lock.json", false);
        check("app/node_modules/a/package-lock.json", true);
        check("app/vendor/a/b/composer.lock", true);
        check("root/.cargo/registry/src/x/ripgrep/Cargo.lock", true);
        check("usr/local/cargo/bin/Cargo.lock", false);
        check("go/pkg/mod/example.org/yarn.lock", true);
        check("app/vendored/yarn.lock", false);
    }
}
