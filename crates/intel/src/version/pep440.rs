//! Versions of Python packages (PEP 440, with the normalisations of its appendix B).
//!
//! What setuptools took before PEP 440 (`1.0-final`, `trunk`) is not a version: today's tools refuse it.

use std::cmp::Ordering;

use super::{Number, Why, split_while};

/// The fields are in sorting order; `release` has no trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    epoch: Number<'a>,
    release: Vec<Number<'a>>,
    pre: Pre<'a>,
    /// `None`, which sorts first, where there is no post-release.
    post: Option<Number<'a>>,
    dev: Dev<'a>,
    /// The parts of the local version; none sorts first.
    local: Vec<Local<'a>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre<'a> {
    /// A development release of the release itself comes before its pre-releases.
    OnlyDev,
    Alpha(Number<'a>),
    Beta(Number<'a>),
    Candidate(Number<'a>),
    None,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev<'a> {
    Some(Number<'a>),
    None,
}

#[derive(Debug)]
enum Local<'a> {
    Text(&'a str),
    Number(Number<'a>),
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (epoch, rest) = match text.split_once('!') {
            Some((epoch, _)) if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) => {
                return Err("the epoch is not a number");
            }
            Some((epoch, rest)) => (Number::new(epoch), rest),
            None => (Number::ZERO, text),
        };
        let (rest, local) = match rest.split_once('+') {
            Some((rest, local)) => (rest, locals(local)?),
            None => (rest, Vec::new()),
        };
        let (release, rest) = release(rest)?;
        let (pre, rest) = pre(rest);
        let (post, rest) = post(rest);
        let (dev, rest) = match word(rest, &["dev"]) {
            Some((_, number, rest)) => (Dev::Some(number), rest),
            None => (Dev::None, rest),
        };
        if !rest.is_empty() {
            return Err("the release is followed by something that is not allowed");
        }
        let pre = match pre {
            Pre::None if post.is_none() && dev != Dev::None => Pre::OnlyDev,
            found => found,
        };
        Ok(Version { epoch, release, pre, post, dev, local })
    }
}

fn release(text: &str) -> Result<(Vec<Number<'_>>, &str), Why> {
    let mut numbers = Vec::with_capacity(4);
    let (digits, mut rest) = split_while(text, u8::is_ascii_digit);
    if digits.is_empty() {
        return Err("the release is missing");
    }
    numbers.push(Number::new(digits));
    while let Some(after) = rest.strip_prefix('.') {
        let (digits, after) = split_while(after, u8::is_ascii_digit);
        if digits.is_empty() {
            break;
        }
        numbers.push(Number::new(digits));
        rest = after;
    }
    while numbers.last().is_some_and(|n| n.is_zero()) {
        numbers.pop();
    }
    Ok((numbers, rest))
}

fn pre(text: &str) -> (Pre<'_>, &str) {
    match word(text, &["alpha", "a", "beta", "b", "preview", "pre", "c", "rc"]) {
        Some(("alpha" | "a", number, rest)) => (Pre::Alpha(number), rest),
        Some(("beta" | "b", number, rest)) => (Pre::Beta(number), rest),
        Some((_, number, rest)) => (Pre::Candidate(number), rest),
        None => (Pre::None, text),
    }
}

fn post(text: &str) -> (Option<Number<'_>>, &str) {
    if let Some(after) = text.strip_prefix('-') {
        let (digits, rest) = split_while(after, u8::is_ascii_digit);
        if !digits.is_empty() {
            return (Some(Number::new(digits)), rest);
        }
    }
    match word(text, &["post", "rev", "r"]) {
        Some((_, number, rest)) => (Some(number), rest),
        None => (None, text),
    }
}

/// One of these words, a separator allowed before and after it, and its number.
fn word<'a, 'w>(text: &'a str, words: &[&'w str]) -> Option<(&'w str, Number<'a>, &'a str)> {
    let separated = |text: &'a str| text.strip_prefix(['.', '-', '_']).unwrap_or(text);
    let text = separated(text);
    let found = words.iter().find(|w| text.get(..w.len()).is_some_and(|t| t.eq_ignore_ascii_case(w)))?;
    let (digits, rest) = split_while(separated(&text[found.len()..]), u8::is_ascii_digit);
    Some((found, Number::new(digits), rest))
}

fn locals(text: &str) -> Result<Vec<Local<'_>>, Why> {
    text.split(['.', '-', '_'])
        .map(|part| {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err("the local version is not allowed");
            }
            let number = part.bytes().all(|b| b.is_ascii_digit());
            Ok(if number { Local::Number(Number::new(part)) } else { Local::Text(part) })
        })
        .collect()
}

impl Ord for Local<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |text: &str| text.to_ascii_lowercase();
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => lower(a).cmp(&lower(b)),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Local<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Local<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Local<'_> {}
