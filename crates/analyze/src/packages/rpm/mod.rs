//! RPM's database of installed packages, in each of its three forms: SQLite, NDB and Berkeley DB. All of them hold
//! one header per package, under a number.
//!
//! Not here: other tables and indexes, which repeat what the headers say; signatures, which are not verified; changes
//! that still lie in a log beside the database, which one file cannot show.
//!
//! Invariant: work and memory are bounded by the size of the file, whatever its numbers say, because every page or
//! block of it is read once; what is wrong with one package or page does not hide the others, and is never silent.

mod bdb;
mod digests;
mod header;
mod ndb;
mod pages;
mod sqlite;

use super::{field, is_language_manifest, owned_manifests};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use header::{Header, tag};
use model::evidence::Place;
use model::inventory::{OwnedFiles, RecordedFiles};
use model::package::{LayerPackage, SourcePackage};
use model::path::PATH_BYTES_MAX;
use model::{Detector, GapReason, LayerPath, PackageFormat, PackageKey};

/// Reads `var/lib/rpm`, and the folders that took its place.
pub(super) struct Rpm;

const FOLDERS: [&[u8]; 3] = [b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/"];
const NAMES: [&[u8]; 3] = [b"Packages", b"Packages.db", b"rpmdb.sqlite"];
const LOG_NAME: &[u8] = b"rpmdb.sqlite-wal";

/// Public keys that were imported to check signatures are kept as if they were packages, and `rpm -qa` lists them. They
/// install nothing and have no advisories, so they are left out.
const KEY_NAME: &str = "gpg-pubkey";

/// The folders that one package has files in. Real ones have a few thousand.
const FOLDERS_MAX: usize = 1 << 20;

/// The part of the path below the folder of a database.
fn name_in_folder(path: &[u8]) -> Option<&[u8]> {
    FOLDERS.iter().find_map(|folder| path.strip_prefix(*folder))
}

impl Analyzer for Rpm {
    fn id(&self) -> &'static str {
        "rpm/3"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let Some(name) = name_in_folder(file.path.as_bytes()) else { return Want::No };
        if NAMES.contains(&name) || name == LOG_NAME && file.bytes > 0 {
            Want::Whole { bytes_max: limits.database_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        if name_in_folder(file.entry.path.as_bytes()) == Some(LOG_NAME) {
            return read_log(file.content);
        }
        let form = Form::of(file.content);
        let mut intake = Intake { path: file.entry.path, out, faults: Faults::default(), claimed_bytes: 0 };
        match form {
            Some(Form::Sqlite) => sqlite::read(file.content, &mut intake),
            Some(Form::Ndb) => ndb::read(file.content, &mut intake),
            Some(Form::Bdb) => bdb::read(file.content, &mut intake),
            None => intake.fault(Fault::malformed("neither SQLite, nor NDB, nor a Berkeley DB hash", Spot::Database)),
        }
        intake.faults.result(form)
    }
}

/// A log with changes beside a database.
fn read_log(content: &[u8]) -> Result<(), Unread> {
    if !sqlite::log_has_frames(content) {
        return Ok(());
    }
    let detail =
        "a write-ahead log beside the rpm database: changes in it that the database does not have yet are not read";
    Err(Unread { reason: GapReason::Unsupported, detail: detail.to_owned() })
}

/// Which of the three it is; the content tells, not the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sqlite,
    Ndb,
    Bdb,
}

impl Form {
    fn of(content: &[u8]) -> Option<Self> {
        if content.starts_with(sqlite::MAGIC) {
            Some(Self::Sqlite)
        } else if content.starts_with(ndb::MAGIC) {
            Some(Self::Ndb)
        } else {
            bdb::has_magic(content).then_some(Self::Bdb)
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Ndb => "NDB",
            Self::Bdb => "Berkeley DB",
        }
    }
}

/// Where in a database something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    /// No place in particular.
    Database,
    /// A page, by the number that the form gives it.
    Page(u64),
    /// A slot of NDB.
    Slot(u64),
    /// A package, by its number in the database.
    Package(u64),
}

/// What is wrong. Cheap to make: a broken file may have millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    reason: GapReason,
    what: &'static str,
    spot: Spot,
}

impl Fault {
    const fn malformed(what: &'static str, spot: Spot) -> Self {
        Self { reason: GapReason::Malformed, what, spot }
    }

