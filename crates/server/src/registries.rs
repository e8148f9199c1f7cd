//! What people do with registries: add, edit, test, preview, scan now. Shared by the API and the page.
//!
//! Not here: discovery and scanning themselves (`engine`). Invariant: a configuration is stored only when its address,
//! patterns and limits can be used, and its address may be connected to.

use crate::agent_groups;
use crate::problem::{Answer, Problem};
use crate::state::Shared;
use engine::selection::Selection;
use engine::workplace::local::scan_reader;
use futures_util::FutureExt as _;
use model::id::kind;
use model::job::{ImageState, JobWork};
use model::registry::{Credentials, Registry, RegistryConfig, RegistryStatus, ScanMode};
use model::{Digest, Id, Scope};
use remote::connector::Connector;
use report::api::{FieldProblem, RegistryCountsBody, ScanRequest, ScanStarted, TestResult, TestStep};
use std::collections::BTreeSet;
use store::types::{CredentialsChange, NewJob, Page, RegistryCounts, TagFilter};

/// Priority of work that a person asked for: before everything that is planned.
const PRIORITY: i32 = 25;

/// Images queued by one request at most.
const SCAN_IMAGES_MAX: usize = 10_000;

/// Tags read at once.
const TAGS_AT_ONCE: u32 = 500;

/// Repositories shown by a test.
const SAMPLE: usize = 10;

/// The configuration in the form that is stored: the scheme of the address becomes `plain_http`.
///
/// # Errors
/// 422 when address, patterns or group cannot be used, or the address is one that is never connected to.
pub(crate) fn checked(state: &Shared, mut config: RegistryConfig) -> Answer<RegistryConfig> {
    let endpoint = remote::Endpoint::parse(&config.url).map_err(|error| bad_address(&error))?;
    config.url = endpoint.host;
    config.plain_http |= endpoint.plain_http;
    Selection::new(&config)?;
    if let Some(group) = &config.agent_group {
        agent_groups::check(group)?;
    }
    if config.scan_mode != ScanMode::Broker {
        allowed(state.engine.probe(&config, None)?.as_ref())?;
    }
    Ok(config)
}

fn bad_address(error: &remote::Error) -> Problem {
    Problem::fields(vec![FieldProblem { field: "url".to_owned(), detail: error.to_string() }])
}

/// Is the address one that may be connected to? The guard looks before anything is sent, so one look at a request tells
/// whether it refuses; the request itself is dropped. What a name resolves to is looked at when it is connected to.
fn allowed(connector: &dyn Connector) -> Answer<()> {
    match connector.client().ping().now_or_never() {
        Some(Err(error)) if error.kind == remote::ErrorKind::Forbidden => Err(bad_address(&error)),
        Some(_) | None => Ok(()),
    }
}

/// Adds a registry and starts its discovery.
///
/// # Errors
/// 422 for a configuration that cannot be used, 409 for a name that is taken.
pub(crate) async fn add(
    state: &Shared,
    config: RegistryConfig,
    credentials: Option<&Credentials>,
    by: &str,
) -> Answer<Registry> {
    let config = checked(state, config)?;
    let registry = state.store().add_registry(&config, credentials, by, state.now()).await?;
    state.engine.registries_changed();
    Ok(registry)
}

/// Edits a registry.
///
/// # Errors
/// 422 for a configuration that cannot be used, 409 for a name that is taken, 404 for no such registry.
pub(crate) async fn edit(
    state: &Shared,
    registry: &Registry,
    config: RegistryConfig,
    credentials: CredentialsChange,
    by: &str,
) -> Answer<Registry> {
    let config = checked(state, config)?;
    let elsewhere = config.url != registry.config.url || (config.plain_http && !registry.config.plain_http);
    if elsewhere && registry.has_credentials && matches!(credentials, CredentialsChange::Keep) {
        let why = "the address changed: give the user name and password again, so that they are not sent elsewhere";
        return Err(Problem::refused(why));
    }
    let was_enabled = registry.config.enabled;
    let enabled = config.enabled;
    let edited = state.store().update_registry(registry.id, &config, credentials, by, state.now()).await?;
    match (was_enabled, enabled) {
        (true, false) => set_status(state, &edited, RegistryStatus::Disabled, "switched off").await?,
        (false, true) => set_status(state, &edited, RegistryStatus::Pending, "switched on, not looked at yet").await?,
        (true, true) | (false, false) => {}
    }
    state.engine.registries_changed();
    one(state, registry.id).await
}

async fn set_status(state: &Shared, registry: &Registry, status: RegistryStatus, reason: &str) -> Answer<()> {
    Ok(state.store().set_registry_status(registry.id, status, reason, None).await?)
}

