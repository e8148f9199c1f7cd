//! Checks of an image's configuration, build history and files. The checks are data: `rules/checks/*.toml`.
//!
//! Not here: what the organisation makes of them. Invariant: a check whose facts were not read says nothing, and every
//! check carries an example that it finds and a counter-example that it does not.

mod condition;
mod history;
mod snippet;

pub(crate) use condition::Condition;
pub use snippet::Snippet;

use crate::finding::{EVIDENCE_MAX, ran};
use history::Step;
use model::{Finding, FindingKind, FindingStatus, ImageInventory, Severity};
use serde::Deserialize;
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
    /// What the check says about an image: nothing, or one finding with every place that it hits.
    pub(crate) fn run(&self, inventory: &ImageInventory, steps: &[Step]) -> Option<Finding> {
        if self.when.detectors().iter().any(|detector| !ran(inventory, *detector)) {
            return None;
        }
        let mut hits = self.when.hits(inventory, steps);
        if hits.is_empty() {
            return None;
        }
        hits.sort();
        hits.dedup();
        let number = hits.len();
        let named: Vec<String> = hits.iter().take(3).map(|hit| hit.what.clone()).collect();
        let more = if number > named.len() { format!(" and {} more", number - named.len()) } else { String::new() };
        Some(Finding {
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
        })
    }
}

/// Adds what the checks find.
pub(crate) fn add(inventory: &ImageInventory, out: &mut Vec<Finding>) {
    let steps = history::steps(inventory);
    out.extend(checks().iter().filter_map(|check| check.run(inventory, &steps)));
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
                let found = check.run(&inventory, &history::steps(&inventory));
                assert!(found.is_some(), "{}: example {at} is not found: {example:?}", check.id);
            }
            for (at, example) in check.counter_examples.iter().enumerate() {
                let inventory = example.inventory();
                let found = check.run(&inventory, &history::steps(&inventory));
                assert_eq!(found.map(|f| f.because), None, "{}: counter-example {at} is found", check.id);
            }
        }
        assert!(ids.len() >= 20, "{}", ids.len());
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
        assert!(check.run(&inventory, &[]).is_some());
        inventory.detectors.retain(|v| v.detector != model::Detector::Packages);
        assert!(check.run(&inventory, &[]).is_none());
    }
}
