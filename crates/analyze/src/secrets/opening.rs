//! How every match of a pattern begins: a set of bytes for each of its first places.
//!
//! Most hits of a short keyword end here, before a regular expression is tried; and the search for keywords looks only
//! for those continuations that a rule can match. Invariant: no match is refused. What a pattern leaves open is left out.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Places that are told; the first few refuse nearly everything.
const PLACES_MAX: usize = 16;

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    const NONE: Self = Self([0; 4]);

    /// Every byte.
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    fn of(byte: u8) -> Self {
        let mut set = Self::NONE;
        set.insert(byte);
        set
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Is it one of them?
    pub(super) const fn contains(self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] >> (byte & 63) & 1 != 0
    }

    /// The bytes of both.
    #[must_use]
    pub(super) fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }
}

/// The first bytes of every match of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Opening(Vec<Bytes>);

impl Opening {
    /// Of a pattern on bytes. Of one that does not parse nothing is told.
    pub(super) fn of(pattern: &str) -> Self {
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
        let mut sets = Vec::new();
        if let Ok(parsed) = parsed {
            extend(&parsed, &mut sets);
        }
        Self(sets)
    }

    /// May a match begin where this text does?
    pub(super) fn admits(&self, text: &[u8]) -> bool {
        text.len() >= self.0.len() && self.0.iter().zip(text).all(|(set, byte)| set.contains(*byte))
    }

    /// The bytes that a match may have at a place.
    pub(super) fn at(&self, place: usize) -> Bytes {
        self.0.get(place).copied().unwrap_or(Bytes::ALL)
    }
}

/// Adds what a part of a pattern matches first. True when that is all it matches, so that the next part may follow.
fn extend(part: &Hir, sets: &mut Vec<Bytes>) -> bool {
    if sets.len() >= PLACES_MAX {
        return false;
    }
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => {
            sets.extend(literal.0.iter().map(|byte| Bytes::of(*byte)).take(PLACES_MAX - sets.len()));
            sets.len() < PLACES_MAX
        }
        HirKind::Class(class) => class_of(class).is_some_and(|set| {
            sets.push(set);
            true
        }),
        HirKind::Repetition(repetition) => {
            let mut is_whole = true;
            for _ in 0..repetition.min {
                let known = sets.len();
                is_whole = extend(&repetition.sub, sets);
                if !is_whole || sets.len() == known {
                    break;
                }
            }
            is_whole && repetition.max == Some(repetition.min)
        }
        HirKind::Capture(capture) => extend(&capture.sub, sets),
        HirKind::Concat(parts) => parts.iter().all(|part| extend(part, sets)),
        HirKind::Alternation(parts) => either(parts, sets),
    }
}

/// Adds what any of the alternatives may begin with, as far as all of them tell.
fn either(parts: &[Hir], sets: &mut Vec<Bytes>) -> bool {
    let room = PLACES_MAX - sets.len();
    let mut all: Vec<(Vec<Bytes>, bool)> = Vec::new();
    for part in parts {
        let mut own = Vec::new();
        let is_whole = extend(part, &mut own);
        all.push((own, is_whole));
    }
    let shortest = all.iter().map(|(own, _)| own.len()).min().unwrap_or(0).min(room);
    sets.extend((0..shortest).map(|at| all.iter().fold(Bytes::NONE, |set, (own, _)| set.union(own[at]))));
    all.iter().all(|(own, is_whole)| *is_whole && own.len() == shortest)
}

/// The bytes of a class of bytes, or of characters that are one byte each.
fn class_of(class: &Class) -> Option<Bytes> {
    let mut set = Bytes::NONE;
    match class {
        Class::Bytes(class) => {
            class.ranges().iter().flat_map(|range| range.start()..=range.end()).for_each(|byte| set.insert(byte));
        }
        Class::Unicode(class) => {
            let class = class.to_byte_class()?;
            class.ranges().iter().flat_map(|range| range.start()..=range.end()).for_each(|byte| set.insert(byte));
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_tell_what_every_match_begins_with() {
        let check = |pattern: &str, admitted: &[&str], refused: &[&str]| {
            let opening = Opening::of(pattern);
            for text in admitted {
                assert!(opening.admits(text.as_bytes()), "{pattern} {text}");
            }
            for text in refused {
                assert!(!opening.admits(text.as_bytes()), "{pattern} {text}");
            }
        };
        check("(?P<value>s\\.[a-z]{3})", &["s.abc"], &["s.ab", "s.aB", "S.abc", ""]);
        check("(?i:ab)c", &["abc", "aBc"], &["abC"]);
        check("\\bab+c", &["abx"], &["ac", "a"]);
        check("ab?c", &["ax"], &["b"]);
        check("(?:ab|acd)e", &["abe", "acx"], &["ad"]);
        check("(?:ab|cd)e", &["abe", "ade"], &["abf"]);
        check("(?:a|)b", &["", "x"], &[]);
        check("[^a][^a]x", &["\u{e9}x", "bbx"], &["abx", "bax"]);
        check("a{2,}b", &["aax"], &["ab"]);
        check("(", &["", "anything"], &[]);
        check("abcdefghijklmnopqrstuvwxyz", &["abcdefghijklmnop-"], &["abcdefghijklmno"]);
        check("(?:a{5}){5}b", &["aaaaaaaaaaaaaaaab"], &["aaaaaaaaaaaaaaab"]);
    }
}
