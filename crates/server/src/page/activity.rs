//! What the server is doing, and what it did: jobs and evaluations.

use super::form::{Filled, Nothing};
use super::frame::{Frame, Section, done, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::Show;
use crate::auth::guard::Visitor;
use crate::problem::Answer;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use engine::task::evaluate::Cause;
use model::id::kind;
use model::job::JobWork;
use model::{Digest, Id, Scope};
use std::collections::BTreeMap;
use store::types::{EvaluationView, JobFilter, JobView, Page};

/// Jobs and evaluations shown.
const ROWS: u32 = 60;

/// A job in the list.
struct Row {
    job: JobView,
    registry: String,
    repository: Option<String>,
    digest: Option<Digest>,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    frame: Frame,
    show: Show,
    jobs: Vec<Row>,
    evaluations: Vec<EvaluationView>,
    stale_writes: u64,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let page = activity(&state, &visitor).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn activity(state: &Shared, visitor: &Visitor) -> Answer<ActivityPage> {
    let names: BTreeMap<Id<kind::Registry>, String> =
        state.store().registries(&Scope::All).await?.into_iter().map(|r| (r.id, r.config.name)).collect();
    let live = JobFilter { registry: None, live: true };
    let mut jobs = state.store().jobs(&Scope::All, &live, &Page::first(ROWS)).await?;
    let recent = state.store().jobs(&Scope::All, &JobFilter::default(), &Page::first(ROWS)).await?;
    let is_shown = |job: &JobView| jobs.iter().any(|shown| shown.id == job.id);
    let more: Vec<JobView> = recent.into_iter().filter(|job| !is_shown(job)).collect();
    jobs.extend(more);
    jobs.truncate(ROWS as usize);
    Ok(ActivityPage {
        frame: Frame::new(state, visitor, "Activity", Section::Activity),
        show: Show::at(state.now()),
        jobs: jobs.into_iter().map(|job| row(job, &names)).collect(),
        evaluations: state.store().evaluations(&Page::first(20)).await?,
        stale_writes: state.store().stale_writes().await?,
    })
}

fn row(job: JobView, names: &BTreeMap<Id<kind::Registry>, String>) -> Row {
    let id = job.work.registry();
    let (repository, digest) = match &job.work {
        JobWork::Discover { .. } => (None, None),
        JobWork::Resolve { repository, digest, .. } | JobWork::Scan { repository, digest, .. } => {
            (Some(repository.clone()), Some(*digest))
        }
    };
    let class = match job.state.as_str() {
        "done" => "good",
        "failed" => "bad",
        "leased" => "busy",
        _ => "waiting",
    };
    Row { registry: names.get(&id).cloned().unwrap_or_else(|| id.to_string()), repository, digest, class, job }
}

/// Judges everything again.
pub(crate) async fn evaluate(State(state): State<Shared>, filled: Filled<Nothing>) -> Response {
    let visitor = filled.visitor;
    state.engine.evaluate_because(Cause::Asked(visitor.principal.name.clone()));
    done(&state, &visitor, "/activity", "Everything is judged again now; nothing is pulled.")
}
