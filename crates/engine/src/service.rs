//! The running engine of a server: workers and reconcilers, each woken by signal and by clock.
//!
//! Invariant: everything that drives the work is in the store; stopping at any moment, and starting again, goes on
//! where the store says.

use crate::clock::{SharedClock, after};
use crate::event::{Event, Events};
use crate::feeds::{FeedOptions, FeedSource, Rounds, keep_schedule};
use crate::intelligence::Library;
use crate::rules::Toolbox;
use crate::task::evaluate::{Cause, Evaluator};
use crate::task::scan::memory_of_layers;
use crate::task::{plan, schedule};
use crate::worker::{self, Identity, Workshop};
use crate::workplace::Workplace;
use crate::workplace::local::{Desk, Office, discovery_reader, reader_key};
use crate::{Error, ErrorKind, Result};
use model::id::kind;
use model::job::JobWork;
use model::ports::{Inspector, Spool};
use model::registry::{Credentials, RegistryConfig};
use model::{Id, Reader, Scope};
use remote::connector::{Connector, connect};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::traits::SharedStore;
use store::types::NewJob;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a server decides about its engine.
pub struct EngineOptions {
    /// Every durable byte.
    pub store: SharedStore,
    /// Folder of the intelligence.
    pub intelligence: PathBuf,
    /// The clock.
    pub clock: SharedClock,
    /// Root of the keys of secret fingerprints.
    pub secret_key: [u8; 32],
    /// Temporary files.
    pub spool: Arc<dyn Spool>,
    /// An engine outside the process, if one is configured.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// Jobs done at once in this process; 0 leaves all reading to agents and other processes.
    pub workers: usize,
    /// Layers read at once.
    pub layers_at_once: usize,
    /// Ceiling for memory, in bytes: fewer layers are read at once when it has no room for them. `None` is what
    /// `layers_at_once` readers need.
    pub memory_bytes_max: Option<u64>,
    /// Where feeds come from, and when.
    pub feeds: FeedOptions,
    /// Names this process in job lists; the same after a restart, so that it can take up its own work at once.
    pub holder: String,
    /// `pratique/VERSION`.
    pub user_agent: String,
    /// Refuse private addresses.
    pub deny_private: bool,
}

/// A running engine.
pub struct Engine {
    /// What tasks share.
    pub office: Office,
    /// The intelligence in force.
    pub library: Library,
    /// Downloads of feeds.
    pub feed_rounds: Rounds,
    feeds: FeedOptions,
    identity: Identity,
    causes: mpsc::UnboundedSender<Cause>,
    schedule_wanted: Arc<Notify>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How often the intelligence folder is looked at: another process may have installed a generation.
const FOLDER_POLL: Duration = Duration::from_secs(1);

/// Signals that come close together are answered once.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long a failed reconciler waits before it tries again.
const RECOVER: Duration = Duration::from_secs(2);

impl Engine {
    /// Opens the intelligence, compiles the rules and starts every task.
    ///
    /// # Errors
    /// When the intelligence cannot be opened or a rule cannot be compiled.
    pub async fn start(options: EngineOptions) -> Result<Arc<Self>> {
        let library = Library::open(&options.intelligence)?;
        let key = reader_key(&options.secret_key, &Reader::Server);
        let tools = Toolbox::new(key, options.store.extraction_rules().await?, options.inspector.is_some())?;
        for problem in tools.current().problems() {
            tracing::warn!("a rule of the installation is left out: {problem}");
        }
        let office = Office {
            store: options.store,
            clock: options.clock,
            tools: tools.clone(),
            secret_key: options.secret_key,
            events: Events::default(),
            jobs_changed: Arc::new(Notify::new()),
            plan_wanted: Arc::new(Notify::new()),
            evaluation_wanted: Arc::new(Notify::new()),
        };
        let (causes, received) = mpsc::unbounded_channel();
        let engine = Arc::new(Self {
            office: office.clone(),
            library: library.clone(),
            feed_rounds: Rounds::new(library.folder().clone(), Arc::clone(&office.clock), office.events.clone()),
            feeds: options.feeds.clone(),
            identity: Identity { user_agent: options.user_agent.clone(), deny_private: options.deny_private },
            causes,
            schedule_wanted: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            tasks: Mutex::new(Vec::new()),
        });
        let (layers_at_once, memory) = memory_of_layers(options.layers_at_once, options.memory_bytes_max);
        let desk = Desk::new(office.clone(), Reader::Server, options.holder.clone());
        desk.start_anew().await?;
        let shop = Workshop {
            place: Arc::new(desk),
            tools,
            spool: options.spool,
            inspector: options.inspector,
            layers_at_once,
            memory,
            clock: Arc::clone(&office.clock),
            user_agent: options.user_agent,
            deny_private: options.deny_private,
            logins: None,
            clients: Arc::default(),
        };
        let mut tasks = engine.tasks.lock().await;
        for _ in 0..options.workers {
            tasks.push(tokio::spawn(worker::run(shop.clone(), engine.stop.clone())));
        }
        let stop = engine.stop.clone();
        tasks.push(tokio::spawn(plan_loop(office.clone(), stop.clone())));
        tasks.push(tokio::spawn(schedule_loop(office.clone(), Arc::clone(&engine.schedule_wanted), stop.clone())));
        let rounds = engine.feed_rounds.clone();
        tasks.push(tokio::spawn(keep_schedule(office.clone(), library.clone(), rounds, options.feeds, stop.clone())));
        tasks.push(tokio::spawn(evaluation_loop(Evaluator { office, library }, received, stop)));
        drop(tasks);
        Ok(engine)
    }

