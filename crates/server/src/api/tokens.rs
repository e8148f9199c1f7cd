//! `/tokens`: API tokens for people and programs.

use crate::auth::guard::Who;
use crate::auth::role_name;
use crate::auth::secret::{Purpose, hash, mint};
use crate::problem::{Answer, Problem};
use crate::respond::{At, Input};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::ToSpan as _;
use model::{Id, Timestamp};
use serde::{Deserialize, Serialize};
use store::types::{NewToken, Role};
use utoipa::ToSchema;

/// Longest life: ten years.
const DAYS_MAX: u32 = 3650;

/// A token to make.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// For people, and for the audit log: everything done with the token bears this name.
    pub(crate) name: String,
    /// `viewer`, `operator` or `administrator`.
    #[schema(example = "viewer")]
    pub(crate) role: String,
    /// Days until it is worth nothing; never when absent.
    #[serde(default)]
    pub(crate) expires_in_days: Option<u32>,
}

/// A token, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    /// Row number.
    pub(crate) id: i64,
    /// For people.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) role: String,
    /// The token.
    pub(crate) token: String,
    /// When it is worth nothing any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_at: Option<Timestamp>,
}

/// Makes a token. It is shown this once; only its hash is stored.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "addToken", request_body = TokenRequest,
    responses((status = 201, body = TokenBody), (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn add(
    State(state): State<Shared>,
    Who(who): Who,
    Input(request): Input<TokenRequest>,
) -> Answer<(StatusCode, Json<TokenBody>)> {
    Ok((StatusCode::CREATED, Json(make(&state, &request, &who.name).await?)))
}

/// Makes a token.
///
/// # Errors
/// 422 when name, role or life are not valid.
pub(crate) async fn make(state: &Shared, request: &TokenRequest, by: &str) -> Answer<TokenBody> {
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Problem::refused("name: a token's name has 1 to 100 printable characters"));
    }
    let role = match request.role.as_str() {
        "viewer" => Role::Viewer,
        "operator" => Role::Operator,
        "administrator" => Role::Administrator,
        other => return Err(Problem::refused(format!("role: {other:?} is none of viewer, operator, administrator"))),
    };
    if request.expires_in_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(Problem::refused(format!("expires_in_days must be 1 to {DAYS_MAX}")));
    }
    let now = state.now();
    let hours = request.expires_in_days.map(|days| i64::from(days) * 24);
    let expires_at = hours.map(|hours| now.saturating_add(hours.hours()).unwrap_or(Timestamp::MAX));
    let token = mint(Purpose::Api)?;
    let new = NewToken { name: name.to_owned(), hash: hash(&token), role, agent_group: None, once: false, expires_at };
    let id = state.store().add_token(&new, by, now).await?;
    Ok(TokenBody { id: id.get(), name: name.to_owned(), role: role_name(role).to_owned(), token, expires_at })
}

/// Revokes a token: it is worth nothing from then on, and its sessions end.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "deleteToken",
    params(("id" = i64, Path)),
    responses((status = 204, description = "revoked"), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn delete(State(state): State<Shared>, Who(who): Who, At(id): At<i64>) -> Answer<StatusCode> {
    state.store().revoke_token(Id::new(id), &who.name, state.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
