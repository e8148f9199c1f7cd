//! Downloads of feeds that nobody asks for: every so often, and sooner for sources that failed.
//!
//! Not here: what a round does ([`rounds`](super::rounds)).
//!
//! Invariant: when the next round is due follows from what is stored, the clock and the schedule alone, so that a restart
//! neither skips a round nor begins one early; a source that fails is asked again ever more seldom, never more often
//! than the schedule's own start, and never holds up the others.

use super::{FeedSource, Outcome, Rounds, SourceOptions, sources};
use crate::clock::after;
use crate::intelligence::Library;
use crate::workplace::local::Office;
use crate::{Error, ErrorKind, Result};
use model::Timestamp;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::types::AuditEntry;
use tokio_util::sync::CancellationToken;

/// The name under which it is stored what the schedule did.
const SETTING: &str = "feeds.schedule";

/// The wait after the first failure; it doubles with each one that follows.
const RETRY_FIRST: Duration = Duration::from_secs(300);

/// How long to wait while another process downloads, or after the store failed.
const STAND_BACK: Duration = Duration::from_secs(60);

/// The longest text of a row of the audit log.
const DETAIL_CHARS_MAX: usize = 1000;

/// Where the feeds of a server come from, and when.
#[derive(Debug, Clone, Default)]
pub struct FeedOptions {
    /// From the beginning of one round to that of the next; `None`: only people begin rounds.
    pub every: Option<Duration>,
    /// The sources of a scheduled round, by name; a final `*` fits any end. Empty: all but the largest.
    pub wanted: Vec<String>,
    /// A file of sources in place of the one in the intelligence folder.
    pub file: Option<PathBuf>,
    /// Addresses by name, before those of the file.
    pub urls: Vec<(String, String)>,
    /// Spreads the rounds of many servers over time.
    pub jitter: Jitter,
}

impl FeedOptions {
    /// The sources with these names. The file is read each time, so that an edit of it counts.
    ///
    /// # Errors
    /// `Usage` when a name fits none or the file cannot be used.
    pub fn sources(&self, library: &Library, wanted: &[String], now: Timestamp) -> Result<Vec<FeedSource>> {
        let mut options = SourceOptions::of_folder(library.folder(), wanted)?;
        if let Some(path) = &self.file {
            options.file = Some(SourceOptions::read(path)?);
        }
        options.urls.clone_from(&self.urls);
        sources(&options, now)
    }
}

/// Numbers from 0 to 1, by chance or not.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Jitter {
    /// By chance.
    pub fn random() -> Self {
        Self(Arc::new(|| rand::rng().random_range(0.0..1.0)))
    }

    /// Always the same: for tests.
    pub fn fixed(share: f64) -> Self {
        Self(Arc::new(move || share))
    }

    fn draw(&self) -> f64 {
        (self.0)().clamp(0.0, 1.0)
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::random()
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}

/// What the schedule did, as it is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Done {
    /// When the last round over every source began.
    full_at: Option<Timestamp>,
    /// When the last round of any kind ended.
    ended_at: Option<Timestamp>,
    /// Sources that failed at their last attempt.
    failing: Vec<String>,
    /// Attempts in a row that left some of them failing.
    failures: u32,
    /// The share of the spread that the next waits get.
    jitter: f64,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    /// A round over every source.
    Full,
    /// A round over these.
    Failing(Vec<String>),
    /// Nothing before this moment.
    Not(Timestamp),
}

impl Done {
    /// What is due at `now`. A moment that lies ahead was written by a clock that was wrong, and does not count.
    fn due(&self, every: Duration, now: Timestamp) -> Due {
        let Some(full_at) = self.full_at.filter(|at| *at <= now) else { return Due::Full };
        let full = after(full_at, every.mul_f64(1.0 + self.jitter / 10.0));
        if full <= now {
            return Due::Full;
        }
        let again = match self.ended_at.filter(|at| *at <= now) {
            Some(ended_at) if !self.failing.is_empty() => after(ended_at, self.wait(every)),
            Some(_) | None => return Due::Not(full),
        };
        if again <= now { Due::Failing(self.failing.clone()) } else { Due::Not(again.min(full)) }
    }

    /// 5, 10, 20, … minutes with up to half as much again, at most as long as between two rounds.
    fn wait(&self, every: Duration) -> Duration {
        let doubled = RETRY_FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        doubled.mul_f64(1.0 + self.jitter / 2.0).min(every)
    }

    /// After a round over everything, or over what was failing.
    fn after_round(mut self, due: &Due, failing: Vec<String>, times: (Timestamp, Timestamp)) -> Self {
        let (began, ended) = times;
        if *due == Due::Full {
            self.full_at = Some(began);
        }
        self.ended_at = Some(ended);
        self.failures = if failing.is_empty() { 0 } else { self.failures.saturating_add(1) };
        self.failing = failing;
        self
    }
}

