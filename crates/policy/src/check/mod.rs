//! Checks of an image's configuration, build history and files. The checks are data: `rules/checks/*.toml`.
//!
//! Not here: what the organisation makes of them. Invariant: a check whose facts were not read says nothing, and every
//! check carries an example that it finds and a counter-example that it does not.

mod condition;
mod history;
mod snippet;

pub(crate) use condition::Condition;
pub use snippet::Snippet;

use crate::finding::{Assessment, EVIDENCE_MAX, ImageFacts, ran};
use crate::tuning::{Dismissal, Dismissed, Sighting};
use condition::Hit;
use history::Step;
use model::tuning::Parameter;
use model::{Finding, FindingKind, FindingStatus, ImageInventory, Severity, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The files of checks, by name. A test walks the folder and fails when one is missing here.
const FILES: &[(&str, &str)] = &[
    ("build.toml", include_str!("../../../../rules/checks/build.toml")),
    ("files.toml", include_str!("../../../../rules/checks/files.toml")),
    ("packages.toml", include_str!("../../../../rules/checks/packages.toml")),
    ("runtime.toml", include_str!("../../../../rules/checks/runtime.toml")),
];

/// One check.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Stable name: the finding's id.
    pub id: String,
    /// What is wrong when it hits, for people.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Why it matters.
    pub description: String,
    /// What to do.
    pub remediation: String,
    /// When it hits.
    when: Condition,
    /// Facts that it must hit.
    #[serde(default)]
    pub examples: Vec<Snippet>,
    /// Facts that it must not hit.
    #[serde(default)]
    pub counter_examples: Vec<Snippet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    check: Vec<Check>,
}

/// Every check, by id.
pub fn checks() -> &'static [Check] {
    static CHECKS: LazyLock<Vec<Check>> = LazyLock::new(|| {
        let mut all = Vec::new();
        for (name, text) in FILES {
            let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("rules/checks/{name}: {error}"));
            all.extend(file.check);
        }
        all.sort_by(|a: &Check, b: &Check| a.id.cmp(&b.id));
        all
    });
    &CHECKS
}

impl Check {
    /// The same check with some of its parameters replaced.
    ///
    /// # Errors
    /// When it has no parameter of that name, or the value is of another form: for people.
    pub(crate) fn with_parameters(&self, parameters: &BTreeMap<String, Parameter>) -> Result<Self, String> {
        let when = self.when.with_parameters(parameters).map_err(|why| format!("{}: {why}", self.id))?;
        Ok(Self { when, ..self.clone() })
    }

    /// The names of its parameters, with their values as they stand in a document.
    pub fn parameters(&self) -> Vec<(String, String)> {
        self.when.parameters()
    }

    /// What the check says about an image: nothing, or one finding with every place that it hits.
    #[cfg(test)]
    fn run(&self, inventory: &ImageInventory, steps: &[Step], now: Timestamp) -> Option<Finding> {
        self.sift(inventory, steps, now, |_| None).0
    }

    /// The same, without the places that `dismissed` gives a reason for; and the finding that these would make.
    fn sift(
        &self,
        inventory: &ImageInventory,
        steps: &[Step],
        now: Timestamp,
        dismissed: impl Fn(&Hit) -> Option<(Dismissal, String)>,
    ) -> (Option<Finding>, Option<Dismissed>) {
        if self.when.detectors().iter().any(|detector| !ran(inventory, *detector)) {
            return (None, None);
        }
        let mut hits = self.when.hits(inventory, steps, now);
        hits.sort();
        hits.dedup();
        let (mut held, mut let_go) = (Vec::new(), Vec::new());
        for hit in hits {
            match dismissed(&hit) {
                None => held.push(hit),
                Some(why) => let_go.push((hit, why)),
            }
        }
        let reason = let_go.first().map(|(_, why)| why.clone());
        let let_go: Vec<Hit> = let_go.into_iter().map(|(hit, _)| hit).collect();
        let let_go = reason.filter(|_| held.is_empty()).map(|(by, why)| (self.finding(let_go), by, why));
        (
            (!held.is_empty()).then(|| self.finding(held)),
            let_go.map(|(finding, by, why)| Dismissed { finding, by, why }),
        )
    }

