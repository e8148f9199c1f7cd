//! What time alone starts: discoveries on schedule, the daily re-evaluation, boundaries of policies.

use crate::Result;
use crate::clock::after;
use crate::task::evaluate::Cause;
use crate::workplace::local::{Office, discovery_reader};
use model::job::JobWork;
use model::registry::Registry;
use model::{Scope, Timestamp};
use std::time::Duration;
use store::types::NewJob;

/// Stored inventories are judged again at least this often.
pub const REEVALUATE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// When the last re-evaluation of everything ended, or the store began.
pub const LAST_FULL_SETTING: &str = "evaluation.last-full";

/// Asks for the discoveries that are due. Returns when the next one is.
pub async fn discoveries(office: &Office) -> Result<Option<Timestamp>> {
    let now = office.clock.now();
    let mut next: Option<Timestamp> = None;
    let mut jobs = Vec::new();
    for registry in office.store.registries(&Scope::All).await? {
        if !registry.config.enabled {
            continue;
        }
        let due = due_at(&registry);
        if due <= now {
            let work = JobWork::Discover { registry: registry.id };
            jobs.push(NewJob { work, reader: discovery_reader(&registry.config), priority: 20, run_after: now });
        } else {
            next = Some(next.map_or(due, |at| at.min(due)));
        }
    }
    if !jobs.is_empty() && office.store.enqueue(&jobs, now).await? > 0 {
        office.jobs_changed.notify_waiters();
    }
    Ok(next)
}

fn due_at(registry: &Registry) -> Timestamp {
    let every = Duration::from_secs(u64::from(registry.config.schedule_seconds.max(1)));
    registry.discovered_at.map_or(registry.created_at, |at| after(at, every))
}

/// What time alone makes due now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeCheck {
    /// Why a re-evaluation is due, if one is.
    pub cause: Option<Cause>,
    /// When the next look is needed.
    pub next: Timestamp,
}

/// Is a re-evaluation due by the clock? The very first look only starts the count.
pub async fn evaluation(office: &Office) -> Result<TimeCheck> {
    let now = office.clock.now();
    let last = match office.store.setting(LAST_FULL_SETTING).await?.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(last) => last,
        None => {
            office.store.set_setting(LAST_FULL_SETTING, &now.to_string()).await?;
            now
        }
    };
    let full = after(last, REEVALUATE_EVERY);
    let boundary = office.store.next_boundary().await?;
    let cause = if full <= now {
        Some(Cause::Daily)
    } else if boundary.is_some_and(|at| at <= now) {
        Some(Cause::Boundary)
    } else {
        None
    };
    Ok(TimeCheck { cause, next: boundary.map_or(full, |at| at.min(full)) })
}
