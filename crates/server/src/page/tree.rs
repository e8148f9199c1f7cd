//! One registry as a tree: repository → tag → digest → image, with progress as it happens.
//!
//! A large registry is listed in pages, and a branch is read when it is opened; without scripts a link opens it.

use super::form::Filled;
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, Stretch, image_bar, quoted, registry_status_class};
use crate::auth::guard::Visitor;
use crate::problem::Answer;
use crate::registries;
use crate::respond::{At, Params};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use model::registry::Registry;
use model::{Id, Scope};
use report::api::ScanRequest;
use serde::Deserialize;
use store::types::{Page, RegistryCounts, RepositoryView, TagFilter, TagView};

/// Repositories of one page.
const REPOSITORIES: u32 = 100;

/// Tags of one branch at once.
const TAGS: u32 = 200;

/// With at most this many repositories, every branch is open from the start.
const OPEN_MAX: usize = 4;

/// `?open=&cursor=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TreeQuery {
    /// Repository whose branch is open.
    open: Option<String>,
    /// Repository after which the page starts.
    cursor: Option<String>,
}

/// A repository.
struct Branch {
    repository: RepositoryView,
    open: bool,
    /// Where its tags are fetched from.
    src: String,
    /// Read already, when it is open.
    tags: Option<Twigs>,
}

/// Its tags.
struct Twigs {
    registry: i64,
    repository: String,
    tags: Vec<TagView>,
    next: Option<String>,
    operator: bool,
    csrf: String,
}

#[derive(Template)]
#[template(path = "tree.html")]
struct TreePage {
    frame: Frame,
    show: Show,
    progress: Progress,
    list: List,
}

/// One page of a registry's repositories.
struct List {
    registry: Registry,
    branches: Vec<Branch>,
    first: bool,
    next: Option<String>,
    /// Where it is fetched from.
    src: String,
    administrator: bool,
}

#[derive(Template)]
#[template(path = "tree_list.html")]
struct ListPart {
    show: Show,
    list: List,
}

/// The part that changes while a registry is scanned.
#[derive(Template)]
#[template(path = "tree_progress.html")]
struct Progress {
    show: Show,
    registry: Registry,
    class: &'static str,
    counts: RegistryCounts,
    /// Images whose reading ended, one way or the other.
    done: u64,
    /// Tags that the scan configuration does not take.
    left_out: u64,
    bar: Vec<Stretch>,
}

#[derive(Template)]
#[template(path = "tree_branch.html")]
struct BranchPart {
    show: Show,
    twigs: Twigs,
}

