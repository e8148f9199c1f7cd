//! Answers about packages, one after the other.
//!
//! Not here: what a statement means ([`matching`](crate::matching)).
//!
//! Invariant: what a matcher remembers never changes an answer; it only saves looking things up again.

use crate::error::Result;
use crate::explain::{Explanation, Lookup, silence};
use crate::intelligence::Intelligence;
use crate::known::{ByCve, Known, cve_number};
use crate::matching::applies::judgement;
use crate::matching::evaluate::Installed;
use crate::matching::sift::{Sieve, keep_related};
use crate::matching::{Enrichment, Rules, Witness, merge};
use crate::meta::FeedKind;
use crate::name::{Candidate, candidates};
use crate::record::{Exploited, Key, Likelihood, Rated};
use crate::segment::{StoredStatement, Wanted};
use crate::version::{Read, Scheme};
use model::advisory::{CvssScore, KevEntry};
use model::{EcosystemRelease, Match, PackageKey, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Of so many CVEs a matcher remembers what is known beside the advisories; then it starts anew.
const REMEMBERED_MAX: usize = 1 << 14;

/// Matches packages with the advisories of one generation. Cheap to make; use one for many packages of a thread.
#[derive(Debug)]
pub struct Matcher<'i> {
    intelligence: &'i Intelligence,
    /// A part of what the generation [remembers](crate::known::Remembered), at hand without a lock.
    known: ByCve,
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

/// A package under one of its names.
struct Probe<'a> {
    candidate: &'a Candidate,
    read: Option<Read<'a>>,
    scheme: Scheme,
}

impl<'a> Probe<'a> {
    fn new(candidate: &'a Candidate, scheme: Scheme) -> Self {
        Self { candidate, read: scheme.read(&candidate.version).ok(), scheme }
    }

    fn installed(&'a self) -> Installed<'a> {
        let Candidate { name, version, .. } = self.candidate;
        Installed { name, version, scheme: self.scheme, read: self.read.as_ref() }
    }
}

/// A statement that was found under one of a package's names.
#[derive(Clone, Copy)]
struct Said<'a> {
    /// Index of the feed.
    feed: usize,
    probe: &'a Probe<'a>,
    stored: StoredStatement<'a>,
}

impl<'i> Matcher<'i> {
    pub(crate) fn new(intelligence: &'i Intelligence) -> Self {
        Self { intelligence, known: ByCve::default() }
    }

    /// Every vulnerability that an advisory mentions for a package, sorted by id: affected, undecided, and those that
    /// it does not have. What is known beside the advisories (exploitation, scores of other feeds) is looked up only for
    /// the first two. Empty when the package's distribution is unknown: that is a gap, see [`Intelligence::gaps`].
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn matches(&mut self, key: &PackageKey) -> Result<Vec<Match>> {
        self.answer(key, Depth::Everything)
    }

    /// The same without the vulnerabilities that the package does not have, at a small part of the cost: those are told
    /// by their versions alone, and nothing else of them is read.
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn possible(&mut self, key: &PackageKey) -> Result<Vec<Match>> {
        self.answer(key, Depth::Possible)
    }

    fn answer(&mut self, key: &PackageKey, depth: Depth) -> Result<Vec<Match>> {
        let Some(release) = key.ecosystem() else { return Ok(Vec::new()) };
        let scheme = Scheme::of_package(release.ecosystem, &key.name);
        let candidates = candidates(key, release.ecosystem);
        let probes: Vec<Probe<'_>> = candidates.iter().map(|candidate| Probe::new(candidate, scheme)).collect();
        let collected = self.collect(key, &release, &probes, depth)?;
        self.merge(&collected.witnesses, Rules::new(scheme, release.ecosystem, depth == Depth::Possible))
    }

