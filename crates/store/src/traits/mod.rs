//! What a backend must offer. One conformance suite runs on every backend.

pub mod types;

use crate::Result;
use async_trait::async_trait;
use model::exception::Exception;
use model::extraction::ExtractionRules;
use model::id::kind;
use model::issue::IssueChange;
use model::job::Lease;
use model::policy::PolicySet;
use model::registry::{Credentials, Registry, RegistryConfig, RegistryStatus};
use model::tuning::Tuning;
use model::{DetectorVersion, Digest, Id, Issue, LayerInventory, Match, PackageKey, Reader, Scope, Timestamp};
use std::sync::Arc;
use types::*;

/// Everything together, as the engine and the server hold it.
pub trait Store:
    Registries + Discovery + Jobs + Facts + Images + Matches + Judgements + Intents + Access + Send + Sync
{
}

impl<T> Store for T where
    T: Registries + Discovery + Jobs + Facts + Images + Matches + Judgements + Intents + Access + Send + Sync
{
}

/// A store that many tasks share.
pub type SharedStore = Arc<dyn Store>;

/// Configured registries and their encrypted credentials. Every change is a row of the audit log.
#[async_trait]
pub trait Registries {
    /// Adds an instance; `Conflict` when the name is taken.
    async fn add_registry(
        &self,
        config: &RegistryConfig,
        credentials: Option<&Credentials>,
        by: &str,
        now: Timestamp,
    ) -> Result<Registry>;
    /// One instance.
    async fn registry(&self, scope: &Scope, id: Id<kind::Registry>) -> Result<Registry>;
    /// All instances, by name.
    async fn registries(&self, scope: &Scope) -> Result<Vec<Registry>>;
    /// Replaces the configuration.
    async fn update_registry(
        &self,
        id: Id<kind::Registry>,
        config: &RegistryConfig,
        credentials: CredentialsChange,
        by: &str,
        now: Timestamp,
    ) -> Result<Registry>;
    /// Removes the instance with its repositories, tags and jobs. Its issues are resolved as `image-gone`;
    /// core images, facts and inventories stay.
    async fn delete_registry(&self, id: Id<kind::Registry>, by: &str, now: Timestamp) -> Result<()>;
    /// The decrypted credentials.
    async fn credentials(&self, id: Id<kind::Registry>) -> Result<Option<Credentials>>;
    /// What the last discovery or test said. `discovered_at` is kept when `None`.
    async fn set_registry_status(
        &self,
        id: Id<kind::Registry>,
        status: RegistryStatus,
        reason: &str,
        discovered_at: Option<Timestamp>,
    ) -> Result<()>;
    /// How much is known, by state.
    async fn registry_counts(&self, scope: &Scope, id: Id<kind::Registry>) -> Result<RegistryCounts>;
}

