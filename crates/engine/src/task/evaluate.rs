//! Matches and judges: facts × knowledge × intent × now → findings and issues. Never touches a registry.
//!
//! One reconciler, one task at a time: first every distinct package without fresh matches is matched, then
//! every repository that is marked is judged. A first run and a re-evaluation differ only in who set the marks.

use crate::event::Event;
use crate::intelligence::{Library, Loaded};
use crate::matching::{in_parts, threads};
use crate::rules::Wanted;
use crate::task::schedule::LAST_FULL_SETTING;
use crate::workplace::local::{Office, readers_of};
use crate::{Error, ErrorKind, Result};
use intel::Intelligence;
use model::advisory::{BadHash, EndOfSupport};
use model::id::kind;
use model::issue::Transition;
use model::policy::PolicySet;
use model::registry::Registry;
use model::{
    Digest, EcosystemRelease, Finding, FindingKind, Gap, Id, ImageInventory, Match, PackageKey, Reader, Scope,
    Severity, Timestamp,
};
use policy::{CompiledTuning, Dismissed, ImageFacts, JudgedImage, Place, RepositoryFacts, Scanners, Show};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::types::{
    EvaluationSummary, ImageCounters, IssueDelta, Judgement, PackageChanges, RegistryImage, RepositoryToJudge, Touch,
};

/// Why everything, or a part, is judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The daily one.
    Daily,
    /// A grace period, an exception or an end-of-life date has come.
    Boundary,
    /// New intelligence.
    Intelligence(u64),
    /// A policy or an exception was edited.
    Intent(String),
    /// A person asked.
    Asked(String),
}

impl Cause {
    fn text(&self) -> String {
        match self {
            Self::Daily => "24 hours have passed".to_owned(),
            Self::Boundary => "a time boundary has passed".to_owned(),
            Self::Intelligence(generation) => format!("intelligence generation {generation}"),
            Self::Intent(what) => what.clone(),
            Self::Asked(who) => format!("asked for by {who}"),
        }
    }
}

/// Packages matched, and repositories judged, between two looks at what else is waiting.
const BATCH: u32 = 500;

/// With more changed packages than this, every distinct package is matched again: that is then quicker than to look for
/// those that are in use.
const CHANGED_NAMED_MAX: usize = 50_000;

/// Everything that evaluation works with.
#[derive(Clone)]
pub struct Evaluator {
    /// The office.
    pub office: Office,
    /// The intelligence in force.
    pub library: Library,
}

impl Evaluator {
    /// Marks what a cause can affect, brings everything up to date, and records the run.
    ///
    /// # Errors
    /// When the store fails; the marks stay, so the next run goes on.
    pub async fn reevaluate(&self, cause: &Cause) -> Result<EvaluationSummary> {
        let store = &self.office.store;
        let started = self.office.clock.now();
        let id = store.begin_evaluation(&cause.text(), started).await?;
        self.office.events.send(Event::Evaluation { running: true });
        let marked = self.mark(cause, started).await;
        let outcome = match marked {
            Ok(()) => self.settle(Some(id), &cause.text()).await,
            Err(error) => Err(error),
        };
        let summary = match &outcome {
            Ok(summary) => summary.clone(),
            Err(error) => EvaluationSummary { error: Some(error.full()), ..EvaluationSummary::default() },
        };
        store.finish_evaluation(id, &summary, self.office.clock.now()).await?;
        if outcome.is_ok() {
            self.remember(cause, started).await?;
        }
        self.office.events.send(Event::Evaluation { running: false });
        outcome
    }

    async fn remember(&self, cause: &Cause, started: Timestamp) -> Result<()> {
        match cause {
            Cause::Daily => self.office.store.set_setting(LAST_FULL_SETTING, &started.to_string()).await?,
            Cause::Intelligence(generation) => self.office.store.set_judged_generation(*generation).await?,
            Cause::Boundary | Cause::Intent(_) | Cause::Asked(_) => {}
        }
        Ok(())
    }

    async fn mark(&self, cause: &Cause, now: Timestamp) -> Result<()> {
        let store = &self.office.store;
        match cause {
            Cause::Daily | Cause::Asked(_) => {
                store.touch_packages(&PackageChanges::All).await?;
                store.touch_repositories(Touch::All, now).await?;
            }
            Cause::Boundary => {
                store.touch_repositories(Touch::Due, now).await?;
            }
            Cause::Intent(_) => {
                store.touch_repositories(Touch::All, now).await?;
            }
            Cause::Intelligence(_) => self.mark_changed_intelligence(now).await?,
        }
        Ok(())
    }

