//! Runs of re-evaluation, for people.

use super::Tx;
use super::columns::{get, json_at, maybe_time_at, micros, time_at};
use super::failure::About as _;
use crate::packed::json;
use crate::types::{EvaluationSummary, EvaluationView, Page};
use crate::{Error, ErrorKind, Result};
use model::id::kind;
use model::{Id, Timestamp};
use sqlx::sqlite::SqliteRow;

/// Starts a run.
pub(super) async fn begin(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<Id<kind::Evaluation>> {
    let id =
        sqlx::query_scalar("INSERT INTO evaluations (reason, started_at, summary) VALUES (?1, ?2, ?3) RETURNING id")
            .bind(reason)
            .bind(micros(now))
            .bind(json(&EvaluationSummary::default())?)
            .fetch_one(&mut **tx)
            .await
            .about("beginning an evaluation")?;
    Ok(Id::new(id))
}

/// Ends it.
pub(super) async fn finish(
    tx: &mut Tx,
    id: Id<kind::Evaluation>,
    summary: &EvaluationSummary,
    now: Timestamp,
) -> Result<()> {
    let done = sqlx::query("UPDATE evaluations SET finished_at = ?2, summary = ?3 WHERE id = ?1")
        .bind(id.get())
        .bind(micros(now))
        .bind(json(summary)?)
        .execute(&mut **tx)
        .await
        .about("ending an evaluation")?;
    if done.rows_affected() == 0 {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no evaluation {id}")));
    }
    Ok(())
}

/// Newest first.
pub(super) async fn list(tx: &mut Tx, page: &Page) -> Result<Vec<EvaluationView>> {
    let rows = sqlx::query("SELECT * FROM evaluations WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
        .bind(before(page)?)
        .bind(page.limit)
        .fetch_all(&mut **tx)
        .await
        .about("listing evaluations")?;
    rows.iter().map(view).collect()
}

/// The cursor of a list that is ordered by row number, newest first.
pub(super) fn before(page: &Page) -> Result<i64> {
    match &page.cursor {
        None => Ok(i64::MAX),
        Some(text) => text.parse().map_err(|_| {
            Error::new(ErrorKind::Malformed, format!("{text:?} is no cursor of this list: expected a row number"))
        }),
    }
}

fn view(row: &SqliteRow) -> Result<EvaluationView> {
    Ok(EvaluationView {
        id: Id::new(get(row, "id")?),
        reason: get(row, "reason")?,
        started_at: time_at(row, "started_at")?,
        finished_at: maybe_time_at(row, "finished_at")?,
        summary: json_at(row, "summary")?,
    })
}
