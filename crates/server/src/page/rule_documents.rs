//! The installation's own rules: what is looked for in bytes besides what ships.
//!
//! Invariant: every form edits the revision that it was made from; a document that cannot be used is shown again with
//! what is wrong with it.

use super::form::Filled;
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use crate::api::rules::replace_extraction;
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::respond::Params;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse as _;
use model::extraction::{ExtractionRules, RuleDocument, RuleKind};
use serde::Deserialize;

/// A document in the list.
struct Row {
    kind: RuleKind,
    name: String,
    bytes: usize,
    problems: Vec<String>,
}

#[derive(Template)]
#[template(path = "rule_documents.html")]
struct DocumentsPage {
    frame: Frame,
    revision: u64,
    rows: Vec<Row>,
    form: DocumentForm,
    wrong: Option<String>,
}

/// Which document is in the editor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Start {
    kind: String,
    name: String,
}

/// A document, as the form has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DocumentForm {
    revision: u64,
    kind: String,
    name: String,
    text: String,
}

/// The page; with `?kind=&name=` that document is in the editor.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor, Params(start): Params<Start>) -> PageResult {
    let rules = state.store().extraction_rules().await.or_refuse(&state, &visitor)?;
    let is_meant = |document: &&RuleDocument| document.kind.as_str() == start.kind && document.name == start.name;
    let text = rules.documents.iter().find(is_meant).map(|document| document.text.clone()).unwrap_or_default();
    let form = DocumentForm { revision: rules.revision, kind: start.kind, name: start.name, text };
    Ok(render(&page(&state, &visitor, &rules, form, None)))
}

fn page(
    state: &Shared,
    visitor: &Visitor,
    rules: &ExtractionRules,
    form: DocumentForm,
    wrong: Option<String>,
) -> DocumentsPage {
    let detectors = state.engine.office.tools.current();
    let row = |document: &RuleDocument| Row {
        kind: document.kind,
        name: document.name.clone(),
        bytes: document.text.len(),
        problems: detectors
            .problems()
            .iter()
            .filter(|problem| problem.kind == document.kind && problem.document == document.name)
            .map(ToString::to_string)
            .collect(),
    };
    DocumentsPage {
        frame: Frame::new(state, visitor, "Own rules", Section::Rules),
        revision: rules.revision,
        rows: rules.documents.iter().map(row).collect(),
        form,
        wrong,
    }
}

/// Adds a document, or replaces the one of that name.
pub(crate) async fn save(State(state): State<Shared>, filled: Filled<DocumentForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    match try_save(&state, &visitor, &form).await {
        Ok(stored) => Ok(done(&state, &visitor, "/rules/documents", text(&stored))),
        Err(problem) => {
            let rules = state.store().extraction_rules().await.or_refuse(&state, &visitor)?;
            let details: Vec<&str> = problem.errors.iter().map(|error| error.detail.as_str()).collect();
            let wrong = if details.is_empty() { problem.detail.clone() } else { details.join("; ") };
            let form = DocumentForm { revision: rules.revision, ..form };
            Ok((problem.status, render(&page(&state, &visitor, &rules, form, Some(wrong)))).into_response())
        }
    }
}

fn text(stored: &ExtractionRules) -> String {
    format!("Saved as rule set {}. Images are read again by the detector whose rules changed.", stored.revision)
}

async fn try_save(state: &Shared, visitor: &Visitor, form: &DocumentForm) -> Answer<ExtractionRules> {
    let mut rules = current(state, form.revision).await?;
    let kind = kind(&form.kind)?;
    let name = form.name.trim().to_owned();
    let new = RuleDocument { kind, name: name.clone(), text: form.text.replace("\r\n", "\n") };
    match rules.documents.iter_mut().find(|document| document.kind == kind && document.name == name) {
        Some(known) => *known = new,
        None => rules.documents.push(new),
    }
    replace_extraction(state, rules, &visitor.principal.name).await
}

fn kind(text: &str) -> Answer<RuleKind> {
    let found = RuleKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| Problem::refused("choose what kind of rules these are"))
}

async fn current(state: &Shared, revision: u64) -> Answer<ExtractionRules> {
    let rules = state.store().extraction_rules().await?;
    if rules.revision != revision {
        return Err(Problem::conflict("somebody else changed the rules meanwhile: look again, then try again"));
    }
    Ok(rules)
}

/// Removes a document.
pub(crate) async fn delete(State(state): State<Shared>, filled: Filled<DocumentForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    Ok(match try_delete(&state, &visitor, &form).await {
        Ok(stored) => done(&state, &visitor, "/rules/documents", text(&stored)),
        Err(problem) => failed(&state, &visitor, "/rules/documents", problem.detail),
    })
}

async fn try_delete(state: &Shared, visitor: &Visitor, form: &DocumentForm) -> Answer<ExtractionRules> {
    let mut rules = current(state, form.revision).await?;
    let kind = kind(&form.kind)?;
    let before = rules.documents.len();
    rules.documents.retain(|document| document.kind != kind || document.name != form.name);
    if rules.documents.len() == before {
        return Err(Problem::not_found(format!("there is no document {}", form.name)));
    }
    replace_extraction(state, rules, &visitor.principal.name).await
}
