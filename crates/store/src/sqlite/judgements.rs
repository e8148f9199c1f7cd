//! What is to be judged again, and writing a judgement.
//!
//! A mark is a number from one counter that only grows. A judgement passes back the mark that it saw: if the
//! repository was marked again meanwhile, it stays marked. Invariant: whatever changes what a judgement depends on
//! marks the repositories in the same transaction.

use super::columns::{bytes, get, hexes_json, json_at, micros, micros_up, state, time};
use super::failure::About as _;
use super::fence::next;
use super::{SqliteStore, Tx, evaluations, issues};
use crate::Result;
use crate::packed::json;
use crate::traits::Judgements;
use crate::types::{
    EvaluationSummary, EvaluationView, ImageCounters, IssueCount, IssueDelta, IssueEdit, IssueFilter, Judgement, Page,
    RegistryImage, RepositoryToJudge, Touch,
};
use async_trait::async_trait;
use model::id::kind;
use model::issue::IssueChange;
use model::{Digest, Id, Issue, Scope, Timestamp};

/// Which repositories to mark.
pub(super) enum Marked<'a> {
    /// These.
    Repositories(Vec<i64>),
    /// Those of a registry with a live tag that points at the digest.
    Digest { registry: i64, digest: Digest },
    /// Those that show an image with one of these packages.
    Packages(&'a [i64]),
    /// Those that show one of these images, each as one reader read it.
    Images(&'a [(i64, String)]),
}

/// Marks repositories for judgement. Returns how many.
pub(super) async fn mark(tx: &mut Tx, marked: &Marked<'_>) -> Result<u64> {
    let ids: Vec<i64> = match marked {
        Marked::Repositories(ids) => ids.clone(),
        Marked::Digest { registry, digest } => pointing_at(tx, *registry, digest).await?,
        Marked::Packages([]) | Marked::Images([]) => Vec::new(),
        Marked::Packages(packages) => with_packages(tx, packages).await?,
        Marked::Images(images) => with_images(tx, images).await?,
    };
    if ids.is_empty() {
        return Ok(0);
    }
    let number = next(tx, "mark").await?;
    let done = sqlx::query(
        "UPDATE repositories SET mark = ?1, marked_since = COALESCE(marked_since, ?1)
         WHERE id IN (SELECT value FROM json_each(?2))",
    )
    .bind(number)
    .bind(json(&ids)?)
    .execute(&mut **tx)
    .await
    .about("marking repositories")?;
    Ok(done.rows_affected())
}

/// Marks every repository of a registry.
pub(super) async fn mark_registry(tx: &mut Tx, registry: i64) -> Result<()> {
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM repositories WHERE registry_id = ?1")
        .bind(registry)
        .fetch_all(&mut **tx)
        .await
        .about("marking repositories")?;
    mark(tx, &Marked::Repositories(ids)).await.map(drop)
}

/// Marks every repository that shows an image as one reader read it.
pub(super) async fn mark_image(tx: &mut Tx, image: i64, reader: &str) -> Result<()> {
    mark(tx, &Marked::Images(&[(image, reader.to_owned())])).await.map(drop)
}

async fn pointing_at(tx: &mut Tx, registry: i64, digest: &Digest) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT DISTINCT p.id FROM tags t JOIN repositories p ON p.id = t.repository_id
         WHERE t.digest = ?2 AND t.deleted_at IS NULL AND p.registry_id = ?1",
    )
    .bind(registry)
    .bind(bytes(digest))
    .fetch_all(&mut **tx)
    .await
    .about("marking repositories")
}

async fn with_packages(tx: &mut Tx, packages: &[i64]) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "WITH touched (image_id, reader) AS MATERIALIZED (
             SELECT DISTINCT v.image_id, v.reader FROM json_each(?1) j
             CROSS JOIN package_set_members m ON m.package_id = j.value
             CROSS JOIN inventory_sets x ON x.set_id = m.set_id
             CROSS JOIN inventories v ON v.id = x.inventory_id)
         SELECT DISTINCT s.repository_id FROM touched
         CROSS JOIN showing s ON s.image_id = touched.image_id
         CROSS JOIN registry_readers r ON r.registry_id = s.registry_id AND r.reader = touched.reader",
    )
    .bind(json(packages)?)
    .fetch_all(&mut **tx)
    .await
    .about("marking repositories")
}

