//! Tags and their history. Invariant: a live tag has exactly one open row of history, a deleted one none.

use super::Tx;
use super::columns::{digest, digest_at, get, json_at, maybe_time_at, micros, state, time, time_at};
use super::failure::About as _;
use super::judgements::{Marked, mark};
use crate::packed::json;
use crate::types::{KnownTag, Page, SeenTag, TagDelta, TagFilter, TagImage, TagMove, TagView};
use crate::{Error, ErrorKind, Result};
use model::{Digest, Timestamp};
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

/// The live tags of a repository, by name.
pub(super) async fn known(tx: &mut Tx, registry: i64, repository: &str) -> Result<Vec<KnownTag>> {
    let rows = sqlx::query(
        "SELECT t.name, t.digest, t.wanted, t.why_not FROM repositories p
         JOIN tags t ON t.repository_id = p.id AND t.deleted_at IS NULL
         WHERE p.registry_id = ?1 AND p.name = ?2 ORDER BY t.name",
    )
    .bind(registry)
    .bind(repository)
    .fetch_all(&mut **tx)
    .await
    .about("listing known tags")?;
    rows.iter().map(known_of).collect()
}

fn known_of(row: &SqliteRow) -> Result<KnownTag> {
    Ok(KnownTag {
        tag: get(row, "name")?,
        digest: digest_at(row, "digest")?,
        wanted: get(row, "wanted")?,
        why_not: get(row, "why_not")?,
    })
}

/// What one listing changes, by name.
#[derive(Default)]
struct Changes<'a> {
    /// Rows to write: new, moved, or with another verdict of the scan configuration.
    written: Vec<&'a SeenTag>,
    /// Names whose open row of history ends.
    closed: Vec<&'a str>,
    /// Names that get a new row of history.
    begun: Vec<&'a str>,
    deleted: Vec<&'a str>,
    delta: TagDelta,
}

/// Compares what is seen with what is known and writes the difference.
pub(super) async fn record(
    tx: &mut Tx,
    registry: i64,
    repository: &str,
    seen: &[SeenTag],
    now: Timestamp,
) -> Result<TagDelta> {
    let known: BTreeMap<String, KnownTag> =
        known(tx, registry, repository).await?.into_iter().map(|k| (k.tag.clone(), k)).collect();
    let id = super::repositories::ensure(tx, registry, repository, now).await?;
    let seen: BTreeMap<&str, &SeenTag> = seen.iter().map(|s| (s.tag.as_str(), s)).collect();
    let changes = compare(&known, &seen);
    delete(tx, id, &changes.deleted, now).await?;
    write(tx, id, &changes, now).await?;
    sqlx::query("UPDATE repositories SET tags_seen = ?2 WHERE id = ?1")
        .bind(id)
        .bind(micros(now))
        .execute(&mut **tx)
        .await
        .about("recording tags")?;
    if !changes.written.is_empty() || !changes.deleted.is_empty() {
        mark(tx, &Marked::Repositories(vec![id])).await?;
    }
    Ok(changes.delta)
}

fn compare<'a>(known: &'a BTreeMap<String, KnownTag>, seen: &BTreeMap<&'a str, &'a SeenTag>) -> Changes<'a> {
    let mut changes = Changes::default();
    for (name, tag) in seen {
        match known.get(*name) {
            None => {
                changes.delta.new += 1;
                changes.begun.push(name);
                changes.written.push(tag);
            }
            Some(old) if old.digest != tag.digest => {
                changes.delta.moved += 1;
                changes.closed.push(name);
                changes.begun.push(name);
                changes.written.push(tag);
            }
            Some(old) if old.wanted != tag.wanted || old.why_not != tag.why_not => changes.written.push(tag),
            Some(_) => {}
        }
    }
    changes.deleted = known.keys().map(String::as_str).filter(|name| !seen.contains_key(name)).collect();
    changes.delta.deleted = changes.deleted.len() as u64;
    changes
}

