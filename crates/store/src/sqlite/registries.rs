//! Registry instances and their sealed credentials.

use super::columns::{count_at, get, json_at, maybe_time_at, micros, time_at, word, word_at};
use super::failure::About as _;
use super::intents::write_audit;
use super::issues::{adopt_issues, rename_issues, resolve_all};
use super::{SqliteStore, Tx};
use crate::packed::{from_json, json};
use crate::traits::Registries;
use crate::types::{CredentialsChange, RegistryCounts, trusted_readers};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::id::kind;
use model::registry::{Credentials, Registry, RegistryConfig, RegistryStatus};
use model::{Id, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

/// What is sealed. `Credentials` itself cannot be serialised, on purpose.
#[derive(Serialize, Deserialize)]
struct Secret {
    username: String,
    password: String,
}

#[async_trait]
impl Registries for SqliteStore {
    async fn add_registry(
        &self,
        config: &RegistryConfig,
        credentials: Option<&Credentials>,
        by: &str,
        now: Timestamp,
    ) -> Result<Registry> {
        let mut tx = self.write().await?;
        refuse_taken(&mut tx, None, &config.name).await?;
        let status = if config.enabled { RegistryStatus::Pending } else { RegistryStatus::Disabled };
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO registries (name, config, enabled, status, reason, created_at)
             VALUES (?1, ?2, ?3, ?4, 'not looked at yet', ?5) RETURNING id",
        )
        .bind(&config.name)
        .bind(json(config)?)
        .bind(config.enabled)
        .bind(word(&status)?)
        .bind(micros(now))
        .fetch_one(&mut *tx)
        .await
        .about("adding a registry")?;
        set_readers(&mut tx, id, config).await?;
        if let Some(credentials) = credentials {
            self.set_credentials(&mut tx, id, Some(credentials)).await?;
        }
        adopt_issues(&mut tx, id, &config.name).await?;
        write_audit(&mut tx, now, by, "registry.add", &format!("{} ({})", config.name, config.url)).await?;
        let added = one(&mut tx, id).await?;
        tx.commit().await.about("adding a registry")?;
        Ok(added)
    }

    async fn registry(&self, scope: &Scope, id: Id<kind::Registry>) -> Result<Registry> {
        let Scope::All = scope;
        one(&mut self.read().await?, id.get()).await
    }

    async fn registries(&self, scope: &Scope) -> Result<Vec<Registry>> {
        let Scope::All = scope;
        let rows = sqlx::query("SELECT *, credentials IS NOT NULL AS sealed FROM registries ORDER BY name")
            .fetch_all(&self.readers)
            .await
            .about("listing registries")?;
        rows.iter().map(registry_of).collect()
    }

    async fn update_registry(
        &self,
        id: Id<kind::Registry>,
        config: &RegistryConfig,
        credentials: CredentialsChange,
        by: &str,
        now: Timestamp,
    ) -> Result<Registry> {
        let mut tx = self.write().await?;
        let old = one(&mut tx, id.get()).await?;
        refuse_taken(&mut tx, Some(id.get()), &config.name).await?;
        sqlx::query("UPDATE registries SET name = ?2, config = ?3, enabled = ?4 WHERE id = ?1")
            .bind(id.get())
            .bind(&config.name)
            .bind(json(config)?)
            .bind(config.enabled)
            .execute(&mut *tx)
            .await
            .about("changing a registry")?;
        apply_change(&mut tx, &old, config).await?;
        match &credentials {
            CredentialsChange::Keep => {}
            CredentialsChange::Replace(new) => self.set_credentials(&mut tx, id.get(), Some(new)).await?,
            CredentialsChange::Remove => self.set_credentials(&mut tx, id.get(), None).await?,
        }
        let detail = describe_change(&old.config, config, &credentials);
        write_audit(&mut tx, now, by, "registry.edit", &detail).await?;
        let changed = one(&mut tx, id.get()).await?;
        tx.commit().await.about("changing a registry")?;
        Ok(changed)
    }

    async fn delete_registry(&self, id: Id<kind::Registry>, by: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let old = one(&mut tx, id.get()).await?;
        resolve_all(&mut tx, id.get(), by, &format!("registry {} was deleted", old.config.name), now).await?;
        sqlx::query("DELETE FROM registries WHERE id = ?1")
            .bind(id.get())
            .execute(&mut *tx)
            .await
            .about("deleting a registry")?;
        write_audit(&mut tx, now, by, "registry.delete", &old.config.name).await?;
        tx.commit().await.about("deleting a registry")
    }

    async fn credentials(&self, id: Id<kind::Registry>) -> Result<Option<Credentials>> {
        let sealed: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT credentials FROM registries WHERE id = ?1")
            .bind(id.get())
            .fetch_optional(&self.readers)
            .await
            .about("reading credentials")?;
        let Some(sealed) = sealed.ok_or_else(|| unknown(id.get()))? else { return Ok(None) };
        let opened = self.key.open(&place(id.get()), &sealed)?;
        let damaged = |e| Error::because(ErrorKind::Internal, "stored credentials are damaged", e);
        let secret: Secret = serde_json::from_slice(&opened).map_err(damaged)?;
        Ok(Some(Credentials { username: secret.username, password: secret.password }))
    }

    async fn set_registry_status(
        &self,
        id: Id<kind::Registry>,
        status: RegistryStatus,
        reason: &str,
        discovered_at: Option<Timestamp>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE registries SET status = ?2, reason = ?3, discovered_at = COALESCE(?4, discovered_at) WHERE id = ?1",
        )
        .bind(id.get())
        .bind(word(&status)?)
        .bind(reason)
        .bind(discovered_at.map(micros))
        .execute(&mut *tx)
        .await
        .about("setting the status of a registry")?;
        if done.rows_affected() == 0 {
            return Err(unknown(id.get()));
        }
        tx.commit().await.about("setting the status of a registry")
    }

    async fn registry_counts(&self, scope: &Scope, id: Id<kind::Registry>) -> Result<RegistryCounts> {
        let Scope::All = scope;
        let mut tx = self.read().await?;
        one(&mut tx, id.get()).await?;
        let mut counts = count_tags(&mut tx, id.get()).await?;
        count_images(&mut tx, id.get(), &mut counts).await?;
        Ok(counts)
    }
}

