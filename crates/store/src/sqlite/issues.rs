//! Issues and their history.
//!
//! Invariant: history has a row for everything that opened, resolved or reopened an issue and for people's edits,
//! and none for an issue that merely stays. What a person decided is undone by a person only.

use super::Tx;
use super::columns::{
    bytes, count, get, hexes_json, issue_state, issue_state_rank, json_at, maybe_time_at, micros, resolution_at,
    severity, severity_index, severity_rank, time_at, word, word_at,
};
use super::failure::About as _;
use super::judgements::{Marked, mark};
use crate::packed::json;
use crate::types::{IssueCount, IssueDelta, IssueEdit, IssueFilter, Judgement, Page};
use crate::{Error, ErrorKind, Result};
use jiff::SignedDuration;
use model::issue::{DesiredIssue, IssueChange, IssueState, Resolution, Transition};
use model::{Id, Issue, Timestamp};
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

/// Who judges.
const PRATIQUE: &str = "pratique";

/// What is known of an issue when a judgement is written.
struct Known {
    id: i64,
    state: IssueState,
    resolution: Option<Resolution>,
    desired: String,
    due_from: Timestamp,
}

/// A judgement being written.
struct Writer<'a> {
    judgement: &'a Judgement,
    now: Timestamp,
    known: Vec<Known>,
    by_key: BTreeMap<String, usize>,
    by_id: BTreeMap<i64, usize>,
    delta: IssueDelta,
}

/// Writes the transitions of a judgement. They were worked out from what was stored a moment ago: where a person was
/// faster, the person's decision stands.
pub(super) async fn apply(tx: &mut Tx, judgement: &Judgement, now: Timestamp) -> Result<IssueDelta> {
    let mut writer = Writer::load(tx, judgement, now).await?;
    for transition in &judgement.transitions {
        match transition {
            Transition::Open(desired) => match writer.by_key.get(&desired.key.to_string()).copied() {
                None => writer.open(tx, desired).await?,
                Some(at) => writer.want(tx, at, desired).await?,
            },
            Transition::Keep(id, desired) | Transition::Reopen(id, desired) => {
                let at = writer.find(id.get())?;
                writer.want(tx, at, desired).await?;
            }
            Transition::Resolve(id, resolution) => {
                let at = writer.find(id.get())?;
                writer.resolve(tx, at, *resolution).await?;
            }
        }
    }
    Ok(writer.delta)
}

impl<'a> Writer<'a> {
    async fn load(tx: &mut Tx, judgement: &'a Judgement, now: Timestamp) -> Result<Self> {
        let target = &judgement.target;
        let rows = sqlx::query(
            "SELECT id, key, state, resolution, desired, due_from FROM issues WHERE registry_id = ?1 AND repository = ?2",
        )
        .bind(target.registry.get())
        .bind(&target.repository)
        .fetch_all(&mut **tx)
        .await
        .about("reading issues")?;
        let (known, by_key, by_id) = (Vec::with_capacity(rows.len()), BTreeMap::new(), BTreeMap::new());
        let mut writer = Self { judgement, now, known, by_key, by_id, delta: IssueDelta::default() };
        for (at, row) in rows.iter().enumerate() {
            let id = get(row, "id")?;
            writer.by_key.insert(get(row, "key")?, at);
            writer.by_id.insert(id, at);
            writer.known.push(Known {
                id,
                state: issue_state(get(row, "state")?)?,
                resolution: resolution_at(row, "resolution")?,
                desired: get(row, "desired")?,
                due_from: time_at(row, "due_from")?,
            });
        }
        Ok(writer)
    }

