//! The package analyzers: one file each, all listed in [`ANALYZERS`].
//!
//! Not here: which distribution the packages belong to, and who owns whose files: that takes the whole image
//! ([`crate::squash`]).

mod apk;
mod beam;
mod bitnami;
mod cargo;
mod conan;
mod conda;
mod coverage;
mod dart;
mod dotnet;
mod dotnet_assembly;
mod dpkg;
mod go;
mod go_mod;
mod haskell;
mod java;
mod julia;
mod jvm;
mod locked;
mod lua;
mod machine_code;
mod nix;
mod node_lock;
mod npm;
mod os_release;
mod pacman;
mod perl;
mod php;
mod python;
mod python_lock;
mod r;
mod recorded;
mod rpm;
mod ruby;
mod sbom;
mod swift;
mod well_known;
mod wordpress;

pub use coverage::{COVERAGE, Coverage, REMARKS};
pub(crate) use dpkg::DIVERSIONS;
pub(crate) use nix::{package_of as nix_package_of, store_entry as nix_store_entry};
pub(crate) use os_release::{RELEASE_FILES, assemble_os};

use crate::analyzer::{Analyzer, FileEntry, FileForm, FileView, Want};
use crate::limits::Limits;
use crate::sink::{Collected, Sink};
use model::inventory::{FileRecord, OwnedFiles, RawInput};
use model::package::LayerPackage;
use model::{Gap, LayerPath};

/// Every package analyzer.
pub const ANALYZERS: &[&dyn Analyzer] = &[
    &apk::Apk,
    &beam::Beam,
    &bitnami::Bitnami,
    &cargo::CargoAuditable,
    &cargo::CargoLock,
    &conan::Conan,
    &conda::Conda,
    &dart::Dart,
    &dotnet::DotNet,
    &dotnet_assembly::DotNetAssembly,
    &dpkg::Dpkg,
    &go::Go,
    &go_mod::GoMod,
    &haskell::Haskell,
    &java::Java,
    &julia::Julia,
    &jvm::Jvm,
    &lua::Lua,
    &node_lock::NodeLock,
    &npm::Npm,
    &os_release::OsRelease,
    &pacman::Pacman,
    &perl::Perl,
    &php::Php,
    &python::Python,
    &python_lock::PythonLock,
    &r::R,
    &rpm::Rpm,
    &ruby::Ruby,
    &sbom::Sbom,
    &swift::Swift,
    &well_known::WellKnown,
    &wordpress::WordPress,
];

/// What the analyzers tell of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// In the order of the analyzers, then of the file.
    pub packages: Vec<LayerPackage>,
    /// Files that packages own.
    pub owned: Vec<OwnedFiles>,
    /// What is only understood with the whole image in view.
    pub raw_inputs: Vec<RawInput>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Shows one file to every analyzer that wants it, as the pass over a layer does: how an analyzer is tried on any bytes.
/// `None` when none wants it.
pub fn read_file(entry: &FileEntry<'_>, content: &[u8], limits: &Limits) -> Option<FileFacts> {
    let view = FileView { entry: *entry, content, form: FileForm::of(content), complete: true };
    let mut collected = Collected::default();
    let mut is_wanted = false;
    for analyzer in ANALYZERS {
        match analyzer.wants(entry, limits) {
            Want::No => continue,
            Want::Program { .. } if !view.form.is_machine_code() => continue,
            Want::Whole { bytes_max } | Want::Program { bytes_max } if entry.bytes > bytes_max => continue,
            Want::Whole { .. } | Want::Program { .. } => is_wanted = true,
        }
        let mut sink = Sink::new(&mut collected, limits, analyzer.id(), 0);
        if let Err(unread) = analyzer.analyze(&view, &mut sink) {
            sink.gap(analyzer.detector(), entry.path, unread.reason, unread.detail);
        }
    }
    is_wanted.then(|| FileFacts {
        packages: collected.packages.into_iter().map(|tagged| tagged.fact).collect(),
        owned: collected.owned.into_iter().map(|tagged| tagged.fact).collect(),
        raw_inputs: collected.raw_inputs.into_iter().map(|tagged| tagged.fact).collect(),
        gaps: collected.gaps.into_iter().map(|tagged| tagged.fact).collect(),
    })
}

/// The names of all analyzers, for the fingerprint.
pub(crate) fn ids() -> String {
    ANALYZERS.iter().map(|analyzer| analyzer.id()).collect::<Vec<_>>().join(" ")
}

/// Is this a file that a language-package analyzer reads? Only such files are kept in what packages own. Lockfiles are
/// not: a distribution that ships one does not answer for what it names. Programs are, by where they lie.
fn is_language_manifest(path: &[u8]) -> bool {
    npm::is_manifest(path)
        || python::is_manifest(path)
        || java::is_archive(path)
        || ruby::is_manifest(path)
        || php::is_manifest(path)
        || dotnet::is_manifest(path)
        || bitnami::is_manifest(path)
        || beam::is_manifest(path)
        || r::is_manifest(path)
        || lua::is_manifest(path)
        || perl::is_manifest(path)
        || jvm::is_manifest(path)
        || path.ends_with(b".dll")
        || well_known::is_named(path)
        || machine_code::is_in_program_folder(path)
}

/// A manifest in more folders than this is not looked for.
const MANIFEST_DEPTH_MAX: usize = 100;