async fn with_images(tx: &mut Tx, images: &[(i64, String)]) -> Result<Vec<i64>> {
    sqlx::query_scalar(
        "WITH touched (image_id, reader) AS MATERIALIZED (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
         SELECT DISTINCT s.repository_id FROM touched
         CROSS JOIN showing s ON s.image_id = touched.image_id
         CROSS JOIN registry_readers r ON r.registry_id = s.registry_id AND r.reader = touched.reader",
    )
    .bind(json(images)?)
    .fetch_all(&mut **tx)
    .await
    .about("marking repositories")
}

#[async_trait]
impl Judgements for SqliteStore {
    async fn touch_repositories(&self, which: Touch, now: Timestamp) -> Result<u64> {
        let mut tx = self.write().await?;
        let ids: Vec<i64> = match which {
            Touch::All => sqlx::query_scalar("SELECT id FROM repositories").fetch_all(&mut *tx).await,
            // One that is marked already will be judged with a later clock than this one.
            Touch::Due => {
                sqlx::query_scalar("SELECT id FROM repositories WHERE next_boundary <= ?1 AND marked_since IS NULL")
                    .bind(micros(now))
                    .fetch_all(&mut *tx)
                    .await
            }
            Touch::Repository(registry, name) => {
                sqlx::query_scalar("SELECT id FROM repositories WHERE registry_id = ?1 AND name = ?2")
                    .bind(registry.get())
                    .bind(name)
                    .fetch_all(&mut *tx)
                    .await
            }
        }
        .about("marking repositories")?;
        let marked = mark(&mut tx, &Marked::Repositories(ids)).await?;
        tx.commit().await.about("marking repositories")?;
        Ok(marked)
    }

