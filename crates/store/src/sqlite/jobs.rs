//! The leased queue.
//!
//! Invariants: among live jobs (kind, key, reader) is unique; tokens come from one counter that only grows, so every
//! lease of every job has a newer one than all before; `ready` is set on exactly those live jobs that the last look
//! at the clock found due or with a lease that is over.

use super::columns::{get, json_at, micros, micros_up, reader_at, readers_json, time, time_at};
use super::evaluations::before;
use super::failure::About as _;
use super::fence::{held, next};
use super::{SqliteStore, Tx};
use crate::packed::json;
use crate::traits::Jobs;
use crate::types::{JobFilter, JobOutcome, JobView, NewJob, Page};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use jiff::SignedDuration;
use model::job::{FencingToken, JobWork, Lease};
use model::{Digest, Id, Reader, Scope, Timestamp};
use sqlx::sqlite::SqliteRow;

/// Jobs that are over are kept for people, this many.
const OVER_KEPT: i64 = 4096;

/// How often, in leases given out, the older ones are removed.
const TRIM_EVERY: i64 = 256;

#[async_trait]
impl Jobs for SqliteStore {
    async fn enqueue(&self, jobs: &[NewJob], now: Timestamp) -> Result<u64> {
        let rows: Vec<_> = jobs.iter().map(row_of).collect::<Result<_>>()?;
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "INSERT INTO jobs (kind, key, reader, registry_id, work, image, priority, due_at, state, live, ready, created_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, r.id, value ->> 4, unhex(value ->> 5), value ->> 6,
                    value ->> 7, 'queued', 1, (value ->> 7) <= ?2, ?2
             FROM json_each(?1) CROSS JOIN registries r ON r.id = value ->> 3 WHERE true
             ORDER BY json_each.key
             ON CONFLICT DO NOTHING",
        )
        .bind(json(&rows)?)
        .bind(micros(now))
        .execute(&mut *tx)
        .await
        .about("adding jobs")?;
        tx.commit().await.about("adding jobs")?;
        Ok(done.rows_affected())
    }

    async fn lease(
        &self,
        holder: &str,
        readers: &[Reader],
        kinds: &[&str],
        duration_ms: u32,
        now: Timestamp,
    ) -> Result<Option<Lease>> {
        let deadline = deadline(now, duration_ms)?;
        let mut tx = self.write().await?;
        wake(&mut tx, now).await?;
        let Some(job) = choose(&mut tx, readers, kinds).await? else {
            tx.commit().await.about("leasing a job")?;
            return Ok(None);
        };
        let token = next(&mut tx, "fence").await?;
        let row = sqlx::query(
            "UPDATE jobs SET state = 'leased', ready = 0, holder = ?2, due_at = ?3, token = ?4, attempts = attempts + 1
             WHERE id = ?1 RETURNING work, reader, registry_id, image, attempts",
        )
        .bind(job)
        .bind(holder)
        .bind(micros(deadline))
        .bind(token)
        .fetch_one(&mut *tx)
        .await
        .about("leasing a job")?;
        started(&mut tx, job, token, &row, now).await?;
        if token % TRIM_EVERY == 0 {
            trim(&mut tx).await?;
        }
        tx.commit().await.about("leasing a job")?;
        let attempts = get::<u32>(&row, "attempts")?.saturating_sub(1);
        let token = FencingToken(token);
        Ok(Some(Lease { job: Id::new(job), work: json_at(&row, "work")?, token, deadline, attempts }))
    }

    async fn holder(&self, lease: &Lease) -> Result<Option<String>> {
        let mut tx = self.read().await?;
        if held(&mut tx, lease).await?.is_none() {
            return Ok(None);
        }
        sqlx::query_scalar("SELECT holder FROM jobs WHERE id = ?1")
            .bind(lease.job.get())
            .fetch_one(&mut *tx)
            .await
            .about("reading a job")
    }

    async fn heartbeat(&self, lease: &Lease, duration_ms: u32, now: Timestamp) -> Result<Lease> {
        let deadline = deadline(now, duration_ms)?;
        let (mut tx, held) = self.fenced(lease).await?;
        sqlx::query("UPDATE jobs SET ready = 0, due_at = ?2 WHERE id = ?1")
            .bind(held.job)
            .bind(micros(deadline))
            .execute(&mut *tx)
            .await
            .about("extending a lease")?;
        tx.commit().await.about("extending a lease")?;
        Ok(Lease { deadline, ..lease.clone() })
    }

    async fn give_back(&self, holder: &str, now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let given = give_back(&mut tx, holder, "its holder started anew", now).await?;
        tx.commit().await.about("giving leases back")?;
        Ok(given)
    }

    async fn finish(&self, lease: &Lease, outcome: &JobOutcome, now: Timestamp) -> Result<()> {
        let (mut tx, held) = self.fenced(lease).await?;
        let (state, due, error) = match outcome {
            JobOutcome::Done => ("done", micros(now), None),
            JobOutcome::Retry { after, error } => ("queued", micros_up(*after), Some(error)),
            JobOutcome::Failed { error } => ("failed", micros(now), Some(error)),
        };
        sqlx::query(
            "UPDATE jobs SET state = ?2, live = ?2 = 'queued', ready = ?2 = 'queued' AND ?3 <= ?5, due_at = ?3,
                    error = ?4, holder = CASE WHEN ?2 = 'queued' THEN NULL ELSE holder END
             WHERE id = ?1",
        )
        .bind(held.job)
        .bind(state)
        .bind(due)
        .bind(error)
        .bind(micros(now))
        .execute(&mut *tx)
        .await
        .about("ending a job")?;
        let_go(&mut tx, held.job).await?;
        tx.commit().await.about("ending a job")
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &Page) -> Result<Vec<JobView>> {
        let Scope::All = scope;
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE id < ?1 AND (?2 IS NULL OR registry_id = ?2) AND (?3 = 0 OR live = 1)
             ORDER BY id DESC LIMIT ?4",
        )
        .bind(before(page)?)
        .bind(filter.registry.map(Id::get))
        .bind(filter.live)
        .bind(page.limit)
        .fetch_all(&self.readers)
        .await
        .about("listing jobs")?;
        rows.iter().map(view).collect()
    }

    async fn next_due(&self, readers: &[Reader]) -> Result<Option<Timestamp>> {
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT MIN((SELECT j.due_at FROM jobs j JOIN registries r ON r.id = j.registry_id AND r.enabled = 1
                         WHERE j.live = 1 AND j.reader = n.value ORDER BY j.due_at LIMIT 1))
             FROM json_each(?1) n",
        )
        .bind(readers_json(readers)?)
        .fetch_one(&self.readers)
        .await
        .about("looking for the next job")?;
        due.map(time).transpose()
    }

    async fn stale_writes(&self) -> Result<u64> {
        let found: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'stale_writes'")
            .fetch_one(&self.readers)
            .await
            .about("counting stale writes")?;
        super::columns::count(found)
    }
}

