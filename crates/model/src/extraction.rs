//! Extraction rules of an installation: what detectors look for besides the rules that ship with the program.
//!
//! Intent, edited by people as one document; but unlike policies it decides what is read out of bytes, so a change
//! of it makes stored facts old until the bytes were read again.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The rules of an installation: one document, edited as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExtractionRules {
    /// Counts edits. Not part of what is found: two revisions with equal documents find the same.
    #[serde(default)]
    pub revision: u64,
    /// In the order in which they are read.
    #[serde(default)]
    pub documents: Vec<RuleDocument>,
}

impl ExtractionRules {
    /// The documents of one kind, in order.
    pub fn of(&self, kind: RuleKind) -> Vec<RuleDocument> {
        self.documents.iter().filter(|document| document.kind == kind).cloned().collect()
    }
}

/// One file of rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// How it is read.
    pub kind: RuleKind,
    /// A file name: names the document in problems. Unique within its kind.
    pub name: String,
    /// The rules: TOML (our form or gitleaks') or YARA.
    pub text: String,
}

/// How a document of rules is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// Secret patterns, in TOML.
    Secrets,
    /// Malware signatures, in YARA.
    Malware,
}

impl RuleKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Secrets, Self::Malware];

    /// The word of the API, also the folder's name on disk.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Malware => "malware",
        }
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a document, or a rule of it, was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleProblem {
    /// Of the document.
    pub kind: RuleKind,
    /// The document's name.
    pub document: String,
    /// The rule, when one rule alone was left out; the other rules of the document count.
    pub rule: Option<String>,
    /// What is wrong, with line or column, for people.
    pub what: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.document)?;
        if let Some(rule) = &self.rule {
            write!(f, ", rule {rule}")?;
        }
        write!(f, ": {}", self.what)
    }
}
