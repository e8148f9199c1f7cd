//! Arch Linux's database of installed packages: one folder per package below `var/lib/pacman/local`, with the file
//! `desc`, and `files` for what it owns. Both are made of sections: `%NAME%`, lines, an empty line.
//!
//! Source: pacman's `alpm` library, `be_local.c`, as its documentation describes it in `libalpm(3)` and `pacman(8)`;
//! purl specification, type `alpm`.

use super::{field, lines, owned_manifests};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::evidence::Place;
use model::inventory::OwnedFiles;
use model::package::{LayerPackage, SourcePackage};
use model::{Detector, PackageFormat, PackageKey};

/// Reads `var/lib/pacman/local`.
pub(super) struct Pacman;

const FOLDER: &[u8] = b"var/lib/pacman/local/";

/// The package's folder, `NAME-VERSION-RELEASE`, and the file in it.
fn parts(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let below = path.strip_prefix(FOLDER)?;
    let slash = memchr::memchr(b'/', below)?;
    let name = &below[slash + 1..];
    matches!(name, b"desc" | b"files").then_some((&below[..slash], name))
}

impl Analyzer for Pacman {
    fn id(&self) -> &'static str {
        "pacman/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if parts(file.path.as_bytes()).is_some() {
            Want::Whole { bytes_max: limits.database_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let Some((folder, name)) = parts(file.entry.path.as_bytes()) else { return Ok(()) };
        if name == b"files" {
            read_files(folder, file, out);
            return Ok(());
        }
        let (mut name, mut version, mut base, mut architecture) = (None, None, None, None);
        let mut licenses = Vec::new();
        for (section, line) in sections(file.content) {
            let slot = match section {
                b"%NAME%" => &mut name,
                b"%VERSION%" => &mut version,
                b"%BASE%" => &mut base,
                b"%ARCH%" => &mut architecture,
                b"%LICENSE%" => {
                    licenses.extend(field(line));
                    continue;
                }
                _ => continue,
            };
            *slot = slot.take().or_else(|| field(line));
        }
        let (Some(name), Some(version)) = (name, version) else {
            return Err(Unread::malformed("a pacman package without a name or a version"));
        };
        let source = SourcePackage { name: base.unwrap_or_else(|| name.clone()), version: version.clone() };
        let mut key = PackageKey::new(PackageFormat::Alpm, name, version);
        key.architecture = architecture;
        key.source = Some(source);
        licenses.sort();
        out.package(LayerPackage { key, place: Place { path: file.entry.path.clone(), line: None }, licenses });
        Ok(())
    }
}

/// The folder is `NAME-VERSION-RELEASE`; versions and releases have no hyphen.
fn read_files(folder: &[u8], file: &FileView<'_>, out: &mut Sink<'_>) {
    let mut parts = folder.rsplitn(3, |&b| b == b'-');
    let Some(package) = parts.nth(2).and_then(field) else { return };
    let paths = sections(file.content).filter(|(section, _)| *section == b"%FILES%").map(|(_, line)| line);
    let paths = owned_manifests(paths);
    out.owned(OwnedFiles { format: PackageFormat::Alpm, package, recorded_in: file.entry.path.clone(), paths });
}

/// Each line, with the section that it stands in.
fn sections(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut section: &[u8] = b"";
    lines(content).filter_map(move |(_, line)| match line {
        [] => {
            section = b"";
            None
        }
        [b'%', .., b'%'] if section.is_empty() => {
            section = line;
            None
        }
        _ => Some((section, line)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn pacman_packages_are_read() {
        let desc = "%NAME%\ngcc-libs\n\n%VERSION%\n13.2.1-3\n\n%BASE%\ngcc\n\n%DESC%\nRuntime libraries\n\n%ARCH%\nx86_64\n\n\
                    %LICENSE%\nGPL3\nLGPL\n\n%DEPENDS%\nglibc>=2.27\n\n";
        let path = "var/lib/pacman/local/gcc-libs-13.2.1-3/desc";
        check(path, desc, &["pkg:alpm/gcc-libs@13.2.1-3?arch=x86_64&upstream=gcc GPL3 LGPL"]);
        check("var/lib/pacman/sync/gcc/desc", desc, &["not wanted"]);
        check(path, "%NAME%\n\n", &["gap malformed: a pacman package without a name or a version"]);
        survives(path, desc.as_bytes());
    }

    #[test]
    fn pacman_packages_own_files() {
        let files =
            "%FILES%\nusr/\nusr/lib/python3.11/site-packages/six-1.16.0.dist-info/METADATA\n\n%BACKUP%\netc/x\tmd5\n";
        let expect = "owned python-six: usr/lib/python3.11/site-packages/six-1.16.0.dist-info/METADATA";
        check("var/lib/pacman/local/python-six-1.16.0-8/files", files, &[expect]);
    }
}
