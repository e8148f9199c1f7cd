//! `/registries`: configure, test, look, scan.

use super::paging::{Paging, asked};
use crate::auth::guard::Who;
use crate::preview::preview as look;
use crate::problem::{Answer, Problem};
use crate::registries;
use crate::respond::{At, Input, Params, created};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::registry::Registry;
use model::{Id, Scope};
use report::api::{
    CredentialsEdit, Page, PreviewResult, RegistryBody, RegistryPatch, RegistryRequest, RepositoryBody, ScanRequest,
    ScanStarted, TagBody, TagImageBody, TagMoveBody, TestResult,
};
use serde::Deserialize;
use store::types::{CredentialsChange, RepositoryView, TagFilter, TagView};
use utoipa::IntoParams;

async fn body(state: &Shared, registry: &Registry) -> Answer<RegistryBody> {
    let counts = state.store().registry_counts(&Scope::All, registry.id).await?;
    Ok(RegistryBody::new(registry, registries::counts_body(&counts)))
}

/// Every registry, by name.
#[utoipa::path(get, path = "/api/v1/registries", tag = "registries", operation_id = "listRegistries", params(Paging),
    responses((status = 200, body = Page<RegistryBody>)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<RegistryBody>>> {
    let asked = paging.asked()?;
    let mut rows = state.store().registries(&Scope::All).await?;
    rows.sort_by(|a, b| a.config.name.cmp(&b.config.name));
    if let Some(after) = &asked.page.cursor {
        rows.retain(|row| row.config.name > *after);
    }
    let page = Page::cut(rows, asked.rows, |row| row.config.name.clone());
    let mut items = Vec::with_capacity(page.items.len());
    for row in &page.items {
        items.push(body(&state, row).await?);
    }
    Ok(Json(Page { items, next: page.next }))
}

/// Adds a registry; its discovery starts at once.
#[utoipa::path(post, path = "/api/v1/registries", tag = "registries", operation_id = "addRegistry",
    request_body = RegistryRequest,
    responses((status = 201, body = RegistryBody), (status = 409, description = "the name is taken", body = report::api::Problem),
        (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn add(
    State(state): State<Shared>,
    Who(who): Who,
    Input(request): Input<RegistryRequest>,
) -> Answer<Response> {
    let (config, credentials) = request.into_config().map_err(Problem::fields)?;
    let registry = registries::add(&state, config, credentials.as_ref(), &who.name).await?;
    Ok(created(&format!("/api/v1/registries/{}", registry.id), body(&state, &registry).await?))
}

/// One registry, with status, reason, counts and progress.
#[utoipa::path(get, path = "/api/v1/registries/{id}", tag = "registries", operation_id = "getRegistry",
    params(("id" = i64, Path)),
    responses((status = 200, body = RegistryBody), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn get(State(state): State<Shared>, At(id): At<i64>) -> Answer<Json<RegistryBody>> {
    let registry = registries::one(&state, Id::new(id)).await?;
    Ok(Json(body(&state, &registry).await?))
}

/// Edits a registry: absent keys stay as they are.
#[utoipa::path(patch, path = "/api/v1/registries/{id}", tag = "registries", operation_id = "editRegistry",
    params(("id" = i64, Path)), request_body = RegistryPatch,
    responses((status = 200, body = RegistryBody), (status = 404, description = "there is none", body = report::api::Problem),
        (status = 409, description = "the name is taken", body = report::api::Problem),
        (status = 422, description = "a field is not valid", body = report::api::Problem)))]
pub(crate) async fn edit(
    State(state): State<Shared>,
    Who(who): Who,
    At(id): At<i64>,
    Input(patch): Input<RegistryPatch>,
) -> Answer<Json<RegistryBody>> {
    let registry = registries::one(&state, Id::new(id)).await?;
    let mut current = registry.config.clone();
    if patch.url.is_some() && patch.plain_http.is_none() {
        // The scheme of the new address decides, not that of the old one.
        current.plain_http = false;
    }
    let (config, credentials) = patch.apply(&current).map_err(Problem::fields)?;
    let change = match credentials {
        CredentialsEdit::Keep => CredentialsChange::Keep,
        CredentialsEdit::Remove => CredentialsChange::Remove,
        CredentialsEdit::Replace(credentials) => CredentialsChange::Replace(credentials),
    };
    let edited = registries::edit(&state, &registry, config, change, &who.name).await?;
    Ok(Json(body(&state, &edited).await?))
}

/// Removes a registry with its repositories and tags; its issues are resolved.
#[utoipa::path(delete, path = "/api/v1/registries/{id}", tag = "registries", operation_id = "deleteRegistry",
    params(("id" = i64, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn delete(State(state): State<Shared>, Who(who): Who, At(id): At<i64>) -> Answer<StatusCode> {
    registries::remove(&state, Id::new(id), &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tests the connection: reachability and login, catalogue, tags. A test that fails is a result, not an error.
#[utoipa::path(post, path = "/api/v1/registries/{id}/test", tag = "registries", operation_id = "testRegistry",
    params(("id" = i64, Path)),
    responses((status = 200, body = TestResult), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn test(State(state): State<Shared>, At(id): At<i64>) -> Answer<Json<TestResult>> {
    let registry = registries::one(&state, Id::new(id)).await?;
    Ok(Json(registries::test_stored(&state, &registry).await?))
}

/// What a scan would take: images, bytes, pulls.
#[utoipa::path(post, path = "/api/v1/registries/{id}/preview", tag = "registries", operation_id = "previewRegistry",
    params(("id" = i64, Path)),
    responses((status = 200, body = PreviewResult), (status = 409, description = "only agents reach it", body = report::api::Problem)))]
pub(crate) async fn preview(State(state): State<Shared>, At(id): At<i64>) -> Answer<Json<PreviewResult>> {
    let registry = registries::one(&state, Id::new(id)).await?;
    Ok(Json(look(&state, &registry).await?))
}

/// Discovers a registry now.
#[utoipa::path(post, path = "/api/v1/registries/{id}/discover", tag = "registries", operation_id = "discoverRegistry",
    params(("id" = i64, Path)),
    responses((status = 202, body = ScanStarted), (status = 409, description = "it is switched off", body = report::api::Problem)))]
pub(crate) async fn discover(State(state): State<Shared>, At(id): At<i64>) -> Answer<(StatusCode, Json<ScanStarted>)> {
    let started = state.engine.discover_now(Id::new(id)).await?;
    let detail = if started { "a discovery is queued" } else { "a discovery is under way already" };
    let answer = ScanStarted { jobs: u64::from(started), detail: detail.to_owned() };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Scans a registry, a repository, a tag or a digest now. An empty body means the whole registry.
#[utoipa::path(post, path = "/api/v1/registries/{id}/scan", tag = "registries", operation_id = "scanRegistry",
    params(("id" = i64, Path)), request_body = ScanRequest,
    responses((status = 202, body = ScanStarted), (status = 404, description = "nothing is found there", body = report::api::Problem),
        (status = 409, description = "it is switched off", body = report::api::Problem)))]
pub(crate) async fn scan(
    State(state): State<Shared>,
    At(id): At<i64>,
    body: Result<bytes::Bytes, axum::extract::rejection::BytesRejection>,
) -> Answer<(StatusCode, Json<ScanStarted>)> {
    let body = body.map_err(|rejection| crate::respond::from_bytes_rejection(&rejection))?;
    let request = if body.trim_ascii().is_empty() {
        ScanRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Problem::refused(error.to_string()))?
    };
    let registry = registries::one(&state, Id::new(id)).await?;
    Ok((StatusCode::ACCEPTED, Json(registries::scan(&state, &registry, &request).await?)))
}

/// Repositories of a registry, by name.
#[utoipa::path(get, path = "/api/v1/registries/{id}/repositories", tag = "registries",
    operation_id = "listRepositories", params(("id" = i64, Path), Paging),
    responses((status = 200, body = Page<RepositoryBody>), (status = 404, description = "there is no such registry", body = report::api::Problem)))]
