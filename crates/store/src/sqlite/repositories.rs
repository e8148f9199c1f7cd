//! Repositories: what a registry lists.

use super::Tx;
use super::columns::{count, count_at, get, micros, severity_index, time_at};
use super::failure::About as _;
use super::judgements::{Marked, mark};
use crate::packed::json;
use crate::types::{Page, RepositoryView};
use crate::{Error, ErrorKind, Result};
use model::Timestamp;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

/// Enters the listed names; when the list is complete, the others are gone with their tags.
pub(super) async fn record(tx: &mut Tx, registry: i64, names: &[String], complete: bool, now: Timestamp) -> Result<()> {
    let names = json(names)?;
    sqlx::query(
        "INSERT INTO repositories (registry_id, name, first_seen, last_seen, tags_seen)
         SELECT ?1, value, ?3, ?3, ?3 FROM json_each(?2) WHERE true
         ON CONFLICT (registry_id, name) DO UPDATE SET last_seen = excluded.last_seen, gone_at = NULL",
    )
    .bind(registry)
    .bind(&names)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("recording repositories")?;
    if !complete {
        return Ok(());
    }
    let gone: Vec<i64> = sqlx::query_scalar(
        "UPDATE repositories SET gone_at = ?3 WHERE registry_id = ?1 AND gone_at IS NULL
           AND name NOT IN (SELECT value FROM json_each(?2)) RETURNING id",
    )
    .bind(registry)
    .bind(&names)
    .bind(micros(now))
    .fetch_all(&mut **tx)
    .await
    .about("recording repositories")?;
    for id in &gone {
        super::tags::delete_all(tx, *id, now).await?;
    }
    mark(tx, &Marked::Repositories(gone)).await.map(drop)
}

/// The row of a repository, made when there is none.
pub(super) async fn ensure(tx: &mut Tx, registry: i64, name: &str, now: Timestamp) -> Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO repositories (registry_id, name, first_seen, last_seen, tags_seen) VALUES (?1, ?2, ?3, ?3, ?3)
         ON CONFLICT (registry_id, name) DO UPDATE SET last_seen = excluded.last_seen, gone_at = NULL
         RETURNING id",
    )
    .bind(registry)
    .bind(name)
    .bind(micros(now))
    .fetch_one(&mut **tx)
    .await
    .about("recording a repository")
}

/// The row of a repository.
pub(super) async fn find(tx: &mut Tx, registry: i64, name: &str) -> Result<i64> {
    let id = sqlx::query_scalar("SELECT id FROM repositories WHERE registry_id = ?1 AND name = ?2")
        .bind(registry)
        .bind(name)
        .fetch_optional(&mut **tx)
        .await
        .about("reading a repository")?;
    let unknown = || Error::new(ErrorKind::NotFound, format!("registry {registry} has no repository {name:?}"));
    id.ok_or_else(unknown)
}

/// Repositories by name.
pub(super) async fn list(tx: &mut Tx, registry: i64, page: &Page) -> Result<Vec<RepositoryView>> {
    let rows = sqlx::query(
        "SELECT p.id, p.name, p.first_seen, p.last_seen, p.gone_at IS NOT NULL AS gone,
                (SELECT COUNT(*) FROM tags t WHERE t.repository_id = p.id AND t.deleted_at IS NULL) AS tags
         FROM repositories p WHERE p.registry_id = ?1 AND p.name > ?2 ORDER BY p.name LIMIT ?3",
    )
    .bind(registry)
    .bind(page.cursor.as_deref().unwrap_or_default())
    .bind(page.limit)
    .fetch_all(&mut **tx)
    .await
    .about("listing repositories")?;
    let names: Vec<String> = rows.iter().map(|row| get(row, "name")).collect::<Result<_>>()?;
    let ids: Vec<i64> = rows.iter().map(|row| get(row, "id")).collect::<Result<_>>()?;
    let images = count_images(tx, &ids).await?;
    let issues = open_issues(tx, registry, &names).await?;
    rows.iter().map(|row| view(row, &images, &issues)).collect()
}

fn view(
    row: &SqliteRow,
    images: &BTreeMap<i64, (u64, u64)>,
    issues: &BTreeMap<String, [u64; 6]>,
) -> Result<RepositoryView> {
    let name: String = get(row, "name")?;
    let (images, scanned) = images.get(&get(row, "id")?).copied().unwrap_or_default();
    Ok(RepositoryView {
        tags: count_at(row, "tags")?,
        images,
        scanned,
        issues: issues.get(&name).copied().unwrap_or_default(),
        first_seen: time_at(row, "first_seen")?,
        last_seen: time_at(row, "last_seen")?,
        gone: get(row, "gone")?,
        name,
    })
}

/// The images that repositories show, and how many of them are read, fully or partly.
async fn count_images(tx: &mut Tx, repositories: &[i64]) -> Result<BTreeMap<i64, (u64, u64)>> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT s.repository_id, COUNT(*), SUM(EXISTS (
                    SELECT 1 FROM readings g
                    JOIN registry_readers r ON r.registry_id = s.registry_id AND r.reader = g.reader
                    WHERE g.image_id = s.image_id AND g.state <= 1))
         FROM (SELECT DISTINCT registry_id, repository_id, image_id FROM shown
               WHERE repository_id IN (SELECT value FROM json_each(?1))) s
         GROUP BY s.repository_id",
    )
    .bind(json(repositories)?)
    .fetch_all(&mut **tx)
    .await
    .about("counting images")?;
    rows.into_iter().map(|(id, images, scanned)| Ok((id, (count(images)?, count(scanned)?)))).collect()
}

async fn open_issues(tx: &mut Tx, registry: i64, names: &[String]) -> Result<BTreeMap<String, [u64; 6]>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT repository, severity, COUNT(*) FROM issues
         WHERE registry_id = ?1 AND state = 0 AND repository IN (SELECT value FROM json_each(?2))
         GROUP BY repository, severity",
    )
    .bind(registry)
    .bind(json(names)?)
    .fetch_all(&mut **tx)
    .await
    .about("counting issues")?;
    let mut found: BTreeMap<String, [u64; 6]> = BTreeMap::new();
    for (repository, severity, issues) in rows {
        let at = severity_index(super::columns::severity(severity)?);
        found.entry(repository).or_default()[at] = count(issues)?;
    }
    Ok(found)
}
