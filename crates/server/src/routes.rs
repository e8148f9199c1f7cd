//! The table of routes: method, path, role, handler. It makes the router, and the list of what it made is what the
//! description of the API is compared with.
//!
//! Invariant: a route of the API, or a page, cannot be added without saying which role it needs.

use crate::api::{
    agents, events, images, intelligence, intents, issues, openapi, operations, registries, rules, sboms, tokens,
};
use crate::auth::guard;
use crate::limits::{
    AGENT_TIMEOUT, BODY_BYTES_MAX, IMPORT_TIMEOUT, POLICY_BYTES_MAX, PROBE_TIMEOUT, REQUEST_TIMEOUT, RULES_BYTES_MAX,
    SBOM_BYTES_MAX,
};
use crate::page;
use crate::problem::Problem;
use crate::respond::{dress, limit_time};
use crate::state::Shared;
use crate::{hub, probes};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use std::time::Duration;
use store::types::Role;
use store::types::Role::{Administrator, Operator, Viewer};

/// A route: method and path.
pub type Route = (&'static str, &'static str);

/// Which door a route stands behind.
#[derive(Debug, Clone, Copy)]
enum Door {
    /// None: it checks for itself, or there is nothing to check.
    Open,
    /// A bearer token with at least this role.
    Api(Role),
    /// A session with at least this role.
    Page(Role),
}

/// How much a request may bring, and how long it may take.
#[derive(Debug, Clone, Copy)]
struct Budget {
    body_bytes_max: usize,
    time_max: Option<Duration>,
}

const ORDINARY: Budget = Budget { body_bytes_max: BODY_BYTES_MAX, time_max: Some(REQUEST_TIMEOUT) };
/// Talks to a registry.
const PROBE: Budget = Budget { body_bytes_max: BODY_BYTES_MAX, time_max: Some(PROBE_TIMEOUT) };
/// Brings a policy document.
const POLICY: Budget = Budget { body_bytes_max: POLICY_BYTES_MAX, time_max: Some(REQUEST_TIMEOUT) };
/// Brings the installation's own rules, which are compiled before they are stored.
const RULES: Budget = Budget { body_bytes_max: RULES_BYTES_MAX, time_max: Some(PROBE_TIMEOUT) };

/// Brings a bill of materials.
const SBOM: Budget = Budget { body_bytes_max: SBOM_BYTES_MAX, time_max: Some(PROBE_TIMEOUT) };
/// Uploads intelligence: counts its bytes itself.
const IMPORT: Budget = Budget { body_bytes_max: 0, time_max: Some(IMPORT_TIMEOUT) };
/// Downloads intelligence.
const DOWNLOAD: Budget = Budget { body_bytes_max: BODY_BYTES_MAX, time_max: Some(IMPORT_TIMEOUT) };
/// Goes on until somebody leaves.
const STREAM: Budget = Budget { body_bytes_max: 0, time_max: None };
/// An agent's call.
const AGENT: Budget = Budget { body_bytes_max: report::agent::BODY_BYTES_MAX, time_max: Some(AGENT_TIMEOUT) };

/// The routes that a description of the API must hold: all but the pages.
pub fn documented_routes() -> Vec<Route> {
    let mut table = Table { router: None, listed: Vec::new() };
    api(&mut table);
    table.listed
}

/// The whole server.
pub(crate) fn router(state: &Shared) -> Router {
    let mut table = Table { router: Some((Router::new(), state.clone())), listed: Vec::new() };
    api(&mut table);
    pages(&mut table);
    let (router, _) = table.router.expect("it was put there above");
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(dress))
        .with_state(state.clone())
}

struct Table {
    /// `None` when only the list is wanted.
    router: Option<(Router<Shared>, Shared)>,
    listed: Vec<Route>,
}

