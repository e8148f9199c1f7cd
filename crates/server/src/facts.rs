//! What is known about one image now: its inventory, with the findings and gaps that the intelligence in force
//! makes of it.
//!
//! Not here: judging; `policy` does. Invariant: findings are derived on read, never stored per image.

use crate::problem::{Answer, Problem};
use crate::state::Shared;
use engine::rules::Wanted;
use engine::task::evaluate::{Bench, bad_hashes, end_of_support};
use model::{Digest, Finding, Gap, GapReason, ImageInventory, Match, PackageKey, Reader, Scope};
use policy::{CompiledTuning, ControlResult, Place, Scanners, Show};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::types::{ImageView, StoredInventory, trusted_readers};

/// What is known about one image.
pub(crate) struct ImageFacts {
    /// Where it is found, and how far it is.
    pub(crate) view: ImageView,
    /// What was read; `None` while nothing was.
    pub(crate) stored: Option<StoredInventory>,
    /// What is made of it.
    pub(crate) judged: Judged,
}

/// What intelligence and rules make of an inventory.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Sorted by kind, worst first.
    pub(crate) findings: Vec<Finding>,
    /// How the image stands to every control.
    pub(crate) controls: Vec<ControlResult>,
    /// What could not be seen: of the bytes, and by the intelligence.
    pub(crate) gaps: Vec<Gap>,
}

/// Everything about one image. `show` decides whether vulnerabilities that do not hold are listed too.
///
/// # Errors
/// 404 when there is no such image.
pub(crate) async fn image(state: &Shared, digest: &Digest, show: Show) -> Answer<ImageFacts> {
    let view = state.store().image(&Scope::All, digest).await?;
    let readers = readers(state, &view).await?;
    of_view(state, view, &readers, show).await
}

/// Everything about one image that is in hand.
pub(crate) async fn of_view(state: &Shared, view: ImageView, readers: &[Reader], show: Show) -> Answer<ImageFacts> {
    let Some(stored) = state.store().inventory(&Scope::All, &view.digest, readers).await? else {
        let judged = Judged { gaps: vec![unread(&view)], ..Judged::default() };
        return Ok(ImageFacts { view, stored: None, judged });
    };
    let keys: Vec<PackageKey> = stored.inventory.packages.iter().map(|package| package.key.clone()).collect();
    let matches: BTreeMap<PackageKey, Arc<[Match]>> = state.store().matches(&keys).await?.into_iter().collect();
    let loaded = state.engine.library.current();
    let now = state.now();
    let tuning = CompiledTuning::new(&state.store().tuning().await?);
    let wanted = Wanted::of(&state.engine.office.tools.current());
    let outlook = outlook(state, &view).await?;
    let digest = view.digest;
    let repositories = repositories(&view);
    let mut stored = stored;
    let (stored, judged) = tokio::task::spawn_blocking(move || {
        wanted.note_old_facts(&mut stored.inventory, &outlook);
        let place = Place { digest: Some(digest), repositories: &repositories };
        let bench = Bench { intelligence: &loaded.intelligence, tuning: &tuning, place, now };
        let judged = judge(&stored.inventory, &matches, &bench, show);
        (stored, judged)
    })
    .await?;
    Ok(ImageFacts { view, stored: Some(stored), judged: judged? })
}

/// Whose facts count for an image: those of the server, and of the groups through whose registries it is found.
pub(crate) async fn readers(state: &Shared, view: &ImageView) -> Answer<Vec<Reader>> {
    let registries = state.store().registries(&Scope::All).await?;
    let found_in = |id| view.references.iter().any(|reference| reference.registry == id);
    let mut readers = vec![Reader::Server];
    for registry in registries.iter().filter(|registry| found_in(registry.id)) {
        readers.extend(trusted_readers(&registry.config));
    }
    readers.sort();
    readers.dedup();
    Ok(readers)
}

