//! What a segment keeps about an advisory: the common form that every feed is read into.
//!
//! Two parts: an [`Advisory`] is what it says in general, kept once; a [`Statement`] is what it says about one
//! package of one ecosystem and release. Both are stored in postcard form, so fields are only ever appended together
//! with a new segment format version.

use model::advisory::{CvssScore, Outlook};
use model::{EcosystemRelease, Severity};
use serde::{Deserialize, Serialize};

/// What an advisory says in general. Its own modification time is left out on purpose: a record that only has a new
/// date has not changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Advisory<S = String> {
    /// Its id, unique in its feed.
    pub(crate) id: S,
    /// The CVEs that it is about, sorted. It is one row of a report for each.
    pub(crate) cves: Vec<S>,
    /// Its other names, sorted.
    pub(crate) others: Vec<S>,
    /// A page for people.
    pub(crate) url: Option<S>,
    /// One sentence.
    pub(crate) summary: Option<S>,
    /// Seconds since 1970.
    pub(crate) published: Option<i64>,
    /// It was taken back.
    pub(crate) withdrawn: bool,
    /// Somebody who should know says that it is no vulnerability.
    pub(crate) disputed: bool,
    /// It speaks of an update that a distribution published, so `published` is when the fix came out.
    pub(crate) is_erratum: bool,
    /// The package itself is malicious.
    pub(crate) malicious: bool,
    /// Vectors that could be scored.
    pub(crate) cvss: Vec<CvssScore>,
    /// The source's own word.
    pub(crate) rating: Option<Severity>,
}

impl Advisory {
    /// An advisory with nothing but its id, and the CVE that the id is.
    pub(crate) fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            cves: cve_prefix(&id).map(str::to_owned).into_iter().collect(),
            others: Vec::new(),
            url: None,
            summary: None,
            published: None,
            withdrawn: false,
            disputed: false,
            is_erratum: false,
            malicious: false,
            cvss: Vec::new(),
            rating: None,
            id,
        }
    }
}

/// What an advisory says about one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Statement<S = String> {
    /// What.
    pub(crate) says: Says<S>,
    /// The source's own word for this package.
    pub(crate) rating: Option<Severity>,
    /// Vectors for this package.
    pub(crate) cvss: Vec<CvssScore>,
    /// Which of a package's two names it is about.
    pub(crate) level: Level,
    /// The RPM module that it is about, `name:stream`; `None` when it is about packages of no module, or does not say.
    pub(crate) module: Option<S>,
    /// The support that one has to subscribe to, when its fix is published for nobody else.
    pub(crate) stream: Option<Stream<S>>,
}

impl Statement {
    /// A statement about everything of that name.
    pub(crate) const fn new(says: Says) -> Self {
        Self { says, rating: None, cvss: Vec::new(), level: Level::Either, module: None, stream: None }
    }
}

/// Which of a distribution's two names a statement uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Level {
    /// It does not say; the distribution's habit decides.
    Either,
    /// The installed package's own name and version.
    Binary,
    /// The source package's name and version.
    Source,
}

/// Extended support that not everybody gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stream<S = String> {
    /// Its name for people: `Ubuntu Pro`, `RHEL EUS 9.2`.
    pub(crate) name: S,
    /// What a version carries that was built for it (`esm`, `.el9_2`): an installed package whose version has it
    /// says that the image is subscribed.
    pub(crate) marker: S,
    /// The release is maintained for everybody as well, so this support only adds builds that have a fix: it can clear
    /// an installed build of its own, and says nothing about others.
    pub(crate) clears_only: bool,
}

/// The substance of a [`Statement`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Says<S = String> {
    /// Affected inside the intervals and at the versions.
    Ranges {
        /// Stretches of affected versions.
        intervals: Vec<Interval<S>>,
        /// Versions listed one by one, sorted as text.
        versions: Vec<S>,
        /// Why a part of the ranges could not be read as intervals.
        unclear: Option<S>,
    },
    /// Fixed in these versions; one that is older than the newest of them is affected.
    FixedIn(Vec<S>),
    /// Affected whatever the version, with no fix.
    Open {
        /// What the distribution means to do.
        outlook: Outlook,
        /// The distribution's own remark.
        note: Option<S>,
    },
    /// Not affected, whatever the version.
    NotAffected,
    /// The source has not decided, or does not say for which versions; in its words.
    Undetermined(S),
    /// What NVD says of a product.
    Configured(Configured<S>),
}

/// What NVD's configurations say of one product.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Configured<S = String> {
    /// `vendor:product`, as NVD names it.
    pub(crate) product: S,
    /// Stretches of affected versions.
    pub(crate) intervals: Vec<Interval<S>>,
    /// Beginnings of intervals that are not affected themselves.
    pub(crate) after: Vec<S>,
    /// Versions listed one by one, sorted as text.
    pub(crate) versions: Vec<S>,
    /// Why a part could not be read as intervals.
    pub(crate) unclear: Option<S>,
    /// Why versions in the ranges are undecided: what has to be the case as well cannot be told from a package.
    pub(crate) condition: Option<S>,
}

/// A stretch of affected versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interval<S = String> {
    /// The first affected version; `None` is before every version.
    pub(crate) from: Option<S>,
    /// Where it ends.
    pub(crate) end: End<S>,
}

