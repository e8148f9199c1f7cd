//! What happens, as it happens: for progress displays. Never the source of truth; a listener that lags loses some.

use model::id::kind;
use model::{Digest, Id};
use serde::Serialize;
use tokio::sync::broadcast;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A registry's status, tags or counts may have changed.
    Registry {
        /// Which.
        registry: Id<kind::Registry>,
    },
    /// An image's state may have changed.
    Image {
        /// Found in.
        registry: Id<kind::Registry>,
        /// Which.
        digest: Digest,
    },
    /// Issues of a repository may have changed.
    Issues {
        /// Found in.
        registry: Id<kind::Registry>,
        /// Which.
        repository: String,
    },
    /// New intelligence is in force.
    Intelligence {
        /// Its generation.
        generation: u64,
    },
    /// A download of feeds began or ended.
    Feeds {
        /// True while it runs.
        running: bool,
        /// Sources that could not be refreshed.
        failed: u64,
    },
    /// A re-evaluation began or ended.
    Evaluation {
        /// True while it runs.
        running: bool,
    },
}

/// Sends events to whoever listens.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(1024) }
    }
}

impl Events {
    /// Tells everyone; nobody listening is fine.
    pub fn send(&self, event: Event) {
        let _ = self.sender.send(event);
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
