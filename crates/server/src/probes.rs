//! For machines that watch over the server: is it alive, can it work, how is it doing?

use crate::problem::Problem;
use crate::state::Shared;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::Scope;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use store::types::{JobFilter, Page};

/// Alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", operation_id = "isAlive",
    responses((status = 200, description = "the process answers", body = String)), security(()))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Can it work? Asks the store.
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "isReady",
    responses((status = 200, description = "the store answers", body = String),
        (status = 503, description = "it does not", body = report::api::Problem)), security(()))]
pub(crate) async fn ready(State(state): State<Shared>) -> Response {
    match state.store().stale_writes().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => Problem::unavailable(format!("the store does not answer: {error}")).into_response(),
    }
}

/// Metrics in Prometheus' text form. Needs a token: names of registries are in it.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "readMetrics",
    responses((status = 200, description = "Prometheus text, version 0.0.4", body = String, content_type = "text/plain"),
        (status = 401, description = "no token", body = report::api::Problem)))]
pub(crate) async fn metrics(State(state): State<Shared>) -> Result<Response, Problem> {
    let mut text = Text::default();
    jobs(&state, &mut text).await?;
    registries(&state, &mut text).await?;
    issues(&state, &mut text).await?;
    text.family("pratique_stale_writes_total", "counter", "Writes of stale lease holders that were refused.");
    text.sample("pratique_stale_writes_total", &[], state.store().stale_writes().await?);
    let library = state.engine.library.current();
    text.family("pratique_intelligence_generation", "gauge", "Generation of the intelligence in force.");
    text.sample("pratique_intelligence_generation", &[], library.intelligence.generation());
    let stale = library.intelligence.feeds().iter().filter(|feed| feed.is_stale(state.now())).count();
    text.family("pratique_intelligence_feeds", "gauge", "Feeds by whether they are older than their maximum age.");
    let total = library.intelligence.feeds().len();
    text.sample("pratique_intelligence_feeds", &[("stale", "false")], (total - stale) as u64);
    text.sample("pratique_intelligence_feeds", &[("stale", "true")], stale as u64);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.out).into_response())
}

/// Live jobs are counted one by one up to this many.
const JOBS_COUNTED_MAX: usize = 100_000;

async fn jobs(state: &Shared, text: &mut Text) -> Result<(), Problem> {
    let mut counts: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
    for key in ["queued", "leased"] {
        for kind in ["discover", "resolve", "scan"] {
            counts.insert((key.to_owned(), kind), 0);
        }
    }
    let filter = JobFilter { registry: None, live: true };
    let mut page = Page::first(1000);
    let mut seen = 0;
    loop {
        let rows = state.store().jobs(&Scope::All, &filter, &page).await?;
        seen += rows.len();
        for row in &rows {
            *counts.entry((row.state.clone(), row.work.kind())).or_default() += 1;
        }
        match rows.last() {
            Some(last) if rows.len() == 1000 && seen < JOBS_COUNTED_MAX => page.cursor = Some(last.id.to_string()),
            Some(_) | None => break,
        }
    }
    text.family("pratique_jobs", "gauge", "Live jobs by state and kind.");
    for ((state, kind), count) in &counts {
        text.sample("pratique_jobs", &[("state", state), ("kind", kind)], *count);
    }
    Ok(())
}

async fn registries(state: &Shared, text: &mut Text) -> Result<(), Problem> {
    text.family("pratique_images", "gauge", "Core images that wanted tags show, by registry and state.");
    for registry in state.store().registries(&Scope::All).await? {
        let counts = state.store().registry_counts(&Scope::All, registry.id).await?;
        let states = [
            ("pending", counts.pending),
            ("scanning", counts.scanning),
            ("scanned", counts.scanned),
            ("partial", counts.partial),
            ("failed", counts.failed),
        ];
        for (name, count) in states {
            text.sample("pratique_images", &[("registry", &registry.config.name), ("state", name)], count);
        }
    }
    Ok(())
}

async fn issues(state: &Shared, text: &mut Text) -> Result<(), Problem> {
    let mut counts: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    for row in state.store().issue_counts(&Scope::All).await? {
        if row.state == model::issue::IssueState::Open {
            *counts.entry((row.severity.as_str(), row.kind.as_str())).or_default() += row.count;
        }
    }
    text.family("pratique_issues_open", "gauge", "Open issues by severity and kind.");
    for ((severity, kind), count) in &counts {
        text.sample("pratique_issues_open", &[("severity", severity), ("kind", kind)], *count);
    }
    Ok(())
}

/// The Prometheus text exposition format, version 0.0.4.
#[derive(Debug, Default)]
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.out.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{open}{label}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("name", "a\"b\\c\nd"), ("x", "y")], 3);
        text.sample("n", &[], 1);
        assert_eq!(text.out, "m{name=\"a\\\"b\\\\c\\nd\",x=\"y\"} 3\nn 1\n");
    }
}
