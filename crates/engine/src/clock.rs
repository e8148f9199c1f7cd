//! The one clock of the program. Everything else takes the time as a parameter.

use async_trait::async_trait;
use model::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Tells the time, and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Returns at `moment`, or soon after; at once when it has passed.
    async fn wait_until(&self, moment: Timestamp);
}

/// A clock that tasks share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest nap between two looks at the machine's clock: it may be set meanwhile.
const NAP_MAX: Duration = Duration::from_secs(30);

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn wait_until(&self, moment: Timestamp) {
        loop {
            let left = moment.duration_since(self.now());
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(NAP_MAX)).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// A clock that stands still until it is set: for tests of what time does.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: watch::Sender::new(start) }
    }

    /// Moves forward, and wakes everyone whose moment has come.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(by).unwrap_or(Timestamp::MAX));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn wait_until(&self, moment: Timestamp) {
        let mut now = self.now.subscribe();
        // The sender lives in `self`, so waiting can only end by the moment coming.
        let _ = now.wait_for(|now| *now >= moment).await;
    }
}

/// `moment` plus a duration, at most the last representable moment.
pub fn after(moment: Timestamp, wait: Duration) -> Timestamp {
    moment.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
