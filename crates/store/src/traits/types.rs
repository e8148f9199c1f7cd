//! What goes into and comes out of the store's calls.

mod access;

pub use access::*;
pub use model::discovery::{KnownTag, ResolvedContent, ResolvedImage, ResolvedManifest, SeenTag, TagDelta};
use model::id::kind;
use model::issue::{IssueState, Resolution, Transition};
pub use model::job::{BlobClaim, JobOutcome};
use model::job::{ImageState, JobWork};
use model::registry::{Credentials, RegistryConfig, ScanMode};
use model::{
    DetectorVersion, Digest, EcosystemRelease, FindingKind, Id, ImageInventory, Issue, Platform, Reader, Severity,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// A page of a list: at most `limit` rows after the row that `cursor` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows at most.
    pub limit: u32,
    /// The sort key of the last row of the page before, as the view's `cursor()` gives it.
    pub cursor: Option<String>,
}

impl Page {
    /// The first `limit` rows.
    pub const fn first(limit: u32) -> Self {
        Self { limit, cursor: None }
    }
}

/// What to do with stored credentials when a registry is edited.
#[derive(Debug, Clone)]
pub enum CredentialsChange {
    /// Leave them.
    Keep,
    /// Store these.
    Replace(Credentials),
    /// Forget them.
    Remove,
}

/// How much of a registry is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegistryCounts {
    /// Live repositories.
    pub repositories: u64,
    /// Live tags.
    pub tags: u64,
    /// Live tags that the scan configuration takes.
    pub tags_wanted: u64,
    /// Live wanted tags whose digest is not resolved yet.
    pub tags_unresolved: u64,
    /// Core images that wanted live tags show.
    pub images: u64,
    /// Of those: not read.
    pub pending: u64,
    /// Of those: being read.
    pub scanning: u64,
    /// Of those: read.
    pub scanned: u64,
    /// Of those: read with gaps.
    pub partial: u64,
    /// Of those: not readable.
    pub failed: u64,
    /// Open issues.
    pub issues_open: u64,
}

/// Whose facts count for the images of a registry: the server's, and in the modes that have agents those of the
/// registry's own group. Earlier ones win.
pub fn trusted_readers(config: &RegistryConfig) -> Vec<Reader> {
    let group = match config.scan_mode {
        ScanMode::Cloud => None,
        ScanMode::Outpost | ScanMode::Broker => config.agent_group.clone(),
    };
    std::iter::once(Reader::Server).chain(group.map(Reader::Group)).collect()
}

/// The holder of an agent's leases, as [`super::Jobs::lease`] must be given it: agents' leases are counted and
/// given back by this text.
pub fn agent_holder(agent: Id<kind::Agent>) -> String {
    format!("agent:{agent}")
}

/// The sort key of an issue for [`Page::cursor`].
pub fn issue_cursor(issue: &Issue) -> String {
    let state = match issue.state {
        IssueState::Open => 0,
        IssueState::Resolved => 1,
    };
    let severity = Severity::ALL.iter().position(|s| *s == issue.desired.severity).unwrap_or_default();
    format!("{state}.{severity}.{}.{}", issue.opened_at.as_microsecond(), issue.id)
}

/// What a manifest digest is known as.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestView {
    /// Nothing is known.
    Unknown,
    /// A core image.
    Image(Box<ResolvedImage>),
    /// An index of these images.
    Index(Vec<(Platform, Digest)>),
    /// No image.
    Other(String),
}

/// A repository for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryView {
    /// Its name; also the cursor.
    pub name: String,
    /// Live tags.
    pub tags: u64,
    /// Core images that wanted live tags show.
    pub images: u64,
    /// Of those: read, fully or partly.
    pub scanned: u64,
    /// Open issues by severity, worst first: critical, high, medium, low, negligible, unknown.
    pub issues: [u64; 6],
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The registry lists it no more.
    pub gone: bool,
}

/// Which tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagFilter {
    /// Only of this repository.
    pub repository: Option<String>,
    /// Only this tag.
    pub tag: Option<String>,
}

/// A tag for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagView {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it points at, or pointed at when it was deleted.
    pub digest: Digest,
    /// The images behind it, with their states.
    pub images: Vec<TagImage>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When it was found missing.
    pub deleted_at: Option<Timestamp>,
    /// Does the scan configuration take it, and why not?
    pub wanted: bool,
    /// Why not, or what the digest is when it is no image.
    pub note: Option<String>,
    /// What it pointed at, oldest first.
    pub history: Vec<TagMove>,
}

