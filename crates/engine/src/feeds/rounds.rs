//! Rounds of downloads, asked for by people or by the clock.
//!
//! Not here: when a round begins ([`schedule`](super::schedule)), what one source is ([`sync`](super::sync)).
//!
//! Invariant: one round at a time runs over a folder, whichever process began it; a round that is dropped half-way has
//! ended, and what it installed stays. How the last one ended is kept in the folder, so that a restart does not forget it.

use super::{FeedSource, Imported, sync_one};
use crate::clock::SharedClock;
use crate::event::{Event, Events};
use crate::{Error, ErrorKind, Result};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard};
use store::intel_folder::{DownloadTurn, IntelFolder};

/// A source that could not be refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSource {
    /// Its name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// What a round is doing, or what the last one did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// It is under way.
    pub running: bool,
    /// Sources that it asks.
    pub wanted: usize,
    /// Sources that it has done with.
    pub ended: usize,
    /// Those that could not be refreshed.
    pub failed: Vec<FailedSource>,
    /// When the last round over the folder ended, whichever process ran it.
    pub ended_at: Option<Timestamp>,
    /// When the clock begins the next one; `None` when only people do.
    pub next_at: Option<Timestamp>,
}

/// How a round ended, as it is kept in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LastRound {
    ended_at: Timestamp,
    failed: Vec<FailedSource>,
}

impl LastRound {
    /// What is kept. What cannot be read, or lies ahead because a clock was wrong, counts as nothing.
    fn read(folder: &IntelFolder, now: Timestamp) -> Option<Self> {
        let kept: Self = serde_json::from_slice(&folder.last_round().ok()??).ok()?;
        (kept.ended_at <= now).then_some(kept)
    }
}

/// Keeps how a round over a folder ended that this process ran without [`Rounds`].
///
/// # Errors
/// When the folder cannot be written.
pub fn keep_last_round(folder: &IntelFolder, ended_at: Timestamp, failed: Vec<FailedSource>) -> Result<()> {
    let text = serde_json::to_vec(&LastRound { ended_at, failed })
        .map_err(|e| Error::because(ErrorKind::Internal, "how a round ended cannot be written", e))?;
    Ok(folder.put_last_round(&text)?)
}

/// What a round brought.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Everything that was imported, as one.
    pub imported: Imported,
    /// Sources that could not be refreshed.
    pub failed: Vec<FailedSource>,
}

/// The rounds of one process over one folder.
#[derive(Clone)]
pub struct Rounds {
    progress: Arc<Mutex<Progress>>,
    folder: IntelFolder,
    clock: SharedClock,
    events: Events,
}

impl Rounds {
    /// No round of this process yet.
    pub fn new(folder: IntelFolder, clock: SharedClock, events: Events) -> Self {
        let rounds = Self { progress: Arc::default(), folder, clock, events };
        rounds.progress();
        rounds
    }

    /// What is going on, or how the last round ended, which may have been another process's.
    pub fn progress(&self) -> Progress {
        let kept = LastRound::read(&self.folder, self.clock.now());
        let mut progress = self.locked();
        if let Some(last) = kept.filter(|last| !progress.running && Some(last.ended_at) > progress.ended_at) {
            (progress.ended_at, progress.failed) = (Some(last.ended_at), last.failed);
        }
        progress.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no panic while the lock is held")
    }

    /// Says when the clock begins the next round.
    pub(super) fn next_at(&self, moment: Timestamp) {
        self.locked().next_at = Some(moment);
    }

    /// Says why no round could begin, in the place of what one did.
    pub(super) fn refused(&self, why: String) {
        let mut progress = self.locked();
        progress.failed = vec![FailedSource { name: "schedule".to_owned(), reason: why }];
    }

    /// Begins a round; it is under way from now on, and ends with [`Round::run`] or when it is dropped.
    ///
    /// # Errors
    /// `Conflict` when one is under way, here or in another process.
    pub fn begin(&self, sources: Vec<FeedSource>) -> Result<Round> {
        let Some(turn) = self.folder.download_turn()? else {
            return Err(Error::new(ErrorKind::Conflict, "a download of feeds is under way"));
        };
        let mut progress = self.locked();
        *progress = Progress {
            running: true,
            wanted: sources.len(),
            ended: 0,
            failed: Vec::new(),
            ended_at: progress.ended_at,
            next_at: progress.next_at,
        };
        drop(progress);
        self.events.send(Event::Feeds { running: true, failed: 0 });
        Ok(Round { rounds: self.clone(), sources, _turn: turn })
    }
}

/// A round under way.
pub struct Round {
    rounds: Rounds,
    sources: Vec<FeedSource>,
    _turn: DownloadTurn,
}

impl Round {
    /// Asks one source after the other. One that fails keeps its old records, and the others go on.
    pub async fn run(self) -> Outcome {
        let mut out = Outcome::default();
        for source in &self.sources {
            let synced = sync_one(&self.rounds.folder, source, self.rounds.clock.now()).await;
            match synced {
                Ok(None) => {}
                Ok(Some(imported)) => out.add(imported),
                Err(error) => out.failed.push(FailedSource { name: source.name.clone(), reason: error.to_string() }),
            }
            let mut progress = self.rounds.locked();
            progress.ended += 1;
            progress.failed.clone_from(&out.failed);
        }
        out
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let now = self.rounds.clock.now();
        let mut progress = self.rounds.locked();
        progress.running = false;
        progress.ended_at = Some(now);
        let failed = progress.failed.clone();
        drop(progress);
        let count = failed.len() as u64;
        if let Err(error) = keep_last_round(&self.rounds.folder, now, failed) {
            tracing::warn!("a restart will not know when feeds were downloaded: {error}");
        }
        self.rounds.events.send(Event::Feeds { running: false, failed: count });
    }
}

impl Outcome {
    fn add(&mut self, imported: Imported) {
        let Imported { generation, feeds, unrecognised, failed, changed_packages, .. } = imported;
        let total = &mut self.imported;
        total.generation = generation;
        total.feeds.extend(feeds);
        total.unrecognised.extend(unrecognised);
        total.failed.extend(failed);
        total.changed_packages.extend(changed_packages);
        total.changed_hashes += imported.changed_hashes;
        total.changed_vulnerabilities += imported.changed_vulnerabilities;
    }
}
