//! SPDX 2.3, JSON (<https://spdx.github.io/spdx-spec/v2.3/>): a bill of materials of the image.
//!
//! Not here: findings; SPDX 2.3 has no words for them. Invariant: what could not be seen stands in the document as
//! annotations of the image; every licence field holds a valid expression, with what is none kept as extracted text.

use super::RenderOptions;
use super::license::{self, License};
use super::node::{Node, Object};
use super::subject::{self, PROGRAM};
use crate::scan::{ReportPackage, ScanReport};
use std::collections::BTreeMap;

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";

/// Writes the bill of materials.
pub(super) fn document(report: &ScanReport, options: &RenderOptions) -> String {
    let page = Page { report, date: subject::created(report, options), extracted: extracted(report) };
    let uuid = subject::uuid(report);
    let creation = Object::new()
        .set("created", page.date.as_str())
        .set("creators", vec![Node::from(format!("Tool: {PROGRAM}-{}", subject::version(report)))]);
    let system = page.system();
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    relationships.extend(system.iter().map(|_| relationship(IMAGE, "CONTAINS", SYSTEM)));
    relationships.extend((0..report.packages.len()).map(|at| relationship(IMAGE, "CONTAINS", &id(at))));
    let packages = report.packages.iter().enumerate().map(|(at, package)| page.package(at, package));
    let packages: Vec<Node> = std::iter::once(page.image()).chain(system).chain(packages).collect();
    Object::new()
        .set("spdxVersion", "SPDX-2.3")
        .set("dataLicense", "CC0-1.0")
        .set("SPDXID", DOCUMENT)
        .set("name", report.image.reference.as_str())
        .set("documentNamespace", format!("https://spdx.org/spdxdocs/{PROGRAM}-{uuid}"))
        .set("creationInfo", creation)
        .set("packages", packages)
        .set("relationships", relationships)
        .set_list("hasExtractedLicensingInfos", page.extracted_infos())
        .text(options.pretty)
}

struct Page<'a> {
    report: &'a ScanReport,
    date: String,
    /// Licence texts that are no expressions, with the reference that stands for each.
    extracted: BTreeMap<&'a str, String>,
}

/// Numbers the licences that are no expressions, in the order of their texts.
fn extracted(report: &ScanReport) -> BTreeMap<&str, String> {
    let texts = report.packages.iter().flat_map(|package| &package.licenses);
    let names = texts.filter_map(|text| match license::read(text) {
        License::Name(name) if !name.is_empty() => Some(name),
        License::Name(_) | License::Id(_) | License::Expression(_) => None,
    });
    let mut out: BTreeMap<&str, String> = names.map(|name| (name, String::new())).collect();
    for (at, reference) in out.values_mut().enumerate() {
        *reference = format!("LicenseRef-{}", at + 1);
    }
    out
}

fn id(at: usize) -> String {
    format!("SPDXRef-Package-{}", at + 1)
}

fn relationship(from: &str, kind: &'static str, to: &str) -> Node {
    Object::new().set("spdxElementId", from).set("relationshipType", kind).set("relatedSpdxElement", to).into()
}

/// The fields that every package has to have.
fn package(name: &str, id: &str, version: Option<&str>) -> Object {
    Object::new()
        .set("name", name)
        .set("SPDXID", id)
        .set_some("versionInfo", version.filter(|version| !version.is_empty()))
        .set("downloadLocation", "NOASSERTION")
        .set("filesAnalyzed", false)
}

fn purl(locator: &str) -> Node {
    Object::new()
        .set("referenceCategory", "PACKAGE-MANAGER")
        .set("referenceType", "purl")
        .set("referenceLocator", locator)
        .into()
}

