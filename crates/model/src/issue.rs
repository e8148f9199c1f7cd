//! Something a person must fix.

use crate::id::kind;
use crate::{Digest, Finding, FindingKind, Id, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identity of an issue, the same across rebuilds of the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IssueKey {
    /// The policy that raised it.
    pub policy: String,
    /// Name of the registry instance.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// `format/name` of a package, else the path or place that the rule speaks about, else empty.
    pub subject: String,
    /// The vulnerability, rule, check or control.
    pub rule: String,
}

impl fmt::Display for IssueKey {
    /// One line: the parts joined by `|`, with `|` and `%` inside a part percent-encoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.policy, &self.registry, &self.repository, &self.subject, &self.rule];
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                f.write_str("|")?;
            }
            f.write_str(&part.replace('%', "%25").replace('|', "%7C"))?;
        }
        Ok(())
    }
}

/// What the policies want raised on one repository now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredIssue {
    /// Identity.
    pub key: IssueKey,
    /// Which sort of finding raised it.
    pub kind: FindingKind,
    /// How bad, by the policy or else by the finding.
    pub severity: Severity,
    /// The finding, with the evidence of the first image (by digest) that shows it.
    pub finding: Finding,
    /// The tags under which it is found, sorted.
    pub tags: Vec<String>,
    /// The core images that show it, sorted.
    pub digests: Vec<Digest>,
    /// Does an action of the policy stop a pipeline?
    pub fails: bool,
}

/// An issue as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// Row number.
    pub id: Id<kind::Issue>,
    /// Where it stands.
    pub state: IssueState,
    /// What was wanted when it was last judged.
    pub desired: DesiredIssue,
    /// When it was first opened.
    pub opened_at: Timestamp,
    /// When it should be fixed, by its severity.
    pub due_at: Option<Timestamp>,
    /// When it was last resolved.
    pub resolved_at: Option<Timestamp>,
    /// Why it is resolved.
    pub resolution: Option<Resolution>,
    /// Who works on it.
    pub assignee: Option<String>,
}

/// Where an issue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssueState {
    /// Someone must act.
    Open,
    /// Nothing to do any more.
    Resolved,
}

/// Why an issue is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The fault is gone, or no longer known as one.
    Fixed,
    /// No image in scope shows the repository any more.
    ImageGone,
    /// The policy was deleted or no longer fits.
    PolicyChanged,
    /// An exception covers it.
    Excepted,
    /// A person: not a fault.
    FalsePositive,
    /// A person: accepted.
    RiskAccepted,
    /// A person: known elsewhere.
    Known,
    /// A person: another issue covers it.
    Duplicate,
}

impl Resolution {
    /// Did a person decide it? Then re-evaluation does not reopen it.
    pub const fn is_by_person(self) -> bool {
        matches!(self, Self::FalsePositive | Self::RiskAccepted | Self::Known | Self::Duplicate)
    }
}

/// What happens to an issue when desired and stored differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// It is new.
    Open(Box<DesiredIssue>),
    /// It stays open; evidence, severity or tags may have moved. Not a row of history.
    Keep(Id<kind::Issue>, Box<DesiredIssue>),
    /// It was resolved and is wanted again.
    Reopen(Id<kind::Issue>, Box<DesiredIssue>),
    /// It is wanted no more.
    Resolve(Id<kind::Issue>, Resolution),
}

/// One row of an issue's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueChange {
    /// When.
    pub at: Timestamp,
    /// Who: `pratique`, or a user.
    pub by: String,
    /// What: `opened`, `resolved`, `reopened`, `assigned`, `commented`.
    pub what: String,
    /// Why.
    pub why: String,
}
