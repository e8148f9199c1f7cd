//! What every handler can reach.

use crate::auth::limiter::Limiter;
use crate::auth::session::Sessions;
use crate::auth::setup::Setup;
use crate::page::gaps::Remembered;
use engine::service::Engine;
use model::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What every handler can reach.
pub(crate) struct AppState {
    /// The engine, and the store behind it.
    pub(crate) engine: Arc<Engine>,
    /// Open sessions of the page.
    pub(crate) sessions: Sessions,
    /// Failed logins.
    pub(crate) logins: Limiter,
    /// The set-up link.
    pub(crate) setup: Setup,
    /// Do we speak TLS? Cookies are `Secure` then.
    pub(crate) tls: bool,
    /// Are private addresses refused for registries?
    pub(crate) deny_private: bool,
    /// Where uploads may lie for a while.
    pub(crate) uploads: PathBuf,
    /// One import at a time.
    pub(crate) imports: Semaphore,
    /// What the overview last read of many images.
    pub(crate) remembered: Remembered,
    /// Told when the server stops: streams end.
    pub(crate) stop: CancellationToken,
}

/// Shared by every handler.
pub(crate) type Shared = Arc<AppState>;

impl AppState {
    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.engine.office.store
    }

    /// Now, by the engine's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.engine.office.clock.now()
    }
}
