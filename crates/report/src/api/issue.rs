//! Issues.

use super::{FieldProblem, FindingBody, present, word};
use model::issue::{IssueChange, Resolution};
use model::{Issue, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IssueBody {
    /// Row number.
    pub id: i64,
    /// The same across rebuilds: policy, registry, repository, subject and rule, joined by `|`.
    pub key: String,
    /// `open` or `resolved`.
    pub state: String,
    /// How bad.
    pub severity: String,
    /// Which sort of finding raised it.
    pub kind: String,
    /// The policy that raised it.
    pub policy: String,
    /// Name of the registry instance.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tags under which it is found, sorted.
    pub tags: Vec<String>,
    /// The first image, by digest, that shows it.
    pub digest: Option<String>,
    /// Every image that shows it.
    pub digests: Vec<String>,
    /// The finding, with the evidence of that first image.
    pub finding: FindingBody,
    /// What to do.
    pub remediation: String,
    /// Does it stop a pipeline?
    pub fails: bool,
    /// When it was first opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When it should be fixed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Timestamp>,
    /// When it was last resolved.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
    /// Why: `fixed`, `image-gone`, `policy-changed`, `excepted`, `false-positive`, `risk-accepted`, `known` or
    /// `duplicate`.
    pub resolution: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Who changed what and why, oldest first; empty in lists.
    pub history: Vec<IssueChangeBody>,
}

/// One row of an issue's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssueChangeBody {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `pratique`, or a user.
    pub by: String,
    /// `opened`, `resolved`, `reopened`, `assigned` or `commented`.
    pub what: String,
    /// Why.
    pub why: String,
}

impl IssueBody {
    /// The public form of a stored issue.
    pub fn new(issue: &Issue, history: &[IssueChange]) -> Self {
        let desired = &issue.desired;
        Self {
            id: issue.id.get(),
            key: desired.key.to_string(),
            state: word(&issue.state),
            severity: desired.severity.as_str().to_owned(),
            kind: desired.kind.as_str().to_owned(),
            policy: desired.key.policy.clone(),
            registry: desired.key.registry.clone(),
            repository: desired.key.repository.clone(),
            tags: desired.tags.clone(),
            digest: desired.digests.first().map(ToString::to_string),
            digests: desired.digests.iter().map(ToString::to_string).collect(),
            finding: FindingBody::from(&desired.finding),
            remediation: desired.finding.remediation.clone(),
            fails: desired.fails,
            opened_at: issue.opened_at,
            due_at: issue.due_at,
            resolved_at: issue.resolved_at,
            resolution: issue.resolution.map(|r| word(&r)),
            assignee: issue.assignee.clone(),
            history: history.iter().map(IssueChangeBody::from).collect(),
        }
    }
}

impl From<&IssueChange> for IssueChangeBody {
    fn from(from: &IssueChange) -> Self {
        Self { at: from.at, by: from.by.clone(), what: from.what.clone(), why: from.why.clone() }
    }
}

/// A person's edit: absent keys stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IssuePatch {
    /// `null` takes the assignee away.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub assignee: Option<Option<String>>,
    /// `false-positive`, `risk-accepted`, `known`, `duplicate` or `fixed` resolves it; `null` reopens it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub resolution: Option<Option<String>>,
    /// A remark.
    pub comment: Option<String>,
}

impl IssuePatch {
    /// The resolution that the edit asks for: `None` no change, `Some(None)` reopen.
    ///
    /// # Errors
    /// When it is one that people cannot give.
    pub fn resolution(&self) -> Result<Option<Option<Resolution>>, FieldProblem> {
        let Some(wanted) = &self.resolution else { return Ok(None) };
        let Some(text) = wanted else { return Ok(Some(None)) };
        let found: Option<Resolution> = serde_json::from_value(serde_json::Value::String(text.clone())).ok();
        match found {
            Some(resolution) if resolution.is_by_person() || resolution == Resolution::Fixed => {
                Ok(Some(Some(resolution)))
            }
            Some(_) | None => Err(FieldProblem::new(
                "resolution",
                "expected false-positive, risk-accepted, known, duplicate, fixed, or null to reopen",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_give_only_their_own_resolutions() {
        let check = |json: &str, expect: Result<Option<Option<Resolution>>, &str>| {
            let patch: IssuePatch = serde_json::from_str(json).unwrap();
            assert_eq!(patch.resolution().map_err(|p| p.field), expect.map_err(str::to_owned), "{json}");
        };
        check("{}", Ok(None));
        check(r#"{"resolution":null}"#, Ok(Some(None)));
        check(r#"{"resolution":"false-positive"}"#, Ok(Some(Some(Resolution::FalsePositive))));
        check(r#"{"resolution":"fixed"}"#, Ok(Some(Some(Resolution::Fixed))));
        check(r#"{"resolution":"image-gone"}"#, Err("resolution"));
        check(r#"{"resolution":"because"}"#, Err("resolution"));
    }
}
