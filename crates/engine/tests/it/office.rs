//! An engine over a store in a temporary folder, with a clock that tests set.

use engine::clock::{Clock, ManualClock};
use engine::feeds::{FeedOptions, import_documents};
use engine::service::{Engine, EngineOptions};
use model::policy::PolicySet;
use model::registry::{InitialScan, RegistryConfig, RegistryKind, ScanMode, ScopeGlobs};
use model::{Id, Issue, Scope, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::types::{IssueFilter, Page};
use store::{DiskSpool, MasterKey, SqliteStore};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that outlives one run of the engine.
pub struct Office {
    pub folder: TempDir,
    pub store: Arc<SqliteStore>,
    pub clock: ManualClock,
}

impl Office {
    pub async fn open(start: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), MasterKey::generate().expect("a key")).await.expect("a store");
        Self { folder, store: Arc::new(store), clock: ManualClock::new(start.parse().expect("a time")) }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn intel(&self) -> std::path::PathBuf {
        self.folder.path().join("intel")
    }

    /// Imports documents as another process would.
    pub fn import(&self, documents: &[(&str, String)]) {
        let folder = store::intel_folder::IntelFolder::open(&self.intel()).expect("a folder");
        let owned: Vec<(String, Vec<u8>)> =
            documents.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes())).collect();
        let imported = import_documents(&folder, &owned, self.now()).expect("imported");
        assert!(imported.failed.is_empty() && imported.unrecognised.is_empty(), "{imported:?}");
    }

    pub async fn policies(&self, toml: &str) {
        let mut set: PolicySet = policy::parse_policies(toml).expect("policies");
        set.revision = self.store().policies().await.expect("policies").map_or(0, |stored| stored.revision);
        self.store().put_policies(&set, "test", self.now()).await.expect("stored");
    }

    pub fn store(&self) -> &dyn store::Store {
        &*self.store
    }

    pub async fn start(&self) -> Arc<Engine> {
        self.start_with_feeds(FeedOptions::default()).await
    }

    pub async fn start_with_feeds(&self, feeds: FeedOptions) -> Arc<Engine> {
        let options = EngineOptions {
            store: Arc::clone(&self.store) as _,
            intelligence: self.intel(),
            clock: Arc::new(self.clock.clone()),
            secret_key: [7; 32],
            spool: Arc::new(DiskSpool::new(&self.folder.path().join("spool"), 64 << 20).expect("a spool")),
            inspector: None,
            workers: 2,
            layers_at_once: 2,
            memory_bytes_max: None,
            feeds,
            holder: "test".into(),
            user_agent: "pratique/test".into(),
            deny_private: false,
        };
        Engine::start(options).await.expect("an engine")
    }

    /// Adds a registry that is discovered once and then never again by schedule.
    pub async fn add_registry(
        &self,
        engine: &Engine,
        host: &str,
        change: impl FnOnce(&mut RegistryConfig),
    ) -> Id<model::id::kind::Registry> {
        let mut config = RegistryConfig {
            name: "test".into(),
            kind: RegistryKind::DockerV2,
            url: host.to_owned(),
            ca_certificate: None,
            plain_http: true,
            skip_tls_verify: false,
            repositories: Vec::new(),
            scan_mode: ScanMode::Cloud,
            agent_group: None,
            initial_scan: InitialScan::All,
            scope: ScopeGlobs::default(),
            platforms: Vec::new(),
            newest_per_repository: None,
            schedule_seconds: u32::MAX,
            enabled: true,
        };
        change(&mut config);
        let registry = self.store().add_registry(&config, None, "test", self.now()).await.expect("added");
        engine.registries_changed();
        registry.id
    }

    pub async fn open_issues(&self) -> Vec<Issue> {
        let filter = IssueFilter { state: Some(model::issue::IssueState::Open), ..IssueFilter::default() };
        self.store().issues(&Scope::All, &filter, &Page::first(500)).await.expect("issues")
    }

    pub async fn evaluations(&self) -> Vec<store::types::EvaluationView> {
        self.store().evaluations(&Page::first(100)).await.expect("evaluations")
    }
}

/// Waits until the engine has nothing left to do.
pub async fn settled(engine: &Engine) {
    let started = Instant::now();
    let mut quiet = 0;
    while quiet < 5 {
        quiet = if engine.is_idle().await.expect("a look") { quiet + 1 } else { 0 };
        assert!(started.elapsed() < PATIENCE, "the engine never came to rest");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Waits until something holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Time enough for tasks that were woken to do something that they should not.
pub async fn breathe() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}
