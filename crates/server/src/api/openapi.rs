//! `/openapi.json`: the description of the API (OpenAPI 3.1).
//!
//! Invariant: every route of the API is in it; a test compares it with the table that makes the router.

use super::{agents, events, images, intelligence, intents, issues, operations, registries, rules, sboms, tokens};
use crate::{hub, probes};
use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pratique",
        description = "Finds every image in every registry, looks inside each one once, and from then on knows what is wrong with it. Lists are `{\"items\":[…],\"next\":cursor|null}`; errors are problem documents (RFC 9457); times are RFC 3339, UTC."
    ),
    paths(
        registries::list, registries::add, registries::get, registries::edit, registries::delete, registries::test,
        registries::preview, registries::discover, registries::scan, registries::repositories, registries::tags,
        images::list, images::get, images::packages, images::findings, images::gaps, images::compliance,
        images::all_gaps, images::scores, sboms::get, sboms::add,
        issues::list, issues::get, issues::edit,
        intents::policies, intents::put_policies, intents::exceptions, intents::add_exception, intents::delete_exception,
        rules::list, rules::extraction, rules::put_extraction, rules::tuning, rules::put_tuning,
        intelligence::get, intelligence::import, intelligence::sync,
        agents::add_token, agents::list_tokens, agents::list, agents::delete, hub::join, hub::call,
        tokens::add, tokens::delete,
        operations::jobs, operations::evaluations, operations::evaluate, operations::audit, events::stream, get,
        probes::alive, probes::ready, probes::metrics,
    ),
    components(schemas(report::api::PolicyBody, report::api::RuleTuningBody, report::api::AllowedBody)),
    modifiers(&Doors),
    security(("token" = [])),
)]
struct Description;

struct Doors;

impl Modify for Doors {
    fn modify(&self, document: &mut Document) {
        let bearer = |what: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build();
            SecurityScheme::Http(scheme)
        };
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", bearer("A token of the role that the route needs."));
        components.add_security_scheme("agent", bearer("The secret that an agent got when it joined."));
        document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// The description as a value.
pub fn document() -> Document {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations", operation_id = "getDescription",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn get() -> Json<Document> {
    Json(document())
}
