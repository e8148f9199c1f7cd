//! Bodies of the HTTP API, `/api/v1`.
//!
//! Not here: routes, storage, authorisation. The server converts between these and what it stores. Invariant: no type
//! that goes out has a field for a credential, and every type that comes in refuses keys that it does not know.

mod image;
mod intent;
mod issue;
mod operation;
mod problem;
mod registry;
mod registry_request;
mod rules;

pub use crate::scan::{
    ReportFinding as FindingBody, ReportGap as GapBody, ReportLayer as LayerBody, ReportPackage as PackageBody,
};
pub use image::{
    BaseImageBody, CausingFinding, ComplianceBody, ComplianceScoreBody, ComplianceScoresBody, ImageBody,
    ImageCountsBody, ImageGapBody, IndexBody, IndexMember, NewerBaseBody, ReferenceBody, SbomBody, ScannerBody,
    SeverityCounts,
};
pub use intent::{
    ConditionsBody, ExceptionBody, ExceptionRequest, PolicyBody, PolicyScopeBody, PolicySetBody, TrustedImagesBody,
};
pub use issue::{IssueBody, IssueChangeBody, IssuePatch};
pub use operation::{
    AgentBody, AgentTokenBody, AgentTokenRequest, AuditBody, DownloadBody, EvaluationBody, EventBody, FailedDocument,
    FeedBody, ImportBody, ImportRequest, IntelligenceBody, JobBody, JoinTokenBody,
};
pub use problem::{FieldProblem, Problem};
pub use registry::{
    PreviewResult, PreviewTag, RegistryBody, RegistryCountsBody, RepositoryBody, ScanRequest, ScanStarted, TagBody,
    TagImageBody, TagMoveBody, TestResult, TestStep,
};
pub use registry_request::{
    CredentialsEdit, InitialScanBody, RegistryPatch, RegistryRequest, ScopeBody, schedule_seconds, schedule_text,
};

pub use rules::{
    AllowedBody, ExtractionRulesBody, RuleBody, RuleDocumentBody, RuleProblemBody, RuleTuningBody, TuningBody,
};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass it as `?cursor=` for the next page; `null` on the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a list that was asked for with one row more than `limit`: if that row came, there is a next page, and its
    /// cursor is that of the last row shown.
    pub fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// Tells an absent key (`None`) from `null` (`Some(None)`).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The word that serde writes for a unit variant.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_the_next_only_when_there_is_one() {
        let check = |rows: Vec<u32>, expect: (usize, Option<&str>)| {
            let page = Page::cut(rows, 2, u32::to_string);
            assert_eq!((page.items.len(), page.next.as_deref()), expect);
        };
        check(vec![], (0, None));
        check(vec![1, 2], (2, None));
        check(vec![1, 2, 3], (2, Some("2")));
    }
}
