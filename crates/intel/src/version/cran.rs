//! Versions of R packages (R manual "Writing R Extensions", section 1.1.1; `package_version` compares them) and of
//! Haskell packages (`Data.Version` of base: the order of lists of numbers).
//!
//! Both are rows of whole numbers, compared in turn; of two where one goes on, the longer one is newer, so that
//! `1.8` < `1.8.0`. R also takes a hyphen between the numbers.

use super::{Number, Why};

/// One number after the other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    numbers: Vec<Number<'a>>,
}

impl<'a> Version<'a> {
    /// As R reads it.
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        numbers(text, &['.', '-'])
    }

    /// As Cabal reads it.
    pub(super) fn parse_hackage(text: &'a str) -> Result<Self, Why> {
        numbers(text, &['.'])
    }
}

fn numbers<'a>(text: &'a str, separators: &[char]) -> Result<Version<'a>, Why> {
    let number = |part: &'a str| {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err("a part between separators is not a number");
        }
        Ok(Number::new(part))
    };
    Ok(Version { numbers: text.split(separators).map(number).collect::<Result<_, _>>()? })
}
