//! The audit log.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, quoted};
use crate::auth::guard::Visitor;
use crate::respond::Params;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::Scope;
use serde::Deserialize;
use store::types::{AuditEntry, Page};

/// Rows of one page.
const ROWS: u32 = 100;

/// `?cursor=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Query {
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    show: Show,
    rows: Vec<AuditEntry>,
    first: bool,
    next: Option<String>,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor, Params(query): Params<Query>) -> PageResult {
    let page = Page { limit: ROWS + 1, cursor: query.cursor.clone() };
    let rows = state.store().audit_log(&Scope::All, &page).await.or_refuse(&state, &visitor)?;
    let page = report::api::Page::cut(rows, ROWS as usize, |row| row.id.to_string());
    Ok(render(&AuditPage {
        frame: Frame::new(&state, &visitor, "Audit log", Section::Audit),
        show: Show::at(state.now()),
        rows: page.items,
        first: query.cursor.is_none(),
        next: page.next.map(|cursor| format!("/audit?cursor={}", quoted(&cursor))),
    }))
}