impl SqliteStore {
    async fn set_credentials(&self, tx: &mut Tx, id: i64, credentials: Option<&Credentials>) -> Result<()> {
        let sealed = match credentials {
            None => None,
            Some(c) => {
                let secret = Secret { username: c.username.clone(), password: c.password.clone() };
                let text = Zeroizing::new(json(&secret)?);
                Some(self.key.seal(&place(id), text.as_bytes())?)
            }
        };
        sqlx::query("UPDATE registries SET credentials = ?2 WHERE id = ?1")
            .bind(id)
            .bind(sealed)
            .execute(&mut **tx)
            .await
            .about("storing credentials")?;
        Ok(())
    }
}

/// What credentials are sealed for: they open in no other row.
fn place(id: i64) -> String {
    format!("credentials of registry {id}")
}

fn unknown(id: i64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no registry {id}"))
}

async fn one(tx: &mut Tx, id: i64) -> Result<Registry> {
    let row = sqlx::query("SELECT *, credentials IS NOT NULL AS sealed FROM registries WHERE id = ?1")
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
        .about("reading a registry")?;
    registry_of(&row.ok_or_else(|| unknown(id))?)
}

fn registry_of(row: &SqliteRow) -> Result<Registry> {
    Ok(Registry {
        id: Id::new(get(row, "id")?),
        config: json_at(row, "config")?,
        status: word_at(row, "status")?,
        reason: get(row, "reason")?,
        created_at: time_at(row, "created_at")?,
        discovered_at: maybe_time_at(row, "discovered_at")?,
        has_credentials: get(row, "sealed")?,
    })
}

async fn refuse_taken(tx: &mut Tx, own: Option<i64>, name: &str) -> Result<()> {
    let taken: Option<i64> = sqlx::query_scalar("SELECT id FROM registries WHERE name = ?1 AND id IS NOT ?2")
        .bind(name)
        .bind(own)
        .fetch_optional(&mut **tx)
        .await
        .about("reading registries")?;
    match taken {
        None => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Conflict, format!("there is a registry named {name:?} already"))),
    }
}

