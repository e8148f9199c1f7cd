//! Alpine's database of installed packages (apk-tools, `apk-installed` in apk-v2(5)): records of `LETTER:value` lines,
//! each ended by an empty line.

use super::recorded::{is_library, may_run, sorted};
use super::{field, lines, owned_manifests};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::evidence::Place;
use model::inventory::{OwnedFiles, RecordedFiles};
use model::package::{LayerPackage, SourcePackage};
use model::{Detector, PackageFormat, PackageKey};

/// Reads `lib/apk/db/installed`.
pub(super) struct Apk;

/// Is this the database? Its folder moved below `usr` in apk-tools 3.
fn is_database(path: &[u8]) -> bool {
    matches!(path, b"lib/apk/db/installed" | b"usr/lib/apk/db/installed")
}

/// One record, as far as it is of interest.
#[derive(Default)]
struct Record<'a> {
    line: u32,
    name: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    license: Option<&'a [u8]>,
    folder: &'a [u8],
    files: Vec<Installed<'a>>,
}

/// A file of a record.
struct Installed<'a> {
    folder: &'a [u8],
    name: &'a [u8],
    /// `OWNER:GROUP:MODE`; left out for the usual `0:0:644`.
    access: &'a [u8],
    checksum: &'a [u8],
}

impl Installed<'_> {
    fn path(&self) -> Vec<u8> {
        [self.folder, b"/", self.name].concat()
    }

    /// The checksum of a file that can be run or loaded: `Q1` and the SHA-1 digest in base64 (apk-package(5)), or
    /// `Q2` and a SHA-256 digest in apk-tools 3.
    fn recorded(&self) -> Option<(Vec<u8>, Checksum)> {
        let mode = self.access.rsplit(|&b| b == b':').next().and_then(|mode| std::str::from_utf8(mode).ok());
        let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o644);
        let path = self.path();
        if mode & 0o111 == 0 && !is_library(&path) || !may_run(&path) {
            return None;
        }
        let (algorithm, text) = match self.checksum {
            [b'Q', b'1', text @ ..] => (ChecksumAlgorithm::Sha1, text),
            [b'Q', b'2', text @ ..] => (ChecksumAlgorithm::Sha256, text),
            _ => return None,
        };
        Some((path, Checksum::new(algorithm, &STANDARD.decode(text).ok()?)?))
    }
}

impl Analyzer for Apk {
    fn id(&self) -> &'static str {
        "apk/2"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_database(file.path.as_bytes()) { Want::Whole { bytes_max: limits.database_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut record = Record::default();
        let mut broken = Broken::default();
        for (number, line) in lines(file.content) {
            match line {
                [] => finish(std::mem::take(&mut record), file, out, &mut broken),
                [letter, b':', value @ ..] => {
                    if record.line == 0 {
                        record.line = number;
                    }
                    set(&mut record, *letter, value);
                }
                _ => broken.note(number, "a line without a letter and a colon"),
            }
        }
        if record.line != 0 {
            broken.note(record.line, "a record without its end: the database is cut off");
        }
        broken.result()
    }
}

/// Counts what is wrong and names the first.
#[derive(Default)]
struct Broken {
    first: Option<(u32, &'static str)>,
    count: u32,
}

impl Broken {
    fn note(&mut self, line: u32, what: &'static str) {
        self.first.get_or_insert((line, what));
        self.count = self.count.saturating_add(1);
    }

