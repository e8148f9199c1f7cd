//! Running the installation: intelligence, agents, jobs, audit, events.

use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// The intelligence in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntelligenceBody {
    /// Counts installations.
    pub generation: u64,
    /// The feeds, by id.
    pub feeds: Vec<FeedBody>,
    /// The download that is under way, or the last one since the server was started.
    #[serde(default)]
    pub download: DownloadBody,
}

/// A download of feeds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DownloadBody {
    /// It is under way.
    pub running: bool,
    /// Sources that are asked.
    pub wanted: u64,
    /// Sources that were asked.
    pub ended: u64,
    /// Sources that could not be refreshed; their feeds keep their records.
    pub failed: Vec<FailedDocument>,
    /// When the last one ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When the server begins the next one by itself; `null` when it does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedBody {
    /// `alpine-secdb-v3.10-main`, `osv-pypi`, …
    pub id: String,
    /// What sort of document.
    pub kind: String,
    /// The ecosystems and releases that it covers.
    pub releases: Vec<String>,
    /// Records.
    pub records: u64,
    /// Records that could not be read.
    pub broken_records: u64,
    /// The newest change, as the feed says.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub modified: Option<Timestamp>,
    /// When it was imported.
    #[schema(value_type = String, format = DateTime)]
    pub imported_at: Timestamp,
    /// Seconds since then.
    pub age_seconds: i64,
    /// What went wrong at the last import.
    pub error: Option<String>,
    /// Records that are held and cannot be matched everywhere, counted by why.
    #[serde(default)]
    pub limited: BTreeMap<String, u64>,
}

/// An import from the server's own disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// A folder or file on the server.
    pub from: String,
}

/// What an import or sync did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportBody {
    /// The generation that is in force now.
    pub generation: u64,
    /// Feeds that were replaced.
    pub replaced: Vec<String>,
    /// Documents that were not recognised.
    pub unrecognised: Vec<String>,
    /// Documents that were recognised and could not be read.
    pub failed: Vec<FailedDocument>,
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedDocument {
    /// The document.
    pub document: String,
    /// Why.
    pub reason: String,
}

/// A one-time token for an agent to join with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentTokenRequest {
    /// The group that the agent will work for.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: String,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Seconds until it is worth nothing; an hour when absent.
    #[serde(default)]
    pub expires_in_seconds: Option<u32>,
}

/// A join token that was made: never its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenBody {
    /// Row number.
    pub id: i64,
    /// For people.
    pub name: String,
    /// The group that an agent joins with it.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: String,
    /// `open`, `used`, `expired` or `revoked`.
    pub state: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Good until.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When an agent joined with it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

/// A token, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentTokenBody {
    /// The token.
    pub token: String,
    /// The group.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: String,
    /// When it is worth nothing any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AgentTokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentTokenBody").field("group", &self.group).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentBody {
    /// Row number.
    pub id: i64,
    /// For people.
    pub name: String,
    /// Its group.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: String,
    /// Version of its program.
    pub version: String,
    /// When it joined.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
    /// When it last asked for something.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// Did it ask within the last two minutes?
    pub online: bool,
    /// Leases that it holds.
    pub leases: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobBody {
    /// Row number.
    pub id: i64,
    /// `discover`, `resolve` or `scan`.
    pub kind: String,
    /// Row number of the registry.
    pub registry: i64,
    /// The repository.
    pub repository: Option<String>,
    /// The digest.
    pub digest: Option<String>,
    /// Who may do it: `server` or `group:NAME`.
    pub reader: String,
    /// `queued`, `leased`, `done` or `failed`.
    pub state: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it becomes due, or its lease ends.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditBody {
    /// Row number.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What, as `noun.verb`.
    pub what: String,
    /// To which thing, and how.
    pub detail: String,
}

/// A run of re-evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationBody {
    /// Row number.
    pub id: i64,
    /// Why it ran.
    pub reason: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended; `null` while it runs, or if it was cut off.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Generation of intelligence that it used.
    pub generation: Option<u64>,
    /// Distinct packages matched again.
    pub packages: u64,
    /// Repositories judged.
    pub repositories: u64,
    /// Images in them.
    pub images: u64,
    /// Issues opened.
    pub opened: u64,
    /// Issues that stayed open.
    pub kept: u64,
    /// Issues resolved.
    pub resolved: u64,
    /// Issues opened again.
    pub reopened: u64,
    /// What went wrong, if it did.
    pub error: Option<String>,
}

/// Something that happened, as the stream of events tells it: a hint to look again, never the source of truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventBody {
    /// A registry's status, tags or counts may have changed.
    Registry {
        /// Which.
        registry: i64,
    },
    /// An image's state may have changed.
    Image {
        /// Found in.
        registry: i64,
        /// Which.
        digest: String,
    },
    /// Issues of a repository may have changed.
    Issues {
        /// Found in.
        registry: i64,
        /// Which.
        repository: String,
    },
    /// New intelligence is in force.
    Intelligence {
        /// Its generation.
        generation: u64,
    },
    /// A download of feeds began or ended.
    Feeds {
        /// True while it runs.
        running: bool,
        /// Sources that could not be refreshed.
        failed: u64,
    },
    /// A re-evaluation began or ended.
    Evaluation {
        /// True while it runs.
        running: bool,
    },
}
