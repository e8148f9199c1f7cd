//! Maven versions, after the "version order specification" of Maven's POM reference.
//!
//! A version is a row of tokens, cut at dots and hyphens and where digits meet letters, which counts as a hyphen; an
//! underscore is a letter. A dot before a word counts as a hyphen too. Tokens that mean nothing (`0`, `final`, `ga`,
//! `release`) are dropped at the end and before a hyphen. Every string is a version, so only what no repository can hold is
//! refused.
//!
//! Until Maven 3.8.6 `1.foo` came before every `1-…`, which is no order (`1 < 1.foo < 1-alpha < 1`); since 3.8.7 (MNG-7644)
//! the dot makes no difference. That is what is followed here.

use std::cmp::Ordering;

use super::{Number, Why};

#[derive(Debug)]
pub(super) struct Version<'a> {
    tokens: Vec<Token<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token<'a> {
    hyphen: bool,
    value: Value<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value<'a> {
    Word(Word),
    Number(Number<'a>),
}

/// The qualifiers in their order; unknown ones come after all of these, by their letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Alpha,
    Beta,
    Milestone,
    Candidate,
    Snapshot,
    Release,
    ServicePack,
    Other(String),
}

/// What no version has: the characters that Maven's `DefaultModelValidator` refuses because file systems cannot hold
/// them, the signs of a range, and the braces of a property that nobody has replaced (`${revision}`).
const ILLEGAL: &str = "\\/:\"<>|?*[](){},";

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || ILLEGAL.contains(c)) {
            return Err("it has a character that is not allowed");
        }
        let mut tokens = tokens(text);
        trim(&mut tokens);
        Ok(Version { tokens })
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut hyphen) = (text, false);
    loop {
        let digits = rest.starts_with(|c: char| c.is_ascii_digit());
        let end = rest.find(|c: char| ".-".contains(c) || c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let separator = after.starts_with(['.', '-']);
        let value = if digits {
            Value::Number(Number::new(run))
        } else if run.is_empty() {
            Value::Number(Number::ZERO)
        } else {
            Value::Word(word(run, !separator && !after.is_empty()))
        };
        found.push(Token { hyphen: hyphen || matches!(value, Value::Word(_)), value });
        if after.is_empty() {
            return found;
        }
        hyphen = !after.starts_with('.');
        rest = if separator { &after[1..] } else { after };
    }
}

/// `a`, `b` and `m` are short for a qualifier only where a digit follows at once.
fn word(text: &str, digit_follows: bool) -> Word {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "alpha" => Word::Alpha,
        "beta" => Word::Beta,
        "milestone" => Word::Milestone,
        "a" if digit_follows => Word::Alpha,
        "b" if digit_follows => Word::Beta,
        "m" if digit_follows => Word::Milestone,
        "rc" | "cr" => Word::Candidate,
        "snapshot" => Word::Snapshot,
        "ga" | "final" | "release" => Word::Release,
        "sp" => Word::ServicePack,
        _ => Word::Other(lower),
    }
}

/// Drops the tokens that mean nothing at the end and before every hyphen.
fn trim(tokens: &mut Vec<Token<'_>>) {
    let mut kept: Vec<Token<'_>> = Vec::with_capacity(tokens.len());
    for token in tokens.drain(..) {
        if token.hyphen {
            drop_nothing(&mut kept);
        }
        kept.push(token);
    }
    drop_nothing(&mut kept);
    *tokens = kept;
}

fn drop_nothing(tokens: &mut Vec<Token<'_>>) {
    while tokens.len() > 1 && tokens.last().is_some_and(Token::means_nothing) {
        tokens.pop();
    }
}

impl<'a> Token<'a> {
    fn means_nothing(&self) -> bool {
        match &self.value {
            Value::Number(number) => number.is_zero(),
            Value::Word(word) => *word == Word::Release,
        }
    }

    /// What a missing token counts as, next to this one.
    fn padding(&self) -> Token<'a> {
        let value = match &self.value {
            Value::Number(_) => Value::Number(Number::ZERO),
            Value::Word(_) => Value::Word(Word::Release),
        };
        Token { hyphen: self.hyphen, value }
    }
}

impl Ord for Token<'_> {
    /// A qualifier, whatever stands before it, < a number after a hyphen < a number after a dot.
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Value::Word(a), Value::Word(b)) => a.cmp(b),
            (Value::Word(_), Value::Number(_)) => Ordering::Less,
            (Value::Number(_), Value::Word(_)) => Ordering::Greater,
            (Value::Number(a), Value::Number(b)) => other.hyphen.cmp(&self.hyphen).then_with(|| a.cmp(b)),
        }
    }
}

impl PartialOrd for Token<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.tokens.len().max(other.tokens.len());
        (0..length)
            .map(|at| match (self.tokens.get(at), other.tokens.get(at)) {
                (Some(a), Some(b)) => a.cmp(b),
                (Some(a), None) => a.cmp(&a.padding()),
                (None, Some(b)) => b.padding().cmp(b),
                (None, None) => Ordering::Equal,
            })
            .find(|found| found.is_ne())
            .unwrap_or(Ordering::Equal)
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
