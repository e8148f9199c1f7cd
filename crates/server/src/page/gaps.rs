//! What could not be seen, over all images: "nothing found" and "could not look" are never spelled the same.
//!
//! Invariant: how many images were looked at is shown; a cut list says that it is cut.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::Show;
use crate::auth::guard::Visitor;
use crate::facts;
use crate::problem::Answer;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::{Digest, Gap, Scope, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::types::{ImageFilter, Page};

/// Images whose gaps are read for one summary.
const IMAGES_MAX: usize = 300;

/// How long a summary is shown before it is made again, in seconds.
const KEEP_SECONDS: i64 = 20;

/// One thing that could not be seen, with the images that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GapRow {
    /// What could not be seen.
    pub(crate) gap: Gap,
    /// How many images.
    pub(crate) images: u64,
    /// One of them.
    pub(crate) example: Digest,
}

/// What could not be seen, most widespread first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GapSummary {
    /// Equal gaps once.
    pub(crate) rows: Vec<GapRow>,
    /// Images whose gaps were read.
    pub(crate) looked: u64,
    /// Are there more images?
    pub(crate) cut: bool,
}

/// The last summary: making one reads many inventories.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    last: Mutex<Option<(Timestamp, u64, Arc<GapSummary>)>>,
}

/// The summary, at most some seconds old, and never of an older generation of intelligence.
///
/// # Errors
/// When the store fails.
pub(crate) async fn summary(state: &Shared) -> Answer<Arc<GapSummary>> {
    let now = state.now();
    let generation = state.engine.library.current().intelligence.generation();
    let last = state.remembered.last.lock().expect("no panic while the lock is held").clone();
    if let Some((at, of, summary)) = last
        && of == generation
        && (0..KEEP_SECONDS).contains(&now.duration_since(at).as_secs())
    {
        return Ok(summary);
    }
    let made = Arc::new(make(state).await?);
    let mut held = state.remembered.last.lock().expect("no panic while the lock is held");
    *held = Some((now, generation, Arc::clone(&made)));
    Ok(made)
}

async fn make(state: &Shared) -> Answer<GapSummary> {
    let limit = u32::try_from(IMAGES_MAX + 1).unwrap_or(u32::MAX);
    let mut views = state.store().images(&Scope::All, &ImageFilter::default(), &Page::first(limit)).await?;
    let cut = views.len() > IMAGES_MAX;
    views.truncate(IMAGES_MAX);
    let mut rows: BTreeMap<Gap, (u64, Digest)> = BTreeMap::new();
    let looked = views.len() as u64;
    for view in views.into_iter().filter(|view| !view.references.is_empty()) {
        let digest = view.digest;
        let readers = facts::readers(state, &view).await?;
        let facts = facts::of_view(state, view, &readers, policy::Show::Open).await?;
        for gap in facts.judged.gaps {
            rows.entry(gap).or_insert((0, digest)).0 += 1;
        }
    }
    let row = |(gap, (images, example))| GapRow { gap, images, example };
    let mut rows: Vec<GapRow> = rows.into_iter().map(row).collect();
    rows.sort_by(|a, b| b.images.cmp(&a.images).then_with(|| a.gap.cmp(&b.gap)));
    Ok(GapSummary { rows, looked, cut })
}

#[derive(Template)]
#[template(path = "gaps.html")]
struct GapsPage {
    frame: Frame,
    show: Show,
    summary: Arc<GapSummary>,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let summary = summary(&state).await.or_refuse(&state, &visitor)?;
    let frame = Frame::new(&state, &visitor, "Gaps", Section::Gaps);
    Ok(render(&GapsPage { frame, show: Show::at(state.now()), summary }))
}
