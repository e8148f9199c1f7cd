//! The workplace of workers in the server's process, and of the server on behalf of its agents.
//!
//! Invariant: a reader sees and writes only what is its own: jobs routed to it, facts under its name. What an
//! agent hands in is verified where it can be (documents by digest) and kept apart where it cannot (facts).

use crate::clock::{SharedClock, after};
use crate::event::{Event, Events};
use crate::rules::Toolbox;
use crate::selection::Selection;
use crate::task::resolve::{ManifestDocuments, assemble};
use crate::task::scan::{layer_detectors, missing_detectors};
use crate::worker::LEASE_MS;
use crate::workplace::{Assignment, Workplace};
use crate::{Error, ErrorKind, Result};
use analyze::{Detectors, SquashInput};
use async_trait::async_trait;
use model::discovery::{KnownTag, ResolvedImage, SeenTag, TagDelta};
use model::extraction::ExtractionRules;
use model::id::kind;
use model::job::{BlobClaim, ImageState, JobOutcome, JobWork, Lease};
use model::layer::Layer;
use model::registry::{Registry, RegistryConfig, RegistryStatus, ScanMode};
use model::{Detector, DetectorVersion, Digest, Gap, Id, ImageInventory, LayerInventory, Reader, Scope, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::traits::SharedStore;
use store::types::{InventoryCommit, ManifestView, trusted_readers};
use tokio::sync::Notify;

/// What the server's tasks share.
#[derive(Clone)]
pub struct Office {
    /// Every durable byte.
    pub store: SharedStore,
    /// The clock.
    pub clock: SharedClock,
    /// Compiled rules: their versions are what the server wants facts of.
    pub tools: Toolbox,
    /// Root of the keys of secret fingerprints.
    pub secret_key: [u8; 32],
    /// Progress.
    pub events: Events,
    /// Told when a job may have become available.
    pub jobs_changed: Arc<Notify>,
    /// Told when a discovery, a resolution or a scan ended.
    pub plan_wanted: Arc<Notify>,
    /// Told when something is to be matched or judged.
    pub evaluation_wanted: Arc<Notify>,
}

/// The readers whose facts may serve a registry: the server's serve everyone, a group's serve its own registries.
pub fn readers_of(registry: &RegistryConfig) -> Vec<Reader> {
    trusted_readers(registry)
}

fn group_of(registry: &RegistryConfig) -> Option<Reader> {
    match registry.scan_mode {
        ScanMode::Cloud => None,
        ScanMode::Outpost | ScanMode::Broker => registry.agent_group.clone().map(Reader::Group),
    }
}

/// Who does a registry's discovery and resolution.
pub fn discovery_reader(registry: &RegistryConfig) -> Reader {
    match registry.scan_mode {
        ScanMode::Cloud | ScanMode::Outpost => Reader::Server,
        ScanMode::Broker => group_of(registry).unwrap_or(Reader::Server),
    }
}

/// Who reads a registry's images.
pub fn scan_reader(registry: &RegistryConfig) -> Reader {
    group_of(registry).unwrap_or(Reader::Server)
}

/// One reader's desk in the office.
#[derive(Clone)]
pub struct Desk {
    office: Office,
    reader: Reader,
    holder: String,
}

impl Desk {
    /// A desk for `reader`; `holder` names the process or agent in job lists.
    pub const fn new(office: Office, reader: Reader, holder: String) -> Self {
        Self { office, reader, holder }
    }

    fn now(&self) -> Timestamp {
        self.office.clock.now()
    }

    fn store(&self) -> &dyn store::Store {
        &*self.office.store
    }

    /// The registry of a lease that is held at this desk. A fencing token alone could be guessed.
    async fn registry(&self, lease: &Lease) -> Result<Registry> {
        let holder = self.store().holder(lease).await?;
        if holder.is_none() {
            // Refused, and counted, as the late write that it is.
            self.store().heartbeat(lease, LEASE_MS, self.now()).await?;
        }
        if holder.as_deref() != Some(self.holder.as_str()) {
            let text = format!("the job {} is not leased to {} any more", lease.job, self.holder);
            return Err(Error::new(ErrorKind::StaleLease, text));
        }
        let registry = self.store().registry(&Scope::All, lease.work.registry()).await?;
        let allowed = match &lease.work {
            JobWork::Discover { .. } | JobWork::Resolve { .. } => discovery_reader(&registry.config),
            JobWork::Scan { .. } => scan_reader(&registry.config),
        };
        if allowed == self.reader {
            return Ok(registry);
        }
        // The scan mode was changed while the job was under way: the new reader will do it.
        Err(Error::new(
            ErrorKind::StaleLease,
            format!("{} does not read the registry {} any more", self.reader, registry.config.name),
        ))
    }

    async fn assignment(&self, lease: Lease) -> Result<Assignment> {
        let registry = self.registry(&lease).await?;
        let image = match &lease.work {
            JobWork::Discover { .. } | JobWork::Resolve { .. } => None,
            JobWork::Scan { digest, .. } => Some(Box::new(self.image(&registry.config, digest).await?)),
        };
        let detectors = self.office.tools.current();
        let first = self.store().setting(&discovered_setting(registry.id)).await?.is_none();
        Ok(Assignment {
            credentials: self.store().credentials(registry.id).await?,
            registry: registry.config,
            first_discovery: first,
            image,
            versions: detectors.versions(),
            rules_revision: detectors.revision(),
            secret_key: reader_key(&self.office.secret_key, &self.reader),
            lease,
        })
    }

    async fn image(&self, registry: &RegistryConfig, digest: &Digest) -> Result<ResolvedImage> {
        match self.store().manifest(digest, &readers_of(registry)).await? {
            ManifestView::Image(image) => Ok(*image),
            ManifestView::Unknown | ManifestView::Index(_) | ManifestView::Other(_) => {
                Err(Error::new(ErrorKind::NotFound, format!("{digest} is not a known image")))
            }
        }
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>> {
        Ok(self.store().next_due(std::slice::from_ref(&self.reader)).await?)
    }

    fn announce(&self, lease: &Lease) {
        let registry = lease.work.registry();
        match &lease.work {
            JobWork::Discover { .. } | JobWork::Resolve { .. } => self.office.events.send(Event::Registry { registry }),
            JobWork::Scan { digest, .. } => self.office.events.send(Event::Image { registry, digest: *digest }),
        }
    }

    fn scan_digest(lease: &Lease) -> Result<&Digest> {
        match &lease.work {
            JobWork::Scan { digest, .. } => Ok(digest),
            JobWork::Discover { .. } | JobWork::Resolve { .. } => {
                Err(Error::new(ErrorKind::Malformed, "this job is not a scan"))
            }
        }
    }

    /// Would an inventory that was read in part take the place of one that older detectors read?
    async fn is_worse(&self, image: &Digest, versions: &[DetectorVersion]) -> Result<bool> {
        let stored = self.store().inventory(&Scope::All, image, std::slice::from_ref(&self.reader)).await?;
        let is_old = |version: &DetectorVersion| !versions.contains(version);
        Ok(stored.is_some_and(|stored| stored.inventory.detectors.iter().any(is_old)))
    }

    /// Only layers of the image that the lease is about may be asked for or handed in.
    async fn check_blob(&self, registry: &RegistryConfig, lease: &Lease, blob: &Digest) -> Result<()> {
        let image = self.image(registry, Self::scan_digest(lease)?).await?;
        if image.layers.iter().any(|layer| layer.blob == *blob) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, format!("{blob} is not a layer of the image that was leased")))
    }
}