    /// Marks only what the step from the last judged generation to this one can affect.
    async fn mark_changed_intelligence(&self, now: Timestamp) -> Result<()> {
        let store = &self.office.store;
        let changes = match store.judged_generation().await? {
            Some(old) => self.library.changes_since(old)?,
            None => None,
        };
        let Some(changes) = changes else {
            store.touch_packages(&PackageChanges::All).await?;
            store.touch_repositories(Touch::All, now).await?;
            return Ok(());
        };
        if !changes.hashes.is_empty() {
            let hashes: Vec<Digest> = changes.hashes.iter().copied().collect();
            store.touch_hashes(&hashes).await?;
        }
        let support_changed = changes.end_of_life;
        store.touch_packages(&self.changed_packages(changes).await?).await?;
        if support_changed || self.library.coverage_changed_since(store.judged_generation().await?)? {
            store.touch_repositories(Touch::All, now).await?;
        }
        Ok(())
    }

    /// Ratings and exploitation data speak of vulnerabilities, so the packages are looked up whose advisories name them.
    async fn changed_packages(&self, changes: intel::Changes) -> Result<PackageChanges> {
        let intel::Changes { mut packages, vulnerabilities, .. } = changes;
        if !vulnerabilities.is_empty() {
            let loaded = self.library.current();
            let with =
                tokio::task::spawn_blocking(move || loaded.intelligence.packages_with(&vulnerabilities))
                    .await
                    .map_err(|e| Error::because(ErrorKind::Internal, "a look for changed packages was cut off", e))?;
            packages.extend(with.map_err(crate::error::from_intel)?);
        }
        if packages.len() > CHANGED_NAMED_MAX {
            return Ok(PackageChanges::All);
        }
        Ok(PackageChanges::Names(packages.into_iter().collect()))
    }

    /// Matches and judges until nothing is left.
    ///
    /// # Errors
    /// When the store or the intelligence fails.
    pub async fn settle(&self, evaluation: Option<Id<kind::Evaluation>>, reason: &str) -> Result<EvaluationSummary> {
        let loaded = self.library.current();
        let mut summary =
            EvaluationSummary { generation: Some(loaded.intelligence.generation()), ..EvaluationSummary::default() };
        let mut judge = Judge::new(self, loaded, evaluation, reason).await?;
        loop {
            let matched = self.match_packages(&judge.loaded).await?;
            summary.packages += matched;
            let repositories = self.office.store.repositories_to_judge(BATCH).await?;
            if matched == 0 && repositories.is_empty() {
                return Ok(summary);
            }
            for target in repositories {
                let (delta, images) = judge.repository(target).await?;
                summary.repositories += 1;
                summary.images += images;
                add(&mut summary.issues, delta);
            }
        }
    }

    /// Matches one batch of distinct packages. Returns how many.
    async fn match_packages(&self, loaded: &Arc<Loaded>) -> Result<u64> {
        let rows = self.office.store.packages_to_match(BATCH).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let count = rows.len() as u64;
        let loaded = Arc::clone(loaded);
        let generation = loaded.intelligence.generation();
        let matched = tokio::task::spawn_blocking(move || match_all(&loaded.intelligence, &rows))
            .await
            .map_err(|e| Error::because(ErrorKind::Internal, "matching was cut off", e))??;
        self.office.store.put_matches(generation, &matched).await?;
        Ok(count)
    }
}

/// What the packages may have. What they do not have is never stored: nobody is shown it, and it is most of what advisories
/// say.
fn match_all(
    intelligence: &Intelligence,
    rows: &[(Id<kind::Package>, PackageKey)],
) -> Result<Vec<(Id<kind::Package>, Vec<Match>)>> {
    let parts = in_parts(intelligence, rows, threads(), |matcher, part| {
        part.iter().map(|(id, key)| Ok((*id, matcher.possible(key)?))).collect::<intel::Result<Vec<_>>>()
    });
    Ok(parts.map_err(crate::error::from_intel)?.into_iter().flatten().collect())
}

fn add(total: &mut IssueDelta, delta: IssueDelta) {
    total.opened += delta.opened;
    total.kept += delta.kept;
    total.resolved += delta.resolved;
    total.reopened += delta.reopened;
}

/// Judges repositories with one generation of intelligence and one revision of the policies.
struct Judge<'a> {
    evaluator: &'a Evaluator,
    loaded: Arc<Loaded>,
    policies: PolicySet,
    tuning: Arc<CompiledTuning>,
    wanted: Arc<Wanted>,
    exceptions: Vec<model::exception::Exception>,
    registries: BTreeMap<Id<kind::Registry>, Registry>,
    evaluation: Option<Id<kind::Evaluation>>,
    reason: String,
}

/// One image, judged.
struct Seen {
    judged: JudgedImage,
    counters: ImageCounters,
}

