//! Semantic versions (semver.org 2.0.0), as strictly as the ecosystems that use them are strict.
//!
//! Everywhere: a leading `v` or `=` is ignored, missing numbers are zero, more than three numbers are compared too, and
//! build metadata counts for nothing. Then each ecosystem's own habit, see the `parse…` functions.

use std::cmp::Ordering;

use super::{Number, Numbers, Why, split_at_byte, split_while};

#[derive(Debug)]
pub(super) struct Version<'a> {
    numbers: Numbers<'a>,
    label: Label<'a>,
}

/// What follows the numbers, in sorting order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label<'a> {
    Pre(Identifiers<'a>),
    Release,
    /// A number that Bitnami gives to its own rebuilds.
    Revision(Number<'a>),
}

/// The parts of a pre-release: those between the dots of `rest`, after `first`.
#[derive(Debug, Clone, Copy)]
struct Identifiers<'a> {
    first: Option<&'a str>,
    rest: &'a str,
}

/// A part between dots of a pre-release; numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier<'a> {
    Number(Number<'a>),
    Text(&'a str),
}

impl<'a> Version<'a> {
    /// The pre-release has to follow a hyphen.
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        Self::read(text, |rest| {
            rest.strip_prefix('-').ok_or("the numbers are followed by something that is not allowed").and_then(labels)
        })
    }

    /// As node-semver reads it in loose mode: the hyphen before the pre-release may be missing (`1.2.3beta`), and any
    /// count of `v` and `=` may come first.
    pub(super) fn parse_npm(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_start_matches(['v', '=', ' ']);
        Self::read(text, |rest| labels(rest.strip_prefix('-').unwrap_or(rest)))
    }

    /// Also releases of Go itself: `go1.21.3`, and `1.21rc2`, which is `1.21.0-rc.2`.
    pub(super) fn parse_go(text: &'a str) -> Result<Self, Why> {
        Self::read(text.strip_prefix("go").unwrap_or(text), |rest| match rest.strip_prefix('-') {
            Some(rest) => labels(rest),
            None => {
                let (word, digits) = split_while(rest, u8::is_ascii_alphabetic);
                if !matches!(word, "rc" | "beta") || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err("the numbers are followed by something that is not allowed");
                }
                Ok(Identifiers { first: Some(word), rest: digits })
            }
        })
    }

    /// A single number after the hyphen is a packaging revision: `1.2.3-4` is newer than `1.2.3`.
    pub(super) fn parse_bitnami(text: &'a str) -> Result<Self, Why> {
        let mut found = Self::parse(text)?;
        if let Label::Pre(Identifiers { first: None, rest }) = found.label
            && let Identifier::Number(number) = Identifier::of(rest)
        {
            found.label = Label::Revision(number);
        }
        Ok(found)
    }

    fn read(text: &'a str, label: impl Fn(&'a str) -> Result<Identifiers<'a>, Why>) -> Result<Self, Why> {
        let text = text.strip_prefix(['v', 'V', '=']).unwrap_or(text);
        let (text, build) = split_at_byte(text, b'+').unwrap_or((text, "0"));
        if build.is_empty() || !build.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b)) {
            return Err("the build metadata is not allowed");
        }
        let (numbers, rest) = Numbers::split(text).map_err(|()| "a number is missing")?;
        let label = if rest.is_empty() { Label::Release } else { Label::Pre(label(rest)?) };
        Ok(Version { numbers, label })
    }
}

fn labels(text: &str) -> Result<Identifiers<'_>, Why> {
    for identifier in text.split('.') {
        if identifier.is_empty() {
            return Err("a pre-release identifier is empty");
        }
        if !identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("the pre-release has a character that is not allowed");
        }
    }
    Ok(Identifiers { first: None, rest: text })
}

impl<'a> Identifiers<'a> {
    fn iter(self) -> impl Iterator<Item = Identifier<'a>> {
        self.first.into_iter().chain(self.rest.split('.')).map(Identifier::of)
    }
}

impl<'a> Identifier<'a> {
    fn of(text: &'a str) -> Self {
        if text.bytes().all(|b| b.is_ascii_digit()) { Self::Number(Number::new(text)) } else { Self::Text(text) }
    }
}

impl Ord for Identifiers<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Identifiers<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Identifiers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Identifiers<'_> {}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| self.label.cmp(&other.label))
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
