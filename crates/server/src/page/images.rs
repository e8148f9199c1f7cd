//! The list of images, and the choice behind an index.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, quoted};
use crate::api::images::STATES;
use crate::api::issues::{registry_id, word};
use crate::auth::guard::Visitor;
use crate::problem::Answer;
use crate::respond::Params;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::Scope;
use model::job::ImageState;
use model::registry::Registry;
use serde::Deserialize;
use store::types::{ImageCounters, ImageFilter, ImageView, Page};

/// Images of one page.
const ROWS: u32 = 50;

/// Filters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    registry: String,
    repository: String,
    tag: String,
    state: String,
    cursor: String,
}

impl Query {
    fn is_filtered(&self) -> bool {
        [&self.registry, &self.repository, &self.tag, &self.state].iter().any(|text| !text.is_empty())
    }

    fn address(&self, cursor: &str) -> String {
        let pairs = [
            ("registry", self.registry.as_str()),
            ("repository", &self.repository),
            ("tag", &self.tag),
            ("state", &self.state),
            ("cursor", cursor),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        if query.is_empty() { "/images".to_owned() } else { format!("/images?{}", query.join("&")) }
    }
}

#[derive(Template)]
#[template(path = "images.html")]
struct ImagesPage {
    frame: Frame,
    show: Show,
    query: Query,
    registries: Vec<Registry>,
    states: Vec<&'static str>,
    rows: Vec<ImageView>,
    first: String,
    next: Option<String>,
}

/// The page.
pub(crate) async fn list(State(state): State<Shared>, visitor: Visitor, Params(query): Params<Query>) -> PageResult {
    let page = images(&state, &visitor, query).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn images(state: &Shared, visitor: &Visitor, query: Query) -> Answer<ImagesPage> {
    let text = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = ImageFilter {
        registry: registry_id(state, text(&query.registry).as_deref()).await?,
        repository: text(&query.repository),
        tag: text(&query.tag),
        state: word::<ImageState>("state", text(&query.state).as_deref(), STATES)?,
    };
    let page = Page { limit: ROWS + 1, cursor: text(&query.cursor) };
    let rows = state.store().images(&Scope::All, &filter, &page).await?;
    let page = report::api::Page::cut(rows, ROWS as usize, |row| row.digest.to_string());
    Ok(ImagesPage {
        frame: Frame::new(state, visitor, "Images", Section::Images),
        show: Show::at(state.now()),
        registries: state.store().registries(&Scope::All).await?,
        states: STATES.split(", ").collect(),
        first: query.address(""),
        next: page.next.map(|cursor| query.address(&cursor)),
        rows: page.items,
        query,
    })
}

/// Zeroes stand there before the first judgement too: they are not shown as a result.
pub(crate) fn is_uncounted(image: &ImageView) -> bool {
    image.counters == ImageCounters::default()
}
