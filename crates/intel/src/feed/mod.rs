//! Feeds: one file each, and one line in [`FEEDS`].
//!
//! Not here: fetching, unpacking, compiling. A feed looks at one document's bytes and says what it states.
//!
//! Invariant: whatever the bytes, a feed answers; a record that it cannot read is counted and named, never guessed at.

mod arch;
mod configurations;
mod cpe_versions;
mod csaf;
mod debian;
mod end_of_life;
mod epss;
mod hashes;
mod kev;
mod nvd;
mod osv;
mod outline;
mod oval;
mod photon;
mod purl;
mod release;
mod secdb;
mod updateinfo;
mod vex;
mod xml;

use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Exploited, Key, Listed, Statement, cve_prefix};
use model::advisory::CvssScore;
use model::{Digest, Timestamp};
use outline::Outline;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};

pub use updateinfo::updateinfo_of;

/// Every feed, in the order in which a document is offered to them.
pub(crate) const FEEDS: &[&dyn Feed] = &[
    &osv::Osv,
    &secdb::Secdb,
    &debian::DebianTracker,
    &kev::Kev,
    &nvd::Nvd,
    &csaf::Csaf,
    &vex::Vex,
    &updateinfo::Updateinfo,
    &oval::Oval,
    &photon::Photon,
    &arch::Arch,
    &epss::Epss,
    &end_of_life::EndOfLife,
    &hashes::Hashes,
];

/// The longest id, name or version that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest summary that is kept, in characters.
const SUMMARY_CHARS_MAX: usize = 200;
/// The longest text of a document that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 100;
/// The longest feed id.
const FEED_ID_BYTES_MAX: usize = 100;

/// A source of intelligence: tells its documents from others and reads them.
pub(crate) trait Feed: Sync {
    /// Which sort of feed.
    fn kind(&self) -> FeedKind;

    /// The feed that the document belongs to, when it has this feed's form, even if it is damaged.
    fn recognise(&self, document: &Document<'_>) -> Option<FeedId>;

    /// Reads a recognised document. One document may hold records of several feeds.
    ///
    /// # Errors
    /// Why nothing of it could be read, for people.
    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String>;
}

/// A document as it is offered to feeds.
pub(crate) struct Document<'a> {
    /// Where it came from: a path, with folders and archives before the last slash.
    pub(crate) hint: &'a str,
    /// Its bytes, without a byte-order mark.
    pub(crate) bytes: &'a [u8],
    /// The keys of its outermost JSON object.
    pub(crate) outline: Outline<'a>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(hint: &'a str, bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self { hint, bytes, outline: Outline::of(bytes) }
    }

    /// The last part of the path.
    pub(crate) fn file_name(&self) -> &'a str {
        self.hint.rsplit(['/', '\\']).next().unwrap_or(self.hint)
    }
}

/// How much of its feed a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it: a later one replaces it.
    Whole,
    /// A part: the feed is what all of them say together.
    Part,
}

/// What one document says for one feed.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) feed: FeedId,
    pub(crate) kind: FeedKind,
    pub(crate) scope: Scope,
    /// The newest date inside.
    pub(crate) modified: Option<Timestamp>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) exploited: BTreeMap<String, Exploited>,
    pub(crate) digests: Vec<(Digest, Listed)>,
    /// Records that stand for themselves, each with its own date: the newest of a key counts.
    pub(crate) singles: Vec<(Key, Option<Timestamp>, Vec<u8>)>,
    /// Records that could not be read, by name and reason.
    pub(crate) broken: Vec<String>,
    /// Records that are kept out, counted by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Records that cannot be matched everywhere, counted by why.
    pub(crate) limited: BTreeMap<String, u64>,
}

impl Parsed {
    fn new(feed: FeedId, kind: FeedKind, scope: Scope) -> Self {
        Self {
            feed,
            kind,
            scope,
            modified: None,
            drafts: Vec::new(),
            exploited: BTreeMap::new(),
            digests: Vec::new(),
            singles: Vec::new(),
            broken: Vec::new(),
            skipped: BTreeMap::new(),
            limited: BTreeMap::new(),
        }
    }

    fn limit(&mut self, why: &str) {
        *self.limited.entry(why.to_owned()).or_default() += 1;
    }

    fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }
}

