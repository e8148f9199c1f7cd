//! Node.js lockfiles: npm's `package-lock.json` and `npm-shrinkwrap.json` (versions 1 to 3), yarn's `yarn.lock` (classic
//! and berry), pnpm's `pnpm-lock.yaml` (versions 5 to 9).
//!
//! Not here: `package.json`, which asks for ranges. How lockfiles are treated: [`super::locked`]. yarn's and pnpm's files
//! are read line by line, in the layout that these tools write; they are not read as YAML in general.

mod pnpm;
mod yarn;

use super::locked::{self, Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads lockfiles of npm, yarn and pnpm.
pub(super) struct NodeLock;

const NAMES: [&[u8]; 4] = [b"package-lock.json", b"npm-shrinkwrap.json", b"yarn.lock", b"pnpm-lock.yaml"];

impl Analyzer for NodeLock {
    fn id(&self) -> &'static str {
        "node-lock/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        locked::wants(file, &NAMES, limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::Npm);
        let content = without_mark(file.content);
        let result = match file.entry.path.file_name() {
            b"yarn.lock" => yarn::read(content, &mut found),
            b"pnpm-lock.yaml" => pnpm::read(content, &mut found),
            _ => read_npm(content, &mut found),
        };
        found.push(file, out);
        result
    }
}

/// npm's documentation, "package-lock.json".
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PackageLock {
    /// Since version 2: folder → package. The root is the empty folder.
    packages: Option<BTreeMap<String, Folder>>,
    /// Until version 2: name → package.
    dependencies: Option<BTreeMap<String, Dependency>>,
    lockfile_version: Option<u32>,
}

#[derive(Deserialize)]
struct Folder {
    /// Only where the folder has another name than the package.
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
}

#[derive(Deserialize)]
struct Dependency {
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    dependencies: Option<BTreeMap<String, Dependency>>,
}

fn read_npm(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let lock: PackageLock = serde_json::from_slice(content)
        .map_err(|error| Unread::malformed(format!("not a package-lock.json: {error}")))?;
    if lock.packages.is_none() && lock.dependencies.is_none() && lock.lockfile_version.is_none() {
        return Err(Unread::malformed("not a package-lock.json: no packages, dependencies or lockfileVersion"));
    }
    match lock.packages {
        Some(folders) => {
            for (path, folder) in &folders {
                add_folder(path, folder, found);
            }
        }
        None => add_dependencies(lock.dependencies.as_ref(), found),
    }
    Ok(())
}

/// What lies outside of `node_modules` is the project itself, or a member of it.
fn add_folder(path: &str, folder: &Folder, found: &mut Locked) {
    let Some((_, installed_as)) = path.rsplit_once("node_modules/") else { return };
    if folder.dev || folder.link {
        return;
    }
    if let Some(version) = folder.version.as_deref().filter(|version| is_version(version)) {
        found.add(folder.name.as_deref().unwrap_or(installed_as), version);
    }
}

/// The depth is bounded by that of the JSON.
fn add_dependencies(dependencies: Option<&BTreeMap<String, Dependency>>, found: &mut Locked) {
    for (name, dependency) in dependencies.into_iter().flatten().filter(|(_, dependency)| !dependency.dev) {
        let version = dependency.version.as_deref().unwrap_or_default();
        match alias(version) {
            Some((name, version)) => found.add(name, version),
            None if is_version(version) => found.add(name, version),
            None => {}
        }
        add_dependencies(dependency.dependencies.as_ref(), found);
    }
}

/// `npm:lodash@4.17.21`, under whatever name it is installed.
fn alias(version: &str) -> Option<(&str, &str)> {
    let (name, version) = split_at_sign(version.strip_prefix("npm:")?)?;
    is_version(version).then_some((name, version))
}

/// Splits `name@rest` and `@scope/name@rest`.
fn split_at_sign(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&text[..at], &text[at + 1..]))
}

/// A release, and not the address of an archive, a repository or a folder.
fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['/', ' '])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn npm_lock_of_version_1_is_read() {
        let lock = r#"{"name":"app","version":"1.0.0","lockfileVersion":1,"dependencies":{
            "lodash":{"version":"4.17.4","requires":{"x":"1"},"dependencies":{"@a/b":{"version":"1.0.0"}}},
            "jest":{"version":"20.0.0","dev":true},
            "old":{"version":"npm:@s/real@2.0.0"},
            "git":{"version":"git+https://git.example/x#abc"}}}"#;
        let expect = ["pkg:npm/%40a/b@1.0.0", "pkg:npm/%40s/real@2.0.0", "pkg:npm/lodash@4.17.4"];
        check("app/package-lock.json", lock, &expect);
        check("app/npm-shrinkwrap.json", lock, &expect);
        survives("app/package-lock.json", lock.as_bytes());
    }

    #[test]
    fn npm_lock_of_version_3_is_read() {
        let lock = r#"{"name":"app","lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0"},
            "node_modules/@babel/core":{"version":"7.0.0","devOptional":true},
            "node_modules/a/node_modules/lodash":{"version":"4.17.4"},
            "node_modules/alias":{"name":"real","version":"1.2.3"},
            "node_modules/jest":{"version":"20.0.0","dev":true},
            "node_modules/member":{"resolved":"member","link":true},"member":{"version":"0.0.1"}}}"#;
        let expect = ["pkg:npm/%40babel/core@7.0.0", "pkg:npm/lodash@4.17.4", "pkg:npm/real@1.2.3"];
        check("app/package-lock.json", lock, &expect);
        check("app/node_modules/x/package-lock.json", lock, &["not wanted"]);
        survives("app/package-lock.json", lock.as_bytes());
    }

    #[test]
    fn npm_lock_that_is_none_is_a_gap() {
        let gap = "gap malformed: not a package-lock.json: no packages, dependencies or lockfileVersion";
        check("app/package-lock.json", "{}", &[gap]);
        let deep = format!("{}1{}", r#"{"dependencies":{"a":"#.repeat(5000), "}}".repeat(5000));
        let gap = "gap malformed: not a package-lock.json: recursion limit exceeded at line 1 column 1340";
        check("app/package-lock.json", &deep, &[gap]);
    }
}
