//! Version schemes: how each ecosystem orders its versions.
//!
//! Not here: ranges and verdicts, which are built on top of [`Scheme::compare`].
//!
//! Invariant: [`Scheme::compare`] either gives the order that the ecosystem's own tool gives, or says which version it
//! could not read. It never guesses. Numbers have no upper bound: they are compared as strings of digits.

mod alpm;
pub mod apk;
mod composer;
mod conan;
mod cran;
mod deb;
mod gem;
mod generic;
mod java;
mod maven;
mod nuget;
mod openssl;
mod pep440;
mod pubspec;
mod read;
mod rpm;
mod semver;

use std::cmp::Ordering;
use std::fmt;

use model::Ecosystem;
use model::software::{Versions, software};
pub(crate) use read::Read;

/// The longest version that is read, in bytes. Longer ones are [`Incomparable`].
pub const BYTES_MAX: usize = 1024;

/// A way of writing and ordering versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Alpine, Wolfi, Chainguard: apk-tools.
    Apk,
    /// Debian, Ubuntu: deb-version(7).
    Deb,
    /// Distributions with rpm: rpm-version(7), with epoch and release.
    Rpm,
    /// Semantic Versioning 2.0.0, with a leading `v` and any count of numbers allowed.
    Semver,
    /// npm: semver as node-semver reads it in loose mode.
    Npm,
    /// Go modules (semver), and Go releases (`go1.21rc2`).
    Go,
    /// Bitnami: semver, where a bare number after the hyphen is a packaging revision.
    Bitnami,
    /// Python: PEP 440.
    Pep440,
    /// Maven: the version order specification of the POM reference.
    Maven,
    /// RubyGems: `Gem::Version`.
    Gem,
    /// NuGet: up to four numbers, labels without regard to case.
    NuGet,
    /// Packagist: the order of PHP's `version_compare`, which Composer uses.
    Composer,
    /// Hex (Elixir and Erlang): semver, as Elixir's `Version` orders it.
    Hex,
    /// Dart: semver whose build counts.
    Pub,
    /// Conan (C and C++).
    Conan,
    /// R: rows of numbers.
    Cran,
    /// Haskell: rows of numbers.
    Hackage,
    /// Arch Linux: `vercmp(8)`.
    Alpm,
    /// OpenSSL's own versions, with patch letters.
    OpenSsl,
    /// Java runtimes: `1.8.0_392`, `8u392`, `17.0.9`.
    Java,
    /// Software of which no scheme is known.
    Generic,
}

