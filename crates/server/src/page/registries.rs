//! The list of registries.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, Stretch, image_bar, registry_status_class};
use crate::auth::guard::Visitor;
use crate::problem::Answer;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::Scope;
use model::registry::Registry;
use store::types::RegistryCounts;

/// A registry in the list.
pub(crate) struct Row {
    registry: Registry,
    counts: RegistryCounts,
    bar: Vec<Stretch>,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "registries.html")]
struct RegistriesPage {
    frame: Frame,
    show: Show,
    rows: Vec<Row>,
}

/// The page.
pub(crate) async fn list(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let rows = rows(&state).await.or_refuse(&state, &visitor)?;
    let frame = Frame::new(&state, &visitor, "Registries", Section::Registries);
    Ok(render(&RegistriesPage { frame, show: Show::at(state.now()), rows }))
}

async fn rows(state: &Shared) -> Answer<Vec<Row>> {
    let mut rows = Vec::new();
    for registry in state.store().registries(&Scope::All).await? {
        let counts = state.store().registry_counts(&Scope::All, registry.id).await?;
        let class = registry_status_class(registry.status);
        rows.push(Row { bar: image_bar(&counts), class, registry, counts });
    }
    Ok(rows)
}
