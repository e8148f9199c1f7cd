//! The one-time set-up link: it makes the first administrator's token, shows it once, and logs in.
//!
//! Looking at the link changes nothing: chat programs that fetch previews do not spend it.

use super::frame::render;
use super::login::{add_session, guarded, note};
use super::refusal::{PageResult, plain};
use crate::auth::secret::{Purpose, hash, mint};
use crate::auth::session::Cookie;
use crate::auth::setup::add_administrator;
use crate::problem::Problem;
use crate::state::Shared;
use askama::Template;
use axum::extract::{ConnectInfo, Form, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage<'a> {
    title: &'a str,
    csrf: &'a str,
    token: Option<&'a str>,
}

fn spent() -> Problem {
    Problem::not_found("this set-up link does not exist, or was used: log in with the administrator's token")
}

/// The question.
pub(crate) async fn show(
    State(state): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(secret): Path<String>,
) -> PageResult {
    admit(&state, peer, &secret)?;
    let csrf = mint(Purpose::Page).map_err(|error| plain(&Problem::from(error)))?;
    let mut response: Response = render(&SetupPage { title: "Set up", csrf: &csrf, token: None });
    response.headers_mut().append(header::SET_COOKIE, Cookie::LoginForm.set(&csrf, 3600, state.tls));
    Ok(response)
}

fn admit(state: &Shared, peer: SocketAddr, secret: &str) -> Result<(), super::refusal::Refusal> {
    let now = state.now();
    if let Err(seconds) = state.logins.check(peer.ip(), now) {
        return Err(plain(&Problem::too_many("too many failed tries from this address", seconds)));
    }
    if state.setup.fits(secret) {
        return Ok(());
    }
    state.logins.failed(peer.ip(), now);
    Err(plain(&spent()))
}

/// The form only carries its token.
#[derive(Deserialize)]
pub(crate) struct Accepted {
    #[serde(default)]
    csrf: String,
}

/// Makes the administrator.
pub(crate) async fn accept(
    State(state): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    Form(accepted): Form<Accepted>,
) -> PageResult {
    guarded(&state, &headers, &accepted.csrf)?;
    admit(&state, peer, &secret)?;
    let token = mint(Purpose::Api).map_err(|error| plain(&Problem::from(error)))?;
    if !state.setup.spend(&secret) {
        return Err(plain(&spent()));
    }
    let now = state.now();
    add_administrator(state.store(), "administrator", &token, now)
        .await
        .map_err(|error| plain(&Problem::internal(error)))?;
    note(&state, "administrator", "setup", peer.ip()).await?;
    let session = state.sessions.open(hash(&token), now).map_err(|error| plain(&Problem::from(error)))?;
    let mut response: Response = render(&SetupPage { title: "Set up", csrf: "", token: Some(&token) });
    add_session(&state, &mut response, &session);
    Ok(response)
}
