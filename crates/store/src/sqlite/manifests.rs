//! What digests turned out to be.
//!
//! A manifest is kept per registry, because the registry's configuration chooses platforms and ages; the description
//! of an image per reader, because an agent's word must not count outside its group.

use super::Tx;
use super::columns::{bytes, digest_at, get, json_at, micros, readers_json, state_rank};
use super::failure::About as _;
use super::fence::Held;
use super::judgements::{Marked, mark};
use crate::Result;
use crate::packed::{from_json, json};
use crate::types::{ManifestView, ResolvedContent, ResolvedImage, ResolvedManifest};
use model::job::ImageState;
use model::{Digest, Reader, Timestamp};

/// The row of a manifest.
struct Entry<'a> {
    kind: &'static str,
    note: Option<&'a str>,
    images: &'a [ResolvedImage],
    skipped: &'a [(Digest, String)],
}

impl<'a> Entry<'a> {
    fn of(content: &'a ResolvedContent) -> Self {
        match content {
            ResolvedContent::Image { image } => {
                Self { kind: "image", note: None, images: std::slice::from_ref(&**image), skipped: &[] }
            }
            ResolvedContent::Index { images, skipped } => Self { kind: "index", note: None, images, skipped },
            ResolvedContent::Artifact { what } => {
                Self { kind: "artifact", note: Some(what), images: &[], skipped: &[] }
            }
            ResolvedContent::Unreadable { reason } => {
                Self { kind: "unreadable", note: Some(reason), images: &[], skipped: &[] }
            }
        }
    }
}

