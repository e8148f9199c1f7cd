//! What is known of the world: feeds, their age, what went wrong with them, and an upload.

use super::form::{Filled, Nothing, stale_form};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{self, PageResult};
use super::show::Show;
use crate::api::intelligence::{Upload, begin_sync, run_sync};
use crate::auth::guard::Visitor;
use crate::auth::secret::same;
use crate::problem::{Answer, Problem};
use crate::state::Shared;
use askama::Template;
use axum::extract::multipart::Field;
use axum::extract::{Multipart, State};
use axum::http::StatusCode;
use axum::response::Response;
use engine::feeds::Progress;
use intel::{FeedKind, FeedMeta};
use report::api::ImportBody;

/// A feed in the list.
struct Row {
    meta: FeedMeta,
    stale: bool,
    covers: String,
}

#[derive(Template)]
#[template(path = "intelligence.html")]
struct IntelligencePage {
    frame: Frame,
    show: Show,
    generation: u64,
    records: u64,
    rows: Vec<Row>,
    synced: Progress,
}

/// Releases named in the list.
const RELEASES_SHOWN: usize = 4;

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let loaded = state.engine.library.current();
    let now = state.now();
    let row = |meta: &FeedMeta| Row { stale: meta.is_stale(now), covers: covers(meta), meta: meta.clone() };
    let rows: Vec<Row> = loaded.intelligence.feeds().iter().map(row).collect();
    Ok(render(&IntelligencePage {
        frame: Frame::new(&state, &visitor, "Intelligence", Section::Intelligence),
        show: Show::at(now),
        generation: loaded.intelligence.generation(),
        records: rows.iter().map(|row| row.meta.records).sum(),
        rows,
        synced: state.engine.feed_rounds.progress(),
    }))
}

fn covers(meta: &FeedMeta) -> String {
    match meta.kind {
        FeedKind::Kev => return "vulnerabilities that are exploited".to_owned(),
        FeedKind::Hashes => return "files, by digest".to_owned(),
        FeedKind::Nvd => return "scores of vulnerabilities".to_owned(),
        FeedKind::Epss => return "probabilities of exploitation".to_owned(),
        FeedKind::EndOfLife => return "ends of support".to_owned(),
        FeedKind::Osv
        | FeedKind::Secdb
        | FeedKind::DebianTracker
        | FeedKind::Updateinfo
        | FeedKind::Oval
        | FeedKind::Csaf
        | FeedKind::Vex
        | FeedKind::Photon
        | FeedKind::Arch => {}
    }
    let names: Vec<String> = meta.releases.iter().take(RELEASES_SHOWN).map(|release| release.plain()).collect();
    match meta.releases.len().saturating_sub(RELEASES_SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Takes an upload. The form's token comes first, so nothing is written for who does not know it.
pub(crate) async fn import(State(state): State<Shared>, visitor: Visitor, mut parts: Multipart) -> PageResult {
    match receive(&state, &visitor, &mut parts).await {
        Ok(body) => Ok(done(&state, &visitor, "/intelligence", told(&body))),
        Err(problem) if problem.status == StatusCode::FORBIDDEN => Err(refusal::page(&state, &visitor, &problem)),
        Err(problem) => Ok(failed(&state, &visitor, "/intelligence", problem.detail)),
    }
}

async fn receive(state: &Shared, visitor: &Visitor, parts: &mut Multipart) -> Answer<ImportBody> {
    let cut_off = |error: axum::extract::multipart::MultipartError| Problem::bad_request(error.body_text());
    let mut admitted = false;
    while let Some(field) = parts.next_field().await.map_err(cut_off)? {
        match field.name() {
            Some("csrf") => {
                let token = field.text().await.map_err(cut_off)?;
                admitted = same(&token, &visitor.session.csrf);
            }
            Some("document") if admitted => return document(state, visitor, field).await,
            Some(_) | None => return Err(stale_form()),
        }
    }
    Err(if admitted { Problem::refused("choose a file to import") } else { stale_form() })
}

async fn document(state: &Shared, visitor: &Visitor, field: Field<'_>) -> Answer<ImportBody> {
    let name = field.file_name().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Problem::refused("choose a file to import"));
    }
    let upload = Upload::new(state, Some(&name)).await?;
    upload.receive(Box::pin(field)).await?;
    upload.import(state, &visitor.principal.name).await
}

/// Downloads feeds from their publishers, in the background.
pub(crate) async fn sync(State(state): State<Shared>, filled: Filled<Nothing>) -> Response {
    let visitor = filled.visitor;
    let round = match begin_sync(&state, &[]) {
        Ok(round) => round,
        Err(problem) => return failed(&state, &visitor, "/intelligence", problem.detail),
    };
    let (background, by) = (state.clone(), visitor.principal.name.clone());
    tokio::spawn(async move {
        if let Err(problem) = run_sync(&background, round, &by).await {
            tracing::error!("downloading feeds failed: {}", problem.detail);
        }
    });
    done(&state, &visitor, "/intelligence", "The feeds are being downloaded.")
}

fn told(body: &ImportBody) -> String {
    let feeds = super::show::counted(body.replaced.len() as u64, "feed");
    let mut text = format!("Imported {feeds}: {}.", super::show::cut(&body.replaced.join(", "), 300));
    if !body.failed.is_empty() {
        let reasons: Vec<String> =
            body.failed.iter().take(3).map(|f| format!("{}: {}", f.document, f.reason)).collect();
        text.push_str(&format!(" Could not be read: {}.", reasons.join("; ")));
    }
    if !body.unrecognised.is_empty() {
        let count = super::show::counted(body.unrecognised.len() as u64, "document");
        text.push_str(&format!(" Not recognised: {count}."));
    }
    text
}