/// Where a stretch of affected versions ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End<S = String> {
    /// Every later version is affected.
    Never,
    /// Before this version, which has the fix.
    Fixed(S),
    /// With this version; a later one that has the fix, when it is known.
    Last(S, Option<S>),
    /// Before this version, about which nothing is said.
    Limit(S),
}

/// An entry of a catalogue of known exploited vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exploited {
    /// When it was added, seconds since 1970.
    pub(crate) added: i64,
    /// When US agencies must have fixed it, seconds since 1970.
    pub(crate) due: Option<i64>,
    /// Used by ransomware.
    pub(crate) ransomware: bool,
}

/// What is known about a CVE in general, for feeds that do not rate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Rated {
    /// Vectors of the feed itself that could be scored, sorted.
    pub(crate) cvss: Vec<CvssScore>,
    /// Vectors that the feed passes on, with who gave them: a CVE's numbering authority, by its name.
    pub(crate) others: Vec<(String, CvssScore)>,
    /// Somebody who should know says that it is no vulnerability.
    pub(crate) disputed: bool,
    /// The CVE was rejected: its number stands for no vulnerability.
    pub(crate) rejected: bool,
}

/// How likely a CVE is exploited within 30 days (FIRST, EPSS).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Likelihood {
    /// 0 to 1.
    pub(crate) probability: f64,
}

/// When the support of a release of an operating system ends; days as seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    /// The product's name for people.
    pub(crate) name: String,
    /// When it was published.
    pub(crate) released: Option<i64>,
    /// The last day of security support for everyone.
    pub(crate) until: i64,
    /// The last day of the extended support that follows.
    pub(crate) extended_until: Option<i64>,
}

/// A digest on a list of known bad files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// The name that the list gives it.
    pub(crate) name: String,
    /// Where the list has it from.
    pub(crate) source: Option<String>,
}

/// What a record of the key table is about. As bytes: a letter for the sort, then the text; the parts of a package
/// key are separated by the unit separator, which no name may contain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Statements about a package.
    Package(EcosystemRelease, String),
    /// An [`Exploited`] entry of a CVE.
    Exploited(String),
    /// A [`Rated`] entry of a CVE.
    Rated(String),
    /// A [`Likelihood`] of a CVE.
    Likely(String),
    /// A [`Lifecycle`] of a release: os-release `ID` and the leading parts of `VERSION_ID`.
    Lifecycle(String, String),
}

const SEPARATOR: char = '\u{1f}';

impl Key {
    /// The bytes that the key table is sorted by.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Package(release, name) => package_key(release, name),
            Self::Exploited(cve) => format!("E{cve}").into_bytes(),
            Self::Rated(cve) => format!("R{cve}").into_bytes(),
            Self::Likely(cve) => format!("Q{cve}").into_bytes(),
            Self::Lifecycle(os, release) => format!("L{os}{SEPARATOR}{release}").into_bytes(),
        }
    }

    /// Reads what [`Key::encode`] has written; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(rest) = text.strip_prefix('P') {
            let (release, name) = rest.split_once(SEPARATOR)?;
            return Some(Self::Package(EcosystemRelease::from_name(release)?, name.to_owned()));
        }
        if let Some(cve) = text.strip_prefix('E') {
            return Some(Self::Exploited(cve.to_owned()));
        }
        if let Some(cve) = text.strip_prefix('Q') {
            return Some(Self::Likely(cve.to_owned()));
        }
        if let Some((os, release)) = text.strip_prefix('L').and_then(|rest| rest.split_once(SEPARATOR)) {
            return Some(Self::Lifecycle(os.to_owned(), release.to_owned()));
        }
        text.strip_prefix('R').map(|cve| Self::Rated(cve.to_owned()))
    }
}

/// The bytes of a [`Key::Package`].
pub(crate) fn package_key(release: &EcosystemRelease, name: &str) -> Vec<u8> {
    format!("P{release}{SEPARATOR}{name}").into_bytes()
}

/// True for a CVE id (CVE program, "CVE ID Syntax": a year and four or more digits).
pub(crate) fn is_cve(id: &str) -> bool {
    cve_prefix(id).is_some_and(|cve| cve.len() == id.len())
}

/// The CVE id that a text begins with: secdb has `CVE-2019-19451.patch` and `CVE-2017-17434-1`.
pub(crate) fn cve_prefix(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("CVE-")?;
    let (year, rest) = rest.split_once('-')?;
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits >= 4).then(|| &text[.."CVE-".len() + 5 + digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_ids_are_told_from_other_text() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(cve_prefix(text), expect, "{text}");
        check("CVE-2019-1547", Some("CVE-2019-1547"));
        check("CVE-2019-19451.patch", Some("CVE-2019-19451"));
        check("CVE-2017-17434-1", Some("CVE-2017-17434"));
        check("CVE-????-?????", None);
        check("CVE-2019-12", None);
        check("XSA-284", None);
        assert!(is_cve("CVE-2019-1547") && !is_cve("CVE-2019-1547x"));
    }

    #[test]
    fn keys_read_back() {
        let release = EcosystemRelease::from_name("Alpine:v3.10").unwrap();
        for key in [
            Key::Package(release, "openssl".into()),
            Key::Exploited("CVE-2019-1547".into()),
            Key::Rated("CVE-2019-1547".into()),
            Key::Likely("CVE-2019-1547".into()),
            Key::Lifecycle("debian".into(), "12".into()),
        ] {
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
        assert_eq!(Key::decode(b"Pnonsense"), None);
        assert_eq!(Key::decode(&[0xff]), None);
    }
}
