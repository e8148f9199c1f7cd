//! What surrounds every page: navigation, who is logged in, the notice of the last action.

use crate::auth::guard::Visitor;
use crate::auth::role_name;
use crate::auth::session::Notice;
use crate::page::assets;
use crate::problem::Problem;
use crate::state::Shared;
use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use store::types::Role;

/// The part of the page that navigation marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// None.
    None,
    /// The overview.
    Overview,
    /// Registries and their trees.
    Registries,
    /// Images.
    Images,
    /// Issues.
    Issues,
    /// What could not be seen.
    Gaps,
    /// Compliance.
    Compliance,
    /// Policies and exceptions.
    Policies,
    /// Rules, checks and what they look for.
    Rules,
    /// Intelligence.
    Intelligence,
    /// Agents.
    Agents,
    /// Jobs and evaluations.
    Activity,
    /// The audit log.
    Audit,
    /// Tokens.
    Tokens,
}

/// A line of the navigation.
pub(crate) struct Link {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
    pub(crate) current: bool,
}

const LINKS: [(Section, &str, &str, Role); 13] = [
    (Section::Overview, "/", "Overview", Role::Viewer),
    (Section::Registries, "/registries", "Registries", Role::Viewer),
    (Section::Images, "/images", "Images", Role::Viewer),
    (Section::Issues, "/issues", "Issues", Role::Viewer),
    (Section::Gaps, "/gaps", "Gaps", Role::Viewer),
    (Section::Compliance, "/compliance", "Compliance", Role::Viewer),
    (Section::Policies, "/policies", "Policies", Role::Viewer),
    (Section::Rules, "/rules", "Rules", Role::Viewer),
    (Section::Intelligence, "/intelligence", "Intelligence", Role::Viewer),
    (Section::Agents, "/agents", "Agents", Role::Viewer),
    (Section::Activity, "/activity", "Activity", Role::Viewer),
    (Section::Audit, "/audit", "Audit log", Role::Administrator),
    (Section::Tokens, "/tokens", "Tokens", Role::Administrator),
];

/// What surrounds a page.
pub(crate) struct Frame {
    /// In the browser's title bar.
    pub(crate) title: String,
    /// Navigation.
    pub(crate) links: Vec<Link>,
    /// Name of the token.
    pub(crate) user: String,
    /// Its role.
    pub(crate) role: &'static str,
    /// For every form.
    pub(crate) csrf: String,
    /// May the visitor scan and work on issues?
    pub(crate) operator: bool,
    /// May the visitor change everything?
    pub(crate) administrator: bool,
    /// What the last action did.
    pub(crate) notice: Option<Notice>,
    /// Version of the program.
    pub(crate) version: &'static str,
    /// Changes with the assets: their address holds it.
    pub(crate) assets: &'static str,
}

impl Frame {
    /// For a page of `section`. Takes the notice that was left for the visitor.
    pub(crate) fn new(state: &Shared, visitor: &Visitor, title: impl Into<String>, section: Section) -> Self {
        let principal = &visitor.principal;
        let shown = LINKS.iter().filter(|(_, _, _, needed)| principal.may(*needed));
        let links = shown.map(|(at, href, label, _)| Link { href, label, current: *at == section }).collect();
        Self {
            title: title.into(),
            links,
            user: principal.name.clone(),
            role: role_name(principal.role),
            csrf: visitor.session.csrf.clone(),
            operator: principal.may(Role::Operator),
            administrator: principal.may(Role::Administrator),
            notice: state.sessions.take(&visitor.session.id),
            version: env!("CARGO_PKG_VERSION"),
            assets: assets::tag(),
        }
    }
}

/// Renders a template.
pub(crate) fn render<T: Template>(template: &T) -> Response {
    match template.render() {
        Ok(html) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// Goes to another page, which says that it went well.
pub(crate) fn done(state: &Shared, visitor: &Visitor, path: &str, text: impl Into<String>) -> Response {
    state.sessions.leave(&visitor.session.id, Notice { good: true, text: text.into() });
    Redirect::to(path).into_response()
}

/// Goes to another page, which says that it did not go well.
pub(crate) fn failed(state: &Shared, visitor: &Visitor, path: &str, text: impl Into<String>) -> Response {
    state.sessions.leave(&visitor.session.id, Notice { good: false, text: text.into() });
    Redirect::to(path).into_response()
}
