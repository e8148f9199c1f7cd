//! Finds the keywords of all rules in one pass, before any pattern is tried.
//!
//! One automaton holds every keyword. A step of an automaton waits for the table entry of the step before, so
//! four parts of the text are walked side by side: four waits overlap, which is about three times as fast as
//! one walk. Keywords are told apart by case only where one is hit.
//!
//! Invariant: every occurrence of every keyword is reported once, overlapping ones too.

use crate::secrets::rule::{Rule, Source};
use crate::{Error, ErrorKind};
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, MatchKind, PatternID, Span, StartKind, packed};
use std::collections::BTreeMap;

/// How many parts of a text are walked side by side.
const LANES: usize = 4;

/// Shorter texts are walked as one.
const LANES_FROM_BYTES: usize = 256;

/// The packed search takes so many patterns at most, and prefers few.
const GATE_PATTERNS_MAX: usize = 127;

/// One rule's use of a keyword.
#[derive(Debug)]
struct Use {
    rule: usize,
    /// The spelling that it must have, unless case does not matter.
    exact: Option<Box<[u8]>>,
}

/// The keywords of the rules that read one source.
#[derive(Debug)]
pub(super) struct Prefilter {
    automaton: DFA,
    start: StateID,
    /// By pattern of the automaton.
    uses: Vec<Vec<Use>>,
    /// Finds quickly where keywords begin; only for binary files, where next to none do.
    gate: Option<Searcher>,
}

impl Prefilter {
    /// Compiles the keywords of those `rules` that read `source`.
    ///
    /// # Errors
    /// When the keywords are too many or too long for an automaton.
    pub(super) fn new(rules: &[Rule], source: Source) -> Result<Self, Error> {
        let mut by_keyword: BTreeMap<String, Vec<Use>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.sources().contains(&source)) {
            for keyword in rule.keywords() {
                let exact = (!rule.ignore_case()).then(|| keyword.as_bytes().into());
                by_keyword.entry(keyword.to_ascii_lowercase()).or_default().push(Use { rule: index, exact });
            }
        }
        let refuse = |e| Error::because(ErrorKind::LimitExceeded, "the keywords of the secret rules are too many", e);
        let automaton = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(by_keyword.keys())
            .map_err(refuse)?;
        let start = automaton
            .start_state(Anchored::No)
            .map_err(|e| Error::because(ErrorKind::Internal, "the keyword automaton has no start", e))?;
        let gate = if source == Source::Binary { gate(&by_keyword) } else { None };
        Ok(Self { automaton, start, uses: by_keyword.into_values().collect(), gate })
    }

    /// Calls `found` with (offset, rule) for each keyword in the text; not in the order of offsets.
    pub(super) fn hits(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut report = |end: usize, pattern: PatternID, before: usize| {
            let start = end - self.automaton.pattern_len(pattern);
            if start >= before {
                return;
            }
            for usage in &self.uses[pattern.as_usize()] {
                if usage.exact.as_ref().is_none_or(|exact| text[start..end] == **exact) {
                    found(start, usage.rule);
                }
            }
        };
        if let Some(gate) = &self.gate {
            let mut from = 0;
            while let Some(hit) = gate.find_in(text, Span { start: from, end: text.len() }) {
                let reach = text.len().min(hit.start() + self.automaton.max_pattern_len());
                let here = hit.start() + 1;
                self.walk(self.start, &text[hit.start()..reach], hit.start(), |end, p| report(end, p, here));
                from = here;
            }
            return;
        }
        if text.len() < LANES_FROM_BYTES.max(LANES * self.automaton.max_pattern_len()) {
            self.walk(self.start, text, 0, |end, pattern| report(end, pattern, text.len()));
            return;
        }
        let part = text.len() / LANES;
        let states = self.walk_lanes(text, part, &mut report);
        for (lane, state) in states.into_iter().enumerate() {
            // What begins in this lane may end in the next; what begins there is the next lane's.
            let border = (lane + 1) * part;
            let last = lane + 1 == LANES;
            let reach = if last { text.len() } else { border + self.automaton.max_pattern_len() - 1 };
            let before = if last { text.len() } else { border };
            self.walk(state, &text[border..reach], border, |end, pattern| report(end, pattern, before));
        }
    }

    fn walk_lanes(
        &self,
        text: &[u8],
        part: usize,
        report: &mut impl FnMut(usize, PatternID, usize),
    ) -> [StateID; LANES] {
        let lanes: [&[u8]; LANES] = std::array::from_fn(|lane| &text[lane * part..(lane + 1) * part]);
        let mut states = [self.start; LANES];
        for at in 0..part {
            let mut special = false;
            for (state, lane) in states.iter_mut().zip(lanes) {
                *state = self.automaton.next_state(Anchored::No, *state, lane[at]);
                special |= self.automaton.is_special(*state);
            }
            if special {
                for (lane, state) in states.iter().enumerate() {
                    self.matches(*state, |pattern| report(lane * part + at + 1, pattern, text.len()));
                }
            }
        }
        states
    }

    fn walk(&self, mut state: StateID, text: &[u8], base: usize, mut report: impl FnMut(usize, PatternID)) {
        for (at, byte) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) {
                self.matches(state, |pattern| report(base + at + 1, pattern));
            }
        }
    }

    fn matches(&self, state: StateID, mut report: impl FnMut(PatternID)) {
        if self.automaton.is_match(state) {
            for index in 0..self.automaton.match_len(state) {
                report(self.automaton.match_pattern(state, index));
            }
        }
    }
}

