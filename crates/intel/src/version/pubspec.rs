//! Versions of Dart packages (pub): semantic versions whose build counts (dart-lang/pub_semver, `Version.compareTo`).
//!
//! Invariant: the order is [`semver`](super::semver)'s, then a version with a build is newer than the one without, and
//! builds are compared identifier by identifier, numbers before words.

use super::semver::{self, Identifier};
use super::{Number, Why};

/// The fields are in sorting order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    version: semver::Version<'a>,
    build: Vec<Identifier<'a>>,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let version = semver::Version::parse(text)?;
        let build = text.split_once('+').map(|(_, build)| build.split('.').map(identifier).collect());
        Ok(Version { version, build: build.unwrap_or_default() })
    }
}

fn identifier(text: &str) -> Identifier<'_> {
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if number { Identifier::Number(Number::new(text)) } else { Identifier::Text(text) }
}
