//! Where a worker works: the few calls that discovery, resolution and reading need.
//!
//! The store implements it for workers in the server's process ([`local`]); an agent implements it with HTTPS
//! calls to the server ([`agent`]), which answers them from the same store. So the three scan modes run one
//! worker, and differ only in who is reached over what.
//!
//! Not here: matching, policies, issues. A worker makes facts.

pub mod agent;
pub mod local;

use crate::Result;
use crate::task::resolve::ManifestDocuments;
use async_trait::async_trait;
use model::discovery::{KnownTag, ResolvedImage, SeenTag, TagDelta};
use model::extraction::ExtractionRules;
use model::job::{BlobClaim, JobOutcome, Lease};
use model::registry::{Credentials, RegistryConfig, RegistryStatus};
use model::{DetectorVersion, Digest, Gap, LayerInventory};
use std::sync::Arc;
use std::time::Duration;

/// A job with all that is needed to do it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The lease: proof that the job is ours.
    pub lease: Lease,
    /// The registry that it is about.
    pub registry: RegistryConfig,
    /// Login, unless the agent keeps its own.
    pub credentials: Option<Credentials>,
    /// For discovery: has this registry never been discovered to the end?
    pub first_discovery: bool,
    /// For scans: the image.
    pub image: Option<Box<ResolvedImage>>,
    /// For scans: the detector versions that the server wants facts of.
    pub versions: Vec<DetectorVersion>,
    /// For scans: the key of secret fingerprints of this reader.
    pub secret_key: [u8; 32],
    /// For scans: the revision of the installation's rules that the versions are made from.
    pub rules_revision: u64,
}

/// What a worker needs. Every call that carries a lease is refused once the lease is stale.
#[async_trait]
pub trait Workplace: Send + Sync {
    /// The worker starts anew: what it held before a crash is given back at once, instead of when its leases end.
    async fn start_anew(&self) -> Result<()>;
    /// Waits up to `wait` for a job, and takes it.
    async fn take(&self, wait: Duration) -> Result<Option<Assignment>>;
    /// The installation's own rules for what is read out of bytes.
    async fn extraction_rules(&self) -> Result<ExtractionRules>;
    /// Keeps a lease alive.
    async fn heartbeat(&self, lease: &Lease) -> Result<Lease>;
    /// Ends the work on a lease.
    async fn finish(&self, lease: &Lease, outcome: &JobOutcome) -> Result<()>;
    /// What a discovery says about its registry; `complete` when it went to its end.
    async fn registry_status(&self, lease: &Lease, status: RegistryStatus, reason: &str, complete: bool) -> Result<()>;
    /// See `store::traits::Discovery::record_repositories`.
    async fn record_repositories(&self, lease: &Lease, names: &[String], complete: bool) -> Result<()>;
    /// See `store::traits::Discovery::known_tags`.
    async fn known_tags(&self, lease: &Lease, repository: &str) -> Result<Vec<KnownTag>>;
    /// See `store::traits::Discovery::record_tags`.
    async fn record_tags(&self, lease: &Lease, repository: &str, seen: &[SeenTag]) -> Result<TagDelta>;
    /// Hands in what a digest turned out to be, as the documents themselves: their digests are verified again.
    async fn record_manifest(&self, lease: &Lease, repository: &str, documents: &ManifestDocuments) -> Result<()>;
    /// Stored facts about a blob that this reader may use.
    async fn facts(&self, lease: &Lease, blob: &Digest) -> Result<Option<LayerInventory>>;
    /// Claims a blob for reading.
    async fn claim_blob(&self, lease: &Lease, blob: &Digest) -> Result<BlobClaim>;
    /// Hands in facts about a layer.
    async fn put_facts(&self, lease: &Lease, facts: &LayerInventory) -> Result<()>;
    /// Every layer is read, or is named in `gaps`: the inventory can be made and committed.
    async fn complete_scan(&self, lease: &Lease, gaps: &[Gap]) -> Result<()>;
    /// The image cannot be read at all.
    async fn fail_scan(&self, lease: &Lease, reason: &str) -> Result<()>;
}

/// A workplace that several workers share.
pub type SharedWorkplace = Arc<dyn Workplace>;
