//! The first page: how much is known, what is wrong, what to fix first, and what could not be seen.

use super::frame::{Frame, Section, render};
use super::gaps::{GapSummary, summary};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, Stretch, bar, counted, image_bar, kind_label, severity_rank};
use crate::auth::guard::Visitor;
use crate::page::fix::{Fix, fixes};
use crate::problem::Answer;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::issue::IssueState;
use model::registry::RegistryStatus;
use model::{FindingKind, Scope, Severity, Timestamp};
use std::sync::Arc;
use store::types::{EvaluationView, IssueFilter, Page, RegistryCounts, issue_cursor};

/// Open issues that the list of things to fix is made of: the worst ones.
const ISSUES_MAX: usize = 3000;

/// Things to fix that are shown.
const FIXES_SHOWN: usize = 10;

/// Gaps that are shown.
const GAPS_SHOWN: usize = 6;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    show: Show,
    registries: u64,
    counts: RegistryCounts,
    image_bar: Vec<Stretch>,
    open: u64,
    severities: [u64; 6],
    severity_bar: Vec<Stretch>,
    kinds: Vec<(FindingKind, &'static str, u64)>,
    fixes: Vec<Fix>,
    fixes_of: Option<u64>,
    blind: Vec<Blind>,
    gaps: Arc<GapSummary>,
    evaluation: Option<EvaluationView>,
    knowledge: Knowledge,
}

/// Something that keeps us from seeing.
struct Blind {
    text: String,
    href: &'static str,
}

/// How much the intelligence knows.
struct Knowledge {
    generation: u64,
    feeds: u64,
    records: u64,
    stale: u64,
    failed: u64,
    newest: Option<Timestamp>,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let page = overview(&state, &visitor).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn overview(state: &Shared, visitor: &Visitor) -> Answer<OverviewPage> {
    let (registries, counts, mut blind) = registries(state).await?;
    let (severities, kinds) = issues(state).await?;
    let open = severities.iter().sum();
    let (fixes, fixes_of) = worst(state, open).await?;
    let knowledge = knowledge(state);
    blind.extend(blind_feeds(&knowledge, counts.images));
    let classes = Severity::ALL.map(Severity::as_str);
    let parts: Vec<(&'static str, u64)> = classes.into_iter().zip(severities).collect();
    Ok(OverviewPage {
        frame: Frame::new(state, visitor, "Overview", Section::Overview),
        show: Show::at(state.now()),
        registries,
        image_bar: image_bar(&counts),
        counts,
        open,
        severities,
        severity_bar: bar(&parts),
        kinds,
        fixes,
        fixes_of,
        blind,
        gaps: shown_gaps(state).await?,
        evaluation: state.store().evaluations(&Page::first(1)).await?.into_iter().next(),
        knowledge,
    })
}

async fn shown_gaps(state: &Shared) -> Answer<Arc<GapSummary>> {
    let all = summary(state).await?;
    if all.rows.len() <= GAPS_SHOWN {
        return Ok(all);
    }
    let rows = all.rows.iter().take(GAPS_SHOWN).cloned().collect();
    Ok(Arc::new(GapSummary { rows, looked: all.looked, cut: true }))
}

async fn registries(state: &Shared) -> Answer<(u64, RegistryCounts, Vec<Blind>)> {
    let rows = state.store().registries(&Scope::All).await?;
    let mut total = RegistryCounts::default();
    let (mut unseen, mut partly) = (0, 0);
    for row in &rows {
        let counts = state.store().registry_counts(&Scope::All, row.id).await?;
        total.repositories += counts.repositories;
        total.tags += counts.tags;
        total.tags_wanted += counts.tags_wanted;
        total.tags_unresolved += counts.tags_unresolved;
        total.images += counts.images;
        total.pending += counts.pending;
        total.scanning += counts.scanning;
        total.scanned += counts.scanned;
        total.partial += counts.partial;
        total.failed += counts.failed;
        total.issues_open += counts.issues_open;
        match row.status {
            RegistryStatus::Error => unseen += 1,
            RegistryStatus::Warning => partly += 1,
            RegistryStatus::Pending | RegistryStatus::Connected | RegistryStatus::Disabled => {}
        }
    }
    let candidates = [
        (unseen, "registry", "could not be listed", "/registries"),
        (partly, "registry", "could be listed only in part", "/registries"),
        (total.failed, "image", "could not be read", "/images?state=failed"),
        (total.partial, "image", "could be read only in part", "/images?state=partial"),
        (total.pending + total.scanning, "image", "not read yet", "/images?state=pending"),
        (total.tags_unresolved, "tag", "not resolved to images yet", "/registries"),
    ];
    let blind = candidates.into_iter().filter(|(count, ..)| *count > 0);
    let blind = blind.map(|(count, noun, what, href)| Blind { text: format!("{} {what}", counted(count, noun)), href });
    Ok((rows.len() as u64, total, blind.collect()))
}

async fn issues(state: &Shared) -> Answer<([u64; 6], Vec<(FindingKind, &'static str, u64)>)> {
    let mut severities = [0; 6];
    let mut kinds = FindingKind::ALL.map(|kind| (kind, kind_label(kind), 0));
    for row in state.store().issue_counts(&Scope::All).await? {
        if row.state == IssueState::Open {
            severities[severity_rank(row.severity)] += row.count;
            if let Some(kind) = kinds.iter_mut().find(|(kind, ..)| *kind == row.kind) {
                kind.2 += row.count;
            }
        }
    }
    Ok((severities, kinds.to_vec()))
}

/// Groups the worst open issues by what fixes them. Also says of how many issues, when not of all.
async fn worst(state: &Shared, open: u64) -> Answer<(Vec<Fix>, Option<u64>)> {
    let filter = IssueFilter { state: Some(IssueState::Open), ..IssueFilter::default() };
    let mut page = Page::first(500);
    let mut issues = Vec::new();
    loop {
        let rows = state.store().issues(&Scope::All, &filter, &page).await?;
        let full = rows.len() == 500;
        page.cursor = rows.last().map(issue_cursor);
        issues.extend(rows);
        if !full || issues.len() >= ISSUES_MAX {
            break;
        }
    }
    let looked = issues.len() as u64;
    let mut fixes = fixes(&issues);
    fixes.truncate(FIXES_SHOWN);
    Ok((fixes, (looked < open).then_some(looked)))
}

fn knowledge(state: &Shared) -> Knowledge {
    let loaded = state.engine.library.current();
    let feeds = loaded.intelligence.feeds();
    let now = state.now();
    Knowledge {
        generation: loaded.intelligence.generation(),
        feeds: feeds.len() as u64,
        records: feeds.iter().map(|feed| feed.records).sum(),
        stale: feeds.iter().filter(|feed| feed.is_stale(now)).count() as u64,
        failed: feeds.iter().filter(|feed| feed.error.is_some()).count() as u64,
        newest: feeds.iter().map(|feed| feed.imported_at).max(),
    }
}

fn blind_feeds(knowledge: &Knowledge, images: u64) -> Vec<Blind> {
    let href = "/intelligence";
    let mut out = Vec::new();
    if knowledge.feeds == 0 && images > 0 {
        out.push(Blind { text: "no advisories are loaded: no vulnerability can be found".to_owned(), href });
    }
    if knowledge.stale > 0 {
        out.push(Blind { text: format!("{} older than allowed", counted(knowledge.stale, "feed")), href });
    }
    if knowledge.failed > 0 {
        out.push(Blind { text: format!("{} could not be updated", counted(knowledge.failed, "feed")), href });
    }
    out
}
