//! Policies, exceptions, settings, and the audit log that their changes write.

use super::columns::{get, micros, number};
use super::failure::About as _;
use super::{SqliteStore, Tx};
use crate::packed::{from_json, json};
use crate::traits::Intents;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::exception::Exception;
use model::extraction::ExtractionRules;
use model::id::kind;
use model::policy::PolicySet;
use model::tuning::Tuning;
use model::{Id, Timestamp};
use serde::de::DeserializeOwned;

#[async_trait]
impl Intents for SqliteStore {
    async fn policies(&self) -> Result<Option<PolicySet>> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM policies")
            .fetch_optional(&self.readers)
            .await
            .about("reading the policies")?;
        text.map(|text| from_json(&text)).transpose()
    }

    async fn put_policies(&self, policies: &PolicySet, by: &str, now: Timestamp) -> Result<PolicySet> {
        let mut tx = self.write().await?;
        let stored: Option<i64> = sqlx::query_scalar("SELECT revision FROM policies")
            .fetch_optional(&mut *tx)
            .await
            .about("reading the policies")?;
        if let Some(stored) = stored.filter(|s| *s != number(policies.revision)) {
            let text = format!(
                "the policies were changed meanwhile: revision {stored} is stored, the edit is of revision {}",
                policies.revision
            );
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let edited = PolicySet { revision: policies.revision.saturating_add(1), ..policies.clone() };
        sqlx::query(
            "INSERT INTO policies (only_row, revision, document) VALUES (1, ?1, ?2)
             ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision, document = excluded.document",
        )
        .bind(number(edited.revision))
        .bind(json(&edited)?)
        .execute(&mut *tx)
        .await
        .about("storing the policies")?;
        let detail = format!("revision {}, {} policies", edited.revision, edited.policies.len());
        write_audit(&mut tx, now, by, "policy.edit", &detail).await?;
        let cause = format!("policies edited by {by} (revision {})", edited.revision);
        add_cause(&mut tx, &cause).await?;
        tx.commit().await.about("storing the policies")?;
        Ok(edited)
    }

    async fn exceptions(&self) -> Result<Vec<Exception>> {
        let rows = sqlx::query("SELECT id, document FROM exceptions ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .about("listing exceptions")?;
        rows.iter().map(|row| Ok(Exception { id: get(row, "id")?, ..from_json(get(row, "document")?)? })).collect()
    }

    async fn add_exception(&self, exception: &Exception, by: &str, now: Timestamp) -> Result<Exception> {
        if exception.reason.trim().is_empty() {
            return Err(Error::new(ErrorKind::Malformed, "an exception needs a reason"));
        }
        let mut tx = self.write().await?;
        let id: i64 = sqlx::query_scalar("INSERT INTO exceptions (document) VALUES (?1) RETURNING id")
            .bind(json(exception)?)
            .fetch_one(&mut *tx)
            .await
            .about("adding an exception")?;
        let detail = format!("{id}: {} in {}", exception.rule, exception.repository);
        write_audit(&mut tx, now, by, "exception.add", &detail).await?;
        add_cause(&mut tx, &format!("exception {id} for {} added by {by}", exception.rule)).await?;
        tx.commit().await.about("adding an exception")?;
        Ok(Exception { id, ..exception.clone() })
    }

    async fn delete_exception(&self, id: Id<kind::Exception>, by: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query("DELETE FROM exceptions WHERE id = ?1")
            .bind(id.get())
            .execute(&mut *tx)
            .await
            .about("removing an exception")?;
        if done.rows_affected() == 0 {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no exception {id}")));
        }
        write_audit(&mut tx, now, by, "exception.delete", &id.to_string()).await?;
        add_cause(&mut tx, &format!("exception {id} removed by {by}")).await?;
        tx.commit().await.about("removing an exception")
    }

    async fn extraction_rules(&self) -> Result<ExtractionRules> {
        Ok(self.document(EXTRACTION).await?.unwrap_or_default())
    }

    async fn put_extraction_rules(&self, rules: &ExtractionRules, by: &str, now: Timestamp) -> Result<ExtractionRules> {
        let edited = ExtractionRules { revision: rules.revision.saturating_add(1), ..rules.clone() };
        let what = format!("{} documents", edited.documents.len());
        let document = NewDocument { name: EXTRACTION, of: rules.revision, text: json(&edited)?, what };
        self.put_document(&document, by, now).await?;
        Ok(edited)
    }

    async fn tuning(&self) -> Result<Tuning> {
        Ok(self.document(TUNING).await?.unwrap_or_default())
    }

    async fn put_tuning(&self, tuning: &Tuning, by: &str, now: Timestamp) -> Result<Tuning> {
        let edited = Tuning { revision: tuning.revision.saturating_add(1), ..tuning.clone() };
        let what = format!("{} rules set, {} entries of the allow-list", edited.rules.len(), edited.allow.len());
        let document = NewDocument { name: TUNING, of: tuning.revision, text: json(&edited)?, what };
        self.put_document(&document, by, now).await?;
        Ok(edited)
    }

    async fn causes(&self) -> Result<Vec<(i64, String)>> {
        sqlx::query_as("SELECT id, text FROM causes ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .about("listing edits of intent")
    }

    async fn causes_judged(&self, up_to: i64) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM causes WHERE id <= ?1")
            .bind(up_to)
            .execute(&mut *tx)
            .await
            .about("removing judged edits")?;
        tx.commit().await.about("removing judged edits")
    }

    async fn setting(&self, name: &str) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT value FROM settings WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .about("reading a setting")
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&mut *tx)
        .await
        .about("storing a setting")?;
        tx.commit().await.about("storing a setting")
    }
}

