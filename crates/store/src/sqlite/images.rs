//! Core images: the trait [`Images`] and what people read of them.

use super::blobs::Stored;
use super::columns::{
    bytes, count_at, detectors_key, digest_at, get, hexes_json, json_at, maybe_time_at, micros, reader_at,
    readers_json, state, state_rank, time_at,
};
use super::failure::About as _;
use super::{SqliteStore, Tx};
use crate::packed::{from_json, json};
use crate::traits::Images;
use crate::types::{
    ImageFilter, ImageReference, ImageView, Import, InventoryCommit, InventoryCount, ManifestView, Page,
    RETRY_AFTER_SECONDS, StoredInventory,
};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::job::{ImageState, Lease};
use model::{DetectorVersion, Digest, Id, Reader, Scope, Timestamp};
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

#[async_trait]
impl Images for SqliteStore {
    async fn manifest(&self, digest: &Digest, readers: &[Reader]) -> Result<ManifestView> {
        super::manifests::view(&mut self.read().await?, digest, readers).await
    }

    async fn commit_inventory(&self, lease: &Lease, commit: &InventoryCommit<'_>, now: Timestamp) -> Result<()> {
        self.commit(lease, commit, now).await
    }

    async fn bases_of(&self, layers: &[Digest], readers: &[Reader], limit: usize) -> Result<Vec<(Digest, u32)>> {
        let mut tx = self.read().await?;
        let mut found = Vec::new();
        for below in (1..layers.len()).rev() {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let count = u32::try_from(below).unwrap_or(u32::MAX);
            let same = exactly(&mut tx, &layers[..below], readers, left).await?;
            found.extend(same.into_iter().map(|image| (image, count)));
        }
        Ok(found)
    }

    async fn import_inventory(&self, import: &Import<'_>, by: &str, now: Timestamp) -> Result<()> {
        self.import(import, by, now).await
    }