/// A version that its scheme cannot read, so that nothing can be said about its order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{version:?} is not a {scheme} version: {why}")]
pub struct Incomparable {
    /// The version as found, cut to 100 characters.
    pub version: String,
    /// The scheme that could not read it.
    pub scheme: Scheme,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 21] = [
        Self::Apk,
        Self::Deb,
        Self::Rpm,
        Self::Semver,
        Self::Npm,
        Self::Go,
        Self::Bitnami,
        Self::Pep440,
        Self::Maven,
        Self::Gem,
        Self::NuGet,
        Self::Composer,
        Self::Hex,
        Self::Pub,
        Self::Conan,
        Self::Cran,
        Self::Hackage,
        Self::Alpm,
        Self::OpenSsl,
        Self::Java,
        Self::Generic,
    ];

    /// The scheme of an ecosystem's versions.
    pub const fn of(ecosystem: Ecosystem) -> Self {
        match ecosystem {
            Ecosystem::Alpine | Ecosystem::Wolfi | Ecosystem::Chainguard | Ecosystem::MinimOs => Self::Apk,
            Ecosystem::Arch => Self::Alpm,
            Ecosystem::Debian | Ecosystem::Ubuntu => Self::Deb,
            Ecosystem::RedHat
            | Ecosystem::AlmaLinux
            | Ecosystem::RockyLinux
            | Ecosystem::OracleLinux
            | Ecosystem::AmazonLinux
            | Ecosystem::Fedora
            | Ecosystem::Suse
            | Ecosystem::OpenSuse
            | Ecosystem::PhotonOs
            | Ecosystem::AzureLinux
            | Ecosystem::OpenEuler => Self::Rpm,
            Ecosystem::Npm => Self::Npm,
            Ecosystem::PyPI => Self::Pep440,
            Ecosystem::Go => Self::Go,
            Ecosystem::Maven => Self::Maven,
            Ecosystem::CratesIo | Ecosystem::Julia | Ecosystem::SwiftUrl => Self::Semver,
            Ecosystem::ConanCenter => Self::Conan,
            Ecosystem::Cran => Self::Cran,
            Ecosystem::Hackage => Self::Hackage,
            Ecosystem::Hex => Self::Hex,
            Ecosystem::Pub => Self::Pub,
            Ecosystem::RubyGems => Self::Gem,
            Ecosystem::Packagist => Self::Composer,
            Ecosystem::NuGet => Self::NuGet,
            Ecosystem::Bitnami => Self::Bitnami,
            Ecosystem::Generic => Self::Generic,
        }
    }

    /// The scheme of a package's versions: software without a package manager has schemes of its own.
    pub fn of_package(ecosystem: Ecosystem, name: &str) -> Self {
        match software(name).filter(|_| ecosystem == Ecosystem::Generic) {
            Some(software) => Self::of_software(software.versions),
            None => Self::of(ecosystem),
        }
    }

    /// The scheme of versions that are written so.
    pub(crate) const fn of_software(versions: Versions) -> Self {
        match versions {
            Versions::OpenSsl => Self::OpenSsl,
            Versions::Python => Self::Pep440,
            Versions::Java => Self::Java,
            Versions::Plain | Versions::OpenSsh | Versions::Patched | Versions::Levelled => Self::Generic,
        }
    }

    /// The name that people read and that fixtures are called by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Semver => "semver",
            Self::Npm => "npm",
            Self::Go => "go",
            Self::Bitnami => "bitnami",
            Self::Pep440 => "pep440",
            Self::Maven => "maven",
            Self::Gem => "gem",
            Self::NuGet => "nuget",
            Self::Composer => "composer",
            Self::Hex => "hex",
            Self::Pub => "pub",
            Self::Conan => "conan",
            Self::Cran => "cran",
            Self::Hackage => "hackage",
            Self::Alpm => "alpm",
            Self::OpenSsl => "openssl",
            Self::Java => "java",
            Self::Generic => "generic",
        }
    }

    /// Compares two versions as the ecosystem's own tool does.
    ///
    /// # Errors
    /// [`Incomparable`] with the first of the two that is not a version of this scheme, or is longer than [`BYTES_MAX`].
    pub fn compare(self, a: &str, b: &str) -> Result<Ordering, Incomparable> {
        for version in [a, b] {
            self.check_length(version)?;
        }
        self.read(a)?.compare(b)
    }

    /// Reads a version that is compared with many others.
    ///
    /// # Errors
    /// [`Incomparable`] when it is not a version of this scheme, or is longer than [`BYTES_MAX`].
    pub(crate) fn read(self, version: &str) -> Result<Read<'_>, Incomparable> {
        Read::new(self, version)
    }

    /// Whether this is a version of the scheme.
    ///
    /// # Errors
    /// [`Incomparable`] when it is not.
    pub fn validate(self, version: &str) -> Result<(), Incomparable> {
        self.compare(version, version).map(|_| ())
    }

    /// A total order for showing lists: what is not a version of the scheme comes before every version that is, in
    /// natural order of its digits and letters. Never base a verdict on it; that is what [`Scheme::compare`] is for.
    pub fn order(self, a: &str, b: &str) -> Ordering {
        if self == Self::Alpm && self.compare(a, b) == Ok(Ordering::Equal) {
            return alpm::has_release(a).cmp(&alpm::has_release(b));
        }
        self.compare(a, b).unwrap_or_else(|_| match (self.validate(a), self.validate(b)) {
            (Err(_), Ok(())) => Ordering::Less,
            (Ok(()), Err(_)) => Ordering::Greater,
            (Ok(()), Ok(())) | (Err(_), Err(_)) => natural(a, b),
        })
    }

    fn check_length(self, version: &str) -> Result<(), Incomparable> {
        if version.len() > BYTES_MAX {
            return Err(self.incomparable(version, "it is longer than 1,024 bytes"));
        }
        Ok(())
    }

    fn incomparable(self, version: &str, why: &'static str) -> Incomparable {
        Incomparable { version: version.chars().take(100).collect(), scheme: self, why }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a string is not a version.
type Why = &'static str;

/// A whole number of any length: its digits without leading zeros. Zero is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Number<'a>(&'a str);

impl<'a> Number<'a> {
    const ZERO: Self = Number("");

    /// `digits` must be ASCII digits; no digits mean zero.
    fn new(digits: &'a str) -> Self {
        debug_assert!(digits.bytes().all(|b| b.is_ascii_digit()));
        Number(split_before(digits, |b| b != b'0').1)
    }

    fn is_zero(self) -> bool {
        self.0.is_empty()
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Numbers between dots; zeros at the end count for nothing.
#[derive(Debug, Clone, Copy)]
struct Numbers<'a>(&'a str);

impl<'a> Numbers<'a> {
    /// The numbers that a text begins with, and the rest, which does not begin with a dot.
    fn split(text: &'a str) -> Result<(Self, &'a str), ()> {
        let mut rest = text;
        loop {
            let (digits, after) = split_while(rest, u8::is_ascii_digit);
            if digits.is_empty() {
                return Err(());
            }
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None => return Ok((Self(&text[..text.len() - after.len()]), after)),
            }
        }
    }
}

impl Ord for Numbers<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.0, other.0);
        while !left.is_empty() || !right.is_empty() {
            let (x, left_after) = split_while(left, u8::is_ascii_digit);
            let (y, right_after) = split_while(right, u8::is_ascii_digit);
            let found = Number::new(x).cmp(&Number::new(y));
            if found.is_ne() {
                return found;
            }
            let next = |after: &'_ str| usize::from(!after.is_empty());
            (left, right) = (&left_after[next(left_after)..], &right_after[next(right_after)..]);
        }
        Ordering::Equal
    }
}

