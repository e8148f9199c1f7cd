//! Searches one text with every rule that reads its source.
//!
//! Invariant: work is linear in the text: one walk for the keywords, a bounded window for each hit, and hits of
//! one rule are only so dense; at most [`FINDINGS_PER_FILE_MAX`] findings, of which no two claim the same bytes.

use super::judge::{Case, Judged, Known, judge};
use super::prefilter::Prefilter;
use super::rule::{Match, Reach, Rule, Source};
use super::surroundings::Surroundings;
use model::observation::ConfidenceReasons;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Findings of one rule in one file.
pub const FINDINGS_PER_RULE_MAX: usize = 100;

/// Findings in one file.
pub const FINDINGS_PER_FILE_MAX: usize = 500;

/// Matches in one file that are no secrets after all and are kept with the reason.
pub const DISMISSED_PER_FILE_MAX: usize = 50;

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
    /// Rules that look at every text of a source, or at every path, without a keyword.
    everywhere: Vec<usize>,
    known: Known,
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
    /// What is made of it.
    pub judged: Judged,
}

/// What was found, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The findings.
    pub all: Vec<Found>,
    /// The first rule that has more than the limits allow, if one has.
    pub cut: Option<usize>,
}

impl Scanner {
    /// Compiles the prefilters of the rules.
    pub(super) fn new(rules: Vec<Rule>, known: Known) -> Self {
        let prefilters = Source::ALL.map(|source| Prefilter::new(&rules, source));
        let has_none = |(at, rule): (usize, &Rule)| rule.keywords().is_empty().then_some(at);
        let everywhere = rules.iter().enumerate().filter_map(has_none).collect();
        Self { prefilters, rules, everywhere, known }
    }

    /// The rules.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Searches one text.
    pub(super) fn scan(&self, subject: &Subject<'_>) -> Findings {
        let mut pile = Pile::default();
        let mut over_whole: BTreeSet<usize> = BTreeSet::new();
        let windows_bytes_max = WINDOWS_OVER_FILE_MAX * subject.text.len();
        self.prefilter(subject.source).hits(subject.text, |hit, index| {
            let rule = &self.rules[index];
            if matches!(rule.reach(), Reach::Whole) {
                over_whole.insert(index);
                return;
            }
            if rule.may_begin(subject.text, hit)
                && rule.reads_file(subject.around.path())
                && pile.may_try(index, ATTEMPTS_MIN + windows_bytes_max / rule.window_bytes())
                && let Some(found) = rule.find(subject.text, hit)
            {
                self.take(subject, index, &found, &mut pile);
            }
        });
        let everywhere =
            self.everywhere.iter().copied().filter(|at| self.rules[*at].sources().contains(&subject.source));
        for index in over_whole.into_iter().chain(everywhere) {
            self.search_whole(subject, index, &mut pile);
        }
        Findings { all: self.resolve(pile.all), cut: pile.cut }
    }

    /// Tries a rule that looks at a whole text, or at the path.
    fn search_whole(&self, subject: &Subject<'_>, index: usize, pile: &mut Pile) {
        let rule = &self.rules[index];
        if !rule.reads_file(subject.around.path()) {
            return;
        }
        match rule.reach() {
            Reach::Path => {
                if !subject.around.path().is_empty() {
                    let reasons = ConfidenceReasons { rule: rule.confidence(), ..ConfidenceReasons::default() };
                    let judged = Judged { confidence: rule.confidence(), reasons, dismissed: None };
                    pile.push(Found { rule: index, value: 0..0, judged });
                }
            }
            Reach::Whole | Reach::Keyword => {
                for found in rule.find_all(subject.text) {
                    if !pile.may_try(index, ATTEMPTS_MIN) {
                        return;
                    }
                    self.take(subject, index, &found, pile);
                }
            }
        }
    }

    fn take(&self, subject: &Subject<'_>, index: usize, found: &Match, pile: &mut Pile) {
        let case = Case { rule: &self.rules[index], text: subject.text, found, around: &subject.around };
        if let Some(judged) = judge(&case, &self.known) {
            pile.push(Found { rule: index, value: found.value.clone(), judged });
        }
    }

    const fn prefilter(&self, source: Source) -> &Prefilter {
        match source {
            Source::Text => &self.prefilters[0],
            Source::Binary => &self.prefilters[1],
            Source::Configuration => &self.prefilters[2],
        }
    }

    /// Of findings that claim the same bytes, the most particular stays: generic rules yield to others, dismissed
    /// matches to findings, later rules to earlier ones.
    fn resolve(&self, mut raw: Vec<Found>) -> Vec<Found> {
        raw.sort_by_key(|f| {
            let dismissed = f.judged.dismissed.is_some();
            (self.rules[f.rule].generic(), dismissed, f.rule, f.value.start, Reverse(f.value.end))
        });
        let mut kept: BTreeMap<usize, Found> = BTreeMap::new();
        let (mut whole_files, raw): (Vec<Found>, Vec<Found>) = raw.into_iter().partition(|f| f.value.is_empty());
        for found in raw {
            let before = kept.range(..found.value.end).next_back();
            if before.is_none_or(|(_, other)| other.value.end <= found.value.start) {
                kept.insert(found.value.start, found);
            }
        }
        whole_files.extend(kept.into_values());
        whole_files
    }
}

/// What the rules found in one text so far, within the limits.
#[derive(Debug, Default)]
struct Pile {
    all: Vec<Found>,
    tallies: BTreeMap<usize, Tally>,
    dismissed: usize,
    /// The first rule that was stopped.
    cut: Option<usize>,
}

impl Pile {
    /// Has the rule attempts left?
    fn may_try(&mut self, rule: usize, attempts_max: usize) -> bool {
        let tally = self.tallies.entry(rule).or_default();
        tally.attempts += 1;
        let may = tally.attempts <= attempts_max;
        if !may {
            self.cut = self.cut.or(Some(rule));
        }
        may
    }

    fn push(&mut self, found: Found) {
        if self.all.last() == Some(&found) {
            return;
        }
        if found.judged.dismissed.is_some() {
            // No gap when there are more: they are no secrets.
            self.dismissed += 1;
            if self.dismissed <= DISMISSED_PER_FILE_MAX {
                self.all.push(found);
            }
            return;
        }
        let tally = self.tallies.entry(found.rule).or_default();
        if tally.findings < FINDINGS_PER_RULE_MAX && self.all.len() < FINDINGS_PER_FILE_MAX + DISMISSED_PER_FILE_MAX {
            tally.findings += 1;
            self.all.push(found);
        } else {
            self.cut = self.cut.or(Some(found.rule));
        }
    }
}