/// What discovery and resolution write, and what people read of it.
#[async_trait]
pub trait Discovery {
    /// The repositories that a registry listed. When the list is `complete`, those not in it are gone: their
    /// tags are marked deleted, and they are judged again.
    async fn record_repositories(&self, lease: &Lease, names: &[String], complete: bool, now: Timestamp) -> Result<()>;
    /// The live tags of one repository as last recorded.
    async fn known_tags(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<KnownTag>>;
    /// The tags of one repository: new and moved ones get a row of history, those not in a complete list are
    /// marked deleted. A repository whose tags moved or went is marked for judgement.
    async fn record_tags(&self, lease: &Lease, repository: &str, seen: &[SeenTag], now: Timestamp) -> Result<TagDelta>;
    /// Digests that wanted live tags point at and whose manifest is not recorded yet, sorted.
    async fn unresolved(&self, registry: Id<kind::Registry>) -> Result<Vec<(String, Digest)>>;
    /// What a digest turned out to be. Core images are made as needed, in state `pending`; every live tag that
    /// points at the digest becomes a registry image of each member. Recording the same again changes nothing.
    async fn record_manifest(
        &self,
        lease: &Lease,
        repository: &str,
        manifest: &ResolvedManifest,
        now: Timestamp,
    ) -> Result<()>;
    /// Images that wanted live tags of this registry show, each once with one repository to pull it through,
    /// without those that one of `readers` has read (or failed to read) with exactly these detector versions, unless
    /// another try is due. Sorted by digest.
    async fn unscanned(
        &self,
        registry: Id<kind::Registry>,
        readers: &[Reader],
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<Vec<Unscanned>>;
    /// Manifests that could not be read, and whose next try is due, are unresolved again. Returns how many.
    async fn retry_unreadable(&self, now: Timestamp) -> Result<u64>;
    /// When the next try of a failed or partly read image, or of a manifest, is due, of those after `now`.
    async fn next_retry(&self, now: Timestamp) -> Result<Option<Timestamp>>;
    /// Repositories by name.
    async fn repositories(
        &self,
        scope: &Scope,
        registry: Id<kind::Registry>,
        page: &Page,
    ) -> Result<Vec<RepositoryView>>;
    /// Tags by repository and name, deleted ones too.
    async fn tags(
        &self,
        scope: &Scope,
        registry: Id<kind::Registry>,
        filter: &TagFilter,
        page: &Page,
    ) -> Result<Vec<TagView>>;
}

/// The leased queue.
#[async_trait]
pub trait Jobs {
    /// Adds jobs; one whose (kind, key, reader) is live already is left alone. Returns how many were added.
    async fn enqueue(&self, jobs: &[NewJob], now: Timestamp) -> Result<u64>;
    /// Takes the best job that one of `readers` may work on: due, not leased or lease expired; highest priority
    /// first, then fair across registries, then oldest. Its image goes to `scanning`.
    async fn lease(
        &self,
        holder: &str,
        readers: &[Reader],
        kinds: &[&str],
        duration_ms: u32,
        now: Timestamp,
    ) -> Result<Option<Lease>>;
    /// Who holds exactly this lease; `None` when it is stale. For callers that must tell one holder from another:
    /// a fencing token alone can be guessed.
    async fn holder(&self, lease: &Lease) -> Result<Option<String>>;
    /// Extends a lease that is still held.
    async fn heartbeat(&self, lease: &Lease, duration_ms: u32, now: Timestamp) -> Result<Lease>;
    /// A holder starts anew: whatever it held before is given back at once. Returns how many leases.
    async fn give_back(&self, holder: &str, now: Timestamp) -> Result<u64>;
    /// Ends the work on a lease, and lets go of every blob that it claimed.
    async fn finish(&self, lease: &Lease, outcome: &JobOutcome, now: Timestamp) -> Result<()>;
    /// Jobs for people, newest first.
    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &Page) -> Result<Vec<JobView>>;
    /// The earliest moment at which a queued job becomes due, or an expired lease can be taken.
    async fn next_due(&self, readers: &[Reader]) -> Result<Option<Timestamp>>;
    /// How many writes of stale holders were refused, ever.
    async fn stale_writes(&self) -> Result<u64>;
}

/// Facts about layers, keyed by (verified blob digest, reader, detector, fingerprint).
#[async_trait]
pub trait Facts {
    /// The stored facts of a blob that any of `readers` read with any of `versions`; earlier readers win.
    /// `None` when there is nothing at all.
    async fn facts(
        &self,
        blob: &Digest,
        readers: &[Reader],
        versions: &[DetectorVersion],
    ) -> Result<Option<LayerInventory>>;
    /// Claims a blob for reading, so that nobody else of the same reader downloads it meanwhile.
    async fn claim_blob(&self, lease: &Lease, blob: &Digest, reader: &Reader, now: Timestamp) -> Result<BlobClaim>;
    /// Stores facts and lets the claim go. Facts that are there already are kept as they are.
    async fn put_facts(&self, lease: &Lease, reader: &Reader, facts: &LayerInventory, now: Timestamp) -> Result<()>;
}

/// Core images and their inventories.
#[async_trait]
pub trait Images {
    /// What a manifest digest is, as the first of `readers` that resolved it says: image, index or neither.
    async fn manifest(&self, digest: &Digest, readers: &[Reader]) -> Result<ManifestView>;
    /// Stores the inventory of an image: packages are interned, package sets cut and shared, evidence kept in a
    /// blob; file hashes become searchable; the image's state is set; every repository that shows it is marked for
    /// judgement. One committed inventory per (image, reader, detector versions): repeating it changes nothing. Facts
    /// of the image's layers in other versions are removed once it is `Scanned`. One that is `Partial` is due again
    /// after [`RETRY_AFTER_SECONDS`].
    async fn commit_inventory(&self, lease: &Lease, commit: &InventoryCommit<'_>, now: Timestamp) -> Result<()>;
    /// Stores an inventory that a person handed in, with the tag that it is found under and what it is said to be. The
    /// tag moves when it was there. A row of the audit log; repeating it changes nothing else.
    async fn import_inventory(&self, import: &Import<'_>, by: &str, now: Timestamp) -> Result<()>;
    /// The image could not be read at all with these detector versions: `unscanned` leaves it out until they change, or
    /// another try is due.
    async fn fail_image(
        &self,
        lease: &Lease,
        image: &Digest,
        reason: &str,
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<()>;
    /// The image was read before, and now only in part, with other detector versions: its inventory stays, and another
    /// try is due later.
    async fn hold_image(
        &self,
        lease: &Lease,
        image: &Digest,
        reason: &str,
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<()>;
    /// The inventory that the first of `readers` with one has made, in whatever detector versions.
    async fn inventory(&self, scope: &Scope, image: &Digest, readers: &[Reader]) -> Result<Option<StoredInventory>>;
    /// Images whose list of layers is a proper beginning of `layers` (verified blob digests, lowest first), among those
    /// that one of `readers` has read, with how many layers that are: the longest first, then by digest, at most `limit`.
    async fn bases_of(&self, layers: &[Digest], readers: &[Reader], limit: usize) -> Result<Vec<(Digest, u32)>>;
    /// Images by digest.
    async fn images(&self, scope: &Scope, filter: &ImageFilter, page: &Page) -> Result<Vec<ImageView>>;
    /// One image with its references; `NotFound` when there is none.
    async fn image(&self, scope: &Scope, digest: &Digest) -> Result<ImageView>;
    /// Core images and committed inventories, for checks: (image, reader, detector versions) with their count.
    async fn inventory_census(&self) -> Result<Vec<InventoryCount>>;
}

/// Matches per distinct package. Nothing is ever matched per image.
#[async_trait]
pub trait Matches {
    /// Distinct packages that have no matches, or stale ones.
    async fn packages_to_match(&self, limit: u32) -> Result<Vec<(Id<kind::Package>, PackageKey)>>;
    /// Stores the matches of packages, judged with one generation of intelligence. A package whose matches differ
    /// from the stored ones marks every repository that shows it for judgement. Returns how many differ.
    async fn put_matches(&self, generation: u64, rows: &[(Id<kind::Package>, Vec<Match>)]) -> Result<u64>;
    /// Marks packages as stale: those whose name, or source name, is one of `names` in that ecosystem
    /// (by `EcosystemRelease` text, release ignored when the change names none), or all. Returns how many.
    async fn touch_packages(&self, changes: &PackageChanges) -> Result<u64>;
    /// Marks every repository that shows a file with one of these digests for judgement. Returns how many images.
    async fn touch_hashes(&self, digests: &[Digest]) -> Result<u64>;
    /// The stored matches of packages; packages without any are absent.
    async fn matches(&self, keys: &[PackageKey]) -> Result<Vec<(PackageKey, Arc<[Match]>)>>;
    /// The generation of intelligence that the stored judgements were last brought to.
    async fn judged_generation(&self) -> Result<Option<u64>>;
    /// Records it.
    async fn set_judged_generation(&self, generation: u64) -> Result<()>;
}

/// Issues, and what is to be judged.
#[async_trait]
pub trait Judgements {
    /// Marks repositories for judgement: all, or those with a boundary at or before `now`.
    async fn touch_repositories(&self, which: Touch, now: Timestamp) -> Result<u64>;
    /// Repositories marked for judgement, oldest mark first.
    async fn repositories_to_judge(&self, limit: u32) -> Result<Vec<RepositoryToJudge>>;
    /// The live, wanted images of a repository with their tags.
    async fn registry_images(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<RegistryImage>>;
    /// Every issue of a repository, resolved ones too.
    async fn issues_of(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<Issue>>;
    /// Writes a judgement in one transaction: transitions with their history, image counters, the next boundary;
    /// clears the mark unless it was set again since `mark`. Returns what changed.
    async fn apply_judgement(&self, judgement: &Judgement, now: Timestamp) -> Result<IssueDelta>;
    /// The earliest boundary of any repository.
    async fn next_boundary(&self) -> Result<Option<Timestamp>>;
    /// Issues for people: open first, worst first, oldest first.
    async fn issues(&self, scope: &Scope, filter: &IssueFilter, page: &Page) -> Result<Vec<Issue>>;
    /// One issue with its history.
    async fn issue(&self, scope: &Scope, id: Id<kind::Issue>) -> Result<(Issue, Vec<IssueChange>)>;
    /// A person's edit: assignee, comment, resolution (`Some(None)` reopens).
    async fn edit_issue(&self, id: Id<kind::Issue>, edit: &IssueEdit, by: &str, now: Timestamp) -> Result<Issue>;
    /// Counts for the overview.
    async fn issue_counts(&self, scope: &Scope) -> Result<Vec<IssueCount>>;
    /// Starts a run of re-evaluation.
    async fn begin_evaluation(&self, reason: &str, now: Timestamp) -> Result<Id<kind::Evaluation>>;
    /// Ends it.
    async fn finish_evaluation(
        &self,
        id: Id<kind::Evaluation>,
        summary: &EvaluationSummary,
        now: Timestamp,
    ) -> Result<()>;
    /// Runs, newest first.
    async fn evaluations(&self, page: &Page) -> Result<Vec<EvaluationView>>;
}

/// Policies, exceptions, rules, settings. Every change is a row of the audit log; one that findings depend on is a
/// cause for judging again, in the same transaction.
#[async_trait]
pub trait Intents {
    /// The policies in force; `None` before any were stored.
    async fn policies(&self) -> Result<Option<PolicySet>>;
    /// Replaces them; `Conflict` when `revision` is not the stored one. Stores `revision + 1`.
    async fn put_policies(&self, policies: &PolicySet, by: &str, now: Timestamp) -> Result<PolicySet>;
    /// Exceptions, expired ones too.
    async fn exceptions(&self) -> Result<Vec<Exception>>;
    /// Adds one and gives it its id.
    async fn add_exception(&self, exception: &Exception, by: &str, now: Timestamp) -> Result<Exception>;
    /// Removes one.
    async fn delete_exception(&self, id: Id<kind::Exception>, by: &str, now: Timestamp) -> Result<()>;
    /// What detectors look for besides the rules that ship; none before any were stored.
    async fn extraction_rules(&self) -> Result<ExtractionRules>;
    /// Replaces them; `Conflict` when `revision` is not the stored one. Stores `revision + 1`.
    async fn put_extraction_rules(&self, rules: &ExtractionRules, by: &str, now: Timestamp) -> Result<ExtractionRules>;
    /// How findings of rules and checks are judged; nothing special before any was stored.
    async fn tuning(&self) -> Result<Tuning>;
    /// Replaces it; `Conflict` when `revision` is not the stored one. Stores `revision + 1`.
    async fn put_tuning(&self, tuning: &Tuning, by: &str, now: Timestamp) -> Result<Tuning>;
    /// Edits of intent that nothing was judged for yet, oldest first: number and text.
    async fn causes(&self) -> Result<Vec<(i64, String)>>;
    /// Everything was judged for the causes up to this number.
    async fn causes_judged(&self, up_to: i64) -> Result<()>;
    /// A small named value of the installation.
    async fn setting(&self, name: &str) -> Result<Option<String>>;
    /// Sets it.
    async fn set_setting(&self, name: &str, value: &str) -> Result<()>;
}

/// Who may do what: tokens, agents, audit log. Only hashes of tokens are stored.
#[async_trait]
pub trait Access {
    /// Stores a token by its SHA-256.
    async fn add_token(&self, token: &NewToken, by: &str, now: Timestamp) -> Result<Id<kind::ApiToken>>;
    /// The token with this hash, unless expired, spent or revoked.
    async fn token(&self, hash: &Digest, now: Timestamp) -> Result<Option<TokenView>>;
    /// Every token that was ever made, newest first.
    async fn tokens(&self, page: &Page) -> Result<Vec<TokenRow>>;
    /// Marks a one-time token as spent; `Conflict` when it is already.
    async fn spend_token(&self, id: Id<kind::ApiToken>, now: Timestamp) -> Result<()>;
    /// Revokes a token.
    async fn revoke_token(&self, id: Id<kind::ApiToken>, by: &str, now: Timestamp) -> Result<()>;
    /// Adds an agent.
    async fn add_agent(&self, agent: &NewAgent, now: Timestamp) -> Result<AgentView>;
    /// The agent whose secret has this hash; sets its last-seen time.
    async fn agent_by_secret(&self, hash: &Digest, now: Timestamp) -> Result<Option<AgentView>>;
    /// Agents by group and name.
    async fn agents(&self, scope: &Scope) -> Result<Vec<AgentView>>;
    /// Removes an agent: its secret is worth nothing from then on, its leases are given back.
    async fn delete_agent(&self, id: Id<kind::Agent>, by: &str, now: Timestamp) -> Result<()>;
    /// Writes a row of the audit log.
    async fn audit(&self, entry: &AuditEntry) -> Result<()>;
    /// Reads it, newest first.
    async fn audit_log(&self, scope: &Scope, page: &Page) -> Result<Vec<AuditEntry>>;
}
