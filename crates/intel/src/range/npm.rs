//! Ranges of npm, as node-semver reads them in loose mode (npm/node-semver README, "Ranges").
//!
//! `||` separates sets; in a set all comparisons hold. A hyphen with spaces, `~`, `^`, `x` and missing numbers are short
//! for a pair of comparisons, the upper one before the lowest pre-release (`-0`) of the first version outside.

use super::{Comparator, Constraint, Why, holds};
use crate::version::{Incomparable, Scheme};

/// With `pre_releases`, lower bounds with missing numbers take in the pre-releases of their version too.
pub(super) fn parse(text: &str, pre_releases: bool) -> Result<Vec<Vec<Constraint>>, Why> {
    // As npm does, what cannot be read is left out as long as another alternative can be.
    let read: Vec<Result<Vec<Constraint>, Why>> = text.split("||").map(|text| set(text, pre_releases)).collect();
    let failed = read.iter().find_map(|set| set.as_ref().err().copied());
    let sets: Vec<Vec<Constraint>> = read.into_iter().flatten().collect();
    match failed {
        Some(why) if sets.is_empty() => Err(why),
        _ => Ok(sets),
    }
}

fn set(text: &str, pre_releases: bool) -> Result<Vec<Constraint>, Why> {
    let text = text.trim();
    if let Some((from, to)) = hyphen(text) {
        let mut found = bound(Comparator::GreaterOrEqual, &Partial::parse(from, pre_releases)?);
        found.extend(bound(Comparator::LessOrEqual, &Partial::parse(to, pre_releases)?));
        return Ok(found);
    }
    let mut found = Vec::new();
    for word in words(text) {
        let (sign, version) = sign(&word);
        let partial = Partial::parse(version, pre_releases)?;
        match sign {
            Sign::Tilde => found.extend(tilde(&partial)),
            Sign::Caret => found.extend(caret(&partial)),
            Sign::Comparator(comparator) => found.extend(bound(comparator, &partial)),
        }
    }
    Ok(found)
}

fn hyphen(text: &str) -> Option<(&str, &str)> {
    let (from, to) = text.split_once(" - ")?;
    let plain = |side: &str| !side.trim().is_empty() && !side.trim().contains(|c: char| c.is_whitespace());
    (plain(from) && plain(to)).then_some((from.trim(), to.trim()))
}

/// Words between spaces, where a sign belongs to the version after it.
fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut joins = false;
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        match found.last_mut() {
            Some(last) if joins => last.push_str(word),
            _ => found.push(word.to_owned()),
        }
        joins = word.bytes().all(|b| b"<>=~^".contains(&b));
    }
    found
}

enum Sign {
    Tilde,
    Caret,
    Comparator(Comparator),
}

fn sign(word: &str) -> (Sign, &str) {
    if let Some(rest) = word.strip_prefix("~>").or_else(|| word.strip_prefix('~')) {
        return (Sign::Tilde, rest.trim_start_matches(['=', 'v']));
    }
    if let Some(rest) = word.strip_prefix('^') {
        return (Sign::Caret, rest.trim_start_matches(['=', 'v']));
    }
    let (comparator, rest) = Comparator::split(word);
    (Sign::Comparator(comparator), rest)
}

/// A version of which numbers may be missing or `x`.
struct Partial<'a> {
    numbers: [Option<&'a str>; 3],
    /// With its hyphen.
    pre: String,
    /// Pre-releases count as inside.
    pre_releases: bool,
}

impl<'a> Partial<'a> {
    fn parse(text: &'a str, pre_releases: bool) -> Result<Self, Why> {
        let text = text.trim_start_matches(['v', 'V', '=']);
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let end = text.find(|c: char| !c.is_ascii_digit() && !".xX*".contains(c)).unwrap_or(text.len());
        let (main, pre) = text.split_at(end);
        let mut numbers = [None; 3];
        let parts: Vec<&str> = if main.is_empty() { Vec::new() } else { main.split('.').collect() };
        if parts.len() > 3 || (main.is_empty() && !pre.is_empty()) {
            return Err("a version does not have one to three numbers");
        }
        for (place, part) in numbers.iter_mut().zip(parts) {
            match part {
                "x" | "X" | "*" => break,
                digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => *place = Some(digits),
                _ => return Err("a part of a version is neither a number nor x"),
            }
        }
        let pre = pre.trim_start_matches('-');
        if !pre.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
            return Err("a pre-release has a character that is not allowed");
        }
        let whole = numbers[2].is_some() && !pre.is_empty();
        Ok(Self { numbers, pre: if whole { format!("-{pre}") } else { String::new() }, pre_releases })
    }

    /// How many numbers it has.
    fn depth(&self) -> usize {
        self.numbers.iter().take_while(|n| n.is_some()).count()
    }

    /// With zeros for what is missing.
    fn floor(&self) -> String {
        let [major, minor, patch] = self.numbers.map(|n| n.unwrap_or("0"));
        let lowest = if self.pre_releases && self.depth() < 3 { "-0" } else { "" };
        format!("{major}.{minor}.{patch}{}{lowest}", self.pre)
    }

    /// The first version after all that have the same numbers up to this place.
    fn after(&self, place: usize) -> String {
        let mut numbers = self.numbers.map(|n| n.unwrap_or("0").to_owned());
        numbers[place] = increment(&numbers[place]);
        for later in &mut numbers[place + 1..] {
            "0".clone_into(later);
        }
        numbers.join(".")
    }
}

