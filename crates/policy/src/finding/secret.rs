//! Possible secrets, rated: one row per rule and file.
//!
//! The severity is the rule's, or what is set for it; an observation of low confidence is rated low at most, so that a threshold on severity
//! is also one on confidence.

use super::{Assessment, ImageFacts, place_text};
use crate::tuning::{Dismissal, Dismissed};
use model::observation::{Confidence, ObservationKind, SecretFact};
use model::{Evidence, Finding, FindingKind, FindingStatus, LayerPath, Severity};
use std::collections::BTreeMap;

/// Where a secret stands, without the line.
type Spot<'a> = (&'a str, Option<u32>, Option<&'a LayerPath>, Option<&'a str>);

/// Adds the secret findings.
pub(super) fn add(facts: &ImageFacts<'_>, out: &mut Assessment) {
    let mut rows: BTreeMap<Spot<'_>, Vec<(&SecretFact, &Evidence)>> = BTreeMap::new();
    for observation in &facts.inventory.observations {
        let ObservationKind::Secret(secret) = &observation.kind else { continue };
        let evidence = &observation.evidence;
        let entry = if evidence.path.is_none() { evidence.history.as_deref() } else { None };
        rows.entry((&secret.rule, evidence.layer, evidence.path.as_ref(), entry)).or_default().push((secret, evidence));
    }
    for seen in rows.into_values() {
        let (holds, dismissed) = sift(facts, seen);
        if !holds.is_empty() {
            out.findings.push(finding(facts, &holds));
        } else if let Some((_, (by, why))) = dismissed.first() {
            let seen: Vec<Seen<'_>> = dismissed.iter().map(|(seen, _)| *seen).collect();
            out.dismissed.push(Dismissed { finding: finding(facts, &seen), by: *by, why: why.clone() });
        }
    }
}

/// A secret and where it was seen.
type Seen<'a> = (&'a SecretFact, &'a Evidence);

/// A sighting that was dismissed, and why.
type Sifted<'a> = (Seen<'a>, (Dismissal, String));

/// What holds of a row, and what is dismissed. The value of a secret may be allowed where another in the same file is
/// not.
fn sift<'a>(facts: &ImageFacts<'_>, seen: Vec<Seen<'a>>) -> (Vec<Seen<'a>>, Vec<Sifted<'a>>) {
    let (mut holds, mut dismissed) = (Vec::new(), Vec::new());
    for (secret, evidence) in seen {
        match facts.tuning.dismisses_secret(secret, evidence, facts.place, facts.now) {
            None => holds.push((secret, evidence)),
            Some(why) => dismissed.push(((secret, evidence), why)),
        }
    }
    (holds, dismissed)
}

fn finding(facts: &ImageFacts<'_>, seen: &[Seen<'_>]) -> Finding {
    let rated = |secret: &SecretFact| {
        let severity = facts.tuning.severity(&secret.rule, secret.severity);
        match secret.confidence {
            Confidence::Low => severity.min(Severity::Low),
            Confidence::Medium | Confidence::High => severity,
        }
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
