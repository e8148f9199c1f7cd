//! The trait [`Discovery`], spread over repositories, tags and manifests.

use super::SqliteStore;
use super::columns::{detectors_key, digest, micros, readers_json, time};
use super::failure::About as _;
use crate::Result;
use crate::traits::Discovery;
use crate::types::{
    KnownTag, Page, RepositoryView, ResolvedManifest, SeenTag, TagDelta, TagFilter, TagView, Unscanned,
};
use async_trait::async_trait;
use model::id::kind;
use model::job::Lease;
use model::{DetectorVersion, Digest, Id, Reader, Scope, Timestamp};

#[async_trait]
impl Discovery for SqliteStore {
    async fn record_repositories(&self, lease: &Lease, names: &[String], complete: bool, now: Timestamp) -> Result<()> {
        let (mut tx, held) = self.fenced(lease).await?;
        super::repositories::record(&mut tx, held.registry, names, complete, now).await?;
        tx.commit().await.about("recording repositories")
    }

    async fn known_tags(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<KnownTag>> {
        super::tags::known(&mut self.read().await?, registry.get(), repository).await
    }

    async fn record_tags(&self, lease: &Lease, repository: &str, seen: &[SeenTag], now: Timestamp) -> Result<TagDelta> {
        let (mut tx, held) = self.fenced(lease).await?;
        let delta = super::tags::record(&mut tx, held.registry, repository, seen, now).await?;
        tx.commit().await.about("recording tags")?;
        Ok(delta)
    }

    async fn unresolved(&self, registry: Id<kind::Registry>) -> Result<Vec<(String, Digest)>> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT MIN(p.name), t.digest FROM repositories p
             JOIN tags t ON t.repository_id = p.id AND t.deleted_at IS NULL AND t.wanted = 1
             WHERE p.registry_id = ?1 AND NOT EXISTS (
                 SELECT 1 FROM manifests m
                 JOIN registry_readers r ON r.registry_id = m.registry_id AND r.reader = m.reader
                 WHERE m.registry_id = ?1 AND m.digest = t.digest AND m.outdated = 0)
             GROUP BY t.digest ORDER BY 1, 2",
        )
        .bind(registry.get())
        .fetch_all(&self.readers)
        .await
        .about("listing unresolved tags")?;
        rows.into_iter().map(|(name, hash)| Ok((name, digest(&hash)?))).collect()
    }

    async fn record_manifest(
        &self,
        lease: &Lease,
        repository: &str,
        manifest: &ResolvedManifest,
        now: Timestamp,
    ) -> Result<()> {
        let (mut tx, held) = self.fenced(lease).await?;
        super::manifests::record(&mut tx, &held, repository, manifest, now).await?;
        tx.commit().await.about("recording a manifest")
    }

    async fn unscanned(
        &self,
        registry: Id<kind::Registry>,
        readers: &[Reader],
        versions: &[DetectorVersion],
        now: Timestamp,
    ) -> Result<Vec<Unscanned>> {
        let rows: Vec<(String, Vec<u8>, bool)> = sqlx::query_as(
            "SELECT MIN(s.repository), i.digest,
                    EXISTS (SELECT 1 FROM inventories v WHERE v.image_id = i.id
                            AND v.reader IN (SELECT value FROM json_each(?2)))
             FROM shown s JOIN images i ON i.id = s.image_id
             WHERE s.registry_id = ?1
               AND NOT EXISTS (SELECT 1 FROM inventories v WHERE v.image_id = i.id AND v.detectors = ?3
                               AND v.reader IN (SELECT value FROM json_each(?2))
                               AND NOT EXISTS (SELECT 1 FROM image_states d WHERE d.image_id = i.id
                                               AND d.reader = v.reader AND d.detectors = ?3 AND d.retry_at <= ?4))
               AND NOT EXISTS (SELECT 1 FROM image_states f WHERE f.image_id = i.id AND f.detectors = ?3
                               AND f.state IN (1, 3) AND (f.retry_at IS NULL OR f.retry_at > ?4)
                               AND f.reader IN (SELECT value FROM json_each(?2)))
             GROUP BY i.id ORDER BY i.digest",
        )
        .bind(registry.get())
        .bind(readers_json(readers)?)
        .bind(detectors_key(versions))
        .bind(micros(now))
        .fetch_all(&self.readers)
        .await
        .about("listing unread images")?;
        let unscanned = |(repository, hash, again): (String, Vec<u8>, bool)| {
            Ok(Unscanned { repository, digest: digest(&hash)?, again })
        };
        rows.into_iter().map(unscanned).collect()
    }

    async fn retry_unreadable(&self, now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE manifests SET outdated = 1, retry_at = NULL WHERE retry_at <= ?1")
            .bind(micros(now))
            .execute(&mut *tx)
            .await
            .about("asking for manifests again")?;
        tx.commit().await.about("asking for manifests again")?;
        Ok(done.rows_affected())
    }

    async fn next_retry(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(retry_at) FROM (SELECT retry_at FROM image_states WHERE retry_at > ?1
                                        UNION ALL SELECT retry_at FROM manifests WHERE retry_at > ?1)",
        )
        .bind(micros(now))
        .fetch_one(&self.readers)
        .await
        .about("looking for the next try")?;
        next.map(time).transpose()
    }

    async fn repositories(
        &self,
        scope: &Scope,
        registry: Id<kind::Registry>,
        page: &Page,
    ) -> Result<Vec<RepositoryView>> {
        let Scope::All = scope;
        super::repositories::list(&mut self.read().await?, registry.get(), page).await
    }

    async fn tags(
        &self,
        scope: &Scope,
        registry: Id<kind::Registry>,
        filter: &TagFilter,
        page: &Page,
    ) -> Result<Vec<TagView>> {
        let Scope::All = scope;
        super::tags::list(&mut self.read().await?, registry.get(), filter, page).await
    }
}
