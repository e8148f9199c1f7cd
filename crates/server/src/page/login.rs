//! In and out: a token becomes a session.
//!
//! Invariant: every failure reads the same, whatever was wrong; failures of one address are counted.

use super::form::{Filled, Nothing, stale_form};
use super::frame::render;
use super::refusal::{PageResult, Refusal, plain};
use crate::auth::guard::is_foreign;
use crate::auth::principal;
use crate::auth::secret::{Purpose, hash, mint, same};
use crate::auth::session::Cookie;
use crate::auth::setup::entry;
use crate::limits::SESSION_HOURS;
use crate::problem::Problem;
use crate::respond::Params;
use crate::state::Shared;
use askama::Template;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    title: &'a str,
    csrf: &'a str,
    next: &'a str,
    wrong: Option<&'a str>,
}

/// What every failure reads like.
const WRONG: &str = "This token is not known, or not good any more.";

/// How long a login form may stay open, in seconds.
const FORM_SECONDS: i64 = 3600;

/// `?next=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

/// The form.
pub(crate) async fn show(State(state): State<Shared>, Params(query): Params<Next>) -> PageResult {
    form(&state, &query.next, None, StatusCode::OK)
}

fn form(state: &Shared, next: &str, wrong: Option<&str>, status: StatusCode) -> PageResult {
    let csrf = mint(Purpose::Page).map_err(|error| plain(&Problem::from(error)))?;
    let page = render(&LoginPage { title: "Log in", csrf: &csrf, next: local(next), wrong });
    let mut response = (status, page).into_response();
    response.headers_mut().append(header::SET_COOKIE, Cookie::LoginForm.set(&csrf, FORM_SECONDS, state.tls));
    Ok(response)
}

/// Only paths of this server are gone to after a login.
fn local(next: &str) -> &str {
    let plain = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if plain { next } else { "/" }
}

/// The form, filled in.
#[derive(Deserialize)]
pub(crate) struct Entry {
    #[serde(default)]
    csrf: String,
    token: String,
    #[serde(default)]
    next: String,
}

/// Opens a session.
pub(crate) async fn enter(
    State(state): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> PageResult {
    guarded(&state, &headers, &entry.csrf)?;
    let now = state.now();
    if let Err(seconds) = state.logins.check(peer.ip(), now) {
        let detail = format!("Too many failed tries. Try again in {}.", super::show::span(seconds.max(1)));
        return form(&state, &entry.next, Some(&detail), StatusCode::TOO_MANY_REQUESTS);
    }
    let token = hash(entry.token.trim());
    let found = principal(&state, &token, now).await.map_err(|problem| plain(&problem))?;
    let Some(who) = found else {
        state.logins.failed(peer.ip(), now);
        note(&state, "unknown", "login.failed", peer.ip()).await?;
        return form(&state, &entry.next, Some(WRONG), StatusCode::UNAUTHORIZED);
    };
    state.logins.succeeded(peer.ip());
    note(&state, &who.name, "login", peer.ip()).await?;
    let secret = state.sessions.open(token, now).map_err(|error| plain(&Problem::from(error)))?;
    let mut response = Redirect::to(local(&entry.next)).into_response();
    add_session(&state, &mut response, &secret);
    Ok(response)
}

/// Gives the browser its session.
pub(crate) fn add_session(state: &Shared, response: &mut Response, secret: &str) {
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, Cookie::Session.set(secret, SESSION_HOURS * 3600, state.tls));
    headers.append(header::SET_COOKIE, Cookie::LoginForm.set("", 0, state.tls));
}

/// A form from before the session: its token must be that of its cookie.
pub(crate) fn guarded(state: &Shared, headers: &HeaderMap, csrf: &str) -> Result<(), Refusal> {
    let cookie = Cookie::LoginForm.read(headers, state.tls);
    let fits = cookie.is_some_and(|cookie| !csrf.is_empty() && same(&cookie, csrf));
    if fits && !is_foreign(&Method::POST, headers) { Ok(()) } else { Err(plain(&stale_form())) }
}

/// A row of the audit log about a login.
pub(crate) async fn note(state: &Shared, by: &str, what: &str, from: IpAddr) -> Result<(), Refusal> {
    let row = entry(by, what, format!("from {from}"), state.now());
    state.store().audit(&row).await.map_err(|error| plain(&Problem::from(error)))
}

/// Ends the session.
pub(crate) async fn leave(State(state): State<Shared>, filled: Filled<Nothing>) -> Response {
    state.sessions.close(&filled.visitor.session.id);
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().append(header::SET_COOKIE, Cookie::Session.set("", 0, state.tls));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_lead_to_our_own_pages_only() {
        let check = |next: &str, expect: &str| assert_eq!(local(next), expect);
        check("/images?state=failed", "/images?state=failed");
        check("https://evil.example/", "/");
        check("//evil.example/", "/");
        check("/\\evil.example/", "/");
        check("", "/");
    }
}