/// Enters what a digest is, as found through the registry of a job.
pub(super) async fn record(
    tx: &mut Tx,
    held: &Held,
    repository: &str,
    manifest: &ResolvedManifest,
    now: Timestamp,
) -> Result<()> {
    super::repositories::ensure(tx, held.registry, repository, now).await?;
    let entry = Entry::of(&manifest.content);
    let mut members = Vec::with_capacity(entry.images.len());
    for image in entry.images {
        members.push(describe(tx, held, image, now).await?);
    }
    if is_settled(tx, held, manifest, &entry).await? {
        return Ok(());
    }
    let id = put_row(tx, held, manifest, &entry, now).await?;
    for (position, (image_id, image)) in members.iter().zip(entry.images).enumerate() {
        sqlx::query(
            "INSERT INTO index_members (manifest_id, position, image_id, platform, why_not) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(id)
        .bind(super::columns::number(position as u64))
        .bind(image_id)
        .bind(json(&image.platform)?)
        .bind(&image.why_not)
        .execute(&mut **tx)
        .await
        .about("recording a manifest")?;
    }
    mark(tx, &Marked::Digest { registry: held.registry, digest: manifest.digest }).await.map(drop)
}

/// Makes the image and what this reader says about it; the first word of a reader stays.
async fn describe(tx: &mut Tx, held: &Held, image: &ResolvedImage, now: Timestamp) -> Result<i64> {
    sqlx::query("INSERT INTO images (digest) VALUES (?1) ON CONFLICT DO NOTHING")
        .bind(bytes(&image.digest))
        .execute(&mut **tx)
        .await
        .about("recording an image")?;
    let id: i64 = sqlx::query_scalar("SELECT id FROM images WHERE digest = ?1")
        .bind(bytes(&image.digest))
        .fetch_one(&mut **tx)
        .await
        .about("recording an image")?;
    let described = ResolvedImage { why_not: None, ..image.clone() };
    sqlx::query(
        "INSERT INTO image_descriptions (image_id, reader, resolved) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&held.reader)
    .bind(json(&described)?)
    .execute(&mut **tx)
    .await
    .about("recording an image")?;
    ensure_state(tx, id, &held.reader, now).await?;
    Ok(id)
}

/// The state of an image with one reader, `pending` when it has none.
pub(super) async fn ensure_state(tx: &mut Tx, image: i64, reader: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO image_states (image_id, reader, state, changed_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )
    .bind(image)
    .bind(reader)
    .bind(state_rank(ImageState::Pending))
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .about("recording an image")?;
    Ok(())
}

/// Is this known already, or known from a reader that counts for more?
async fn is_settled(tx: &mut Tx, held: &Held, manifest: &ResolvedManifest, entry: &Entry<'_>) -> Result<bool> {
    let row = sqlx::query(
        "SELECT m.id, m.reader, m.kind, m.note, m.skipped, m.outdated,
                COALESCE(theirs.rank < COALESCE(ours.rank, theirs.rank + 1), 0) AS outranks
         FROM manifests m
         LEFT JOIN registry_readers theirs ON theirs.registry_id = ?1 AND theirs.reader = m.reader
         LEFT JOIN registry_readers ours ON ours.registry_id = ?1 AND ours.reader = ?3
         WHERE m.registry_id = ?1 AND m.digest = ?2",
    )
    .bind(held.registry)
    .bind(bytes(&manifest.digest))
    .bind(&held.reader)
    .fetch_optional(&mut **tx)
    .await
    .about("reading a manifest")?;
    let Some(row) = row else { return Ok(false) };
    if get::<bool>(&row, "outdated")? {
        return Ok(false);
    }
    if get::<bool>(&row, "outranks")? {
        return Ok(true);
    }
    let same = get::<&str>(&row, "reader")? == held.reader
        && get::<&str>(&row, "kind")? == entry.kind
        && get::<Option<&str>>(&row, "note")? == entry.note
        && get::<&str>(&row, "skipped")? == json(entry.skipped)?;
    Ok(same && members_of(tx, get(&row, "id")?).await? == wanted_members(entry))
}

fn wanted_members(entry: &Entry<'_>) -> Vec<(Digest, Option<String>)> {
    entry.images.iter().map(|i| (i.digest, i.why_not.clone())).collect()
}

async fn members_of(tx: &mut Tx, manifest: i64) -> Result<Vec<(Digest, Option<String>)>> {
    let rows = sqlx::query(
        "SELECT i.digest, c.why_not FROM index_members c JOIN images i ON i.id = c.image_id
         WHERE c.manifest_id = ?1 ORDER BY c.position",
    )
    .bind(manifest)
    .fetch_all(&mut **tx)
    .await
    .about("reading a manifest")?;
    rows.iter().map(|row| Ok((digest_at(row, "digest")?, get(row, "why_not")?))).collect()
}

/// Replaces the row and drops its members.
async fn put_row(
    tx: &mut Tx,
    held: &Held,
    manifest: &ResolvedManifest,
    entry: &Entry<'_>,
    now: Timestamp,
) -> Result<i64> {
    let (id, tries): (i64, u32) = sqlx::query_as(
        "INSERT INTO manifests (registry_id, digest, reader, media_type, kind, note, skipped, tries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5 = 'unreadable')
         ON CONFLICT (registry_id, digest) DO UPDATE SET reader = excluded.reader, media_type = excluded.media_type,
             kind = excluded.kind, note = excluded.note, skipped = excluded.skipped, outdated = 0,
             tries = CASE WHEN excluded.kind = 'unreadable' THEN tries + 1 ELSE 0 END
         RETURNING id, tries",
    )
    .bind(held.registry)
    .bind(bytes(&manifest.digest))
    .bind(&held.reader)
    .bind(&manifest.media_type)
    .bind(entry.kind)
    .bind(entry.note)
    .bind(json(entry.skipped)?)
    .fetch_one(&mut **tx)
    .await
    .about("recording a manifest")?;
    sqlx::query("UPDATE manifests SET retry_at = ?2 WHERE id = ?1")
        .bind(id)
        .bind(super::images::next_try(tries, now))
        .execute(&mut **tx)
        .await
        .about("recording a manifest")?;
    sqlx::query("DELETE FROM index_members WHERE manifest_id = ?1")
        .bind(id)
        .execute(&mut **tx)
        .await
        .about("recording a manifest")?;
    Ok(id)
}

/// What a digest is, as the first of `readers` says that knows it.
pub(super) async fn view(tx: &mut Tx, digest: &Digest, readers: &[Reader]) -> Result<ManifestView> {
    let readers = readers_json(readers)?;
    let image: Option<String> = sqlx::query_scalar(
        "SELECT d.resolved FROM json_each(?2) r CROSS JOIN images i ON i.digest = ?1
         JOIN image_descriptions d ON d.image_id = i.id AND d.reader = r.value ORDER BY r.key LIMIT 1",
    )
    .bind(bytes(digest))
    .bind(&readers)
    .fetch_optional(&mut **tx)
    .await
    .about("reading a manifest")?;
    if let Some(text) = image {
        return Ok(ManifestView::Image(Box::new(from_json(&text)?)));
    }
    let row = sqlx::query(
        "SELECT m.id, m.kind, m.note FROM json_each(?2) r CROSS JOIN manifests m ON m.digest = ?1 AND m.reader = r.value
         ORDER BY r.key, m.registry_id LIMIT 1",
    )
    .bind(bytes(digest))
    .bind(&readers)
    .fetch_optional(&mut **tx)
    .await
    .about("reading a manifest")?;
    let Some(row) = row else { return Ok(ManifestView::Unknown) };
    if get::<&str>(&row, "kind")? != "index" {
        return Ok(ManifestView::Other(get::<Option<String>>(&row, "note")?.unwrap_or_default()));
    }
    let members = sqlx::query(
        "SELECT c.platform, i.digest FROM index_members c JOIN images i ON i.id = c.image_id
         WHERE c.manifest_id = ?1 ORDER BY c.position",
    )
    .bind(get::<i64>(&row, "id")?)
    .fetch_all(&mut **tx)
    .await
    .about("reading a manifest")?;
    let members = members.iter().map(|row| Ok((json_at(row, "platform")?, digest_at(row, "digest")?)));
    Ok(ManifestView::Index(members.collect::<Result<_>>()?))
}