    fn finding(&self, hits: Vec<Hit>) -> Finding {
        let number = hits.len();
        let named: Vec<String> = hits.iter().take(3).map(|hit| hit.what.clone()).collect();
        let more = if number > named.len() { format!(" and {} more", number - named.len()) } else { String::new() };
        Finding {
            kind: FindingKind::Misconfiguration,
            id: self.id.clone(),
            aliases: Vec::new(),
            title: self.title.clone(),
            severity: self.severity,
            severity_source: "pratique".to_owned(),
            status: FindingStatus::Affected,
            package: None,
            fixed_versions: Vec::new(),
            evidence: hits.into_iter().take(EVIDENCE_MAX).map(|hit| hit.evidence).collect(),
            because: format!("{}{more}. {}", named.join("; "), self.description),
            remediation: self.remediation.clone(),
            vulnerability: None,
        }
    }
}

/// Adds what the checks find, as they are set.
pub(crate) fn add(facts: &ImageFacts<'_>, out: &mut Assessment) {
    let steps = history::steps(facts.inventory);
    for check in facts.tuning.checks() {
        let dismissed = |hit: &Hit| {
            let seen = Sighting { rule: &check.id, evidence: &hit.evidence, fingerprint: None };
            facts.tuning.dismisses(seen, facts.place, facts.now)
        };
        let (finding, let_go) = check.sift(facts.inventory, &steps, facts.now, dismissed);
        let rated =
            |finding: Finding| Finding { severity: facts.tuning.severity(&check.id, finding.severity), ..finding };
        out.findings.extend(finding.map(rated));
        out.dismissed.extend(let_go.map(|d| Dismissed { finding: rated(d.finding), ..d }));
    }
}

/// When time alone makes a check hit.
pub(crate) fn boundary(facts: &ImageFacts<'_>) -> Option<Timestamp> {
    let on = facts.tuning.checks().filter(|check| facts.tuning.is_enabled(&check.id));
    on.filter_map(|check| check.when.boundary(facts.inventory)).filter(|at| *at > facts.now).min()
}

/// Which detectors a check needs; nothing for an id that is no check.
#[cfg(test)]
pub(crate) fn detectors_of(id: &str) -> &'static [model::Detector] {
    checks().iter().find(|check| check.id == id).map_or(&[], |check| check.when.detectors())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// When the examples are judged: 2026-01-01.
    const MOMENT: Timestamp = Timestamp::constant(1_767_225_600, 0);

    #[test]
    fn rules_are_sound_checks() {
        let mut ids = BTreeSet::new();
        for check in checks() {
            assert!(ids.insert(&check.id), "{}: twice", check.id);
            assert!(!check.examples.is_empty(), "{}: no example", check.id);
            assert!(!check.counter_examples.is_empty(), "{}: no counter-example", check.id);
            for text in [&check.title, &check.description, &check.remediation] {
                assert!(!text.trim().is_empty(), "{}: an empty text", check.id);
            }
            for (at, example) in check.examples.iter().enumerate() {
                let inventory = example.inventory();
                let found = check.run(&inventory, &history::steps(&inventory), MOMENT);
                assert!(found.is_some(), "{}: example {at} is not found: {example:?}", check.id);
            }
            for (at, example) in check.counter_examples.iter().enumerate() {
                let inventory = example.inventory();
                let found = check.run(&inventory, &history::steps(&inventory), MOMENT);
                assert_eq!(found.map(|f| f.because), None, "{}: counter-example {at} is found", check.id);
            }
        }
        assert!(ids.len() >= 30, "{}", ids.len());
    }

    #[test]
    fn every_file_of_checks_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/checks");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    }

    #[test]
    fn a_check_without_its_facts_says_nothing() {
        let snippet = Snippet { packages: vec!["sudo".to_owned()], ..Snippet::default() };
        let mut inventory = snippet.inventory();
        let check = checks().iter().find(|c| c.id == "sudo-installed").unwrap();
        assert!(check.run(&inventory, &[], MOMENT).is_some());
        inventory.detectors.retain(|v| v.detector != model::Detector::Packages);
        assert!(check.run(&inventory, &[], MOMENT).is_none());
    }
}
