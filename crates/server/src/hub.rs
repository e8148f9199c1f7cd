//! The agent hub: where agents join, and where they work.
//!
//! Not here: what the calls mean (`engine::workplace`). Invariants: connections only come from the agent; a join token
//! is spent before anything is made of it; an agent reaches the desk of its own group and no other.

use crate::agent_groups::read_join_text;
use crate::auth::bearer;
use crate::auth::secret::{Purpose, hash, mint};
use crate::auth::setup::entry;
use crate::problem::{Answer, Problem};
use crate::respond::{Input, from_bytes_rejection};
use crate::state::Shared;
use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use engine::workplace::agent::answer;
use report::agent::{AgentRequest, AgentResponse, JoinRequest, JoinResponse};
use std::net::SocketAddr;
use store::types::{NewAgent, Role, agent_holder};

/// The longest name and version that an agent may give itself.
const NAME_CHARS_MAX: usize = 128;

/// An agent joins with its one-time token, and gets its secret.
#[utoipa::path(
    post, path = "/agent/v1/join", tag = "agents", operation_id = "joinAgent",
    request_body(content = Object, description = "`{\"token\", \"name\", \"version\"}`"),
    responses(
        (status = 200, description = "`{\"agent_id\", \"secret\", \"group\", \"mode\"}`: the secret is shown once", body = Object),
        (status = 401, description = "the token is unknown, spent or expired", body = report::api::Problem),
    ),
    security(()),
)]
pub(crate) async fn join(
    State(state): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Input(request): Input<JoinRequest>,
) -> Answer<Json<JoinResponse>> {
    let now = state.now();
    if let Err(seconds) = state.logins.check(peer.ip(), now) {
        return Err(Problem::too_many("too many failed tries from this address", seconds));
    }
    let refuse = || {
        state.logins.failed(peer.ip(), now);
        Problem::new(StatusCode::UNAUTHORIZED, "The agent may not join", "the join token is unknown, spent or expired")
    };
    let name: String = request.name.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if name.is_empty() {
        return Err(Problem::refused("an agent needs a name"));
    }
    let token = state.store().token(&hash(&request.token), now).await?.filter(|t| t.role == Role::Join);
    let token = token.ok_or_else(refuse)?;
    let place = token.agent_group.as_deref().and_then(read_join_text);
    let (mode, group) = place.ok_or_else(|| Problem::internal("a join token without group and mode"))?;
    match state.store().spend_token(token.id, now).await {
        Ok(()) => {}
        Err(error) if error.kind == store::ErrorKind::Conflict => return Err(refuse()),
        Err(error) => return Err(error.into()),
    }
    let secret = mint(Purpose::Agent)?;
    let version = request.version.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let new = NewAgent { name, group: group.to_owned(), mode, secret_hash: hash(&secret), version };
    let agent = state.store().add_agent(&new, now).await?;
    let detail = format!("agent {} ({}) joined the group {group} as {mode}, from {}", agent.id, agent.name, peer.ip());
    state.store().audit(&entry(&format!("agent:{}", agent.id), "agent.join", detail, now)).await?;
    Ok(Json(JoinResponse { agent_id: agent.id.get(), secret, group: agent.group, mode: agent.mode }))
}

/// One call of an agent, done at the desk of its group.
#[utoipa::path(
    post, path = "/agent/v1/call", tag = "agents", operation_id = "callAsAgent",
    request_body(content = Object, description = "one request of the agent protocol, at most 64 MiB"),
    responses(
        (status = 200, description = "the answer of the agent protocol", body = Object),
        (status = 401, description = "the secret is unknown", body = report::api::Problem),
        (status = 503, description = "try again", body = report::api::Problem),
    ),
    security(("agent" = [])),
)]
pub(crate) async fn call(
    State(state): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<AgentResponse>> {
    let unknown =
        || Problem::new(StatusCode::UNAUTHORIZED, "Unknown agent", "the agent's secret is unknown: join again");
    let secret = bearer(&headers).ok_or_else(unknown)?;
    let agent = state.store().agent_by_secret(&secret, state.now()).await?.ok_or_else(unknown)?;
    let body = body.map_err(|rejection| from_bytes_rejection(&rejection))?;
    let request = tokio::task::spawn_blocking(move || serde_json::from_slice::<AgentRequest>(&body))
        .await?
        .map_err(|e| Problem::bad_request(format!("not a request of the agent protocol: {e}")))?;
    let desk = state.engine.agent_desk(&agent.group, agent_holder(agent.id));
    tokio::select! {
        answered = answer(&desk, request) => Ok(Json(answered?)),
        () = state.stop.cancelled() => Err(Problem::unavailable("the server is stopping")),
    }
}
