//! Installed Python packages: `METADATA` of a wheel ("Core metadata specifications", "Recording installed projects")
//! and `PKG-INFO` of an egg.

use super::{field, is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{Detector, PackageFormat, PackageKey};

/// Reads `*.dist-info/METADATA`, `*.egg-info/PKG-INFO` and `*.egg-info`.
pub(super) struct Python;

/// Is this the metadata of an installed package?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let found = path.ends_with(b".dist-info/METADATA")
        || path.ends_with(b".egg-info/PKG-INFO")
        || path.ends_with(b"EGG-INFO/PKG-INFO")
        || path.ends_with(b".egg-info");
    found && is_depth_below(path)
}

impl Analyzer for Python {
    fn id(&self) -> &'static str {
        "python/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) { Want::Whole { bytes_max: limits.manifest_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let (mut name, mut version, mut expression, mut license) = (None, None, None, None);
        // Headers as in a mail (RFC 822); an empty line ends them, a description may follow.
        for (_, line) in lines(file.content).take_while(|(_, line)| !line.is_empty()) {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let value = &line[colon + 1..];
            let field = match line[..colon].to_ascii_lowercase().as_slice() {
                b"name" => &mut name,
                b"version" => &mut version,
                b"license-expression" => &mut expression,
                b"license" => &mut license,
                _ => continue,
            };
            *field = field.or(Some(value));
        }
        let (Some(name), Some(version)) = (name.and_then(field), version.and_then(field)) else {
            return Err(Unread::malformed("Python metadata without a name or a version"));
        };
        let license = expression.and_then(field).or_else(|| license.and_then(field));
        let licenses =
            license.filter(|text| text.len() <= LICENSE_BYTES_MAX && text != "UNKNOWN").into_iter().collect();
        let key = PackageKey::new(PackageFormat::PyPi, normalise(&name), version);
        out.package(LayerPackage { key, place: Place { path: file.entry.path.clone(), line: None }, licenses });
        Ok(())
    }
}

/// Some packages put the whole text of a licence into the field.
const LICENSE_BYTES_MAX: usize = 100;

/// "Names and normalization" (PEP 503): lower case, and each run of `-`, `_` and `.` is one `-`.
pub(super) fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut in_run = false;
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !in_run {
                out.push('-');
            }
            in_run = true;
        } else {
            out.extend(c.to_lowercase());
            in_run = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn python_metadata_is_read() {
        let wheel =
            "Metadata-Version: 2.1\nName: Zope.Interface__x\nVersion: 5.0\nLicense: ZPL 2.1\n\nName: not this\n";
        check(
            "usr/lib/python3/site-packages/z-5.0.dist-info/METADATA",
            wheel,
            &["pkg:pypi/zope-interface-x@5.0 ZPL 2.1"],
        );
        let egg = "Metadata-Version: 1.0\r\nName: six\r\nVersion: 1.16.0\r\nLicense: UNKNOWN\r\n";
        check("a/six-1.16.0.egg-info", egg, &["pkg:pypi/six@1.16.0"]);
        check("a/six.egg-info/PKG-INFO", egg, &["pkg:pypi/six@1.16.0"]);
        check("a/METADATA", egg, &["not wanted"]);
    }

    #[test]
    fn python_metadata_without_version_is_a_gap() {
        check("a/x.dist-info/METADATA", "Name: x\n", &["gap malformed: Python metadata without a name or a version"]);
    }
}
