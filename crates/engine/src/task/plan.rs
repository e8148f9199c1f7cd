//! Turns what is known but not done into jobs: digests to resolve, images to read.
//!
//! A reconciler: idempotent, takes no input but the store. Asking for the same job twice adds nothing.

use crate::Result;
use crate::workplace::local::{Office, discovery_reader, readers_of, scan_reader, wanted_versions};
use model::Scope;
use model::job::JobWork;
use model::registry::Registry;
use store::types::NewJob;

/// Adds every job that is missing. Returns how many were added.
pub async fn run(office: &Office) -> Result<u64> {
    let mut added = 0;
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
    let versions = wanted_versions(&office.detectors);
    let resolve = discovery_reader(&registry.config);
    let scan = scan_reader(&registry.config);
    let mut jobs: Vec<NewJob> = Vec::new();
    for (repository, digest) in office.store.unresolved(registry.id).await? {
        let work = JobWork::Resolve { registry: registry.id, repository, digest };
        jobs.push(NewJob { work, reader: resolve.clone(), priority: 10, run_after: now });
    }
    for (repository, digest) in office.store.unscanned(registry.id, &readers_of(&registry.config), &versions).await? {
        let work = JobWork::Scan { registry: registry.id, repository, digest };
        jobs.push(NewJob { work, reader: scan.clone(), priority: 0, run_after: now });
    }
    if jobs.is_empty() {
        return Ok(0);
    }
    Ok(office.store.enqueue(&jobs, now).await?)
}
