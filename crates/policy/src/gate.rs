//! May a pipeline go on? The answer of `scan --policy`, `--fail-on` and `--fail-on-gap`.
//!
//! Not here: exit codes. Invariant: without a policy, a threshold or the wish to fail on gaps, everything passes.

use crate::{JudgedImage, RepositoryFacts, judge};
use model::issue::DesiredIssue;
use model::policy::PolicySet;
use model::{Digest, Finding, FindingKind, FindingStatus, Gap, Severity, Timestamp};
use std::sync::Arc;

/// One image, its findings, and what is asked of it.
#[derive(Debug, Clone)]
pub struct GateInput<'a> {
    /// The registry's host, `host[:port]`; also its instance name, as there is none.
    pub host: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// The tags that the user named.
    pub tags: &'a [String],
    /// Digest of the image manifest, or of the configuration where there is no manifest.
    pub digest: Digest,
    /// The layers' verified DiffIDs, lowest first.
    pub diff_ids: &'a [Digest],
    /// What is wrong.
    pub findings: &'a [Finding],
    /// What could not be seen.
    pub gaps: &'a [Gap],
    /// `--policy`.
    pub policies: Option<&'a PolicySet>,
    /// `--fail-on`.
    pub fail_on: Option<Severity>,
    /// `--fail-on-gap`.
    pub fail_on_gap: bool,
    /// The moment.
    pub now: Timestamp,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GateResult {
    /// Why it says no, one sentence each; empty when it says yes.
    pub reasons: Vec<String>,
    /// What a person should know beside that: unknown severities that counted as met, undecided ones that did not.
    pub notes: Vec<String>,
    /// The issues that the policies would raise.
    pub issues: Vec<DesiredIssue>,
    /// Untrusted-image findings of the policies.
    pub untrusted: Vec<Finding>,
}

impl GateResult {
    /// May the pipeline go on?
    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Judges one image for a pipeline.
pub fn gate(input: &GateInput<'_>) -> GateResult {
    let mut out = GateResult::default();
    if let Some(policies) = input.policies {
        by_policies(input, policies, &mut out);
    }
    if let Some(threshold) = input.fail_on {
        by_severity(input.findings, threshold, &mut out);
    }
    if input.fail_on_gap && !input.gaps.is_empty() {
        let first = &input.gaps[0];
        out.reasons.push(format!("{}: {} ({})", count(input.gaps.len(), "gap"), first.detail, first.reason));
    }
    out
}

fn by_policies(input: &GateInput<'_>, policies: &PolicySet, out: &mut GateResult) {
    let images = [JudgedImage {
        digest: input.digest,
        tags: input.tags.to_vec(),
        diff_ids: input.diff_ids.to_vec(),
        findings: Arc::from(input.findings),
        dismissed: Arc::default(),
        next_boundary: None,
    }];
    let judged = judge(&RepositoryFacts {
        registry: input.host,
        host: input.host,
        repository: input.repository,
        images: &images,
        policies,
        exceptions: &[],
        now: input.now,
    });
    for issue in judged.desired.iter().filter(|issue| issue.fails) {
        out.reasons.push(format!("policy {}: {}", issue.key.policy, about(&issue.finding, issue.severity)));
    }
    out.untrusted = judged.untrusted.into_values().flatten().collect();
    out.issues = judged.desired;
}

/// Fails on an affected vulnerability, or any other finding, at or above the threshold.
fn by_severity(findings: &[Finding], threshold: Severity, out: &mut GateResult) {
    let open: Vec<&Finding> = findings.iter().filter(|f| f.status.is_open()).collect();
    let (undecided, counted): (Vec<&Finding>, Vec<&Finding>) =
        open.into_iter().partition(|f| f.kind == FindingKind::Vulnerability && f.status == FindingStatus::Undecided);
    let met: Vec<&Finding> = counted.into_iter().filter(|f| f.severity.meets(threshold)).collect();
    let unknown = met.iter().filter(|f| f.severity == Severity::Unknown).count();
    if let Some(worst) = met.iter().min_by(|a, b| worst_first(a).cmp(&worst_first(b))) {
        let number = count(met.len(), "finding");
        out.reasons.push(format!(
            "--fail-on {threshold}: {number} at or above it, the first: {}",
            about(worst, worst.severity)
        ));
    }
    if unknown > 0 && threshold > Severity::Unknown {
        out.notes.push(format!("{} of unknown severity counted as {threshold} or worse", count(unknown, "finding")));
    }
    if !undecided.is_empty() {
        let number = count(undecided.len(), "vulnerability finding");
        out.notes.push(format!("{number} could not be decided and did not count"));
    }
}

fn worst_first(finding: &Finding) -> impl Ord + '_ {
    (std::cmp::Reverse(finding.severity), crate::finding::order(finding))
}

/// One line about a finding: severity, id, package.
fn about(finding: &Finding, severity: Severity) -> String {
    match &finding.package {
        Some(package) => format!("{severity} {} in {} {}", finding.id, package.name, package.version),
        None => format!("{severity} {}: {}", finding.id, finding.title),
    }
}

/// `1 gap`, `2 gaps`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
