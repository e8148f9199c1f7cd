//! Everything that is known, opened: answers about packages and files.

use crate::error::{Error, Result};
use crate::explain::Explanation;
use crate::gaps;
use crate::known::Remembered;
use crate::matcher::Matcher;
use crate::meta::{FeedKind, FeedMeta};
use crate::record::{Key, Lifecycle};
use crate::segment::{Segment, Wanted, name_hash};
use model::advisory::{BadHash, EndOfSupport};
use model::inventory::OsRelease;
use model::{Digest, EcosystemRelease, Gap, Match, Package, PackageKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One generation of intelligence: a set of opened feeds. Cheap to make, shared by reference or `Arc`.
#[derive(Debug)]
pub struct Intelligence {
    generation: u64,
    feeds: Vec<FeedMeta>,
    /// In the order of `feeds`.
    segments: Vec<Segment>,
    /// Which feeds have records for a release.
    by_release: HashMap<EcosystemRelease, Vec<usize>>,
    /// The feeds of a kind.
    by_kind: BTreeMap<FeedKind, Vec<usize>>,
    /// What matchers have looked up about CVEs.
    remembered: Remembered,
}

impl Intelligence {
    /// Puts opened feeds together. Nothing of the segments is read.
    pub fn new(generation: u64, mut segments: Vec<(FeedMeta, Segment)>) -> Self {
        segments.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        let mut by_release: HashMap<EcosystemRelease, Vec<usize>> = HashMap::new();
        for (index, (meta, _)) in segments.iter().enumerate() {
            for release in &meta.releases {
                by_release.entry(release.clone()).or_default().push(index);
            }
        }
        let mut by_kind: BTreeMap<FeedKind, Vec<usize>> = BTreeMap::new();
        for (index, (meta, _)) in segments.iter().enumerate() {
            by_kind.entry(meta.kind).or_default().push(index);
        }
        let (feeds, segments) = segments.into_iter().unzip();
        Self { generation, feeds, segments, by_release, by_kind, remembered: Remembered::default() }
    }

    /// Answers about many packages, one after the other: what they share is looked up once.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher::new(self)
    }

    /// [`Matcher::matches`] of one package.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn matches(&self, key: &PackageKey) -> Result<Vec<Match>> {
        self.matcher().matches(key)
    }

    /// [`Matcher::possible`] of one package.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn possible(&self, key: &PackageKey) -> Result<Vec<Match>> {
        self.matcher().possible(key)
    }

    /// The packages that some advisory about one of these vulnerabilities speaks of, as
    /// [`Changes::packages`](crate::Changes) names them; there may be a few too many.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn packages_with(&self, vulnerabilities: &BTreeSet<String>) -> Result<BTreeSet<(EcosystemRelease, String)>> {
        let hashes: HashSet<u32> = vulnerabilities.iter().map(|id| name_hash(id)).collect();
        let mut found = BTreeSet::new();
        for (feed, segment) in self.segments.iter().enumerate() {
            for key in segment.packages_named(&hashes).map_err(|e| self.of_feed(feed, e))? {
                if let Key::Package(release, name) = key {
                    found.insert((release, name));
                }
            }
        }
        Ok(found)
    }

    /// True when a feed has records for exactly this ecosystem and release.
    pub fn covers(&self, release: &EcosystemRelease) -> bool {
        self.by_release.contains_key(release)
    }

    /// What lists of bad files say about a digest, or about the [`key`](model::checksum::Checksum::key) of another
    /// checksum, sorted.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn bad_hashes(&self, digest: &Digest) -> Result<Vec<BadHash>> {
        let mut found = Vec::new();
        for (meta, segment) in self.of_kind(FeedKind::Hashes) {
            let listed = segment.listed(digest).map_err(|e| e.of_feed(&meta.id))?;
            let entry = |l: crate::record::Listed| BadHash { feed: meta.id.clone(), name: l.name, source: l.source };
            found.extend(listed.into_iter().map(entry));
        }
        found.sort();
        Ok(found)
    }

    /// What could not be judged about these packages, and why: ecosystems and releases without advisories, feeds that
    /// are older than their maximum age, feeds whose last import failed. Sorted. A version that could not be compared
    /// is a match with [`Verdict::Undecided`](model::Verdict), not a gap.
    pub fn gaps(&self, packages: &[Package], os: Option<&OsRelease>, now: Timestamp) -> Vec<Gap> {
        gaps::find(self, packages, os, now)
    }

    /// Why a package has, or has not, a vulnerability (by CVE or any alias).
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn explain(&self, key: &PackageKey, vulnerability: &str) -> Result<Explanation> {
        self.matcher().explain(key, vulnerability)
    }

    /// The feeds, sorted by id.
    pub fn feeds(&self) -> &[FeedMeta] {
        &self.feeds
    }

    /// The number of this generation.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Feeds that have records for a release.
    pub(crate) fn feeds_of(&self, release: &EcosystemRelease) -> impl Iterator<Item = &FeedMeta> {
        self.by_release.get(release).into_iter().flatten().map(|index| &self.feeds[*index])
    }

    pub(crate) fn of_kind(&self, kind: FeedKind) -> impl Iterator<Item = (&FeedMeta, &Segment)> {
        self.by_kind.get(&kind).into_iter().flatten().map(|index| (&self.feeds[*index], &self.segments[*index]))
    }

    /// Indices of the feeds that have records for a release; `None` when there are none.
    pub(crate) fn indices_of(&self, release: &EcosystemRelease) -> Option<&[usize]> {
        self.by_release.get(release).map(Vec::as_slice)
    }

    /// A feed by its index.
    pub(crate) fn feed(&self, index: usize) -> (&FeedMeta, &Segment) {
        (&self.feeds[index], &self.segments[index])
    }

    /// What matchers of this generation have looked up about CVEs.
    pub(crate) const fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    pub(crate) fn of_feed(&self, feed: usize, error: Error) -> Error {
        error.of_feed(&self.feeds[feed].id)
    }

    /// When the support of an operating system's release ends, as feeds say: the longest leading part of `VERSION_ID`
    /// that is listed counts. `None` when no feed lists it.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn end_of_life(&self, os: &OsRelease) -> Result<Option<EndOfSupport>> {
        let mut release = os.version.as_str();
        while !release.is_empty() {
            let wanted = Wanted::from(Key::Lifecycle(os.id.clone(), release.to_owned()));
            for (meta, segment) in self.of_kind(FeedKind::EndOfLife) {
                if let Some(found) = segment.single(&wanted).map_err(|e| e.of_feed(&meta.id))? {
                    return Ok(end_of_support(&found, meta, release));
                }
            }
            release = release.rsplit_once('.').map_or("", |(head, _)| head);
        }
        Ok(None)
    }
}

fn end_of_support(found: &Lifecycle, feed: &FeedMeta, release: &str) -> Option<EndOfSupport> {
    let time = |seconds: i64| Timestamp::from_second(seconds).ok();
    Some(EndOfSupport {
        feed: feed.id.clone(),
        name: found.name.clone(),
        release: release.to_owned(),
        as_of: feed.modified.unwrap_or(feed.imported_at),
        until: time(found.until)?,
        extended_until: found.extended_until.and_then(time),
    })
}
