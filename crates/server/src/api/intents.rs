//! `/policies` and `/exceptions`: what the organisation tolerates.

use super::paging::{Paging, slice};
use crate::auth::guard::Who;
use crate::problem::{Answer, Problem};
use crate::respond::{At, Input, Params, created};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::Id;
use model::exception::Exception;
use model::policy::PolicySet;
use report::api::{ExceptionBody, ExceptionRequest, FieldProblem, Page, PolicySetBody};

/// The policies in force; the default set before anybody stored any (revision 0).
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", operation_id = "getPolicies",
    responses((status = 200, body = PolicySetBody)))]
pub(crate) async fn policies(State(state): State<Shared>) -> Answer<Json<PolicySetBody>> {
    Ok(Json(in_force(&state).await?.into()))
}

/// The policies in force.
///
/// # Errors
/// When the store fails.
pub(crate) async fn in_force(state: &Shared) -> Answer<PolicySet> {
    Ok(state.store().policies().await?.unwrap_or_else(policy::default_policies))
}

/// Replaces the policies. `revision` is the one that was read: when another edit came first, nothing is stored.
#[utoipa::path(put, path = "/api/v1/policies", tag = "policies", operation_id = "putPolicies",
    request_body = PolicySetBody,
    responses((status = 200, body = PolicySetBody), (status = 409, description = "another edit came first", body = report::api::Problem),
        (status = 422, description = "a policy breaks a rule", body = report::api::Problem)))]
pub(crate) async fn put_policies(
    State(state): State<Shared>,
    Who(who): Who,
    Input(body): Input<PolicySetBody>,
) -> Answer<Json<PolicySetBody>> {
    Ok(Json(replace(&state, body.into(), &who.name).await?.into()))
}

/// Checks and stores policies; everything is judged again soon.
///
/// # Errors
/// 422 naming each rule that is broken, 409 when another edit came first.
pub(crate) async fn replace(state: &Shared, policies: PolicySet, by: &str) -> Answer<PolicySet> {
    let problems = policy::check_policies(&policies);
    if !problems.is_empty() {
        let field = |p: policy::PolicyProblem| FieldProblem {
            field: format!("policies[{}].{}", p.index, p.key),
            detail: p.what,
        };
        return Err(Problem::fields(problems.into_iter().map(field).collect()));
    }
    let stored = state.store().put_policies(&policies, by, state.now()).await?;
    state.engine.intent_changed();
    Ok(stored)
}

/// Exceptions, oldest first; expired ones too.
#[utoipa::path(get, path = "/api/v1/exceptions", tag = "policies", operation_id = "listExceptions", params(Paging),
    responses((status = 200, body = Page<ExceptionBody>)))]
pub(crate) async fn exceptions(
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<ExceptionBody>>> {
    let asked = paging.asked()?;
    let rows = state.store().exceptions().await?;
    Ok(Json(slice(rows.into_iter().map(ExceptionBody::from).collect(), &asked)?))
}

/// Adds an exception: the finding stays visible, its issues are resolved until it ends.
#[utoipa::path(post, path = "/api/v1/exceptions", tag = "policies", operation_id = "addException",
    request_body = ExceptionRequest,
    responses((status = 201, body = ExceptionBody), (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn add_exception(
    State(state): State<Shared>,
    Who(who): Who,
    Input(request): Input<ExceptionRequest>,
) -> Answer<Response> {
    let exception = request.into_exception(&who.name, state.now()).map_err(Problem::fields)?;
    let stored = except(&state, &exception, &who.name).await?;
    Ok(created(&format!("/api/v1/exceptions/{}", stored.id), ExceptionBody::from(stored)))
}

/// Stores an exception; everything is judged again soon.
///
/// # Errors
/// When the store fails.
pub(crate) async fn except(state: &Shared, exception: &Exception, by: &str) -> Answer<Exception> {
    let stored = state.store().add_exception(exception, by, state.now()).await?;
    state.engine.intent_changed();
    Ok(stored)
}

/// Removes an exception: its issues come back.
#[utoipa::path(delete, path = "/api/v1/exceptions/{id}", tag = "policies", operation_id = "deleteException",
    params(("id" = i64, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn delete_exception(
    State(state): State<Shared>,
    Who(who): Who,
    At(id): At<i64>,
) -> Answer<StatusCode> {
    remove_exception(&state, id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an exception; everything is judged again soon.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn remove_exception(state: &Shared, id: i64, by: &str) -> Answer<()> {
    state.store().delete_exception(Id::new(id), by, state.now()).await?;
    state.engine.intent_changed();
    Ok(())
}