/// The page.
pub(crate) async fn show(
    State(state): State<Shared>,
    visitor: Visitor,
    At(id): At<i64>,
    Params(query): Params<TreeQuery>,
) -> PageResult {
    let page = tree(&state, &visitor, id, query).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn tree(state: &Shared, visitor: &Visitor, id: i64, query: TreeQuery) -> Answer<TreePage> {
    let progress = progress_of(state, id).await?;
    let mut list = list_of(state, visitor, progress.registry.clone(), query.cursor).await?;
    let all_open = list.branches.len() <= OPEN_MAX;
    for branch in &mut list.branches {
        let name = branch.repository.name.clone();
        if all_open || query.open.as_deref() == Some(name.as_str()) {
            branch.open = true;
            branch.tags = Some(twigs(state, visitor, id, &name, None).await?);
        }
    }
    let frame = Frame::new(state, visitor, progress.registry.config.name.clone(), Section::Registries);
    Ok(TreePage { frame, show: Show::at(state.now()), progress, list })
}

/// One page of repositories, every branch closed.
async fn list_of(state: &Shared, visitor: &Visitor, registry: Registry, cursor: Option<String>) -> Answer<List> {
    let id = registry.id;
    let page = Page { limit: REPOSITORIES + 1, cursor: cursor.clone() };
    let rows = state.store().repositories(&Scope::All, id, &page).await?;
    let page = report::api::Page::cut(rows, REPOSITORIES as usize, |row| row.name.clone());
    let branch = |repository: RepositoryView| Branch {
        src: format!("/registries/{id}/branch?repository={}", quoted(&repository.name)),
        repository,
        open: false,
        tags: None,
    };
    let query = cursor.as_ref().map(|cursor| format!("?cursor={}", quoted(cursor))).unwrap_or_default();
    Ok(List {
        branches: page.items.into_iter().map(branch).collect(),
        first: cursor.is_none(),
        next: page.next.map(|cursor| format!("/registries/{id}?cursor={}", quoted(&cursor))),
        src: format!("/registries/{id}/list{query}"),
        administrator: visitor.principal.may(store::types::Role::Administrator),
        registry,
    })
}

/// The part with the repositories.
pub(crate) async fn list(
    State(state): State<Shared>,
    visitor: Visitor,
    At(id): At<i64>,
    Params(query): Params<TreeQuery>,
) -> Response {
    let made = async {
        let registry = registries::one(&state, Id::new(id)).await?;
        list_of(&state, &visitor, registry, query.cursor).await
    };
    match made.await {
        Ok(list) => render(&ListPart { show: Show::at(state.now()), list }),
        Err(problem) => problem.into_response(),
    }
}

async fn progress_of(state: &Shared, id: i64) -> Answer<Progress> {
    let registry = registries::one(state, Id::new(id)).await?;
    let counts = state.store().registry_counts(&Scope::All, registry.id).await?;
    Ok(Progress {
        show: Show::at(state.now()),
        class: registry_status_class(registry.status),
        registry,
        bar: image_bar(&counts),
        done: counts.scanned + counts.partial + counts.failed,
        left_out: counts.tags.saturating_sub(counts.tags_wanted),
        counts,
    })
}

async fn twigs(state: &Shared, visitor: &Visitor, id: i64, repository: &str, cursor: Option<String>) -> Answer<Twigs> {
    let filter = TagFilter { repository: Some(repository.to_owned()), tag: None };
    let page = Page { limit: TAGS + 1, cursor };
    let rows = state.store().tags(&Scope::All, Id::new(id), &filter, &page).await?;
    let page = report::api::Page::cut(rows, TAGS as usize, TagView::cursor);
    let next = page
        .next
        .map(|cursor| format!("/registries/{id}/branch?repository={}&cursor={}", quoted(repository), quoted(&cursor)));
    Ok(Twigs {
        registry: id,
        repository: repository.to_owned(),
        tags: page.items,
        next,
        operator: visitor.principal.may(store::types::Role::Operator),
        csrf: visitor.session.csrf.clone(),
    })
}

/// Is the digest of a tag that of its only image? Then one line says both.
pub(crate) fn is_one_image(tag: &TagView) -> bool {
    matches!(tag.images.as_slice(), [image] if image.digest == tag.digest)
}

/// The part with the progress.
pub(crate) async fn progress(State(state): State<Shared>, At(id): At<i64>) -> Response {
    match progress_of(&state, id).await {
        Ok(part) => render(&part),
        Err(problem) => problem.into_response(),
    }
}

/// `?repository=&cursor=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct BranchQuery {
    repository: String,
    cursor: Option<String>,
}

/// The part with the tags of one repository.
pub(crate) async fn branch(
    State(state): State<Shared>,
    visitor: Visitor,
    At(id): At<i64>,
    Params(query): Params<BranchQuery>,
) -> Response {
    match twigs(&state, &visitor, id, &query.repository, query.cursor).await {
        Ok(twigs) => render(&BranchPart { show: Show::at(state.now()), twigs }),
        Err(problem) => problem.into_response(),
    }
}

/// What to scan.
#[derive(Debug, Deserialize)]
pub(crate) struct ScanForm {
    #[serde(default)]
    repository: String,
    #[serde(default)]
    tag: String,
}

/// Scans a registry, a repository or a tag now.
pub(crate) async fn scan(State(state): State<Shared>, At(id): At<i64>, filled: Filled<ScanForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let request = ScanRequest { repository: filled(form.repository), tag: filled(form.tag), digest: None };
    let registry = registries::one(&state, Id::new(id)).await.or_refuse(&state, &visitor)?;
    let back = match &request.repository {
        Some(repository) => format!("/registries/{id}?open={}", quoted(repository)),
        None => format!("/registries/{id}"),
    };
    Ok(match registries::scan(&state, &registry, &request).await {
        Ok(started) => done(&state, &visitor, &back, format!("Asked for: {}.", started.detail)),
        Err(problem) => failed(&state, &visitor, &back, problem.detail),
    })
}

/// Tests the connection.
pub(crate) async fn test(
    State(state): State<Shared>,
    At(id): At<i64>,
    filled: Filled<super::form::Nothing>,
) -> PageResult {
    let visitor = filled.visitor;
    let registry = registries::one(&state, Id::new(id)).await.or_refuse(&state, &visitor)?;
    let result = registries::test_stored(&state, &registry).await.or_refuse(&state, &visitor)?;
    let text = result.steps.iter().map(|step| step.detail.as_str()).collect::<Vec<_>>().join("; ");
    let back = format!("/registries/{id}");
    Ok(if result.ok {
        done(&state, &visitor, &back, format!("The connection works: {text}."))
    } else {
        failed(&state, &visitor, &back, format!("The connection test failed: {text}."))
    })
}