    fn find(&self, id: i64) -> Result<usize> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("the judged repository has no issue {id}"));
        self.by_id.get(&id).copied().ok_or_else(unknown)
    }

    fn due(&self, desired: &DesiredIssue, from: Timestamp) -> Option<i64> {
        let days = self.judgement.due_days[severity_index(desired.severity)]?;
        from.checked_add(SignedDuration::from_hours(i64::from(days) * 24)).ok().map(micros)
    }

    async fn open(&mut self, tx: &mut Tx, desired: &DesiredIssue) -> Result<()> {
        let key = desired.key.to_string();
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO issues (key, registry_id, registry, repository, state, severity, kind, policy, desired,
                                 opened_at, due_from, due_at)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?9, ?10) RETURNING id",
        )
        .bind(&key)
        .bind(self.judgement.target.registry.get())
        .bind(&desired.key.registry)
        .bind(&desired.key.repository)
        .bind(severity_rank(desired.severity))
        .bind(desired.kind.as_str())
        .bind(&desired.key.policy)
        .bind(json(desired)?)
        .bind(micros(self.now))
        .bind(self.due(desired, self.now))
        .fetch_one(&mut **tx)
        .await
        .about("opening an issue")?;
        set_images(tx, id, desired).await?;
        self.by_key.insert(key, self.known.len());
        self.by_id.insert(id, self.known.len());
        let state = IssueState::Open;
        self.known.push(Known { id, state, resolution: None, desired: json(desired)?, due_from: self.now });
        self.delta.opened += 1;
        self.history(tx, id, "opened", &self.judgement.reason).await
    }

    /// The issue is wanted: it stays, or comes back unless a person resolved it.
    async fn want(&mut self, tx: &mut Tx, at: usize, desired: &DesiredIssue) -> Result<()> {
        let known = &self.known[at];
        let id = known.id;
        let comes_back = match known.state {
            IssueState::Open => false,
            IssueState::Resolved => !known.resolution.is_some_and(Resolution::is_by_person),
        };
        let from = if comes_back { self.now } else { known.due_from };
        let text = json(desired)?;
        if comes_back || text != known.desired {
            self.update(tx, id, (desired, &text), from).await?;
        }
        if comes_back {
            sqlx::query("UPDATE issues SET state = 0, resolved_at = NULL, resolution = NULL WHERE id = ?1")
                .bind(id)
                .execute(&mut **tx)
                .await
                .about("reopening an issue")?;
            self.delta.reopened += 1;
            self.history(tx, id, "reopened", &self.judgement.reason).await?;
        } else {
            self.delta.kept += u64::from(known.state == IssueState::Open);
        }
        let known = &mut self.known[at];
        known.due_from = from;
        known.desired = text;
        if comes_back {
            (known.state, known.resolution) = (IssueState::Open, None);
        }
        Ok(())
    }

    async fn update(&self, tx: &mut Tx, id: i64, desired: (&DesiredIssue, &str), from: Timestamp) -> Result<()> {
        let (desired, text) = desired;
        sqlx::query(
            "UPDATE issues SET severity = ?2, kind = ?3, desired = ?4, due_from = ?5, due_at = ?6 WHERE id = ?1",
        )
        .bind(id)
        .bind(severity_rank(desired.severity))
        .bind(desired.kind.as_str())
        .bind(text)
        .bind(micros(from))
        .bind(self.due(desired, from))
        .execute(&mut **tx)
        .await
        .about("changing an issue")?;
        set_images(tx, id, desired).await
    }

    async fn resolve(&mut self, tx: &mut Tx, at: usize, resolution: Resolution) -> Result<()> {
        let known = &mut self.known[at];
        if known.state == IssueState::Resolved {
            return Ok(());
        }
        (known.state, known.resolution) = (IssueState::Resolved, Some(resolution));
        let id = known.id;
        set_resolved(tx, id, resolution, self.now).await?;
        self.delta.resolved += 1;
        self.history(tx, id, "resolved", &format!("{}: {}", word(&resolution)?, self.judgement.reason)).await
    }

    async fn history(&self, tx: &mut Tx, id: i64, what: &str, why: &str) -> Result<()> {
        let evaluation = self.judgement.evaluation.map(Id::get);
        let change = IssueChange { at: self.now, by: PRATIQUE.to_owned(), what: what.to_owned(), why: why.to_owned() };
        add_history(tx, id, &change, evaluation).await
    }
}

async fn set_resolved(tx: &mut Tx, id: i64, resolution: Resolution, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE issues SET state = 1, resolution = ?2, resolved_at = ?3 WHERE id = ?1")
        .bind(id)
        .bind(word(&resolution)?)
        .bind(micros(now))
        .execute(&mut **tx)
        .await
        .about("resolving an issue")?;
    Ok(())
}