/// A packed search for the exact spellings; `None` where the processor or the keywords do not allow one.
fn gate(by_keyword: &BTreeMap<String, Vec<Use>>) -> Option<Searcher> {
    let mut spellings: Vec<&[u8]> = Vec::new();
    for usage in by_keyword.values().flatten() {
        spellings.push(usage.exact.as_deref()?);
    }
    spellings.sort_unstable();
    spellings.dedup();
    if spellings.is_empty() || spellings.len() > GATE_PATTERNS_MAX {
        return None;
    }
    packed::Config::new().heuristic_pattern_limits(false).builder().extend(spellings).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::rule::parse_rules;
    use proptest::prelude::*;

    fn prefilter(source: Source) -> Prefilter {
        let rule = |id: &str, keywords: &str, ignore_case: bool| {
            format!(
                "[[rule]]\nid = \"{id}\"\ntitle = \"\"\nseverity = \"low\"\nreference = \"\"\nexamples = []\n\
                 counter_examples = []\nkeywords = {keywords}\nignore_case = {ignore_case}\n\
                 pattern = \"(?P<value>a)\"\nsources = [\"text\", \"binary\"]\n"
            )
        };
        let mut toml = rule("one", r#"["ab", "abab"]"#, false) + &rule("two", r#"["BA"]"#, source == Source::Text);
        toml += &rule("three", r#"["longest-keyword"]"#, false);
        Prefilter::new(&parse_rules("test", &toml).unwrap(), source).unwrap()
    }

    fn expected(text: &[u8], ignore_case: bool) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for (keyword, rule) in [(&b"ab"[..], 0), (b"abab", 0), (b"BA", 1), (b"longest-keyword", 2)] {
            for (at, window) in text.windows(keyword.len()).enumerate() {
                if window == keyword || ignore_case && rule == 1 && window.eq_ignore_ascii_case(keyword) {
                    all.push((at, rule));
                }
            }
        }
        all.sort_unstable();
        all
    }

    fn found(prefilter: &Prefilter, text: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        prefilter.hits(text, |at, rule| all.push((at, rule)));
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn every_keyword_is_found_once(parts in proptest::collection::vec("ab|a|b|BA|Ba|longest-keyword|x{1,40}", 0..200)) {
            let text = parts.concat();
            for source in [Source::Text, Source::Binary] {
                let prefilter = prefilter(source);
                prop_assert_eq!(found(&prefilter, text.as_bytes()), expected(text.as_bytes(), source == Source::Text));
            }
        }
    }

    #[test]
    fn keywords_across_the_borders_of_the_lanes_are_found() {
        let prefilter = prefilter(Source::Text);
        for at in 0..600 {
            let mut text = vec![b'.'; 640];
            text[at..at + 15].copy_from_slice(b"longest-keyword");
            assert_eq!(found(&prefilter, &text), [(at, 2)]);
        }
    }
}
