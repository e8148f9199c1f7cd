//! Versions of Arch Linux packages: `[epoch:]version[-release]`, as `vercmp(8)` orders them.
//!
//! Runs of digits and letters are compared in turn. Letters that follow without a separator come before the end
//! (`1.0rc` < `1.0`), everything else after it; a longer separator is newer, digits are newer than letters.
//!
//! Releases count only where both versions have one, so `1.5-1` = `1.5` = `1.5-2`. That is an order only among versions
//! with a release, which every package and every advisory of the distribution has.
//!
//! A version that ends with a separator is refused: vercmp's answer about it is no order, and no package has one.

use std::cmp::Ordering;

use super::{Number, Why, split_while};

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
        let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(v, r)| (v, Some(r)));
        for part in [Some(version), release].into_iter().flatten() {
            if !part.ends_with(|c: char| c.is_ascii_alphanumeric()) {
                return Err("the version or the release is empty, or ends with a separator");
            }
            if part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>=/:".contains(c)) {
                return Err("it has a character that is not allowed");
            }
        }
        Ok(Version { epoch: Number::new(epoch), version, release })
    }
}

/// Whether a valid version has a release: what tells versions apart that are equal only because one has none.
pub(super) fn has_release(text: &str) -> bool {
    text.contains('-')
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let releases = || match (self.release, other.release) {
            (Some(a), Some(b)) => part(a, b),
            (None, _) | (_, None) => Ordering::Equal,
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
    /// Letters right after digits.
    Suffix(&'a str),
    End,
    /// Characters of the separator, then what stands after it.
    Next(usize, Run<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run<'a> {
    Letters(&'a str),
    Digits(Number<'a>),
}

fn part(mut a: &str, mut b: &str) -> Ordering {
    let mut first = true;
    loop {
        let (x, a_after) = segment(a, first);
        let (y, b_after) = segment(b, first);
        let found = x.cmp(&y);
        if found.is_ne() || x == Segment::End {
            return found;
        }
        (a, b, first) = (a_after, b_after, false);
    }
}

fn segment(text: &str, first: bool) -> (Segment<'_>, &str) {
    let run = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let separator = text.len() - run.len();
    if run.is_empty() {
        return (Segment::End, run);
    }
    let (digits, rest) = split_while(run, u8::is_ascii_digit);
    if !digits.is_empty() {
        return (Segment::Next(separator, Run::Digits(Number::new(digits))), rest);
    }
    let (letters, rest) = split_while(run, u8::is_ascii_alphabetic);
    let suffix = separator == 0 && !first;
    (if suffix { Segment::Suffix(letters) } else { Segment::Next(separator, Run::Letters(letters)) }, rest)
}
