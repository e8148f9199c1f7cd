//! Policies and exceptions.

use model::Timestamp;
use model::exception::Exception;
use model::policy::PolicySet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The policies in force: one document, edited as a whole. `PUT` with the revision that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySetBody {
    /// Counts edits.
    #[serde(default)]
    pub revision: u64,
    /// In order: the first of a kind that fits a finding decides.
    #[schema(value_type = Vec<PolicyBody>)]
    pub policies: Vec<model::policy::Policy>,
}

impl From<PolicySet> for PolicySetBody {
    fn from(set: PolicySet) -> Self {
        Self { revision: set.revision, policies: set.policies }
    }
}

impl From<PolicySetBody> for PolicySet {
    fn from(body: PolicySetBody) -> Self {
        Self { revision: body.revision, policies: body.policies }
    }
}

/// One policy, as the documentation of the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// Stable name, lower-case with dashes.
    pub id: String,
    /// For people.
    pub name: String,
    /// Why it exists.
    #[serde(default)]
    pub description: String,
    /// `vulnerabilities`, `secrets`, `malware`, `misconfigurations` or `trusted-images`.
    pub kind: String,
    /// Switched off policies decide nothing.
    #[schema(default = true)]
    pub enabled: bool,
    /// Which registry images it speaks about.
    #[serde(default)]
    pub scope: PolicyScopeBody,
    /// Which findings it fits.
    #[serde(default)]
    pub conditions: ConditionsBody,
    /// `ignore`, `issue`, `fail` or `block`.
    pub action: String,
    /// The severity of the issue, when it is not the finding's own.
    pub severity: Option<String>,
    /// Nothing happens until this many days after the fix, else after publication.
    pub grace_days: Option<u32>,
    /// What is trusted.
    pub trusted: Option<TrustedImagesBody>,
}

/// Which registry images a policy speaks about: globs, an empty list means all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyScopeBody {
    /// Names of registry instances.
    pub registries: Vec<String>,
    /// Repositories.
    pub repositories: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// Which findings a policy fits. `null` and empty lists do not restrict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionsBody {
    /// At least this severe; an unknown severity counts as met.
    pub severity_at_least: Option<String>,
    /// Highest CVSS score at least this.
    pub cvss_at_least: Option<f64>,
    /// EPSS at least this, 0 to 1.
    pub epss_at_least: Option<f64>,
    /// On, or not on, a list of known exploited vulnerabilities.
    pub kev: Option<bool>,
    /// A fixed version exists, or not.
    pub fix_available: Option<bool>,
    /// Globs over package names.
    pub packages: Vec<String>,
    /// Globs over vulnerability ids and aliases.
    pub vulnerabilities: Vec<String>,
    /// Globs over evidence paths.
    pub paths: Vec<String>,
    /// Globs over rule, check and control ids.
    pub rules: Vec<String>,
}

/// What is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrustedImagesBody {
    /// Image digests.
    pub digests: Vec<String>,
    /// Globs over `registry/repository`.
    pub repositories: Vec<String>,
    /// Base images, each as the DiffIDs of its layers, lowest first.
    pub base_layers: Vec<Vec<String>>,
}

/// An exception to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionRequest {
    /// Why. Never empty.
    pub reason: String,
    /// Glob over `registry/repository`, with the registry instance's name.
    pub repository: String,
    /// The vulnerability, rule or check.
    pub rule: String,
    /// Glob over package names; `null` for every package.
    #[serde(default)]
    pub package: Option<String>,
    /// When it ends; the issue comes back then.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl ExceptionRequest {
    /// The exception that the request describes.
    ///
    /// # Errors
    /// Every field that is not valid.
    pub fn into_exception(self, author: &str, now: Timestamp) -> Result<Exception, Vec<super::FieldProblem>> {
        let mut problems = Vec::new();
        for (field, text) in [("reason", &self.reason), ("repository", &self.repository), ("rule", &self.rule)] {
            if text.trim().is_empty() || text.len() > 2000 {
                problems.push(super::FieldProblem::new(field, "expected 1 to 2000 characters"));
            }
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            problems.push(super::FieldProblem::new("expires_at", "it has ended already"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Exception {
            id: 0,
            reason: self.reason,
            author: author.to_owned(),
            repository: self.repository,
            rule: self.rule,
            package: self.package.filter(|glob| !glob.is_empty()),
            expires_at: self.expires_at,
            created_at: now,
        })
    }
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExceptionBody {
    /// Row number.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub author: String,
    /// Glob over `registry/repository`.
    pub repository: String,
    /// The vulnerability, rule or check.
    pub rule: String,
    /// Glob over package names.
    pub package: Option<String>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<Exception> for ExceptionBody {
    fn from(from: Exception) -> Self {
        Self {
            id: from.id,
            reason: from.reason,
            author: from.author,
            repository: from.repository,
            rule: from.rule,
            package: from.package,
            expires_at: from.expires_at,
            created_at: from.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_policies_are_the_real_ones() {
        let json = serde_json::json!({
            "id": "a", "name": "A", "description": "", "kind": "trusted-images", "enabled": true,
            "scope": { "registries": ["r"], "repositories": [], "tags": [] },
            "conditions": {
                "severity_at_least": "high", "cvss_at_least": 7.0, "epss_at_least": null, "kev": true,
                "fix_available": null, "packages": [], "vulnerabilities": [], "paths": [], "rules": ["x"],
            },
            "action": "block", "severity": "low", "grace_days": 3,
            "trusted": { "digests": [], "repositories": ["a/*"], "base_layers": [] },
        });
        let real: model::policy::Policy = serde_json::from_value(json.clone()).unwrap();
        let shown: PolicyBody = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(real).unwrap(), json);
        assert_eq!(serde_json::to_value(shown).unwrap(), json);
    }

    #[test]
    fn exceptions_need_a_reason_and_a_future() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |reason: &str, expires: Option<&str>, expect: &str| {
            let request = ExceptionRequest {
                reason: reason.to_owned(),
                repository: "*".to_owned(),
                rule: "CVE-2024-1".to_owned(),
                package: None,
                expires_at: expires.map(|t| t.parse().unwrap()),
            };
            let found = match request.into_exception("ann", now) {
                Ok(exception) => exception.author,
                Err(problems) => problems[0].field.clone(),
            };
            assert_eq!(found, expect);
        };
        check("no exploit path", None, "ann");
        check(" ", None, "reason");
        check("x", Some("2025-12-31T00:00:00Z"), "expires_at");
    }
}
