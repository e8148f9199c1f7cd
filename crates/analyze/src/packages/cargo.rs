//! Rust: `Cargo.lock`, and the list of crates that `cargo auditable` links into programs.
//!
//! Not here: crates of programs that were built without that list; nothing in them tells. Of the list, what only the
//! build needed is left out, because it is not in the program.
//!
//! Sources: the Cargo book, "Cargo.toml vs Cargo.lock"; `cargo-auditable`'s `PARSING.md` (section `.dep-v0`: JSON
//! in zlib).

use super::locked::{self, Locked};
use super::machine_code::{Program, is_candidate, programs};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::decompress;
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, GapReason, PackageFormat};
use serde::Deserialize;

/// Reads `Cargo.lock`.
pub(super) struct CargoLock;

/// Reads programs that `cargo auditable` built.
pub(super) struct CargoAuditable;

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<LockedCrate>,
}

#[derive(Deserialize)]
struct LockedCrate {
    name: String,
    version: String,
    /// Absent for members of the workspace and for crates in folders.
    source: Option<String>,
}

impl Analyzer for CargoLock {
    fn id(&self) -> &'static str {
        "cargo-lock/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        locked::wants(file, &[b"Cargo.lock"], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let lockfile: Lockfile = toml::from_slice(file.content)
            .map_err(|error| Unread::malformed(format!("not a Cargo.lock: {}", error.message())))?;
        let mut found = Locked::new(PackageFormat::Cargo);
        for package in lockfile.package.iter().filter(|package| package.source.is_some()) {
            found.add(&package.name, &package.version);
        }
        found.push(file, out);
        Ok(())
    }
}

/// The section, in each form of program.
const SECTION: &[u8] = b".dep-v0";
/// Bytes of the list, unpacked: the bound that its format names for hostile input.
const LIST_BYTES_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
struct AuditList {
    packages: Vec<AuditedCrate>,
}

#[derive(Deserialize)]
struct AuditedCrate {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

impl Analyzer for CargoAuditable {
    fn id(&self) -> &'static str {
        "cargo-auditable/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_candidate(file) { Want::Program { bytes_max: limits.program_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        if !file.form.is_machine_code() {
            return Ok(());
        }
        let mut found = Locked::new(PackageFormat::Cargo);
        let mut result = Ok(());
        for program in programs(file.content) {
            let Some(section) = Program::parse(program).section(SECTION) else { continue };
            match read_list(section) {
                Ok(list) => add_list(&list, &mut found),
                Err(unread) => result = Err(unread),
            }
        }
        found.push(file, out);
        result
    }
}

fn read_list(section: &[u8]) -> Result<AuditList, Unread> {
    let json = decompress::zlib(section, LIST_BYTES_MAX).map_err(|stop| match stop {
        decompress::Stop::Limit(why) => {
            Unread { reason: GapReason::ExpandsTooFar, detail: format!("the list of crates in the program {why}") }
        }
        decompress::Stop::Input(error) => unreadable(&error.to_string()),
        decompress::Stop::Malformed(why) | decompress::Stop::Unsupported(why) => unreadable(&why),
    })?;
    serde_json::from_slice(&json).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> Unread {
    Unread::malformed(format!("the list of crates in the program cannot be read: {why}"))
}

fn add_list(list: &AuditList, found: &mut Locked) {
    for package in &list.packages {
        if package.kind.as_deref() != Some("build") {
            found.add(&package.name, &package.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine_code::tests::elf;
    use super::super::tests::{check, check_program, survives};
    use std::io::Write;

    const LOCK: &str = "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"time\"]\n\n\
                        [[package]]\nname = \"time\"\nversion = \"0.1.42\"\n\
                        source = \"registry+https://index.example/\"\n\n\
                        [[package]]\nname = \"forked\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/forked#0\"\n";

    #[test]
    fn cargo_lock_names_crates_but_not_the_project() {
        check("app/Cargo.lock", LOCK, &["pkg:cargo/forked@1.0.0", "pkg:cargo/time@0.1.42"]);
        check("app/vendor/x/Cargo.lock", LOCK, &["not wanted"]);
        survives("app/Cargo.lock", LOCK.as_bytes());
    }

    #[test]
    fn cargo_lock_that_is_none_is_a_gap() {
        check(
            "app/Cargo.lock",
            "<<<<<<< HEAD\n",
            &["gap malformed: not a Cargo.lock: key with no value, expected `=`"],
        );
    }

    fn zlib(json: &str) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(json.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn cargo_auditable_list_is_read() {
        let json = r#"{"packages":[{"name":"app","version":"1.0.0","source":"local","root":true,"dependencies":[1,2]},
                       {"name":"time","version":"0.1.42","source":"crates.io"},
                       {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"}]}"#;
        let content = elf(0x1000, &[(".text", b"code"), (".dep-v0", &zlib(json))]);
        check_program("usr/bin/app", &content, &["pkg:cargo/app@1.0.0", "pkg:cargo/time@0.1.42"]);
        survives("usr/bin/app", &content);
    }

    #[test]
    fn cargo_auditable_list_that_is_broken_is_a_gap() {
        let gap = "gap malformed: the list of crates in the program cannot be read: missing field `packages` at line 1 column 2";
        check_program("usr/bin/app", &elf(0, &[(".dep-v0", &zlib("{}"))]), &[gap]);
        let bomb = zlib(&" ".repeat(9 << 20));
        let gap = "gap expands-too-far: the list of crates in the program expands beyond the limit of 8388608 bytes";
        check_program("usr/bin/app", &elf(0, &[(".dep-v0", &bomb)]), &[gap]);
    }
}
