//! SARIF 2.1.0 (OASIS): findings for code hosts and editors.
//!
//! Invariant: one run per image; every open finding is a result of kind `fail`; what could not be seen is a notification
//! of the run, so that a run without results still says what it did not look at.

use super::RenderOptions;
use super::node::{Node, Object};
use super::subject::{self, PROGRAM};
use crate::scan::{ReportEvidence, ReportFinding, ScanReport};
use std::collections::BTreeMap;

/// A rule's findings are shown with the worst score that any of them has.
struct Rule<'a> {
    finding: &'a ReportFinding,
    score: f64,
}

/// Places of one finding that are listed; the message says how many there are.
const PLACES_MAX: usize = 50;

/// Writes one run per image.
pub(super) fn document(reports: &[ScanReport], options: &RenderOptions) -> String {
    Object::new()
        .set("$schema", "https://json.schemastore.org/sarif-2.1.0.json")
        .set("version", "2.1.0")
        .set("runs", reports.iter().map(|report| run(report).into()).collect::<Vec<Node>>())
        .text(options.pretty)
}

fn run(report: &ScanReport) -> Object {
    let mut rules: BTreeMap<&str, Rule<'_>> = BTreeMap::new();
    for finding in &report.findings {
        let found = score(finding);
        let rule = rules.entry(&finding.id).or_insert(Rule { finding, score: found });
        rule.score = rule.score.max(found);
    }
    let positions: BTreeMap<&str, u64> = rules.keys().copied().zip(0..).collect();
    let results = report.findings.iter().map(|finding| result(report, finding, positions[finding.id.as_str()]));
    let results: Vec<Node> = results.map(Node::from).collect();
    let driver = Object::new()
        .set("name", PROGRAM)
        .set("version", subject::version(report))
        .set("rules", rules.values().map(|found| rule(found).into()).collect::<Vec<Node>>());
    let gaps = report.gaps.iter().map(|gap| {
        let descriptor = Object::new().set("id", gap.reason.as_str());
        notification(&subject::gap_text(gap), "warning").set("descriptor", descriptor)
    });
    let not_run = report.statistics.not_run.iter();
    let not_run = not_run.map(|name| notification(&subject::not_run_text(name), "note"));
    let invocation =
        Object::new().set("executionSuccessful", true).set_list("toolExecutionNotifications", gaps.chain(not_run));
    let properties = Object::new()
        .set("reference", report.image.reference.as_str())
        .set_some("digest", report.image.digest.as_deref())
        .set("platform", report.image.platform.as_str());
    let automation = Object::new().set("id", format!("{}/{}/", report.image.reference, report.image.platform));
    Object::new()
        .set("tool", Object::new().set("driver", driver))
        .set("automationDetails", automation)
        .set("invocations", vec![Node::from(invocation)])
        .set("columnKind", "utf16CodeUnits")
        .set("results", results)
        .set("properties", properties)
}

fn notification(text: &str, level: &'static str) -> Object {
    Object::new().set("level", level).set("message", Object::new().set("text", text))
}

fn rule(rule: &Rule<'_>) -> Object {
    let finding = rule.finding;
    let short = format!("{}: {}", finding.id, finding.title);
    let properties = Object::new()
        .set("tags", vec![Node::from("security"), Node::from(finding.kind.as_str())])
        .set("security-severity", format!("{:.1}", rule.score));
    Object::new()
        .set("id", finding.id.as_str())
        .set("shortDescription", Object::new().set("text", short))
        .set_some("helpUri", subject::page(finding))
        .set("help", Object::new().set("text", finding.remediation.as_str()))
        .set("defaultConfiguration", Object::new().set("level", level(finding)))
        .set("properties", properties)
}

/// The CVSS base score, else the middle of the severity's range, 0.0 to 10.0: GitHub sorts by it.
fn score(finding: &ReportFinding) -> f64 {
    let told = finding.vulnerability.as_ref().and_then(|detail| detail.cvss.first()).map(|cvss| cvss.score);
    told.unwrap_or(match finding.severity.as_str() {
        "critical" => 9.5,
        "high" => 8.0,
        "medium" => 5.5,
        "low" => 2.0,
        _ => 0.0,
    })
}

fn level(finding: &ReportFinding) -> &'static str {
    match finding.severity.as_str() {
        "critical" | "high" => "error",
        "medium" => "warning",
        _ => "note",
    }
}

fn result(report: &ScanReport, finding: &ReportFinding, rule: u64) -> Object {
    let open = subject::is_open(finding);
    let mut places: Vec<Node> =
        finding.evidence.iter().take(PLACES_MAX).map(|e| location(report, Some(e)).into()).collect();
    if places.is_empty() {
        places.push(location(report, None).into());
    }
    let package = finding.package.as_ref();
    let key = [&finding.kind, &finding.id, package.map_or(&finding.title, |p| &p.purl)].map(String::as_str).join("|");
    let place = finding.evidence.first().filter(|_| package.is_none()).map(subject::place_text).unwrap_or_default();
    let properties = Object::new()
        .set("kind", finding.kind.as_str())
        .set("severity", finding.severity.as_str())
        .set("status", finding.status.as_str())
        .set_some("purl", package.map(|p| p.purl.as_str()))
        .set_list("fixedVersions", finding.fixed_versions.iter())
        .set_list("aliases", finding.aliases.iter());
    Object::new()
        .set("ruleId", finding.id.as_str())
        .set("ruleIndex", rule)
        .set("kind", if open { "fail" } else { "notApplicable" })
        .set("level", if open { level(finding) } else { "none" })
        .set("message", Object::new().set("text", message(finding)))
        .set("locations", places)
        .set("partialFingerprints", Object::new().set("pratiqueFinding/v1", format!("{key}|{place}")))
        .set("properties", properties)
}

fn message(finding: &ReportFinding) -> String {
    let what = match &finding.package {
        Some(package) => format!("{} {}: {}", package.name, package.version, finding.title),
        None => finding.title.clone(),
    };
    let hidden = finding.evidence.len().saturating_sub(PLACES_MAX);
    let more = if hidden > 0 { format!(" {hidden} more places.") } else { String::new() };
    format!(
        "{what} ({}, {}). {}.{more} {}",
        finding.severity,
        finding.status.replace('_', " "),
        finding.because,
        finding.remediation
    )
}

/// A file in the image, or the image itself for what is in no file.
fn location(report: &ScanReport, evidence: Option<&ReportEvidence>) -> Object {
    let path = evidence.and_then(|evidence| evidence.path.as_deref());
    let uri = path.map_or_else(|| uri(&report.image.reference), uri);
    let region = evidence.and_then(|evidence| evidence.line).filter(|line| *line > 0);
    let region = region.map(|line| Object::new().set("startLine", line));
    let physical = Object::new().set("artifactLocation", Object::new().set("uri", uri)).set_some("region", region);
    let text = evidence.map_or_else(|| "the image as a whole".to_owned(), subject::place_text);
    Object::new().set("physicalLocation", physical).set("message", Object::new().set("text", text))
}

/// A relative URI (RFC 3986, section 4.2): everything that is not plain is percent-encoded, so that no file name is
/// taken for a scheme or a host.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    let relative = out.trim_start_matches('/');
    if relative.is_empty() { "image".to_owned() } else { relative.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_relative_uris() {
        let check = |path: &str, expect: &str| assert_eq!(uri(path), expect);
        check("lib/apk/db/installed", "lib/apk/db/installed");
        check("a b:c?d#e", "a%20b%3Ac%3Fd%23e");
        check("//evil.example/x", "evil.example/x");
        check("", "image");
    }
}