type NewRow = (String, String, String, i64, String, Option<String>, i32, i64);

fn row_of(job: &NewJob) -> Result<NewRow> {
    let image = image_of(&job.work).map(Digest::hex);
    let work = &job.work;
    let (kind, key, reader) = (work.kind().to_owned(), work.key(), job.reader.to_string());
    Ok((kind, key, reader, work.registry().get(), json(work)?, image, job.priority, micros_up(job.run_after)))
}

/// The image that a job reads.
fn image_of(work: &JobWork) -> Option<&Digest> {
    match work {
        JobWork::Scan { digest, .. } => Some(digest),
        JobWork::Discover { .. } | JobWork::Resolve { .. } => None,
    }
}

fn deadline(now: Timestamp, duration_ms: u32) -> Result<Timestamp> {
    let end = now.checked_add(SignedDuration::from_millis(duration_ms.into()));
    let end = end.map_err(|e| Error::because(ErrorKind::Malformed, "the lease would never end", e))?;
    time(micros(end))
}

/// Marks jobs that have become due, and leases that are over, as ready to be taken.
async fn wake(tx: &mut Tx, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE jobs SET ready = 1 WHERE live = 1 AND ready = 0 AND due_at <= ?1")
        .bind(micros(now))
        .execute(&mut **tx)
        .await
        .about("waking jobs")?;
    Ok(())
}

