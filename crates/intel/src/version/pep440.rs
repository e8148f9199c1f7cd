//! Versions of Python packages (PEP 440, with the normalisations of its appendix B).
//!
//! What setuptools took before PEP 440 (`1.0-final`, `trunk`) is not a version: today's tools refuse it.

use std::cmp::Ordering;

use super::{Number, Numbers, Why, split_at_byte, split_while};

/// The fields are in sorting order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    epoch: Number<'a>,
    release: Numbers<'a>,
    pre: Pre<'a>,
    /// `None`, which sorts first, where there is no post-release.
    post: Option<Number<'a>>,
    dev: Dev<'a>,
    /// `None`, which sorts first, where there is no local version.
    local: Option<Locals<'a>>,
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

/// A local version: parts between `.`, `-` and `_`.
#[derive(Debug, Clone, Copy)]
struct Locals<'a>(&'a str);

#[derive(Debug)]
enum Local<'a> {
    Text(&'a str),
    Number(Number<'a>),
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (epoch, rest) = match split_at_byte(text, b'!') {
            Some((epoch, _)) if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) => {
                return Err("the epoch is not a number");
            }
            Some((epoch, rest)) => (Number::new(epoch), rest),
            None => (Number::ZERO, text),
        };
        let (rest, local) = match split_at_byte(rest, b'+') {
            Some((rest, local)) => (rest, Some(locals(local)?)),
            None => (rest, None),
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

/// A dot that no number follows belongs to what comes next (`1.0.dev1`).
fn release(text: &str) -> Result<(Numbers<'_>, &str), Why> {
    let mut end = split_while(text, u8::is_ascii_digit).0.len();
    if end == 0 {
        return Err("the release is missing");
    }
    while let Some(after) = text[end..].strip_prefix('.') {
        let (digits, _) = split_while(after, u8::is_ascii_digit);
        if digits.is_empty() {
            break;
        }
        end += 1 + digits.len();
    }
    Ok((Numbers(&text[..end]), &text[end..]))
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

fn locals(text: &str) -> Result<Locals<'_>, Why> {
    if text.split(['.', '-', '_']).any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err("the local version is not allowed");
    }
    Ok(Locals(text))
}

impl<'a> Locals<'a> {
    fn iter(self) -> impl Iterator<Item = Local<'a>> {
        self.0.split(['.', '-', '_']).map(|part| {
            let is_number = part.bytes().all(|b| b.is_ascii_digit());
            if is_number { Local::Number(Number::new(part)) } else { Local::Text(part) }
        })
    }
}

impl Ord for Locals<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Locals<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Locals<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Locals<'_> {}

fn lower(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|b| b.to_ascii_lowercase())
}

impl Ord for Local<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => lower(a).cmp(lower(b)),
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