pub(crate) async fn repositories(
    State(state): State<Shared>,
    At(id): At<i64>,
    Params(paging): Params<Paging>,
) -> Answer<Json<Page<RepositoryBody>>> {
    let asked = paging.asked()?;
    let registry = registries::one(&state, Id::new(id)).await?;
    let rows = state.store().repositories(&Scope::All, registry.id, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.name.clone());
    Ok(Json(Page { items: page.items.into_iter().map(repository_body).collect(), next: page.next }))
}

/// `?repository=&tag=&limit=&cursor=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TagQuery {
    /// Only of this repository.
    repository: Option<String>,
    /// Only this tag.
    tag: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Tags of a registry with what they pointed at over time; deleted ones too.
#[utoipa::path(get, path = "/api/v1/registries/{id}/tags", tag = "registries", operation_id = "listTags",
    params(("id" = i64, Path), TagQuery),
    responses((status = 200, body = Page<TagBody>), (status = 404, description = "there is no such registry", body = report::api::Problem)))]
pub(crate) async fn tags(
    State(state): State<Shared>,
    At(id): At<i64>,
    Params(query): Params<TagQuery>,
) -> Answer<Json<Page<TagBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let registry = registries::one(&state, Id::new(id)).await?;
    let filter = TagFilter { repository: query.repository, tag: query.tag };
    let rows = state.store().tags(&Scope::All, registry.id, &filter, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, TagView::cursor);
    Ok(Json(Page { items: page.items.into_iter().map(tag_body).collect(), next: page.next }))
}

fn repository_body(row: RepositoryView) -> RepositoryBody {
    RepositoryBody {
        name: row.name,
        tags: row.tags,
        images: row.images,
        scanned: row.scanned,
        issues: row.issues.into(),
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        gone: row.gone,
    }
}

fn tag_body(row: TagView) -> TagBody {
    let image = |image: store::types::TagImage| TagImageBody {
        platform: image.platform.to_string(),
        digest: image.digest.to_string(),
        state: image.state.as_str().to_owned(),
    };
    let moved =
        |step: store::types::TagMove| TagMoveBody { digest: step.digest.to_string(), from: step.from, to: step.to };
    TagBody {
        repository: row.repository,
        tag: row.tag,
        digest: row.digest.to_string(),
        images: row.images.into_iter().map(image).collect(),
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        deleted_at: row.deleted_at,
        wanted: row.wanted,
        note: row.note,
        history: row.history.into_iter().map(moved).collect(),
    }
}
