//! Rules and checks: switches, severities and thresholds, and the allow-list.
//!
//! Not here: what is looked for in bytes ([`super::rule_documents`]). Invariant: every form edits the revision that it
//! was made from; when another edit came first, nothing is stored.

use super::form::{Filled, filled};
use super::frame::{Frame, Section, done, failed, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::Show;
use crate::api::rules::{replace_tuning, rows};
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use jiff::ToSpan as _;
use model::Severity;
use model::tuning::{Allowed, RuleTuning, Tuning};
use report::api::RuleBody;
use serde::Deserialize;

/// A kind of rule with its rows.
struct Group {
    title: &'static str,
    lead: &'static str,
    /// Long lists start closed.
    open: bool,
    rows: Vec<RuleBody>,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    frame: Frame,
    show: Show,
    groups: Vec<Group>,
    severities: Vec<&'static str>,
    tuning: Tuning,
    text: String,
    wrong: Option<String>,
    /// Revision of the installation's own rules.
    rule_set: u64,
    documents: usize,
    problems: usize,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let tuning = state.store().tuning().await.or_refuse(&state, &visitor)?;
    let text = policy::tuning_text(&tuning).map_err(Problem::internal).or_refuse(&state, &visitor)?;
    Ok(render(&page(&state, &visitor, tuning, text, None).await.or_refuse(&state, &visitor)?))
}

async fn page(
    state: &Shared,
    visitor: &Visitor,
    tuning: Tuning,
    text: String,
    wrong: Option<String>,
) -> Answer<RulesPage> {
    let own = state.store().extraction_rules().await?;
    let all = rows(state, &tuning);
    let of = |kind: &str| all.iter().filter(|row| row.kind == kind).cloned().collect::<Vec<RuleBody>>();
    let groups = vec![
        Group {
            title: "Checks of the configuration",
            lead: "Over stored facts: an edit never reads an image again.",
            open: true,
            rows: of("check"),
        },
        Group {
            title: "Secret rules",
            lead: "A secret below the minimum confidence is no finding.",
            open: false,
            rows: of("secrets"),
        },
        Group { title: "Malware signatures", lead: "YARA rules.", open: false, rows: of("malware") },
    ];
    Ok(RulesPage {
        frame: Frame::new(state, visitor, "Rules", Section::Rules),
        show: Show::at(state.now()),
        groups,
        severities: Severity::ALL.iter().map(|severity| severity.as_str()).collect(),
        tuning,
        text,
        wrong,
        rule_set: own.revision,
        documents: own.documents.len(),
        problems: state.engine.office.tools.current().problems().len(),
    })
}

/// The edited document.
#[derive(Debug, Deserialize)]
pub(crate) struct TuningForm {
    revision: u64,
    text: String,
}

/// Saves the document, or shows what is wrong with it beside the text.
pub(crate) async fn save(State(state): State<Shared>, filled: Filled<TuningForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let parsed = policy::parse_tuning(&form.text).map_err(|error| Problem::refused(error.to_string()));
    let stored = match parsed {
        Ok(tuning) => {
            let tuning = Tuning { revision: form.revision, ..tuning };
            replace_tuning(&state, tuning, &visitor.principal.name).await
        }
        Err(problem) => Err(problem),
    };
    match stored {
        Ok(stored) => Ok(done(&state, &visitor, "/rules", saved(&stored))),
        Err(problem) => {
            let mut tuning = state.store().tuning().await.or_refuse(&state, &visitor)?;
            if problem.status != StatusCode::CONFLICT {
                tuning.revision = form.revision;
            }
            let wrong = Some(words(&problem));
            let page = page(&state, &visitor, tuning, form.text, wrong).await.or_refuse(&state, &visitor)?;
            Ok((problem.status, render(&page)).into_response())
        }
    }
}

fn saved(stored: &Tuning) -> String {
    format!("Saved as revision {}. Stored images are judged again now, without reading any of them.", stored.revision)
}

/// What is wrong, with every field that is.
fn words(problem: &Problem) -> String {
    if problem.errors.is_empty() {
        return problem.detail.clone();
    }
    let fields: Vec<String> = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
    fields.join("; ")
}

/// One rule, set.
#[derive(Debug, Deserialize)]
pub(crate) struct SetForm {
    revision: u64,
    id: String,
    #[serde(default)]
    enabled: String,
    /// Empty for the rule's own.
    #[serde(default)]
    severity: String,
}

/// Switches one rule or check, or sets its severity.
pub(crate) async fn set(State(state): State<Shared>, filled: Filled<SetForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let outcome = edit(&state, &visitor, form.revision, |tuning| set_one(tuning, &form)).await;
    Ok(answer(&state, &visitor, outcome))
}

fn set_one(tuning: &mut Tuning, form: &SetForm) -> Answer<()> {
    let severity = match filled(&form.severity) {
        None => None,
        Some(text) => Some(text.parse::<Severity>().map_err(Problem::refused)?),
    };
    let at = tuning.rules.iter().position(|rule| rule.id == form.id);
    let mut rule = match at {
        Some(at) => tuning.rules.remove(at),
        None => RuleTuning {
            id: form.id.clone(),
            enabled: true,
            severity: None,
            minimum_confidence: None,
            parameters: Default::default(),
        },
    };
    rule.enabled = !form.enabled.is_empty();
    rule.severity = severity;
    let says_nothing =
        rule.enabled && rule.severity.is_none() && rule.minimum_confidence.is_none() && rule.parameters.is_empty();
    // One rule comes before patterns over many: the first that fits decides.
    if !says_nothing || tuning.rules.iter().any(|other| other.id.contains('*')) {
        tuning.rules.insert(at.unwrap_or(0), rule);
    }
    Ok(())
}

/// A new entry of the allow-list.
#[derive(Debug, Deserialize)]
pub(crate) struct AllowForm {
    revision: u64,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    paths: String,
    #[serde(default)]
    fingerprint: String,
    #[serde(default)]
    images: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    days: String,
}

/// Adds an entry to the allow-list.
pub(crate) async fn allow(State(state): State<Shared>, filled: Filled<AllowForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let now = state.now();
    let outcome = edit(&state, &visitor, form.revision, |tuning| {
        tuning.allow.push(entry(&form, now)?);
        Ok(())
    })
    .await;
    Ok(answer(&state, &visitor, outcome))
}

fn entry(form: &AllowForm, now: model::Timestamp) -> Answer<Allowed> {
    let expires_at = match filled(&form.days) {
        None => None,
        Some(text) => {
            let days: u32 = text.parse().map_err(|_| Problem::refused(format!("{text:?} is not a number of days")))?;
            if !(1..=3650).contains(&days) {
                return Err(Problem::refused("an entry ends after 1 to 3650 days, or never"));
            }
            Some(now.saturating_add((i64::from(days) * 24).hours()).unwrap_or(model::Timestamp::MAX))
        }
    };
    let lines = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    Ok(Allowed {
        rule: filled(&form.rule).unwrap_or_else(|| "*".to_owned()),
        paths: lines(&form.paths),
        fingerprint: filled(&form.fingerprint),
        images: lines(&form.images),
        reason: form.reason.trim().to_owned(),
        author: String::new(),
        created_at: None,
        expires_at,
    })
}

/// An entry to remove.
#[derive(Debug, Deserialize)]
pub(crate) struct DisallowForm {
    revision: u64,
    index: usize,
}

/// Removes an entry from the allow-list.
pub(crate) async fn disallow(State(state): State<Shared>, filled: Filled<DisallowForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    let outcome = edit(&state, &visitor, form.revision, |tuning| {
        if form.index >= tuning.allow.len() {
            return Err(Problem::not_found("there is no such entry"));
        }
        tuning.allow.remove(form.index);
        Ok(())
    })
    .await;
    Ok(answer(&state, &visitor, outcome))
}

async fn edit(
    state: &Shared,
    visitor: &Visitor,
    revision: u64,
    change: impl FnOnce(&mut Tuning) -> Answer<()>,
) -> Answer<Tuning> {
    let mut tuning = state.store().tuning().await?;
    if tuning.revision != revision {
        return Err(Problem::conflict("somebody else changed the rules meanwhile: look again, then try again"));
    }
    change(&mut tuning)?;
    replace_tuning(state, tuning, &visitor.principal.name).await
}

fn answer(state: &Shared, visitor: &Visitor, outcome: Answer<Tuning>) -> axum::response::Response {
    match outcome {
        Ok(stored) => done(state, visitor, "/rules", saved(&stored)),
        Err(problem) => failed(state, visitor, "/rules", words(&problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(id: &str, enabled: bool, severity: &str) -> SetForm {
        let enabled = if enabled { "yes" } else { "" }.to_owned();
        SetForm { revision: 0, id: id.to_owned(), enabled, severity: severity.to_owned() }
    }

    #[test]
    fn switching_a_rule_off_and_on_leaves_nothing_behind() {
        let mut tuning = Tuning::default();
        set_one(&mut tuning, &form("root-user", false, "")).unwrap();
        assert_eq!(tuning.rules.iter().map(|r| (r.id.as_str(), r.enabled)).collect::<Vec<_>>(), [("root-user", false)]);
        set_one(&mut tuning, &form("root-user", true, "high")).unwrap();
        assert_eq!((tuning.rules[0].enabled, tuning.rules[0].severity), (true, Some(Severity::High)));
        set_one(&mut tuning, &form("root-user", true, "")).unwrap();
        assert_eq!(tuning, Tuning::default());
        assert!(set_one(&mut tuning, &form("root-user", true, "huge")).is_err());
    }

    #[test]
    fn one_rule_comes_before_a_pattern_over_many() {
        let all = RuleTuning { id: "*".to_owned(), enabled: false, ..set_of("*") };
        let mut tuning = Tuning { rules: vec![all], ..Tuning::default() };
        set_one(&mut tuning, &form("root-user", true, "")).unwrap();
        assert_eq!(tuning.rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["root-user", "*"]);
    }

    fn set_of(id: &str) -> RuleTuning {
        RuleTuning {
            id: id.to_owned(),
            enabled: true,
            severity: None,
            minimum_confidence: None,
            parameters: Default::default(),
        }
    }
}
