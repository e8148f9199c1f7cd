//! Standards: which controls an image passes, fails, or was not evaluated for.
//!
//! The standards are data: `rules/compliance/*.toml`. Not here: scores over many images. Invariant: a control only
//! passes when everything that could fail it was looked at; "could not look" is never "passed".

use crate::finding::{Assessment, EVIDENCE_MAX, ImageFacts, Scanners, ran};
use crate::gate::count;
use crate::tuning::Dismissed;
use model::{Detector, Evidence, Finding, FindingKind, FindingStatus, ImageInventory, Severity};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The files of standards, by name. A test walks the folder and fails when one is missing here.
const FILES: &[(&str, &str)] = &[("cis-docker.toml", include_str!("../../../rules/compliance/cis-docker.toml"))];

/// A standard.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    /// Stable name: `cis-docker`.
    pub id: String,
    /// For people.
    pub title: String,
    /// Of the published standard.
    pub version: String,
    /// A page for people.
    pub url: String,
    /// Its controls, in its own order.
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
}

/// A control of a standard.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its number in the standard.
    pub id: String,
    /// What it asks for, for people.
    pub title: String,
    /// How bad it is to fail it.
    pub severity: Severity,
    /// Detectors that must have looked at everything before it can pass.
    pub needs: Vec<Detector>,
    /// Advisories must be loaded for the image's packages before it can pass.
    #[serde(default)]
    pub needs_advisories: bool,
    /// Findings that fail it.
    fails_on: Vec<Selector>,
    /// Why an image can never prove that it passes.
    #[serde(default)]
    pub cannot_pass: Option<String>,
}

/// Which findings fail a control.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    kind: FindingKind,
    /// Ids of rules and checks; empty means every one.
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    severity_at_least: Option<Severity>,
    #[serde(default)]
    fix_available: Option<bool>,
}

impl Selector {
    fn selects(&self, finding: &Finding) -> bool {
        finding.kind == self.kind
            && finding.status.is_open()
            && finding.status != FindingStatus::Undecided
            && (self.rules.is_empty() || self.rules.contains(&finding.id))
            && self.severity_at_least.is_none_or(|least| finding.severity.meets(least))
            && self.fix_available.is_none_or(|wanted| finding.fixed_versions.is_empty() != wanted)
    }
}

/// How an image stands to a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlState {
    /// Everything was looked at, and nothing speaks against it.
    Passed,
    /// Something speaks against it.
    Failed,
    /// It could not be told.
    NotEvaluated,
}

impl ControlState {
    /// The word of the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotEvaluated => "not-evaluated",
        }
    }
}

/// A control's result for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlResult {
    /// Id of the standard.
    pub standard: &'static str,
    /// The control.
    pub control: &'static Control,
    /// How the image stands to it.
    pub state: ControlState,
    /// Why.
    pub because: String,
    /// Kind and id of the findings that make it fail, sorted, without duplicates.
    pub findings: Vec<(FindingKind, String)>,
}

impl ControlResult {
    /// The id that findings and policies use: `cis-docker-4.1`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.standard, self.control.id)
    }
}

/// Every standard.
pub fn standards() -> &'static [Standard] {
    static STANDARDS: LazyLock<Vec<Standard>> = LazyLock::new(|| {
        let parse = |(name, text): &(&str, &str)| {
            toml::from_str(text).unwrap_or_else(|error| panic!("rules/compliance/{name}: {error}"))
        };
        FILES.iter().map(parse).collect()
    });
    &STANDARDS
}

/// How an image stands to every control, by standard and control. Hand in what [`crate::findings`] found, with the
/// untrusted-image findings of a judgement where there is one.
pub fn compliance(facts: &ImageFacts<'_>, findings: &[Finding]) -> Vec<ControlResult> {
    let mut out = Vec::new();
    for standard in standards() {
        out.extend(standard.controls.iter().map(|control| result(facts, standard, control, findings).0));
    }
    out
}

/// Adds a finding for every control that fails because of the findings so far. One that would fail but for what was
/// dismissed is dismissed for the same reason.
pub(crate) fn add(facts: &ImageFacts<'_>, out: &mut Assessment) {
    let mut failed = Vec::new();
    let mut dismissed = Vec::new();
    for standard in standards() {
        for control in &standard.controls {
            let (result, causes) = result(facts, standard, control, &out.findings);
            if result.state == ControlState::Failed {
                failed.push(finding(standard, &result, &causes));
                continue;
            }
            let fails = |d: &&Dismissed| control.fails_on.iter().any(|s| s.selects(&d.finding));
            if let Some(first) = out.dismissed.iter().find(fails) {
                let finding = finding(standard, &result, &[&first.finding]);
                dismissed.push(Dismissed { finding, by: first.by, why: first.why.clone() });
            }
        }
    }
    out.findings.extend(failed);
    out.dismissed.extend(dismissed);
}

fn result<'f>(
    facts: &ImageFacts<'_>,
    standard: &'static Standard,
    control: &'static Control,
    findings: &'f [Finding],
) -> (ControlResult, Vec<&'f Finding>) {
    let causes: Vec<&Finding> = findings.iter().filter(|f| control.fails_on.iter().any(|s| s.selects(f))).collect();
    let mut named: Vec<(FindingKind, String)> = causes.iter().map(|f| (f.kind, f.id.clone())).collect();
    named.sort();
    named.dedup();
    let (state, because) = if causes.is_empty() {
        match obstacle(facts, control) {
            Some(why) => (ControlState::NotEvaluated, why),
            None => (ControlState::Passed, "nothing was found that speaks against it".to_owned()),
        }
    } else {
        (ControlState::Failed, failed_because(&named, causes.len()))
    };
    (ControlResult { standard: &standard.id, control, state, because, findings: named }, causes)
}

