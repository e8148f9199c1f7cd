//! Everything that is known, opened: answers about packages and files.

use crate::error::{Error, Result};
use crate::explain::{Explanation, Lookup, silence};
use crate::gaps;
use crate::matching::Enrichment;
use crate::matching::applies::judgement;
use crate::matching::{Witness, merge, sift};
use crate::meta::{FeedKind, FeedMeta};
use crate::name::{Candidate, candidates};
use crate::record::{Exploited, Key, Lifecycle, Rated, Statement};
use crate::segment::{Segment, StoredStatement, name_hash};
use crate::version::Scheme;
use model::advisory::{BadHash, CvssScore, EndOfSupport, KevEntry};
use model::inventory::OsRelease;
use model::{Digest, EcosystemRelease, Gap, Match, Package, PackageKey, Timestamp, Verdict};
use std::collections::{BTreeSet, HashMap, HashSet};

/// One generation of intelligence: a set of opened feeds. Cheap to make, shared by reference or `Arc`.
#[derive(Debug)]
pub struct Intelligence {
    generation: u64,
    feeds: Vec<FeedMeta>,
    /// In the order of `feeds`.
    segments: Vec<Segment>,
    /// Which feeds have records for a release.
    by_release: HashMap<EcosystemRelease, Vec<usize>>,
}

/// What was found about a package, and where was looked.
struct Collected<'a> {
    witnesses: Vec<Witness<'a>>,
    lookups: Vec<Lookup>,
    /// Statements under the package's names that do not speak of it, with the index of their feed.
    silent: Vec<(usize, StoredStatement<'a>)>,
}

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Every statement.
    Everything,
    /// What can make a package affected or undecided.
    Possible,
}