/// The best ready job: one candidate per (reader, kind, registry), each found by one look into the index, then
/// highest priority, then the registry with the fewest leases, then the one that waited longest, then the oldest.
async fn choose(tx: &mut Tx, readers: &[Reader], kinds: &[&str]) -> Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT j.id FROM (
             SELECT (SELECT c.id FROM jobs c WHERE c.ready = 1 AND c.reader = n.value AND c.kind = k.value
                       AND c.registry_id = r.id ORDER BY c.priority DESC, c.id LIMIT 1) AS id,
                    r.id AS registry_id, r.last_turn
             FROM registries r CROSS JOIN json_each(?1) n CROSS JOIN json_each(?2) k WHERE r.enabled = 1) best
         CROSS JOIN jobs j ON j.id = best.id
         ORDER BY j.priority DESC,
                  (SELECT COUNT(*) FROM jobs l WHERE l.state = 'leased' AND l.ready = 0
                     AND l.registry_id = best.registry_id),
                  best.last_turn, j.id
         LIMIT 1",
    )
    .bind(readers_json(readers)?)
    .bind(json(kinds)?)
    .fetch_optional(&mut **tx)
    .await
    .about("choosing a job")
}

/// What a new lease means besides the job's row: claims of earlier leases are void, the registry had its turn.
async fn started(tx: &mut Tx, job: i64, token: i64, row: &SqliteRow, now: Timestamp) -> Result<()> {
    let_go(tx, job).await?;
    sqlx::query("UPDATE registries SET last_turn = ?2 WHERE id = ?1")
        .bind(get::<i64>(row, "registry_id")?)
        .bind(token)
        .execute(&mut **tx)
        .await
        .about("leasing a job")?;
    let Some(image) = get::<Option<&[u8]>>(row, "image")? else { return Ok(()) };
    let id: Option<i64> = sqlx::query_scalar("SELECT id FROM images WHERE digest = ?1")
        .bind(image)
        .fetch_optional(&mut **tx)
        .await
        .about("leasing a job")?;
    match id {
        Some(id) => super::manifests::ensure_state(tx, id, get(row, "reader")?, now).await,
        None => Ok(()),
    }
}

/// Drops every claim of a job.
async fn let_go(tx: &mut Tx, job: i64) -> Result<()> {
    sqlx::query("DELETE FROM blob_claims WHERE job_id = ?1")
        .bind(job)
        .execute(&mut **tx)
        .await
        .about("letting go of blobs")?;
    Ok(())
}

async fn trim(tx: &mut Tx) -> Result<()> {
    sqlx::query(
        "DELETE FROM jobs WHERE live = 0 AND id < (
             SELECT MIN(id) FROM (SELECT id FROM jobs WHERE live = 0 ORDER BY id DESC LIMIT ?1))",
    )
    .bind(OVER_KEPT)
    .execute(&mut **tx)
    .await
    .about("removing old jobs")?;
    Ok(())
}

/// Gives every lease of a holder back, for a reason that people see. Returns how many.
pub(super) async fn give_back(tx: &mut Tx, holder: &str, why: &str, now: Timestamp) -> Result<u64> {
    let jobs: Vec<i64> = sqlx::query_scalar(
        "UPDATE jobs SET state = 'queued', ready = 1, holder = NULL, due_at = ?2, error = ?3
         WHERE state = 'leased' AND holder = ?1 RETURNING id",
    )
    .bind(holder)
    .bind(micros(now))
    .bind(why)
    .fetch_all(&mut **tx)
    .await
    .about("giving leases back")?;
    for job in &jobs {
        let_go(tx, *job).await?;
    }
    Ok(jobs.len() as u64)
}

fn view(row: &SqliteRow) -> Result<JobView> {
    Ok(JobView {
        id: Id::new(get(row, "id")?),
        work: json_at(row, "work")?,
        reader: reader_at(row, "reader")?,
        state: get(row, "state")?,
        holder: get(row, "holder")?,
        attempts: get(row, "attempts")?,
        error: get(row, "error")?,
        created_at: time_at(row, "created_at")?,
        due_at: time_at(row, "due_at")?,
    })
}
