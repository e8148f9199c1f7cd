//! May a pipeline go on?

use crate::build::{digest, finding, policies, secret, time, vulnerability};
use model::{Finding, FindingKind, FindingStatus, Gap, GapReason, Severity};
use policy::{GateInput, GateResult, gate};

fn run(findings: &[Finding], gaps: &[Gap], toml: Option<&str>, fail_on: Option<Severity>, on_gap: bool) -> GateResult {
    let policies = toml.map(policies);
    gate(&GateInput {
        host: "docker.io",
        repository: "library/alpine",
        tags: &["3.10".to_owned()],
        digest: digest(1),
        diff_ids: &[digest(2)],
        findings,
        gaps,
        policies: policies.as_ref(),
        fail_on,
        fail_on_gap: on_gap,
        now: time("2026-01-05T00:00:00Z"),
    })
}

#[test]
fn findings_alone_never_fail() {
    let gap = Gap { scope: "image".to_owned(), detector: None, reason: GapReason::UnknownOs, detail: "d".to_owned() };
    let result = run(&[vulnerability("CVE-1", "x", Severity::Critical)], &[gap], None, None, false);
    assert!(result.passes() && result.notes.is_empty());
}

#[test]
fn thresholds_count_affected_vulnerabilities_and_every_other_finding() {
    let with = |status| Finding { status, ..vulnerability("CVE-1", "x", Severity::High) };
    let check = |finding: Finding, threshold: Severity, expect: bool| {
        let found = run(std::slice::from_ref(&finding), &[], None, Some(threshold), false).passes();
        assert_eq!(found, expect, "{finding:?} {threshold}");
    };
    check(with(FindingStatus::Affected), Severity::High, false);
    check(with(FindingStatus::Affected), Severity::Critical, true);
    check(with(FindingStatus::WillNotFix), Severity::High, false);
    check(with(FindingStatus::Deferred), Severity::Low, false);
    check(with(FindingStatus::Undecided), Severity::Low, true);
    check(with(FindingStatus::NotAffected), Severity::Low, true);
    check(with(FindingStatus::Fixed), Severity::Unknown, true);
    check(secret("k", "etc/k", Severity::Medium), Severity::Medium, false);
    check(finding(FindingKind::Compliance, "cis-docker-4.6", Severity::Low), Severity::Low, false);
    check(finding(FindingKind::Misconfiguration, "x", Severity::Negligible), Severity::Low, true);
    check(vulnerability("CVE-1", "x", Severity::Unknown), Severity::Critical, false);
    check(vulnerability("CVE-1", "x", Severity::Negligible), Severity::Unknown, false);
}

#[test]
fn an_unknown_severity_counts_as_met_and_is_told() {
    let findings = [vulnerability("CVE-1", "x", Severity::Unknown), vulnerability("CVE-2", "x", Severity::Low)];
    let result = run(&findings, &[], None, Some(Severity::High), false);
    assert_eq!(result.notes, ["1 finding of unknown severity counted as high or worse"]);
    assert_eq!(result.reasons.len(), 1);
    assert!(result.reasons[0].starts_with("--fail-on high: 1 finding at or above it"), "{:?}", result.reasons);
}

#[test]
fn gaps_fail_only_when_asked() {
    let gap = |detail: &str| Gap {
        scope: "alpine 3.20".to_owned(),
        detector: None,
        reason: GapReason::NoAdvisories,
        detail: detail.to_owned(),
    };
    let gaps = [gap("no advisories for alpine 3.20"), gap("other")];
    assert!(run(&[], &gaps, None, None, false).passes());
    let result = run(&[], &gaps, None, None, true);
    assert_eq!(result.reasons, ["2 gaps: no advisories for alpine 3.20 (no-advisories)"]);
    assert!(run(&[], &[], None, None, true).passes());
}

#[test]
fn policies_fail_by_their_action() {
    let findings = [vulnerability("CVE-1", "x", Severity::High)];
    let of = |action: &str| {
        format!("[[policies]]\nid='p'\nname='P'\nkind='vulnerabilities'\naction='{action}'\nscope={{tags=['3.*']}}\n")
    };
    let check = |action: &str, passes: bool, issues: usize| {
        let result = run(&findings, &[], Some(&of(action)), None, false);
        assert_eq!((result.passes(), result.issues.len()), (passes, issues), "{action}");
    };
    check("ignore", true, 0);
    check("issue", true, 1);
    check("fail", false, 1);
    check("block", false, 1);
    let trust = "[[policies]]\nid='t'\nname='T'\nkind='trusted-images'\naction='block'\ntrusted={repositories=['docker.io/library/*']}";
    assert!(run(&[], &[], Some(trust), None, false).passes());
    let strict = trust.replace("library", "other");
    let result = run(&[], &[], Some(&strict), None, false);
    assert!(!result.passes());
    assert_eq!(result.untrusted.len(), 1);
}