/// One more, however many digits.
pub(super) fn increment(digits: &str) -> String {
    let mut out: Vec<u8> = digits.bytes().collect();
    for digit in out.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return String::from_utf8(out).expect("ASCII digits");
        }
        *digit = b'0';
    }
    format!("1{}", String::from_utf8(out).expect("ASCII digits"))
}

fn pair(partial: &Partial<'_>, place: usize) -> Vec<Constraint> {
    vec![
        Constraint::new(Comparator::GreaterOrEqual, partial.floor()),
        Constraint::new(Comparator::Less, format!("{}-0", partial.after(place))),
    ]
}

fn tilde(partial: &Partial<'_>) -> Vec<Constraint> {
    match partial.depth() {
        0 => Vec::new(),
        1 => pair(partial, 0),
        _ => pair(partial, 1),
    }
}

/// Up to the next change of the leftmost number that is not zero.
fn caret(partial: &Partial<'_>) -> Vec<Constraint> {
    let depth = partial.depth();
    let zero = |place: usize| partial.numbers[place].is_some_and(|n| n.bytes().all(|b| b == b'0'));
    match depth {
        0 => Vec::new(),
        _ if !zero(0) || depth == 1 => pair(partial, 0),
        _ if !zero(1) || depth == 2 => pair(partial, 1),
        _ => pair(partial, 2),
    }
}

fn bound(comparator: Comparator, partial: &Partial<'_>) -> Vec<Constraint> {
    let depth = partial.depth();
    if depth == 3 {
        return vec![Constraint::new(comparator, partial.floor())];
    }
    let never = || vec![Constraint::new(Comparator::Less, "0.0.0-0")];
    match (comparator, depth) {
        (Comparator::Less | Comparator::Greater, 0) => never(),
        (_, 0) => Vec::new(),
        (Comparator::Equal | Comparator::NotEqual, _) => pair(partial, depth - 1),
        (Comparator::Less, _) => {
            let floor = partial.floor();
            vec![Constraint::new(Comparator::Less, format!("{}-0", floor.trim_end_matches("-0")))]
        }
        (Comparator::LessOrEqual, _) => {
            vec![Constraint::new(Comparator::Less, format!("{}-0", partial.after(depth - 1)))]
        }
        (Comparator::Greater, _) => {
            let lowest = if partial.pre_releases { "-0" } else { "" };
            vec![Constraint::new(Comparator::GreaterOrEqual, format!("{}{lowest}", partial.after(depth - 1)))]
        }
        (Comparator::GreaterOrEqual, _) => vec![Constraint::new(Comparator::GreaterOrEqual, partial.floor())],
    }
}

/// See [`Range::satisfied_by`](super::Range::satisfied_by).
pub(super) fn satisfies(sets: &[Vec<Constraint>], version: &str, pre_releases: bool) -> Result<bool, Incomparable> {
    Scheme::Npm.validate(version)?;
    let (numbers, is_pre) = numbers(version);
    for set in sets {
        if !holds(set, version, Scheme::Npm)? {
            continue;
        }
        let names_it = |c: &Constraint| {
            let (of_constraint, pre) = self::numbers(&c.version);
            pre && of_constraint == numbers
        };
        if !is_pre || pre_releases || set.iter().any(names_it) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The three numbers, and whether a pre-release follows.
fn numbers(version: &str) -> (&str, bool) {
    let plain = version.trim_start_matches(['v', 'V', '=', ' ']);
    let plain = plain.split_once('+').map_or(plain, |(plain, _)| plain);
    let end = plain.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(plain.len());
    (&plain[..end], end < plain.len())
}