    /// Why a package has, or has not, a vulnerability (by CVE or any alias).
    ///
    /// # Errors
    /// When a segment was changed after it was written.
    pub fn explain(&mut self, key: &PackageKey, vulnerability: &str) -> Result<Explanation> {
        let Some(release) = key.ecosystem() else {
            return Ok(Explanation::unsupported(key, vulnerability));
        };
        let scheme = Scheme::of_package(release.ecosystem, &key.name);
        let candidates = candidates(key, release.ecosystem);
        let probes: Vec<Probe<'_>> = candidates.iter().map(|candidate| Probe::new(candidate, scheme)).collect();
        let collected = self.collect(key, &release, &probes, Depth::Everything)?;
        let is_asked = |id: &str| id.eq_ignore_ascii_case(vulnerability);
        let found = self
            .merge(&collected.witnesses, Rules::new(scheme, release.ecosystem, false))?
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
            is_covered: self.intelligence.covers(&release),
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
            let (meta, segment) = self.intelligence.feed(*feed);
            let advisory = segment.advisory(stored.advisory).map_err(|e| e.of_feed(&meta.id))?;
            let mut names = [&advisory.id].into_iter().chain(&advisory.cves).chain(&advisory.others);
            if names.any(|name| is_asked(name)) {
                let statement = stored.read().map_err(|e| e.of_feed(&meta.id))?;
                found.insert(format!("{} {}: {}", meta.id, advisory.id, silence(&statement, key)));
            }
        }
        Ok(found.into_iter().collect())
    }

    fn collect<'a>(
        &self,
        key: &PackageKey,
        release: &EcosystemRelease,
        probes: &'a [Probe<'a>],
        depth: Depth,
    ) -> Result<Collected<'a>>
    where
        'i: 'a,
    {
        let mut collected = Collected { witnesses: Vec::new(), lookups: Vec::new(), silent: Vec::new() };
        let intelligence = self.intelligence;
        let Some(feeds) = intelligence.indices_of(release) else { return Ok(collected) };
        let mut found: Vec<Said<'a>> = Vec::new();
        for probe in probes {
            let wanted = Wanted::package(release, &probe.candidate.name);
            for &feed in feeds {
                let (meta, segment) = intelligence.feed(feed);
                let statements = segment.statements(&wanted).map_err(|e| e.of_feed(&meta.id))?;
                if depth == Depth::Everything {
                    collected.lookups.push(Lookup {
                        feed: meta.id.clone(),
                        name: probe.candidate.name.clone(),
                        version: probe.candidate.version.clone(),
                        records: statements.count_left(),
                    });
                }
                found.reserve(statements.size_hint().0);
                for stored in statements {
                    let stored = stored.map_err(|e| e.of_feed(&meta.id))?;
                    if meta.kind != FeedKind::Nvd || self.is_newest(feed, stored)? {
                        found.push(Said { feed, probe, stored });
                    }
                }
            }
        }
        if depth == Depth::Possible {
            self.sift(&mut found, key)?;
        }
        collected.witnesses.reserve(found.len());
        for said in &found {
            match self.witness(said, key)? {
                Some(witness) => collected.witnesses.push(witness),
                None => collected.silent.push((said.feed, said.stored)),
            }
        }
        Ok(collected)
    }

    /// Leaves out what surely says "not affected" and speaks of nothing that another statement sees otherwise.
    fn sift(&self, found: &mut Vec<Said<'_>>, key: &PackageKey) -> Result<()> {
        let mut kept = Vec::with_capacity(found.len());
        for of_probe in found.chunk_by(|a, b| std::ptr::eq(a.probe, b.probe)) {
            let sieve = of_probe.first().and_then(|said| Sieve::new(key, said.probe.installed()));
            let is_clear = |said: &Said<'_>| sieve.is_some_and(|sieve| sieve.is_clear(said.stored.bytes()));
            kept.extend(of_probe.iter().map(|said| !is_clear(said)));
        }
        keep_related(&mut kept, |index| {
            let Said { feed, stored, .. } = &found[index];
            self.intelligence.feed(*feed).1.names(stored.advisory).map_err(|e| self.intelligence.of_feed(*feed, e))
        })?;
        let mut kept = kept.into_iter();
        found.retain(|_| kept.next() == Some(true));
        Ok(())
    }

    fn witness<'a>(&self, said: &Said<'a>, key: &PackageKey) -> Result<Option<Witness<'a>>>
    where
        'i: 'a,
    {
        let intelligence: &'a Intelligence = self.intelligence;
        let (feed, segment) = intelligence.feed(said.feed);
        let statement = said.stored.read().map_err(|e| e.of_feed(&feed.id))?;
        let installed = said.probe.installed();
        let Some((judgement, standing, aside)) = judgement(&statement, key, said.probe.candidate, installed) else {
            return Ok(None);
        };
        let advisory = segment.advisory(said.stored.advisory).map_err(|e| e.of_feed(&feed.id))?;
        Ok(Some(Witness { feed, advisory, statement, installed, judgement, standing, aside }))
    }

    fn merge(&mut self, witnesses: &[Witness<'_>], rules: Rules) -> Result<Vec<Match>> {
        merge(witnesses, rules, |cve, wants_vectors| self.enrichment(cve, wants_vectors))
    }

    fn enrichment(&mut self, cve: &str, wants_vectors: bool) -> Result<Option<Arc<Enrichment>>> {
        let Some(number) = cve_number(cve) else { return self.look_up(cve, wants_vectors) };
        let is_enough = |known: &Known| known.has_vectors || !wants_vectors;
        if let Some(known) = self.known.get(&number).filter(|known| is_enough(known)) {
            return Ok(known.enrichment.clone());
        }
        let remembered = self.intelligence.remembered();
        let known = match remembered.get(number).filter(is_enough) {
            Some(known) => known,
            None => {
                let known = Known { has_vectors: wants_vectors, enrichment: self.look_up(cve, wants_vectors)? };
                remembered.put(number, known.clone());
                known
            }
        };
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let enrichment = known.enrichment.clone();
        self.known.insert(number, known);
        Ok(enrichment)
    }

    /// What feeds beside the advisories know about a CVE.
    fn look_up(&self, cve: &str, wants_vectors: bool) -> Result<Option<Arc<Enrichment>>> {
        let rated = Wanted::from(Key::Rated(cve.to_owned()));
        let enrichment = Enrichment {
            cvss: if wants_vectors { self.borrowed_vectors(&rated)? } else { Vec::new() },
            nvd: self.nvd(&rated)?,
            kev: self.exploited(cve)?,
            epss: self.likelihood(cve)?,
        };
        Ok((!enrichment.is_empty()).then(|| Arc::new(enrichment)))
    }

    fn borrowed_vectors(&self, wanted: &Wanted) -> Result<Vec<(String, CvssScore)>> {
        let mut found = Vec::new();
        for (meta, segment) in self.intelligence.of_kind(FeedKind::Osv) {
            if let Some(rated) = segment.single::<Rated>(wanted).map_err(|e| e.of_feed(&meta.id))? {
                found.extend(rated.cvss.into_iter().map(|score| (meta.id.clone(), score)));
            }
        }
        Ok(found)
    }

    /// Of several NVD feeds that have a CVE the one that sorts last counts, also where it does not speak of the package
    /// any more. Every CVE of such a feed has a [`Rated`] entry.
    fn is_newest(&self, feed: usize, stored: StoredStatement<'_>) -> Result<bool> {
        let (meta, segment) = self.intelligence.feed(feed);
        let mut later = self.intelligence.of_kind(FeedKind::Nvd).filter(|(other, _)| other.id > meta.id).peekable();
        if later.peek().is_none() {
            return Ok(true);
        }
        let advisory = segment.advisory(stored.advisory).map_err(|e| e.of_feed(&meta.id))?;
        let wanted = Wanted::from(Key::Rated(advisory.id.to_owned()));
        for (other, segment) in later {
            if segment.single::<Rated>(&wanted).map_err(|e| e.of_feed(&other.id))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Of several NVD feeds the one that sorts last counts.
    fn nvd(&self, wanted: &Wanted) -> Result<Option<(String, Rated)>> {
        let mut found = None;
        for (meta, segment) in self.intelligence.of_kind(FeedKind::Nvd) {
            let rated = segment.single(wanted).map_err(|e| e.of_feed(&meta.id))?;
            found = rated.map(|rated| (meta.id.clone(), rated)).or(found);
        }
        Ok(found)
    }

    fn likelihood(&self, cve: &str) -> Result<Option<f64>> {
        let found = self.first::<Likelihood>(FeedKind::Epss, || Key::Likely(cve.to_owned()))?;
        Ok(found.map(|found| found.probability))
    }

    fn exploited(&self, cve: &str) -> Result<Option<KevEntry>> {
        let found = self.first::<Exploited>(FeedKind::Kev, || Key::Exploited(cve.to_owned()))?;
        Ok(found.as_ref().and_then(kev_entry))
    }

    /// The record of the first feed of a kind that has one.
    fn first<T: serde::de::DeserializeOwned>(&self, kind: FeedKind, key: impl FnOnce() -> Key) -> Result<Option<T>> {
        let mut feeds = self.intelligence.of_kind(kind).peekable();
        if feeds.peek().is_none() {
            return Ok(None);
        }
        let wanted = Wanted::from(key());
        for (meta, segment) in feeds {
            if let Some(found) = segment.single(&wanted).map_err(|e| e.of_feed(&meta.id))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn kev_entry(entry: &Exploited) -> Option<KevEntry> {
    let time = |seconds: i64| Timestamp::from_second(seconds).ok();
    Some(KevEntry { added: time(entry.added)?, due: entry.due.and_then(time), ransomware: entry.ransomware })
}
