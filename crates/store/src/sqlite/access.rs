//! Tokens, agents and the audit log. Only hashes of secrets are stored.

use super::columns::{bytes, count_at, get, maybe_time_at, micros, micros_up, time_at, word, word_at};
use super::evaluations::before;
use super::failure::About as _;
use super::intents::write_audit;
use super::jobs::give_back;
use super::{SqliteStore, Tx};
use crate::traits::Access;
use crate::types::{AgentView, AuditEntry, NewAgent, NewToken, Page, TokenRow, TokenView, agent_holder};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::id::kind;
use model::{Digest, Id, Scope, Timestamp};
use sqlx::sqlite::SqliteRow;

#[async_trait]
impl Access for SqliteStore {
    async fn add_token(&self, token: &NewToken, by: &str, now: Timestamp) -> Result<Id<kind::ApiToken>> {
        let mut tx = self.write().await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO tokens (name, hash, role, agent_group, once, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
        )
        .bind(&token.name)
        .bind(bytes(&token.hash))
        .bind(word(&token.role)?)
        .bind(&token.agent_group)
        .bind(token.once)
        .bind(micros(now))
        .bind(token.expires_at.map(micros))
        .fetch_one(&mut *tx)
        .await
        .about("adding a token")?;
        write_audit(&mut tx, now, by, "token.add", &format!("{id}: {}", token.name)).await?;
        tx.commit().await.about("adding a token")?;
        Ok(Id::new(id))
    }