    /// Finishes the jobs under way, and stops.
    pub async fn stop(&self) {
        self.stop.cancel();
        for task in self.tasks.lock().await.drain(..) {
            let _ = task.await;
        }
    }

    /// A desk for the agents of a group.
    pub fn agent_desk(&self, group: &str, holder: String) -> Desk {
        Desk::new(self.office.clone(), Reader::Group(group.to_owned()), holder)
    }

    /// Everything is judged again soon.
    pub fn evaluate_because(&self, cause: Cause) {
        // The receiver lives as long as the engine; after a stop nobody evaluates.
        let _ = self.causes.send(cause);
    }

    /// Policies, exceptions or [`model::tuning::Tuning`] were edited: the store has the cause, and everything is judged
    /// again soon.
    pub fn intent_changed(&self) {
        self.office.evaluation_wanted.notify_one();
    }

    /// The stored extraction rules were edited: they are in force for everything that is read from now on, and images
    /// that were read with others are read again, by the detectors whose rules changed alone.
    ///
    /// # Errors
    /// When the store fails, or a rule that ships cannot be compiled.
    pub async fn extraction_changed(&self) -> Result<()> {
        self.office.tools.adopt(self.office.store.extraction_rules().await?).await?;
        self.office.plan_wanted.notify_one();
        self.office.evaluation_wanted.notify_one();
        Ok(())
    }

    /// A registry was added or edited: looks at schedules and at what is to be done at once.
    pub fn registries_changed(&self) {
        self.schedule_wanted.notify_one();
        self.office.plan_wanted.notify_one();
        self.office.evaluation_wanted.notify_one();
    }

    /// Asks for a discovery now. Returns false when one is under way already.
    ///
    /// # Errors
    /// `NotFound` when there is no such registry.
    pub async fn discover_now(&self, registry: Id<kind::Registry>) -> Result<bool> {
        let registry = self.office.store.registry(&Scope::All, registry).await?;
        if !registry.config.enabled {
            return Err(Error::new(ErrorKind::Conflict, format!("the registry {} is disabled", registry.config.name)));
        }
        let now = self.office.clock.now();
        let work = JobWork::Discover { registry: registry.id };
        let job = NewJob { work, reader: discovery_reader(&registry.config), priority: 30, run_after: now };
        let added = self.office.store.enqueue(&[job], now).await?;
        self.office.jobs_changed.notify_waiters();
        Ok(added > 0)
    }

    /// The sources of feeds with these names, as this server is told to reach them.
    ///
    /// # Errors
    /// `Usage` when a name fits none or the file of sources cannot be used.
    pub fn feed_sources(&self, wanted: &[String]) -> Result<Vec<FeedSource>> {
        self.feeds.sources(&self.library, wanted, self.office.clock.now())
    }

    /// A connector for looking at a registry from the server itself, outside of any job.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn probe(&self, config: &RegistryConfig, credentials: Option<Credentials>) -> Result<Box<dyn Connector>> {
        let endpoint = worker::endpoint(config, credentials, &self.identity)?;
        connect(config.kind, endpoint, config.repositories.clone(), remote::Limits::default())
            .map_err(crate::error::from_remote)
    }

