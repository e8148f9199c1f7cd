//! How forms are read.
//!
//! Invariant: a form that changes something carries its session's token; without it nothing is read of the form.

use crate::auth::guard::Visitor;
use crate::auth::secret::same;
use crate::page::refusal::{self, Refusal};
use crate::problem::Problem;
use crate::respond::from_bytes_rejection;
use crate::state::Shared;
use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts as _, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A form of a visitor, with the session's token verified.
pub(crate) struct Filled<T> {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    /// What is in it.
    pub(crate) form: T,
}

#[derive(Deserialize)]
struct Guarded {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Filled<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let Ok(visitor) = Visitor::from_request_parts(&mut parts, state).await;
        let refuse = |problem: Problem| refusal::page(state, &visitor, &problem);
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|rejection| refuse(from_bytes_rejection(&rejection)))?;
        let guarded: Guarded = read(&parts, &bytes).await.map_err(refuse)?;
        if !same(&guarded.csrf, &visitor.session.csrf) {
            return Err(refuse(stale_form()));
        }
        let form = read(&parts, &bytes).await.map_err(refuse)?;
        Ok(Self { visitor, form })
    }
}

async fn read<T: DeserializeOwned>(parts: &Parts, bytes: &Bytes) -> Result<T, Problem> {
    let request = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    match Form::<T>::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(rejection) => Err(Problem::bad_request(format!("the form cannot be read: {}", rejection.body_text()))),
    }
}

/// What a form without the right token is told.
pub(crate) fn stale_form() -> Problem {
    Problem::forbidden("this form is not of your session any more: go back, reload the page, and send it again")
}

/// A form that only carries its token.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

/// The lines of a text area, trimmed, without empty ones.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A text field: `None` when it is empty.
pub(crate) fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
