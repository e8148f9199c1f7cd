//! Versions of rpm packages: `[epoch:]version[-release]` (rpm-version(7)).
//!
//! Runs of digits and letters are compared in turn, all else separates; `~` sorts before everything, also before the
//! end, `^` just after the end. A version without a release sorts before the same version with one.

use std::cmp::Ordering;

use super::{Number, Why, split_before, split_while};

#[derive(Debug)]
pub(super) struct Version<'a> {
    epoch: Number<'a>,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let (digits, after) = split_while(text, u8::is_ascii_digit);
        let (epoch, rest) = after.strip_prefix(':').map_or(("0", text), |rest| (digits, rest));
        let hyphen = rest.bytes().rposition(|b| b == b'-');
        let (version, release) = hyphen.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
        if version.is_empty() {
            return Err("the version is empty");
        }
        let is_usual = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'=' | b'>');
        let is_refused = |c: char| c.is_whitespace() || c.is_control() || "<>=".contains(c);
        if !rest.bytes().all(is_usual) && rest.chars().any(is_refused) {
            return Err("it has a character that is not allowed");
        }
        Ok(Version { epoch: Number::new(epoch), version, release })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let releases = || match (self.release, other.release) {
            (Some(a), Some(b)) => part(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        self.epoch.cmp(&other.epoch).then_with(|| part(self.version, other.version)).then_with(releases)
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

/// What a version goes on with, in sorting order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Tilde,
    End,
    Caret,
    Letters(&'a str),
    Digits(Number<'a>),
}

fn part(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (x, a_after) = segment(a);
        let (y, b_after) = segment(b);
        let found = x.cmp(&y);
        if found.is_ne() || x == Segment::End {
            return found;
        }
        (a, b) = (a_after, b_after);
    }
}

fn segment(text: &str) -> (Segment<'_>, &str) {
    let (_, text) = split_before(text, |b| b.is_ascii_alphanumeric() || matches!(b, b'~' | b'^'));
    match text.as_bytes().first() {
        None => (Segment::End, text),
        Some(b'~') => (Segment::Tilde, &text[1..]),
        Some(b'^') => (Segment::Caret, &text[1..]),
        Some(b'0'..=b'9') => {
            let (digits, rest) = split_while(text, u8::is_ascii_digit);
            (Segment::Digits(Number::new(digits)), rest)
        }
        Some(_) => {
            let (letters, rest) = split_while(text, u8::is_ascii_alphabetic);
            (Segment::Letters(letters), rest)
        }
    }
}