    const fn unsupported(what: &'static str) -> Self {
        Self { reason: GapReason::Unsupported, what, spot: Spot::Database }
    }
}

/// Keeps the first fault and counts all.
#[derive(Default)]
struct Faults {
    first: Option<Fault>,
    count: u64,
}

impl Faults {
    fn result(self, form: Option<Form>) -> Result<(), Unread> {
        let Some(Fault { reason, what, spot }) = self.first else { return Ok(()) };
        let form = form.map(|form| format!(" ({})", form.as_str())).unwrap_or_default();
        let spot = match spot {
            Spot::Database => String::new(),
            Spot::Page(number) => format!(", page {number}"),
            Spot::Slot(number) => format!(", slot {number}"),
            Spot::Package(number) => format!(", package {number}"),
        };
        let all = if self.count > 1 { format!(" ({} faults in all)", self.count) } else { String::new() };
        Err(Unread { reason, detail: format!("rpm database{form}{spot}: {what}{all}") })
    }
}

/// Takes headers as a database gives them, and pushes packages.
struct Intake<'a, 's> {
    path: &'a LayerPath,
    out: &'a mut Sink<'s>,
    faults: Faults,
    claimed_bytes: u64,
}

impl Intake<'_, '_> {
    fn fault(&mut self, fault: Fault) {
        self.faults.first.get_or_insert(fault);
        self.faults.count = self.faults.count.saturating_add(1);
    }

    /// Takes the header of package `number`.
    fn header(&mut self, number: u64, blob: &[u8]) {
        if let Err(what) = Header::parse(blob).and_then(|header| self.package(number, &header)) {
            self.fault(Fault::malformed(what, Spot::Package(number)));
        }
    }

