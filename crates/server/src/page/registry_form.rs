//! The form of a registry: add, edit, test before saving, remove.
//!
//! Invariant: a stored password is never shown and never needed again, except to send it to another address.

use super::form::{Filled, Nothing, filled, lines};
use super::frame::{Frame, Section, done, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show;
use crate::auth::guard::Visitor;
use crate::problem::{Answer, Problem};
use crate::registries;
use crate::respond::At;
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use model::Id;
use model::registry::{Credentials, InitialScan, Registry, RegistryConfig};
use report::api::{FieldProblem, InitialScanBody, RegistryRequest, ScopeBody, TestResult, schedule_text};
use serde::Deserialize;
use store::types::CredentialsChange;

/// What is in the form. Check boxes are absent when they are not ticked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    /// `test` or `save`.
    action: String,
    name: String,
    url: String,
    username: String,
    password: String,
    forget: String,
    ca_certificate: String,
    plain_http: String,
    skip_tls_verify: String,
    repositories: String,
    scan_mode: String,
    agent_group: String,
    initial_mode: String,
    initial_days: String,
    include: String,
    exclude: String,
    platforms: String,
    newest: String,
    schedule: String,
    disabled: String,
}

#[derive(Template)]
#[template(path = "registry_form.html")]
struct FormPage<'a> {
    frame: Frame,
    /// The registry that is edited.
    registry: Option<&'a Registry>,
    fields: &'a Fields,
    wrong: Vec<FieldProblem>,
    trouble: Option<String>,
    test: Option<TestResult>,
    retype: bool,
    deny_private: bool,
}

impl FormPage<'_> {
    /// What is wrong with a field.
    fn fault(&self, field: &str) -> Option<&str> {
        let of_field =
            |problem: &&FieldProblem| problem.field == field || problem.field.starts_with(&format!("{field}."));
        self.wrong.iter().find(of_field).map(|problem| problem.detail.as_str())
    }
}

impl Fields {
    fn of(config: &RegistryConfig) -> Self {
        let mark = |on: bool| if on { "on".to_owned() } else { String::new() };
        let (initial_mode, initial_days) = match config.initial_scan {
            InitialScan::All => ("all", String::new()),
            InitialScan::LatestTag => ("latest_tag", String::new()),
            InitialScan::DaysModified { days } => ("days_modified", days.to_string()),
        };
        let scheme = if config.plain_http { "http" } else { "https" };
        Self {
            name: config.name.clone(),
            url: format!("{scheme}://{}", config.url),
            ca_certificate: config.ca_certificate.clone().unwrap_or_default(),
            skip_tls_verify: mark(config.skip_tls_verify),
            repositories: show::lines(&config.repositories),
            scan_mode: config.scan_mode.to_string(),
            agent_group: config.agent_group.clone().unwrap_or_default(),
            initial_mode: initial_mode.to_owned(),
            initial_days,
            include: show::lines(&config.scope.include),
            exclude: show::lines(&config.scope.exclude),
            platforms: show::lines(&config.platforms.iter().map(ToString::to_string).collect::<Vec<_>>()),
            newest: config.newest_per_repository.map(|n| n.to_string()).unwrap_or_default(),
            schedule: schedule_text(config.schedule_seconds),
            disabled: mark(!config.enabled),
            ..Self::default()
        }
    }

