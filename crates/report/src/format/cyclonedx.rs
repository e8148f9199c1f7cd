//! CycloneDX 1.6, JSON (ECMA-424; <https://cyclonedx.org/docs/1.6/json/>): a bill of materials of the image.
//!
//! Not here: secrets, malware, configuration; the format has no words for them. Invariant: what could not be seen stands
//! in the document, as properties of the metadata and as an incomplete composition; when vulnerabilities were not
//! looked for there is no list of them, not an empty one.

use super::RenderOptions;
use super::license::{self, License};
use super::node::{Node, Object};
use super::subject::{self, PROGRAM};
use crate::scan::{ReportCvss, ReportFinding, ReportPackage, ScanReport};
use model::{FindingKind, FindingStatus};

/// `bom-ref` of the image.
const IMAGE: &str = "image";
/// `bom-ref` of the operating system.
const SYSTEM: &str = "operating-system";

/// Writes the bill of materials.
pub(super) fn document(report: &ScanReport, options: &RenderOptions) -> String {
    let mut components = Vec::new();
    components.extend(system(report));
    components.extend(report.packages.iter().map(|package| component(report, package)));
    let inside = report.os.iter().map(|_| SYSTEM).chain(report.packages.iter().map(|p| p.purl.as_str()));
    let depends = Object::new().set("ref", IMAGE).set_list("dependsOn", inside);
    let document = Object::new()
        .set("$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json")
        .set("bomFormat", "CycloneDX")
        .set("specVersion", "1.6")
        .set("serialNumber", format!("urn:uuid:{}", subject::uuid(report)))
        .set("version", 1_u32)
        .set("metadata", metadata(report, options))
        .set("components", components)
        .set("dependencies", vec![Node::from(depends)])
        .set("compositions", vec![composition(report)]);
    let document = if subject::looked_for(report, "vulnerabilities") {
        let rows = report.findings_of(FindingKind::Vulnerability).enumerate();
        document.set("vulnerabilities", rows.map(|(at, row)| vulnerability(at, row)).collect::<Vec<_>>())
    } else {
        document
    };
    document.text(options.pretty)
}

fn metadata(report: &ScanReport, options: &RenderOptions) -> Object {
    let tool = Object::new().set("type", "application").set("name", PROGRAM).set("version", subject::version(report));
    let tools = Object::new().set("components", vec![Node::from(tool)]);
    let gaps = report.gaps.iter().map(|gap| {
        let text = serde_json::to_string(gap).expect("a gap has only strings");
        property("pratique:gap", text)
    });
    let not_run = report.statistics.not_run.iter().map(|name| property("pratique:not-run", name.as_str()));
    Object::new()
        .set("timestamp", subject::created(report, options))
        .set("tools", tools)
        .set("component", image(report))
        .set_list("properties", gaps.chain(not_run))
}

fn image(report: &ScanReport) -> Object {
    let image = &report.image;
    let identity = subject::identity(image).map(|digest| digest.to_string());
    let hash = image
        .digest
        .as_deref()
        .and_then(|digest| digest.strip_prefix("sha256:"))
        .map(|hex| Object::new().set("alg", "SHA-256").set("content", hex));
    let mut properties = vec![property("pratique:platform", image.platform.as_str())];
    properties.extend(image.config_digest.as_deref().map(|digest| property("pratique:config-digest", digest)));
    if let Some(base) = &image.base {
        properties.extend(base.name.as_deref().map(|name| property("pratique:base:name", name)));
        properties.extend(base.digest.as_deref().map(|digest| property("pratique:base:digest", digest)));
        properties.push(property("pratique:base:layers", base.layers.to_string()));
        properties.push(property("pratique:base:source", base.source.as_str()));
    }
    for layer in &image.layers {
        let told = layer.instruction.as_deref().unwrap_or_default();
        let text = format!("{} {} {} {told}", layer.index, layer.diff_id, layer.blob_digest);
        properties.push(property("pratique:layer", text.trim_end()));
    }
    Object::new()
        .set("type", "container")
        .set("bom-ref", IMAGE)
        .set("name", image.reference.as_str())
        .set_some("version", identity)
        .set_list("hashes", hash)
        .set_some("purl", subject::image_purl(image).map(|purl| purl.as_str().to_owned()))
        .set("properties", properties)
}