/// Is the path not deeper than any real one?
fn is_depth_below(path: &[u8]) -> bool {
    memchr::memchr_iter(b'/', path).count() <= MANIFEST_DEPTH_MAX
}

/// The longest name, version or licence that is kept, in bytes.
const FIELD_BYTES_MAX: usize = 1024;

/// A field's value as text: trimmed; bytes that are not UTF-8 are replaced. `None` when empty or too long.
fn field(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    (!value.is_empty() && value.len() <= FIELD_BYTES_MAX).then(|| String::from_utf8_lossy(value).into_owned())
}

/// The lines of a file with their numbers, counted from 1; the last may lack its end.
fn lines(content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = content;
    let mut number = 0_u32;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        number = number.saturating_add(1);
        Some((number, line.strip_suffix(b"\r").unwrap_or(line)))
    })
}

/// The language-package manifests among paths that a package claims, sorted.
fn owned_manifests<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Vec<LayerPath> {
    let manifests = paths.map(|path| path.strip_prefix(b"/").unwrap_or(path)).filter(|path| is_language_manifest(path));
    let mut owned: Vec<_> = manifests.filter_map(|path| LayerPath::normalise(path).ok()).collect();
    owned.sort();
    owned.dedup();
    owned
}

/// The databases of operating-system packages, wherever they may lie; those of one file per package aside.
pub(crate) const DATABASE_FILES: [&str; 10] = [
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/dpkg/status",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/share/rpm/Packages.db",
    "usr/share/rpm/rpmdb.sqlite",
];

/// Does any analyzer read a file of this path, with the size and mode of `content`?
pub(crate) fn reads(path: &LayerPath, content: &FileRecord) -> bool {
    let FileRecord { bytes, mode, uid, gid, .. } = *content;
    let entry = FileEntry { path, bytes, mode, uid, gid };
    let limits = Limits::default();
    ANALYZERS.iter().any(|analyzer| analyzer.wants(&entry, &limits) != Want::No)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::{FileEntry, FileForm, FileView, Want};
    use crate::limits::Limits;
    use crate::sink::{Collected, Sink};

    /// Shows one file to the analyzers that want it, and compares what they say.
    pub(super) fn check(path: &str, content: &str, expect: &[&str]) {
        assert_eq!(said(path, content.as_bytes(), 0o644), expect);
    }

    /// The same, with any bytes.
    pub(super) fn check_bytes(path: &str, content: &[u8], expect: &[&str]) {
        assert_eq!(said(path, content, 0o644), expect);
    }

    /// The same, with an executable file.
    pub(super) fn check_program(path: &str, content: &[u8], expect: &[impl AsRef<str>]) {
        let expect: Vec<&str> = expect.iter().map(AsRef::as_ref).collect();
        assert_eq!(said(path, content, 0o755), expect);
    }

    /// Cuts a file at every byte and damages each in turn: no panic, and what is cut off is never more than the whole.
    pub(super) fn survives(path: &str, content: &[u8]) {
        let is_package = |line: &String| line.starts_with("pkg:");
        let whole = said(path, content, 0o755).into_iter().filter(is_package).count();
        assert!(whole > 0, "{path} has no packages to lose");
        for end in 0..content.len() {
            assert!(said(path, &content[..end], 0o755).iter().filter(|line| is_package(line)).count() <= whole);
        }
        let mut damaged = content.to_vec();
        for at in 0..content.len() {
            for value in [0, b' ', 0x7f, 0xff] {
                damaged[at] = value;
                let _ = said(path, &damaged, 0o755);
            }
            damaged[at] = content[at];
        }
    }

    fn said(path: &str, content: &[u8], mode: u32) -> Vec<String> {
        let path = LayerPath::from(path);
        let entry = FileEntry { path: &path, bytes: content.len() as u64, mode, uid: 0, gid: 0 };
        let form = FileForm::of(content);
        let view = FileView { entry, content, form, complete: true };
        let limits = Limits::default();
        let mut collected = Collected::default();
        let mut said = Vec::new();
        let wanted: Vec<_> = ANALYZERS.iter().filter(|a| a.wants(&entry, &limits) != Want::No).collect();
        for analyzer in &wanted {
            let mut sink = Sink::new(&mut collected, &limits, analyzer.id(), 0);
            if let Err(unread) = analyzer.analyze(&view, &mut sink) {
                said.push(format!("gap {}: {}", unread.reason, unread.detail));
            }
        }
        if wanted.is_empty() {
            said.push("not wanted".to_owned());
        }
        said.extend(collected.gaps.iter().map(|gap| format!("gap {}: {}", gap.fact.reason, gap.fact.detail)));
        said.extend(collected.owned.iter().map(|owned| {
            let paths: Vec<_> = owned.fact.paths.iter().map(ToString::to_string).collect();
            format!("owned {}: {}", owned.fact.package, paths.join(" "))
        }));
        said.extend(collected.packages.iter().map(|package| {
            let key = &package.fact.key;
            let mut line = key.purl().to_string();
            if let Some(source) = key.source.as_ref().filter(|source| source.version != key.version) {
                line += &format!(" source {}", source.version);
            }
            if let Some(number) = package.fact.place.line {
                line += &format!(" line {number}");
            }
            line + &package.fact.licenses.iter().map(|license| format!(" {license}")).collect::<String>()
        }));
        said
    }
}
