//! Python lockfiles: requirements with `==`, `Pipfile.lock`, `poetry.lock`, `pdm.lock`, `uv.lock`, `pylock.toml`.
//!
//! Not here: `pyproject.toml`, `setup.py` and `Pipfile`, which ask for ranges. How lockfiles are treated:
//! [`super::locked`]. Requirements files whose name tells that they are for development or tests are not read.
//!
//! Sources: pip's "Requirements File Format"; PEP 440, "Version matching"; PEP 751 (`pylock.toml`).

use super::locked::{self, Locked, is_in_installed_folder, without_mark};
use super::python::normalise;
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads lockfiles of pip, pipenv, poetry, pdm and uv.
pub(super) struct PythonLock;

const PIPFILE: &[u8] = b"Pipfile.lock";
const NAMES: [&[u8]; 5] = [PIPFILE, TOML[0], TOML[1], TOML[2], TOML[3]];
const TOML: [&[u8]; 4] = [b"poetry.lock", b"pdm.lock", b"uv.lock", b"pylock.toml"];
/// Words in the name of a requirements file that is not for running.
const DEVELOPMENT: [&[u8]; 4] = [b"dev", b"test", b"doc", b"lint"];

fn is_requirements(path: &[u8]) -> bool {
    let (folder, name) = match memchr::memrchr(b'/', path) {
        Some(slash) => (path[..slash].rsplit(|&b| b == b'/').next().unwrap_or_default(), &path[slash + 1..]),
        None => (&[][..], path),
    };
    let Some(stem) = name.strip_suffix(b".txt") else { return false };
    let is_named = stem.starts_with(b"requirements") || stem.ends_with(b"requirements") || folder == b"requirements";
    is_named
        && !DEVELOPMENT.iter().any(|word| memchr::memmem::find(stem, word).is_some())
        && is_depth_below(path)
        && !is_in_installed_folder(path)
}

impl Analyzer for PythonLock {
    fn id(&self) -> &'static str {
        "python-lock/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if file.bytes > 0 && is_requirements(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.lockfile_bytes_max };
        }
        locked::wants(file, &NAMES, limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::PyPi);
        let name = file.entry.path.file_name();
        let content = without_mark(file.content);
        let result = if name == PIPFILE {
            read_pipfile(content, &mut found)
        } else if TOML.contains(&name) {
            read_toml(name, content, &mut found)
        } else {
            read_requirements(content, &mut found)
        };
        found.push(file, out);
        result
    }
}

/// Lines of the form `name[extra]==1.0 ; marker --hash=…  # comment`; anything else pins nothing.
fn read_requirements(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err(Unread::malformed("requirements in UTF-16, which pip reads and this does not"));
    }
    for (number, line) in lines(content) {
        // A requirement in bytes that are no text names no package.
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some((name, version)) = pinned(line) {
            found.add_at(&normalise(name), version, number);
        }
    }
    Ok(())
}

fn pinned(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once("==")?;
    let name = name.split('[').next().unwrap_or(name).trim();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_letter);
    // `===` compares texts.
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let version = rest.split([' ', '\t', ';', '#', ',', '\\']).next()?;
    // `==1.*` is a range.
    let is_version = version.starts_with(|c: char| c.is_ascii_alphanumeric()) && !version.contains('*');
    (is_name && is_version).then_some((name, version))
}

#[derive(Deserialize)]
struct Pipfile {
    default: BTreeMap<String, Pin>,
}

#[derive(Deserialize)]
struct Pin {
    /// Absent for repositories and folders.
    version: Option<String>,
}

fn read_pipfile(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let lock: Pipfile =
        serde_json::from_slice(content).map_err(|error| Unread::malformed(format!("not a Pipfile.lock: {error}")))?;
    for (name, pin) in &lock.default {
        let version = pin.version.as_deref().unwrap_or_default();
        found.add(&normalise(name), version.trim_start_matches('='));
    }
    Ok(())
}

#[derive(Deserialize)]
struct TomlLock {
    #[serde(default, alias = "packages")]
    package: Vec<TomlPackage>,
}

#[derive(Deserialize)]
struct TomlPackage {
    name: String,
    version: Option<String>,
    /// poetry before 1.5.
    category: Option<String>,
    /// poetry since 2.0, pdm.
    groups: Option<Vec<String>>,
    /// uv: one key tells the kind. poetry: a table of strings.
    source: Option<toml::Table>,
    /// `pylock.toml`.
    directory: Option<toml::Table>,
}

