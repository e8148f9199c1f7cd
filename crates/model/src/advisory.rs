//! What the intelligence says about one package: three-valued, with reasons.

use crate::{Severity, Timestamp};
use serde::{Deserialize, Serialize};

/// A verdict about one package and one vulnerability. A version that cannot be compared is *undecided*,
/// shown, and never "not affected".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The package has the vulnerability.
    Affected {
        /// Versions without it, the one to install on this release first. Empty: no fix is known.
        fixed: Vec<String>,
        /// What the distribution means to do about it.
        outlook: Outlook,
    },
    /// It does not, and why.
    NotAffected {
        /// Why: fixed before, never in range, withdrawn, or the distribution says so.
        why: NotAffected,
    },
    /// It could not be decided, and why.
    Undecided {
        /// Why, for people.
        why: String,
    },
}

/// What the distribution means to do about a vulnerability it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Fixed, or will be.
    Open,
    /// It will not be fixed on this release.
    WillNotFix,
    /// Put off.
    Deferred,
}

/// Why a package is not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotAffected {
    /// The installed version has the fix.
    Fixed,
    /// The installed version was never in the affected range.
    OutOfRange,
    /// The advisory says that this package or release is not affected.
    Declared,
    /// The advisory was withdrawn.
    Withdrawn,
}

/// Where a statement comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AdvisoryRef {
    /// The feed.
    pub feed: String,
    /// The advisory's own id.
    pub id: String,
    /// A page for people, when the advisory names one.
    pub url: Option<String>,
}

/// One vulnerability and one distinct package: advisories that are aliases of each other are merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// The CVE where one exists, else the advisory's own id.
    pub vulnerability: String,
    /// Every other id, sorted.
    pub aliases: Vec<String>,
    /// Who says so, sorted.
    pub advisories: Vec<AdvisoryRef>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How bad.
    pub severity: Severity,
    /// Who rated it: a feed's name, or `none`.
    pub severity_source: String,
    /// One sentence of the advisory, when it has one.
    pub summary: Option<String>,
    /// CVSS vectors with scores, newest version first.
    pub cvss: Vec<CvssScore>,
    /// On a list of known exploited vulnerabilities, since when.
    pub kev: Option<KevEntry>,
    /// Probability of exploitation within 30 days (FIRST EPSS), 0 to 1.
    pub epss: Option<f64>,
    /// When it was published.
    pub published: Option<Timestamp>,
    /// When the fix was published, as far as known.
    pub fixed_at: Option<Timestamp>,
    /// The advisory says that the package itself is malicious (`MAL-`).
    pub malicious: bool,
    /// Which advisory, which range, which comparison: the text of `explain`.
    pub because: String,
}

/// A CVSS vector and its base score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvssScore {
    /// The vector, such as `CVSS:3.1/AV:N/…`.
    pub vector: String,
    /// The base score, 0.0 to 10.0.
    pub score: f64,
}

/// An entry of CISA's catalogue of known exploited vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KevEntry {
    /// When it was added.
    pub added: Timestamp,
    /// When US agencies must have fixed it.
    pub due: Option<Timestamp>,
    /// Used by ransomware.
    pub ransomware: bool,
}

/// When the support of one release of an operating system ends, as a feed says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfSupport {
    /// The feed that says so.
    pub feed: String,
    /// The operating system, for people.
    pub name: String,
    /// The release: the leading parts of os-release `VERSION_ID`.
    pub release: String,
    /// The state of the feed: the newest date inside it, or when it was imported.
    pub as_of: Timestamp,
    /// The last day of security support for everyone, at 00:00 UTC.
    pub until: Timestamp,
    /// The last day of the extended support that follows, at 00:00 UTC, where there is one.
    pub extended_until: Option<Timestamp>,
}

/// A known bad file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BadHash {
    /// The feed that lists it.
    pub feed: String,
    /// The name that the list gives it.
    pub name: String,
    /// Where the list has it from, if it says.
    pub source: Option<String>,
}
