//! How an organisation wants the findings of rules and checks judged: switches, severities, thresholds, allow-lists.
//!
//! Intent, like [`crate::policy`]; it works on stored facts, so an edit never needs the bytes. What is looked for in
//! bytes is in [`crate::extraction`].

use crate::observation::Confidence;
use crate::{Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything together: one document, edited as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Counts edits.
    #[serde(default)]
    pub revision: u64,
    /// Secrets of less confidence are no findings; `None` takes every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_confidence: Option<Confidence>,
    /// What is set for single rules and checks: the first whose `id` fits one decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleTuning>,
    /// What is known to be harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowed>,
    /// Globs over `registry/repository`, with the registry's host or the instance's name: only images of these
    /// repositories count as base images. Empty for images of every repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_images: Vec<String>,
}

/// What is set for the rules whose id fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTuning {
    /// Glob over ids of secret rules, malware signatures and checks.
    pub id: String,
    /// Switched off rules make no findings.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Instead of the rule's own severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Instead of the general minimum; of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_confidence: Option<Confidence>,
    /// Instead of the check's own: `ports`, `names`, … as they stand in `rules/checks`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
}

const fn yes() -> bool {
    true
}

/// A parameter of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// `30`
    Number(i64),
    /// `[22, 23]`
    Numbers(Vec<i64>),
    /// `"6000"`
    Text(String),
    /// `["nmap", "tcpdump"]`
    Texts(Vec<String>),
}

/// Something that is known to be harmless: its findings are dismissed, with the reason. Every part that is given must
/// fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Glob over ids of rules and checks.
    #[serde(default = "every")]
    pub rule: String,
    /// Globs over paths, or over places of the configuration (`ENV NAME`); empty for every place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Of a secret its fingerprint, of a file its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Globs over `registry/repository` (with the registry instance's name) and image digests; empty for every image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Why. Never empty.
    pub reason: String,
    /// Who said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// When it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it ends; the findings come back then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

fn every() -> String {
    "*".to_owned()
}

impl Allowed {
    /// Do both say the same, whoever said it when?
    pub fn says_the_same(&self, other: &Self) -> bool {
        let bare = |entry: &Self| Self { author: String::new(), created_at: None, ..entry.clone() };
        bare(self) == bare(other)
    }
}