/// A statement that was found under one of a package's names.
struct Said<'a, 'c> {
    /// Index of the feed.
    feed: usize,
    candidate: &'c Candidate,
    stored: StoredStatement<'a>,
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
        let (feeds, segments) = segments.into_iter().unzip();
        Self { generation, feeds, segments, by_release }
    }

    /// Every vulnerability that an advisory mentions for this package, sorted by id: affected, undecided, and those that
    /// it does not have. What is known beside the advisories (exploitation, scores of other feeds) is looked up only for
    /// the first two. Empty when the package's distribution is unknown: that is a gap, see [`Intelligence::gaps`].
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn matches(&self, key: &PackageKey) -> Result<Vec<Match>> {
        let Some(release) = key.ecosystem() else { return Ok(Vec::new()) };
        let collected = self.collect(key, &release, Depth::Everything)?;
        self.merge(&collected.witnesses, &release)
    }

    /// The same without the vulnerabilities that the package does not have, at a small part of the cost: those are told
    /// by their versions alone, and nothing else of them is read.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn possible(&self, key: &PackageKey) -> Result<Vec<Match>> {
        let Some(release) = key.ecosystem() else { return Ok(Vec::new()) };
        let collected = self.collect(key, &release, Depth::Possible)?;
        let mut found = self.merge(&collected.witnesses, &release)?;
        found.retain(|found| !matches!(found.verdict, Verdict::NotAffected { .. }));
        Ok(found)
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
        let Some(release) = key.ecosystem() else {
            return Ok(Explanation::unsupported(key, vulnerability));
        };
        let collected = self.collect(key, &release, Depth::Everything)?;
        let is_asked = |id: &str| id.eq_ignore_ascii_case(vulnerability);
        let found = self
            .merge(&collected.witnesses, &release)?
            .into_iter()
            .find(|found| is_asked(&found.vulnerability) || found.aliases.iter().any(|alias| is_asked(alias)));
        let is_of_match = |w: &&Witness<'_>| {
            found.as_ref().is_some_and(|m| m.advisories.iter().any(|a| a.feed == w.feed.id && a.id == w.advisory.id))
        };
        let steps = collected.witnesses.iter().filter(is_of_match).map(Witness::sentence).collect();
        let passed_over = self.passed_over(&collected.silent, key, is_asked)?;
        Ok(Explanation {
            purl: key.purl(),
            vulnerability: vulnerability.to_owned(),
            is_covered: self.covers(&release),
            release: Some(release),
            lookups: collected.lookups,
            steps,
            passed_over,
            found,
        })
    }

    /// Advisories about a vulnerability that are kept under a package's name and do not speak of it, each with the reason.
    fn passed_over(
        &self,
        silent: &[(usize, StoredStatement<'_>)],
        key: &PackageKey,
        is_asked: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        for (feed, stored) in silent {
            let advisory = self.segments[*feed].advisory(stored.advisory).map_err(|e| self.of_feed(*feed, e))?;
            let mut names = [&advisory.id].into_iter().chain(&advisory.cves).chain(&advisory.others);
            if names.any(|name| is_asked(name)) {
                let statement: Statement = stored.read().map_err(|e| self.of_feed(*feed, e))?;
                found.insert(format!("{} {}: {}", self.feeds[*feed].id, advisory.id, silence(&statement, key)));
            }
        }
        Ok(found.into_iter().collect())
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

    fn of_kind(&self, kind: FeedKind) -> impl Iterator<Item = (&FeedMeta, &Segment)> {
        self.feeds.iter().zip(&self.segments).filter(move |(meta, _)| meta.kind == kind)
    }

    fn collect(&self, key: &PackageKey, release: &EcosystemRelease, depth: Depth) -> Result<Collected<'_>> {
        let scheme = Scheme::of(release.ecosystem);
        let mut collected = Collected { witnesses: Vec::new(), lookups: Vec::new(), silent: Vec::new() };
        let Some(feeds) = self.by_release.get(release) else { return Ok(collected) };
        let candidates = candidates(key, release.ecosystem);
        let mut found: Vec<Said<'_, '_>> = Vec::new();
        for candidate in &candidates {
            let wanted = Key::Package(release.clone(), candidate.name.clone());
            for feed in feeds {
                let statements = self.segments[*feed].statements(&wanted).map_err(|e| self.of_feed(*feed, e))?;
                if depth == Depth::Everything {
                    collected.lookups.push(Lookup {
                        feed: self.feeds[*feed].id.clone(),
                        name: candidate.name.clone(),
                        version: candidate.version.clone(),
                        records: statements.len(),
                    });
                }
                found.extend(statements.into_iter().map(|stored| Said { feed: *feed, candidate, stored }));
            }
        }
        if depth == Depth::Possible {
            found = self.sift(found, key, scheme)?;
        }
        for said in &found {
            match self.witness(said, key, scheme)? {
                Some(witness) => collected.witnesses.push(witness),
                None => collected.silent.push((said.feed, said.stored)),
            }
        }
        Ok(collected)
    }

    /// Leaves out what surely says "not affected" and speaks of nothing that another statement sees otherwise.
    fn sift<'a, 'c>(&self, found: Vec<Said<'a, 'c>>, key: &PackageKey, scheme: Scheme) -> Result<Vec<Said<'a, 'c>>>
    where
        Self: 'a,
    {
        let mut kept = Vec::with_capacity(found.len());
        for Said { feed, candidate, stored } in &found {
            let statement = stored.read().map_err(|e| self.of_feed(*feed, e))?;
            kept.push(!sift::is_clear(&statement, key, candidate, scheme));
        }
        sift::keep_related(&mut kept, |index| {
            let Said { feed, stored, .. } = &found[index];
            self.segments[*feed].names(stored.advisory).map_err(|e| self.of_feed(*feed, e))
        })?;
        Ok(found.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(said, _)| said).collect())
    }

    fn witness(&self, said: &Said<'_, '_>, key: &PackageKey, scheme: Scheme) -> Result<Option<Witness<'_>>> {
        let statement: Statement = said.stored.read().map_err(|e| self.of_feed(said.feed, e))?;
        let Some((judgement, standing)) = judgement(&statement, key, said.candidate, scheme) else { return Ok(None) };
        let feed = &self.feeds[said.feed];
        let advisory =
            self.segments[said.feed].advisory(said.stored.advisory).map_err(|e| self.of_feed(said.feed, e))?;
        Ok(Some(Witness { feed, advisory, statement, judgement, standing }))
    }

    fn of_feed(&self, feed: usize, error: Error) -> Error {
        error.of_feed(&self.feeds[feed].id)
    }

    fn merge(&self, witnesses: &[Witness<'_>], release: &EcosystemRelease) -> Result<Vec<Match>> {
        let scheme = Scheme::of(release.ecosystem);
        let is_os = release.ecosystem.format().is_os();
        merge(witnesses, scheme, is_os, |cve, wants_vectors| {
            let cvss = if wants_vectors { self.borrowed_vectors(cve)? } else { Vec::new() };
            Ok(Enrichment { cvss, nvd: self.nvd(cve)?, kev: self.exploited(cve)?, epss: self.likelihood(cve)? })
        })
    }

    fn borrowed_vectors(&self, cve: &str) -> Result<Vec<(String, CvssScore)>> {
        let mut found = Vec::new();
        for (meta, segment) in self.of_kind(FeedKind::Osv) {
            if let Some(rated) = segment.rated(cve).map_err(|e| e.of_feed(&meta.id))? {
                found.extend(rated.cvss.into_iter().map(|score| (meta.id.clone(), score)));
            }
        }
        Ok(found)
    }

    /// Of several NVD feeds the one that sorts last counts.
    fn nvd(&self, cve: &str) -> Result<Option<(String, Rated)>> {
        let mut found = None;
        for (meta, segment) in self.of_kind(FeedKind::Nvd) {
            let rated = segment.rated(cve).map_err(|e| e.of_feed(&meta.id))?;
            found = rated.map(|rated| (meta.id.clone(), rated)).or(found);
        }
        Ok(found)
    }

    fn likelihood(&self, cve: &str) -> Result<Option<f64>> {
        for (meta, segment) in self.of_kind(FeedKind::Epss) {
            if let Some(found) = segment.likelihood(cve).map_err(|e| e.of_feed(&meta.id))? {
                return Ok(Some(found.probability));
            }
        }
        Ok(None)
    }

    /// When the support of an operating system's release ends, as feeds say: the longest leading part of `VERSION_ID`
    /// that is listed counts. `None` when no feed lists it.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn end_of_life(&self, os: &OsRelease) -> Result<Option<EndOfSupport>> {
        let mut release = os.version.as_str();
        while !release.is_empty() {
            for (meta, segment) in self.of_kind(FeedKind::EndOfLife) {
                if let Some(found) = segment.lifecycle(&os.id, release).map_err(|e| e.of_feed(&meta.id))? {
                    return Ok(end_of_support(&found, meta, release));
                }
            }
            release = release.rsplit_once('.').map_or("", |(head, _)| head);
        }
        Ok(None)
    }

    fn exploited(&self, vulnerability: &str) -> Result<Option<KevEntry>> {
        for (meta, segment) in self.of_kind(FeedKind::Kev) {
            if let Some(entry) = segment.exploited(vulnerability).map_err(|e| e.of_feed(&meta.id))? {
                return Ok(kev_entry(&entry));
            }
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
        until: time(found.until)?,
        extended_until: found.extended_until.and_then(time),
    })
}

fn kev_entry(entry: &Exploited) -> Option<KevEntry> {
    let time = |seconds: i64| Timestamp::from_second(seconds).ok();
    Some(KevEntry { added: time(entry.added)?, due: entry.due.and_then(time), ransomware: entry.ransomware })
}