fn judge(
    inventory: &ImageInventory,
    matches: &BTreeMap<PackageKey, Arc<[Match]>>,
    bench: &Bench<'_>,
    show: Show,
) -> Answer<Judged> {
    let Bench { intelligence, tuning, place, now } = *bench;
    let bad_hashes = bad_hashes(inventory, intelligence)?;
    let needed: BTreeSet<_> = inventory.packages.iter().filter_map(|package| package.key.ecosystem()).collect();
    let covered = needed.into_iter().filter(|release| intelligence.covers(release)).collect();
    let end_of_support = end_of_support(inventory, intelligence)?;
    let facts = policy::ImageFacts {
        inventory,
        matches,
        bad_hashes: &bad_hashes,
        covered: &covered,
        end_of_support: end_of_support.as_ref(),
        scanners: Scanners::ALL,
        now,
        tuning,
        place,
    };
    let findings = policy::findings(&facts, show);
    let controls = policy::compliance(&facts, &findings);
    let mut gaps = inventory.gaps.clone();
    gaps.extend(intelligence.gaps(&inventory.packages, inventory.os.as_ref(), now));
    gaps.extend(policy::gaps(&facts));
    gaps.sort();
    gaps.dedup();
    Ok(Judged { findings, controls, gaps })
}

/// `registry/repository` of every place that shows an image, sorted.
fn repositories(view: &ImageView) -> Vec<String> {
    let places: BTreeSet<String> =
        view.references.iter().map(|at| format!("{}/{}", at.registry_name, at.repository)).collect();
    places.into_iter().collect()
}

/// What becomes of facts that are of older rules than those in force.
async fn outlook(state: &Shared, view: &ImageView) -> Answer<String> {
    use model::job::ImageState;
    if view.references.is_empty() {
        return Ok("no registry shows the image any more, so it cannot be read again".to_owned());
    }
    let registries = state.store().registries(&Scope::All).await?;
    let found_in = |id| view.references.iter().any(|reference| reference.registry == id);
    if !registries.iter().any(|registry| found_in(registry.id) && registry.config.enabled) {
        return Ok("every registry that shows the image is disabled, so it is not read again".to_owned());
    }
    let because = view.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    Ok(match (view.state, view.retry_at) {
        (ImageState::Scanning, _) => "it is being read now".to_owned(),
        (ImageState::Failed | ImageState::Partial, Some(at)) => {
            format!("try {} failed{because}, the next one is at {at}", view.tries)
        }
        (ImageState::Failed | ImageState::Partial, None) => {
            format!("try {} failed{because}, and it is not tried again by itself", view.tries)
        }
        (ImageState::Pending | ImageState::Scanned, _) => "its layers are queued to be read again".to_owned(),
    })
}

/// An image that was not read is one large gap.
fn unread(view: &ImageView) -> Gap {
    use model::job::ImageState;
    let detail = match (view.state, &view.reason) {
        (ImageState::Failed, Some(reason)) => format!("the image could not be read: {reason}"),
        (ImageState::Failed, None) => "the image could not be read".to_owned(),
        (ImageState::Scanning, _) => "the image is being read".to_owned(),
        (ImageState::Pending | ImageState::Scanned | ImageState::Partial, _) => "the image was not read yet".to_owned(),
    };
    let reason = if view.state == ImageState::Failed { GapReason::Unreadable } else { GapReason::NotYetRead };
    Gap { scope: "image".to_owned(), detector: None, reason, detail }
}

/// What a digest in an address names.
pub(crate) enum Named {
    /// One image.
    Image,
    /// An index of these images.
    Index(Vec<(model::Platform, Digest)>),
}

/// Is it an image, or an index of images?
///
/// # Errors
/// 404 when nothing is known of the digest, or it is something else.
pub(crate) async fn name(state: &Shared, digest: &Digest) -> Answer<Named> {
    use store::types::ManifestView;
    let mut readers = vec![Reader::Server];
    for registry in state.store().registries(&Scope::All).await? {
        readers.extend(trusted_readers(&registry.config));
    }
    readers.sort();
    readers.dedup();
    match state.store().manifest(digest, &readers).await? {
        ManifestView::Image(_) => Ok(Named::Image),
        ManifestView::Index(images) => Ok(Named::Index(images)),
        ManifestView::Other(what) => Err(Problem::not_found(format!("{digest} is no image: {what}"))),
        ManifestView::Unknown => Err(Problem::not_found(format!("there is no image {digest}"))),
    }
}