    fn package(&mut self, number: u64, header: &Header<'_>) -> Result<(), &'static str> {
        let Some((key, licenses)) = read_package(header)? else { return Ok(()) };
        let package = key.name.clone();
        let place = Place { path: self.path.clone(), line: None };
        self.out.package(LayerPackage { key, place, licenses });
        let paths = self.claimed_manifests(number, header)?;
        let owner = package.clone();
        self.out.owned(OwnedFiles {
            format: PackageFormat::Rpm,
            package: owner,
            recorded_in: self.path.clone(),
            paths,
        });
        let (files, is_unknown) = digests::recorded(header)?;
        if is_unknown {
            let what = "the algorithm of its files' digests is not one that is compared";
            self.fault(Fault { reason: GapReason::Unsupported, what, spot: Spot::Package(number) });
        }
        self.out.recorded(RecordedFiles { format: PackageFormat::Rpm, package, recorded_in: self.path.clone(), files });
        Ok(())
    }

    /// The language-package manifests among the package's files. A path is kept as a folder and a name in it.
    fn claimed_manifests(&mut self, number: u64, header: &Header<'_>) -> Result<Vec<LayerPath>, &'static str> {
        const BROKEN: &str = "the list of its files does not fit together";
        let (Some(mut names), Some(folders), Some(indexes)) =
            (header.texts(tag::BASENAMES)?, header.texts(tag::DIRNAMES)?, header.numbers(tag::DIRINDEXES)?)
        else {
            return Ok(Vec::new());
        };
        if names.len() != indexes.len() || folders.len() > FOLDERS_MAX {
            return Err(BROKEN);
        }
        let folders: Vec<&[u8]> = folders.collect();
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut path = Vec::new();
        for index in indexes {
            let name = names.next().ok_or(BROKEN)?;
            let folder = *usize::try_from(index).ok().and_then(|index| folders.get(index)).ok_or(BROKEN)?;
            let bytes = folder.len().saturating_add(name.len());
            if bytes > PATH_BYTES_MAX {
                continue;
            }
            self.claimed_bytes = self.claimed_bytes.saturating_add(bytes as u64);
            // A layer's own names are held below the same limit.
            if self.claimed_bytes > self.out.limits().names_bytes_max {
                let what = "the names of its files, with those of the packages before, are above the limit";
                self.fault(Fault { reason: GapReason::TooMany, what, spot: Spot::Package(number) });
                break;
            }
            path.clear();
            path.extend_from_slice(folder);
            path.extend_from_slice(name);
            if is_language_manifest(path.strip_prefix(b"/").unwrap_or(&path)) {
                found.push(path.clone());
            }
        }
        Ok(owned_manifests(found.iter().map(Vec::as_slice)))
    }
}

/// The package that a header describes, and its licences; `None` for a public key.
fn read_package(header: &Header<'_>) -> Result<Option<(PackageKey, Vec<String>)>, &'static str> {
    let text = |tag| Ok::<_, &'static str>(header.text(tag)?.and_then(field));
    let name = text(tag::NAME)?.ok_or("a header without a name")?;
    let version = text(tag::VERSION)?.ok_or("a header without a version")?;
    let release = text(tag::RELEASE)?.ok_or("a header without a release")?;
    if name == KEY_NAME {
        return Ok(None);
    }
    let epoch = match header.numbers(tag::EPOCH)? {
        Some(mut numbers) => numbers.next().ok_or("an epoch without a number")?,
        None => 0,
    };
    let version = with_epoch(epoch, &format!("{version}-{release}"));
    let source = text(tag::SOURCERPM)?.and_then(|file| parse_source(&file, epoch));
    let source = source.unwrap_or_else(|| SourcePackage { name: name.clone(), version: version.clone() });
    let mut key = PackageKey::new(PackageFormat::Rpm, name, version);
    key.architecture = text(tag::ARCH)?;
    key.source = Some(source);
    key.module = text(tag::MODULARITYLABEL)?.and_then(|label| parse_module(&label));
    Ok(Some((key, text(tag::LICENSE)?.into_iter().collect())))
}

/// No epoch means the same as epoch 0 (rpm-version(7)), and is left out.
fn with_epoch(epoch: u32, version: &str) -> String {
    if epoch == 0 { version.to_owned() } else { format!("{epoch}:{version}") }
}

/// `NAME-VERSION-RELEASE.src.rpm`, or `.nosrc.rpm`. The name of the file has no epoch; a source package has the one of
/// its binaries, unless they say otherwise.
fn parse_source(file: &str, epoch: u32) -> Option<SourcePackage> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let is_whole = ![name, version, release].contains(&"");
    let version = with_epoch(epoch, &format!("{version}-{release}"));
    is_whole.then(|| SourcePackage { name: name.to_owned(), version })
}

/// `NAME:STREAM:VERSION:CONTEXT` (modulemd, "NSVC"); advisories name the first two.
fn parse_module(label: &str) -> Option<String> {
    let mut parts = label.split(':');
    let (name, stream) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !stream.is_empty()).then(|| format!("{name}:{stream}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn rpm_database_that_is_none_is_a_gap_and_not_an_empty_list() {
        let none = "gap malformed: rpm database: neither SQLite, nor NDB, nor a Berkeley DB hash";
        for path in ["var/lib/rpm/Packages", "usr/lib/sysimage/rpm/Packages.db", "usr/share/rpm/rpmdb.sqlite"] {
            check(path, "", &[none]);
            check(path, "SQLite format 2", &[none]);
        }
        check("var/lib/rpm/__db.001", "", &["not wanted"]);
        check("var/lib/rpm/Name", "", &["not wanted"]);
        check("srv/var/lib/rpm/Packages", "", &["not wanted"]);
    }

    #[test]
    fn rpm_source_is_told_by_the_name_of_its_file() {
        let check = |file: &str, epoch, expect: &str| {
            let source = parse_source(file, epoch).map(|source| format!("{} {}", source.name, source.version));
            assert_eq!(source.unwrap_or_default(), expect, "{file}");
        };
        check("util-linux-2.32.1-42.el8_8.src.rpm", 0, "util-linux 2.32.1-42.el8_8");
        check("openssl-1.1.1k-9.el8.src.rpm", 1, "openssl 1:1.1.1k-9.el8");
        check("java-17-openjdk-17.0.1-1.nosrc.rpm", 0, "java-17-openjdk 17.0.1-1");
        check("a-1.src.rpm", 0, "");
        check("-1-1.src.rpm", 0, "");
        check("a-1-1.x86_64.rpm", 0, "");
    }

    #[test]
    fn rpm_module_is_name_and_stream() {
        let check = |label: &str, expect: &str| assert_eq!(parse_module(label).unwrap_or_default(), expect);
        check("nodejs:14:8030020201124152102:229f0a1c", "nodejs:14");
        check("perl:5.26:1", "perl:5.26");
        check("nodejs", "");
        check(":14", "");
    }
}
