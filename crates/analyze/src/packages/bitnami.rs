//! Bitnami's images: an SPDX document per application, `opt/bitnami/NAME/.spdx-NAME.spdx`.
//!
//! Not here: SPDX in general. Of the document, what has a package URL of type `bitnami` is reported: the application
//! itself. What it was built from has no record of its own in Bitnami's advisories.
//!
//! Source: SPDX 2.3, JSON, "Package information"; purl specification, type `bitnami`.

use super::locked::{Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;

/// Reads `.spdx-*.spdx`.
pub(super) struct Bitnami;

/// Is this the document of one of Bitnami's applications?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let Some((b"opt/bitnami", name)) = path.strip_suffix(b".spdx").and_then(split_document) else { return false };
    !name.is_empty()
}

/// `opt/bitnami/NAME/.spdx-REST` → `opt/bitnami` and `REST`.
fn split_document(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memrchr(b'/', path)?;
    let name = path[slash + 1..].strip_prefix(b".spdx-")?;
    Some((&path[..memchr::memrchr(b'/', &path[..slash])?], name))
}

#[derive(Deserialize)]
struct Document {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    name: String,
    version_info: Option<String>,
    license_declared: Option<String>,
    #[serde(default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_locator: String,
}

impl Analyzer for Bitnami {
    fn id(&self) -> &'static str {
        "bitnami/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) { Want::Whole { bytes_max: limits.lockfile_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let document: Document = serde_json::from_slice(without_mark(file.content))
            .map_err(|error| Unread::malformed(format!("not an SPDX document: {error}")))?;
        let mut found = Locked::new(PackageFormat::Bitnami);
        for package in &document.packages {
            let is_bitnami = |reference: &Reference| reference.reference_locator.starts_with("pkg:bitnami/");
            if package.external_refs.iter().any(is_bitnami) {
                let told = package.license_declared.clone().filter(|text| text != "NOASSERTION" && text != "NONE");
                let licenses: Vec<String> = told.into_iter().collect();
                found.add_licensed(&package.name, package.version_info.as_deref().unwrap_or_default(), &licenses);
            }
        }
        found.push(file, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn bitnami_application_is_read() {
        let document = r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"redis","versionInfo":"7.0.5-1",
            "licenseDeclared":"BSD-3-Clause","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl",
            "referenceLocator":"pkg:bitnami/redis@7.0.5-1?arch=amd64&distro=debian-11"}]},
            {"name":"jemalloc","versionInfo":"5.1.0"}]}"#;
        check("opt/bitnami/redis/.spdx-redis.spdx", document, &["pkg:bitnami/redis@7.0.5-1 BSD-3-Clause"]);
        check("opt/bitnami/.spdx-redis.spdx", document, &["not wanted"]);
        check("srv/redis/.spdx-redis.spdx", document, &["not wanted"]);
        survives("opt/bitnami/redis/.spdx-redis.spdx", document.as_bytes());
    }
}
