//! Versions of Java runtimes: `1.8.0_392`, `8u392`, `17.0.9+9`, `17-ea`.
//!
//! Until Java 8 the feature release stood second and updates after an underscore (JSR 277's predecessor, "J2SE SDK/JRE
//! Version String Naming Convention"), or in short after a `u`; since Java 9 the numbers are feature, interim, update and
//! patch release (JEP 322). All are read as the latter: `8u392` is 8.0.392. A build (`+9`, `-b08`) does not count, and
//! an early-access release (`-ea`) comes before the release. Other words after a hyphen are refused.

use super::{Number, Why, split_while};

/// The fields are in sorting order; `numbers` has no trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    numbers: Vec<Number<'a>>,
    is_release: bool,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (version, word) = text.split_once('-').map_or((text, ""), |(version, word)| (version, word));
        let (version, update) = match version.split_once(['_', 'u']) {
            Some((version, update)) => (version, Some(update)),
            None => (version, None),
        };
        let mut numbers = version.split('.').map(number).collect::<Result<Vec<_>, _>>()?;
        if numbers.len() > 1 && numbers.first() == Some(&Number::new("1")) {
            numbers.remove(0);
        }
        if let Some(update) = update {
            if numbers.len() > 2 {
                return Err("it has an update after three numbers");
            }
            numbers.resize(2, Number::ZERO);
            numbers.push(number(update)?);
        }
        while numbers.last().is_some_and(|number| number.is_zero()) {
            numbers.pop();
        }
        Ok(Self { numbers, is_release: is_release(word)? })
    }
}

fn number(text: &str) -> Result<Number<'_>, Why> {
    let (digits, rest) = split_while(text, u8::is_ascii_digit);
    if digits.is_empty() || !rest.is_empty() {
        Err("a part between dots is not a number")
    } else {
        Ok(Number::new(digits))
    }
}

fn is_release(word: &str) -> Result<bool, Why> {
    let is_build = |word: &str| word.strip_prefix('b').is_some_and(|build| build.bytes().all(|b| b.is_ascii_digit()));
    match word.split_once('-').map_or(word, |(first, _)| first) {
        "" | "LTS" => Ok(true),
        "ea" | "beta" => Ok(false),
        build if is_build(build) => Ok(true),
        _ => Err("the word after the hyphen is unknown"),
    }
}
