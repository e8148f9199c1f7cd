//! The messages between an agent and its server.
//!
//! `POST /agent/v1/join` takes a [`JoinRequest`] and answers a [`JoinResponse`]; `POST /agent/v1/call` takes an
//! [`AgentRequest`] with the agent's secret as bearer token and answers an [`AgentResponse`]. Connections only ever
//! go from the agent to the server.
//!
//! Not here: policies, findings, issues or anything else of a judgement. An agent reads bytes and reports facts; the
//! absence of those types is the proof. The enums are tagged from outside (`{"heartbeat":{…}}`), so that a large
//! body is read in one pass.

use model::discovery::{KnownTag, ResolvedImage, SeenTag, TagDelta};
use model::extraction::ExtractionRules;
use model::job::{BlobClaim, JobOutcome, Lease};
use model::registry::{Credentials, RegistryConfig, RegistryStatus, ScanMode};
use model::{DetectorVersion, Digest, Gap, LayerInventory};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest body of either direction, in bytes of JSON.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest that a server keeps a [`AgentRequest::Lease`] waiting, in milliseconds.
pub const WAIT_MS_MAX: u32 = 30_000;

/// A new agent asks to join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The one-time token, which also names the group and the mode.
    pub token: String,
    /// What the agent calls itself, for people.
    pub name: String,
    /// Version of the program.
    pub version: String,
}

/// The answer to a join: shown once, kept by the agent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinResponse {
    /// Row number of the agent.
    pub agent_id: i64,
    /// The bearer token of every later call.
    pub secret: String,
    /// The group whose work the agent takes.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: ScanMode,
}

/// What an agent asks of its server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRequest {
    /// I have just started: whatever I held before is given back. Answer: `Done`.
    StartAnew,
    /// Give me work, and wait for it up to `wait_ms` (at most [`WAIT_MS_MAX`]). Answer: `Assignment`.
    Lease {
        /// Milliseconds to wait.
        wait_ms: u32,
    },
    /// What do I look for besides the rules that ship? Answer: `ExtractionRules`.
    ExtractionRules,
    /// Extend my lease. Answer: `Lease`.
    Heartbeat {
        /// The lease.
        lease: Lease,
    },
    /// My work on the lease has ended. Answer: `Done`.
    Finish {
        /// The lease.
        lease: Lease,
        /// How.
        outcome: JobOutcome,
    },
    /// The registry lists these repositories. Answer: `Done`.
    RecordRepositories {
        /// A lease of discovery.
        lease: Lease,
        /// Their names.
        names: Vec<String>,
        /// Are these all?
        complete: bool,
    },
    /// Which tags of the repository are known? Answer: `Tags`.
    KnownTags {
        /// A lease of discovery: it names the registry.
        lease: Lease,
        /// The repository.
        repository: String,
    },
    /// The repository shows these tags. Answer: `TagDelta`.
    RecordTags {
        /// A lease of discovery.
        lease: Lease,
        /// The repository.
        repository: String,
        /// Every tag that it shows now.
        seen: Vec<SeenTag>,
    },
    /// A digest turned out to be this. Answer: `Done`.
    RecordManifest {
        /// A lease of resolution.
        lease: Lease,
        /// The repository.
        repository: String,
        /// The documents themselves: the server verifies their digests and reads them again.
        documents: Box<Documents>,
    },
    /// How the registry is doing. Answer: `Done`.
    SetStatus {
        /// A lease of discovery.
        lease: Lease,
        /// How.
        status: RegistryStatus,
        /// Why, for people.
        reason: String,
        /// Did the discovery go to its end?
        complete: bool,
    },
    /// What does my group know of this blob? Answer: `Facts`.
    Facts {
        /// A lease of a scan.
        lease: Lease,
        /// The blob.
        blob: Digest,
    },
    /// May I read this blob? Answer: `Claim`.
    ClaimBlob {
        /// A lease of a scan.
        lease: Lease,
        /// The blob.
        blob: Digest,
    },
    /// I have read a blob. Answer: `Done`.
    PutFacts {
        /// A lease of a scan.
        lease: Lease,
        /// What is in it.
        inventory: Box<LayerInventory>,
    },
    /// Every layer that can be read has its facts: squash and commit. Answer: `Done`.
    CompleteScan {
        /// A lease of a scan.
        lease: Lease,
        /// What could not be read.
        gaps: Vec<Gap>,
    },
    /// The image could not be read at all. Answer: `Done`.
    FailScan {
        /// A lease of a scan.
        lease: Lease,
        /// Why, for people.
        reason: String,
    },
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentResponse {
    /// Work, or nothing to do for now.
    Assignment(Option<Box<Assignment>>),
    /// The installation's own rules.
    ExtractionRules(Box<ExtractionRules>),
    /// The lease, extended.
    Lease(Lease),
    /// Known tags.
    Tags(Vec<KnownTag>),
    /// What the tags changed.
    TagDelta(TagDelta),
    /// Known facts about a blob.
    Facts(Option<Box<LayerInventory>>),
    /// The answer to a claim.
    Claim(BlobClaim),
    /// It is done.
    Done,
    /// The lease is no longer held: stop, and throw the work away.
    Stale {
        /// Why, for people.
        message: String,
    },
    /// It will not be done, and asking again will not help.
    Refused {
        /// Why, for people.
        message: String,
    },
}

/// Work with everything that is needed to do it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The lease.
    pub lease: Lease,
    /// The registry to work with.
    pub registry: RegistryConfig,
    /// The registry's login, unless the agent keeps its own.
    pub credentials: Option<Login>,
    /// For discovery: has this registry never been discovered to the end?
    pub first_discovery: bool,
    /// For a scan: the image to read.
    pub image: Option<ResolvedImage>,
    /// The detectors whose facts the server wants.
    pub versions: Vec<DetectorVersion>,
    /// Key of the fingerprints of secrets: 64 hexadecimal digits.
    pub secret_key_hex: String,
    /// The revision of the installation's own rules that those versions are made from.
    #[serde(default)]
    pub rules_revision: u64,
}

/// The documents behind one digest: index, manifests, configurations, each in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// What the tag points at.
    pub digest: Digest,
    /// Its media type, as the registry served it.
    pub media_type: String,
    /// The documents. Each is known by the digest of its bytes.
    pub documents: Vec<String>,
    /// Those that could not be fetched, with the reason.
    pub unreadable: Vec<(Digest, String)>,
}

/// User name and password on their way to an agent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl From<Credentials> for Login {
    fn from(from: Credentials) -> Self {
        Self { username: from.username, password: from.password }
    }
}

impl From<Login> for Credentials {
    fn from(from: Login) -> Self {
        Self { username: from.username, password: from.password }
    }
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for JoinResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("JoinResponse");
        out.field("agent_id", &self.agent_id).field("group", &self.group).field("mode", &self.mode);
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Assignment");
        out.field("lease", &self.lease).field("registry", &self.registry.name);
        out.field("credentials", &self.credentials).field("image", &self.image.as_ref().map(|i| i.digest));
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}
