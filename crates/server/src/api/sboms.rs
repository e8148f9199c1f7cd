//! `/sboms` and `/images/{digest}/sbom`: bills of materials in, and reports in every format out.
//!
//! Invariant: nothing is written about an image that nobody has read; a document about nothing would look clean.

use super::images::facts_of;
use crate::auth::guard::Who;
use crate::facts::ImageFacts;
use crate::page::refusal::{OrRefuse as _, PageResult};
use crate::problem::{Answer, Problem};
use crate::respond::{At, Params, created, from_bytes_rejection};
use crate::state::Shared;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use engine::source::{SbomLimits, read_sbom};
use engine::task::import::{self, REGISTRY_NAME, SbomImport};
use model::Scope;
use policy::Show;
use report::api::SbomBody;
use report::{Format, RenderOptions, ScanInput, ScanReport, Statistics, render};
use serde::Deserialize;
use utoipa::IntoParams;

/// `?format=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SbomQuery {
    /// `cyclonedx` (the default), `spdx`, or another format of `pratique scan`: `json`, `sarif`, `openvex`, `junit`,
    /// `gitlab`, `html`, `markdown`, `csv`, `table`.
    format: Option<String>,
}

/// An image as a document: a bill of materials with vulnerabilities and gaps, or a report in another format.
#[utoipa::path(get, path = "/api/v1/images/{digest}/sbom", tag = "images", operation_id = "getImageSbom",
    params(("digest" = String, Path), SbomQuery),
    responses((status = 200, description = "the document, by its own media type", body = String),
        (status = 400, description = "there is no such format", body = report::api::Problem),
        (status = 404, description = "there is no such image", body = report::api::Problem),
        (status = 409, description = "the image was not read yet", body = report::api::Problem)))]
pub(crate) async fn get(
    State(state): State<Shared>,
    At(text): At<String>,
    Params(query): Params<SbomQuery>,
) -> Answer<Response> {
    document(&state, &text, query.format.as_deref().unwrap_or("cyclonedx")).await
}

/// The same for people.
pub(crate) async fn download(
    State(state): State<Shared>,
    visitor: crate::auth::guard::Visitor,
    At(text): At<String>,
    Params(query): Params<SbomQuery>,
) -> PageResult {
    let format = query.format.as_deref().unwrap_or("cyclonedx");
    document(&state, &text, format).await.or_refuse(&state, &visitor)
}

async fn document(state: &Shared, text: &str, format: &str) -> Answer<Response> {
    let format: Format = format.parse().map_err(|error: String| Problem::bad_request(error))?;
    let facts = facts_of(state, text, Show::Open).await?;
    let reference = reference(state, &facts).await?;
    let base = crate::base::of(state, &facts).await?.map(|base| base.image);
    let options = RenderOptions { now: Some(state.now()), ..RenderOptions::default() };
    let work = move || {
        let (report, name) = report(&facts, &reference)?;
        let name = format!("{name}.{}", format.extension());
        Answer::Ok((render(&report.with_base(base.as_ref()), format, &options), name))
    };
    let (body, name) = tokio::task::spawn_blocking(work).await??;
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// The report, and what its file is called before the first dot.
fn report(facts: &ImageFacts, reference: &str) -> Answer<(ScanReport, String)> {
    let Some(stored) = &facts.stored else {
        return Err(Problem::conflict("the image was not read yet, so nothing can be said about what is in it"));
    };
    let view = &facts.view;
    let is_import = view.resolved.layers.is_empty() && view.resolved.config_digest == view.digest;
    let report = ScanReport::new(ScanInput {
        reference,
        digest: (!is_import).then_some(&view.digest),
        config_digest: (!is_import).then_some(&view.resolved.config_digest),
        inventory: &stored.inventory,
        findings: &facts.judged.findings,
        gaps: &facts.judged.gaps,
        statistics: Statistics { program: format!("pratique {}", env!("CARGO_PKG_VERSION")), ..Statistics::default() },
    });
    Ok((report, file_name(reference)))
}

/// What people call the image: where it was found first, as a reference that can be pulled.
async fn reference(state: &Shared, facts: &ImageFacts) -> Answer<String> {
    let Some(at) = facts.view.references.first() else { return Ok(facts.view.digest.to_string()) };
    if at.registry_name == REGISTRY_NAME {
        return Ok(format!("{}:{}", at.repository, at.tag));
    }
    let registry = state.store().registry(&Scope::All, at.registry).await?;
    let url = &registry.config.url;
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).trim_end_matches('/');
    Ok(format!("{host}/{}:{}", at.repository, at.tag))
}

/// Only plain characters, as a header and a file system take them.
fn file_name(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = last.chars().map(plain).take(120).collect();
    if name.is_empty() { "image".to_owned() } else { name }
}

/// `?repository=&tag=`
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// The repository that it is shown under.
    repository: String,
    /// The tag; `latest` when absent. It moves when it was there.
    tag: Option<String>,
}

/// Takes a bill of materials in the place of an image: CycloneDX 1.2 to 1.7 or SPDX 2 as JSON, SPDX tag-value, or the
/// JSON of syft. It is judged like an image, now and whenever intelligence or policies change; secrets, malware and
/// configuration are gaps, because no document holds them.
#[utoipa::path(post, path = "/api/v1/sboms", tag = "images", operation_id = "importSbom", params(ImportQuery),
    request_body(content = String, description = "the document itself", content_type = "application/octet-stream"),
    responses((status = 201, body = SbomBody), (status = 413, description = "too large", body = report::api::Problem),
        (status = 422, description = "not a bill of materials that can be read", body = report::api::Problem)))]
pub(crate) async fn add(
    State(state): State<Shared>,
    Who(who): Who,
    Params(query): Params<ImportQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body = body.map_err(|rejection| from_bytes_rejection(&rejection))?;
    let _one_at_a_time = state.imports.acquire().await.map_err(Problem::internal)?;
    let read = move || read_sbom(&body, &SbomLimits::default());
    let document = tokio::task::spawn_blocking(read).await??;
    let tag = query.tag.as_deref().unwrap_or("latest");
    let import = SbomImport { document: &document, repository: &query.repository, tag, by: &who.name };
    let digest = import::sbom(&state.engine.office, &import).await?;
    let answer = SbomBody {
        digest: digest.to_string(),
        registry: REGISTRY_NAME.to_owned(),
        repository: query.repository.clone(),
        tag: tag.to_owned(),
        format: format!("{} {}", document.sbom.format, document.sbom.version),
        packages: document.sbom.packages.len() as u64,
        gaps: document.sbom.gaps.iter().map(report::api::GapBody::from).collect(),
    };
    Ok(created(&format!("/api/v1/images/{digest}"), answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_plain() {
        let check = |reference: &str, expect: &str| assert_eq!(file_name(reference), expect);
        check("registry.example.org/team/app:1.0", "app-1.0");
        check("a/\"; x=\"b", "---x--b");
        check("sha256:0123", "sha256-0123");
        check("", "image");
    }
}