/// Set once a registry was discovered to the end for the first time.
pub fn discovered_setting(registry: Id<kind::Registry>) -> String {
    format!("registry.{registry}.first-discovery-done")
}

/// Each reader's secret fingerprints have a key of their own, so that an agent never learns the server's.
pub fn reader_key(root: &[u8; 32], reader: &Reader) -> [u8; 32] {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    hasher.update(b"pratique secret fingerprint key v1\0");
    hasher.update(root);
    hasher.update(reader.to_string().as_bytes());
    hasher.finalize().into()
}

#[async_trait]
impl Workplace for Desk {
    async fn start_anew(&self) -> Result<()> {
        let leases = self.store().give_back(&self.holder, self.now()).await?;
        if leases > 0 {
            tracing::info!(holder = self.holder, leases, "leases of an earlier run were given back");
            self.office.jobs_changed.notify_waiters();
        }
        Ok(())
    }

    async fn take(&self, wait: Duration) -> Result<Option<Assignment>> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let changed = self.office.jobs_changed.notified();
            let readers = std::slice::from_ref(&self.reader);
            let kinds = ["discover", "resolve", "scan"];
            if let Some(lease) = self.store().lease(&self.holder, readers, &kinds, LEASE_MS, self.now()).await? {
                self.announce(&lease);
                match self.assignment(lease.clone()).await {
                    Ok(assignment) => return Ok(Some(assignment)),
                    Err(error) => {
                        let outcome = JobOutcome::Failed { error: error.full() };
                        self.finish(&lease, &outcome).await?;
                        continue;
                    }
                }
            }
            let due = self.next_wake().await?.unwrap_or_else(|| after(self.now(), wait));
            tokio::select! {
                () = changed => {}
                () = self.office.clock.wait_until(due) => {
                    // A lease that is about to expire is due again and again until it is taken.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    async fn extraction_rules(&self) -> Result<ExtractionRules> {
        Ok(self.store().extraction_rules().await?)
    }

    async fn heartbeat(&self, lease: &Lease) -> Result<Lease> {
        Ok(self.store().heartbeat(lease, LEASE_MS, self.now()).await?)
    }

    async fn finish(&self, lease: &Lease, outcome: &JobOutcome) -> Result<()> {
        self.store().finish(lease, outcome, self.now()).await?;
        self.announce(lease);
        self.office.jobs_changed.notify_waiters();
        self.office.plan_wanted.notify_one();
        Ok(())
    }

    async fn registry_status(&self, lease: &Lease, status: RegistryStatus, reason: &str, complete: bool) -> Result<()> {
        let registry = self.registry(lease).await?;
        self.store().heartbeat(lease, LEASE_MS, self.now()).await?;
        self.store().set_registry_status(registry.id, status, reason, Some(self.now())).await?;
        if complete {
            self.store().set_setting(&discovered_setting(registry.id), "yes").await?;
        }
        self.announce(lease);
        self.office.plan_wanted.notify_one();
        Ok(())
    }

    async fn record_repositories(&self, lease: &Lease, names: &[String], complete: bool) -> Result<()> {
        self.registry(lease).await?;
        self.store().record_repositories(lease, names, complete, self.now()).await?;
        self.office.evaluation_wanted.notify_one();
        Ok(())
    }

    async fn known_tags(&self, lease: &Lease, repository: &str) -> Result<Vec<KnownTag>> {
        let registry = self.registry(lease).await?;
        Ok(self.store().known_tags(registry.id, repository).await?)
    }

    async fn record_tags(&self, lease: &Lease, repository: &str, seen: &[SeenTag]) -> Result<TagDelta> {
        self.registry(lease).await?;
        let delta = self.store().record_tags(lease, repository, seen, self.now()).await?;
        self.announce(lease);
        self.office.plan_wanted.notify_one();
        self.office.evaluation_wanted.notify_one();
        Ok(delta)
    }

    async fn record_manifest(&self, lease: &Lease, repository: &str, documents: &ManifestDocuments) -> Result<()> {
        let registry = self.registry(lease).await?;
        let selection = Selection::new(&registry.config)?;
        let manifest = assemble(documents, &selection)?;
        let leased = match &lease.work {
            JobWork::Resolve { digest, repository: at, .. } => *digest == manifest.digest && at == repository,
            JobWork::Discover { .. } | JobWork::Scan { .. } => false,
        };
        if !leased {
            return Err(Error::new(ErrorKind::Malformed, format!("{} is not what was leased", manifest.digest)));
        }
        self.store().record_manifest(lease, repository, &manifest, self.now()).await?;
        self.office.evaluation_wanted.notify_one();
        Ok(())
    }

    async fn facts(&self, lease: &Lease, blob: &Digest) -> Result<Option<LayerInventory>> {
        let registry = self.registry(lease).await?;
        let versions = self.office.tools.current().versions();
        Ok(self.store().facts(blob, &readers_of(&registry.config), &versions).await?)
    }

    async fn claim_blob(&self, lease: &Lease, blob: &Digest) -> Result<BlobClaim> {
        self.registry(lease).await?;
        Ok(self.store().claim_blob(lease, blob, &self.reader, self.now()).await?)
    }

    async fn put_facts(&self, lease: &Lease, facts: &LayerInventory) -> Result<()> {
        let registry = self.registry(lease).await?;
        self.check_blob(&registry.config, lease, &facts.blob).await?;
        let wanted = self.office.tools.current();
        let is_wanted = |detector: &Detector, version: &DetectorVersion| *version == wanted.version(*detector);
        if facts.detectors.iter().all(|(detector, found)| is_wanted(detector, &found.version)) {
            self.store().put_facts(lease, &self.reader, facts, self.now()).await?;
        } else {
            // Rules were edited since the job was given out: facts that nobody asks for any more are not kept.
            let mut facts = facts.clone();
            facts.detectors.retain(|detector, found| is_wanted(detector, &found.version));
            self.store().put_facts(lease, &self.reader, &facts, self.now()).await?;
        }
        self.announce(lease);
        Ok(())
    }

    async fn complete_scan(&self, lease: &Lease, gaps: &[Gap]) -> Result<()> {
        let registry = self.registry(lease).await?;
        let image = self.image(&registry.config, Self::scan_digest(lease)?).await?;
        let detectors = self.office.tools.current();
        let versions = detectors.versions();
        let readers = readers_of(&registry.config);
        let mut inventories = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            inventories.push(self.store().facts(&layer.blob, &readers, &versions).await?);
        }
        let unread = unread_layers(&image, &inventories, &versions);
        let given_up = |layer: &&&Layer| {
            image.layers.iter().any(|l| l.blob == layer.blob && gaps.iter().any(|gap| gap.scope == scope_of(l)))
        };
        if let Some(layer) = unread.iter().find(|layer| !given_up(layer)) {
            let text = format!("the rules were edited while layer {} was being read", layer.index);
            return Err(Error::new(ErrorKind::Transient, text));
        }
        let complete = unread.is_empty();
        if !complete && self.is_worse(&image.digest, &versions).await? {
            let reason = gaps.first().map_or("a layer could not be read", |gap| gap.detail.as_str());
            self.store().hold_image(lease, &image.digest, reason, &versions, self.now()).await?;
            self.announce(lease);
            self.office.evaluation_wanted.notify_one();
            return Ok(());
        }
        let (gaps, squash_image) = (gaps.to_vec(), image.clone());
        let inventory = tokio::task::spawn_blocking(move || squash(&squash_image, &inventories, &gaps, &detectors))
            .await
            .map_err(|e| Error::because(ErrorKind::Internal, "squashing was cut off", e))?;
        let state = if complete { ImageState::Scanned } else { ImageState::Partial };
        let commit = InventoryCommit {
            image: &image.digest,
            reader: &self.reader,
            inventory: &inventory,
            versions: &versions,
            state,
        };
        self.store().commit_inventory(lease, &commit, self.now()).await?;
        self.announce(lease);
        self.office.evaluation_wanted.notify_one();
        Ok(())
    }

