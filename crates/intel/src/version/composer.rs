//! Packagist versions, as Composer normalises and orders them.
//!
//! One to four numbers (or a date), then a stability and its numbers, then `dev`; build metadata counts for nothing.
//! `dev` < `alpha` < `beta` < `RC` < the release < `patch`. Branches (`dev-main`) have no order and are refused, as is
//! whatever Composer itself refuses (`1.0.post1`).

use super::{Number, Why, split_while};

/// The fields are in sorting order; `numbers` has no trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    numbers: Vec<Number<'a>>,
    stability: Stability,
    /// Ends with [`Part::End`] or [`Part::Dev`]: a version that goes on with a number is newer, one with `dev` older.
    rest: Vec<Part<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Dev,
    Alpha,
    Beta,
    Candidate,
    Stable,
    Patch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Dev,
    End,
    Number(Number<'a>),
}

/// As Composer spells them, longer names before those that they begin with.
const STABILITIES: [(&str, Stability); 9] = [
    ("stable", Stability::Stable),
    ("beta", Stability::Beta),
    ("b", Stability::Beta),
    ("rc", Stability::Candidate),
    ("alpha", Stability::Alpha),
    ("a", Stability::Alpha),
    ("patch", Stability::Patch),
    ("pl", Stability::Patch),
    ("p", Stability::Patch),
];

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let text = match text.split_once('+') {
            Some((text, build)) if !build.is_empty() && !build.contains(|c: char| c.is_whitespace()) => text,
            Some(_) => return Err("the build metadata is not allowed"),
            None => text,
        };
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (mut numbers, label) = match numbers(text, &['.']) {
            (numbers, rest) if (1..=4).contains(&numbers.len()) && label(rest).is_some() => (numbers, label(rest)),
            _ => date(text).map(|(numbers, rest)| (numbers, label(rest))).unwrap_or_default(),
        };
        let Some(Label { stability, numbers: of_it, dev }) = label else {
            return Err("it is neither one to four numbers nor a date, with or without a known stability");
        };
        while numbers.last().is_some_and(|n| n.is_zero()) {
            numbers.pop();
        }
        if stability == Stability::Stable {
            let stability = if dev { Stability::Dev } else { stability };
            return Ok(Version { numbers, stability, rest: vec![Part::End] });
        }
        let last = if dev { Part::Dev } else { Part::End };
        let rest = of_it.into_iter().map(Part::Number).chain([last]).collect();
        Ok(Version { numbers, stability, rest })
    }
}

/// What follows the numbers, up to the end of the text.
struct Label<'a> {
    stability: Stability,
    numbers: Vec<Number<'a>>,
    dev: bool,
}

/// Numbers with one of these separators between them; the separator after the last one is left.
fn numbers<'a>(text: &'a str, separators: &[char]) -> (Vec<Number<'a>>, &'a str) {
    let mut found = Vec::with_capacity(4);
    let mut rest = text;
    loop {
        let (digits, after) = split_while(rest, u8::is_ascii_digit);
        if digits.is_empty() {
            return (found, rest);
        }
        found.push(Number::new(digits));
        match after.strip_prefix(separators) {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            Some(_) | None => return (found, after),
        }
    }
}

/// A year of four digits, then up to eight short numbers, with or without separators (`20240131`, `2024-01-31`).
fn date(text: &str) -> Option<(Vec<Number<'_>>, &str)> {
    let (year, _) = split_while(text, u8::is_ascii_digit);
    let (found, rest) = numbers(text, &['.', '-', ':']);
    let plausible = year.len() == 4 || (year.len() >= 6 && year.len() <= 14 && year.len().is_multiple_of(2));
    (plausible && found.len() <= 9).then_some((found, rest))
}

fn label(text: &str) -> Option<Label<'_>> {
    let is_dev = |text: &str| text.strip_prefix(['.', '-']).unwrap_or(text).eq_ignore_ascii_case("dev");
    let after = text.strip_prefix(['.', '_', '-']).unwrap_or(text);
    let named = STABILITIES
        .iter()
        .find(|(name, _)| after.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)));
    let Some((name, stability)) = named else {
        let dev = is_dev(after);
        return (after.is_empty() || dev).then_some(Label { stability: Stability::Stable, numbers: Vec::new(), dev });
    };
    let rest = &after[name.len()..];
    let digits = rest.strip_prefix(['.', '-']).filter(|next| next.starts_with(|c: char| c.is_ascii_digit()));
    let (numbers, rest) = numbers(digits.unwrap_or(rest), &['.', '-']);
    let dev = is_dev(rest);
    (rest.is_empty() || dev).then_some(Label { stability: *stability, numbers, dev })
}