    async fn token(&self, hash: &Digest, now: Timestamp) -> Result<Option<TokenView>> {
        let row = sqlx::query(
            "SELECT id, name, role, agent_group, once FROM tokens
             WHERE hash = ?1 AND spent_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)",
        )
        .bind(bytes(hash))
        .bind(micros_up(now))
        .fetch_optional(&self.readers)
        .await
        .about("looking for a token")?;
        row.map(|row| token_of(&row)).transpose()
    }

    async fn tokens(&self, page: &Page) -> Result<Vec<TokenRow>> {
        let rows = sqlx::query("SELECT * FROM tokens WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
            .bind(before(page)?)
            .bind(page.limit)
            .fetch_all(&self.readers)
            .await
            .about("listing tokens")?;
        let row = |row: &SqliteRow| {
            Ok(TokenRow {
                id: Id::new(get(row, "id")?),
                name: get(row, "name")?,
                role: word_at(row, "role")?,
                agent_group: get(row, "agent_group")?,
                created_at: time_at(row, "created_at")?,
                expires_at: maybe_time_at(row, "expires_at")?,
                spent_at: maybe_time_at(row, "spent_at")?,
                revoked_at: maybe_time_at(row, "revoked_at")?,
            })
        };
        rows.iter().map(row).collect()
    }

    async fn spend_token(&self, id: Id<kind::ApiToken>, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE tokens SET spent_at = ?2
             WHERE id = ?1 AND once = 1 AND spent_at IS NULL AND revoked_at IS NULL",
        )
        .bind(id.get())
        .bind(micros(now))
        .execute(&mut *tx)
        .await
        .about("spending a token")?;
        if done.rows_affected() == 0 {
            let once: Option<bool> = sqlx::query_scalar("SELECT once FROM tokens WHERE id = ?1")
                .bind(id.get())
                .fetch_optional(&mut *tx)
                .await
                .about("spending a token")?;
            return Err(match once {
                None => Error::new(ErrorKind::NotFound, format!("there is no token {id}")),
                Some(false) => Error::new(ErrorKind::Malformed, format!("token {id} is not for one use")),
                Some(true) => Error::new(ErrorKind::Conflict, format!("token {id} was used already, or revoked")),
            });
        }
        tx.commit().await.about("spending a token")
    }

    async fn revoke_token(&self, id: Id<kind::ApiToken>, by: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE tokens SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1")
            .bind(id.get())
            .bind(micros(now))
            .execute(&mut *tx)
            .await
            .about("revoking a token")?;
        if done.rows_affected() == 0 {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no token {id}")));
        }
        write_audit(&mut tx, now, by, "token.revoke", &id.to_string()).await?;
        tx.commit().await.about("revoking a token")
    }

    async fn add_agent(&self, agent: &NewAgent, now: Timestamp) -> Result<AgentView> {
        let mut tx = self.write().await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO agents (name, agent_group, mode, secret_hash, version, joined_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        )
        .bind(&agent.name)
        .bind(&agent.group)
        .bind(word(&agent.mode)?)
        .bind(bytes(&agent.secret_hash))
        .bind(&agent.version)
        .bind(micros(now))
        .fetch_one(&mut *tx)
        .await
        .about("adding an agent")?;
        write_audit(
            &mut tx,
            now,
            &agent_holder(Id::new(id)),
            "agent.join",
            &format!("{} of {}", agent.name, agent.group),
        )
        .await?;
        let added = agents_of(&mut tx, Some(id)).await?.pop();
        tx.commit().await.about("adding an agent")?;
        added.ok_or_else(|| unknown_agent(id))
    }

    async fn agent_by_secret(&self, hash: &Digest, now: Timestamp) -> Result<Option<AgentView>> {
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM agents WHERE secret_hash = ?1")
            .bind(bytes(hash))
            .fetch_optional(&self.readers)
            .await
            .about("looking for an agent")?;
        // Strangers never reach the write lock.
        let Some(id) = id else { return Ok(None) };
        let mut tx = self.write().await?;
        sqlx::query("UPDATE agents SET last_seen = MAX(COALESCE(last_seen, ?2), ?2) WHERE id = ?1")
            .bind(id)
            .bind(micros(now))
            .execute(&mut *tx)
            .await
            .about("looking for an agent")?;
        let found = agents_of(&mut tx, Some(id)).await?.pop();
        tx.commit().await.about("looking for an agent")?;
        Ok(found)
    }

    async fn agents(&self, scope: &Scope) -> Result<Vec<AgentView>> {
        let Scope::All = scope;
        agents_of(&mut self.read().await?, None).await
    }

    async fn delete_agent(&self, id: Id<kind::Agent>, by: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let name: Option<String> = sqlx::query_scalar("DELETE FROM agents WHERE id = ?1 RETURNING name")
            .bind(id.get())
            .fetch_optional(&mut *tx)
            .await
            .about("removing an agent")?;
        let name = name.ok_or_else(|| unknown_agent(id.get()))?;
        let leases = give_back(&mut tx, &agent_holder(id), "the agent was removed", now).await?;
        write_audit(&mut tx, now, by, "agent.delete", &format!("{name}, {leases} leases given back")).await?;
        tx.commit().await.about("removing an agent")
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<()> {
        let mut tx = self.write().await?;
        write_audit(&mut tx, entry.at, &entry.by, &entry.what, &entry.detail).await?;
        tx.commit().await.about("writing the audit log")
    }

    async fn audit_log(&self, scope: &Scope, page: &Page) -> Result<Vec<AuditEntry>> {
        let Scope::All = scope;
        let rows = sqlx::query("SELECT * FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
            .bind(before(page)?)
            .bind(page.limit)
            .fetch_all(&self.readers)
            .await
            .about("reading the audit log")?;
        let entry = |row: &SqliteRow| {
            Ok(AuditEntry {
                id: get(row, "id")?,
                at: time_at(row, "at")?,
                by: get(row, "by")?,
                what: get(row, "what")?,
                detail: get(row, "detail")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

fn unknown_agent(id: i64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no agent {id}"))
}

fn token_of(row: &SqliteRow) -> Result<TokenView> {
    Ok(TokenView {
        id: Id::new(get(row, "id")?),
        name: get(row, "name")?,
        role: word_at(row, "role")?,
        agent_group: get(row, "agent_group")?,
        once: get(row, "once")?,
    })
}

/// One agent, or all by group and name.
async fn agents_of(tx: &mut Tx, id: Option<i64>) -> Result<Vec<AgentView>> {
    let rows = sqlx::query(
        "SELECT a.*, (SELECT COUNT(*) FROM jobs j WHERE j.state = 'leased' AND j.holder = 'agent:' || a.id) AS leases
         FROM agents a WHERE ?1 IS NULL OR a.id = ?1 ORDER BY a.agent_group, a.name, a.id",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await
    .about("listing agents")?;
    let agent = |row: &SqliteRow| {
        Ok(AgentView {
            id: Id::new(get(row, "id")?),
            name: get(row, "name")?,
            group: get(row, "agent_group")?,
            mode: word_at(row, "mode")?,
            version: get(row, "version")?,
            joined_at: time_at(row, "joined_at")?,
            last_seen: maybe_time_at(row, "last_seen")?,
            leases: count_at(row, "leases")?,
        })
    };
    rows.iter().map(agent).collect()
}