async fn add_history(tx: &mut Tx, id: i64, change: &IssueChange, evaluation: Option<i64>) -> Result<()> {
    sqlx::query(
        "INSERT INTO issue_history (issue_id, at, by, what, why, evaluation_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(id)
    .bind(micros(change.at))
    .bind(&change.by)
    .bind(&change.what)
    .bind(&change.why)
    .bind(evaluation)
    .execute(&mut **tx)
    .await
    .about("writing the history of an issue")?;
    Ok(())
}

async fn set_images(tx: &mut Tx, id: i64, desired: &DesiredIssue) -> Result<()> {
    let digests = hexes_json(&desired.digests)?;
    sqlx::query(
        "DELETE FROM issue_images WHERE issue_id = ?1 AND digest NOT IN (SELECT unhex(value) FROM json_each(?2))",
    )
    .bind(id)
    .bind(&digests)
    .execute(&mut **tx)
    .await
    .about("changing an issue")?;
    sqlx::query(
        "INSERT INTO issue_images (issue_id, digest) SELECT ?1, unhex(value) FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&digests)
    .execute(&mut **tx)
    .await
    .about("changing an issue")?;
    Ok(())
}

/// Resolves every open issue of a registry as `image-gone`.
pub(super) async fn resolve_all(tx: &mut Tx, registry: i64, by: &str, why: &str, now: Timestamp) -> Result<()> {
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM issues WHERE registry_id = ?1 AND state = 0")
        .bind(registry)
        .fetch_all(&mut **tx)
        .await
        .about("resolving issues")?;
    let gone = Resolution::ImageGone;
    let change = IssueChange {
        at: now,
        by: by.to_owned(),
        what: "resolved".to_owned(),
        why: format!("{}: {why}", word(&gone)?),
    };
    for id in ids {
        set_resolved(tx, id, gone, now).await?;
        add_history(tx, id, &change, None).await?;
    }
    Ok(())
}

/// A registry of a name that was used before goes on with the issues of that name.
pub(super) async fn adopt_issues(tx: &mut Tx, registry: i64, name: &str) -> Result<()> {
    sqlx::query("UPDATE issues SET registry_id = ?1 WHERE registry = ?2")
        .bind(registry)
        .bind(name)
        .execute(&mut **tx)
        .await
        .about("taking over issues")?;
    Ok(())
}

/// Keys of issues carry the name of the registry. Where the new name was used before, the issues of this registry
/// take the place of those left over.
pub(super) async fn rename_issues(tx: &mut Tx, registry: i64, old: &str, new: &str) -> Result<()> {
    let rows = sqlx::query("SELECT id, desired FROM issues WHERE registry_id = ?1 AND registry = ?2")
        .bind(registry)
        .bind(old)
        .fetch_all(&mut **tx)
        .await
        .about("renaming issues")?;
    for row in &rows {
        let id: i64 = get(row, "id")?;
        let mut desired: DesiredIssue = json_at(row, "desired")?;
        new.clone_into(&mut desired.key.registry);
        let key = desired.key.to_string();
        sqlx::query("DELETE FROM issues WHERE key = ?1 AND id <> ?2")
            .bind(&key)
            .bind(id)
            .execute(&mut **tx)
            .await
            .about("renaming issues")?;
        sqlx::query("UPDATE issues SET key = ?2, registry = ?3, desired = ?4 WHERE id = ?1")
            .bind(id)
            .bind(&key)
            .bind(new)
            .bind(json(&desired)?)
            .execute(&mut **tx)
            .await
            .about("renaming issues")?;
    }
    Ok(())
}

/// A person's edit, with a row of history for each part.
pub(super) async fn edit(tx: &mut Tx, id: i64, edit: &IssueEdit, by: &str, now: Timestamp) -> Result<()> {
    let issue = one(tx, id).await?;
    let change = |what: &str, why: String| IssueChange { at: now, by: by.to_owned(), what: what.to_owned(), why };
    if let Some(assignee) = &edit.assignee {
        sqlx::query("UPDATE issues SET assignee = ?2 WHERE id = ?1")
            .bind(id)
            .bind(assignee)
            .execute(&mut **tx)
            .await
            .about("assigning an issue")?;
        let why = assignee.clone().unwrap_or_else(|| "nobody".to_owned());
        add_history(tx, id, &change("assigned", why), None).await?;
    }
    if let Some(comment) = &edit.comment {
        add_history(tx, id, &change("commented", comment.clone()), None).await?;
    }
    match (edit.resolution, issue.state) {
        (None, _) | (Some(None), IssueState::Open) => Ok(()),
        (Some(Some(resolution)), _) => {
            set_resolved(tx, id, resolution, now).await?;
            add_history(tx, id, &change("resolved", word(&resolution)?), None).await
        }
        (Some(None), IssueState::Resolved) => reopen(tx, &issue, &change("reopened", "by hand".to_owned())).await,
    }
}

/// Reopens by hand. The repository is judged again: what is no fault any more does not stay open.
async fn reopen(tx: &mut Tx, issue: &Issue, change: &IssueChange) -> Result<()> {
    let id = issue.id.get();
    sqlx::query("UPDATE issues SET state = 0, resolution = NULL, resolved_at = NULL WHERE id = ?1")
        .bind(id)
        .execute(&mut **tx)
        .await
        .about("reopening an issue")?;
    add_history(tx, id, change, None).await?;
    let repositories: Vec<i64> = sqlx::query_scalar(
        "SELECT p.id FROM issues i JOIN repositories p ON p.registry_id = i.registry_id AND p.name = i.repository
         WHERE i.id = ?1",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await
    .about("reopening an issue")?;
    mark(tx, &Marked::Repositories(repositories)).await.map(drop)
}

/// One issue.
pub(super) async fn one(tx: &mut Tx, id: i64) -> Result<Issue> {
    let row = sqlx::query("SELECT * FROM issues WHERE id = ?1")
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
        .about("reading an issue")?;
    issue_of(&row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no issue {id}")))?)
}

/// The history of an issue, oldest first.
pub(super) async fn history(tx: &mut Tx, id: i64) -> Result<Vec<IssueChange>> {
    let rows = sqlx::query("SELECT at, by, what, why FROM issue_history WHERE issue_id = ?1 ORDER BY id")
        .bind(id)
        .fetch_all(&mut **tx)
        .await
        .about("reading the history of an issue")?;
    let change = |row: &SqliteRow| {
        Ok(IssueChange { at: time_at(row, "at")?, by: get(row, "by")?, what: get(row, "what")?, why: get(row, "why")? })
    };
    rows.iter().map(change).collect()
}

/// Every issue of a repository, by key.
pub(super) async fn of_repository(tx: &mut Tx, registry: i64, repository: &str) -> Result<Vec<Issue>> {
    let rows = sqlx::query("SELECT * FROM issues WHERE registry_id = ?1 AND repository = ?2 ORDER BY key")
        .bind(registry)
        .bind(repository)
        .fetch_all(&mut **tx)
        .await
        .about("listing issues")?;
    rows.iter().map(issue_of).collect()
}

/// Open first, worst first, oldest first.
pub(super) async fn list(tx: &mut Tx, filter: &IssueFilter, page: &Page) -> Result<Vec<Issue>> {
    let after = page.cursor.as_deref().map(parse_cursor).transpose()?.unwrap_or([-1, 0, 0, 0]);
    let rows = sqlx::query(
        "SELECT * FROM issues i
         WHERE (state, severity, opened_at, id) > (?1, ?2, ?3, ?4)
           AND (?5 IS NULL OR state = ?5) AND (?6 IS NULL OR severity = ?6) AND (?7 IS NULL OR kind = ?7)
           AND (?8 IS NULL OR policy = ?8) AND (?9 IS NULL OR registry_id = ?9)
           AND (?10 IS NULL OR repository = ?10)
           AND (?11 IS NULL OR EXISTS (SELECT 1 FROM issue_images m WHERE m.issue_id = i.id AND m.digest = ?11))
         ORDER BY state, severity, opened_at, id LIMIT ?12",
    )
    .bind(after[0])
    .bind(after[1])
    .bind(after[2])
    .bind(after[3])
    .bind(filter.state.map(issue_state_rank))
    .bind(filter.severity.map(severity_rank))
    .bind(filter.kind.map(|k| k.as_str()))
    .bind(&filter.policy)
    .bind(filter.registry.map(Id::get))
    .bind(&filter.repository)
    .bind(filter.digest.as_ref().map(bytes))
    .bind(page.limit)
    .fetch_all(&mut **tx)
    .await
    .about("listing issues")?;
    rows.iter().map(issue_of).collect()
}

/// As `types::issue_cursor` writes it.
fn parse_cursor(text: &str) -> Result<[i64; 4]> {
    let parts: Option<Vec<i64>> = text.split('.').map(|part| part.parse().ok()).collect();
    let malformed = || Error::new(ErrorKind::Malformed, format!("{text:?} is no cursor of a list of issues"));
    parts.and_then(|parts| parts.try_into().ok()).ok_or_else(malformed)
}

/// How many there are of each sort.
pub(super) async fn counts(tx: &mut Tx) -> Result<Vec<IssueCount>> {
    let rows = sqlx::query(
        "SELECT state, kind, severity, policy, COUNT(*) AS issues FROM issues
         GROUP BY state, severity, kind, policy ORDER BY state, severity, kind, policy",
    )
    .fetch_all(&mut **tx)
    .await
    .about("counting issues")?;
    let row = |row: &SqliteRow| {
        Ok(IssueCount {
            state: issue_state(get(row, "state")?)?,
            kind: word_at(row, "kind")?,
            severity: severity(get(row, "severity")?)?,
            policy: get(row, "policy")?,
            count: count(get(row, "issues")?)?,
        })
    };
    rows.iter().map(row).collect()
}

fn issue_of(row: &SqliteRow) -> Result<Issue> {
    Ok(Issue {
        id: Id::new(get(row, "id")?),
        state: issue_state(get(row, "state")?)?,
        desired: json_at(row, "desired")?,
        opened_at: time_at(row, "opened_at")?,
        due_at: maybe_time_at(row, "due_at")?,
        resolved_at: maybe_time_at(row, "resolved_at")?,
        resolution: resolution_at(row, "resolution")?,
        assignee: get(row, "assignee")?,
    })
}