    async fn fail_image(
        &self,
        lease: &Lease,
        image: &Digest,
        reason: &str,
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<()> {
        let detectors = detectors_key(versions);
        let failed = Reached { state: ImageState::Failed, reason: Some(reason), detectors: &detectors };
        self.give_up(lease, image, &failed, now).await
    }

    async fn hold_image(
        &self,
        lease: &Lease,
        image: &Digest,
        reason: &str,
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<()> {
        let detectors = detectors_key(versions);
        let held = Reached { state: ImageState::Partial, reason: Some(reason), detectors: &detectors };
        self.give_up(lease, image, &held, now).await
    }

    async fn inventory(&self, scope: &Scope, image: &Digest, readers: &[Reader]) -> Result<Option<StoredInventory>> {
        let Scope::All = scope;
        match self.load_inventory(image, readers).await {
            // A newer one took its place between reading the row and reading the file.
            Err(e) if e.kind == ErrorKind::Transient => self.load_inventory(image, readers).await,
            done => done,
        }
    }

    async fn images(&self, scope: &Scope, filter: &ImageFilter, page: &Page) -> Result<Vec<ImageView>> {
        let Scope::All = scope;
        // The smallest value after the cursor is the cursor with a zero byte behind it.
        let from = match &page.cursor {
            None => Vec::new(),
            Some(text) => {
                let malformed = |e| Error::because(ErrorKind::Malformed, "not a cursor of a list of images", e);
                let last: Digest = text.parse().map_err(malformed)?;
                [last.as_bytes().as_slice(), &[0]].concat()
            }
        };
        let range = Range { from, to: vec![0xff; 33], limit: page.limit };
        select(&mut self.read().await?, filter, &range).await
    }

    async fn image(&self, scope: &Scope, digest: &Digest) -> Result<ImageView> {
        let Scope::All = scope;
        let range = Range { from: bytes(digest).to_vec(), to: bytes(digest).to_vec(), limit: 1 };
        let found = select(&mut self.read().await?, &ImageFilter::default(), &range).await?;
        found.into_iter().next().ok_or_else(|| unknown(digest))
    }

    async fn inventory_census(&self) -> Result<Vec<InventoryCount>> {
        let rows = sqlx::query(
            "SELECT i.digest, v.reader, v.detectors, COUNT(*) AS rows FROM inventories v
             JOIN images i ON i.id = v.image_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        .fetch_all(&self.readers)
        .await
        .about("counting inventories")?;
        let count = |row: &SqliteRow| {
            Ok(InventoryCount {
                image: digest_at(row, "digest")?,
                reader: reader_at(row, "reader")?,
                detectors: get(row, "detectors")?,
                rows: count_at(row, "rows")?,
            })
        };
        rows.iter().map(count).collect()
    }
}

impl SqliteStore {
    /// Sets a state without an inventory.
    async fn give_up(&self, lease: &Lease, image: &Digest, reached: &Reached<'_>, now: Timestamp) -> Result<()> {
        let (mut tx, held) = self.fenced(lease).await?;
        let id = find(&mut tx, image).await?;
        set_state(&mut tx, id, &held.reader, reached, now).await?;
        super::judgements::mark_image(&mut tx, id, &held.reader).await?;
        tx.commit().await.about("recording a failure")
    }

    async fn load_inventory(&self, image: &Digest, readers: &[Reader]) -> Result<Option<StoredInventory>> {
        let mut tx = self.read().await?;
        let row = sqlx::query(
            "SELECT v.id, v.reader, v.committed_at, b.hash, b.content FROM json_each(?2) r
             CROSS JOIN images i ON i.digest = ?1
             JOIN inventories v ON v.image_id = i.id AND v.reader = r.value
             JOIN blobs b ON b.id = v.blob_id ORDER BY r.key, v.id DESC LIMIT 1",
        )
        .bind(bytes(image))
        .bind(readers_json(readers)?)
        .fetch_optional(&mut *tx)
        .await
        .about("reading an inventory")?;
        let Some(row) = row else { return Ok(None) };
        let keys = super::packages::keys_of(&mut tx, get(&row, "id")?).await?;
        drop(tx);
        let packed = self.blobs.load(Stored::of(&row)?).await?;
        let inventory = super::inventory::assemble(packed, keys).await?;
        let (reader, committed_at) = (reader_at(&row, "reader")?, time_at(&row, "committed_at")?);
        Ok(Some(StoredInventory { reader, inventory, committed_at }))
    }
}

/// A state that an image has come to.
pub(super) struct Reached<'a> {
    pub(super) state: ImageState,
    pub(super) reason: Option<&'a str>,
    pub(super) detectors: &'a str,
}

/// Sets the state of an image with one reader, and when the next try is due.
pub(super) async fn set_state(
    tx: &mut Tx,
    image: i64,
    reader: &str,
    reached: &Reached<'_>,
    now: Timestamp,
) -> Result<()> {
    let again = match reached.state {
        ImageState::Partial | ImageState::Failed => true,
        ImageState::Pending | ImageState::Scanning | ImageState::Scanned => false,
    };
    let before: Option<u32> =
        sqlx::query_scalar("SELECT tries FROM image_states WHERE image_id = ?1 AND reader = ?2 AND detectors = ?3")
            .bind(image)
            .bind(reader)
            .bind(reached.detectors)
            .fetch_optional(&mut **tx)
            .await
            .about("setting the state of an image")?;
    let tries = if again { before.unwrap_or_default().saturating_add(1) } else { 0 };
    let retry_at = next_try(tries, now);
    sqlx::query(
        "INSERT INTO image_states (image_id, reader, state, reason, detectors, changed_at, tries, retry_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (image_id, reader) DO UPDATE SET state = excluded.state, reason = excluded.reason,
             detectors = excluded.detectors, changed_at = excluded.changed_at, tries = excluded.tries,
             retry_at = excluded.retry_at",
    )
    .bind(image)
    .bind(reader)
    .bind(state_rank(reached.state))
    .bind(reached.reason)
    .bind(reached.detectors)
    .bind(micros(now))
    .bind(tries)
    .bind(retry_at)
    .execute(&mut **tx)
    .await
    .about("setting the state of an image")?;
    Ok(())
}

/// When the next try is due after so many that failed, in microseconds.
pub(super) fn next_try(tries: u32, now: Timestamp) -> Option<i64> {
    let wait = RETRY_AFTER_SECONDS.get(usize::try_from(tries.checked_sub(1)?).ok()?)?;
    Some(micros(now).saturating_add(i64::from(*wait) * 1_000_000))
}

/// Images that have exactly these layers, in this order, by digest.
async fn exactly(tx: &mut Tx, layers: &[Digest], readers: &[Reader], limit: usize) -> Result<Vec<Digest>> {
    let hex: Vec<String> = layers.iter().map(Digest::hex).collect();
    let found: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT DISTINCT i.digest FROM layers top
         CROSS JOIN image_layers l ON l.layer_id = top.id AND l.position = json_array_length(?1) - 1
         CROSS JOIN inventories v ON v.id = l.inventory_id AND v.reader IN (SELECT value FROM json_each(?2))
         CROSS JOIN images i ON i.id = v.image_id
         WHERE top.blob = unhex(?1 ->> (json_array_length(?1) - 1))
           AND NOT EXISTS (SELECT 1 FROM image_layers above
                           WHERE above.inventory_id = v.id AND above.position = json_array_length(?1))
           AND NOT EXISTS (
               SELECT 1 FROM json_each(?1) wanted
               LEFT JOIN image_layers own ON own.inventory_id = v.id AND own.position = wanted.key
               LEFT JOIN layers held ON held.id = own.layer_id
               WHERE held.blob IS NOT unhex(wanted.value))
         ORDER BY i.digest LIMIT ?3",
    )
    .bind(json(&hex)?)
    .bind(readers_json(readers)?)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await
    .about("looking for a base image")?;
    found.iter().map(|bytes| super::columns::digest(bytes)).collect()
}

/// The row of an image.
pub(super) async fn find(tx: &mut Tx, digest: &Digest) -> Result<i64> {
    let id = sqlx::query_scalar("SELECT id FROM images WHERE digest = ?1")
        .bind(bytes(digest))
        .fetch_optional(&mut **tx)
        .await
        .about("reading an image")?;
    id.ok_or_else(|| unknown(digest))
}

fn unknown(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, format!("image {digest} is not known: no manifest was recorded for it"))
}

