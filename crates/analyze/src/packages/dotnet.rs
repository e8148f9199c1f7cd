//! .NET: the list of dependencies beside a published application, and NuGet's lockfile.
//!
//! Not here: version resources of assemblies, and project files. How lockfiles are treated: [`super::locked`].
//!
//! Sources: .NET's "Runtime configuration files" (`*.deps.json`); NuGet's "Locking dependencies"
//! (`packages.lock.json`).

use super::is_depth_below;
use super::locked::{self, Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads `*.deps.json` and `packages.lock.json`.
pub(super) struct DotNet;

/// Is this the list of a published application or framework?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    path.ends_with(b".deps.json") && is_depth_below(path)
}

#[derive(Deserialize)]
struct Dependencies {
    /// `Name/1.0.0` → what it is.
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lockfile {
    /// Framework → name → what was resolved.
    dependencies: BTreeMap<String, BTreeMap<String, Resolved>>,
}

#[derive(Deserialize)]
struct Resolved {
    #[serde(rename = "type")]
    kind: Option<String>,
    resolved: Option<String>,
}

impl Analyzer for DotNet {
    fn id(&self) -> &'static str {
        "dotnet/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if file.bytes > 0 && is_manifest(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.lockfile_bytes_max };
        }
        locked::wants(file, &[b"packages.lock.json"], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::NuGet);
        let json = without_mark(file.content);
        if is_manifest(file.entry.path.as_bytes()) {
            let list: Dependencies = serde_json::from_slice(json)
                .map_err(|error| Unread::malformed(format!("not a list of .NET dependencies: {error}")))?;
            add_libraries(&list, &mut found);
        } else {
            let lock: Lockfile = serde_json::from_slice(json)
                .map_err(|error| Unread::malformed(format!("not a packages.lock.json: {error}")))?;
            add_resolved(&lock, &mut found);
        }
        found.push(file, out);
        Ok(())
    }
}

/// The runtime that an application carries is listed as `runtimepack.NAME`. What is of type `project` is the
/// application itself, `reference` an assembly without a package.
fn add_libraries(list: &Dependencies, found: &mut Locked) {
    for (library, Library { kind }) in &list.libraries {
        let Some((name, version)) = library.rsplit_once('/') else { continue };
        match kind.as_deref() {
            Some("package") => found.add(name, version),
            Some("runtimepack") => found.add(name.strip_prefix("runtimepack.").unwrap_or(name), version),
            _ => {}
        }
    }
}

fn add_resolved(lock: &Lockfile, found: &mut Locked) {
    for (name, resolved) in lock.dependencies.values().flatten() {
        if resolved.kind.as_deref() != Some("Project") {
            found.add(name, resolved.resolved.as_deref().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn dotnet_dependencies_are_read() {
        let list = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v6.0"},"libraries":{"App/1.0.0":{"type":"project"},
            "Newtonsoft.Json/12.0.1":{"type":"package","serviceable":true},
            "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/6.0.1":{"type":"runtimepack"},"Old/1.0":{"type":"reference"}}}"#;
        check(
            "app/App.deps.json",
            list,
            &["pkg:nuget/Microsoft.NETCore.App.Runtime.linux-x64@6.0.1", "pkg:nuget/Newtonsoft.Json@12.0.1"],
        );
        survives("app/App.deps.json", list.as_bytes());
        let gap = "gap malformed: not a list of .NET dependencies: missing field `libraries` at line 1 column 2";
        check("app/App.deps.json", "{}", &[gap]);
    }

    #[test]
    fn nuget_lock_is_read() {
        let lock = r#"{"version":1,"dependencies":{"net6.0":{"Newtonsoft.Json":{"type":"Direct","requested":"[12.0.1, )",
            "resolved":"12.0.1"},"lib":{"type":"Project"}},"net8.0":{"Newtonsoft.Json":{"type":"Transitive","resolved":"13.0.1"}}}}"#;
        check(
            "app/packages.lock.json",
            lock,
            &["pkg:nuget/Newtonsoft.Json@12.0.1", "pkg:nuget/Newtonsoft.Json@13.0.1"],
        );
        survives("app/packages.lock.json", lock.as_bytes());
    }
}
