//! Ranges of versions, as advisories and package managers write them: VERS (`vers:pypi/>=1.0|<2.0`) and each
//! ecosystem's own form (`^1.2.3`, `~> 2.0`, `[1.0,2.0)`).
//!
//! Not here: the events of OSV records, which are stretches already (`matching`).
//!
//! Invariant: [`Range::contains`] answers with the scheme's own order or says which version it could not read; it never
//! guesses.

mod conan;
pub mod cpe;
mod native;
mod npm;
mod vers;

use crate::version::{Incomparable, Scheme};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// The longest range that is read, in bytes.
pub const BYTES_MAX: usize = 16 * 1024;
/// The most comparisons of one range.
pub const CONSTRAINTS_MAX: usize = 1000;

/// A set of versions: the union of sets, each of which is where all of its constraints hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    syntax: Syntax,
    sets: Vec<Vec<Constraint>>,
}

/// One comparison with a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Constraint {
    pub(crate) comparator: Comparator,
    pub(crate) version: String,
}

/// How a version has to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Which form a range is written in. Several share a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// node-semver ranges.
    Npm,
    /// The same with its option `includePrerelease`.
    NpmWithPreReleases,
    /// Conan 2 ranges.
    Conan,
    /// PEP 440 specifiers.
    Pypi,
    /// `Gem::Requirement`.
    Gem,
    /// Intervals in brackets.
    NuGet,
    /// Intervals in brackets.
    Maven,
    /// The lists of nginx's security advisories: `1.5.0+, 1.4.1+`, `0.7.52-0.8.39`.
    Nginx,
    /// The lists of OpenSSL's security advisories.
    OpenSsl,
    /// Comparisons, separated by commas, pipes or spaces, with the order of a scheme that has no syntax of its own.
    Plain(Scheme),
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{range:?} is not a range of versions: {why}")]
pub struct NotARange {
    /// The text, cut to 100 characters.
    pub range: String,
    /// What is wrong with it.
    pub why: &'static str,
}

type Why = &'static str;

impl Range {
    /// Reads a range in an ecosystem's own form.
    ///
    /// # Errors
    /// [`NotARange`] when it is not one, is longer than [`BYTES_MAX`] or has more than [`CONSTRAINTS_MAX`] comparisons.
    pub fn native(syntax: Syntax, text: &str) -> Result<Self, NotARange> {
        checked(text, || match syntax {
            Syntax::Npm => npm::parse(text, false),
            Syntax::NpmWithPreReleases => npm::parse(text, true),
            Syntax::Conan => conan::parse(text),
            Syntax::Pypi => native::pypi(text),
            Syntax::Gem => native::gem(text),
            Syntax::NuGet | Syntax::Maven => native::brackets(text, syntax == Syntax::Maven),
            Syntax::Nginx => native::nginx(text),
            Syntax::OpenSsl => native::list(text),
            Syntax::Plain(_) => native::comparisons(text),
        })
        .map(|sets| Self { syntax, sets })
    }

    /// Reads a VERS range (package-url/vers-spec): `vers:<scheme>/<constraint>|<constraint>`.
    ///
    /// # Errors
    /// [`NotARange`] when it is not one, or its scheme is unknown.
    pub fn vers(text: &str) -> Result<Self, NotARange> {
        let mut syntax = Syntax::Plain(Scheme::Generic);
        let sets = checked(text, || {
            let (found, sets) = vers::parse(text)?;
            syntax = found;
            Ok(sets)
        })?;
        Ok(Self { syntax, sets })
    }

    /// Versions between two bounds, each of which may be missing; the flags say whether a bound belongs to the range.
    /// This is what a CPE match of the NVD says (`versionStartIncluding`, `versionEndExcluding`, …).
    pub fn between(scheme: Scheme, start: Option<(&str, bool)>, end: Option<(&str, bool)>) -> Self {
        let bound = |(version, included): (&str, bool), with, without| Constraint {
            comparator: if included { with } else { without },
            version: version.to_owned(),
        };
        let start = start.map(|start| bound(start, Comparator::GreaterOrEqual, Comparator::Greater));
        let end = end.map(|end| bound(end, Comparator::LessOrEqual, Comparator::Less));
        Self { syntax: Syntax::Plain(scheme), sets: vec![start.into_iter().chain(end).collect()] }
    }