async fn write(tx: &mut Tx, repository: i64, changes: &Changes<'_>, now: Timestamp) -> Result<()> {
    let row = |tag: &&SeenTag| (tag.tag.clone(), tag.digest.hex(), tag.wanted, tag.why_not.clone());
    let rows: Vec<_> = changes.written.iter().map(row).collect();
    sqlx::query(
        "INSERT INTO tags (repository_id, name, digest, wanted, why_not, first_seen)
         SELECT ?1, value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, ?3 FROM json_each(?2) WHERE true
         ON CONFLICT (repository_id, name) DO UPDATE SET digest = excluded.digest, wanted = excluded.wanted,
             why_not = excluded.why_not, last_seen = NULL, deleted_at = NULL",
    )
    .bind(repository)
    .bind(json(&rows)?)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("recording tags")?;
    close_history(tx, repository, &changes.closed, now).await?;
    sqlx::query(
        "INSERT INTO tag_history (tag_id, digest, from_at)
         SELECT t.id, t.digest, ?3 FROM json_each(?2) j CROSS JOIN tags t ON t.repository_id = ?1 AND t.name = j.value",
    )
    .bind(repository)
    .bind(json(&changes.begun)?)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("recording the history of tags")?;
    Ok(())
}

async fn close_history(tx: &mut Tx, repository: i64, names: &[&str], now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE tag_history SET to_at = ?3 WHERE to_at IS NULL AND tag_id IN (
             SELECT t.id FROM json_each(?2) j CROSS JOIN tags t ON t.repository_id = ?1 AND t.name = j.value)",
    )
    .bind(repository)
    .bind(json(names)?)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("recording the history of tags")?;
    Ok(())
}

async fn delete(tx: &mut Tx, repository: i64, names: &[&str], now: Timestamp) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    close_history(tx, repository, names, now).await?;
    sqlx::query(
        "UPDATE tags SET deleted_at = ?3, last_seen = (SELECT tags_seen FROM repositories WHERE id = ?1)
         WHERE repository_id = ?1 AND name IN (SELECT value FROM json_each(?2))",
    )
    .bind(repository)
    .bind(json(names)?)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("deleting tags")?;
    Ok(())
}

/// Marks every live tag of a repository that is gone as deleted.
pub(super) async fn delete_all(tx: &mut Tx, repository: i64, now: Timestamp) -> Result<()> {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM tags WHERE repository_id = ?1 AND deleted_at IS NULL")
            .bind(repository)
            .fetch_all(&mut **tx)
            .await
            .about("deleting tags")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    delete(tx, repository, &names, now).await
}

/// Tags by repository and name, deleted ones too.
pub(super) async fn list(tx: &mut Tx, registry: i64, filter: &TagFilter, page: &Page) -> Result<Vec<TagView>> {
    let after = page.cursor.as_deref().map(split_cursor).transpose()?.unwrap_or_default();
    let rows = sqlx::query(
        "SELECT t.id, p.name AS repository, t.name, t.digest, t.first_seen, COALESCE(t.last_seen, p.tags_seen) AS seen,
                t.deleted_at, t.wanted, t.why_not, m.note
         FROM repositories p JOIN tags t ON t.repository_id = p.id
         LEFT JOIN manifests m ON m.registry_id = p.registry_id AND m.digest = t.digest
         WHERE p.registry_id = ?1 AND (?2 IS NULL OR p.name = ?2) AND (?3 IS NULL OR t.name = ?3)
           AND (p.name, t.name) > (?4, ?5)
         ORDER BY p.name, t.name LIMIT ?6",
    )
    .bind(registry)
    .bind(&filter.repository)
    .bind(&filter.tag)
    .bind(after.0)
    .bind(after.1)
    .bind(page.limit)
    .fetch_all(&mut **tx)
    .await
    .about("listing tags")?;
    let digests: Vec<Digest> = rows.iter().map(|row| digest_at(row, "digest")).collect::<Result<_>>()?;
    let images = images_of(tx, registry, &digests).await?;
    let ids: Vec<i64> = rows.iter().map(|row| get(row, "id")).collect::<Result<_>>()?;
    let history = history_of(tx, &ids).await?;
    rows.iter().map(|row| view(row, &images, &history)).collect()
}

