//! Takes leased jobs and does them: the same loop in the server and in an agent.
//!
//! Invariant: a job ends in exactly one of done, retry, failed; a worker that loses its lease stops writing,
//! because every write carries the lease.

use crate::clock::{SharedClock, after};
use crate::rules::Toolbox;
use crate::selection::Selection;
use crate::task::scan::Reading;
use crate::task::{discover, resolve, scan};
use crate::workplace::{Assignment, SharedWorkplace, Workplace};
use crate::{Error, ErrorKind, Result};
use analyze::MemoryBudget;
use model::extraction::ExtractionRules;
use model::job::{JobOutcome, JobWork, Lease};
use model::ports::{Inspector, Spool};
use model::registry::{Credentials, RegistryConfig, RegistryStatus};
use rand::RngExt;
use remote::connector::{Connector, connect};
use remote::docker_config::DockerConfig;
use remote::{Endpoint, Limits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a lease lasts without a heartbeat.
pub const LEASE_MS: u32 = 30_000;

/// How often a lease is extended.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// How long a worker waits for a job before it looks whether it should stop.
const TAKE_WAIT: Duration = Duration::from_secs(20);

/// What every worker of a process shares.
#[derive(Clone)]
pub struct Workshop {
    /// Where jobs come from and facts go to.
    pub place: SharedWorkplace,
    /// Compiled rules, as they are now.
    pub tools: Toolbox,
    /// Temporary files.
    pub spool: Arc<dyn Spool>,
    /// An engine outside the process, if one is configured.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// Layers read at once, in the whole process.
    pub layers_at_once: Arc<Semaphore>,
    /// Memory for content that is held whole, in the whole process.
    pub memory: Arc<MemoryBudget>,
    /// The clock.
    pub clock: SharedClock,
    /// `pratique/VERSION` or `pratique-agent/VERSION`.
    pub user_agent: String,
    /// Refuse private addresses.
    pub deny_private: bool,
    /// Logins that never leave this process (agents).
    pub logins: Option<Arc<DockerConfig>>,
    /// Clients by registry, so that tokens and connections are shared between jobs.
    pub clients: Arc<Mutex<BTreeMap<String, Arc<dyn Connector>>>>,
}

impl Workshop {
    /// What reading an image needs, with the rules that its job was given out with.
    fn reading(&self, assignment: &Assignment) -> Result<Reading> {
        let detectors = self.tools.current();
        if detectors.versions() != assignment.versions {
            return Err(Error::new(ErrorKind::Transient, "the rules were edited since the job was given out"));
        }
        Ok(Reading {
            detectors,
            spool: Arc::clone(&self.spool),
            inspector: self.inspector.clone(),
            layers_at_once: Arc::clone(&self.layers_at_once),
            memory: Arc::clone(&self.memory),
        })
    }
}

/// What every worker of an agent shares. Rules are compiled once the server has sent the reader's key.
#[derive(Clone)]
pub struct AgentWorkshop {
    /// The server.
    pub place: SharedWorkplace,
    /// The clock.
    pub clock: SharedClock,
    /// Temporary files.
    pub spool: Arc<dyn Spool>,
    /// An engine outside the process, if one is configured; needed where the server has one.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// Logins that never leave this process.
    pub logins: Option<Arc<DockerConfig>>,
    /// `pratique-agent/VERSION`.
    pub user_agent: String,
    /// How many layers are read at once, by all workers together.
    pub layers_at_once: Arc<Semaphore>,
    /// Memory for content that is held whole, of all workers together.
    pub memory: Arc<MemoryBudget>,
}

/// Gives back what an earlier run of the agent held. A server that cannot be reached now will end those leases itself.
pub async fn start_agent(agent: &AgentWorkshop) {
    if let Err(error) = agent.place.start_anew().await {
        tracing::warn!("earlier leases could not be given back: {error}");
    }
}

/// Works for a server until told to stop.
pub async fn run_agent(agent: AgentWorkshop, stop: CancellationToken) {
    let mut idle = Backoff::default();
    let mut shop: Option<Workshop> = None;
    while !stop.is_cancelled() {
        let taken = tokio::select! {
            taken = agent.place.take(TAKE_WAIT) => taken,
            () = stop.cancelled() => return,
        };
        let done = match taken {
            Ok(Some(assignment)) => agent_job(&agent, &mut shop, assignment).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!("no job could be done: {error}");
            tokio::select! {
                () = tokio::time::sleep(idle.next()) => {}
                () = stop.cancelled() => return,
            }
        } else {
            idle = Backoff::default();
        }
    }
}

async fn agent_job(agent: &AgentWorkshop, shop: &mut Option<Workshop>, assignment: Assignment) -> Result<()> {
    let shop = match shop {
        Some(shop) if *shop.tools.secret_key() == assignment.secret_key => shop,
        other => other.insert(agent_shop(agent, assignment.secret_key)?),
    };
    let is_current = |tools: &Toolbox| assignment.versions == tools.current().versions();
    if assignment.image.is_some() && !is_current(&shop.tools) {
        // The rules were edited since they were last fetched.
        shop.tools.adopt(agent.place.extraction_rules().await?).await?;
    }
    if assignment.image.is_some() && !is_current(&shop.tools) {
        let error = "this agent's detectors are not the server's: install the same version on both, and give both \
                     --clamd, or neither"
            .to_owned();
        let outcome = JobOutcome::Retry { after: after(shop.clock.now(), Duration::from_secs(300)), error };
        return agent.place.finish(&assignment.lease, &outcome).await;
    }
    do_one(shop, assignment).await;
    Ok(())
}

/// A workshop for the reader with this key. The server's own rules are fetched when the first job asks for them.
fn agent_shop(agent: &AgentWorkshop, secret_key: [u8; 32]) -> Result<Workshop> {
    Ok(Workshop {
        place: Arc::clone(&agent.place),
        tools: Toolbox::new(secret_key, ExtractionRules::default(), agent.inspector.is_some())?,
        spool: Arc::clone(&agent.spool),
        inspector: agent.inspector.clone(),
        layers_at_once: Arc::clone(&agent.layers_at_once),
        memory: Arc::clone(&agent.memory),
        clock: Arc::clone(&agent.clock),
        user_agent: agent.user_agent.clone(),
        deny_private: false,
        logins: agent.logins.clone(),
        clients: Arc::default(),
    })
}

/// Works until told to stop. A job under way is finished first.
pub async fn run(shop: Workshop, stop: CancellationToken) {
    let mut idle = Backoff::default();
    while !stop.is_cancelled() {
        let taken = tokio::select! {
            taken = shop.place.take(TAKE_WAIT) => taken,
            () = stop.cancelled() => return,
        };
        match taken {
            Ok(Some(assignment)) => {
                idle = Backoff::default();
                do_one(&shop, assignment).await;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("no job could be taken: {error}");
                tokio::select! {
                    () = tokio::time::sleep(idle.next()) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

/// Does one job, keeping its lease alive meanwhile.
async fn do_one(shop: &Workshop, assignment: Assignment) {
    let lease = assignment.lease.clone();
    let result = tokio::select! {
        result = perform(shop, &assignment) => result,
        error = keep_alive(&*shop.place, lease.clone()) => Err(error),
    };
    let outcome = match result {
        Ok(()) => JobOutcome::Done,
        Err(error) if error.kind == ErrorKind::StaleLease => {
            tracing::warn!(job = %lease.job, "the lease was lost: {error}");
            return;
        }
        Err(error) => conclude(shop, &assignment, error).await,
    };
    if let Err(error) = shop.place.finish(&lease, &outcome).await {
        tracing::warn!(job = %lease.job, "a job's end could not be recorded: {error}");
    }
}

/// Extends the lease for ever; returns only when it is lost.
async fn keep_alive(place: &dyn Workplace, mut lease: Lease) -> Error {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        match place.heartbeat(&lease).await {
            Ok(extended) => lease = extended,
            Err(error) if error.kind == ErrorKind::StaleLease => return error,
            Err(error) => tracing::warn!(job = %lease.job, "a heartbeat failed: {error}"),
        }
    }
}

async fn perform(shop: &Workshop, assignment: &Assignment) -> Result<()> {
    let connector = connector(shop, assignment).await?;
    match &assignment.lease.work {
        JobWork::Discover { .. } => {
            let found = discover::run(&*shop.place, assignment, &*connector, shop.clock.now()).await?;
            shop.place.registry_status(&assignment.lease, found.status, &found.reason, true).await
        }
        JobWork::Resolve { repository, digest, .. } => {
            let selection = Selection::new(&assignment.registry)?;
            let documents = resolve::fetch(connector.client(), repository, *digest, &selection).await?;
            shop.place.record_manifest(&assignment.lease, repository, &documents).await
        }
        JobWork::Scan { .. } => {
            let reading = shop.reading(assignment)?;
            scan::run(&*shop.place, assignment, connector.client(), &reading, &shop.clock).await
        }
    }
}

/// Decides between another try and giving up, and leaves a trace that people see.
async fn conclude(shop: &Workshop, assignment: &Assignment, error: Error) -> JobOutcome {
    let tries = assignment.lease.attempts + 1;
    let text = error.full();
    let again = error.kind == ErrorKind::Transient && tries < scan::ATTEMPTS_MAX;
    tracing::warn!(job = %assignment.lease.job, kind = assignment.lease.work.kind(), tries, again, "a job failed: {text}");
    let noted = match &assignment.lease.work {
        JobWork::Discover { .. } => {
            let place = &shop.place;
            place.registry_status(&assignment.lease, RegistryStatus::Error, &text, false).await
        }
        JobWork::Resolve { repository, digest, .. } if !again => {
            let mut documents = resolve::ManifestDocuments { digest: Some(*digest), ..Default::default() };
            documents.unreadable.insert(*digest, text.clone());
            shop.place.record_manifest(&assignment.lease, repository, &documents).await
        }
        JobWork::Scan { .. } if !again => shop.place.fail_scan(&assignment.lease, &text).await,
        JobWork::Resolve { .. } | JobWork::Scan { .. } => Ok(()),
    };
    if let Err(error) = noted {
        tracing::warn!(job = %assignment.lease.job, "the failure could not be recorded: {error}");
    }
    if again {
        JobOutcome::Retry { after: after(shop.clock.now(), retry_wait(tries)), error: text }
    } else {
        JobOutcome::Failed { error: text }
    }
}

/// 2, 4, 8, … seconds with up to half as much again of jitter.
fn retry_wait(tries: u32) -> Duration {
    let base = Duration::from_secs(1 << tries.min(8));
    base + base.mul_f64(rand::rng().random_range(0.0..0.5))
}

/// The login for a registry: the process's own, else what the server sent along.
async fn login(shop: &Workshop, assignment: &Assignment) -> Result<Option<Credentials>> {
    if let Some(logins) = &shop.logins {
        let host = Endpoint::parse(&assignment.registry.url).map_err(crate::error::from_remote)?.host;
        if let Some(own) = logins.credentials(&host).await.map_err(crate::error::from_remote)? {
            return Ok(Some(own));
        }
    }
    Ok(assignment.credentials.clone())
}

/// The connector of a registry. It is made anew when the configuration or the login changes.
async fn connector(shop: &Workshop, assignment: &Assignment) -> Result<Arc<dyn Connector>> {
    let registry = &assignment.registry;
    let credentials = login(shop, assignment).await?;
    let user = credentials.as_ref().map(|c| (&c.username, &c.password));
    let reach = (&registry.url, &registry.ca_certificate, registry.plain_http, registry.skip_tls_verify);
    let key = format!("{:?}", (registry.kind, reach, &registry.repositories, user));
    let key = crate::intelligence::sha256_hex(key.as_bytes());
    let mut clients = shop.clients.lock().await;
    if let Some(client) = clients.get(&key) {
        return Ok(Arc::clone(client));
    }
    let identity = Identity { user_agent: shop.user_agent.clone(), deny_private: shop.deny_private };
    let endpoint = endpoint(registry, credentials, &identity)?;
    let made = connect(registry.kind, endpoint, registry.repositories.clone(), Limits::default());
    let client: Arc<dyn Connector> = Arc::from(made.map_err(crate::error::from_remote)?);
    clients.insert(key, Arc::clone(&client));
    Ok(client)
}

/// How this process presents itself, and where it does not go.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `pratique/VERSION` or `pratique-agent/VERSION`.
    pub user_agent: String,
    /// Refuse private addresses.
    pub deny_private: bool,
}

/// How a configured registry is reached.
///
/// # Errors
/// When its address cannot be read.
pub fn endpoint(registry: &RegistryConfig, credentials: Option<Credentials>, identity: &Identity) -> Result<Endpoint> {
    let parsed = Endpoint::parse(&registry.url).map_err(crate::error::from_remote)?;
    Ok(Endpoint {
        plain_http: parsed.plain_http || registry.plain_http,
        skip_tls_verify: registry.skip_tls_verify,
        ca_certificate: registry.ca_certificate.clone(),
        user_agent: identity.user_agent.clone(),
        credentials,
        deny_private: identity.deny_private,
        ..parsed
    })
}

/// 0.5, 1, 2, … 30 seconds.
#[derive(Debug, Default)]
struct Backoff {
    tries: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(500 << self.tries.min(6));
        self.tries += 1;
        wait.min(Duration::from_secs(30))
    }
}