impl Table {
    fn add<H, T>(&mut self, route: Route, door: Door, budget: Budget, handler: H)
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.listed.push(route);
        let Some((router, state)) = self.router.take() else { return };
        let (method, path) = route;
        let mut one = on(filter(method), handler);
        one = match budget.body_bytes_max {
            0 => one.layer(DefaultBodyLimit::disable()),
            bytes => one.layer(DefaultBodyLimit::max(bytes)),
        };
        if let Some(time) = budget.time_max {
            one = one.layer(from_fn(move |request, next: Next| limit_time(time, request, next)));
        }
        one = match door {
            Door::Open => one,
            Door::Api(role) => one.layer(from_fn_with_state((state.clone(), role), guard::api)),
            Door::Page(role) => one.layer(from_fn_with_state((state.clone(), role), guard::page)),
        };
        self.router = Some((router.route(path, one), state));
    }
}

fn filter(method: &str) -> MethodFilter {
    match method {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

fn api(table: &mut Table) {
    let look = Door::Api(Viewer);
    let work = Door::Api(Operator);
    let rule = Door::Api(Administrator);
    table.add(("GET", "/api/v1/registries"), look, ORDINARY, registries::list);
    table.add(("POST", "/api/v1/registries"), rule, ORDINARY, registries::add);
    table.add(("GET", "/api/v1/registries/{id}"), look, ORDINARY, registries::get);
    table.add(("PATCH", "/api/v1/registries/{id}"), rule, ORDINARY, registries::edit);
    table.add(("DELETE", "/api/v1/registries/{id}"), rule, ORDINARY, registries::delete);
    table.add(("POST", "/api/v1/registries/{id}/test"), work, PROBE, registries::test);
    table.add(("POST", "/api/v1/registries/{id}/preview"), work, PROBE, registries::preview);
    table.add(("POST", "/api/v1/registries/{id}/discover"), work, ORDINARY, registries::discover);
    table.add(("POST", "/api/v1/registries/{id}/scan"), work, ORDINARY, registries::scan);
    table.add(("GET", "/api/v1/registries/{id}/repositories"), look, ORDINARY, registries::repositories);
    table.add(("GET", "/api/v1/registries/{id}/tags"), look, ORDINARY, registries::tags);
    table.add(("GET", "/api/v1/images"), look, ORDINARY, images::list);
    table.add(("GET", "/api/v1/images/{digest}"), look, ORDINARY, images::get);
    table.add(("GET", "/api/v1/images/{digest}/packages"), look, ORDINARY, images::packages);
    table.add(("GET", "/api/v1/images/{digest}/findings"), look, ORDINARY, images::findings);
    table.add(("GET", "/api/v1/images/{digest}/gaps"), look, ORDINARY, images::gaps);
    table.add(("GET", "/api/v1/images/{digest}/compliance"), look, ORDINARY, images::compliance);
    table.add(("GET", "/api/v1/images/{digest}/sbom"), look, ORDINARY, sboms::get);
    table.add(("POST", "/api/v1/sboms"), work, SBOM, sboms::add);
    table.add(("GET", "/api/v1/gaps"), look, PROBE, images::all_gaps);
    table.add(("GET", "/api/v1/compliance"), look, PROBE, images::scores);
    table.add(("GET", "/api/v1/issues"), look, ORDINARY, issues::list);
    table.add(("GET", "/api/v1/issues/{id}"), look, ORDINARY, issues::get);
    table.add(("PATCH", "/api/v1/issues/{id}"), work, ORDINARY, issues::edit);
    table.add(("GET", "/api/v1/policies"), look, ORDINARY, intents::policies);
    table.add(("PUT", "/api/v1/policies"), rule, POLICY, intents::put_policies);
    table.add(("GET", "/api/v1/rules"), look, ORDINARY, rules::list);
    table.add(("GET", "/api/v1/rules/extraction"), look, ORDINARY, rules::extraction);
    table.add(("PUT", "/api/v1/rules/extraction"), rule, RULES, rules::put_extraction);
    table.add(("GET", "/api/v1/rules/tuning"), look, ORDINARY, rules::tuning);
    table.add(("PUT", "/api/v1/rules/tuning"), rule, POLICY, rules::put_tuning);
    table.add(("GET", "/api/v1/exceptions"), look, ORDINARY, intents::exceptions);
    table.add(("POST", "/api/v1/exceptions"), rule, ORDINARY, intents::add_exception);
    table.add(("DELETE", "/api/v1/exceptions/{id}"), rule, ORDINARY, intents::delete_exception);
    table.add(("GET", "/api/v1/intelligence"), look, ORDINARY, intelligence::get);
    table.add(("POST", "/api/v1/intelligence/import"), rule, IMPORT, intelligence::import);
    table.add(("POST", "/api/v1/intelligence/sync"), rule, DOWNLOAD, intelligence::sync);
    table.add(("GET", "/api/v1/agents"), look, ORDINARY, agents::list);
    table.add(("GET", "/api/v1/agents/tokens"), rule, ORDINARY, agents::list_tokens);
    table.add(("POST", "/api/v1/agents/tokens"), rule, ORDINARY, agents::add_token);
    table.add(("DELETE", "/api/v1/agents/{id}"), rule, ORDINARY, agents::delete);
    table.add(("POST", "/api/v1/tokens"), rule, ORDINARY, tokens::add);
    table.add(("DELETE", "/api/v1/tokens/{id}"), rule, ORDINARY, tokens::delete);
    table.add(("GET", "/api/v1/jobs"), look, ORDINARY, operations::jobs);
    table.add(("GET", "/api/v1/evaluations"), look, ORDINARY, operations::evaluations);
    table.add(("POST", "/api/v1/evaluations"), work, ORDINARY, operations::evaluate);
    table.add(("GET", "/api/v1/audit"), rule, ORDINARY, operations::audit);
    table.add(("GET", "/api/v1/events"), look, STREAM, events::stream);
    table.add(("GET", "/api/v1/openapi.json"), look, ORDINARY, openapi::get);
    table.add(("POST", "/agent/v1/join"), Door::Open, ORDINARY, hub::join);
    table.add(("POST", "/agent/v1/call"), Door::Open, AGENT, hub::call);
    table.add(("GET", "/healthz"), Door::Open, ORDINARY, probes::alive);
    table.add(("GET", "/readyz"), Door::Open, ORDINARY, probes::ready);
    table.add(("GET", "/metrics"), look, ORDINARY, probes::metrics);
}

fn pages(table: &mut Table) {
    let look = Door::Page(Viewer);
    let work = Door::Page(Operator);
    let rule = Door::Page(Administrator);
    table.add(("GET", "/assets/{name}"), Door::Open, ORDINARY, page::assets::get);
    table.add(("GET", "/login"), Door::Open, ORDINARY, page::login::show);
    table.add(("POST", "/login"), Door::Open, ORDINARY, page::login::enter);
    table.add(("POST", "/logout"), look, ORDINARY, page::login::leave);
    table.add(("GET", "/setup/{secret}"), Door::Open, ORDINARY, page::setup::show);
    table.add(("POST", "/setup/{secret}"), Door::Open, ORDINARY, page::setup::accept);
    table.add(("GET", "/"), look, PROBE, page::overview::show);
    table.add(("GET", "/live"), look, STREAM, events::stream);
    table.add(("GET", "/registries"), look, ORDINARY, page::registries::list);
    table.add(("POST", "/registries"), rule, PROBE, page::registry_form::add);
    table.add(("GET", "/registries/new"), rule, ORDINARY, page::registry_form::empty);
    table.add(("GET", "/registries/{id}"), look, ORDINARY, page::tree::show);
    table.add(("GET", "/registries/{id}/progress"), look, ORDINARY, page::tree::progress);
    table.add(("GET", "/registries/{id}/list"), look, ORDINARY, page::tree::list);
    table.add(("GET", "/registries/{id}/branch"), look, ORDINARY, page::tree::branch);
    table.add(("GET", "/registries/{id}/edit"), rule, ORDINARY, page::registry_form::edit);
    table.add(("POST", "/registries/{id}/edit"), rule, PROBE, page::registry_form::save);
    table.add(("POST", "/registries/{id}/delete"), rule, ORDINARY, page::registry_form::delete);
    table.add(("POST", "/registries/{id}/scan"), work, ORDINARY, page::tree::scan);
    table.add(("POST", "/registries/{id}/test"), work, PROBE, page::tree::test);
    table.add(("GET", "/images"), look, ORDINARY, page::images::list);
    table.add(("GET", "/images/{digest}"), look, ORDINARY, page::image::show);
    table.add(("GET", "/images/{digest}/sbom"), look, ORDINARY, sboms::download);
    table.add(("GET", "/issues"), look, ORDINARY, page::issues::list);
    table.add(("GET", "/issues/{id}"), look, ORDINARY, page::issue::show);
    table.add(("POST", "/issues/{id}"), work, ORDINARY, page::issue::edit);
    table.add(("GET", "/gaps"), look, PROBE, page::gaps::show);
    table.add(("GET", "/compliance"), look, PROBE, page::compliance::show);
    table.add(("GET", "/policies"), look, ORDINARY, page::policies::show);
    table.add(("POST", "/policies"), rule, POLICY, page::policies::save);
    table.add(("GET", "/rules"), look, ORDINARY, page::rules::show);
    table.add(("POST", "/rules/tuning"), rule, POLICY, page::rules::save);
    table.add(("POST", "/rules/set"), rule, ORDINARY, page::rules::set);
    table.add(("POST", "/rules/allow"), rule, ORDINARY, page::rules::allow);
    table.add(("POST", "/rules/allow/delete"), rule, ORDINARY, page::rules::disallow);
    table.add(("GET", "/rules/documents"), look, ORDINARY, page::rule_documents::show);
    table.add(("POST", "/rules/documents"), rule, RULES, page::rule_documents::save);
    table.add(("POST", "/rules/documents/delete"), rule, RULES, page::rule_documents::delete);
    table.add(("POST", "/exceptions"), rule, ORDINARY, page::exceptions::add);
    table.add(("POST", "/exceptions/{id}/delete"), rule, ORDINARY, page::exceptions::delete);
    table.add(("GET", "/exceptions"), look, ORDINARY, page::exceptions::show);
    table.add(("GET", "/intelligence"), look, ORDINARY, page::intelligence::show);
    table.add(("POST", "/intelligence/import"), rule, IMPORT, page::intelligence::import);
    table.add(("POST", "/intelligence/sync"), rule, ORDINARY, page::intelligence::sync);
    table.add(("GET", "/agents"), look, ORDINARY, page::agents::show);
    table.add(("POST", "/agents/tokens"), rule, ORDINARY, page::agents::add_token);
    table.add(("POST", "/agents/{id}/delete"), rule, ORDINARY, page::agents::delete);
    table.add(("GET", "/activity"), look, ORDINARY, page::activity::show);
    table.add(("POST", "/activity/evaluate"), work, ORDINARY, page::activity::evaluate);
    table.add(("GET", "/audit"), rule, ORDINARY, page::audit::show);
    table.add(("GET", "/tokens"), rule, ORDINARY, page::tokens::show);
    table.add(("POST", "/tokens"), rule, ORDINARY, page::tokens::add);
    table.add(("POST", "/tokens/revoke"), rule, ORDINARY, page::tokens::revoke);
}

async fn nothing_here(uri: Uri) -> Response {
    refuse(&uri, Problem::not_found(format!("there is nothing at {}", uri.path())))
}

async fn wrong_method(uri: Uri) -> Response {
    let detail = format!("{} does not know this method", uri.path());
    refuse(&uri, Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Wrong method", detail))
}

/// Programs get a problem document, people a page.
fn refuse(uri: &Uri, problem: Problem) -> Response {
    if uri.path().starts_with("/api/") || uri.path().starts_with("/agent/") {
        return problem.into_response();
    }
    page::refusal::plain(&problem).into_response()
}
