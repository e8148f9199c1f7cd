//! One issue: what is wrong, where exactly, what to do, and what was done about it.

use super::form::{Filled, filled};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, quoted};
use crate::api::issues::checked_edit;
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::respond::At;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use model::issue::{IssueChange, IssueState};
use model::{Id, Issue, Scope};
use report::api::IssuePatch;
use serde::Deserialize;
use store::types::IssueEdit;

#[derive(Template)]
#[template(path = "issue.html")]
struct IssuePage {
    frame: Frame,
    show: Show,
    issue: Issue,
    /// Newest first.
    history: Vec<IssueChange>,
    is_open: bool,
    policy_name: Option<String>,
    exception_href: String,
    /// The instruction of each layer of the image that the evidence is of.
    instructions: Vec<Option<String>>,
    /// What the base image has to do with it.
    base_advice: Option<String>,
}

impl IssuePage {
    /// The history line that made a layer.
    fn made_by(&self, evidence: &model::Evidence) -> Option<String> {
        let of_layer = evidence.layer.and_then(|layer| self.instructions.get(layer as usize).cloned().flatten());
        of_layer.or_else(|| evidence.history.clone()).map(|text| super::show::instruction(&text))
    }
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor, At(id): At<i64>) -> PageResult {
    let page = issue(&state, &visitor, id).await.or_refuse(&state, &visitor)?;
    Ok(render(&page))
}

async fn issue(state: &Shared, visitor: &Visitor, id: i64) -> Answer<IssuePage> {
    let (issue, mut history) = state.store().issue(&Scope::All, Id::new(id)).await?;
    history.reverse();
    let key = &issue.desired.key;
    let policies = crate::api::intents::in_force(state).await?;
    let policy_name = policies.policies.into_iter().find(|p| p.id == key.policy).map(|p| p.name);
    let package = issue.desired.finding.package.as_ref().map(|p| p.name.as_str()).unwrap_or_default();
    let exception_href = format!(
        "/exceptions?rule={}&repository={}&package={}#add",
        quoted(&key.rule),
        quoted(&format!("{}/{}", key.registry, key.repository)),
        quoted(package),
    );
    Ok(IssuePage {
        frame: Frame::new(state, visitor, issue.desired.finding.title.clone(), Section::Issues),
        show: Show::at(state.now()),
        is_open: issue.state == IssueState::Open,
        instructions: instructions(state, &issue).await?,
        base_advice: crate::api::issues::base_advice(state, &issue).await?,
        history,
        policy_name,
        exception_href,
        issue,
    })
}

/// Layers of the first image of the issue; none when it is not known any more.
async fn instructions(state: &Shared, issue: &Issue) -> Answer<Vec<Option<String>>> {
    let Some(digest) = issue.desired.digests.first() else { return Ok(Vec::new()) };
    match state.store().image(&Scope::All, digest).await {
        Ok(view) => Ok(view.resolved.layers.into_iter().map(|layer| layer.instruction).collect()),
        Err(error) if error.kind == store::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The word for people.
pub(crate) const fn resolution_label(resolution: &model::issue::Resolution) -> &'static str {
    use model::issue::Resolution;
    match resolution {
        Resolution::Fixed => "fixed",
        Resolution::ImageGone => "no image shows it any more",
        Resolution::PolicyChanged => "the policy changed",
        Resolution::Excepted => "an exception covers it",
        Resolution::FalsePositive => "false positive",
        Resolution::RiskAccepted => "risk accepted",
        Resolution::Known => "known elsewhere",
        Resolution::Duplicate => "duplicate",
    }
}

/// An edit.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EditForm {
    /// `assign`, `comment`, `resolve` or `reopen`.
    action: String,
    assignee: String,
    comment: String,
    resolution: String,
}

/// Saves an edit.
pub(crate) async fn edit(State(state): State<Shared>, At(id): At<i64>, filled_in: Filled<EditForm>) -> PageResult {
    let Filled { visitor, form } = filled_in;
    let back = format!("/issues/{id}");
    Ok(match save(&state, &visitor, id, &form).await {
        Ok(()) => done(&state, &visitor, &back, "Saved."),
        Err(problem) => failed(&state, &visitor, &back, problem.detail),
    })
}

async fn save(state: &Shared, visitor: &Visitor, id: i64, form: &EditForm) -> Answer<()> {
    let comment = filled(&form.comment);
    let mut edit = IssueEdit { comment, ..IssueEdit::default() };
    match form.action.as_str() {
        "assign" => edit.assignee = Some(filled(&form.assignee)),
        "comment" => {}
        "reopen" => edit.resolution = Some(None),
        "resolve" => {
            let patch = IssuePatch { resolution: Some(filled(&form.resolution)), ..IssuePatch::default() };
            edit.resolution = patch.resolution().map_err(|problem| Problem::fields(vec![problem]))?;
            if edit.comment.is_none() {
                return Err(Problem::refused("say why it is resolved: others will read it"));
            }
        }
        other => return Err(Problem::refused(format!("{other:?} is no edit of an issue"))),
    }
    let edit = checked_edit(edit)?;
    state.store().edit_issue(Id::new(id), &edit, &visitor.principal.name, state.now()).await?;
    Ok(())
}