    fn result(self) -> Result<(), Unread> {
        match self.first {
            None => Ok(()),
            Some((line, what)) => {
                Err(Unread::malformed(format!("apk database, line {line}: {what} ({} in all)", self.count)))
            }
        }
    }
}

fn set<'a>(record: &mut Record<'a>, letter: u8, value: &'a [u8]) {
    match letter {
        b'P' => record.name = Some(value),
        b'V' => record.version = Some(value),
        b'A' => record.architecture = Some(value),
        b'o' => record.origin = Some(value),
        b'L' => record.license = Some(value),
        b'F' => record.folder = value,
        b'R' => record.files.push(Installed { folder: record.folder, name: value, access: b"", checksum: b"" }),
        b'a' | b'Z' => {
            if let Some(file) = record.files.last_mut() {
                *(if letter == b'a' { &mut file.access } else { &mut file.checksum }) = value;
            }
        }
        _ => {}
    }
}

fn finish(record: Record<'_>, file: &FileView<'_>, out: &mut Sink<'_>, broken: &mut Broken) {
    if record.line == 0 {
        return;
    }
    let (Some(name), Some(version)) = (record.name.and_then(field), record.version.and_then(field)) else {
        broken.note(record.line, "a record without a name or a version");
        return;
    };
    // `apk add --virtual` records a name for a set of packages: it has no files and no advisories.
    if name.starts_with('.') {
        return;
    }
    let claimed: Vec<Vec<u8>> =
        record.files.iter().filter(|file| may_be_manifest(file.folder, file.name)).map(Installed::path).collect();
    out.recorded(RecordedFiles {
        format: PackageFormat::Apk,
        package: name.clone(),
        recorded_in: file.entry.path.clone(),
        files: sorted(record.files.iter().filter_map(Installed::recorded)),
    });
    out.owned(OwnedFiles {
        format: PackageFormat::Apk,
        package: name.clone(),
        recorded_in: file.entry.path.clone(),
        paths: owned_manifests(claimed.iter().map(Vec::as_slice)),
    });
    let source = record.origin.and_then(field).unwrap_or_else(|| name.clone());
    let mut key = PackageKey::new(PackageFormat::Apk, name, version.clone());
    key.architecture = record.architecture.and_then(field);
    key.source = Some(SourcePackage { name: source, version });
    let place = Place { path: file.entry.path.clone(), line: Some(record.line) };
    out.package(LayerPackage { key, place, licenses: record.license.and_then(field).into_iter().collect() });
}

/// A quick look at the parts of a path, before it is put together: what [`super::is_language_manifest`] may want.
fn may_be_manifest(folder: &[u8], name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] =
        [b"package.json", b"METADATA", b"PKG-INFO", b"DESCRIPTION", b"installed.json", b"MYMETA.json", b"release"];
    const SUFFIXES: [&[u8]; 7] = [b".egg-info", b".gemspec", b".jar", b".deps.json", b".dll", b".app", b".rockspec"];
    NAMES.contains(&name)
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || [&b"bin"[..], b"libexec"].iter().any(|end| folder.ends_with(end))
        || super::well_known::is_named(name)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    const PATH: &str = "lib/apk/db/installed";

    #[test]
    fn apk_records_are_read() {
        let database = "C:Q1\nP:libssl1.1\nV:1.1.1c-r0\nA:x86_64\nL:OpenSSL\no:openssl\nF:lib\nR:libssl.so.1.1\n\n\
                        C:Q1\nP:musl\nV:1.1.22-r3\nA:x86_64\nL:MIT\no:musl\n\n\
                        P:.build-deps\nV:0\n\n";
        check(
            PATH,
            database,
            &[
                "pkg:apk/libssl1.1@1.1.1c-r0?arch=x86_64&upstream=openssl line 1 OpenSSL",
                "pkg:apk/musl@1.1.22-r3?arch=x86_64 line 10 MIT",
            ],
        );
    }

    #[test]
    fn apk_database_cut_in_half_keeps_what_is_whole() {
        let database = "P:a\nV:1-r0\nA:x86_64\n\nP:b\nV:2-r0\nA:x8";
        check(
            PATH,
            database,
            &[
                "gap malformed: apk database, line 5: a record without its end: the database is cut off (1 in all)",
                "pkg:apk/a@1-r0?arch=x86_64 line 1",
            ],
        );
    }

    #[test]
    fn apk_packages_claim_programs() {
        let database = "P:busybox\nV:1-r0\nF:bin\nR:busybox\nF:etc\nR:securetty\n\n";
        check(PATH, database, &["owned busybox: bin/busybox", "pkg:apk/busybox@1-r0 line 1"]);
    }

    #[test]
    fn apk_packages_claim_manifests() {
        let database =
            "P:py3-six\nV:1-r0\nF:usr/lib/python3.12/site-packages/six-1.dist-info\nR:METADATA\nR:RECORD\n\n";
        check(
            PATH,
            database,
            &[
                "owned py3-six: usr/lib/python3.12/site-packages/six-1.dist-info/METADATA",
                "pkg:apk/py3-six@1-r0 line 1",
            ],
        );
    }
}
