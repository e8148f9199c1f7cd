//! `/rules`: what is looked for in bytes, and how what is found by rules and checks is judged.
//!
//! Invariant: what is stored was checked first: a document that would be left out whole, or a setting that would do
//! nothing, is refused with the place that is wrong.

use super::paging::{Paging, slice};
use crate::auth::guard::Who;
use crate::limits::{RULE_DOCUMENTS_MAX, RULE_NAME_CHARS_MAX, RULES_TEXT_BYTES_MAX};
use crate::problem::{Answer, Problem};
use crate::respond::{Input, Params};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use model::extraction::{ExtractionRules, RuleKind};
use model::tuning::{Allowed, Tuning};
use policy::CompiledTuning;
use report::api::{ExtractionRulesBody, FieldProblem, Page, RuleBody, TuningBody};
use std::collections::{BTreeMap, BTreeSet};

/// Rules and checks in force, as they are set, by kind and id.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", operation_id = "listRules", params(Paging),
    responses((status = 200, body = Page<RuleBody>)))]
pub(crate) async fn list(State(state): State<Shared>, Params(paging): Params<Paging>) -> Answer<Json<Page<RuleBody>>> {
    let asked = paging.asked()?;
    Ok(Json(slice(rows(&state, &state.store().tuning().await?), &asked)?))
}

/// Rules and checks in force, as `tuning` sets them.
pub(crate) fn rows(state: &Shared, tuning: &Tuning) -> Vec<RuleBody> {
    let tuning = CompiledTuning::new(tuning);
    let row = |kind: &str, id: &str, title: &str, severity: model::Severity| RuleBody {
        kind: kind.to_owned(),
        id: id.to_owned(),
        title: title.to_owned(),
        severity: severity.as_str().to_owned(),
        severity_set: tuning.severity(id, severity).as_str().to_owned(),
        enabled: tuning.is_enabled(id),
        minimum_confidence: None,
        parameters: BTreeMap::new(),
    };
    let mut out: Vec<RuleBody> = tuning
        .checks()
        .map(|check| {
            let parameters = check.parameters().into_iter().collect();
            RuleBody { parameters, ..row("check", &check.id, &check.title, check.severity) }
        })
        .collect();
    for rule in state.engine.office.tools.current().catalogue() {
        let least = match rule.kind {
            RuleKind::Secrets => tuning.minimum_confidence(&rule.id).map(|least| least.as_str().to_owned()),
            RuleKind::Malware => None,
        };
        let body = row(rule.kind.as_str(), &rule.id, &rule.title, rule.severity);
        out.push(RuleBody { minimum_confidence: least, ..body });
    }
    out
}

/// The installation's own rules for what is read out of bytes, with what was left out of them.
#[utoipa::path(get, path = "/api/v1/rules/extraction", tag = "rules", operation_id = "getExtractionRules",
    responses((status = 200, body = ExtractionRulesBody)))]
pub(crate) async fn extraction(State(state): State<Shared>) -> Answer<Json<ExtractionRulesBody>> {
    let rules = state.store().extraction_rules().await?;
    let problems = state.engine.office.tools.current().problems().to_vec();
    Ok(Json(ExtractionRulesBody::new(rules, problems)))
}

/// Replaces the installation's own rules. Images are read again by the detectors whose rules changed; until that is
/// done each shows it as a gap.
#[utoipa::path(put, path = "/api/v1/rules/extraction", tag = "rules", operation_id = "putExtractionRules",
    request_body = ExtractionRulesBody,
    responses((status = 200, body = ExtractionRulesBody), (status = 409, description = "another edit came first", body = report::api::Problem),
        (status = 422, description = "a document cannot be used", body = report::api::Problem)))]
pub(crate) async fn put_extraction(
    State(state): State<Shared>,
    Who(who): Who,
    Input(body): Input<ExtractionRulesBody>,
) -> Answer<Json<ExtractionRulesBody>> {
    let stored = replace_extraction(&state, body.into(), &who.name).await?;
    let problems = state.engine.office.tools.current().problems().to_vec();
    Ok(Json(ExtractionRulesBody::new(stored, problems)))
}