impl<'a> Judge<'a> {
    async fn new(
        evaluator: &'a Evaluator,
        loaded: Arc<Loaded>,
        evaluation: Option<Id<kind::Evaluation>>,
        reason: &str,
    ) -> Result<Self> {
        let store = &evaluator.office.store;
        let policies = store.policies().await?.unwrap_or_else(policy::default_policies);
        let tuning = Arc::new(CompiledTuning::new(&store.tuning().await?));
        let wanted = Arc::new(Wanted::of(&evaluator.office.tools.current()));
        let exceptions = store.exceptions().await?;
        let registries = store.registries(&Scope::All).await?.into_iter().map(|r| (r.id, r)).collect();
        Ok(Self {
            evaluator,
            loaded,
            policies,
            tuning,
            wanted,
            exceptions,
            registries,
            evaluation,
            reason: reason.to_owned(),
        })
    }

    async fn registry(&mut self, id: Id<kind::Registry>) -> Result<Registry> {
        if let Some(known) = self.registries.get(&id) {
            return Ok(known.clone());
        }
        let registry = self.evaluator.office.store.registry(&Scope::All, id).await?;
        self.registries.insert(id, registry.clone());
        Ok(registry)
    }

    async fn repository(&mut self, target: RepositoryToJudge) -> Result<(IssueDelta, u64)> {
        let store = Arc::clone(&self.evaluator.office.store);
        let now = self.evaluator.office.clock.now();
        let registry = self.registry(target.registry).await?;
        let readers = readers_of(&registry.config);
        let place = format!("{}/{}", registry.config.name, target.repository);
        let images = store.registry_images(target.registry, &target.repository).await?;
        let mut judged = Vec::with_capacity(images.len());
        let mut counters = Vec::with_capacity(images.len());
        for image in &images {
            if let Some(seen) = self.image(image, (&place, &readers), now).await? {
                counters.push((image.digest, seen.counters));
                judged.push(seen.judged);
            }
        }
        let verdict = policy::judge(&RepositoryFacts {
            registry: &registry.config.name,
            host: &registry.config.url,
            repository: &target.repository,
            images: &judged,
            policies: &self.policies,
            exceptions: &self.exceptions,
            now,
        });
        let existing = store.issues_of(target.registry, &target.repository).await?;
        let gone = policy::Gone { policies: &self.policies, unread: judged.len() < images.len() };
        let transitions: Vec<Transition> = policy::transition(&existing, &verdict, gone);
        let event = Event::Issues { registry: target.registry, repository: target.repository.clone() };
        let judgement = Judgement {
            target,
            transitions,
            due_days: policy::DUE_DAYS,
            counters,
            next_boundary: verdict.next_boundary,
            evaluation: self.evaluation,
            reason: self.reason.clone(),
        };
        let delta = store.apply_judgement(&judgement, now).await?;
        self.evaluator.office.events.send(event);
        Ok((delta, images.len() as u64))
    }

    /// The findings of one image; `None` while it has no inventory.
    async fn image(&self, image: &RegistryImage, found: (&str, &[Reader]), now: Timestamp) -> Result<Option<Seen>> {
        let (place, readers) = found;
        let store = &self.evaluator.office.store;
        let Some(stored) = store.inventory(&Scope::All, &image.digest, readers).await? else { return Ok(None) };
        let keys: Vec<PackageKey> = stored.inventory.packages.iter().map(|p| p.key.clone()).collect();
        let matches: BTreeMap<PackageKey, Arc<[Match]>> = store.matches(&keys).await?.into_iter().collect();
        let loaded = Arc::clone(&self.loaded);
        let (digest, tags) = (image.digest, image.tags.clone());
        let diff_ids: Vec<Digest> = stored.inventory.layers.iter().map(|layer| layer.diff_id).collect();
        let mut inventory = stored.inventory;
        let (tuning, wanted, repositories) = (Arc::clone(&self.tuning), Arc::clone(&self.wanted), [place.to_owned()]);
        let seen = tokio::task::spawn_blocking(move || -> Result<Seen> {
            wanted.note_old_facts(&mut inventory, "its layers will be read again");
            let place = Place { digest: Some(digest), repositories: &repositories };
            let bench = Bench { intelligence: &loaded.intelligence, tuning: &tuning, place, now };
            let verdict = ImageVerdict::new(&inventory, &matches, &bench)?;
            let counters = count(&verdict.findings, inventory.packages.len(), verdict.gaps.len());
            let (findings, dismissed) = (verdict.findings.into(), verdict.dismissed.into());
            let next_boundary = verdict.next_boundary;
            Ok(Seen { judged: JudgedImage { digest, tags, diff_ids, findings, dismissed, next_boundary }, counters })
        });
        seen.await.map_err(|e| Error::because(ErrorKind::Internal, "judging was cut off", e))?.map(Some)
    }
}

