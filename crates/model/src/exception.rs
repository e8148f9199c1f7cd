//! Accepted risk: the finding stays visible, the issue does not.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// An exception to every policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Row number; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// Why. Never empty.
    pub reason: String,
    /// Who said so.
    pub author: String,
    /// Glob over `registry/repository`, with the registry instance's name.
    pub repository: String,
    /// The vulnerability, rule or check.
    pub rule: String,
    /// Glob over package names, or `None` for every package.
    pub package: Option<String>,
    /// When it ends; the issue comes back then.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}
