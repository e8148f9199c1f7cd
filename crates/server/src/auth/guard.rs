//! The door of every route: who is asking, and is the role enough?
//!
//! The API knows bearer tokens only, so a foreign page can make a browser do nothing there; the page knows its cookie
//! only. A role that is too low is 403 in both.

use super::session::{Cookie, Session};
use super::{Principal, bearer, principal, role_name};
use crate::page::refusal;
use crate::problem::Problem;
use crate::state::Shared;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use std::convert::Infallible;
use store::types::Role;

/// Lets a request of the API in.
pub(crate) async fn api(State((state, needed)): State<(Shared, Role)>, request: Request, next: Next) -> Response {
    match admit(&state, needed, request.headers()).await {
        Ok(principal) => proceed(principal, None, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(state: &Shared, needed: Role, headers: &HeaderMap) -> Result<Principal, Problem> {
    let hash = bearer(headers).ok_or_else(Problem::unauthorized)?;
    let principal = principal(state, &hash, state.now()).await?.ok_or_else(Problem::unauthorized)?;
    if principal.may(needed) { Ok(principal) } else { Err(too_low(&principal, needed)) }
}

fn too_low(principal: &Principal, needed: Role) -> Problem {
    let (have, need) = (role_name(principal.role), role_name(needed));
    Problem::forbidden(format!("this needs the role {need}; the token {:?} has the role {have}", principal.name))
}

/// Lets a request of the page in; who has no session is sent to the login.
pub(crate) async fn page(State((state, needed)): State<(Shared, Role)>, request: Request, next: Next) -> Response {
    if is_foreign(request.method(), request.headers()) {
        return refusal::plain(&Problem::forbidden("this request was started by another site")).into_response();
    }
    let session = match current_session(&state, request.headers()).await {
        Ok(Some(session)) => session,
        Ok(None) => return to_login(&request),
        Err(problem) => return refusal::plain(&problem).into_response(),
    };
    let (session, principal) = session;
    if !principal.may(needed) {
        let problem = too_low(&principal, needed);
        return refusal::page(&state, &Visitor { principal, session }, &problem).into_response();
    }
    proceed(principal, Some(session), request, next).await
}

/// Browsers say where a request was started (Fetch Metadata). Changes may only start on our own pages.
pub(crate) fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    method != Method::GET && method != Method::HEAD && site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// The session of a request, with whoever opened it.
pub(crate) async fn current_session(
    state: &Shared,
    headers: &HeaderMap,
) -> Result<Option<(Session, Principal)>, Problem> {
    let now = state.now();
    let Some(secret) = Cookie::Session.read(headers, state.tls) else { return Ok(None) };
    let Some(session) = state.sessions.find(&secret, now) else { return Ok(None) };
    match principal(state, &session.token, now).await? {
        Some(principal) => Ok(Some((session, principal))),
        None => {
            state.sessions.close(&session.id);
            Ok(None)
        }
    }
}

fn to_login(request: &Request) -> Response {
    if request.method() != Method::GET {
        return refusal::plain(&Problem::new(StatusCode::UNAUTHORIZED, "Your session has ended", "log in again"))
            .into_response();
    }
    if request.headers().contains_key("x-fragment") || request.uri().path() == "/live" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if wanted == "/" {
        return Redirect::to("/login").into_response();
    }
    let next = percent_encoding::utf8_percent_encode(wanted, percent_encoding::NON_ALPHANUMERIC);
    Redirect::to(&format!("/login?next={next}")).into_response()
}

async fn proceed(principal: Principal, session: Option<Session>, mut request: Request, next: Next) -> Response {
    let extensions = request.extensions_mut();
    extensions.insert(principal);
    if let Some(session) = session {
        extensions.insert(session);
    }
    next.run(request).await
}

/// Whoever passed the door.
pub(crate) struct Who(pub(crate) Principal);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let principal = parts.extensions.get::<Principal>().cloned();
        Ok(Self(principal.expect("every route that asks who is there stands behind the door")))
    }
}

/// Whoever looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who.
    pub(crate) principal: Principal,
    /// In which session.
    pub(crate) session: Session,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Who(principal) = Who::from_request_parts(parts, state).await?;
        let session = parts.extensions.get::<Session>().cloned();
        Ok(Self { principal, session: session.expect("every page stands behind the door of the page") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_start_on_our_own_pages_only() {
        let foreign = |method: Method, site: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            is_foreign(&method, &headers)
        };
        assert!(foreign(Method::POST, Some("cross-site")));
        assert!(foreign(Method::POST, Some("same-site")));
        assert!(!foreign(Method::POST, Some("same-origin")));
        assert!(!foreign(Method::POST, None), "not every client is a browser; the form's token decides");
        assert!(!foreign(Method::GET, Some("cross-site")));
    }
}
