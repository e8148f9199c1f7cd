//! Who may do what: tokens, agents, rows of the audit log.

use model::id::kind;
use model::registry::ScanMode;
use model::{Digest, Id, Timestamp};
use serde::{Deserialize, Serialize};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May look.
    Viewer,
    /// May scan and work on issues.
    Operator,
    /// May do everything.
    Administrator,
    /// May join one agent, once.
    Join,
}

/// A token to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// For people.
    pub name: String,
    /// SHA-256 of the token's text.
    pub hash: Digest,
    /// What it allows.
    pub role: Role,
    /// For `Join`: the group and mode of the agent.
    pub agent_group: Option<String>,
    /// Good for one use.
    pub once: bool,
    /// Good until.
    pub expires_at: Option<Timestamp>,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Row number.
    pub id: Id<kind::ApiToken>,
    /// For people.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// For `Join`.
    pub agent_group: Option<String>,
    /// Good for one use.
    pub once: bool,
}

/// A stored token for people, also one that is over. Its text is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Row number.
    pub id: Id<kind::ApiToken>,
    /// For people.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// For `Join`.
    pub agent_group: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Good until.
    pub expires_at: Option<Timestamp>,
    /// When it was used, of tokens for one use.
    pub spent_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// An agent to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// For people.
    pub name: String,
    /// Its group.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: ScanMode,
    /// SHA-256 of its secret.
    pub secret_hash: Digest,
    /// Version of the program.
    pub version: String,
}

/// A stored agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Row number.
    pub id: Id<kind::Agent>,
    /// For people.
    pub name: String,
    /// Its group.
    pub group: String,
    /// `outpost` or `broker`.
    pub mode: ScanMode,
    /// Version of the program.
    pub version: String,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it last asked for something.
    pub last_seen: Option<Timestamp>,
    /// Leases that it holds now.
    pub leases: u64,
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Row number; 0 before it is stored; also the cursor.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What, as `noun.verb`: `registry.add`, `policy.edit`.
    pub what: String,
    /// To which thing, and how. Never a secret.
    pub detail: String,
}
