//! How repositories stand to standards.

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, Stretch, bar, percent};
use crate::api::images::{Scores, compliance_scores};
use crate::auth::guard::Visitor;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use policy::Standard;
use report::api::ComplianceScoreBody;
use store::types::ImageFilter;

/// A repository with its score.
struct Row {
    score: ComplianceScoreBody,
    percent: Option<String>,
    bar: Vec<Stretch>,
}

#[derive(Template)]
#[template(path = "compliance.html")]
struct CompliancePage {
    frame: Frame,
    show: Show,
    standards: &'static [Standard],
    rows: Vec<Row>,
    images: u64,
    complete: bool,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let Scores { rows: mut scores, images, complete } =
        compliance_scores(&state, &ImageFilter::default()).await.or_refuse(&state, &visitor)?;
    let worst_first = |score: &ComplianceScoreBody| score.score.unwrap_or(2.0);
    scores.sort_by(|a, b| worst_first(a).total_cmp(&worst_first(b)));
    let rows = scores.into_iter().map(row).collect();
    let frame = Frame::new(&state, &visitor, "Compliance", Section::Compliance);
    let show = Show::at(state.now());
    let page = CompliancePage { frame, show, standards: policy::standards(), rows, images, complete };
    Ok(render(&page))
}

fn row(score: ComplianceScoreBody) -> Row {
    let parts = [("good", score.passed), ("bad", score.failed), ("gap", score.not_evaluated)];
    Row { percent: score.score.as_ref().map(percent), bar: bar(&parts), score }
}
