//! Turns what is known but not done into jobs: digests to resolve, images to read.
//!
//! A reconciler: idempotent, takes no input but the store. Asking for the same job twice adds nothing.

use crate::Result;
use crate::workplace::local::{Office, discovery_reader, readers_of, scan_reader};
use model::Scope;
use model::job::JobWork;
use model::registry::Registry;
use store::types::{NewJob, Unscanned};

/// Images that were read before, with other rules or in part, wait for those that were never read.
pub const AGAIN_PRIORITY: i32 = -10;

/// Adds every job that is missing. Returns how many were added.
pub async fn run(office: &Office) -> Result<u64> {
    let mut added = 0;
    office.store.retry_unreadable(office.clock.now()).await?;
    for registry in office.store.registries(&Scope::All).await? {
        if registry.config.enabled {
            added += registry_jobs(office, &registry).await?;
        }
    }
    if added > 0 {
        office.jobs_changed.notify_waiters();
    }
    Ok(added)
}

async fn registry_jobs(office: &Office, registry: &Registry) -> Result<u64> {
    let now = office.clock.now();
    let versions = office.tools.current().versions();
    let resolve = discovery_reader(&registry.config);
    let scan = scan_reader(&registry.config);
    let mut jobs: Vec<NewJob> = Vec::new();
    for (repository, digest) in office.store.unresolved(registry.id).await? {
        let work = JobWork::Resolve { registry: registry.id, repository, digest };
        jobs.push(NewJob { work, reader: resolve.clone(), priority: 10, run_after: now });
    }
    let readers = readers_of(&registry.config);
    for image in office.store.unscanned(registry.id, &readers, &versions, now).await? {
        let Unscanned { repository, digest, again } = image;
        let work = JobWork::Scan { registry: registry.id, repository, digest };
        let priority = if again { AGAIN_PRIORITY } else { 0 };
        jobs.push(NewJob { work, reader: scan.clone(), priority, run_after: now });
    }
    if jobs.is_empty() {
        return Ok(0);
    }
    Ok(office.store.enqueue(&jobs, now).await?)
}