/// Name of the document of extraction rules.
const EXTRACTION: &str = "extraction-rules";

/// Name of the document of switches, thresholds and allow-lists.
const TUNING: &str = "tuning";

/// An edit of a document.
struct NewDocument<'a> {
    name: &'a str,
    /// The revision that was edited.
    of: u64,
    text: String,
    /// For the audit log.
    what: String,
}

impl SqliteStore {
    async fn document<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let text: Option<String> = sqlx::query_scalar("SELECT document FROM documents WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .about("reading a document")?;
        text.map(|text| from_json(&text)).transpose()
    }

    async fn put_document(&self, new: &NewDocument<'_>, by: &str, now: Timestamp) -> Result<()> {
        let NewDocument { name, of, text, what } = new;
        let mut tx = self.write().await?;
        let stored: Option<i64> = sqlx::query_scalar("SELECT revision FROM documents WHERE name = ?1")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await
            .about("reading a document")?;
        let stored = stored.unwrap_or_default();
        if stored != number(*of) {
            let text = format!("{name} changed meanwhile: revision {stored} is stored, the edit is of revision {of}");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let revision = of.saturating_add(1);
        sqlx::query(
            "INSERT INTO documents (name, revision, document) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, document = excluded.document",
        )
        .bind(name)
        .bind(number(revision))
        .bind(text)
        .execute(&mut *tx)
        .await
        .about("storing a document")?;
        write_audit(&mut tx, now, by, &format!("{name}.edit"), &format!("revision {revision}, {what}")).await?;
        add_cause(&mut tx, &format!("{name} edited by {by} (revision {revision})")).await?;
        tx.commit().await.about("storing a document")
    }
}

/// Everything is to be judged again, because of an edit in the same transaction.
async fn add_cause(tx: &mut Tx, text: &str) -> Result<()> {
    sqlx::query("INSERT INTO causes (text) VALUES (?1)")
        .bind(text)
        .execute(&mut **tx)
        .await
        .about("storing why to judge again")?;
    Ok(())
}

/// Writes a row of the audit log in the transaction of the change.
pub(super) async fn write_audit(tx: &mut Tx, at: Timestamp, by: &str, what: &str, detail: &str) -> Result<()> {
    sqlx::query("INSERT INTO audit (at, by, what, detail) VALUES (?1, ?2, ?3, ?4)")
        .bind(micros(at))
        .bind(by)
        .bind(what)
        .bind(detail)
        .execute(&mut **tx)
        .await
        .about("writing the audit log")?;
    Ok(())
}