fn failed_because(named: &[(FindingKind, String)], number: usize) -> String {
    const NAMED_MAX: usize = 10;
    let names: Vec<String> = named.iter().take(NAMED_MAX).map(|(kind, id)| format!("{kind} {id}")).collect();
    let more = if named.len() > NAMED_MAX { format!(" and {} more", named.len() - NAMED_MAX) } else { String::new() };
    format!("{} against it: {}{more}", count(number, "finding"), names.join(", "))
}

/// Why a control without a failing finding cannot pass.
fn obstacle(facts: &ImageFacts<'_>, control: &Control) -> Option<String> {
    if let Some(reason) = &control.cannot_pass {
        return Some(reason.clone());
    }
    let off = control.fails_on.iter().flat_map(|s| &s.rules).find(|rule| !facts.tuning.is_enabled(rule));
    if let Some(rule) = off {
        return Some(format!("the check {rule} is switched off"));
    }
    control
        .needs
        .iter()
        .find_map(|detector| not_looked(facts.inventory, facts.scanners, *detector))
        .or_else(|| control.needs_advisories.then(|| no_advisories(facts)).flatten())
}

fn not_looked(inventory: &ImageInventory, scanners: Scanners, detector: Detector) -> Option<String> {
    let asked = match detector {
        Detector::Secrets => scanners.secrets,
        Detector::Malware => scanners.malware,
        Detector::Configuration => scanners.configuration,
        Detector::Files | Detector::Packages => true,
    };
    if !asked || !ran(inventory, detector) {
        return Some(format!("the {detector} detector did not look at the image"));
    }
    // The configuration is read without any layer: only gaps of its own matter.
    let concerns = |of: Option<Detector>| match detector {
        Detector::Configuration => of == Some(detector),
        Detector::Files | Detector::Packages | Detector::Secrets | Detector::Malware => {
            of.is_none_or(|d| d == detector)
        }
    };
    let gap = inventory.gaps.iter().find(|gap| concerns(gap.detector))?;
    Some(format!("not everything could be read: {}", gap.detail))
}

fn no_advisories(facts: &ImageFacts<'_>) -> Option<String> {
    if !facts.scanners.vulnerabilities {
        return Some("vulnerabilities were not looked for".to_owned());
    }
    for package in &facts.inventory.packages {
        match package.key.ecosystem() {
            Some(release) if facts.covered.contains(&release) => {}
            Some(release) => return Some(format!("no advisories are loaded for {}", release.plain())),
            None => return Some(format!("nobody keeps advisories for {}", package.key.purl())),
        }
    }
    None
}

fn finding(standard: &Standard, result: &ControlResult, causes: &[&Finding]) -> Finding {
    let mut evidence: Vec<Evidence> = causes.iter().flat_map(|f| f.evidence.iter().cloned()).collect();
    evidence.sort();
    evidence.dedup();
    evidence.truncate(EVIDENCE_MAX);
    Finding {
        kind: FindingKind::Compliance,
        id: result.id(),
        aliases: Vec::new(),
        title: format!("{} {}: {}", standard.id, result.control.id, result.control.title),
        severity: result.control.severity,
        severity_source: "pratique".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        evidence,
        because: result.because.clone(),
        remediation: causes_remediation(causes),
        vulnerability: None,
    }
}

/// What to do about a control: what its findings say, if they all say the same.
fn causes_remediation(causes: &[&Finding]) -> String {
    let first = causes.first().map_or("", |f| f.remediation.as_str());
    if causes.iter().all(|f| f.remediation == first) {
        first.to_owned()
    } else {
        "Follow the remediation of each finding that fails the control.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use std::collections::BTreeSet;

    fn needed_by_checks(control: &Control) -> impl Iterator<Item = Detector> + '_ {
        control.fails_on.iter().flat_map(|s| &s.rules).flat_map(|rule| check::detectors_of(rule)).copied()
    }

    #[test]
    fn rules_are_sound_compliance() {
        let known: BTreeSet<&str> = crate::checks().iter().map(|c| c.id.as_str()).collect();
        for standard in standards() {
            let mut ids = BTreeSet::new();
            for control in &standard.controls {
                assert!(ids.insert(&control.id), "{} {}: twice", standard.id, control.id);
                assert!(
                    !control.fails_on.is_empty() || control.cannot_pass.is_some(),
                    "{}: can neither fail nor say why",
                    control.id
                );
                for selector in control.fails_on.iter().filter(|s| s.kind == FindingKind::Misconfiguration) {
                    assert!(!selector.rules.is_empty(), "{}: names no checks", control.id);
                    for rule in &selector.rules {
                        assert!(known.contains(rule.as_str()), "{}: no check {rule}", control.id);
                    }
                }
                for detector in needed_by_checks(control) {
                    assert!(control.needs.contains(&detector), "{}: does not need {detector}", control.id);
                }
            }
        }
    }

    #[test]
    fn every_file_of_standards_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/compliance");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    }
}