impl Page<'_> {
    fn annotation(&self, comment: String) -> Node {
        Object::new()
            .set("annotationDate", self.date.as_str())
            .set("annotationType", "OTHER")
            .set("annotator", format!("Tool: {PROGRAM}-{}", subject::version(self.report)))
            .set("comment", comment)
            .into()
    }

    fn image(&self) -> Node {
        let image = &self.report.image;
        let version = subject::identity(image).map(|digest| digest.to_string());
        let checksum = image
            .digest
            .as_deref()
            .and_then(|digest| digest.strip_prefix("sha256:"))
            .map(|hex| Object::new().set("algorithm", "SHA256").set("checksumValue", hex));
        let gaps = self.report.gaps.iter().map(|gap| {
            let text = serde_json::to_string(gap).expect("a gap has only strings");
            self.annotation(format!("pratique:gap {text}"))
        });
        let not_run = self.report.statistics.not_run.iter();
        let not_run = not_run.map(|name| self.annotation(format!("pratique:not-run {name}")));
        let layers = image.layers.iter().map(|layer| {
            let told = layer.instruction.as_deref().unwrap_or_default();
            let text = format!("pratique:layer {} {} {} {told}", layer.index, layer.diff_id, layer.blob_digest);
            self.annotation(text.trim_end().to_owned())
        });
        let platform = self.annotation(format!("pratique:platform {}", image.platform));
        package(&image.reference, IMAGE, version.as_deref())
            .set("copyrightText", "NOASSERTION")
            .set("licenseConcluded", "NOASSERTION")
            .set("licenseDeclared", "NOASSERTION")
            .set("primaryPackagePurpose", "CONTAINER")
            .set_list("checksums", checksum)
            .set_list("externalRefs", subject::image_purl(image).map(|found| purl(found.as_str())))
            .set_list("annotations", gaps.chain(not_run).chain([platform]).chain(layers))
            .into()
    }

    fn system(&self) -> Option<Node> {
        let os = self.report.os.as_ref()?;
        let found = package(&os.id, SYSTEM, Some(&os.version))
            .set("copyrightText", "NOASSERTION")
            .set("licenseConcluded", "NOASSERTION")
            .set("licenseDeclared", "NOASSERTION")
            .set("primaryPackagePurpose", "OPERATING_SYSTEM")
            .set("summary", os.name.as_str());
        Some(found.into())
    }

    fn package(&self, at: usize, found: &ReportPackage) -> Node {
        let places: Vec<String> = found.locations.iter().map(subject::location_text).collect();
        let recorded = (!places.is_empty()).then(|| format!("recorded in: {}", places.join("; ")));
        let source = found
            .source
            .as_ref()
            .map(|source| self.annotation(format!("pratique:source {}@{}", source.name, source.version)));
        let locations = found.locations.iter().filter_map(|location| {
            let path = location.path.as_deref()?;
            let layer = location.layer.map(|index| format!(" {}", subject::layer_text(self.report, index)));
            Some(self.annotation(format!("pratique:location{} {path}", layer.unwrap_or_default())))
        });
        package(&found.name, &id(at), Some(&found.version))
            .set("copyrightText", "NOASSERTION")
            .set("licenseConcluded", "NOASSERTION")
            .set("licenseDeclared", self.declared(&found.licenses))
            .set_some("sourceInfo", recorded)
            .set("externalRefs", vec![purl(&found.purl)])
            .set_list("annotations", source.into_iter().chain(locations))
            .into()
    }

    /// One expression for all licences of a package.
    fn declared(&self, found: &[String]) -> String {
        let many = found.len() > 1;
        let parts = found.iter().filter_map(|text| match license::read(text) {
            License::Id(id) => Some(id.to_owned()),
            License::Expression(text) if many => Some(format!("({text})")),
            License::Expression(text) => Some(text.to_owned()),
            License::Name(name) => self.extracted.get(name).cloned(),
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { "NOASSERTION".to_owned() } else { parts.join(" AND ") }
    }

    fn extracted_infos(&self) -> Vec<Node> {
        let info = |(text, reference): (&&str, &String)| {
            Object::new().set("licenseId", reference.as_str()).set("extractedText", *text).set("name", *text).into()
        };
        self.extracted.iter().map(info).collect()
    }
}