/// One registry.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn one(state: &Shared, id: Id<kind::Registry>) -> Answer<Registry> {
    Ok(state.store().registry(&Scope::All, id).await?)
}

/// Removes a registry; its issues are resolved.
///
/// # Errors
/// 404 when there is none.
pub(crate) async fn remove(state: &Shared, id: Id<kind::Registry>, by: &str) -> Answer<()> {
    state.store().delete_registry(id, by, state.now()).await?;
    state.engine.registries_changed();
    Ok(())
}

/// Tests the connection of a stored registry, and remembers what came of it.
///
/// # Errors
/// When the store fails; a test that fails is a result.
pub(crate) async fn test_stored(state: &Shared, registry: &Registry) -> Answer<TestResult> {
    let credentials = state.store().credentials(registry.id).await?;
    let result = test(state, &registry.config, credentials).await?;
    if registry.config.enabled && registry.config.scan_mode != ScanMode::Broker {
        let failed = result.steps.iter().find(|step| !step.ok);
        match (failed, registry.status) {
            (Some(step), _) if step.name != "catalogue" => {
                set_status(state, registry, RegistryStatus::Error, &step.detail).await?;
            }
            (None, RegistryStatus::Error) => {
                let reason = "the connection works again; the next discovery says more";
                set_status(state, registry, RegistryStatus::Pending, reason).await?;
            }
            (Some(_) | None, _) => {}
        }
    }
    Ok(result)
}

/// Tests a connection: reachability and login, then the catalogue, then the tags of one repository.
///
/// # Errors
/// 422 when the configuration cannot be used; a test that fails is a result.
pub(crate) async fn test(
    state: &Shared,
    config: &RegistryConfig,
    credentials: Option<Credentials>,
) -> Answer<TestResult> {
    if config.scan_mode == ScanMode::Broker {
        return broker_test(state, config).await;
    }
    let connector = state.engine.probe(config, credentials)?;
    let client = connector.client();
    let mut result = TestResult { ok: false, steps: Vec::new(), repositories: Vec::new(), rate_limit_remaining: None };
    if let Err(error) = client.ping().await {
        result.steps.push(step("login", false, error.to_string()));
        return Ok(result);
    }
    let secure = if config.plain_http { "over plain HTTP" } else { "over HTTPS" };
    result.steps.push(step("login", true, format!("{} answers {secure} and accepts the login", client.host())));
    if !catalogue(connector.as_ref(), config, &mut result).await {
        return Ok(result);
    }
    if let Some(repository) = result.repositories.first().cloned() {
        match connector.tags(&repository, None).await {
            Ok(page) => {
                let text = format!("{repository} has {} on the first page", plural(page.tags.len(), "tag"));
                result.steps.push(step("tags", true, text));
            }
            Err(error) => result.steps.push(step("tags", false, format!("{repository}: {error}"))),
        }
    }
    result.rate_limit_remaining = client.pulls_left();
    result.ok = result.steps.iter().all(|step| step.ok);
    Ok(result)
}

async fn catalogue(connector: &dyn Connector, config: &RegistryConfig, result: &mut TestResult) -> bool {
    if !config.repositories.is_empty() {
        result.repositories = config.repositories.iter().take(SAMPLE).cloned().collect();
        let text = format!("not needed: {} listed by hand", plural(config.repositories.len(), "repository"));
        result.steps.push(step("catalogue", true, text));
        return true;
    }
    match connector.repositories(None).await {
        Ok(page) if page.repositories.is_empty() => {
            let text = "the catalogue is empty: if the registry hides repositories from this user, list them by hand";
            result.steps.push(step("catalogue", false, text.to_owned()));
            false
        }
        Ok(page) => {
            let text = format!("the first page lists {}", plural(page.repositories.len(), "repository"));
            result.steps.push(step("catalogue", true, text));
            result.repositories = page.repositories.into_iter().take(SAMPLE).collect();
            true
        }
        Err(error) => {
            let text = format!("the catalogue is refused, so list the repositories by hand: {error}");
            result.steps.push(step("catalogue", false, text));
            false
        }
    }
}

/// The server cannot reach a brokered registry; what it can say is whether somebody can.
async fn broker_test(state: &Shared, config: &RegistryConfig) -> Answer<TestResult> {
    let group = config.agent_group.as_deref().unwrap_or_default();
    let agents = state.store().agents(&Scope::All).await?;
    let now = state.now();
    let online = agents.iter().filter(|agent| agent.group == group && is_online(agent.last_seen, now)).count();
    let detail = if online == 0 {
        format!("no agent of the group {group} is online: the server itself never connects to a brokered registry")
    } else {
        let agents = plural(online, "agent");
        format!("{agents} of the group {group} online; discovery runs there and says whether the registry answers")
    };
    let steps = vec![step("agents", online > 0, detail)];
    Ok(TestResult { ok: online > 0, steps, repositories: Vec::new(), rate_limit_remaining: None })
}

