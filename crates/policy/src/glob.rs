//! Lists of globs, as policies, exceptions and scopes have them.
//!
//! Not here: paths of a file system. `*` also matches `/`, so `team/*` is everything of a team and `*` is everything.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The longest glob that is accepted, in bytes.
pub(crate) const GLOB_BYTES_MAX: usize = 512;

/// A compiled list of globs.
#[derive(Debug, Clone)]
pub(crate) struct Globs {
    set: GlobSet,
    /// Patterns that do not compile: they only match themselves. `check_policies` refuses them before they are stored.
    literals: Vec<String>,
    empty: bool,
}

impl Globs {
    /// Compiles a list.
    pub(crate) fn new<S: AsRef<str>>(patterns: &[S]) -> Self {
        Self::build(patterns, false)
    }

    /// Compiles a list that does not mind upper and lower case.
    pub(crate) fn caseless<S: AsRef<str>>(patterns: &[S]) -> Self {
        Self::build(patterns, true)
    }

    fn build<S: AsRef<str>>(patterns: &[S], caseless: bool) -> Self {
        let mut builder = GlobSetBuilder::new();
        let mut literals = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            match compile(pattern, caseless) {
                Ok(glob) => {
                    builder.add(glob);
                }
                Err(_) => literals.push(pattern.to_owned()),
            }
        }
        let set = builder.build().unwrap_or_else(|_| GlobSet::empty());
        Self { set, literals, empty: patterns.is_empty() }
    }

    /// No pattern at all: does not restrict.
    pub(crate) const fn is_empty(&self) -> bool {
        self.empty
    }

    /// Does any pattern match the text?
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.set.is_match(text) || self.literals.iter().any(|l| l == text)
    }

    /// Does the list not restrict, or any pattern match any of the texts?
    pub(crate) fn allows<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        self.empty || texts.into_iter().any(|text| self.matches(text))
    }
}

/// Why a pattern is no glob, for people; `None` when it is one.
pub(crate) fn fault(pattern: &str) -> Option<String> {
    if pattern.is_empty() {
        return Some("the glob is empty: use \"*\" for everything".to_owned());
    }
    compile(pattern, false).err()
}

fn compile(pattern: &str, caseless: bool) -> Result<globset::Glob, String> {
    if pattern.len() > GLOB_BYTES_MAX {
        return Err(format!("the glob is longer than {GLOB_BYTES_MAX} bytes"));
    }
    GlobBuilder::new(pattern)
        .literal_separator(false)
        .case_insensitive(caseless)
        .build()
        .map_err(|error| format!("{pattern:?} is not a glob: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_cross_slashes() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(Globs::new(&[pattern]).matches(text), expect, "{pattern} {text}");
        };
        check("*", "a/b", true);
        check("team/*", "team/a/b", true);
        check("team/*", "teams/a", false);
        check("CVE-2024-*", "CVE-2024-1", true);
        check("CVE-2024-*", "cve-2024-1", false);
        check("@babel/*", "@babel/core", true);
        check("[", "[", true);
        check("[", "x", false);
        assert!(Globs::caseless(&["*_token"]).matches("GITHUB_TOKEN"));
        assert!(Globs::new::<&str>(&[]).allows(["x"]));
    }

    #[test]
    fn broken_globs_are_named() {
        assert!(fault("a*").is_none());
        assert!(fault("").unwrap().contains("empty"));
        assert!(fault("[a").unwrap().contains("[a"));
        assert!(fault(&"x".repeat(600)).unwrap().contains("512"));
    }
}