fn system(report: &ScanReport) -> Option<Node> {
    let os = report.os.as_ref()?;
    let component = Object::new()
        .set("type", "operating-system")
        .set("bom-ref", SYSTEM)
        .set("name", os.id.as_str())
        .set_some("version", Some(os.version.as_str()).filter(|version| !version.is_empty()))
        .set("description", os.name.as_str());
    Some(component.into())
}

fn component(report: &ScanReport, package: &ReportPackage) -> Node {
    let (group, name) = split(package);
    let mut properties = Vec::new();
    if let Some(source) = &package.source {
        properties.push(property("pratique:source:name", source.name.as_str()));
        properties.push(property("pratique:source:version", source.version.as_str()));
    }
    properties.extend(package.ecosystem.as_deref().map(|name| property("pratique:ecosystem", name)));
    let occurrences = package.locations.iter().filter_map(|location| {
        let context = location.layer.map(|index| subject::layer_text(report, index));
        let path = location.path.as_deref()?;
        Some(Object::new().set("location", path).set_some("additionalContext", context))
    });
    let occurrences: Vec<Node> = occurrences.map(Node::from).collect();
    let evidence = (!occurrences.is_empty()).then(|| Object::new().set("occurrences", occurrences));
    Object::new()
        .set("type", "library")
        .set("bom-ref", package.purl.as_str())
        .set_some("group", group)
        .set("name", name)
        .set("version", package.version.as_str())
        .set_list("licenses", licenses(&package.licenses))
        .set("purl", package.purl.as_str())
        .set_some("evidence", evidence)
        .set_list("properties", properties)
        .into()
}

/// Namespaces of language packages are groups of their own: `@babel` and `core`.
fn split(package: &ReportPackage) -> (Option<&str>, &str) {
    let separator = match package.purl.split('/').next() {
        Some("pkg:maven") => ':',
        Some("pkg:npm" | "pkg:golang" | "pkg:composer") => '/',
        Some(_) | None => return (None, &package.name),
    };
    match package.name.rsplit_once(separator) {
        Some((group, name)) if !group.is_empty() && !name.is_empty() => (Some(group), name),
        Some(_) | None => (None, &package.name),
    }
}

/// Either one expression, or any number of ids and names: the schema takes no mixture.
fn licenses(found: &[String]) -> Vec<Node> {
    if let [only] = found
        && let License::Expression(text) = license::read(only)
    {
        return vec![Object::new().set("expression", text).into()];
    }
    let one = |text: &String| {
        let inner = match license::read(text) {
            License::Id(id) => Object::new().set("id", id),
            License::Expression(name) | License::Name(name) => Object::new().set("name", name),
        };
        Object::new().set("license", inner).into()
    };
    found.iter().filter(|text| !text.trim().is_empty()).map(one).collect()
}

/// Complete unless something that packages could be in was not seen.
fn composition(report: &ScanReport) -> Node {
    let matters = |detector: &Option<String>| detector.as_deref().is_none_or(|d| d == "packages" || d == "files");
    let incomplete = !subject::looked_for(report, "packages") || report.gaps.iter().any(|gap| matters(&gap.detector));
    let aggregate = if incomplete { "incomplete" } else { "complete" };
    Object::new().set("aggregate", aggregate).set("assemblies", vec![Node::from(IMAGE)]).into()
}

