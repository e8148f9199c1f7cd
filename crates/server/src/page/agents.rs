//! Agents, and the one-time tokens that they join with.

use super::form::{Filled, Nothing, filled};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::Show;
use crate::api::agents::{join_token, remove};
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::registries::is_online;
use crate::respond::At;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::Scope;
use report::api::{AgentTokenBody, AgentTokenRequest};
use serde::Deserialize;
use store::types::AgentView;

/// An agent in the list.
struct Row {
    agent: AgentView,
    online: bool,
}

#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    frame: Frame,
    show: Show,
    rows: Vec<Row>,
    token: Option<AgentTokenBody>,
}

async fn page(state: &Shared, visitor: &Visitor, token: Option<AgentTokenBody>) -> Answer<AgentsPage> {
    let now = state.now();
    let agents = state.store().agents(&Scope::All).await?;
    let rows = agents.into_iter().map(|agent| Row { online: is_online(agent.last_seen, now), agent }).collect();
    let frame = Frame::new(state, visitor, "Agents", Section::Agents);
    Ok(AgentsPage { frame, show: Show::at(now), rows, token })
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let page = page(&state, &visitor, None).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

/// A join token to make.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenForm {
    group: String,
    mode: String,
    hours: String,
}

/// Makes a join token and shows it this once.
pub(crate) async fn add_token(State(state): State<Shared>, filled: Filled<TokenForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    match try_token(&state, &visitor, &form).await {
        Ok(token) => {
            let page = page(&state, &visitor, Some(token)).await.or_refuse(&state, &visitor)?;
            Ok(render(&page))
        }
        Err(problem) => Ok(failed(&state, &visitor, "/agents", problem.detail)),
    }
}

async fn try_token(state: &Shared, visitor: &Visitor, form: &TokenForm) -> Answer<AgentTokenBody> {
    let hours = filled(&form.hours).map(|text| text.parse::<u32>()).transpose();
    let hours = hours.map_err(|_| Problem::refused("hours must be a whole number"))?;
    let request = AgentTokenRequest {
        group: form.group.trim().to_owned(),
        mode: form.mode.clone(),
        name: None,
        expires_in_seconds: hours.map(|hours| hours.saturating_mul(3600)),
    };
    join_token(state, &request, &visitor.principal.name).await
}

/// Removes an agent.
pub(crate) async fn delete(State(state): State<Shared>, At(id): At<i64>, filled: Filled<Nothing>) -> PageResult {
    let visitor = filled.visitor;
    remove(&state, id, &visitor.principal.name).await.or_refuse(&state, &visitor)?;
    Ok(done(&state, &visitor, "/agents", "The agent was removed; others take its work."))
}
