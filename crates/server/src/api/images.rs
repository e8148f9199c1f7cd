//! `/images`: what was found, what is in it, what is wrong with it, what could not be seen.

use super::issues::{SEVERITIES, registry_id, word};
use super::paging::{asked, slice};
use crate::facts::{self, ImageFacts, Named};
use crate::problem::{Answer, Problem};
use crate::respond::{At, Params};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::job::ImageState;
use model::{Detector, Digest, FindingKind, Gap, ImageInventory, Scope, Severity};
use policy::{ControlState, Show};
use report::api::{
    CausingFinding, ComplianceBody, ComplianceScoreBody, ComplianceScoresBody, FindingBody, GapBody, ImageBody,
    ImageCountsBody, ImageGapBody, IndexBody, IndexMember, LayerBody, PackageBody, Page, ReferenceBody, ScannerBody,
};
use report::{ScanInput, ScanReport, Statistics};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::types::{ImageCounters, ImageFilter, ImageView};
use utoipa::IntoParams;

/// Filters of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImageQuery {
    /// Row number, or name, of a registry that shows it.
    registry: Option<String>,
    /// A repository that shows it.
    repository: Option<String>,
    /// A tag that shows it.
    tag: Option<String>,
    /// `pending`, `scanning`, `scanned`, `partial` or `failed`.
    state: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The words for `state`.
pub(crate) const STATES: &str = "pending, scanning, scanned, partial, failed";

/// Core images, by digest.
#[utoipa::path(get, path = "/api/v1/images", tag = "images", operation_id = "listImages", params(ImageQuery),
    responses((status = 200, body = Page<ImageBody>), (status = 400, description = "a filter cannot be read", body = report::api::Problem)))]
pub(crate) async fn list(
    State(state): State<Shared>,
    Params(query): Params<ImageQuery>,
) -> Answer<Json<Page<ImageBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let filter = ImageFilter {
        registry: registry_id(&state, query.registry.as_deref()).await?,
        repository: query.repository,
        tag: query.tag,
        state: word::<ImageState>("state", query.state.as_deref(), STATES)?,
    };
    let rows = state.store().images(&Scope::All, &filter, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.digest.to_string());
    let items = page.items.iter().map(|view| image_body(view, Vec::new())).collect();
    Ok(Json(Page { items, next: page.next }))
}

/// Reads a digest of an address.
///
/// # Errors
/// 400 when it is none.
pub(crate) fn digest(text: &str) -> Answer<Digest> {
    text.parse().map_err(|error: model::digest::DigestError| Problem::bad_request(error.to_string()))
}

