//! `/jobs`, `/evaluations`, `/audit`: how the installation is doing.

use super::issues::registry_id;
use super::paging::{Paging, asked};
use crate::auth::guard::Who;
use crate::problem::{Answer, Problem};
use crate::respond::Params;
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::task::evaluate::Cause;
use model::Scope;
use model::job::JobWork;
use report::api::{AuditBody, EvaluationBody, JobBody, Page, ScanStarted};
use serde::Deserialize;
use store::types::{EvaluationView, JobFilter, JobView};
use utoipa::IntoParams;

/// `?registry=&state=&limit=&cursor=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// Row number, or name, of the registry.
    registry: Option<String>,
    /// `live` (queued or leased), or `all` (the default).
    state: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "operations", operation_id = "listJobs", params(JobQuery),
    responses((status = 200, body = Page<JobBody>)))]
pub(crate) async fn jobs(State(state): State<Shared>, Params(query): Params<JobQuery>) -> Answer<Json<Page<JobBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let live = match query.state.as_deref() {
        None | Some("all") => false,
        Some("live") => true,
        Some(other) => return Err(Problem::bad_request(format!("state: {other:?} is none of live, all"))),
    };
    let filter = JobFilter { registry: registry_id(&state, query.registry.as_deref()).await?, live };
    let rows = state.store().jobs(&Scope::All, &filter, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.id.to_string());
    Ok(Json(Page { items: page.items.into_iter().map(job_body).collect(), next: page.next }))
}

fn job_body(row: JobView) -> JobBody {
    let (repository, digest) = match &row.work {
        JobWork::Discover { .. } => (None, None),
        JobWork::Resolve { repository, digest, .. } | JobWork::Scan { repository, digest, .. } => {
            (Some(repository.clone()), Some(digest.to_string()))
        }
    };
    JobBody {
        id: row.id.get(),
        kind: row.work.kind().to_owned(),
        registry: row.work.registry().get(),
        repository,
        digest,
        reader: row.reader.to_string(),
        state: row.state,
        holder: row.holder,
        attempts: row.attempts,
        error: row.error,
        created_at: row.created_at,
        due_at: row.due_at,
    }
}

/// Runs of re-evaluation, newest first.
#[utoipa::path(get, path = "/api/v1/evaluations", tag = "operations", operation_id = "listEvaluations", params(Paging),
    responses((status = 200, body = Page<EvaluationBody>)))]
pub(crate) async fn evaluations(
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<EvaluationBody>>> {
    let asked = paging.asked()?;
    let rows = state.store().evaluations(&asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.id.to_string());
    Ok(Json(Page { items: page.items.into_iter().map(evaluation_body).collect(), next: page.next }))
}

fn evaluation_body(row: EvaluationView) -> EvaluationBody {
    let summary = row.summary;
    EvaluationBody {
        id: row.id.get(),
        reason: row.reason,
        started_at: row.started_at,
        finished_at: row.finished_at,
        generation: summary.generation,
        packages: summary.packages,
        repositories: summary.repositories,
        images: summary.images,
        opened: summary.issues.opened,
        kept: summary.issues.kept,
        resolved: summary.issues.resolved,
        reopened: summary.issues.reopened,
        error: summary.error,
    }
}

/// Judges everything again now, with no registry traffic.
#[utoipa::path(post, path = "/api/v1/evaluations", tag = "operations", operation_id = "evaluateNow",
    responses((status = 202, body = ScanStarted)))]
pub(crate) async fn evaluate(State(state): State<Shared>, Who(who): Who) -> (StatusCode, Json<ScanStarted>) {
    state.engine.evaluate_because(Cause::Asked(who.name));
    (StatusCode::ACCEPTED, Json(ScanStarted { jobs: 0, detail: "a re-evaluation was asked for".to_owned() }))
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operations", operation_id = "listAudit", params(Paging),
    responses((status = 200, body = Page<AuditBody>)))]
pub(crate) async fn audit(
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<AuditBody>>> {
    let asked = paging.asked()?;
    let rows = state.store().audit_log(&Scope::All, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.id.to_string());
    let body = |row: store::types::AuditEntry| AuditBody {
        id: row.id,
        at: row.at,
        by: row.by,
        what: row.what,
        detail: row.detail,
    };
    Ok(Json(Page { items: page.items.into_iter().map(body).collect(), next: page.next }))
}
