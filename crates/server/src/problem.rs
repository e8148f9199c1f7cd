//! What a request is answered with when it cannot be done: a problem document (RFC 9457).
//!
//! Not here: pages; they show the same text in their own frame. Invariant: faults of the program are logged in full
//! and told to the client without their inside.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use report::api::FieldProblem;

/// Why a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Which sort of problem.
    pub(crate) title: &'static str,
    /// For people.
    pub(crate) detail: String,
    /// Fields of the request that are wrong.
    pub(crate) errors: Vec<FieldProblem>,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u64>,
}

/// Result of a handler.
pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    /// A problem with its own title.
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        let detail = "send `Authorization: Bearer TOKEN` with a token that is good";
        Self::new(StatusCode::UNAUTHORIZED, "Who are you?", detail)
    }

    /// 403.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not allowed", detail)
    }

    /// 404.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// 400: the request cannot be read.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "The request cannot be read", detail)
    }

    /// 422: the request can be read, and breaks a rule.
    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "The request breaks a rule", detail)
    }

    /// 422, naming the fields.
    pub(crate) fn fields(errors: Vec<FieldProblem>) -> Self {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Some fields are not valid", detail) }
    }

    /// 409.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "It was changed meanwhile, or exists already", detail)
    }

    /// 413.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail)
    }

    /// 429, with the seconds to wait.
    pub(crate) fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many tries", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// 503.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Try again later", detail);
        Self { retry_after: Some(2), ..problem }
    }

    /// 500: logged in full, told in one sentence.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!("a request failed: {error}");
        let detail = "the server could not do this; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "A fault of the server", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = report::api::Problem::new(self.status.as_u16(), self.title, self.detail);
        document.errors = self.errors;
        let body = serde_json::to_vec(&document).expect("strings and a number can be written");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(report::api::Problem::CONTENT_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pratique\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::ErrorKind;
        match error.kind {
            ErrorKind::Transient => Self::unavailable(error.to_string()),
            ErrorKind::NotFound => Self::not_found(error.to_string()),
            ErrorKind::Conflict | ErrorKind::StaleLease => Self::conflict(error.to_string()),
            ErrorKind::Malformed => Self::refused(error.to_string()),
            ErrorKind::LimitExceeded => Self::too_large(error.to_string()),
            ErrorKind::Internal => Self::internal(error),
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        use engine::ErrorKind;
        match error.kind {
            ErrorKind::Transient => Self::unavailable(error.to_string()),
            ErrorKind::NotFound => Self::not_found(error.to_string()),
            ErrorKind::Conflict | ErrorKind::StaleLease => Self::conflict(error.to_string()),
            ErrorKind::Malformed | ErrorKind::Usage | ErrorKind::Unsupported | ErrorKind::Denied => {
                Self::refused(error.to_string())
            }
            ErrorKind::LimitExceeded => Self::too_large(error.to_string()),
            ErrorKind::Internal => Self::internal(error),
        }
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Self {
        Self::internal(error)
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error)
    }
}
