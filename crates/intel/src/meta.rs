//! What is known about a feed as a whole: where it comes from, what it covers, how old it is.

use jiff::SignedDuration;
use model::{EcosystemRelease, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The name of a feed, such as `alpine-secdb-v3.10-main`: lower-case letters, digits, `.`, `_` and `-` only.
/// An import replaces exactly the feeds whose ids its documents have.
pub type FeedId = String;

/// Which sort of feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedKind {
    /// Records in the OSV schema, one feed per ecosystem.
    Osv,
    /// Alpine's secdb, and those of the distributions that share its form, one feed per repository.
    Secdb,
    /// Debian's security tracker.
    DebianTracker,
    /// A distribution's errata as `updateinfo.xml` (Amazon Linux, Fedora), one feed per repository.
    Updateinfo,
    /// A distribution's errata as OVAL definitions (Oracle Linux, Azure Linux).
    Oval,
    /// A distribution's statements as CSAF documents (Red Hat, SUSE).
    Csaf,
    /// A distribution's statements as OpenVEX documents (Ubuntu).
    Vex,
    /// Photon OS's list of CVEs, one feed per release.
    Photon,
    /// Arch Linux's security tracker.
    Arch,
    /// NVD's CVE records.
    Nvd,
    /// FIRST's probabilities of exploitation.
    Epss,
    /// Ends of support.
    EndOfLife,
    /// CISA's catalogue of known exploited vulnerabilities.
    Kev,
    /// A list of digests of known bad files.
    Hashes,
}

impl FeedKind {
    /// The word of tables: the serde name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Osv => "osv",
            Self::Secdb => "secdb",
            Self::DebianTracker => "debian-tracker",
            Self::Updateinfo => "updateinfo",
            Self::Oval => "oval",
            Self::Csaf => "csaf",
            Self::Vex => "vex",
            Self::Photon => "photon",
            Self::Arch => "arch",
            Self::Nvd => "nvd",
            Self::Epss => "epss",
            Self::EndOfLife => "end-of-life",
            Self::Kev => "kev",
            Self::Hashes => "hashes",
        }
    }

    /// How long after its last import a feed counts as current, in days. `None`: it does not age, because the
    /// list is kept by hand and not published on a schedule.
    pub const fn age_days_max(self) -> Option<i64> {
        match self {
            Self::Osv
            | Self::Secdb
            | Self::DebianTracker
            | Self::Updateinfo
            | Self::Oval
            | Self::Csaf
            | Self::Vex
            | Self::Photon
            | Self::Arch
            | Self::Nvd => Some(30),
            Self::Kev | Self::Epss => Some(14),
            Self::EndOfLife => Some(90),
            Self::Hashes => None,
        }
    }

    /// One document is one record of many, so that a broken one is a broken record; of other feeds a document is the
    /// whole feed or a large part of it.
    pub(crate) const fn has_a_document_per_record(self) -> bool {
        match self {
            Self::Osv | Self::Csaf | Self::Vex => true,
            Self::Secdb
            | Self::DebianTracker
            | Self::Updateinfo
            | Self::Oval
            | Self::Photon
            | Self::Arch
            | Self::Nvd
            | Self::Epss
            | Self::EndOfLife
            | Self::Kev
            | Self::Hashes => false,
        }
    }

    /// A distribution's own word on its packages.
    pub const fn is_distribution(self) -> bool {
        match self {
            Self::Secdb
            | Self::DebianTracker
            | Self::Updateinfo
            | Self::Oval
            | Self::Csaf
            | Self::Vex
            | Self::Photon
            | Self::Arch => true,
            Self::Osv | Self::Nvd | Self::Epss | Self::EndOfLife | Self::Kev | Self::Hashes => false,
        }
    }

    /// Whether several of its advisories may be about one vulnerability of one package, so that a sentence has to say
    /// which is meant.
    pub(crate) const fn names_advisories(self) -> bool {
        match self {
            Self::Secdb | Self::DebianTracker => false,
            Self::Osv
            | Self::Updateinfo
            | Self::Oval
            | Self::Csaf
            | Self::Vex
            | Self::Photon
            | Self::Arch
            | Self::Nvd
            | Self::Epss
            | Self::EndOfLife
            | Self::Kev
            | Self::Hashes => true,
        }
    }

    /// It says something about vulnerabilities or releases in general, and names no packages.
    pub const fn is_general(self) -> bool {
        match self {
            Self::Kev | Self::Hashes | Self::Nvd | Self::Epss | Self::EndOfLife => true,
            Self::Osv
            | Self::Secdb
            | Self::DebianTracker
            | Self::Updateinfo
            | Self::Oval
            | Self::Csaf
            | Self::Vex
            | Self::Photon
            | Self::Arch => false,
        }
    }
}

/// What is known about one compiled feed. Stored beside its segment as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedMeta {
    /// Its id.
    pub id: FeedId,
    /// Which sort.
    pub kind: FeedKind,
    /// Every ecosystem and release that it has at least one record for, sorted.
    pub releases: Vec<EcosystemRelease>,
    /// How many advisories (or catalogue entries, or digests) it holds.
    pub records: u64,
    /// The newest date inside the documents: how recent the source was, as far as it says.
    pub modified: Option<Timestamp>,
    /// When the documents were last read: staleness counts from here, because a source that publishes
    /// nothing new is not stale.
    pub imported_at: Timestamp,
    /// Why the last import failed; the records are then those of the import before.
    #[serde(default)]
    pub error: Option<String>,
    /// How many records were left out because they are not in the form they should have.
    #[serde(default)]
    pub broken_records: u64,
    /// The first of them, by name and reason.
    #[serde(default)]
    pub broken: Vec<String>,
    /// Records that are well-formed and were left out, counted by reason (`unknown ecosystem Hex`, …).
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// Records that are held and cannot be matched everywhere, counted by why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limited: BTreeMap<String, u64>,
}

impl FeedMeta {
    /// True when the last import is longer ago than the kind allows.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.kind.age_days_max().is_some_and(|days| {
            now.duration_since(self.imported_at) > SignedDuration::from_hours(days.saturating_mul(24))
        })
    }

    /// The feed's name inside a sentence: `secdb v3.10 main`, `osv-pypi`.
    pub(crate) fn label(&self) -> Cow<'_, str> {
        match self.kind {
            FeedKind::Secdb => match self.id.split_once("-secdb-") {
                Some(("alpine", rest)) => format!("secdb {}", rest.replace('-', " ")).into(),
                Some((vendor, rest)) => format!("{vendor} secdb {}", rest.replace('-', " ")).into(),
                None => Cow::Borrowed(&self.id),
            },
            FeedKind::Osv
            | FeedKind::DebianTracker
            | FeedKind::Updateinfo
            | FeedKind::Oval
            | FeedKind::Csaf
            | FeedKind::Vex
            | FeedKind::Photon
            | FeedKind::Arch
            | FeedKind::Nvd
            | FeedKind::Epss
            | FeedKind::EndOfLife
            | FeedKind::Kev
            | FeedKind::Hashes => Cow::Borrowed(&self.id),
        }
    }
}