impl PartialOrd for Numbers<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numbers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Numbers<'_> {}

/// Splits at the first of these bytes, which must be ASCII.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Splits before the first byte that is `wanted`, which only ASCII may be.
fn split_before(text: &str, wanted: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(wanted).unwrap_or(text.len()))
}

/// Splits off the longest prefix whose bytes are all ASCII and satisfy `wanted`.
fn split_while(text: &str, wanted: impl Fn(&u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii() || !wanted(&b)).unwrap_or(text.len());
    text.split_at(end)
}

/// Runs of digits and runs of letters, in order; every other character only separates.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = rest.starts_with(|c: char| c.is_ascii_digit());
        let (run, after) = split_while(rest, |b| if digits { b.is_ascii_digit() } else { b.is_ascii_alphabetic() });
        rest = after;
        (!run.is_empty()).then_some(run)
    })
}

/// Digits by value, everything else by byte; ties by byte, so that only equal strings are equal.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (x, left_after) = split_while(left, u8::is_ascii_digit);
        let (y, right_after) = split_while(right, u8::is_ascii_digit);
        let found = if x.is_empty() || y.is_empty() {
            let (x, y) = (left.as_bytes()[0], right.as_bytes()[0]);
            let step = |text: &str| text.char_indices().nth(1).map_or(text.len(), |(at, _)| at);
            let found = left[..step(left)].cmp(&right[..step(right)]).then(x.cmp(&y));
            (left, right) = (&left[step(left)..], &right[step(right)..]);
            found
        } else {
            (left, right) = (left_after, right_after);
            Number::new(x).cmp(&Number::new(y))
        };
        if found.is_ne() {
            return found;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        let found = Scheme::Deb.compare("1.0-1", "<unfixed>").expect_err("not a version");
        assert_eq!(found.version, "<unfixed>");
        assert_eq!(found.to_string(), "\"<unfixed>\" is not a deb version: the version does not start with a digit");
    }

    #[test]
    fn versions_over_the_cap_are_incomparable() {
        let long = format!("1.{}", "0".repeat(BYTES_MAX));
        for scheme in Scheme::ALL {
            let found = scheme.compare("1.0", &long).expect_err("too long");
            assert_eq!(found.why, "it is longer than 1,024 bytes", "{scheme}");
            assert_eq!(found.version.len(), 100);
        }
    }

    #[test]
    fn lists_are_ordered_even_when_a_version_is_broken() {
        let mut found = vec!["2.0", "trunk", "1.0", "1.0-final", "1.0rc1"];
        found.sort_by(|a, b| Scheme::Pep440.order(a, b));
        assert_eq!(found, ["1.0-final", "trunk", "1.0rc1", "1.0", "2.0"]);
    }

    #[test]
    fn numbers_have_no_upper_bound() {
        let nines = "9".repeat(300);
        for scheme in Scheme::ALL {
            let more = format!("1{nines}");
            assert_eq!(scheme.compare(&nines, &more), Ok(Ordering::Less), "{scheme}");
        }
    }
}
