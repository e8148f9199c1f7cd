//! Policies: what is in force, and the document that people edit.

use super::form::Filled;
use super::frame::{Frame, Section, done, render};
use super::refusal::{OrRefuse as _, PageResult};
use crate::api::intents::{in_force, replace};
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use model::policy::{Action, Conditions, Policy, PolicyScope, PolicySet};
use serde::Deserialize;
use toml::{Table, Value};

/// A policy in the list.
struct Row {
    policy: Policy,
    class: &'static str,
    action: &'static str,
    conditions: String,
    scope: String,
}

#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    frame: Frame,
    rows: Vec<Row>,
    revision: u64,
    text: String,
    wrong: Option<String>,
}

/// The page.
pub(crate) async fn show(State(state): State<Shared>, visitor: Visitor) -> PageResult {
    let set = in_force(&state).await.or_refuse(&state, &visitor)?;
    let text = document(&set).or_refuse(&state, &visitor)?;
    Ok(render(&page(&state, &visitor, set, text, None)))
}

fn page(state: &Shared, visitor: &Visitor, set: PolicySet, text: String, wrong: Option<String>) -> PoliciesPage {
    PoliciesPage {
        frame: Frame::new(state, visitor, "Policies", Section::Policies),
        revision: set.revision,
        rows: set.policies.into_iter().map(row).collect(),
        text,
        wrong,
    }
}

/// The document as people edit it: without the revision, which the form carries, and without what is left at its default.
fn document(set: &PolicySet) -> Answer<String> {
    let mut policies = Vec::with_capacity(set.policies.len());
    for policy in &set.policies {
        let mut table = Table::try_from(policy).map_err(Problem::internal)?;
        prune(&mut table);
        policies.push(Value::Table(table));
    }
    let document = Table::from_iter([("policies".to_owned(), Value::Array(policies))]);
    toml::to_string_pretty(&document).map_err(Problem::internal)
}

/// Takes out what reads back the same when it is absent. `trusted` says something even when it is empty.
fn prune(table: &mut Table) {
    if table.get("enabled") == Some(&Value::Boolean(true)) {
        table.remove("enabled");
    }
    for key in ["scope", "conditions", "trusted"] {
        let Some(Value::Table(part)) = table.get_mut(key) else { continue };
        part.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        if part.is_empty() && key != "trusted" {
            table.remove(key);
        }
    }
}

fn row(policy: Policy) -> Row {
    let (action, class) = match policy.action {
        Action::Ignore => ("ignore", "off"),
        Action::Issue => ("issue", "medium"),
        Action::Fail => ("fail", "high"),
        Action::Block => ("block", "critical"),
    };
    Row { class, action, conditions: conditions(&policy), scope: scope(&policy.scope), policy }
}

fn conditions(policy: &Policy) -> String {
    let Conditions {
        severity_at_least,
        cvss_at_least,
        epss_at_least,
        kev,
        fix_available,
        packages,
        vulnerabilities,
        paths,
        rules,
    } = &policy.conditions;
    let yes = |value: bool, yes: &str, no: &str| if value { yes.to_owned() } else { no.to_owned() };
    let mut parts: Vec<String> = Vec::new();
    parts.extend(severity_at_least.map(|severity| format!("{severity} or worse")));
    parts.extend(cvss_at_least.map(|score| format!("CVSS {score} or more")));
    parts.extend(epss_at_least.map(|score| format!("EPSS {score} or more")));
    parts.extend(kev.map(|kev| yes(kev, "known exploited", "not known exploited")));
    parts.extend(fix_available.map(|fix| yes(fix, "with a fix", "without a fix")));
    for (word, list) in
        [("packages", packages), ("vulnerabilities", vulnerabilities), ("paths", paths), ("rules", rules)]
    {
        if !list.is_empty() {
            parts.push(format!("{word} {}", super::show::cut(&list.join(", "), 120)));
        }
    }
    if let Some(trusted) = &policy.trusted {
        let known = [
            (trusted.digests.len(), "digest"),
            (trusted.repositories.len(), "pattern"),
            (trusted.base_layers.len(), "base image"),
        ];
        let known = known.iter().filter(|(count, _)| *count > 0);
        let known: Vec<String> = known.map(|(count, noun)| super::show::counted(*count as u64, noun)).collect();
        let what = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        parts.push(format!("trusts {what}"));
    }
    parts.extend(policy.grace_days.map(|days| format!("after {}", super::show::counted(u64::from(days), "day"))));
    if parts.is_empty() { "any".to_owned() } else { parts.join(", ") }
}

fn scope(scope: &PolicyScope) -> String {
    let lists = [("registries", &scope.registries), ("repositories", &scope.repositories), ("tags", &scope.tags)];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<String> = lists.map(|(word, list)| format!("{word} {}", list.join(", "))).collect();
    if parts.is_empty() { "everywhere".to_owned() } else { parts.join("; ") }
}

/// The edited document.
#[derive(Debug, Deserialize)]
pub(crate) struct PolicyForm {
    revision: u64,
    text: String,
}

/// Saves the document, or shows what is wrong with it beside the text.
pub(crate) async fn save(State(state): State<Shared>, filled: Filled<PolicyForm>) -> PageResult {
    let Filled { visitor, form } = filled;
    match try_save(&state, &visitor, &form).await {
        Ok(stored) => {
            let text = format!("Policies saved as revision {}. Everything is judged again now.", stored.revision);
            Ok(done(&state, &visitor, "/policies", text))
        }
        Err(problem) => {
            let set = in_force(&state).await.or_refuse(&state, &visitor)?;
            let status = problem.status;
            let mut page = page(&state, &visitor, set, form.text, Some(problem.detail));
            if status != StatusCode::CONFLICT {
                page.revision = form.revision;
            }
            Ok((status, render(&page)).into_response())
        }
    }
}

async fn try_save(state: &Shared, visitor: &Visitor, form: &PolicyForm) -> Answer<PolicySet> {
    let mut set = policy::parse_policies(&form.text).map_err(|error| Problem::refused(error.to_string()))?;
    set.revision = form.revision;
    replace(state, set, &visitor.principal.name).await.map_err(|problem| {
        if problem.status == StatusCode::CONFLICT {
            let detail =
                "somebody else saved the policies meanwhile: compare your text with the list above, then save again";
            return Problem::conflict(detail);
        }
        problem
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_reads_back() {
        let set = policy::default_policies();
        let text = document(&set).unwrap();
        assert_eq!(policy::parse_policies(&text).unwrap().policies, set.policies);
    }

    #[test]
    fn conditions_are_told_in_words() {
        let set = policy::default_policies();
        let of = |id: &str| conditions(set.policies.iter().find(|policy| policy.id == id).unwrap());
        assert_eq!(of("severe-with-fix"), "high or worse, with a fix");
        assert_eq!(of("known-exploited"), "known exploited");
        assert_eq!(of("malware"), "any");
        assert_eq!(of("trusted-images"), "trusts nothing");
    }
}
