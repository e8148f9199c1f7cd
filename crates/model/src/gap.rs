//! What could not be seen, and why. "Nothing found" and "could not look" are never spelled the same.

use crate::Detector;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// What is affected: `image`, `layer 3`, a path, an ecosystem and release, a feed, a repository.
    pub scope: String,
    /// Whose facts are missing; `None` when all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
    /// Why, for programs.
    pub reason: GapReason,
    /// Why, for people: names the thing and the limit.
    pub detail: String,
}

/// Why something was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// No operating-system release could be told.
    UnknownOs,
    /// The operating system is known and not supported.
    UnsupportedOs,
    /// A file is larger than its limit.
    FileTooLarge,
    /// An archive expands beyond its limit.
    ExpandsTooFar,
    /// More entries, findings or depth than the limit.
    TooMany,
    /// The bytes are not in the form they should have.
    Malformed,
    /// A member's name was refused (it climbs out of the root, is too long, …).
    BadPath,
    /// The bytes could not be fetched or verified.
    Unreadable,
    /// A media type, compression or feature that is not supported.
    Unsupported,
    /// A rule set or detector has not been run over these bytes yet.
    NotYetRead,
    /// No advisories are loaded for this ecosystem and release.
    NoAdvisories,
    /// It is not known when the support of this release ends.
    NoEndOfLife,
    /// A feed is older than its maximum age.
    StaleFeed,
    /// Temporary space or memory ran out.
    OutOfSpace,
}

impl GapReason {
    /// The word of the reports: the serde name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOs => "unknown-os",
            Self::UnsupportedOs => "unsupported-os",
            Self::FileTooLarge => "file-too-large",
            Self::ExpandsTooFar => "expands-too-far",
            Self::TooMany => "too-many",
            Self::Malformed => "malformed",
            Self::BadPath => "bad-path",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::NotYetRead => "not-yet-read",
            Self::NoAdvisories => "no-advisories",
            Self::NoEndOfLife => "no-end-of-life",
            Self::StaleFeed => "stale-feed",
            Self::OutOfSpace => "out-of-space",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
