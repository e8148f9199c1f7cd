//! Checksums besides SHA-256, for the comparison with what a package database records.
//!
//! Not here: the comparison ([`crate::squash`]). A layer that replaces a program seldom has the database in it, so
//! which checksum will be needed is told by the family of distributions that the layer's own paths show; a layer that
//! shows none gets both. Files where no package puts any are left alone. Invariant: what is computed depends on the
//! entries before, in archive order, and on nothing else.

use crate::analyzer::{FileEntry, FileForm};
use crate::nested::{Form, HEAD_BYTES};
use md5::Md5;
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::{Digest, LayerPath};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Which databases the layer's paths show.
#[derive(Debug, Default)]
struct Family {
    dpkg: bool,
    apk: bool,
    rpm: bool,
}

/// Beginnings of paths that only images of one family have.
const DPKG: [&[u8]; 4] = [b"etc/debian_version", b"etc/dpkg/", b"usr/share/dpkg/", b"var/lib/dpkg/"];
const APK: [&[u8]; 4] = [b"etc/alpine-release", b"etc/apk/", b"lib/apk/", b"usr/lib/apk/"];
const RPM: [&[u8]; 6] =
    [b"etc/redhat-release", b"etc/rpm/", b"usr/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/", b"var/lib/rpm/"];

/// Where packages put what can be run.
const SYSTEM: [&[u8]; 5] = [b"bin/", b"sbin/", b"lib", b"usr/", b"opt/"];
const NOT_SYSTEM: &[u8] = b"usr/local/";

/// Which checksums a file needs besides SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) md5: bool,
    pub(super) sha1: bool,
}

impl Wanted {
    /// The checksums of a whole file.
    pub(super) fn of(self, content: &[u8]) -> Vec<Checksum> {
        let mut hashers = self.hashers();
        hashers.update(content);
        hashers.finish()
    }

    pub(super) fn hashers(self) -> Hashers {
        Hashers { md5: self.md5.then(Md5::new), sha1: self.sha1.then(Sha1::new) }
    }
}

/// Computes what one file needs, as its content comes.
#[derive(Debug)]
pub(super) struct Hashers {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
}

impl Hashers {
    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(piece);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(piece);
        }
    }

    pub(super) fn finish(self) -> Vec<Checksum> {
        let md5 = self.md5.and_then(|md5| Checksum::new(ChecksumAlgorithm::Md5, &md5.finalize()));
        let sha1 = self.sha1.and_then(|sha1| Checksum::new(ChecksumAlgorithm::Sha1, &sha1.finalize()));
        md5.into_iter().chain(sha1).collect()
    }
}

/// Which checksums the programs of one pass need.
#[derive(Debug, Default)]
pub(super) struct Checksums {
    family: Family,
}

impl Checksums {
    /// Takes note of an entry.
    pub(super) fn note_entry(&mut self, path: &LayerPath) {
        let path = path.as_bytes();
        let Family { dpkg, apk, rpm } = &mut self.family;
        for (is_shown, paths) in [(dpkg, &DPKG[..]), (apk, &APK), (rpm, &RPM)] {
            *is_shown = *is_shown || paths.iter().any(|start| path.starts_with(start));
        }
    }

    /// What to compute for a file that is worth a digest.
    pub(super) fn wanted(&self, path: &LayerPath) -> Wanted {
        let Family { dpkg, apk, rpm } = self.family;
        let path = path.as_bytes();
        let is_of_package = SYSTEM.iter().any(|start| path.starts_with(start)) && !path.starts_with(NOT_SYSTEM);
        let is_unknown = !dpkg && !apk && !rpm;
        Wanted { md5: is_of_package && (dpkg || is_unknown), sha1: is_of_package && (apk || is_unknown) }
    }
}

/// Executables, libraries, scripts and archives of them: what a list of bad files can name.
pub(super) fn is_worth_a_digest(entry: &FileEntry<'_>, content: &[u8]) -> bool {
    let form = FileForm::of(&content[..content.len().min(FileForm::MAGIC_BYTES)]);
    let archive = || Form::of(entry.path, &content[..content.len().min(HEAD_BYTES)]);
    entry.bytes > 0
        && (entry.is_executable()
            || form.is_machine_code()
            || form == FileForm::Script
            || archive().is_some_and(|archive| archive.is_of_interest(entry.path)))
}

pub(super) fn digest_of(content: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(content).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_decides_which_checksums_are_computed() {
        let check = |before: &[&str], path: &str, expect: &str| {
            let mut checksums = Checksums::default();
            for path in before {
                checksums.note_entry(&LayerPath::from(*path));
            }
            let path = LayerPath::from(path);
            let found = checksums.wanted(&path).of(b"");
            let words: Vec<_> = found.iter().map(|checksum| checksum.algorithm().as_str()).collect();
            assert_eq!(words.join(" "), expect, "{before:?} {path}");
        };
        check(&[], "usr/bin/ls", "md5 sha1");
        check(&["etc/debian_version"], "usr/bin/ls", "md5");
        check(&["etc/alpine-release"], "bin/busybox", "sha1");
        check(&["var/lib/rpm/rpmdb.sqlite"], "usr/bin/ls", "");
        check(&["etc/debian_version", "usr/lib/rpm/macros"], "usr/bin/ls", "md5");
        check(&[], "usr/local/bin/tool", "");
        check(&[], "app/server", "");
        check(&[], "opt/google/chrome/chrome", "md5 sha1");
    }
}
