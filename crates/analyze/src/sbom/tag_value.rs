//! SPDX 2 as tag-value (specification 2.3, clause 6 and 7): lines of `Tag: value`, packages begin with `PackageName`.
//!
//! Not here: files, snippets, licence texts; text between `<text>` and `</text>` may span lines and is passed over unless
//! it ends on its own line.

use super::collect::Collector;
use super::json::{Annotation, ExternalRef, SpdxPackage, note_version};
use super::lenient::Text;
use super::{Sbom, SbomFormat, SbomLimits, malformed};
use crate::Error;

/// Does it begin like a document? The version is the first tag.
pub(super) fn is_document(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(64 << 10)];
    String::from_utf8_lossy(start).lines().take(100).any(|line| line.trim_start().starts_with("SPDXVersion:"))
}

/// External references and annotations of one package that are kept.
const PARTS_MAX: usize = 1_000;

pub(super) fn read(bytes: &[u8], limits: &SbomLimits) -> Result<Sbom, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut collector = Collector::new(limits);
    let mut version = None;
    let mut package: Option<SpdxPackage> = None;
    let mut in_text = false;
    for line in text.lines() {
        if in_text {
            in_text = !line.contains("</text>");
            continue;
        }
        let Some((tag, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        in_text = value.starts_with("<text>") && !value.contains("</text>");
        let value = value.strip_prefix("<text>").and_then(|v| v.strip_suffix("</text>")).unwrap_or(value);
        match tag.trim() {
            "SPDXVersion" => version = value.strip_prefix("SPDX-").map(str::to_owned),
            "DocumentName" => collector.name = Some(value.chars().take(500).collect()),
            "Created" => collector.created = value.parse().ok(),
            "PackageName" => {
                end(package.take(), &mut collector);
                if collector.has_room() {
                    package = Some(SpdxPackage { name: kept(value), ..SpdxPackage::default() });
                }
            }
            tag => set(package.as_mut(), tag, value),
        }
    }
    end(package, &mut collector);
    let version = version.filter(|version| version.starts_with("2."));
    let version = version.ok_or_else(|| malformed("it is SPDX of a version other than 2"))?;
    note_version(&mut collector, SbomFormat::SpdxTagValue, &version, &["2.2", "2.3"]);
    Ok(collector.finish(SbomFormat::SpdxTagValue, version))
}

fn end(package: Option<SpdxPackage>, collector: &mut Collector) {
    if let Some(package) = package {
        package.take(collector);
    }
}

fn kept(value: &str) -> Text {
    Text((value.len() <= 4096).then(|| value.to_owned()))
}

fn set(package: Option<&mut SpdxPackage>, tag: &str, value: &str) {
    let Some(package) = package else { return };
    match tag {
        "PackageVersion" => package.version_info = kept(value),
        "PrimaryPackagePurpose" => package.primary_package_purpose = kept(value),
        "PackageLicenseDeclared" => package.license_declared = kept(value),
        "PackageLicenseConcluded" => package.license_concluded = kept(value),
        "PackageSummary" => package.summary = kept(value),
        "PackageSourceInfo" => package.source_info = kept(value),
        // Of the package when none was told yet: files and snippets that follow it have ids of their own.
        "SPDXID" if package.id.get().is_none() => package.id = kept(value),
        "ExternalRef" if package.external_refs.0.len() < PARTS_MAX => {
            let mut parts = value.split_whitespace().skip(1);
            let (kind, locator) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let found = ExternalRef { reference_type: kept(kind), reference_locator: kept(locator) };
            package.external_refs.0.push(found);
        }
        "AnnotationComment" if package.annotations.0.len() < PARTS_MAX => {
            package.annotations.0.push(Annotation { comment: kept(value) });
        }
        _ => {}
    }
}