/// One advisory and what it says about packages.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) modified: Option<Timestamp>,
    pub(crate) advisory: Advisory,
    pub(crate) statements: Vec<(Key, Statement)>,
    /// Scores of the one CVE that it is about, to rate that CVE in feeds that do not.
    pub(crate) rated: Option<(String, Vec<CvssScore>)>,
}

/// A part of a document that may be of another form than it should be, without spoiling the rest.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Good(T),
    Bad(IgnoredAny),
}

/// A list that may be `null` or missing.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Refuses text that has no place in an id, a name or a version: empty, too long, or with control characters.
fn plain<'a>(what: &str, text: &'a str) -> Result<&'a str, String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("{what} has {} bytes, more than the {TEXT_BYTES_MAX} that are kept", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} has a control character in it"));
    }
    Ok(text)
}

/// A text that is shown and not interpreted: cut, and without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// A feed id of any text: lower-case, everything but letters, digits, `.` and `_` becomes `-`.
fn feed_id(text: &str) -> FeedId {
    let mut id: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c.to_ascii_lowercase() } else { '-' })
        .collect();
    id.truncate(FEED_ID_BYTES_MAX);
    id
}

/// The first sentence, or as much of it as is kept.
fn summary(text: &str) -> Option<String> {
    let line = text.lines().map(|l| l.trim().trim_start_matches('#').trim()).find(|l| !l.is_empty())?;
    let sentence = line.split_inclusive(". ").next().unwrap_or(line).trim_end();
    let mut kept: String = sentence.chars().filter(|c| !c.is_control()).take(SUMMARY_CHARS_MAX).collect();
    if sentence.chars().nth(SUMMARY_CHARS_MAX).is_some() {
        kept.push('…');
    }
    (!kept.is_empty()).then_some(kept)
}

/// Dates as feeds write them: RFC 3339, or a day, or a day and a time without a zone, which is UTC.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let whole = ["", "Z", ":00Z", "T00:00:00Z"].into_iter();
    whole.map(|end| format!("{text}{end}")).find_map(|text| text.parse().ok())
}

/// Every CVE id in a text, sorted.
fn cves_in(text: &str) -> BTreeSet<String> {
    text.match_indices("CVE-").filter_map(|(at, _)| cve_prefix(&text[at..])).map(str::to_owned).collect()
}

/// Several fixed versions of one package in one document, one for each architecture or product, without duplicates.
fn add_version(versions: &mut Vec<String>, version: String) {
    if !versions.contains(&version) {
        versions.push(version);
        versions.sort();
    }
}

/// An RPM version as packages have it: the epoch stands before it unless it is 0.
fn rpm_version(epoch: Option<&str>, version: &str, release: &str) -> String {
    match epoch.filter(|epoch| !epoch.is_empty() && *epoch != "0") {
        Some(epoch) => format!("{epoch}:{version}-{release}"),
        None => format!("{version}-{release}"),
    }
}

/// A page that may be shown as a link.
fn web_page(url: &str) -> Option<String> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    (is_web && plain("url", url).is_ok() && !url.contains(['"', '<', '>', ' '])).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_one_sentence() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(summary(text).as_deref(), expect);
        check("# Title\n\nBody.", Some("Title"));
        check("First one. Second one.", Some("First one."));
        check(" \n ", None);
        assert_eq!(summary(&"x".repeat(500)).map(|s| s.chars().count()), Some(SUMMARY_CHARS_MAX + 1));
    }

    #[test]
    fn only_web_pages_become_links() {
        assert!(web_page("https://example.org/a").is_some());
        assert!(web_page("javascript:alert(1)").is_none());
        assert!(web_page("https://example.org/\"onload=").is_none());
    }

    #[test]
    fn feed_ids_are_safe_file_names() {
        assert_eq!(feed_id("osv-Rocky Linux"), "osv-rocky-linux");
        assert_eq!(feed_id("hashes-../../x"), "hashes-..-..-x");
        let check =
            |text: &str, expect: &str| assert_eq!(date(text).map(|d| d.to_string()).unwrap_or_default(), expect);
        check("2025-08-25", "2025-08-25T00:00:00Z");
        check("2011-09-27 22:46", "2011-09-27T22:46:00Z");
        check("2023-02-17 20:41:00", "2023-02-17T20:41:00Z");
        check("2024-05-14T15:45:11.543", "2024-05-14T15:45:11.543Z");
        check("2023-03-07T00:00:00+0000", "2023-03-07T00:00:00Z");
        check("soon", "");
    }
}
