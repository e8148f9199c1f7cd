//! Possible secrets, rated: one row per rule and file.
//!
//! The severity is the rule's; an observation of low confidence is rated low at most, so that a threshold on severity
//! is also one on confidence.

use super::{ImageFacts, place_text};
use model::observation::{Confidence, ObservationKind, SecretFact};
use model::{Evidence, Finding, FindingKind, FindingStatus, LayerPath, Severity};
use std::collections::BTreeMap;

/// Where a secret stands, without the line.
type Spot<'a> = (&'a str, Option<u32>, Option<&'a LayerPath>, Option<&'a str>);

/// Adds the secret findings.
pub(super) fn add(facts: &ImageFacts<'_>, out: &mut Vec<Finding>) {
    let mut rows: BTreeMap<Spot<'_>, Vec<(&SecretFact, &Evidence)>> = BTreeMap::new();
    for observation in &facts.inventory.observations {
        let ObservationKind::Secret(secret) = &observation.kind else { continue };
        let evidence = &observation.evidence;
        let entry = if evidence.path.is_none() { evidence.history.as_deref() } else { None };
        rows.entry((&secret.rule, evidence.layer, evidence.path.as_ref(), entry)).or_default().push((secret, evidence));
    }
    out.extend(rows.into_values().map(|seen| finding(facts, &seen)));
}

fn finding(facts: &ImageFacts<'_>, seen: &[(&SecretFact, &Evidence)]) -> Finding {
    let rated = |secret: &SecretFact| match secret.confidence {
        Confidence::Low => secret.severity.min(Severity::Low),
        Confidence::Medium | Confidence::High => secret.severity,
    };
    let (worst, first) = seen
        .iter()
        .max_by_key(|(secret, _)| (rated(secret), secret.confidence))
        .expect("a row is made with its first sighting");
    let mut evidence: Vec<Evidence> = seen.iter().map(|(_, e)| (*e).clone()).collect();
    evidence.sort();
    evidence.dedup();
    let more = match evidence.len() {
        0 | 1 => String::new(),
        n => format!(" and {}", crate::gate::count(n - 1, "more place")),
    };
    evidence.truncate(super::EVIDENCE_MAX);
    let confidence = match worst.confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    };
    let place = place_text(facts.inventory, first);
    Finding {
        kind: FindingKind::Secret,
        id: worst.rule.clone(),
        aliases: Vec::new(),
        title: worst.title.clone(),
        severity: rated(worst),
        severity_source: "pratique".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        because: format!(
            "rule {} matches {} with {confidence} confidence at {place}{more}; fingerprint {}",
            worst.rule, worst.preview, worst.fingerprint
        ),
        remediation: remediation(first),
        evidence,
        vulnerability: None,
    }
}

fn remediation(evidence: &Evidence) -> String {
    let place = match (&evidence.path, evidence.removed_in) {
        (None, _) => "pass it at run time or as a build secret, not as ENV, ARG or LABEL",
        (Some(_), Some(_)) => "deleting it in a later layer does not remove it: rebuild without ever adding it",
        (Some(_), None) => "rebuild without the file and mount it at run time",
    };
    format!("Revoke the secret and make a new one; {place}.")
}
