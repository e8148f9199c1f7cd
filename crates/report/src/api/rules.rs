//! Rules and checks: what is looked for, and how what is found is judged.

use model::extraction::{ExtractionRules, RuleDocument, RuleKind, RuleProblem};
use model::observation::Confidence;
use model::tuning::{Allowed, RuleTuning, Tuning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A rule or check in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleBody {
    /// `secrets`, `malware` or `check`.
    pub kind: String,
    /// Names it in findings, policies and settings.
    pub id: String,
    /// For people.
    pub title: String,
    /// Its own severity.
    pub severity: String,
    /// The severity that its findings get.
    pub severity_set: String,
    /// Does it make findings?
    pub enabled: bool,
    /// Of secret rules: the least confidence that makes a finding.
    pub minimum_confidence: Option<String>,
    /// Of checks: its parameters as they are set, in TOML.
    pub parameters: BTreeMap<String, String>,
}

/// Rules of the installation for what is read out of bytes: one document, edited as a whole. `PUT` with the revision
/// that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractionRulesBody {
    /// Counts edits.
    #[serde(default)]
    pub revision: u64,
    /// In the order in which they are read.
    pub documents: Vec<RuleDocumentBody>,
    /// What was left out, and why. Not read from requests.
    #[serde(default)]
    pub problems: Vec<RuleProblemBody>,
}

/// One file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDocumentBody {
    /// `secrets` (TOML, our form or gitleaks') or `malware` (YARA).
    #[schema(value_type = String)]
    pub kind: RuleKind,
    /// A file name, unique within its kind.
    pub name: String,
    /// The rules.
    pub text: String,
}

/// Why a document, or a rule of it, was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleProblemBody {
    /// `secrets` or `malware`.
    #[schema(value_type = String)]
    pub kind: RuleKind,
    /// The document.
    pub document: String,
    /// The rule, when it alone was left out.
    pub rule: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl From<RuleProblem> for RuleProblemBody {
    fn from(from: RuleProblem) -> Self {
        Self { kind: from.kind, document: from.document, rule: from.rule, what: from.what }
    }
}

impl ExtractionRulesBody {
    /// The stored rules, with what was left out of them.
    pub fn new(rules: ExtractionRules, problems: Vec<RuleProblem>) -> Self {
        let document = |d: RuleDocument| RuleDocumentBody { kind: d.kind, name: d.name, text: d.text };
        Self {
            revision: rules.revision,
            documents: rules.documents.into_iter().map(document).collect(),
            problems: problems.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ExtractionRulesBody> for ExtractionRules {
    fn from(body: ExtractionRulesBody) -> Self {
        let document = |d: RuleDocumentBody| RuleDocument { kind: d.kind, name: d.name, text: d.text };
        Self { revision: body.revision, documents: body.documents.into_iter().map(document).collect() }
    }
}

/// How findings of rules and checks are judged: one document, edited as a whole. `PUT` with the revision that was
/// read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TuningBody {
    /// Counts edits.
    #[serde(default)]
    pub revision: u64,
    /// Secrets of less confidence are no findings: `low`, `medium` or `high`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub minimum_confidence: Option<Confidence>,
    /// What is set for single rules and checks: the first whose `id` fits decides.
    #[serde(default)]
    #[schema(value_type = Vec<RuleTuningBody>)]
    pub rules: Vec<RuleTuning>,
    /// What is known to be harmless.
    #[serde(default)]
    #[schema(value_type = Vec<AllowedBody>)]
    pub allow: Vec<Allowed>,
    /// Globs over `registry/repository`: only images of these repositories count as base images; empty for every one.
    #[serde(default)]
    pub base_images: Vec<String>,
}

impl From<Tuning> for TuningBody {
    fn from(from: Tuning) -> Self {
        let Tuning { revision, minimum_confidence, rules, allow, base_images } = from;
        Self { revision, minimum_confidence, rules, allow, base_images }
    }
}

impl From<TuningBody> for Tuning {
    fn from(from: TuningBody) -> Self {
        let TuningBody { revision, minimum_confidence, rules, allow, base_images } = from;
        Self { revision, minimum_confidence, rules, allow, base_images }
    }
}

/// What is set for rules, as the documentation of the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTuningBody {
    /// Glob over ids of secret rules, malware signatures and checks.
    pub id: String,
    /// Switched off rules make no findings.
    #[schema(default = true)]
    pub enabled: bool,
    /// Instead of the rule's own severity.
    pub severity: Option<String>,
    /// Instead of the general minimum; of secrets.
    pub minimum_confidence: Option<String>,
    /// Of a check: numbers, texts or lists of them, by name.
    #[schema(value_type = Object)]
    pub parameters: BTreeMap<String, model::tuning::Parameter>,
}

/// An entry of the allow-list, as the documentation of the API shows it. Every part that is given must fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowedBody {
    /// Glob over ids of rules and checks.
    #[schema(default = "*")]
    pub rule: String,
    /// Globs over paths, or over places of the configuration (`ENV NAME`).
    #[serde(default)]
    pub paths: Vec<String>,
    /// Of a secret its fingerprint, of a file its SHA-256.
    pub fingerprint: Option<String>,
    /// Globs over `registry/repository` and image digests.
    #[serde(default)]
    pub images: Vec<String>,
    /// Why. Never empty.
    pub reason: String,
    /// Who said so: set by the server.
    pub author: Option<String>,
    /// When it was said: set by the server.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<String>,
    /// When it ends; the findings come back then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_settings_are_the_real_ones() {
        let rule = serde_json::json!({
            "id": "remote-access-port", "enabled": true, "severity": "high", "minimum_confidence": "low",
            "parameters": { "ports": [22] },
        });
        let real: RuleTuning = serde_json::from_value(rule.clone()).unwrap();
        let shown: RuleTuningBody = serde_json::from_value(rule.clone()).unwrap();
        assert_eq!((serde_json::to_value(real).unwrap(), serde_json::to_value(shown).unwrap()), (rule.clone(), rule));
        let entry = serde_json::json!({
            "rule": "x", "paths": ["a/*"], "fingerprint": "f", "images": ["r/*"], "reason": "why", "author": "ann",
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z",
        });
        let real: Allowed = serde_json::from_value(entry.clone()).unwrap();
        let shown: AllowedBody = serde_json::from_value(entry.clone()).unwrap();
        assert_eq!((serde_json::to_value(real).unwrap(), serde_json::to_value(shown).unwrap()), (entry.clone(), entry));
    }
}