/// Did an agent ask for something within the last two minutes?
pub(crate) fn is_online(last_seen: Option<model::Timestamp>, now: model::Timestamp) -> bool {
    last_seen.is_some_and(|seen| now.duration_since(seen).as_secs() < 120)
}

fn step(name: &str, ok: bool, detail: String) -> TestStep {
    TestStep { name: name.to_owned(), ok, detail }
}

fn plural(count: usize, noun: &str) -> String {
    crate::page::show::counted(count as u64, noun)
}

/// Queues the images of a registry, a repository, a tag or a digest, before everything that is planned. A whole
/// registry is discovered too. Images that are read completely are left out unless they are named.
///
/// # Errors
/// 409 when the registry is switched off, 422 for a request that names nothing.
pub(crate) async fn scan(state: &Shared, registry: &Registry, request: &ScanRequest) -> Answer<ScanStarted> {
    if !registry.config.enabled {
        return Err(Problem::conflict(format!("the registry {} is switched off", registry.config.name)));
    }
    let digest = request.digest.as_deref().map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| Problem::refused(error.to_string()))?;
    if (request.tag.is_some() || digest.is_some()) && request.repository.is_none() {
        return Err(Problem::refused("a tag or digest needs its repository"));
    }
    let mut discovering = false;
    if request.repository.is_none() {
        discovering = state.engine.discover_now(registry.id).await?;
    }
    let named = request.tag.is_some() || digest.is_some();
    let jobs = wanted_jobs(state, registry, request, digest).await?;
    if jobs.is_empty() && named {
        return Err(Problem::not_found("no image of the scan configuration is found there"));
    }
    let queued = state.store().enqueue(&jobs, state.now()).await?;
    state.engine.office.jobs_changed.notify_waiters();
    state.engine.office.plan_wanted.notify_one();
    let discovery = if discovering { " and a discovery" } else { "" };
    let detail = format!("queued {}{discovery}", plural(usize::try_from(queued).unwrap_or(usize::MAX), "image"));
    Ok(ScanStarted { jobs: queued + u64::from(discovering), detail })
}

async fn wanted_jobs(
    state: &Shared,
    registry: &Registry,
    request: &ScanRequest,
    digest: Option<Digest>,
) -> Answer<Vec<NewJob>> {
    let filter = TagFilter { repository: request.repository.clone(), tag: request.tag.clone() };
    let named = request.tag.is_some() || digest.is_some();
    let mut page = Page::first(TAGS_AT_ONCE);
    let mut images: BTreeSet<(Digest, String)> = BTreeSet::new();
    loop {
        let tags = state.store().tags(&Scope::All, registry.id, &filter, &page).await?;
        for tag in tags.iter().filter(|tag| tag.wanted && tag.deleted_at.is_none()) {
            let fits = |image: &&store::types::TagImage| match digest {
                Some(digest) => image.digest == digest || tag.digest == digest,
                None => named || image.state != ImageState::Scanned,
            };
            images.extend(tag.images.iter().filter(fits).map(|image| (image.digest, tag.repository.clone())));
        }
        match tags.last() {
            Some(last) if tags.len() >= TAGS_AT_ONCE as usize && images.len() < SCAN_IMAGES_MAX => {
                page.cursor = Some(last.cursor());
            }
            Some(_) | None => break,
        }
    }
    let (now, reader) = (state.now(), scan_reader(&registry.config));
    let job = |(digest, repository)| NewJob {
        work: JobWork::Scan { registry: registry.id, repository, digest },
        reader: reader.clone(),
        priority: PRIORITY,
        run_after: now,
    };
    Ok(images.into_iter().take(SCAN_IMAGES_MAX).map(job).collect())
}

/// The counts in the form of the API.
pub(crate) const fn counts_body(counts: &RegistryCounts) -> RegistryCountsBody {
    RegistryCountsBody {
        repositories: counts.repositories,
        tags: counts.tags,
        tags_wanted: counts.tags_wanted,
        tags_unresolved: counts.tags_unresolved,
        images: counts.images,
        pending: counts.pending,
        scanning: counts.scanning,
        scanned: counts.scanned,
        partial: counts.partial,
        failed: counts.failed,
        issues_open: counts.issues_open,
    }
}
