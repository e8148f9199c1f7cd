//! Installed Node.js packages: the `package.json` in a package's own folder (npm's `package.json(5)`, "name", "version").

use super::{FIELD_BYTES_MAX, is_depth_below};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{Detector, PackageFormat, PackageKey};
use serde::Deserialize;
use serde_json::Value;

/// Reads `node_modules/NAME/package.json`.
pub(super) struct Npm;

/// Folders below which Debian puts packages without `node_modules`.
const SYSTEM_FOLDERS: [&[u8]; 2] = [b"usr/share/nodejs", b"usr/lib/nodejs"];

/// Is this the manifest of an installed package: right in `node_modules/NAME` or `node_modules/@SCOPE/NAME`?
/// A `package.json` deeper inside a package is a fixture or only sets options for a folder.
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let Some(folder) = path.strip_suffix(b"/package.json") else { return false };
    let Some((mut parent, _)) = split_last(folder) else { return false };
    if let Some((above, scope)) = split_last(parent)
        && scope.starts_with(b"@")
    {
        parent = above;
    }
    let name = split_last(parent).map_or(parent, |(_, name)| name);
    (name == b"node_modules" || SYSTEM_FOLDERS.contains(&parent)) && is_depth_below(path)
}

fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memrchr(b'/', path)?;
    Some((&path[..slash], &path[slash + 1..]))
}

/// The fields of interest; publishers put anything anywhere, so each is read leniently.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    version: Value,
    #[serde(default)]
    license: Value,
}

impl Analyzer for Npm {
    fn id(&self) -> &'static str {
        "npm/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) { Want::Whole { bytes_max: limits.manifest_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let json = file.content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file.content);
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| Unread::malformed(format!("not a package.json: {error}")))?;
        let (Some(name), Some(version)) = (text(&manifest.name), text(&manifest.version)) else { return Ok(()) };
        let key = PackageKey::new(PackageFormat::Npm, name, version);
        let licenses = license(&manifest.license).map(str::to_owned).into_iter().collect();
        out.package(LayerPackage { key, place: Place { path: file.entry.path.clone(), line: None }, licenses });
        Ok(())
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty() && text.len() <= FIELD_BYTES_MAX)
}

/// `"MIT"`, or the old form `{"type": "MIT"}`.
fn license(value: &Value) -> Option<&str> {
    text(value).or_else(|| text(value.get("type")?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn npm_manifest_in_its_folder_is_a_package() {
        let lodash = r#"{"name":"lodash","version":"4.17.4","license":"MIT"}"#;
        check("app/node_modules/lodash/package.json", lodash, &["pkg:npm/lodash@4.17.4 MIT"]);
        check("node_modules/lodash/package.json", lodash, &["pkg:npm/lodash@4.17.4 MIT"]);
        check("usr/share/nodejs/lodash/package.json", lodash, &["pkg:npm/lodash@4.17.4 MIT"]);
        check("app/package.json", lodash, &["not wanted"]);
        check("app/node_modules/a/test/fixture/package.json", lodash, &["not wanted"]);
        let core = r#"{"name":"@babel/core","version":"7.0.0","license":{"type":"MIT"}}"#;
        check("a/node_modules/x/node_modules/@babel/core/package.json", core, &["pkg:npm/%40babel/core@7.0.0 MIT"]);
    }

    #[test]
    fn npm_manifest_without_name_or_version_is_none() {
        check("node_modules/a/package.json", r#"{"type":"module"}"#, &[]);
        check("node_modules/a/package.json", r#"{"name":["a"],"version":1}"#, &[]);
        check(
            "node_modules/a/package.json",
            "{",
            &["gap malformed: not a package.json: EOF while parsing an object at line 1 column 1"],
        );
    }
}
