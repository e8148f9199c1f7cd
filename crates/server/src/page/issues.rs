//! The list of issues.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, kind_label, quoted};
use crate::api::issues::{KINDS, SEVERITIES, registry_id, word};
use crate::auth::guard::Visitor;
use crate::problem::Answer;
use crate::respond::Params;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::issue::IssueState;
use model::registry::Registry;
use model::{FindingKind, Issue, Scope, Severity};
use serde::Deserialize;
use store::types::{IssueFilter, Page, issue_cursor};

/// Issues of one page.
const ROWS: u32 = 50;

/// Filters. Without a state, open ones are shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    state: String,
    severity: String,
    kind: String,
    policy: String,
    registry: String,
    repository: String,
    cursor: String,
}

impl Query {
    fn is_filtered(&self) -> bool {
        let texts = [&self.severity, &self.kind, &self.policy, &self.registry, &self.repository];
        texts.iter().any(|text| !text.is_empty()) || self.state == "resolved"
    }

    fn address(&self, cursor: &str) -> String {
        let pairs = [
            ("state", self.state.as_str()),
            ("severity", &self.severity),
            ("kind", &self.kind),
            ("policy", &self.policy),
            ("registry", &self.registry),
            ("repository", &self.repository),
            ("cursor", cursor),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        if query.is_empty() { "/issues".to_owned() } else { format!("/issues?{}", query.join("&")) }
    }
}

#[derive(Template)]
#[template(path = "issues.html")]
struct IssuesPage {
    frame: Frame,
    show: Show,
    query: Query,
    registries: Vec<Registry>,
    policies: Vec<String>,
    rows: Vec<Issue>,
    first: String,
    next: Option<String>,
}

/// The page.
pub(crate) async fn list(State(state): State<Shared>, visitor: Visitor, Params(query): Params<Query>) -> PageResult {
    let page = issues(&state, &visitor, query).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn issues(state: &Shared, visitor: &Visitor, query: Query) -> Answer<IssuesPage> {
    let text = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let wanted = match query.state.as_str() {
        "" => Some(IssueState::Open),
        "any" => None,
        other => word::<IssueState>("state", Some(other), "open, resolved, any")?,
    };
    let filter = IssueFilter {
        state: wanted,
        severity: word::<Severity>("severity", Some(&query.severity), SEVERITIES)?,
        kind: word::<FindingKind>("kind", Some(&query.kind), KINDS)?,
        policy: text(&query.policy),
        registry: registry_id(state, text(&query.registry).as_deref()).await?,
        repository: text(&query.repository),
        digest: None,
    };
    let page = Page { limit: ROWS + 1, cursor: text(&query.cursor) };
    let rows = state.store().issues(&Scope::All, &filter, &page).await?;
    let page = report::api::Page::cut(rows, ROWS as usize, issue_cursor);
    let policies = crate::api::intents::in_force(state).await?.policies.into_iter().map(|p| p.id).collect();
    Ok(IssuesPage {
        frame: Frame::new(state, visitor, "Issues", Section::Issues),
        show: Show::at(state.now()),
        registries: state.store().registries(&Scope::All).await?,
        policies,
        first: query.address(""),
        next: page.next.map(|cursor| query.address(&cursor)),
        rows: page.items,
        query,
    })
}

/// Kinds with their labels, for the filter.
pub(crate) fn kinds() -> Vec<(&'static str, &'static str)> {
    FindingKind::ALL.iter().map(|kind| (kind.as_str(), kind_label(*kind))).collect()
}
