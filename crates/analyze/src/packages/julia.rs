//! Julia: environments, `Manifest.toml`, and the packages of a depot, `packages/NAME/SLUG/Project.toml`.
//!
//! Not here: other `Project.toml` files, which ask for ranges; standard libraries without a version of their own, which
//! are Julia itself. How lockfiles are treated: [`super::locked`].
//!
//! Source: Pkg's documentation, "Project.toml and Manifest.toml", manifest formats 1 and 2, and "Glossary", depot;
//! purl specification, type `julia`, which requires the UUID.

use super::is_depth_below;
use super::locked::{is_in_installed_folder, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{Detector, PackageFormat, PackageKey};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads `Manifest.toml` and the `Project.toml` of depots.
pub(super) struct Julia;

const PROJECT: &[u8] = b"Project.toml";

/// `Manifest.toml`, `JuliaManifest.toml`, and `Manifest-v1.11.toml` for one version of Julia.
fn is_environment(path: &[u8], name: &[u8]) -> bool {
    let stem = name.strip_suffix(b".toml").map(|stem| stem.strip_prefix(b"Julia").unwrap_or(stem));
    let is_named = stem.is_some_and(|stem| stem == b"Manifest" || stem.starts_with(b"Manifest-v"));
    is_named && is_depth_below(path) && !is_in_installed_folder(path) && !is_in_depot(path)
}

/// Does the file belong to a package that was fetched: `packages/NAME/SLUG/…`, SLUG of five letters and digits, in a
/// folder that is a depot by its name?
fn is_in_depot(path: &[u8]) -> bool {
    memchr::memmem::find_iter(path, b"packages/").any(|at| {
        let depot = path[..at].strip_suffix(b"/").unwrap_or(&path[..at]);
        let is_depot = depot.ends_with(b"julia") || depot.ends_with(b"depot");
        let mut below = path[at + b"packages/".len()..].split(|&b| b == b'/').skip(1);
        is_depot && below.next().is_some_and(|slug| slug.len() == 5 && slug.iter().all(u8::is_ascii_alphanumeric))
    })
}

/// `…/packages/NAME/SLUG/Project.toml`.
fn is_depot_project(path: &[u8]) -> bool {
    let Some(folder) = path.strip_suffix(b"/Project.toml") else { return false };
    let is_right_below = folder.rsplit(|&b| b == b'/').nth(2) == Some(b"packages");
    is_right_below && is_in_depot(path) && is_depth_below(path)
}

/// Format 2. In format 1 the packages stand at the root.
#[derive(Deserialize)]
struct Manifest {
    deps: BTreeMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    uuid: String,
    version: Option<String>,
    /// Set on what is developed in a folder.
    path: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    name: String,
    uuid: String,
    version: Option<String>,
}

impl Analyzer for Julia {
    fn id(&self) -> &'static str {
        "julia/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let path = file.path.as_bytes();
        let name = file.path.file_name();
        if file.bytes > 0 && name.ends_with(b".toml") && (is_environment(path, name) || is_depot_project(path)) {
            Want::Whole { bytes_max: limits.lockfile_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let text = without_mark(file.content);
        if file.entry.path.file_name() == PROJECT {
            let project: Project = toml::from_slice(text).map_err(|error| {
                Unread::malformed(format!("not the project of a Julia package: {}", error.message()))
            })?;
            push(&project.name, &project.uuid, project.version.as_deref(), file, out);
            return Ok(());
        }
        let manifest = read_manifest(text)
            .map_err(|error| Unread::malformed(format!("not a Julia manifest: {}", error.message())))?;
        for (name, entries) in &manifest {
            for entry in entries.iter().filter(|entry| entry.path.is_none()) {
                push(name, &entry.uuid, entry.version.as_deref(), file, out);
            }
        }
        Ok(())
    }
}

fn read_manifest(text: &[u8]) -> Result<BTreeMap<String, Vec<Entry>>, toml::de::Error> {
    let table: toml::Table = toml::from_slice(text)?;
    if table.contains_key("manifest_format") {
        return Ok(table.try_into::<Manifest>()?.deps);
    }
    let packages = table.into_iter().filter(|(_, value)| value.is_array());
    packages.map(|(name, value)| Ok((name, value.try_into()?))).collect()
}

fn push(name: &str, uuid: &str, version: Option<&str>, file: &FileView<'_>, out: &mut Sink<'_>) {
    let text = |text: &str| super::field(text.as_bytes());
    if let (Some(name), Some(uuid), Some(version)) = (text(name), text(uuid), version.and_then(text)) {
        let mut key = PackageKey::new(PackageFormat::Julia, name, version);
        key.module = Some(uuid);
        let place = Place { path: file.entry.path.clone(), line: None };
        out.package(LayerPackage { key, place, licenses: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    const AWS: &str = "pkg:julia/AWS@1.88.0?uuid=fbe9abb3-538b-5e4e-ba9e-bc94f4f92ebc";

    #[test]
    fn julia_manifests_are_read_in_both_formats() {
        let packages = |prefix: &str| {
            format!(
                "[[{prefix}AWS]]\ndeps = [\"Dates\"]\ngit-tree-sha1 = \"01\"\nuuid = \"fbe9abb3-538b-5e4e-ba9e-bc94f4f92ebc\"\n\
                 version = \"1.88.0\"\n\n[[{prefix}Dates]]\nuuid = \"ade2ca70-3891-5945-98fb-dc099432e06a\"\n\n\
                 [[{prefix}Own]]\npath = \"own\"\nuuid = \"0\"\nversion = \"0.1.0\"\n"
            )
        };
        let first = format!("# This file is machine-generated\njulia_version = \"1.5.0\"\n\n{}", packages(""));
        check("app/Manifest.toml", &first, &[AWS]);
        let second = format!("julia_version = \"1.9.0\"\nmanifest_format = \"2.0\"\n\n{}", packages("deps."));
        check("app/Manifest.toml", &second, &[AWS]);
        check("app/Manifest-v1.11.toml", &second, &[AWS]);
        check("root/.julia/packages/AWS/abcde/test/Manifest.toml", &second, &["not wanted"]);
        check(
            "app/Manifest.toml",
            "manifest_format = \"2.0\"\n",
            &["gap malformed: not a Julia manifest: missing field `deps`"],
        );
        survives("app/Manifest.toml", second.as_bytes());
    }

    #[test]
    fn julia_depots_are_read() {
        let project =
            "name = \"AWS\"\nuuid = \"fbe9abb3-538b-5e4e-ba9e-bc94f4f92ebc\"\nversion = \"1.88.0\"\n\n[deps]\n";
        check("root/.julia/packages/AWS/aB1cd/Project.toml", project, &[AWS]);
        check("root/.julia/packages/AWS/aB1cd/docs/Project.toml", project, &["not wanted"]);
        check("app/Project.toml", project, &["not wanted"]);
        survives("root/.julia/packages/AWS/aB1cd/Project.toml", project.as_bytes());
    }
}