fn vulnerability(at: usize, finding: &ReportFinding) -> Node {
    let detail = finding.vulnerability.as_ref();
    let advisories = detail.into_iter().flat_map(|detail| &detail.advisories);
    let pages: Vec<&str> = advisories.clone().filter_map(|a| a.url.as_deref()).filter(|u| subject::is_web(u)).collect();
    let source = advisories.clone().next().map(|advisory| Object::new().set("name", advisory.feed.as_str()));
    let references = finding
        .aliases
        .iter()
        .map(|alias| Object::new().set("id", alias.as_str()).set("source", Object::new().set("name", "alias")));
    let affects = finding.package.as_ref().map(|package| {
        let installed = Object::new().set("version", package.version.as_str()).set("status", installed(finding));
        let fixed = finding.fixed_versions.iter();
        let fixed = fixed.map(|version| Object::new().set("version", version.as_str()).set("status", "unaffected"));
        let versions: Vec<Node> = std::iter::once(installed).chain(fixed).map(Node::from).collect();
        Object::new().set("ref", package.purl.as_str()).set("versions", versions)
    });
    let mut properties = vec![property("pratique:status", finding.status.as_str())];
    if let Some(detail) = detail {
        properties.extend(detail.epss.map(|epss| property("pratique:epss", epss.to_string())));
        properties
            .extend(detail.kev.as_ref().map(|kev| property("pratique:known-exploited-since", kev.added.as_str())));
    }
    Object::new()
        .set("bom-ref", format!("vulnerability-{at}"))
        .set("id", finding.id.as_str())
        .set_some("source", source)
        .set_list("references", references)
        .set("ratings", ratings(finding))
        .set("description", finding.title.as_str())
        .set("detail", finding.because.as_str())
        .set("recommendation", finding.remediation.as_str())
        .set_list("advisories", pages.into_iter().map(|url| Object::new().set("url", url)))
        .set_some("published", detail.and_then(|detail| detail.published.as_deref()))
        .set_some("analysis", analysis(finding))
        .set_list("affects", affects)
        .set("properties", properties)
        .into()
}

fn installed(finding: &ReportFinding) -> &'static str {
    match subject::status(finding) {
        Some(FindingStatus::Affected | FindingStatus::WillNotFix | FindingStatus::Deferred) => "affected",
        Some(FindingStatus::NotAffected | FindingStatus::Fixed) => "unaffected",
        Some(FindingStatus::Undecided) | None => "unknown",
    }
}

/// Only what was decided: that a package is affected does not make its vulnerability exploitable.
fn analysis(finding: &ReportFinding) -> Option<Object> {
    let state = |state: &'static str| Object::new().set("state", state);
    match subject::status(finding)? {
        FindingStatus::Undecided => Some(state("in_triage")),
        FindingStatus::NotAffected => Some(state("not_affected")),
        FindingStatus::Fixed => Some(state("resolved")),
        FindingStatus::WillNotFix => Some(Object::new().set("response", vec![Node::from("will_not_fix")])),
        FindingStatus::Affected | FindingStatus::Deferred => None,
    }
}

fn ratings(finding: &ReportFinding) -> Vec<Node> {
    let severity = match finding.severity.as_str() {
        "negligible" => "info",
        other => other,
    };
    let source = Object::new().set("name", finding.severity_source.as_str());
    let rating = Object::new().set("source", source).set("severity", severity);
    let scores = finding.vulnerability.iter().flat_map(|detail| &detail.cvss);
    std::iter::once(rating).chain(scores.map(score)).map(Node::from).collect()
}

fn score(cvss: &ReportCvss) -> Object {
    let method = match cvss.vector.split('/').next() {
        Some("CVSS:4.0") => "CVSSv4",
        Some("CVSS:3.1") => "CVSSv31",
        Some("CVSS:3.0") => "CVSSv3",
        Some(_) | None => "CVSSv2",
    };
    Object::new().set("score", cvss.score).set("method", method).set("vector", cvss.vector.as_str())
}

fn property(name: &'static str, value: impl Into<String>) -> Node {
    Object::new().set("name", name).set("value", value.into()).into()
}