/// Digests from and to, both included.
struct Range {
    from: Vec<u8>,
    to: Vec<u8>,
    limit: u32,
}

/// Of several readers the server's word comes first, if it has read the image; then whoever has; then whoever is
/// furthest. A filter by registry leaves out readers that do not count there.
async fn select(tx: &mut Tx, filter: &ImageFilter, range: &Range) -> Result<Vec<ImageView>> {
    let picked: Vec<(i64, Option<String>)> = sqlx::query_as(
        "SELECT id, reading FROM (
             SELECT i.id, i.digest, (
                 SELECT json_array(g.state, g.reader, g.reason, g.tries, g.retry_at) FROM readings g WHERE g.image_id = i.id
                   AND (?1 IS NULL OR g.reader IN (SELECT reader FROM registry_readers WHERE registry_id = ?1))
                 ORDER BY g.state > 1, g.reader <> 'server', g.state, g.reader LIMIT 1) AS reading
             FROM images i WHERE i.digest >= ?4 AND i.digest <= ?5
               AND (COALESCE(?1, ?2, ?3) IS NULL OR i.id IN (
                   SELECT s.image_id FROM shown s WHERE (?1 IS NULL OR s.registry_id = ?1)
                     AND (?2 IS NULL OR s.repository = ?2) AND (?3 IS NULL OR s.tag = ?3))))
         WHERE ?6 IS NULL OR COALESCE(reading ->> 0, 4) = ?6
         ORDER BY digest LIMIT ?7",
    )
    .bind(filter.registry.map(Id::get))
    .bind(&filter.repository)
    .bind(&filter.tag)
    .bind(&range.from)
    .bind(&range.to)
    .bind(filter.state.map(state_rank))
    .bind(range.limit)
    .fetch_all(&mut **tx)
    .await
    .about("listing images")?;
    let rows = details(tx, filter, &picked).await?;
    let digests: Vec<Digest> = rows.iter().map(|row| digest_at(row, "digest")).collect::<Result<_>>()?;
    let mut references = references_of(tx, &digests).await?;
    rows.iter().map(|row| view(row, &mut references)).collect()
}