async fn set_readers(tx: &mut Tx, id: i64, config: &RegistryConfig) -> Result<()> {
    sqlx::query("DELETE FROM registry_readers WHERE registry_id = ?1")
        .bind(id)
        .execute(&mut **tx)
        .await
        .about("setting the readers of a registry")?;
    sqlx::query(
        "INSERT INTO registry_readers (registry_id, reader, rank) SELECT ?1, value, key FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(json(&trusted_readers(config))?)
    .execute(&mut **tx)
    .await
    .about("setting the readers of a registry")?;
    Ok(())
}

/// What follows from an edit: other readers count, what was chosen from indexes is chosen again, keys of issues
/// carry the new name, and everything is judged again.
async fn apply_change(tx: &mut Tx, old: &Registry, new: &RegistryConfig) -> Result<()> {
    let (id, was) = (old.id.get(), &old.config);
    set_readers(tx, id, new).await?;
    if was.platforms != new.platforms || was.initial_scan != new.initial_scan {
        sqlx::query("UPDATE manifests SET outdated = 1 WHERE registry_id = ?1")
            .bind(id)
            .execute(&mut **tx)
            .await
            .about("changing a registry")?;
    }
    if was.name != new.name {
        rename_issues(tx, id, &was.name, &new.name).await?;
        adopt_issues(tx, id, &new.name).await?;
    }
    let readers_moved = trusted_readers(was) != trusted_readers(new);
    if was.name != new.name || was.url != new.url || readers_moved {
        super::judgements::mark_registry(tx, id).await?;
    }
    let status = match (was.enabled, new.enabled) {
        (true, false) => Some((RegistryStatus::Disabled, "switched off")),
        (false, true) => Some((RegistryStatus::Pending, "switched on, not looked at yet")),
        (true, true) | (false, false) => None,
    };
    if let Some((status, reason)) = status {
        sqlx::query("UPDATE registries SET status = ?2, reason = ?3 WHERE id = ?1")
            .bind(id)
            .bind(word(&status)?)
            .bind(reason)
            .execute(&mut **tx)
            .await
            .about("changing a registry")?;
    }
    Ok(())
}

/// The names of the fields that changed. Never their values: an URL may carry a password by mistake.
fn describe_change(old: &RegistryConfig, new: &RegistryConfig, credentials: &CredentialsChange) -> String {
    let fields = |config| json(config).and_then(|text| from_json::<serde_json::Map<String, serde_json::Value>>(&text));
    let (before, after) = (fields(old).unwrap_or_default(), fields(new).unwrap_or_default());
    let mut changed: Vec<&str> = after.iter().filter(|(k, v)| before.get(*k) != Some(*v)).map(|(k, _)| &**k).collect();
    match credentials {
        CredentialsChange::Keep => {}
        CredentialsChange::Replace(_) | CredentialsChange::Remove => changed.push("credentials"),
    }
    let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    format!("{}: {changed}", new.name)
}

async fn count_tags(tx: &mut Tx, id: i64) -> Result<RegistryCounts> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM repositories WHERE registry_id = ?1 AND gone_at IS NULL) AS repositories,
                COUNT(*) AS tags, COALESCE(SUM(t.wanted), 0) AS wanted,
                COALESCE(SUM(t.wanted = 1 AND NOT EXISTS (
                    SELECT 1 FROM manifests m
                    JOIN registry_readers r ON r.registry_id = m.registry_id AND r.reader = m.reader
                    WHERE m.registry_id = ?1 AND m.digest = t.digest AND m.outdated = 0)), 0) AS unresolved,
                (SELECT COUNT(*) FROM issues WHERE registry_id = ?1 AND state = 0) AS issues
         FROM repositories p JOIN tags t ON t.repository_id = p.id AND t.deleted_at IS NULL
         WHERE p.registry_id = ?1",
    )
    .bind(id)
    .fetch_one(&mut **tx)
    .await
    .about("counting tags")?;
    Ok(RegistryCounts {
        repositories: count_at(&row, "repositories")?,
        tags: count_at(&row, "tags")?,
        tags_wanted: count_at(&row, "wanted")?,
        tags_unresolved: count_at(&row, "unresolved")?,
        issues_open: count_at(&row, "issues")?,
        ..RegistryCounts::default()
    })
}

async fn count_images(tx: &mut Tx, id: i64, counts: &mut RegistryCounts) -> Result<()> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT state, COUNT(*) FROM (
             SELECT COALESCE((SELECT g.state FROM readings g
                              JOIN registry_readers r ON r.registry_id = ?1 AND r.reader = g.reader
                              WHERE g.image_id = s.image_id
                              ORDER BY g.state > 1, r.rank, g.state LIMIT 1), 4) AS state
             FROM (SELECT DISTINCT image_id FROM shown WHERE registry_id = ?1) s)
         GROUP BY state",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await
    .about("counting images")?;
    for (state, images) in rows {
        let images = super::columns::count(images)?;
        counts.images += images;
        *match super::columns::state(state)? {
            model::job::ImageState::Scanned => &mut counts.scanned,
            model::job::ImageState::Partial => &mut counts.partial,
            model::job::ImageState::Scanning => &mut counts.scanning,
            model::job::ImageState::Failed => &mut counts.failed,
            model::job::ImageState::Pending => &mut counts.pending,
        } = images;
    }
    Ok(())
}
