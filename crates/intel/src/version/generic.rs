//! Versions of software that no scheme is known for: what is common to nearly all of them, and nothing else is judged.
//!
//! Runs of digits and runs of letters are compared in turn; zeros at the end count for nothing. A word for a
//! pre-release (`alpha`, `beta`, `rc`, …) comes before the end, any other word after it and before a number. Words are
//! compared without regard to case. What has no number at all, or a character other than letters, digits and `._-+~:`,
//! is refused.

use std::cmp::Ordering;

use super::{Number, Why, runs};

#[derive(Debug)]
pub(super) struct Version<'a> {
    parts: Vec<Part<'a>>,
}

/// In sorting order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Pre(Stage),
    End,
    Word(String),
    Number(Number<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Dev,
    Alpha,
    Beta,
    Candidate,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.strip_prefix(['v', 'V']).filter(|rest| starts_with_digit(rest)).unwrap_or(text);
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return Err("it has no number");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~:".contains(&b)) {
            return Err("it has a character that is not allowed");
        }
        let mut parts: Vec<Part<'a>> = runs(text).map(part).collect();
        trim(&mut parts);
        Ok(Version { parts })
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn part(run: &str) -> Part<'_> {
    if starts_with_digit(run) {
        return Part::Number(Number::new(run));
    }
    match run.to_ascii_lowercase().as_str() {
        "dev" | "snapshot" | "nightly" => Part::Pre(Stage::Dev),
        "alpha" => Part::Pre(Stage::Alpha),
        "beta" => Part::Pre(Stage::Beta),
        "rc" | "pre" | "preview" | "candidate" => Part::Pre(Stage::Candidate),
        other => Part::Word(other.to_owned()),
    }
}

/// Drops zeros at the end and before every word, so that `1.0rc1` and `1.0.0-rc1` are one.
fn trim(parts: &mut Vec<Part<'_>>) {
    let mut kept: Vec<Part<'_>> = Vec::with_capacity(parts.len());
    let drop_zeros = |kept: &mut Vec<Part<'_>>| {
        while kept.last() == Some(&Part::Number(Number::ZERO)) {
            kept.pop();
        }
    };
    for part in parts.drain(..) {
        if !matches!(part, Part::Number(_)) {
            drop_zeros(&mut kept);
        }
        kept.push(part);
    }
    drop_zeros(&mut kept);
    *parts = kept;
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.parts.len().max(other.parts.len());
        let at = |version: &'_ Self, at: usize| version.parts.get(at).cloned().unwrap_or(Part::End);
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
