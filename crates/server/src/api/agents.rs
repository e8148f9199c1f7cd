//! `/agents`: who reads images where the server cannot.

use super::paging::{Paging, slice};
use crate::agent_groups;
use crate::auth::guard::Who;
use crate::auth::secret::{Purpose, hash, mint};
use crate::problem::{Answer, Problem};
use crate::registries::is_online;
use crate::respond::{At, Input, Params};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::ToSpan as _;
use model::registry::ScanMode;
use model::{Id, Scope};
use report::api::{AgentBody, AgentTokenBody, AgentTokenRequest, JoinTokenBody, Page};
use store::types::{NewToken, Role, TokenRow};

/// Life of a join token unless asked otherwise, in seconds.
const JOIN_SECONDS: u32 = 3600;
/// Longest life of a join token: a week.
const JOIN_SECONDS_MAX: u32 = 7 * 24 * 3600;

/// Makes a one-time token that joins one agent. It is shown this once.
#[utoipa::path(post, path = "/api/v1/agents/tokens", tag = "agents", operation_id = "addJoinToken",
    request_body = AgentTokenRequest,
    responses((status = 201, body = AgentTokenBody), (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn add_token(
    State(state): State<Shared>,
    Who(who): Who,
    Input(request): Input<AgentTokenRequest>,
) -> Answer<(StatusCode, Json<AgentTokenBody>)> {
    Ok((StatusCode::CREATED, Json(join_token(&state, &request, &who.name).await?)))
}

/// Makes a join token.
///
/// # Errors
/// 422 when group, mode or life are not valid.
pub(crate) async fn join_token(state: &Shared, request: &AgentTokenRequest, by: &str) -> Answer<AgentTokenBody> {
    agent_groups::check(&request.group)?;
    let mode = match request.mode.as_str() {
        "outpost" => ScanMode::Outpost,
        "broker" => ScanMode::Broker,
        other => return Err(Problem::refused(format!("mode: {other:?} is none of outpost, broker"))),
    };
    let seconds = request.expires_in_seconds.unwrap_or(JOIN_SECONDS);
    if !(1..=JOIN_SECONDS_MAX).contains(&seconds) {
        return Err(Problem::refused(format!("expires_in_seconds must be 1 to {JOIN_SECONDS_MAX}")));
    }
    let now = state.now();
    let token = mint(Purpose::Join)?;
    let expires_at = now.saturating_add(i64::from(seconds).seconds()).unwrap_or(model::Timestamp::MAX);
    let name = request.name.clone().filter(|name| !name.trim().is_empty());
    let new = NewToken {
        name: name.unwrap_or_else(|| format!("join {} as {mode}", request.group)).chars().take(200).collect(),
        hash: hash(&token),
        role: Role::Join,
        agent_group: Some(agent_groups::join_text(mode, &request.group)),
        once: true,
        expires_at: Some(expires_at),
    };
    state.store().add_token(&new, by, now).await?;
    Ok(AgentTokenBody { token, group: request.group.clone(), mode: mode.to_string(), expires_at: Some(expires_at) })
}

/// Join tokens, newest first, also those that are over. Their text is nowhere.
#[utoipa::path(get, path = "/api/v1/agents/tokens", tag = "agents", operation_id = "listJoinTokens", params(Paging),
    responses((status = 200, body = Page<JoinTokenBody>)))]
pub(crate) async fn list_tokens(
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<JoinTokenBody>>> {
    let asked = paging.asked()?;
    let now = state.now();
    let mut rows = Vec::new();
    let mut page = store::types::Page::first(500);
    loop {
        let some = state.store().tokens(&page).await?;
        let last = some.last().map(|row| row.id.to_string());
        let full = some.len() == 500;
        rows.extend(some.into_iter().filter_map(|row| join_token_body(row, now)));
        if !full {
            return Ok(Json(slice(rows, &asked)?));
        }
        page.cursor = last;
    }
}

fn join_token_body(row: TokenRow, now: model::Timestamp) -> Option<JoinTokenBody> {
    let (mode, group) = row.agent_group.as_deref().and_then(agent_groups::read_join_text)?;
    let state = match (row.spent_at, row.revoked_at, row.expires_at) {
        (Some(_), _, _) => "used",
        (None, Some(_), _) => "revoked",
        (None, None, Some(end)) if end <= now => "expired",
        (None, None, _) => "open",
    };
    Some(JoinTokenBody {
        id: row.id.get(),
        group: group.to_owned(),
        mode: mode.to_string(),
        state: state.to_owned(),
        name: row.name,
        created_at: row.created_at,
        expires_at: row.expires_at,
        used_at: row.spent_at,
    })
}

/// Agents, by group and name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", operation_id = "listAgents", params(Paging),
    responses((status = 200, body = Page<AgentBody>)))]
pub(crate) async fn list(State(state): State<Shared>, Params(paging): Params<Paging>) -> Answer<Json<Page<AgentBody>>> {
    let asked = paging.asked()?;
    let now = state.now();
    let body = |row: store::types::AgentView| AgentBody {
        id: row.id.get(),
        name: row.name,
        group: row.group,
        mode: row.mode.to_string(),
        version: row.version,
        joined_at: row.joined_at,
        last_seen: row.last_seen,
        online: is_online(row.last_seen, now),
        leases: row.leases,
    };
    let rows = state.store().agents(&Scope::All).await?;
    Ok(Json(slice(rows.into_iter().map(body).collect(), &asked)?))
}

/// Removes an agent: its secret is worth nothing from then on, and its work goes to others.
#[utoipa::path(delete, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "deleteAgent",
    params(("id" = i64, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn delete(State(state): State<Shared>, Who(who): Who, At(id): At<i64>) -> Answer<StatusCode> {
    remove(&state, id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an agent; others may take its work at once.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn remove(state: &Shared, id: i64, by: &str) -> Answer<()> {
    state.store().delete_agent(Id::new(id), by, state.now()).await?;
    state.engine.office.jobs_changed.notify_waiters();
    Ok(())
}
