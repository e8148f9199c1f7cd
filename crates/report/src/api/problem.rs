//! Errors of the API, as RFC 9457 has them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What sort of problem: a name under `/problems/`, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sort in words, the same every time.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, to which thing, and what to do.
    pub detail: String,
    /// Fields of the request that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

impl Problem {
    /// The content type of the body.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A problem that the status explains well enough.
    pub fn new(status: u16, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: "about:blank".to_owned(), title: title.into(), status, detail: detail.into(), errors: Vec::new() }
    }

    /// 422: the request was understood and breaks rules.
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self {
            kind: "/problems/invalid-fields".to_owned(),
            title: "Some fields are not valid".to_owned(),
            status: 422,
            detail,
            errors,
        }
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The field, with dots: `initial_scan.days`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldProblem {
    /// What is wrong with a field.
    pub fn new(field: &str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), detail: detail.into() }
    }
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}
