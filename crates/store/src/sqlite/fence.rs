//! Fencing: a write on behalf of a job is made only while its lease is the job's current one.

use super::columns::get;
use super::failure::About as _;
use super::{SqliteStore, Tx};
use crate::packed::json;
use crate::{Error, ErrorKind, Result};
use model::Reader;
use model::job::Lease;

/// The job of a lease that is still held.
pub(super) struct Held {
    pub(super) job: i64,
    pub(super) token: i64,
    pub(super) registry: i64,
    /// As stored: what a holder claims about its reader does not count.
    pub(super) reader: String,
}

impl SqliteStore {
    /// Begins a write for the holder of `lease`. A lease that ran out is good until someone else takes the job.
    pub(super) async fn fenced(&self, lease: &Lease) -> Result<(Tx, Held)> {
        let mut tx = self.write().await?;
        if let Some(held) = held(&mut tx, lease).await? {
            return Ok((tx, held));
        }
        tx.rollback().await.about("refusing a stale lease")?;
        self.count_stale_write().await?;
        let text =
            format!("the lease {} of job {} is over: its work was given to someone else", lease.token, lease.job);
        Err(Error::new(ErrorKind::StaleLease, text))
    }

    async fn count_stale_write(&self) -> Result<()> {
        let mut tx = self.write().await?;
        next(&mut tx, "stale_writes").await?;
        tx.commit().await.about("counting a stale write")
    }
}

impl Held {
    /// The reader of facts is the job's: nobody writes in another's name.
    pub(super) fn must_be(&self, reader: &Reader) -> Result<()> {
        if self.reader == reader.to_string() {
            return Ok(());
        }
        let text = format!("the job belongs to reader {}, not {reader}", self.reader);
        Err(Error::new(ErrorKind::Malformed, text))
    }
}

/// The job, when `lease` is its current lease.
pub(super) async fn held(tx: &mut Tx, lease: &Lease) -> Result<Option<Held>> {
    let row =
        sqlx::query("SELECT registry_id, reader, work FROM jobs WHERE id = ?1 AND token = ?2 AND state = 'leased'")
            .bind(lease.job.get())
            .bind(lease.token.0)
            .fetch_optional(&mut **tx)
            .await
            .about("checking a lease")?;
    let Some(row) = row else { return Ok(None) };
    if get::<&str>(&row, "work")? != json(&lease.work)? {
        return Ok(None);
    }
    let (registry, reader) = (get(&row, "registry_id")?, get(&row, "reader")?);
    Ok(Some(Held { job: lease.job.get(), token: lease.token.0, registry, reader }))
}

/// The next value of a counter.
pub(super) async fn next(tx: &mut Tx, counter: &str) -> Result<i64> {
    sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = ?1 RETURNING value")
        .bind(counter)
        .fetch_one(&mut **tx)
        .await
        .about("counting")
}