impl TagView {
    /// The sort key for [`Page::cursor`].
    pub fn cursor(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// One platform of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagImage {
    /// Platform.
    pub platform: Platform,
    /// Core image.
    pub digest: Digest,
    /// How far it is.
    pub state: ImageState,
}

/// A stretch of time in which a tag pointed at one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// What it pointed at.
    pub digest: Digest,
    /// First seen so.
    pub from: Timestamp,
    /// Seen otherwise; `None` while it holds.
    pub to: Option<Timestamp>,
}

/// An image to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unscanned {
    /// Where to pull it from.
    pub repository: String,
    /// Its manifest.
    pub digest: Digest,
    /// Was it read before, with other detector versions or in part?
    pub again: bool,
}

/// How long after a try that failed, or read only a part, the next one is due: after the first, after the second, ….
/// After the last there are no more until somebody asks or the detectors change.
pub const RETRY_AFTER_SECONDS: [u32; 6] = [300, 1800, 7200, 21_600, 86_400, 259_200];

/// A job to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What is to be done.
    pub work: JobWork,
    /// Who may do it.
    pub reader: Reader,
    /// Higher first; 0 is ordinary, negative is background.
    pub priority: i32,
    /// Not before.
    pub run_after: Timestamp,
}

/// Which jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Only of this registry.
    pub registry: Option<Id<kind::Registry>>,
    /// Only queued and leased ones.
    pub live: bool,
}

/// A job for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Row number; also the cursor.
    pub id: Id<kind::Job>,
    /// What is to be done.
    pub work: JobWork,
    /// Who may do it.
    pub reader: Reader,
    /// `queued`, `leased`, `done`, `failed`.
    pub state: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it becomes due, or the lease ends.
    pub due_at: Timestamp,
}

/// An inventory to store.
#[derive(Debug, Clone)]
pub struct InventoryCommit<'a> {
    /// The core image.
    pub image: &'a Digest,
    /// Who read the bytes.
    pub reader: &'a Reader,
    /// The facts.
    pub inventory: &'a ImageInventory,
    /// The detector versions that were asked for. The inventory names those that ran: fewer when bytes were unreadable.
    pub versions: &'a [DetectorVersion],
    /// `Scanned` or `Partial`.
    pub state: ImageState,
}

/// An inventory that nobody read from layers: a person handed it in.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    /// The registry instance that it is shown under.
    pub registry: Id<kind::Registry>,
    /// The repository.
    pub repository: &'a str,
    /// The tag.
    pub tag: &'a str,
    /// What it is said to be; its digest is the document's.
    pub image: &'a ResolvedImage,
    /// Media type of the document.
    pub media_type: &'a str,
    /// The facts; they count as read by the server with the detectors that they name.
    pub inventory: &'a ImageInventory,
}

/// A stored inventory.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredInventory {
    /// Who read the bytes.
    pub reader: Reader,
    /// The facts.
    pub inventory: ImageInventory,
    /// When it was committed.
    pub committed_at: Timestamp,
}

/// Which images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    /// Only found in this registry.
    pub registry: Option<Id<kind::Registry>>,
    /// Only found in this repository.
    pub repository: Option<String>,
    /// Only found under this tag.
    pub tag: Option<String>,
    /// Only in this state.
    pub state: Option<ImageState>,
}

/// A core image for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageView {
    /// Digest of its manifest; also the cursor.
    pub digest: Digest,
    /// Its manifest and configuration.
    pub resolved: ResolvedImage,
    /// How far it is.
    pub state: ImageState,
    /// Why, when it failed.
    pub reason: Option<String>,
    /// How often reading it failed, or read only a part, in a row.
    pub tries: u32,
    /// When the next try is due.
    pub retry_at: Option<Timestamp>,
    /// Where it is found now.
    pub references: Vec<ImageReference>,
    /// When its inventory was committed.
    pub scanned_at: Option<Timestamp>,
    /// Who read it.
    pub reader: Option<Reader>,
    /// What the last judgement counted.
    pub counters: ImageCounters,
}

/// Where an image is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageReference {
    /// The registry instance.
    pub registry: Id<kind::Registry>,
    /// Its name.
    pub registry_name: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

