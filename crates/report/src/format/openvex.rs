//! OpenVEX 0.2.0 (<https://github.com/openvex/spec>): one statement per image, vulnerability and package.
//!
//! Not here: findings without a vulnerability. A document about images without vulnerabilities has an empty list of
//! statements, which the schema does not foresee: there is nothing to state, and a statement that nobody made would be
//! worse. Invariant: what could not be decided is under investigation, never "not affected".

use super::RenderOptions;
use super::node::{Node, Object};
use super::subject::{self, PROGRAM};
use crate::scan::{ReportFinding, ScanReport};
use model::{FindingKind, FindingStatus};

/// Writes the document.
pub(super) fn document(reports: &[ScanReport], options: &RenderOptions) -> String {
    let first = super::only(reports);
    let statements = reports.iter().flat_map(|report| {
        report.findings_of(FindingKind::Vulnerability).map(|finding| statement(report, finding).into())
    });
    Object::new()
        .set("@context", "https://openvex.dev/ns/v0.2.0")
        .set("@id", format!("urn:uuid:{}", subject::uuid(first)))
        .set("author", PROGRAM)
        .set("role", "Vulnerability scanner")
        .set("timestamp", subject::judged(first, options))
        .set("version", 1_u32)
        .set("tooling", format!("{PROGRAM} {}", subject::version(first)))
        .set("statements", statements.collect::<Vec<Node>>())
        .text(options.pretty)
}

fn statement(report: &ScanReport, finding: &ReportFinding) -> Object {
    let vulnerability = Object::new().set("name", finding.id.as_str()).set_list("aliases", finding.aliases.iter());
    let inner = finding.package.as_ref().map(|package| Object::new().set("@id", package.purl.as_str()));
    let product = Object::new().set("@id", subject::image_iri(report)).set_list("subcomponents", inner);
    let statement = Object::new().set("vulnerability", vulnerability).set("products", vec![Node::from(product)]);
    match subject::status(finding) {
        Some(FindingStatus::Affected | FindingStatus::WillNotFix | FindingStatus::Deferred) => statement
            .set("status", "affected")
            .set("status_notes", finding.because.as_str())
            .set("action_statement", finding.remediation.as_str()),
        Some(FindingStatus::Fixed) => statement.set("status", "fixed").set("status_notes", finding.because.as_str()),
        Some(FindingStatus::NotAffected) => {
            statement.set("status", "not_affected").set("impact_statement", finding.because.as_str())
        }
        Some(FindingStatus::Undecided) | None => {
            statement.set("status", "under_investigation").set("status_notes", finding.because.as_str())
        }
    }
}
