//! API tokens: made here, shown once.

use super::form::{Filled, filled};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::PageResult;
use super::show::Show;
use crate::api::tokens::{TokenBody, TokenRequest, make};
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use model::Id;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    show: Show,
    made: Option<TokenBody>,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> Response {
    page(&state, &visitor, None)
}

fn page(state: &Shared, visitor: &Visitor, made: Option<TokenBody>) -> Response {
    let frame = Frame::new(state, visitor, "Tokens", Section::Tokens);
    render(&TokensPage { frame, show: Show::at(state.now()), made })
}

/// A token to make.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenForm {
    name: String,
    role: String,
    days: String,
}

/// Makes a token and shows it this once.
pub(crate) async fn add(State(state): State<Shared>, filled: Filled<TokenForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    Ok(match try_add(&state, &visitor, form).await {
        Ok(made) => page(&state, &visitor, Some(made)),
        Err(problem) => failed(&state, &visitor, "/tokens", problem.detail),
    })
}

async fn try_add(state: &Shared, visitor: &Visitor, form: TokenForm) -> Answer<TokenBody> {
    let days = filled(&form.days).map(|text| text.parse::<u32>()).transpose();
    let expires_in_days = days.map_err(|_| Problem::refused("days must be a whole number"))?;
    let request = TokenRequest { name: form.name, role: form.role, expires_in_days };
    make(state, &request, &visitor.principal.name).await
}

/// A token to revoke.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RevokeForm {
    id: String,
}

/// Revokes a token by its number.
pub(crate) async fn revoke(State(state): State<Shared>, filled: Filled<RevokeForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let outcome = match form.id.trim().parse() {
        Ok(id) => {
            state.store().revoke_token(Id::new(id), &visitor.principal.name, state.now()).await.map_err(Problem::from)
        }
        Err(_) => Err(Problem::refused("give the number of the token, as the audit log shows it")),
    };
    Ok(match outcome {
        Ok(()) => done(&state, &visitor, "/tokens", "The token is worth nothing any more."),
        Err(problem) => failed(&state, &visitor, "/tokens", problem.detail),
    })
}