    async fn repositories_to_judge(&self, limit: u32) -> Result<Vec<RepositoryToJudge>> {
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT r.id, r.name, p.name, p.mark FROM repositories p JOIN registries r ON r.id = p.registry_id
             WHERE p.marked_since IS NOT NULL ORDER BY p.marked_since, p.id LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .about("listing repositories to judge")?;
        let row = |(registry, registry_name, repository, mark)| RepositoryToJudge {
            registry: Id::new(registry),
            registry_name,
            repository,
            mark,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn registry_images(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<RegistryImage>> {
        shown_images(&mut self.read().await?, registry.get(), repository).await
    }

    async fn issues_of(&self, registry: Id<kind::Registry>, repository: &str) -> Result<Vec<Issue>> {
        issues::of_repository(&mut self.read().await?, registry.get(), repository).await
    }

    async fn apply_judgement(&self, judgement: &Judgement, now: Timestamp) -> Result<IssueDelta> {
        let target = &judgement.target;
        let mut tx = self.write().await?;
        let repository = super::repositories::find(&mut tx, target.registry.get(), &target.repository).await?;
        let delta = issues::apply(&mut tx, judgement, now).await?;
        put_counters(&mut tx, repository, &judgement.counters).await?;
        sqlx::query(
            "UPDATE repositories SET next_boundary = ?2, marked_since = CASE WHEN mark = ?3 THEN NULL ELSE marked_since END
             WHERE id = ?1",
        )
        .bind(repository)
        .bind(judgement.next_boundary.map(micros_up))
        .bind(target.mark)
        .execute(&mut *tx)
        .await
        .about("writing a judgement")?;
        tx.commit().await.about("writing a judgement")?;
        Ok(delta)
    }

    async fn next_boundary(&self) -> Result<Option<Timestamp>> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(next_boundary) FROM repositories WHERE next_boundary IS NOT NULL AND marked_since IS NULL",
        )
        .fetch_one(&self.readers)
        .await
        .about("looking for the next boundary")?;
        found.map(time).transpose()
    }

    async fn issues(&self, scope: &Scope, filter: &IssueFilter, page: &Page) -> Result<Vec<Issue>> {
        let Scope::All = scope;
        issues::list(&mut self.read().await?, filter, page).await
    }

    async fn issue(&self, scope: &Scope, id: Id<kind::Issue>) -> Result<(Issue, Vec<IssueChange>)> {
        let Scope::All = scope;
        let mut tx = self.read().await?;
        let issue = issues::one(&mut tx, id.get()).await?;
        let history = issues::history(&mut tx, id.get()).await?;
        Ok((issue, history))
    }

    async fn edit_issue(&self, id: Id<kind::Issue>, edit: &IssueEdit, by: &str, now: Timestamp) -> Result<Issue> {
        let mut tx = self.write().await?;
        issues::edit(&mut tx, id.get(), edit, by, now).await?;
        let issue = issues::one(&mut tx, id.get()).await?;
        tx.commit().await.about("editing an issue")?;
        Ok(issue)
    }

    async fn issue_counts(&self, scope: &Scope) -> Result<Vec<IssueCount>> {
        let Scope::All = scope;
        issues::counts(&mut self.read().await?).await
    }

    async fn begin_evaluation(&self, reason: &str, now: Timestamp) -> Result<Id<kind::Evaluation>> {
        let mut tx = self.write().await?;
        let id = evaluations::begin(&mut tx, reason, now).await?;
        tx.commit().await.about("beginning an evaluation")?;
        Ok(id)
    }

    async fn finish_evaluation(
        &self,
        id: Id<kind::Evaluation>,
        summary: &EvaluationSummary,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        evaluations::finish(&mut tx, id, summary, now).await?;
        tx.commit().await.about("ending an evaluation")
    }

    async fn evaluations(&self, page: &Page) -> Result<Vec<EvaluationView>> {
        evaluations::list(&mut self.read().await?, page).await
    }
}

/// The images of a repository with their tags, by digest.
async fn shown_images(tx: &mut Tx, registry: i64, repository: &str) -> Result<Vec<RegistryImage>> {
    let rows = sqlx::query(
        "SELECT i.digest, s.tags,
                COALESCE((SELECT g.state FROM readings g
                          JOIN registry_readers r ON r.registry_id = ?1 AND r.reader = g.reader
                          WHERE g.image_id = i.id
                          ORDER BY g.state > 1, r.rank, g.state LIMIT 1), 4) AS state,
                (SELECT d.resolved FROM image_descriptions d
                 JOIN registry_readers r ON r.registry_id = ?1 AND r.reader = d.reader
                 WHERE d.image_id = i.id ORDER BY r.rank LIMIT 1) AS resolved
         FROM (SELECT image_id, json_group_array(DISTINCT tag) AS tags FROM shown
               WHERE registry_id = ?1 AND repository = ?2 GROUP BY image_id) s
         JOIN images i ON i.id = s.image_id ORDER BY i.digest",
    )
    .bind(registry)
    .bind(repository)
    .fetch_all(&mut **tx)
    .await
    .about("listing registry images")?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut tags: Vec<String> = json_at(row, "tags")?;
        tags.sort();
        found.push(RegistryImage {
            digest: super::columns::digest_at(row, "digest")?,
            resolved: json_at(row, "resolved")?,
            state: state(get(row, "state")?)?,
            tags,
        });
    }
    Ok(found)
}

/// Replaces the counters of a repository's images.
async fn put_counters(tx: &mut Tx, repository: i64, counters: &[(Digest, ImageCounters)]) -> Result<()> {
    let digests = hexes_json(counters.iter().map(|(digest, _)| digest))?;
    sqlx::query(
        "DELETE FROM image_counters WHERE repository_id = ?1 AND image_id NOT IN (
             SELECT i.id FROM json_each(?2) j CROSS JOIN images i ON i.digest = unhex(j.value))",
    )
    .bind(repository)
    .bind(digests)
    .execute(&mut **tx)
    .await
    .about("counting")?;
    let row = |(digest, counters): &(Digest, ImageCounters)| Ok((digest.hex(), json(counters)?));
    let rows: Vec<(String, String)> = counters.iter().map(row).collect::<Result<_>>()?;
    sqlx::query(
        "INSERT INTO image_counters (repository_id, image_id, counters)
         SELECT ?1, i.id, j.value ->> 1 FROM json_each(?2) j CROSS JOIN images i ON i.digest = unhex(j.value ->> 0) WHERE true
         ON CONFLICT (repository_id, image_id) DO UPDATE SET counters = excluded.counters
             WHERE counters <> excluded.counters",
    )
    .bind(repository)
    .bind(json(&rows)?)
    .execute(&mut **tx)
    .await
    .about("counting")?;
    Ok(())
}
