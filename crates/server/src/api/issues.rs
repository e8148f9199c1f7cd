//! `/issues`: what people must fix.

use super::paging::asked;
use crate::auth::guard::Who;
use crate::problem::{Answer, Problem};
use crate::respond::{At, Input, Params};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use model::issue::IssueState;
use model::{Digest, FindingKind, Id, Scope, Severity};
use report::api::{IssueBody, IssuePatch, Page};
use serde::Deserialize;
use store::types::{IssueEdit, IssueFilter, issue_cursor};
use utoipa::IntoParams;

/// Filters of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IssueQuery {
    /// `open` or `resolved`.
    state: Option<String>,
    /// `critical`, `high`, `medium`, `low`, `negligible` or `unknown`.
    severity: Option<String>,
    /// `vulnerability`, `secret`, `malware`, `misconfiguration`, `end-of-life`, `untrusted-image` or `compliance`.
    kind: Option<String>,
    /// Id of the policy.
    policy: Option<String>,
    /// Row number, or name, of the registry.
    registry: Option<String>,
    /// The repository.
    repository: Option<String>,
    /// The image.
    digest: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Reads a word of the API.
///
/// # Errors
/// 400, naming the parameter and the words that it takes.
pub(crate) fn word<T: serde::de::DeserializeOwned>(name: &str, text: Option<&str>, words: &str) -> Answer<Option<T>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map(Some)
        .map_err(|_| Problem::bad_request(format!("{name}: {text:?} is none of {words}")))
}

/// Finds a registry by row number or by name.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn registry_id(state: &Shared, text: Option<&str>) -> Answer<Option<Id<model::id::kind::Registry>>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let rows = state.store().registries(&Scope::All).await?;
    let by_name = rows.iter().find(|row| row.config.name == text);
    let found = by_name.or_else(|| rows.iter().find(|row| row.id.to_string() == text));
    found.map(|row| Some(row.id)).ok_or_else(|| Problem::not_found(format!("there is no registry {text:?}")))
}

/// The words for `severity`.
pub(crate) const SEVERITIES: &str = "critical, high, medium, low, negligible, unknown";
/// The words for `kind`.
pub(crate) const KINDS: &str =
    "vulnerability, secret, malware, misconfiguration, end-of-life, untrusted-image, compliance";

/// Issues: open ones first, worst first, oldest first.
#[utoipa::path(get, path = "/api/v1/issues", tag = "issues", operation_id = "listIssues", params(IssueQuery),
    responses((status = 200, body = Page<IssueBody>), (status = 400, description = "a filter cannot be read", body = report::api::Problem)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    Params(query): Params<IssueQuery>,
) -> Answer<Json<Page<IssueBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let digest = query.digest.as_deref().map(str::parse::<Digest>).transpose();
    let filter = IssueFilter {
        state: word::<IssueState>("state", query.state.as_deref(), "open, resolved")?,
        severity: word::<Severity>("severity", query.severity.as_deref(), SEVERITIES)?,
        kind: word::<FindingKind>("kind", query.kind.as_deref(), KINDS)?,
        policy: query.policy,
        registry: registry_id(&state, query.registry.as_deref()).await?,
        repository: query.repository,
        digest: digest.map_err(|error| Problem::bad_request(error.to_string()))?,
    };
    let rows = state.store().issues(&Scope::All, &filter, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, issue_cursor);
    Ok(Json(Page { items: page.items.iter().map(|issue| IssueBody::new(issue, &[])).collect(), next: page.next }))
}

/// One issue with its history.
#[utoipa::path(get, path = "/api/v1/issues/{id}", tag = "issues", operation_id = "getIssue",
    params(("id" = i64, Path)),
    responses((status = 200, body = IssueBody), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn get(State(state): State<Shared>, At(id): At<i64>) -> Answer<Json<IssueBody>> {
    let (issue, history) = state.store().issue(&Scope::All, Id::new(id)).await?;
    let mut body = IssueBody::new(&issue, &history);
    if let Some(advice) = base_advice(&state, &issue).await? {
        body.remediation = format!("{} {advice}", body.remediation).trim().to_owned();
    }
    Ok(Json(body))
}

/// What the base image of the first image of an issue has to do with it; `None` when nothing, or nobody knows.
pub(crate) async fn base_advice(state: &Shared, issue: &model::Issue) -> Answer<Option<String>> {
    let Some(digest) = issue.desired.digests.first() else { return Ok(None) };
    let facts = match crate::facts::image(state, digest, policy::Show::Open).await {
        Ok(facts) => facts,
        Err(problem) if problem.status == axum::http::StatusCode::NOT_FOUND => return Ok(None),
        Err(problem) => return Err(problem),
    };
    let base = crate::base::of(state, &facts).await?;
    Ok(base.and_then(|base| base.advice(&issue.desired.finding)))
}

/// Assigns, comments, resolves or reopens an issue.
#[utoipa::path(patch, path = "/api/v1/issues/{id}", tag = "issues", operation_id = "editIssue",
    params(("id" = i64, Path)), request_body = IssuePatch,
    responses((status = 200, body = IssueBody), (status = 404, description = "there is none", body = report::api::Problem),
        (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn edit(
    State(state): State<Shared>,
    Who(who): Who,
    At(id): At<i64>,
    Input(patch): Input<IssuePatch>,
) -> Answer<Json<IssueBody>> {
    let resolution = patch.resolution().map_err(|problem| Problem::fields(vec![problem]))?;
    let edit = checked_edit(IssueEdit { assignee: patch.assignee, resolution, comment: patch.comment })?;
    state.store().edit_issue(Id::new(id), &edit, &who.name, state.now()).await?;
    let (issue, history) = state.store().issue(&Scope::All, Id::new(id)).await?;
    Ok(Json(IssueBody::new(&issue, &history)))
}

/// Longest name of an assignee.
const ASSIGNEE_CHARS_MAX: usize = 200;
/// Longest remark.
const COMMENT_CHARS_MAX: usize = 10_000;

/// Checks the texts of an edit.
///
/// # Errors
/// 422 when one is empty or too long.
pub(crate) fn checked_edit(edit: IssueEdit) -> Answer<IssueEdit> {
    let assignee = edit.assignee.as_ref().and_then(Option::as_ref);
    if assignee.is_some_and(|name| name.trim().is_empty() || name.chars().count() > ASSIGNEE_CHARS_MAX) {
        return Err(Problem::refused(format!("an assignee has 1 to {ASSIGNEE_CHARS_MAX} characters, or is null")));
    }
    let comment = edit.comment.as_ref();
    if comment.is_some_and(|text| text.trim().is_empty() || text.chars().count() > COMMENT_CHARS_MAX) {
        return Err(Problem::refused(format!("a comment has 1 to {COMMENT_CHARS_MAX} characters")));
    }
    if edit == IssueEdit::default() {
        return Err(Problem::refused("nothing to change: give assignee, resolution or comment"));
    }
    Ok(edit)
}