    /// The same request that the API takes. Numbers that are none become field problems.
    fn request(&self) -> Result<RegistryRequest, Vec<FieldProblem>> {
        let mut wrong = Vec::new();
        let mut number = |field: &str, text: &str| match filled(text).map(|text| text.parse::<u32>()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                let detail = format!("{text:?} is not a whole number");
                wrong.push(FieldProblem { field: field.to_owned(), detail });
                None
            }
        };
        let days = number("initial_scan", &self.initial_days);
        let newest = number("newest_per_repository", &self.newest);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let by_agent = matches!(self.scan_mode.as_str(), "outpost" | "broker");
        let mode = filled(&self.initial_mode).unwrap_or_else(|| "all".to_owned());
        let days = days.filter(|_| mode == "days_modified");
        Ok(RegistryRequest {
            name: self.name.trim().to_owned(),
            kind: "docker-v2".to_owned(),
            url: self.url.trim().to_owned(),
            username: None,
            password: None,
            ca_certificate: filled(&self.ca_certificate),
            plain_http: self.url.trim().starts_with("http://"),
            skip_tls_verify: !self.skip_tls_verify.is_empty(),
            repositories: lines(&self.repositories),
            scan_mode: filled(&self.scan_mode),
            agent_group: filled(&self.agent_group).filter(|_| by_agent),
            initial_scan: Some(InitialScanBody { mode, days }),
            scope: Some(ScopeBody { include: lines(&self.include), exclude: lines(&self.exclude) }),
            platforms: lines(&self.platforms),
            newest_per_repository: newest,
            schedule: filled(&self.schedule),
            enabled: Some(self.disabled.is_empty()),
        })
    }

    fn config(&self) -> Result<RegistryConfig, Vec<FieldProblem>> {
        self.request()?.into_config().map(|(config, _)| config)
    }

    /// What is to become of the credentials: a user name without a password only makes sense when one is stored.
    fn credentials(&self, stored: bool) -> Result<CredentialsChange, Vec<FieldProblem>> {
        let fault =
            |field: &str, detail: &str| Err(vec![FieldProblem { field: field.to_owned(), detail: detail.to_owned() }]);
        match (filled(&self.username), self.password.as_str()) {
            _ if !self.forget.is_empty() => Ok(CredentialsChange::Remove),
            (None, "") => Ok(CredentialsChange::Keep),
            (Some(username), password) if !password.is_empty() => {
                Ok(CredentialsChange::Replace(Credentials { username, password: password.to_owned() }))
            }
            (Some(_), _) if stored => fault("password", "a new user name needs its password"),
            (Some(_), _) => fault("password", "a user name needs its password"),
            (None, _) => fault("username", "a password needs its user name"),
        }
    }
}

/// Why a form cannot be saved.
enum Trouble {
    Fields(Vec<FieldProblem>),
    Problem(Problem),
}