/// One image with references, layers and the state of every scanner. The digest of an index is answered with its
/// images, and status 300.
#[utoipa::path(get, path = "/api/v1/images/{digest}", tag = "images", operation_id = "getImage",
    params(("digest" = String, Path)),
    responses((status = 200, body = ImageBody), (status = 300, description = "an index: choose one of its images", body = IndexBody),
        (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn get(State(state): State<Shared>, At(text): At<String>) -> Answer<Response> {
    let digest = digest(&text)?;
    match facts::name(&state, &digest).await? {
        Named::Index(members) => Ok(choices(&digest, &members)),
        Named::Image => {
            let facts = facts::image(&state, &digest, Show::Open).await?;
            let scanners = scanners(&state, &facts);
            let base = crate::base::of(&state, &facts).await?;
            let base = base.map(|base| base.body(&facts.judged.findings));
            Ok(Json(ImageBody { base, ..image_body(&facts.view, scanners) }).into_response())
        }
    }
}

fn choices(digest: &Digest, members: &[(model::Platform, Digest)]) -> Response {
    let member = |(platform, digest): &(model::Platform, Digest)| IndexMember {
        platform: platform.to_string(),
        digest: digest.to_string(),
    };
    let body = IndexBody { digest: digest.to_string(), images: members.iter().map(member).collect() };
    (StatusCode::MULTIPLE_CHOICES, Json(body)).into_response()
}

/// Everything about the image of an address; an index is refused with the digests to ask for.
pub(crate) async fn facts_of(state: &Shared, text: &str, show: Show) -> Answer<ImageFacts> {
    let digest = digest(text)?;
    match facts::name(state, &digest).await? {
        Named::Image => facts::image(state, &digest, show).await,
        Named::Index(members) => {
            let list: Vec<String> = members.iter().map(|(platform, digest)| format!("{platform} {digest}")).collect();
            Err(Problem::new(
                StatusCode::MULTIPLE_CHOICES,
                "An index",
                format!("ask for one of its images: {}", list.join(", ")),
            ))
        }
    }
}

/// `?limit=&cursor=&severity=&kind=&show=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FindingQuery {
    /// Only of this severity.
    severity: Option<String>,
    /// Only of this kind.
    kind: Option<String>,
    /// `open` (the default), or `all`: also vulnerabilities that were looked up and do not hold.
    show: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Packages of an image, by purl.
#[utoipa::path(get, path = "/api/v1/images/{digest}/packages", tag = "images", operation_id = "listPackages",
    params(("digest" = String, Path), super::paging::Paging),
    responses((status = 200, body = Page<PackageBody>), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn packages(
    State(state): State<Shared>,
    At(text): At<String>,
    Params(paging): Params<super::paging::Paging>,
) -> Answer<Json<Page<PackageBody>>> {
    let asked = paging.asked()?;
    let facts = facts_of(&state, &text, Show::Open).await?;
    let rows = facts.stored.map(|stored| package_rows(&stored.inventory)).unwrap_or_default();
    Ok(Json(slice(rows, &asked)?))
}

/// One row per purl, as the scan report has them.
fn package_rows(inventory: &ImageInventory) -> Vec<PackageBody> {
    let input = ScanInput {
        reference: "",
        digest: None,
        config_digest: None,
        inventory,
        findings: &[],
        gaps: &[],
        statistics: Statistics::default(),
    };
    ScanReport::new(input).packages
}

/// Findings of an image, by kind, worst first. They are made on read, with the intelligence in force.
#[utoipa::path(get, path = "/api/v1/images/{digest}/findings", tag = "images", operation_id = "listFindings",
    params(("digest" = String, Path), FindingQuery),
    responses((status = 200, body = Page<FindingBody>), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn findings(
    State(state): State<Shared>,
    At(text): At<String>,
    Params(query): Params<FindingQuery>,
) -> Answer<Json<Page<FindingBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let severity = word::<Severity>("severity", query.severity.as_deref(), SEVERITIES)?;
    let kind = word::<FindingKind>("kind", query.kind.as_deref(), super::issues::KINDS)?;
    let show = match query.show.as_deref() {
        None | Some("open") => Show::Open,
        Some("all") => Show::All,
        Some(other) => return Err(Problem::bad_request(format!("show: {other:?} is none of open, all"))),
    };
    let facts = facts_of(&state, &text, show).await?;
    let fits = |finding: &&model::Finding| {
        severity.is_none_or(|s| finding.severity == s) && kind.is_none_or(|k| finding.kind == k)
    };
    Ok(Json(slice(facts.judged.findings.iter().filter(fits).map(FindingBody::from).collect(), &asked)?))
}

/// What could not be seen of an image, and why.
#[utoipa::path(get, path = "/api/v1/images/{digest}/gaps", tag = "images", operation_id = "listImageGaps",
    params(("digest" = String, Path), super::paging::Paging),
    responses((status = 200, body = Page<GapBody>), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn gaps(
    State(state): State<Shared>,
    At(text): At<String>,
    Params(paging): Params<super::paging::Paging>,
) -> Answer<Json<Page<GapBody>>> {
    let asked = paging.asked()?;
    let facts = facts_of(&state, &text, Show::Open).await?;
    Ok(Json(slice(facts.judged.gaps.iter().map(GapBody::from).collect(), &asked)?))
}

/// How an image stands to every control of every standard.
#[utoipa::path(get, path = "/api/v1/images/{digest}/compliance", tag = "images", operation_id = "getImageCompliance",
    params(("digest" = String, Path), super::paging::Paging),
    responses((status = 200, body = Page<ComplianceBody>), (status = 404, description = "there is none", body = report::api::Problem)))]
pub(crate) async fn compliance(
    State(state): State<Shared>,
    At(text): At<String>,
    Params(paging): Params<super::paging::Paging>,
) -> Answer<Json<Page<ComplianceBody>>> {
    let asked = paging.asked()?;
    let facts = facts_of(&state, &text, Show::Open).await?;
    Ok(Json(slice(facts.judged.controls.iter().map(control_body).collect(), &asked)?))
}

fn control_body(result: &policy::ControlResult) -> ComplianceBody {
    ComplianceBody {
        standard: result.standard.to_owned(),
        control: result.control.id.clone(),
        title: result.control.title.clone(),
        severity: result.control.severity.as_str().to_owned(),
        state: result.state.as_str().to_owned(),
        because: result.because.clone(),
        findings: result.findings.iter().map(|(kind, id)| CausingFinding::new(*kind, id)).collect(),
    }
}

/// `?registry=&limit=&cursor=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GapQuery {
    /// Row number, or name, of the registry.
    registry: Option<String>,
    /// Images looked at, 1 to 500; 100 when absent. A page holds every gap of its images.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What could not be seen, image by image. A page may be empty and still have a next one.
#[utoipa::path(get, path = "/api/v1/gaps", tag = "images", operation_id = "listGaps", params(GapQuery),
    responses((status = 200, body = Page<ImageGapBody>)))]
