//! Facts about layers, and who is reading one now.

use super::blobs::{Prepared, Stored};
use super::columns::{bytes, count_at, digest_at, get, micros, number, readers_json, time};
use super::failure::About as _;
use super::fence::Held;
use super::{SqliteStore, Tx};
use crate::Result;
use crate::packed::{json, pack, unpack};
use crate::traits::Facts;
use crate::types::BlobClaim;
use async_trait::async_trait;
use model::inventory::DetectorFacts;
use model::job::Lease;
use model::{Detector, DetectorVersion, Digest, LayerInventory, Reader, Timestamp};
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

#[async_trait]
impl Facts for SqliteStore {
    async fn facts(
        &self,
        blob: &Digest,
        readers: &[Reader],
        versions: &[DetectorVersion],
    ) -> Result<Option<LayerInventory>> {
        let mut tx = self.read().await?;
        let rows = select(&mut tx, blob, readers, versions).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut layer = layer_of(&mut tx, blob, get(first, "reader")?).await?;
        drop(tx);
        for row in &rows {
            let packed = self.blobs.load(Stored::of(row)?).await?;
            let facts: DetectorFacts =
                tokio::task::spawn_blocking(move || unpack(&packed)).await.about("reading facts")??;
            // Rows come by reader: the first one that knows a detector wins.
            layer.detectors.entry(facts.version.detector).or_insert(facts);
        }
        Ok(Some(layer))
    }

    async fn claim_blob(&self, lease: &Lease, blob: &Digest, reader: &Reader, now: Timestamp) -> Result<BlobClaim> {
        let (mut tx, held) = self.fenced(lease).await?;
        held.must_be(reader)?;
        let until: Option<i64> = sqlx::query_scalar(
            "SELECT j.due_at FROM blob_claims c
             JOIN jobs j ON j.id = c.job_id AND j.token = c.token AND j.state = 'leased'
             WHERE c.blob = ?1 AND c.reader = ?2 AND c.job_id <> ?3 AND j.due_at > ?4",
        )
        .bind(bytes(blob))
        .bind(&held.reader)
        .bind(held.job)
        .bind(micros(now))
        .fetch_optional(&mut *tx)
        .await
        .about("claiming a blob")?;
        if let Some(until) = until {
            return Ok(BlobClaim::HeldUntil { until: time(until)? });
        }
        sqlx::query(
            "INSERT INTO blob_claims (blob, reader, job_id, token) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (blob, reader) DO UPDATE SET job_id = excluded.job_id, token = excluded.token",
        )
        .bind(bytes(blob))
        .bind(&held.reader)
        .bind(held.job)
        .bind(held.token)
        .execute(&mut *tx)
        .await
        .about("claiming a blob")?;
        tx.commit().await.about("claiming a blob")?;
        Ok(BlobClaim::Claimed)
    }

    async fn put_facts(&self, lease: &Lease, reader: &Reader, facts: &LayerInventory, _now: Timestamp) -> Result<()> {
        let mut prepared = Vec::with_capacity(facts.detectors.len());
        for (detector, found) in &facts.detectors {
            let packed = pack(found)?;
            prepared.push((*detector, &found.version, self.blobs.prepare(packed).await?));
        }
        let (mut tx, held) = self.fenced(lease).await?;
        held.must_be(reader)?;
        put_read(&mut tx, &held, facts).await?;
        for (detector, version, blob) in &prepared {
            self.put_detector(&mut tx, &held, (&facts.blob, *detector, version), blob).await?;
        }
        sqlx::query("DELETE FROM blob_claims WHERE blob = ?1 AND reader = ?2 AND job_id = ?3")
            .bind(bytes(&facts.blob))
            .bind(&held.reader)
            .bind(held.job)
            .execute(&mut *tx)
            .await
            .about("storing facts")?;
        tx.commit().await.about("storing facts")
    }
}

impl SqliteStore {
    async fn put_detector(
        &self,
        tx: &mut Tx,
        held: &Held,
        key: (&Digest, Detector, &DetectorVersion),
        prepared: &Prepared,
    ) -> Result<()> {
        let (blob, detector, version) = key;
        let known: Option<i64> = sqlx::query_scalar(
            "SELECT blob_id FROM layer_facts WHERE blob = ?1 AND reader = ?2 AND detector = ?3 AND fingerprint = ?4",
        )
        .bind(bytes(blob))
        .bind(&held.reader)
        .bind(detector.as_str())
        .bind(&version.fingerprint)
        .fetch_optional(&mut **tx)
        .await
        .about("storing facts")?;
        if known.is_some() {
            return Ok(());
        }
        let content = self.blobs.insert(tx, prepared).await?;
        sqlx::query(
            "INSERT INTO layer_facts (blob, reader, detector, fingerprint, blob_id) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(bytes(blob))
        .bind(&held.reader)
        .bind(detector.as_str())
        .bind(&version.fingerprint)
        .bind(content)
        .execute(&mut **tx)
        .await
        .about("storing facts")?;
        Ok(())
    }
}

async fn select(
    tx: &mut Tx,
    blob: &Digest,
    readers: &[Reader],
    versions: &[DetectorVersion],
) -> Result<Vec<SqliteRow>> {
    let versions: Vec<(&str, &str)> = versions.iter().map(|v| (v.detector.as_str(), &*v.fingerprint)).collect();
    sqlx::query(
        "SELECT f.reader, b.hash, b.content FROM json_each(?2) r
         CROSS JOIN layer_facts f ON f.blob = ?1 AND f.reader = r.value
         CROSS JOIN json_each(?3) v ON v.value ->> 0 = f.detector AND v.value ->> 1 = f.fingerprint
         JOIN blobs b ON b.id = f.blob_id ORDER BY r.key, v.key",
    )
    .bind(bytes(blob))
    .bind(readers_json(readers)?)
    .bind(json(&versions)?)
    .fetch_all(&mut **tx)
    .await
    .about("reading facts")
}

async fn layer_of(tx: &mut Tx, blob: &Digest, reader: &str) -> Result<LayerInventory> {
    let row = sqlx::query("SELECT diff_id, bytes, bytes_uncompressed FROM layer_reads WHERE blob = ?1 AND reader = ?2")
        .bind(bytes(blob))
        .bind(reader)
        .fetch_one(&mut **tx)
        .await
        .about("reading facts")?;
    Ok(LayerInventory {
        blob: *blob,
        diff_id: digest_at(&row, "diff_id")?,
        bytes: count_at(&row, "bytes")?,
        bytes_uncompressed: count_at(&row, "bytes_uncompressed")?,
        detectors: BTreeMap::new(),
    })
}

async fn put_read(tx: &mut Tx, held: &Held, facts: &LayerInventory) -> Result<()> {
    sqlx::query(
        "INSERT INTO layer_reads (blob, reader, diff_id, bytes, bytes_uncompressed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )
    .bind(bytes(&facts.blob))
    .bind(&held.reader)
    .bind(bytes(&facts.diff_id))
    .bind(number(facts.bytes))
    .bind(number(facts.bytes_uncompressed))
    .execute(&mut **tx)
    .await
    .about("storing facts")?;
    Ok(())
}
