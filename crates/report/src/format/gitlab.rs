//! GitLab's container-scanning report (security-report-schemas 15.0, `container-scanning-report-format.json`).
//!
//! Not here: findings that are not about a package; the schema asks every row for one. Invariant: what could not be seen,
//! and what was found and does not fit, are messages of the scan.

use super::RenderOptions;
use super::node::{Node, Object};
use super::subject::{self, PROGRAM};
use crate::scan::{ReportFinding, ReportFindingPackage, ScanReport};
use crate::text::shortened;

/// The version of the schema that is written.
const SCHEMA: &str = "15.0.2";

/// Writes the report.
pub(super) fn document(report: &ScanReport, options: &RenderOptions) -> String {
    let time = subject::judged(report, options);
    let time = time.trim_end_matches('Z');
    let tool = || {
        Object::new()
            .set("id", PROGRAM)
            .set("name", "Pratique")
            .set("version", subject::version(report))
            .set("vendor", Object::new().set("name", "Pratique"))
    };
    let scan = Object::new()
        .set("analyzer", tool())
        .set("scanner", tool())
        .set("type", "container_scanning")
        .set("start_time", time)
        .set("end_time", time)
        .set("status", "success")
        .set("messages", messages(report));
    let rows = report.findings.iter().filter(|finding| subject::is_open(finding));
    let rows = rows.filter_map(|finding| Some(vulnerability(report, finding, finding.package.as_ref()?).into()));
    Object::new()
        .set("version", SCHEMA)
        .set("scan", scan)
        .set("vulnerabilities", rows.collect::<Vec<Node>>())
        .set("remediations", Vec::new())
        .text(options.pretty)
}

fn messages(report: &ScanReport) -> Vec<Node> {
    let message = |level: &'static str, text: String| Object::new().set("level", level).set("value", text).into();
    let gaps = report.gaps.iter().map(|gap| message("warn", subject::gap_text(gap)));
    let not_run = report.statistics.not_run.iter().map(|name| message("info", subject::not_run_text(name)));
    let others = report.findings.iter().filter(|finding| finding.package.is_none() && subject::is_open(finding));
    let others = others.map(|finding| {
        let place = subject::places_text(finding);
        message("warn", format!("{} {} ({}): {} {place}", finding.kind, finding.id, finding.severity, finding.title))
    });
    gaps.chain(not_run).chain(others).collect()
}

fn vulnerability(report: &ScanReport, finding: &ReportFinding, package: &ReportFindingPackage) -> Object {
    let identifiers = std::iter::once(&finding.id).chain(&finding.aliases).map(|id| identifier(id));
    let dependency = Object::new()
        .set("package", Object::new().set("name", package.name.as_str()))
        .set("version", package.version.as_str());
    let system = report.os.as_ref().map_or_else(|| "unknown".to_owned(), |os| format!("{} {}", os.id, os.version));
    let location = Object::new()
        .set("dependency", dependency)
        .set("operating_system", system.trim())
        .set("image", report.image.reference.as_str());
    Object::new()
        .set("id", id(report, finding, package))
        .set("name", shortened(&finding.title, 255))
        .set("description", format!("{} ({})", finding.because, finding.status.replace('_', " ")))
        .set("severity", severity(finding))
        .set("solution", shortened(&finding.remediation, 7000))
        .set("identifiers", identifiers.map(Node::from).collect::<Vec<_>>())
        .set_list("links", subject::page(finding).map(|url| Object::new().set("url", url)))
        .set("location", location)
}

fn severity(finding: &ReportFinding) -> &'static str {
    match finding.severity.as_str() {
        "critical" => "Critical",
        "high" => "High",
        "medium" => "Medium",
        "low" => "Low",
        "negligible" => "Info",
        _ => "Unknown",
    }
}

fn identifier(id: &str) -> Object {
    let kind = id.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let kind = if kind.is_empty() { PROGRAM.to_owned() } else { kind };
    Object::new().set("type", kind).set("name", id).set("value", id).set_some("url", subject::id_page(id))
}

/// A UUID that names the row: the same vulnerability in the same package of the same image keeps it.
fn id(report: &ScanReport, finding: &ReportFinding, package: &ReportFindingPackage) -> String {
    subject::uuid_of(&format!("{}\0{}\0{}", report.image.reference, finding.id, package.purl))
}