/// Begins rounds by the clock, until told to stop.
pub(crate) async fn keep(
    office: Office,
    library: Library,
    rounds: Rounds,
    options: FeedOptions,
    stop: CancellationToken,
) {
    let Some(every) = options.every else { return };
    let keeper = Keeper { office, library, rounds, options, every };
    loop {
        let looked = tokio::select! {
            looked = keeper.look() => looked,
            () = stop.cancelled() => return,
        };
        let next = looked.unwrap_or_else(|error| {
            if error.kind != ErrorKind::Conflict {
                tracing::error!("the scheduled download of feeds failed: {error}");
                keeper.rounds.refused(error.full());
            }
            after(keeper.office.clock.now(), STAND_BACK)
        });
        keeper.rounds.next_at(next);
        tokio::select! {
            () = keeper.office.clock.wait_until(next) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Keeper {
    office: Office,
    library: Library,
    rounds: Rounds,
    options: FeedOptions,
    every: Duration,
}

impl Keeper {
    /// Runs the round that is due, if one is. Answers when to look again.
    async fn look(&self) -> Result<Timestamp> {
        let done = self.done().await?;
        let began = self.office.clock.now();
        let due = done.due(self.every, began);
        let sources = match &due {
            Due::Not(next) => return Ok(*next),
            Due::Full => self.sources(&self.options.wanted)?,
            Due::Failing(names) => match self.sources(names) {
                Ok(sources) => sources,
                // A source that failed may have been taken out of the file since.
                Err(_) => self.sources(&self.options.wanted)?,
            },
        };
        let outcome = self.rounds.begin(sources)?.run().await;
        self.office.evaluation_wanted.notify_one();
        let failing = outcome.failed.iter().map(|failed| failed.name.clone()).collect();
        let ended = self.office.clock.now();
        let done = Done { jitter: self.options.jitter.draw(), ..done.after_round(&due, failing, (began, ended)) };
        self.store(&done).await?;
        self.tell(&outcome, ended).await?;
        match done.due(self.every, ended) {
            Due::Not(next) => Ok(next),
            Due::Full | Due::Failing(_) => Ok(ended),
        }
    }

    fn sources(&self, wanted: &[String]) -> Result<Vec<FeedSource>> {
        self.options.sources(&self.library, wanted, self.office.clock.now())
    }

    async fn done(&self) -> Result<Done> {
        let text = self.office.store.setting(SETTING).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    async fn store(&self, done: &Done) -> Result<()> {
        let text = serde_json::to_string(done)
            .map_err(|e| Error::because(ErrorKind::Internal, "what the schedule did cannot be written", e))?;
        Ok(self.office.store.set_setting(SETTING, &text).await?)
    }

    /// A row of the audit log for a round that changed something or failed.
    async fn tell(&self, outcome: &Outcome, now: Timestamp) -> Result<()> {
        let replaced: Vec<&str> = outcome.imported.feeds.iter().map(|meta| meta.id.as_str()).collect();
        let mut parts = Vec::new();
        if !replaced.is_empty() {
            parts.push(format!("generation {}: {}", outcome.imported.generation, replaced.join(", ")));
        }
        for failed in &outcome.failed {
            tracing::warn!("the feed {} was not refreshed, its old records stay: {}", failed.name, failed.reason);
            parts.push(format!("{} was not refreshed: {}", failed.name, failed.reason));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let detail = parts.join("; ").chars().take(DETAIL_CHARS_MAX).collect();
        let (by, what) = ("schedule".to_owned(), "intelligence.sync".to_owned());
        Ok(self.office.store.audit(&AuditEntry { id: 0, at: now, by, what, detail }).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(6 * 3600);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn rounds_come_every_so_often_and_failures_ever_more_seldom() {
        let mut done = Done::default();
        assert_eq!(done.due(EVERY, at(0)), Due::Full, "the first round is due at once");
        done = done.after_round(&Due::Full, Vec::new(), (at(0), at(2)));
        assert_eq!(done.due(EVERY, at(2)), Due::Not(at(360)));
        assert_eq!(done.due(EVERY, at(360)), Due::Full);
        let failing = || vec!["epss".to_owned()];
        done = done.after_round(&Due::Full, failing(), (at(360), at(362)));
        let mut now = 362;
        for wait in [5, 10, 20, 40, 80] {
            assert_eq!(done.due(EVERY, at(now)), Due::Not(at(now + wait)));
            now += wait;
            let due = done.due(EVERY, at(now));
            assert_eq!(due, Due::Failing(failing()));
            done = done.after_round(&due, failing(), (at(now), at(now)));
        }
        assert_eq!(done.due(EVERY, at(now)), Due::Not(at(now + 160)), "still before the next round");
        let healed = done.clone().after_round(&Due::Failing(failing()), Vec::new(), (at(now), at(now)));
        assert_eq!(healed.due(EVERY, at(now)), Due::Not(at(720)));
        assert_eq!(done.due(EVERY, at(720)), Due::Full, "a round asks every source");
    }

    #[test]
    fn waits_are_spread_and_bounded() {
        let done = Done { full_at: Some(at(0)), ended_at: Some(at(0)), jitter: 1.0, ..Done::default() };
        assert_eq!(done.due(EVERY, at(1)), Due::Not(at(396)), "a tenth later at most");
        let failing = Done { failing: vec!["x".to_owned()], failures: 1, ..done.clone() };
        assert_eq!(failing.due(EVERY, at(1)), Due::Not(Timestamp::from_second(at(7).as_second() + 30).unwrap()));
        let long = Done { failures: u32::MAX, ..failing };
        assert_eq!(long.wait(EVERY), EVERY);
        assert_eq!(done.due(EVERY, at(-1)), Due::Full, "a moment that lies ahead is not believed");
    }
}
