//! RubyGems versions, as `Gem::Version` reads and orders them.
//!
//! Runs of digits and runs of letters; letters sort before numbers, and before the end. Zeros at the end of the numbers
//! and at the end of the whole count for nothing; a hyphen reads as `.pre.`.

use std::cmp::Ordering;

use super::{Number, Why, runs};

#[derive(Debug)]
pub(super) struct Version<'a> {
    segments: Vec<Segment<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Letters(&'a str),
    Number(Number<'a>),
}

impl Segment<'_> {
    const ZERO: Self = Segment::Number(Number::ZERO);
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("it does not start with a digit");
        }
        let (main, suffix) = text.split_once('-').map_or((text, None), |(main, suffix)| (main, Some(suffix)));
        let alphanumeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        if !main.split('.').all(alphanumeric) {
            return Err("a part between dots is empty or has a character that is not allowed");
        }
        let hyphenated = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !suffix.is_none_or(|suffix| suffix.split('.').all(hyphenated)) {
            return Err("what follows the hyphen is not allowed");
        }
        let mut segments = Vec::with_capacity(8);
        for (at, part) in text.split('-').enumerate() {
            if at > 0 {
                segments.push(Segment::Letters("pre"));
            }
            segments.extend(runs(part).map(segment));
        }
        Ok(Version { segments: canonical(&segments) })
    }
}

fn segment(run: &str) -> Segment<'_> {
    if run.starts_with(|c: char| c.is_ascii_digit()) {
        Segment::Number(Number::new(run))
    } else {
        Segment::Letters(run)
    }
}

/// Without the zeros at the end of the leading numbers and at the end of the rest.
fn canonical<'a>(segments: &[Segment<'a>]) -> Vec<Segment<'a>> {
    let first = segments.iter().position(|s| matches!(s, Segment::Letters(_))).unwrap_or(segments.len());
    let (numbers, rest) = segments.split_at(first);
    let mut found = Vec::with_capacity(segments.len());
    for part in [numbers, rest] {
        let end = part.iter().rposition(|s| *s != Segment::ZERO).map_or(0, |at| at + 1);
        found.extend_from_slice(&part[..end]);
    }
    found
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.segments.len().max(other.segments.len());
        let at = |version: &Self, at: usize| version.segments.get(at).copied().unwrap_or(Segment::ZERO);
        (0..length).map(|i| at(self, i).cmp(&at(other, i))).find(|found| found.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}