pub(crate) async fn all_gaps(
    State(state): State<Shared>,
    Params(query): Params<GapQuery>,
) -> Answer<Json<Page<ImageGapBody>>> {
    let asked = asked(query.limit, query.cursor)?;
    let filter =
        ImageFilter { registry: registry_id(&state, query.registry.as_deref()).await?, ..ImageFilter::default() };
    let rows = state.store().images(&Scope::All, &filter, &asked.page).await?;
    let page = Page::cut(rows, asked.rows, |row| row.digest.to_string());
    let mut items = Vec::new();
    for view in page.items {
        let readers = facts::readers(&state, &view).await?;
        let facts = facts::of_view(&state, view, &readers, Show::Open).await?;
        let image = facts.view.digest.to_string();
        items
            .extend(facts.judged.gaps.iter().map(|gap| ImageGapBody { image: image.clone(), gap: GapBody::from(gap) }));
    }
    Ok(Json(Page { items, next: page.next }))
}

/// `?standard=&repository=&registry=&limit=&cursor=`
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ComplianceQuery {
    /// Only this standard.
    standard: Option<String>,
    /// Only this repository.
    repository: Option<String>,
    /// Row number, or name, of the registry.
    registry: Option<String>,
    /// Rows at most, 1 to 500; 100 when absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How repositories stand to standards, over all their images that were read.
#[utoipa::path(get, path = "/api/v1/compliance", tag = "images", operation_id = "getCompliance", params(ComplianceQuery),
    responses((status = 200, body = ComplianceScoresBody)))]
pub(crate) async fn scores(
    State(state): State<Shared>,
    Params(query): Params<ComplianceQuery>,
) -> Answer<Json<ComplianceScoresBody>> {
    let asked = asked(query.limit, query.cursor)?;
    let filter = ImageFilter {
        registry: registry_id(&state, query.registry.as_deref()).await?,
        repository: query.repository,
        ..ImageFilter::default()
    };
    let Scores { mut rows, images, complete } = compliance_scores(&state, &filter).await?;
    rows.retain(|row| query.standard.as_deref().is_none_or(|standard| row.standard == standard));
    let Page { items, next } = slice(rows, &asked)?;
    Ok(Json(ComplianceScoresBody { items, next, images, complete }))
}

/// Scores, and what they are made from.
pub(crate) struct Scores {
    /// By standard, registry and repository.
    pub(crate) rows: Vec<ComplianceScoreBody>,
    /// Images that were looked at.
    pub(crate) images: u64,
    /// Are these all that fit the filter?
    pub(crate) complete: bool,
}

/// Images that one request for scores looks at.
const SCORED_IMAGES_MAX: usize = 5000;

/// The score of every repository that images of a filter are found in, by standard, registry and repository.
///
/// # Errors
/// When the store fails.
pub(crate) async fn compliance_scores(state: &Shared, filter: &ImageFilter) -> Answer<Scores> {
    let mut scores: BTreeMap<(String, String, String), ComplianceScoreBody> = BTreeMap::new();
    let mut page = store::types::Page::first(200);
    let mut seen = 0;
    let complete = loop {
        let rows = state.store().images(&Scope::All, filter, &page).await?;
        seen += rows.len();
        let last = rows.last().map(|row| row.digest.to_string());
        let full = rows.len() == 200;
        for view in rows.into_iter().filter(|view| view.scanned_at.is_some()) {
            let readers = facts::readers(state, &view).await?;
            let facts = facts::of_view(state, view, &readers, Show::Open).await?;
            score(&facts, filter, &mut scores);
        }
        if !full {
            break true;
        }
        if seen >= SCORED_IMAGES_MAX {
            let next = store::types::Page { limit: 1, cursor: last };
            break state.store().images(&Scope::All, filter, &next).await?.is_empty();
        }
        page.cursor = last;
    };
    for row in scores.values_mut() {
        let exact = |n: u64| u32::try_from(n).map_or(f64::from(u32::MAX), f64::from);
        let told = row.passed + row.failed;
        row.score = (told > 0).then(|| exact(row.passed) / exact(told));
    }
    Ok(Scores { rows: scores.into_values().collect(), images: seen as u64, complete })
}