impl From<Vec<FieldProblem>> for Trouble {
    fn from(fields: Vec<FieldProblem>) -> Self {
        Self::Fields(fields)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

struct Shown<'a> {
    registry: Option<&'a Registry>,
    fields: &'a Fields,
    trouble: Option<Trouble>,
    test: Option<TestResult>,
}

fn form(state: &Shared, visitor: &Visitor, shown: Shown<'_>) -> Response {
    let title = shown.registry.map_or_else(|| "Add a registry".to_owned(), |r| format!("Edit {}", r.config.name));
    let (wrong, trouble, status) = match shown.trouble {
        None => (Vec::new(), None, axum::http::StatusCode::OK),
        Some(Trouble::Fields(fields)) => (fields, None, axum::http::StatusCode::UNPROCESSABLE_ENTITY),
        Some(Trouble::Problem(problem)) => (problem.errors, Some(problem.detail), problem.status),
    };
    let page = FormPage {
        frame: Frame::new(state, visitor, title, Section::Registries),
        registry: shown.registry,
        fields: shown.fields,
        wrong,
        trouble,
        retype: !shown.fields.password.is_empty(),
        test: shown.test,
        deny_private: state.deny_private,
    };
    (status, render(&page)).into_response()
}

/// An empty form.
pub(crate) async fn empty(State(state): State<Shared>, visitor: Visitor) -> Response {
    let fields = Fields {
        scan_mode: "cloud".to_owned(),
        initial_mode: "all".to_owned(),
        schedule: "PT1H".to_owned(),
        ..Fields::default()
    };
    form(&state, &visitor, Shown { registry: None, fields: &fields, trouble: None, test: None })
}

/// Adds a registry, or tests what is in the form.
pub(crate) async fn add(State(state): State<Shared>, filled: Filled<Fields>) -> Response {
    let Filled { visitor, form: fields } = filled;
    if fields.action == "test" {
        return tested(&state, &visitor, None, &fields).await;
    }
    match try_add(&state, &visitor, &fields).await {
        Ok(registry) => {
            let text = format!("{} was added. Its discovery starts now.", registry.config.name);
            done(&state, &visitor, &format!("/registries/{}", registry.id), text)
        }
        Err(trouble) => {
            form(&state, &visitor, Shown { registry: None, fields: &fields, trouble: Some(trouble), test: None })
        }
    }
}

async fn try_add(state: &Shared, visitor: &Visitor, fields: &Fields) -> Result<Registry, Trouble> {
    let config = fields.config()?;
    let credentials = match fields.credentials(false)? {
        CredentialsChange::Replace(credentials) => Some(credentials),
        CredentialsChange::Keep | CredentialsChange::Remove => None,
    };
    Ok(registries::add(state, config, credentials.as_ref(), &visitor.principal.name).await?)
}

/// The form of a stored registry.
pub(crate) async fn edit(State(state): State<Shared>, visitor: Visitor, At(id): At<i64>) -> PageResult {
    let registry = registries::one(&state, Id::new(id)).await.or_refuse(&state, &visitor)?;
    let fields = Fields::of(&registry.config);
    Ok(form(&state, &visitor, Shown { registry: Some(&registry), fields: &fields, trouble: None, test: None }))
}

/// Saves an edit, or tests what is in the form.
pub(crate) async fn save(State(state): State<Shared>, At(id): At<i64>, filled: Filled<Fields>) -> PageResult {
    let Filled { visitor, form: fields } = filled;
    let registry = registries::one(&state, Id::new(id)).await.or_refuse(&state, &visitor)?;
    if fields.action == "test" {
        return Ok(tested(&state, &visitor, Some(&registry), &fields).await);
    }
    Ok(match try_save(&state, &visitor, &registry, &fields).await {
        Ok(registry) => {
            let text = format!("{} was saved.", registry.config.name);
            done(&state, &visitor, &format!("/registries/{id}"), text)
        }
        Err(trouble) => {
            let shown = Shown { registry: Some(&registry), fields: &fields, trouble: Some(trouble), test: None };
            form(&state, &visitor, shown)
        }
    })
}

async fn try_save(
    state: &Shared,
    visitor: &Visitor,
    registry: &Registry,
    fields: &Fields,
) -> Result<Registry, Trouble> {
    let config = fields.config()?;
    let credentials = fields.credentials(registry.has_credentials)?;
    Ok(registries::edit(state, registry, config, credentials, &visitor.principal.name).await?)
}

async fn tested(state: &Shared, visitor: &Visitor, registry: Option<&Registry>, fields: &Fields) -> Response {
    let (trouble, test) = match try_test(state, registry, fields).await {
        Ok(result) => (None, Some(result)),
        Err(trouble) => (Some(trouble), None),
    };
    form(state, visitor, Shown { registry, fields, trouble, test })
}

async fn try_test(state: &Shared, registry: Option<&Registry>, fields: &Fields) -> Result<TestResult, Trouble> {
    let config = registries::checked(state, fields.config()?)?;
    let credentials = match fields.credentials(registry.is_some_and(|r| r.has_credentials))? {
        CredentialsChange::Replace(credentials) => Some(credentials),
        CredentialsChange::Remove => None,
        CredentialsChange::Keep => kept(state, registry, &config).await?,
    };
    Ok(registries::test(state, &config, credentials).await?)
}

/// Stored credentials are sent to the stored address only.
async fn kept(state: &Shared, registry: Option<&Registry>, config: &RegistryConfig) -> Answer<Option<Credentials>> {
    let Some(registry) = registry else { return Ok(None) };
    if registry.config.url != config.url || registry.config.plain_http != config.plain_http {
        return Ok(None);
    }
    Ok(state.store().credentials(registry.id).await?)
}

/// Removes a registry.
pub(crate) async fn delete(State(state): State<Shared>, At(id): At<i64>, filled: Filled<Nothing>) -> PageResult {
    let visitor = filled.visitor;
    let registry = registries::one(&state, Id::new(id)).await.or_refuse(&state, &visitor)?;
    registries::remove(&state, registry.id, &visitor.principal.name).await.or_refuse(&state, &visitor)?;
    let text = format!("{} was removed; its issues are resolved.", registry.config.name);
    Ok(done(&state, &visitor, "/registries", text))
}