/// Checks and stores extraction rules, and puts them in force.
///
/// # Errors
/// 422 naming each document that cannot be used, 409 when another edit came first.
pub(crate) async fn replace_extraction(state: &Shared, rules: ExtractionRules, by: &str) -> Answer<ExtractionRules> {
    let mut wrong = shape_problems(&rules);
    if wrong.is_empty() {
        for problem in engine::rules::problems(rules.clone()).await? {
            // One rule of many may be of a dialect that is not spoken: the others count, and it is shown.
            if problem.rule.is_some() && problem.kind == RuleKind::Malware {
                continue;
            }
            wrong.push(FieldProblem {
                field: field_of(&rules, problem.kind, &problem.document),
                detail: problem.to_string(),
            });
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::fields(wrong));
    }
    let stored = state.store().put_extraction_rules(&rules, by, state.now()).await?;
    state.engine.extraction_changed().await?;
    Ok(stored)
}

fn field_of(rules: &ExtractionRules, kind: RuleKind, name: &str) -> String {
    let at = rules.documents.iter().position(|document| document.kind == kind && document.name == name);
    at.map_or_else(|| "documents".to_owned(), |at| format!("documents[{at}].text"))
}

fn shape_problems(rules: &ExtractionRules) -> Vec<FieldProblem> {
    let mut out = Vec::new();
    if rules.documents.len() > RULE_DOCUMENTS_MAX {
        out.push(FieldProblem::new("documents", format!("more than {RULE_DOCUMENTS_MAX}")));
    }
    let bytes: usize = rules.documents.iter().map(|document| document.text.len()).sum();
    if bytes > RULES_TEXT_BYTES_MAX {
        out.push(FieldProblem::new(
            "documents",
            format!("{bytes} bytes together, the limit is {RULES_TEXT_BYTES_MAX}"),
        ));
    }
    let mut seen = BTreeSet::new();
    for (at, document) in rules.documents.iter().enumerate().take(RULE_DOCUMENTS_MAX) {
        let name = &document.name;
        let field = format!("documents[{at}].name");
        let chars = name.chars().count();
        if chars == 0 || chars > RULE_NAME_CHARS_MAX || name.chars().any(|c| c.is_control()) {
            out.push(FieldProblem::new(&field, format!("expected 1 to {RULE_NAME_CHARS_MAX} characters")));
        }
        if !seen.insert((document.kind, name)) {
            out.push(FieldProblem::new(&field, format!("a second document of {} is named {name}", document.kind)));
        }
    }
    out
}

/// How findings of rules and checks are judged: switches, severities, thresholds, the allow-list.
#[utoipa::path(get, path = "/api/v1/rules/tuning", tag = "rules", operation_id = "getTuning",
    responses((status = 200, body = TuningBody)))]
pub(crate) async fn tuning(State(state): State<Shared>) -> Answer<Json<TuningBody>> {
    Ok(Json(state.store().tuning().await?.into()))
}

/// Replaces it. Stored images are judged again at once, without a request to any registry.
#[utoipa::path(put, path = "/api/v1/rules/tuning", tag = "rules", operation_id = "putTuning",
    request_body = TuningBody,
    responses((status = 200, body = TuningBody), (status = 409, description = "another edit came first", body = report::api::Problem),
        (status = 422, description = "a setting breaks a rule", body = report::api::Problem)))]
pub(crate) async fn put_tuning(
    State(state): State<Shared>,
    Who(who): Who,
    Input(body): Input<TuningBody>,
) -> Answer<Json<TuningBody>> {
    Ok(Json(replace_tuning(&state, body.into(), &who.name).await?.into()))
}

/// Checks and stores settings; everything is judged again soon. New entries of the allow-list are signed with `by`.
///
/// # Errors
/// 422 naming each setting that breaks a rule, 409 when another edit came first.
pub(crate) async fn replace_tuning(state: &Shared, mut tuning: Tuning, by: &str) -> Answer<Tuning> {
    let known = state.engine.office.tools.current().catalogue().into_iter().map(|rule| rule.id).collect();
    let problems = policy::check_tuning(&tuning, &known);
    if !problems.is_empty() {
        let field = |problem: policy::TuningProblem| FieldProblem { field: problem.key, detail: problem.what };
        return Err(Problem::fields(problems.into_iter().map(field).collect()));
    }
    let before = state.store().tuning().await?;
    let signed = |entry: Allowed| match before.allow.iter().find(|known| known.says_the_same(&entry)) {
        Some(known) => known.clone(),
        None => Allowed { author: by.to_owned(), created_at: Some(state.now()), ..entry },
    };
    tuning.allow = tuning.allow.into_iter().map(signed).collect();
    let stored = state.store().put_tuning(&tuning, by, state.now()).await?;
    state.engine.intent_changed();
    Ok(stored)
}