    async fn fail_scan(&self, lease: &Lease, reason: &str) -> Result<()> {
        self.registry(lease).await?;
        let versions = self.office.tools.current().versions();
        self.store().fail_image(lease, Self::scan_digest(lease)?, reason, &versions, self.now()).await?;
        self.announce(lease);
        Ok(())
    }
}

fn squash(
    image: &ResolvedImage,
    inventories: &[Option<LayerInventory>],
    gaps: &[Gap],
    detectors: &Detectors,
) -> ImageInventory {
    let only: BTreeSet<Detector> =
        layer_detectors(&Detector::ALL.into_iter().collect()).into_iter().chain([Detector::Configuration]).collect();
    analyze::squash(&SquashInput {
        layers: &image.layers,
        configuration: &image.configuration,
        inventories,
        gaps,
        detectors,
        only: &only,
    })
}

/// The layers that lack facts of a wanted detector.
fn unread_layers<'a>(
    image: &'a ResolvedImage,
    inventories: &[Option<LayerInventory>],
    versions: &[DetectorVersion],
) -> Vec<&'a Layer> {
    let pairs = image.layers.iter().zip(inventories);
    let unread = pairs.filter(|(_, known)| !missing_detectors(known.as_ref(), versions).is_empty());
    unread.map(|(layer, _)| layer).collect()
}

/// The scope of the gap of a layer that was not read.
fn scope_of(layer: &Layer) -> String {
    format!("layer {}", layer.index)
}