    /// Whether a version is inside.
    ///
    /// # Errors
    /// [`Incomparable`] when that hangs on a comparison with a version that cannot be read.
    pub fn contains(&self, version: &str) -> Result<bool, Incomparable> {
        let scheme = self.syntax.scheme();
        let mut failed = None;
        for set in &self.sets {
            match holds(set, version, scheme) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Whether npm would take this version for the range: pre-releases are outside unless a constraint of the set names
    /// a pre-release of the same three numbers, or the syntax is [`Syntax::NpmWithPreReleases`] (node-semver,
    /// "Prerelease Tags").
    ///
    /// # Errors
    /// [`Incomparable`] when the version is none.
    pub fn satisfied_by(&self, version: &str) -> Result<bool, Incomparable> {
        npm::satisfies(&self.sets, version, self.syntax == Syntax::NpmWithPreReleases)
    }
}

impl Syntax {
    /// How its versions are ordered.
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Npm | Self::NpmWithPreReleases => Scheme::Npm,
            Self::Conan => Scheme::Conan,
            Self::Pypi => Scheme::Pep440,
            Self::Gem => Scheme::Gem,
            Self::NuGet => Scheme::NuGet,
            Self::Maven => Scheme::Maven,
            Self::Nginx => Scheme::Semver,
            Self::OpenSsl => Scheme::OpenSsl,
            Self::Plain(scheme) => scheme,
        }
    }

    /// The name of its scheme in VERS.
    pub const fn vers_name(self) -> &'static str {
        match self {
            Self::Npm | Self::NpmWithPreReleases => "npm",
            Self::Conan => "conan",
            Self::Pypi => "pypi",
            Self::Gem => "gem",
            Self::NuGet => "nuget",
            Self::Maven => "maven",
            Self::Nginx => "nginx",
            Self::OpenSsl => "openssl",
            Self::Plain(scheme) => match scheme {
                Scheme::Apk => "apk",
                Scheme::Deb => "deb",
                Scheme::Rpm => "rpm",
                Scheme::Semver => "semver",
                Scheme::Npm => "npm",
                Scheme::Go => "golang",
                Scheme::Bitnami => "bitnami",
                Scheme::Pep440 => "pypi",
                Scheme::Maven => "maven",
                Scheme::Gem => "gem",
                Scheme::NuGet => "nuget",
                Scheme::Composer => "composer",
                Scheme::Hex => "hex",
                Scheme::Pub => "pub",
                Scheme::Conan => "conan",
                Scheme::Cran => "cran",
                Scheme::Hackage => "hackage",
                Scheme::Alpm => "alpm",
                Scheme::OpenSsl => "openssl",
                Scheme::Java => "java",
                Scheme::Generic => "generic",
            },
        }
    }
}

impl fmt::Display for Range {
    /// As VERS: every constraint, sorted by version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        vers::write(f, self.syntax, &self.sets)
    }
}

impl Comparator {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    const fn admits(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::NotEqual => found.is_ne(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }

    /// The comparator that a text begins with, and the rest; none means equal.
    fn split(text: &str) -> (Self, &str) {
        const SIGNS: [(&str, Comparator); 9] = [
            ("===", Comparator::Equal),
            ("==", Comparator::Equal),
            ("=>", Comparator::GreaterOrEqual),
            (">=", Comparator::GreaterOrEqual),
            ("<=", Comparator::LessOrEqual),
            ("!=", Comparator::NotEqual),
            ("=", Comparator::Equal),
            ("<", Comparator::Less),
            (">", Comparator::Greater),
        ];
        let text = text.trim();
        let found = SIGNS.iter().find_map(|(sign, comparator)| Some((*comparator, text.strip_prefix(sign)?)));
        found.map_or((Self::Equal, text), |(comparator, rest)| (comparator, rest.trim()))
    }
}

impl Constraint {
    fn new(comparator: Comparator, version: impl Into<String>) -> Self {
        Self { comparator, version: version.into() }
    }

    /// `>=1.0`, or `1.0` for equal.
    fn parse(text: &str) -> Result<Self, Why> {
        let (comparator, version) = Comparator::split(text);
        if version.is_empty() {
            return Err("a comparison has no version");
        }
        if version.contains(|c: char| c.is_whitespace() || c.is_control() || "<>=|,()[]".contains(c)) {
            return Err("a version has a character that is not allowed");
        }
        Ok(Self::new(comparator, version))
    }
}

/// Whether every constraint holds. One that fails decides, even where another cannot be compared.
pub(crate) fn holds(set: &[Constraint], version: &str, scheme: Scheme) -> Result<bool, Incomparable> {
    let mut failed = None;
    for constraint in set {
        match scheme.compare(version, &constraint.version) {
            Ok(found) if !constraint.comparator.admits(found) => return Ok(false),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(true), Err)
}

fn checked(
    text: &str,
    parse: impl FnOnce() -> Result<Vec<Vec<Constraint>>, Why>,
) -> Result<Vec<Vec<Constraint>>, NotARange> {
    let refused = |why| NotARange { range: text.chars().take(100).collect(), why };
    if text.len() > BYTES_MAX {
        return Err(refused("it is longer than 16 KiB"));
    }
    let sets = parse().map_err(refused)?;
    if sets.iter().map(|set| set.len().max(1)).sum::<usize>() > CONSTRAINTS_MAX {
        return Err(refused("it has more than 1,000 comparisons"));
    }
    Ok(sets)
}
