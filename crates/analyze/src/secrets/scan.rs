//! Searches one text with every rule that reads its source.
//!
//! Invariant: work is linear in the text: one walk for the keywords, a bounded window for each hit, and hits of
//! one rule are only so dense; at most [`FINDINGS_PER_FILE_MAX`] findings, of which no two claim the same bytes.

use super::allow::AllowList;
use super::judge::judge;
use super::prefilter::Prefilter;
use super::rule::{Rule, Source};
use super::surroundings::Surroundings;
use crate::Error;
use model::observation::Confidence;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// Findings of one rule in one file.
pub const FINDINGS_PER_RULE_MAX: usize = 100;

/// Findings in one file.
pub const FINDINGS_PER_FILE_MAX: usize = 500;

/// Keywords of one rule that are tried in one file of any size.
pub const ATTEMPTS_MIN: usize = 2000;

/// Beyond [`ATTEMPTS_MIN`], the windows of one rule are together at most so many times as long as the file. Only files
/// that are made to waste time have more.
pub const WINDOWS_OVER_FILE_MAX: usize = 8;

/// What one rule did in one file.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    attempts: usize,
    findings: usize,
}

/// The rules with their prefilters.
#[derive(Debug)]
pub(super) struct Scanner {
    rules: Vec<Rule>,
    prefilters: [Prefilter; Source::ALL.len()],
    allow: AllowList,
}

/// One text, and what is known about it.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// What is searched.
    pub text: &'a [u8],
    /// What kind of text it is.
    pub source: Source,
    /// What its name says.
    pub around: Surroundings<'a>,
}

/// A possible secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Index of the rule.
    pub rule: usize,
    /// The value in the text.
    pub value: Range<usize>,
    /// How sure it is.
    pub confidence: Confidence,
}

/// What was found, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The findings.
    pub all: Vec<Found>,
    /// Were there more than the limits allow?
    pub cut: bool,
}

impl Scanner {
    /// Compiles the prefilters of the rules.
    ///
    /// # Errors
    /// When there are too many keywords.
    pub(super) fn new(rules: Vec<Rule>, allow: AllowList) -> Result<Self, Error> {
        let [text, binary, configuration] = Source::ALL.map(|source| Prefilter::new(&rules, source));
        Ok(Self { prefilters: [text?, binary?, configuration?], rules, allow })
    }

    /// The rules.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Searches one text.
    pub(super) fn scan(&self, subject: &Subject<'_>) -> Findings {
        let mut raw: Vec<Found> = Vec::new();
        let mut tallies: Vec<Tally> = Vec::new();
        let mut cut = false;
        let windows_bytes_max = WINDOWS_OVER_FILE_MAX * subject.text.len();
        self.prefilter(subject.source).hits(subject.text, |hit, index| {
            tallies.resize(self.rules.len(), Tally::default());
            let tally = &mut tallies[index];
            tally.attempts += 1;
            if tally.attempts > ATTEMPTS_MIN + windows_bytes_max / self.rules[index].window_bytes() {
                cut = true;
                return;
            }
            let Some(found) = self.try_rule(subject, hit, index) else { return };
            if raw.last() == Some(&found) {
                return;
            }
            if tally.findings < FINDINGS_PER_RULE_MAX && raw.len() < FINDINGS_PER_FILE_MAX {
                tally.findings += 1;
                raw.push(found);
            } else {
                cut = true;
            }
        });
        Findings { all: self.resolve(raw), cut }
    }

    const fn prefilter(&self, source: Source) -> &Prefilter {
        match source {
            Source::Text => &self.prefilters[0],
            Source::Binary => &self.prefilters[1],
            Source::Configuration => &self.prefilters[2],
        }
    }

    fn try_rule(&self, subject: &Subject<'_>, hit: usize, index: usize) -> Option<Found> {
        let rule = &self.rules[index];
        if !rule.reads_file(subject.around.file_name()) {
            return None;
        }
        let found = rule.find(subject.text, hit)?;
        let confidence = judge(rule, subject.text, &found, &subject.around, &self.allow)?;
        Some(Found { rule: index, value: found.value, confidence })
    }

    /// Of findings that claim the same bytes, the most particular stays: generic rules yield to others, later
    /// rules to earlier ones.
    fn resolve(&self, mut raw: Vec<Found>) -> Vec<Found> {
        raw.sort_by_key(|f| (self.rules[f.rule].generic(), f.rule, f.value.start, Reverse(f.value.end)));
        let mut kept: BTreeMap<usize, Found> = BTreeMap::new();
        for found in raw {
            let before = kept.range(..found.value.end).next_back();
            if before.is_none_or(|(_, other)| other.value.end <= found.value.start) {
                kept.insert(found.value.start, found);
            }
        }
        kept.into_values().collect()
    }
}
