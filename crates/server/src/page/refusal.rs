//! The page that says why something cannot be done.

use crate::auth::guard::Visitor;
use crate::page::frame::{Frame, Section, render};
use crate::problem::Problem;
use crate::state::Shared;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// An error page.
pub(crate) struct Refusal(Box<Response>);

impl Refusal {
    fn new(status: StatusCode, page: Response) -> Self {
        Self(Box::new((status, page).into_response()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    frame: Frame,
    problem: &'a Problem,
}

#[derive(Template)]
#[template(path = "refusal_plain.html")]
struct PlainPage<'a> {
    title: &'a str,
    problem: &'a Problem,
}

/// With the frame of the visitor around it.
pub(crate) fn page(state: &Shared, visitor: &Visitor, problem: &Problem) -> Refusal {
    let frame = Frame::new(state, visitor, problem.title, Section::None);
    Refusal::new(problem.status, render(&RefusalPage { frame, problem }))
}

/// For who is not logged in.
pub(crate) fn plain(problem: &Problem) -> Refusal {
    Refusal::new(problem.status, render(&PlainPage { title: problem.title, problem }))
}

/// Result of a page.
pub(crate) type PageResult = Result<Response, Refusal>;

/// Turns problems into pages: `.or_refuse(&state, &visitor)?`.
pub(crate) trait OrRefuse<T> {
    /// The value, or the page that says why not.
    ///
    /// # Errors
    /// The page.
    fn or_refuse(self, state: &Shared, visitor: &Visitor) -> Result<T, Refusal>;
}

impl<T, E: Into<Problem>> OrRefuse<T> for Result<T, E> {
    fn or_refuse(self, state: &Shared, visitor: &Visitor) -> Result<T, Refusal> {
        self.map_err(|error| page(state, visitor, &error.into()))
    }
}