/// A tag has no colon (OCI distribution specification, "Pulling manifests").
fn split_cursor(cursor: &str) -> Result<(&str, &str)> {
    let malformed = || Error::new(ErrorKind::Malformed, format!("{cursor:?} is no cursor of a list of tags"));
    cursor.rsplit_once(':').ok_or_else(malformed)
}

fn view(
    row: &SqliteRow,
    images: &BTreeMap<Digest, Vec<Member>>,
    history: &BTreeMap<i64, Vec<TagMove>>,
) -> Result<TagView> {
    let digest = digest_at(row, "digest")?;
    let members = images.get(&digest).map(Vec::as_slice).unwrap_or_default();
    let skipped =
        members.iter().find_map(|m| m.why_not.clone()).filter(|_| members.iter().all(|m| m.why_not.is_some()));
    Ok(TagView {
        repository: get(row, "repository")?,
        tag: get(row, "name")?,
        digest,
        images: members.iter().map(|m| m.image.clone()).collect(),
        first_seen: time_at(row, "first_seen")?,
        last_seen: time_at(row, "seen")?,
        deleted_at: maybe_time_at(row, "deleted_at")?,
        wanted: get(row, "wanted")?,
        note: get::<Option<String>>(row, "why_not")?.or(get(row, "note")?).or(skipped),
        history: history.get(&get(row, "id")?).cloned().unwrap_or_default(),
    })
}

struct Member {
    image: TagImage,
    why_not: Option<String>,
}

async fn images_of(tx: &mut Tx, registry: i64, digests: &[Digest]) -> Result<BTreeMap<Digest, Vec<Member>>> {
    let rows = sqlx::query(
        "SELECT m.digest AS manifest, i.digest, c.platform, c.why_not,
                COALESCE((SELECT g.state FROM readings g
                          JOIN registry_readers r ON r.registry_id = ?1 AND r.reader = g.reader
                          WHERE g.image_id = i.id
                          ORDER BY g.state > 1, r.rank, g.state LIMIT 1), 4) AS state
         FROM manifests m
         JOIN registry_readers trusted ON trusted.registry_id = ?1 AND trusted.reader = m.reader
         JOIN index_members c ON c.manifest_id = m.id
         JOIN images i ON i.id = c.image_id
         WHERE m.registry_id = ?1 AND m.digest IN (SELECT unhex(value) FROM json_each(?2))
         ORDER BY c.position",
    )
    .bind(registry)
    .bind(super::columns::hexes_json(digests)?)
    .fetch_all(&mut **tx)
    .await
    .about("listing the images of tags")?;
    let mut found: BTreeMap<Digest, Vec<Member>> = BTreeMap::new();
    for row in &rows {
        let image = TagImage {
            platform: json_at(row, "platform")?,
            digest: digest_at(row, "digest")?,
            state: state(get(row, "state")?)?,
        };
        let member = Member { image, why_not: get(row, "why_not")? };
        found.entry(digest_at(row, "manifest")?).or_default().push(member);
    }
    Ok(found)
}

async fn history_of(tx: &mut Tx, tags: &[i64]) -> Result<BTreeMap<i64, Vec<TagMove>>> {
    let rows: Vec<(i64, Vec<u8>, i64, Option<i64>)> = sqlx::query_as(
        "SELECT tag_id, digest, from_at, to_at FROM tag_history
         WHERE tag_id IN (SELECT value FROM json_each(?1)) ORDER BY tag_id, id",
    )
    .bind(json(tags)?)
    .fetch_all(&mut **tx)
    .await
    .about("reading the history of tags")?;
    let mut found: BTreeMap<i64, Vec<TagMove>> = BTreeMap::new();
    for (tag, hash, from, to) in rows {
        let stretch = TagMove { digest: digest(&hash)?, from: time(from)?, to: to.map(time).transpose()? };
        found.entry(tag).or_default().push(stretch);
    }
    Ok(found)
}