/// Everything else about the images that were picked, each with the reading that was picked for it.
async fn details(tx: &mut Tx, filter: &ImageFilter, picked: &[(i64, Option<String>)]) -> Result<Vec<SqliteRow>> {
    sqlx::query(
        "WITH picked (id, state, reader, reason, tries, retry_at) AS MATERIALIZED (
             SELECT value ->> 0, value ->> 1 ->> 0, value ->> 1 ->> 1, value ->> 1 ->> 2, value ->> 1 ->> 3,
                    value ->> 1 ->> 4 FROM json_each(?2))
         SELECT i.digest, COALESCE(p.state, 4) AS state, p.reason, COALESCE(p.tries, 0) AS tries, p.retry_at,
                v.committed_at, v.reader AS read_by,
                (SELECT d.resolved FROM image_descriptions d WHERE d.image_id = i.id
                 ORDER BY ?1 IS NOT NULL AND d.reader NOT IN (SELECT reader FROM registry_readers WHERE registry_id = ?1),
                          d.reader <> 'server', d.reader LIMIT 1) AS resolved,
                (SELECT c.counters FROM image_counters c JOIN repositories o ON o.id = c.repository_id
                 WHERE c.image_id = i.id AND (?1 IS NULL OR o.registry_id = ?1)
                 ORDER BY EXISTS (SELECT 1 FROM registry_readers r
                                  WHERE r.registry_id = o.registry_id AND r.reader <> 'server'), o.id LIMIT 1) AS counters
         FROM picked p CROSS JOIN images i ON i.id = p.id
         LEFT JOIN inventories v ON v.image_id = p.id AND v.reader = p.reader
         ORDER BY i.digest",
    )
    .bind(filter.registry.map(Id::get))
    .bind(json(picked)?)
    .fetch_all(&mut **tx)
    .await
    .about("listing images")
}

fn view(row: &SqliteRow, references: &mut BTreeMap<Digest, Vec<ImageReference>>) -> Result<ImageView> {
    let digest = digest_at(row, "digest")?;
    let scanned_at = maybe_time_at(row, "committed_at")?;
    let counters = get::<Option<&str>>(row, "counters")?.map(from_json).transpose()?;
    Ok(ImageView {
        resolved: json_at(row, "resolved")?,
        state: state(get(row, "state")?)?,
        reason: get(row, "reason")?,
        tries: get(row, "tries")?,
        retry_at: maybe_time_at(row, "retry_at")?,
        references: references.remove(&digest).unwrap_or_default(),
        reader: if scanned_at.is_some() { Some(reader_at(row, "read_by")?) } else { None },
        scanned_at,
        counters: counters.unwrap_or_default(),
        digest,
    })
}

/// Where images are found now, sorted.
async fn references_of(tx: &mut Tx, digests: &[Digest]) -> Result<BTreeMap<Digest, Vec<ImageReference>>> {
    let rows = sqlx::query(
        "SELECT i.digest, s.registry_id, r.name AS registry, s.repository, s.tag
         FROM json_each(?1) j CROSS JOIN images i ON i.digest = unhex(j.value)
         CROSS JOIN showing s ON s.image_id = i.id CROSS JOIN registries r ON r.id = s.registry_id",
    )
    .bind(hexes_json(digests)?)
    .fetch_all(&mut **tx)
    .await
    .about("listing where images are found")?;
    let mut found: BTreeMap<Digest, Vec<ImageReference>> = BTreeMap::new();
    for row in &rows {
        let reference = ImageReference {
            registry: Id::new(get(row, "registry_id")?),
            registry_name: get(row, "registry")?,
            repository: get(row, "repository")?,
            tag: get(row, "tag")?,
        };
        found.entry(digest_at(row, "digest")?).or_default().push(reference);
    }
    for references in found.values_mut() {
        references
            .sort_by(|a, b| (&a.registry_name, &a.repository, &a.tag).cmp(&(&b.registry_name, &b.repository, &b.tag)));
        references.dedup();
    }
    Ok(found)
}
