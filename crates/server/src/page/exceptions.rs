//! Exceptions: accepted risk, with a reason and an end.

use super::form::{Filled, Nothing, filled};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::Show;
use crate::api::intents::{except, remove_exception};
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::respond::{At, Params};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use jiff::ToSpan as _;
use model::exception::Exception;
use report::api::ExceptionRequest;
use serde::Deserialize;

/// What the form starts with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Start {
    rule: String,
    repository: String,
    package: String,
}

#[derive(Template)]
#[template(path = "exceptions.html")]
struct ExceptionsPage {
    frame: Frame,
    show: Show,
    rows: Vec<Exception>,
    start: Start,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor, Params(start): Params<Start>) -> PageResult {
    let rows = state.store().exceptions().await.or_refuse(&state, &visitor)?;
    let frame = Frame::new(&state, &visitor, "Exceptions", Section::Policies);
    Ok(render(&ExceptionsPage { frame, show: Show::at(state.now()), rows, start }))
}

/// A new exception.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExceptionForm {
    rule: String,
    repository: String,
    package: String,
    reason: String,
    days: String,
}

/// Adds one.
pub(crate) async fn add(State(state): State<Shared>, filled: Filled<ExceptionForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    Ok(match try_add(&state, &visitor, &form).await {
        Ok(exception) => {
            done(&state, &visitor, "/exceptions", format!("The exception for {} holds from now on.", exception.rule))
        }
        Err(problem) => failed(&state, &visitor, "/exceptions", problem.detail),
    })
}

async fn try_add(state: &Shared, visitor: &Visitor, form: &ExceptionForm) -> Answer<Exception> {
    let now = state.now();
    let expires_at = match filled(&form.days) {
        None => None,
        Some(text) => {
            let days: u32 = text.parse().map_err(|_| Problem::refused(format!("{text:?} is not a number of days")))?;
            if !(1..=3650).contains(&days) {
                return Err(Problem::refused("an exception ends after 1 to 3650 days, or never"));
            }
            Some(now.saturating_add((i64::from(days) * 24).hours()).unwrap_or(model::Timestamp::MAX))
        }
    };
    let repository = filled(&form.repository).unwrap_or_else(|| "*".to_owned());
    let rule = form.rule.trim().to_owned();
    let request =
        ExceptionRequest { reason: form.reason.clone(), repository, rule, package: filled(&form.package), expires_at };
    let exception = request.into_exception(&visitor.principal.name, now).map_err(Problem::fields)?;
    except(state, &exception, &visitor.principal.name).await
}

/// Removes one.
pub(crate) async fn delete(State(state): State<Shared>, At(id): At<i64>, filled: Filled<Nothing>) -> PageResult {
    let visitor = filled.visitor;
    remove_exception(&state, id, &visitor.principal.name).await.or_refuse(&state, &visitor)?;
    Ok(done(&state, &visitor, "/exceptions", "The exception was removed; its issues come back."))
}