/// What uv calls the project's own packages.
const OWN_SOURCES: [&str; 3] = ["editable", "virtual", "directory"];
/// How poetry and pdm call the group that is needed for running.
const RUNNING_GROUPS: [&str; 2] = ["main", "default"];

fn read_toml(name: &[u8], content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let lock: TomlLock = toml::from_slice(content)
        .map_err(|error| Unread::malformed(format!("not a {}: {}", String::from_utf8_lossy(name), error.message())))?;
    for package in &lock.package {
        let is_own = package.directory.is_some()
            || package.source.as_ref().is_some_and(|source| OWN_SOURCES.iter().any(|own| source.contains_key(*own)));
        let runs = package.category.as_deref() != Some("dev")
            && package.groups.as_ref().is_none_or(|groups| groups.iter().any(|g| RUNNING_GROUPS.contains(&g.as_str())));
        if runs && !is_own {
            found.add(&normalise(&package.name), package.version.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_bytes, survives};

    #[test]
    fn requirements_pin_with_two_equal_signs() {
        let text = "# pinned\nDjango==2.2.0\nrequests[socks] == 2.20.0 ; python_version < '3' # why\nflask>=1.0\n\
                    six==1.*\n-r other.txt\n--hash=sha256:abc==\nzope.interface===5.0 \\\n    --hash=sha256:0\n\
                    git+https://git.example/x@v1==2\n";
        let expect =
            ["pkg:pypi/django@2.2.0 line 2", "pkg:pypi/requests@2.20.0 line 3", "pkg:pypi/zope-interface@5.0 line 8"];
        check("app/requirements.txt", text, &expect);
        check("app/requirements/base.txt", text, &expect);
        check("app/requirements-prod.txt", text, &expect);
        check("app/requirements-dev.txt", text, &["not wanted"]);
        check("usr/lib/python3/dist-packages/x/requirements.txt", text, &["not wanted"]);
        check("app/robots.txt", text, &["not wanted"]);
        survives("app/requirements.txt", text.as_bytes());
        let gap = "gap malformed: requirements in UTF-16, which pip reads and this does not";
        check_bytes("app/requirements.txt", b"\xff\xfea\0=\0=\0\x31\0", &[gap]);
    }

    #[test]
    fn pipfile_lock_is_read() {
        let lock = r#"{"_meta":{},"default":{"Django":{"hashes":[],"version":"==2.2.0"},"x":{"git":"https://git.example"}},
                       "develop":{"pytest":{"version":"==7.0"}}}"#;
        check("app/Pipfile.lock", lock, &["pkg:pypi/django@2.2.0"]);
        survives("app/Pipfile.lock", lock.as_bytes());
        check(
            "app/Pipfile.lock",
            "{}",
            &["gap malformed: not a Pipfile.lock: missing field `default` at line 1 column 2"],
        );
    }

    #[test]
    fn poetry_and_pdm_locks_are_read() {
        let lock = "[[package]]\nname = \"Django\"\nversion = \"2.2.0\"\noptional = false\n\n[[package]]\nname = \"pytest\"\n\
                    version = \"7.0\"\ncategory = \"dev\"\n\n[[package]]\nname = \"black\"\nversion = \"1\"\ngroups = [\"dev\"]\n\n\
                    [[package]]\nname = \"both\"\nversion = \"1\"\ngroups = [\"dev\", \"main\"]\n\n[metadata]\nlock-version = \"2.0\"\n";
        check("app/poetry.lock", lock, &["pkg:pypi/both@1", "pkg:pypi/django@2.2.0"]);
        check("app/pdm.lock", &lock.replace("main", "default"), &["pkg:pypi/both@1", "pkg:pypi/django@2.2.0"]);
        survives("app/poetry.lock", lock.as_bytes());
    }

    #[test]
    fn uv_lock_is_read_without_the_project() {
        let lock = "version = 1\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\nsource = { editable = \".\" }\n\n\
                    [[package]]\nname = \"django\"\nversion = \"2.2.0\"\nsource = { registry = \"https://index.example\" }\n";
        check("app/uv.lock", lock, &["pkg:pypi/django@2.2.0"]);
        survives("app/uv.lock", lock.as_bytes());
        let pylock = "lock-version = \"1.0\"\n[[packages]]\nname = \"django\"\nversion = \"2.2.0\"\n";
        check("app/pylock.toml", pylock, &["pkg:pypi/django@2.2.0"]);
    }

    #[test]
    fn deep_toml_is_a_gap() {
        let deep = format!("a = {}", "[".repeat(100_000));
        check("app/uv.lock", &deep, &["gap malformed: not a uv.lock: cannot recurse further; max recursion depth met"]);
    }
}