/// What an inventory is judged with, besides its matches.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// What is known of the world.
    pub intelligence: &'a Intelligence,
    /// Switches, severities, thresholds and allow-lists.
    pub tuning: &'a CompiledTuning,
    /// Where the image is looked at.
    pub place: Place<'a>,
    /// The moment.
    pub now: Timestamp,
}

/// What is known to be wrong with one inventory, and what could not be seen.
#[derive(Debug, Clone, Default)]
pub struct ImageVerdict {
    /// Open findings, sorted.
    pub findings: Vec<Finding>,
    /// What would be a finding but for the tuning, sorted.
    pub dismissed: Vec<Dismissed>,
    /// Gaps of the bytes and of the intelligence, sorted.
    pub gaps: Vec<Gap>,
    /// When time alone changes the findings.
    pub next_boundary: Option<Timestamp>,
}

impl ImageVerdict {
    /// Judges one inventory with matches that were made before.
    ///
    /// # Errors
    /// When a segment of the intelligence is damaged.
    pub fn new(
        inventory: &ImageInventory,
        matches: &BTreeMap<PackageKey, Arc<[Match]>>,
        bench: &Bench<'_>,
    ) -> Result<Self> {
        let Bench { intelligence, tuning, place, now } = *bench;
        let bad_hashes = bad_hashes(inventory, intelligence)?;
        let covered = covered(inventory, intelligence);
        let end_of_support = end_of_support(inventory, intelligence)?;
        let facts = ImageFacts {
            inventory,
            matches,
            bad_hashes: &bad_hashes,
            covered: &covered,
            end_of_support: end_of_support.as_ref(),
            scanners: Scanners::ALL,
            now,
            tuning,
            place,
        };
        let mut gaps = inventory.gaps.clone();
        gaps.extend(intelligence.gaps(&inventory.packages, inventory.os.as_ref(), now));
        gaps.extend(policy::gaps(&facts));
        gaps.sort();
        gaps.dedup();
        let policy::Assessment { findings, dismissed } = policy::assess(&facts, Show::Open);
        Ok(Self { findings, dismissed, gaps, next_boundary: policy::findings_boundary(&facts) })
    }
}

/// The releases of an image's packages that advisories are loaded for.
pub fn covered(inventory: &ImageInventory, intelligence: &Intelligence) -> BTreeSet<EcosystemRelease> {
    let mut releases: BTreeSet<EcosystemRelease> =
        inventory.packages.iter().filter_map(|p| p.key.ecosystem()).collect();
    releases.retain(|release| intelligence.covers(release));
    releases
}

/// When the support of an image's operating system ends, as a feed says.
///
/// # Errors
/// When a segment of the intelligence is damaged.
pub fn end_of_support(inventory: &ImageInventory, intelligence: &Intelligence) -> Result<Option<EndOfSupport>> {
    let Some(os) = &inventory.os else { return Ok(None) };
    intelligence.end_of_life(os).map_err(crate::error::from_intel)
}

/// Which files of an image are on a list of bad files, by [`ImageFile::keys`](model::inventory::ImageFile::keys).
///
/// # Errors
/// When a segment of the intelligence is damaged.
pub fn bad_hashes(inventory: &ImageInventory, intelligence: &Intelligence) -> Result<BTreeMap<Digest, Vec<BadHash>>> {
    let mut out = BTreeMap::new();
    for key in inventory.files.iter().flat_map(|file| file.keys()) {
        let hits = intelligence.bad_hashes(&key).map_err(crate::error::from_intel)?;
        if !hits.is_empty() {
            out.insert(key, hits);
        }
    }
    Ok(out)
}

/// Counts findings for lists and the overview.
pub fn count(findings: &[Finding], packages: usize, gaps: usize) -> ImageCounters {
    let mut counters = ImageCounters { packages: packages as u64, gaps: gaps as u64, ..ImageCounters::default() };
    for finding in findings.iter().filter(|f| f.status.is_open()) {
        match finding.kind {
            FindingKind::Vulnerability => {
                let at = Severity::ALL.iter().position(|s| *s == finding.severity).expect("ALL lists every severity");
                counters.vulnerabilities[at] += 1;
            }
            FindingKind::Secret => counters.secrets += 1,
            FindingKind::Malware => counters.malware += 1,
            FindingKind::Misconfiguration | FindingKind::EndOfLife | FindingKind::UntrustedImage => {
                counters.misconfigurations += 1
            }
            FindingKind::Compliance => counters.compliance += 1,
        }
    }
    counters
}