fn score(
    facts: &ImageFacts,
    filter: &ImageFilter,
    scores: &mut BTreeMap<(String, String, String), ComplianceScoreBody>,
) {
    let fits = |reference: &&store::types::ImageReference| {
        filter.registry.is_none_or(|id| reference.registry == id)
            && filter.repository.as_ref().is_none_or(|name| reference.repository == *name)
    };
    let mut places: Vec<(&str, &str)> = facts
        .view
        .references
        .iter()
        .filter(fits)
        .map(|reference| (reference.registry_name.as_str(), reference.repository.as_str()))
        .collect();
    places.sort_unstable();
    places.dedup();
    for (registry, repository) in places {
        for standard in policy::standards() {
            let key = (standard.id.clone(), registry.to_owned(), repository.to_owned());
            let row = scores.entry(key).or_insert_with(|| ComplianceScoreBody {
                standard: standard.id.clone(),
                registry: registry.to_owned(),
                repository: repository.to_owned(),
                images: 0,
                passed: 0,
                failed: 0,
                not_evaluated: 0,
                score: None,
            });
            row.images += 1;
            for control in facts.judged.controls.iter().filter(|control| control.standard == standard.id) {
                match control.state {
                    ControlState::Passed => row.passed += 1,
                    ControlState::Failed => row.failed += 1,
                    ControlState::NotEvaluated => row.not_evaluated += 1,
                }
            }
        }
    }
}

/// How far each scanner is with an image.
pub(crate) fn scanners(state: &Shared, facts: &ImageFacts) -> Vec<ScannerBody> {
    let wanted = state.engine.office.tools.current().versions();
    Detector::ALL.iter().map(|detector| scanner(*detector, facts, &wanted)).collect()
}

fn scanner(detector: Detector, facts: &ImageFacts, wanted: &[model::DetectorVersion]) -> ScannerBody {
    let concerns = |gap: &&Gap| gap.detector.is_none_or(|at| at == detector);
    let inventory = facts.stored.as_ref().map(|stored| &stored.inventory);
    let gaps = inventory.map_or(0, |inventory| inventory.gaps.iter().filter(concerns).count());
    let ran = inventory.and_then(|inventory| inventory.detectors.iter().find(|version| version.detector == detector));
    let state = match ran {
        None => "not-run",
        Some(version) if !wanted.contains(version) => "outdated",
        Some(_) if gaps > 0 => "partial",
        Some(_) => "done",
    };
    ScannerBody { name: detector.as_str().to_owned(), state: state.to_owned(), gaps: gaps as u64 }
}

/// The public form of an image.
pub(crate) fn image_body(view: &ImageView, scanners: Vec<ScannerBody>) -> ImageBody {
    let reference = |reference: &store::types::ImageReference| ReferenceBody {
        registry_id: reference.registry.get(),
        registry: reference.registry_name.clone(),
        repository: reference.repository.clone(),
        tag: reference.tag.clone(),
    };
    ImageBody {
        digest: view.digest.to_string(),
        config_digest: view.resolved.config_digest.to_string(),
        platform: view.resolved.platform.to_string(),
        created: view.resolved.configuration.created,
        state: view.state.as_str().to_owned(),
        reason: view.reason.clone(),
        tries: view.tries,
        retry_at: view.retry_at,
        references: view.references.iter().map(reference).collect(),
        layers: view.resolved.layers.iter().map(LayerBody::from).collect(),
        scanners,
        counts: counts_body(&view.counters),
        scanned_at: view.scanned_at,
        reader: view.reader.as_ref().map(ToString::to_string),
        base: None,
    }
}

fn counts_body(counters: &ImageCounters) -> ImageCountsBody {
    ImageCountsBody {
        packages: counters.packages,
        vulnerabilities: counters.vulnerabilities.into(),
        secrets: counters.secrets,
        malware: counters.malware,
        misconfigurations: counters.misconfigurations,
        compliance: counters.compliance,
        gaps: counters.gaps,
    }
}