    /// True when no job is live and nothing waits to be matched or judged.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_idle(&self) -> Result<bool> {
        // In the direction that work takes: what moves on between two questions is met by the next one.
        let store = &self.office.store;
        for registry in store.registries(&Scope::All).await?.iter().filter(|r| r.config.enabled) {
            if registry.discovered_at.is_none() || !store.unresolved(registry.id).await?.is_empty() {
                return Ok(false);
            }
        }
        if plan::run(&self.office).await? > 0 {
            return Ok(false);
        }
        let filter = store::types::JobFilter { registry: None, live: true };
        let jobs = store.jobs(&Scope::All, &filter, &store::types::Page::first(1)).await?;
        Ok(jobs.is_empty()
            && store.causes().await?.is_empty()
            && store.packages_to_match(1).await?.is_empty()
            && store.repositories_to_judge(1).await?.is_empty())
    }
}

async fn plan_loop(office: Office, stop: CancellationToken) {
    loop {
        if let Err(error) = plan::run(&office).await {
            tracing::error!("planning failed: {error}");
            tokio::time::sleep(RECOVER).await;
        }
        let now = office.clock.now();
        let next = office.store.next_retry(now).await.ok().flatten().unwrap_or(model::Timestamp::MAX);
        tokio::select! {
            () = office.plan_wanted.notified() => tokio::time::sleep(DEBOUNCE).await,
            () = office.clock.wait_until(next) => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn schedule_loop(office: Office, wanted: Arc<Notify>, stop: CancellationToken) {
    loop {
        let next = match schedule::discoveries(&office).await {
            Ok(next) => next.unwrap_or(model::Timestamp::MAX),
            Err(error) => {
                tracing::error!("scheduling discoveries failed: {error}");
                after(office.clock.now(), RECOVER)
            }
        };
        tokio::select! {
            () = office.clock.wait_until(next) => {
                // A discovery that is due stays due until it ends.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            () = wanted.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn evaluation_loop(evaluator: Evaluator, mut causes: mpsc::UnboundedReceiver<Cause>, stop: CancellationToken) {
    let mut asked: Vec<Cause> = Vec::new();
    loop {
        let next = match evaluation_round(&evaluator, &mut asked).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!("evaluation failed: {error}");
                tokio::time::sleep(RECOVER).await;
                evaluator.office.clock.now()
            }
        };
        tokio::select! {
            () = evaluator.office.evaluation_wanted.notified() => tokio::time::sleep(DEBOUNCE).await,
            () = evaluator.office.clock.wait_until(next) => {}
            cause = causes.recv() => asked.extend(cause),
            () = tokio::time::sleep(FOLDER_POLL) => {}
            () = stop.cancelled() => return,
        }
        while let Ok(cause) = causes.try_recv() {
            asked.push(cause);
        }
        asked.dedup();
    }
}

/// One look at everything that may need judging. Returns when time alone needs the next look.
async fn evaluation_round(evaluator: &Evaluator, asked: &mut Vec<Cause>) -> Result<model::Timestamp> {
    if let Some(generation) = refresh(evaluator).await? {
        evaluator.office.events.send(Event::Intelligence { generation });
        evaluator.reevaluate(&Cause::Intelligence(generation)).await?;
    }
    let causes = evaluator.office.store.causes().await?;
    if let Some((last, _)) = causes.last() {
        let texts: Vec<&str> = causes.iter().map(|(_, text)| text.as_str()).collect();
        evaluator.reevaluate(&Cause::Intent(texts.join("; "))).await?;
        evaluator.office.store.causes_judged(*last).await?;
    }
    while let Some(cause) = asked.first().cloned() {
        evaluator.reevaluate(&cause).await?;
        asked.remove(0);
    }
    let mut check = schedule::evaluation(&evaluator.office).await?;
    if let Some(cause) = check.cause.take() {
        evaluator.reevaluate(&cause).await?;
        check = schedule::evaluation(&evaluator.office).await?;
    }
    evaluator.settle(None, "scan").await?;
    Ok(check.next)
}

/// Opens a newly installed generation; also says when the stored judgements are of an older one.
async fn refresh(evaluator: &Evaluator) -> Result<Option<u64>> {
    let library = evaluator.library.clone();
    let opened = tokio::task::spawn_blocking(move || library.refresh())
        .await
        .map_err(|e| Error::because(ErrorKind::Internal, "opening the intelligence was cut off", e))?;
    if let Err(error) = opened {
        tracing::error!("a new generation of intelligence cannot be opened, the old one stays: {error}");
    }
    let generation = evaluator.library.current().intelligence.generation();
    let store = &evaluator.office.store;
    match store.judged_generation().await? {
        Some(judged) if judged == generation => Ok(None),
        Some(_) => Ok(Some(generation)),
        None => {
            // Nothing was ever judged: what is stored will be matched with this generation anyway.
            store.set_judged_generation(generation).await?;
            Ok(None)
        }
    }
}
