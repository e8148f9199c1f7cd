//! Finds the keywords of all rules in one pass, before any pattern is tried.
//!
//! Not here: how the places are told where keywords may stand ([`super::grams`]). Keywords are compared only there, and
//! told apart by case only where one is hit. Invariant: every occurrence of every keyword is reported once, overlapping
//! ones too.

use super::grams::{Grams, Sought};
use super::opening::Bytes;
use crate::secrets::rule::{Rule, Source};
use aho_corasick::Span;
use aho_corasick::packed::{self, Searcher};
use std::collections::BTreeMap;

/// The packed search takes so many patterns at most, and prefers few.
const PACKED_PATTERNS_MAX: usize = 127;

/// One rule's use of a keyword.
#[derive(Debug)]
struct Use {
    rule: usize,
    /// The spelling that it must have, unless case does not matter.
    exact: Option<Box<[u8]>>,
}

/// A keyword in lower case, and who uses it.
#[derive(Debug)]
struct Keyword {
    text: Box<[u8]>,
    uses: Vec<Use>,
    /// The bytes that may follow it, the first and the second, for any of its rules.
    follows: [Bytes; 2],
    /// All of its rules only look at it where it begins a word.
    begins_word: bool,
}

/// How the places are told where keywords may stand.
#[derive(Debug)]
enum Places {
    /// For text, where some keywords are frequent.
    Grams(Grams),
    /// For binary files, where next to none occur, if their keywords are few.
    Packed(Searcher),
}

/// The keywords of the rules that read one source.
#[derive(Debug)]
pub(super) struct Prefilter {
    keywords: Vec<Keyword>,
    places: Places,
}

impl Prefilter {
    /// Compiles the keywords of those `rules` that read `source`.
    pub(super) fn new(rules: &[Rule], source: Source) -> Self {
        let mut by_keyword: BTreeMap<String, Vec<Use>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.sources().contains(&source)) {
            for keyword in rule.keywords() {
                let exact = (!rule.ignore_case()).then(|| keyword.as_bytes().into());
                by_keyword.entry(keyword.to_ascii_lowercase()).or_default().push(Use { rule: index, exact });
            }
        }
        let keyword = |(text, uses): (String, Vec<Use>)| {
            let of_rules = || uses.iter().map(|usage| rules[usage.rule].follows(&text));
            let follows = of_rules().reduce(|a, b| [a[0].union(b[0]), a[1].union(b[1])]).unwrap_or([Bytes::ALL; 2]);
            let begins_word = uses.iter().all(|usage| rules[usage.rule].keyword_begins_word());
            Keyword { text: text.into_bytes().into(), uses, follows, begins_word }
        };
        let keywords: Vec<Keyword> = by_keyword.into_iter().map(keyword).collect();
        let packed = if source == Source::Binary { packed(&keywords) } else { None };
        let places =
            packed.map_or_else(|| Places::Grams(Grams::new(keywords.iter().map(Keyword::sought))), Places::Packed);
        Self { keywords, places }
    }

    /// Calls `found` with (offset, rule) for each keyword in the text; not in the order of offsets.
    pub(super) fn hits(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        match &self.places {
            Places::Grams(grams) => grams.offers(text, |keyword, start| {
                self.keywords[keyword].report_at(text, start, &mut found);
            }),
            Places::Packed(searcher) => {
                let mut from = 0;
                while let Some(hit) = searcher.find_in(text, Span { start: from, end: text.len() }) {
                    let start = hit.start();
                    self.keywords.iter().for_each(|keyword| keyword.report_at(text, start, &mut found));
                    from = start + 1;
                }
            }
        }
    }
}

impl Keyword {
    fn sought(&self) -> Sought<'_> {
        let mut spellings = self.uses.iter().map(|usage| usage.exact.as_deref());
        let first = spellings.next().flatten();
        let exact = first.filter(|_| spellings.all(|spelling| spelling == first));
        Sought { text: &self.text, exact, follows: self.follows, begins_word: self.begins_word }
    }

    /// Reports the rules that use the keyword, if it stands at `start`.
    fn report_at(&self, text: &[u8], start: usize, found: &mut impl FnMut(usize, usize)) {
        let Some(there) = text.get(start..start + self.text.len()) else { return };
        if !there.eq_ignore_ascii_case(&self.text) {
            return;
        }
        for usage in &self.uses {
            if usage.exact.as_ref().is_none_or(|exact| *there == **exact) {
                found(start, usage.rule);
            }
        }
    }
}

/// A packed search for the exact spellings; `None` where the processor or the keywords do not allow one.
fn packed(keywords: &[Keyword]) -> Option<Searcher> {
    let mut spellings: Vec<&[u8]> = Vec::new();
    for usage in keywords.iter().flat_map(|keyword| &keyword.uses) {
        spellings.push(usage.exact.as_deref()?);
    }
    spellings.sort_unstable();
    spellings.dedup();
    if spellings.is_empty() || spellings.len() > PACKED_PATTERNS_MAX {
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
                 counter_examples = []\nkeywords = {keywords}\nignore_case = {ignore_case}\nboundary = false\n\
                 pattern = \"(?P<value>a)\"\nsources = [\"text\", \"binary\"]\n"
            )
        };
        let mut toml = rule("one", r#"["ab", "abab"]"#, false) + &rule("two", r#"["BA"]"#, source == Source::Text);
        toml += &rule("three", r#"["longest-keyword"]"#, false);
        Prefilter::new(&parse_rules("test", &toml).unwrap(), source)
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
    fn keywords_across_the_borders_of_blocks_are_found() {
        let prefilter = prefilter(Source::Text);
        for at in 0..600 {
            let mut text = vec![b'.'; 640];
            text[at..at + 15].copy_from_slice(b"longest-keyword");
            assert_eq!(found(&prefilter, &text), [(at, 2)]);
        }
    }
}