/// What a judgement counted on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageCounters {
    /// Distinct packages.
    pub packages: u64,
    /// Open vulnerability findings by severity: critical, high, medium, low, negligible, unknown.
    pub vulnerabilities: [u64; 6],
    /// Secret findings.
    pub secrets: u64,
    /// Malware findings.
    pub malware: u64,
    /// Misconfiguration findings.
    pub misconfigurations: u64,
    /// Failed controls.
    pub compliance: u64,
    /// Gaps.
    pub gaps: u64,
}

/// How many inventories an image has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InventoryCount {
    /// The core image.
    pub image: Digest,
    /// Who read it.
    pub reader: Reader,
    /// With which detectors, joined.
    pub detectors: String,
    /// Rows: always 1.
    pub rows: u64,
}

/// What intelligence changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageChanges {
    /// Everything may have.
    All,
    /// These names did.
    Names(Vec<(EcosystemRelease, String)>),
}

/// Which repositories to judge again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// Every one.
    All,
    /// Those with a boundary that has passed.
    Due,
    /// One.
    Repository(Id<kind::Registry>, String),
}

/// A repository marked for judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryToJudge {
    /// The registry instance.
    pub registry: Id<kind::Registry>,
    /// Its name.
    pub registry_name: String,
    /// The repository.
    pub repository: String,
    /// Counts marks: passed back to clear exactly this one.
    pub mark: i64,
}

/// A core image as found in one repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryImage {
    /// The core image.
    pub digest: Digest,
    /// Its manifest and configuration.
    pub resolved: ResolvedImage,
    /// How far it is.
    pub state: ImageState,
    /// The tags, sorted.
    pub tags: Vec<String>,
}

/// A judgement to write.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What was judged.
    pub target: RepositoryToJudge,
    /// What happens to its issues.
    pub transitions: Vec<Transition>,
    /// When each severity must be fixed, in days after opening; `None` for no due date. Order as `Severity::ALL`.
    pub due_days: [Option<u32>; 6],
    /// What each image showed.
    pub counters: Vec<(Digest, ImageCounters)>,
    /// When time alone may change the judgement.
    pub next_boundary: Option<Timestamp>,
    /// The run that this belongs to, if it is a re-evaluation.
    pub evaluation: Option<Id<kind::Evaluation>>,
    /// What moved, for the issues' history.
    pub reason: String,
}

/// What a judgement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IssueDelta {
    /// Opened.
    pub opened: u64,
    /// Stayed open.
    pub kept: u64,
    /// Resolved.
    pub resolved: u64,
    /// Reopened.
    pub reopened: u64,
}

/// Which issues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueFilter {
    /// Only in this state.
    pub state: Option<IssueState>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only of this kind.
    pub kind: Option<FindingKind>,
    /// Only of this policy.
    pub policy: Option<String>,
    /// Only of this registry.
    pub registry: Option<Id<kind::Registry>>,
    /// Only of this repository.
    pub repository: Option<String>,
    /// Only on this image.
    pub digest: Option<Digest>,
}

/// A person's edit of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueEdit {
    /// `Some(None)` takes the assignee away.
    pub assignee: Option<Option<String>>,
    /// `Some(None)` reopens.
    pub resolution: Option<Option<Resolution>>,
    /// A remark.
    pub comment: Option<String>,
}

/// How many issues there are of one sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueCount {
    /// Open or resolved.
    pub state: IssueState,
    /// Which sort of finding.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// The policy.
    pub policy: String,
    /// How many.
    pub count: u64,
}

/// What a run of re-evaluation did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvaluationSummary {
    /// Generation of intelligence that it used.
    pub generation: Option<u64>,
    /// Distinct packages matched again.
    pub packages: u64,
    /// Repositories judged.
    pub repositories: u64,
    /// Images in them.
    pub images: u64,
    /// What changed.
    pub issues: IssueDelta,
    /// What went wrong, if it did.
    pub error: Option<String>,
}

/// A run of re-evaluation for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationView {
    /// Row number; also the cursor.
    pub id: Id<kind::Evaluation>,
    /// Why it ran.
    pub reason: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs, or if it was cut off.
    pub finished_at: Option<Timestamp>,
    /// What it did.
    pub summary: EvaluationSummary,
}
