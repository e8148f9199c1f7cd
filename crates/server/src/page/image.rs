//! One image: what it is, what is in it, what is wrong with it, and what could not be seen of it.
//!
//! Invariant: a scanner that did not run, or could not see everything, is never shown as "nothing found".

use super::frame::{Frame, Section, render};
use super::refusal::{OrRefuse as _, PageResult};
use super::show::{Show, image_state_class, image_state_meaning};
use crate::api::images::{digest, scanners};
use crate::auth::guard::Visitor;
use crate::facts::{self, ImageFacts, Named};
use crate::problem::Answer;
use crate::respond::{At, Params};
use crate::state::Shared;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use model::{Digest, Evidence, Finding, FindingKind, Gap, Layer, Package, Platform, Severity};
use policy::{ControlResult, ControlState};
use report::api::ScannerBody;
use serde::Deserialize;
use std::collections::BTreeMap;
use store::types::ImageView;

/// Rows of one tab; the API lists all.
const ROWS_MAX: usize = 1000;

/// Places of one finding that are shown at once.
pub(crate) const PLACES_SHOWN: usize = 3;

/// `?tab=&severity=&q=`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    tab: String,
    severity: String,
    q: String,
}

/// A tab.
struct Tab {
    key: &'static str,
    label: &'static str,
    count: u64,
    class: &'static str,
    current: bool,
}

/// A layer with what it brought in.
struct LayerRow {
    layer: Layer,
    packages: u64,
    findings: u64,
}

/// A control with its words.
struct ControlRow {
    result: ControlResult,
    class: &'static str,
    word: &'static str,
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImagePage {
    frame: Frame,
    show: Show,
    view: ImageView,
    state_class: &'static str,
    state_meaning: &'static str,
    os: Option<String>,
    bytes: u64,
    scanners: Vec<ScannerBody>,
    tabs: Vec<Tab>,
    tab: &'static str,
    query: Query,
    /// Open vulnerabilities, by severity.
    severities: [u64; 6],
    findings: Vec<Finding>,
    packages: Vec<Package>,
    packages_of: usize,
    layers: Vec<LayerRow>,
    controls: Vec<ControlRow>,
    gaps: Vec<Gap>,
    /// What to say when there is nothing in this tab.
    nothing: Nothing,
    /// Packages that were compared with nothing: shown above the vulnerabilities that there are.
    uncompared: Vec<String>,
    cut: bool,
    /// The image that it was built on.
    base: Option<crate::base::Base>,
    /// What a newer tag of that would fix.
    gain: Option<crate::base::Gain>,
}

/// Why a tab is empty.
struct Nothing {
    /// `gap` when nobody could look.
    class: &'static str,
    title: String,
    text: String,
}

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage {
    frame: Frame,
    digest: Digest,
    members: Vec<(Platform, Digest)>,
}

/// The page.
pub(crate) async fn show(
    State(state): State<Shared>,
    visitor: Visitor,
    At(text): At<String>,
    Params(query): Params<Query>,
) -> PageResult {
    page(&state, &visitor, &text, query).await.or_refuse(&state, &visitor)
}

async fn page(state: &Shared, visitor: &Visitor, text: &str, query: Query) -> Answer<Response> {
    let digest = digest(text)?;
    match facts::name(state, &digest).await? {
        Named::Index(members) => {
            let frame = Frame::new(state, visitor, "An index", Section::Images);
            Ok((StatusCode::MULTIPLE_CHOICES, render(&IndexPage { frame, digest, members })).into_response())
        }
        Named::Image => {
            let facts = facts::image(state, &digest, policy::Show::Open).await?;
            let base = crate::base::of(state, &facts).await?;
            Ok(render(&image(state, visitor, facts, base, query)))
        }
    }
}

/// Tabs: key, label, kinds of finding in it, scanner that must have looked.
const TABS: [(&str, &str, &[FindingKind], &str); 8] = [
    ("vulnerabilities", "Vulnerabilities", &[FindingKind::Vulnerability], "packages"),
    ("secrets", "Secrets", &[FindingKind::Secret], "secrets"),
    ("malware", "Malware", &[FindingKind::Malware], "malware"),
    (
        "configuration",
        "Configuration",
        &[FindingKind::Misconfiguration, FindingKind::EndOfLife, FindingKind::UntrustedImage],
        "configuration",
    ),
    ("compliance", "Compliance", &[], "configuration"),
    ("packages", "Packages", &[], "packages"),
    ("layers", "Layers", &[], ""),
    ("gaps", "Gaps", &[], ""),
];

fn image(
    state: &Shared,
    visitor: &Visitor,
    facts: ImageFacts,
    base: Option<crate::base::Base>,
    query: Query,
) -> ImagePage {
    let gain = base.as_ref().and_then(|base| base.gain(&facts.judged.findings));
    let scanners = scanners(state, &facts);
    let (tab, _, kinds, scanner) = *TABS.iter().find(|(key, ..)| *key == query.tab).unwrap_or(&TABS[0]);
    let tabs = tabs(&facts, &scanners, tab);
    let layers = layers(&facts);
    let ImageFacts { view, stored, judged } = facts;
    let nothing = nothing(&view, stored.is_some(), &scanners, tab, scanner, &judged.gaps);
    let severities = by_severity(&judged.findings);
    let os = stored.as_ref().and_then(|s| s.inventory.os.as_ref()).map(|os| os.name.clone());
    let inventory = stored.map(|stored| stored.inventory);
    let packages_of = inventory.as_ref().map_or(0, |inventory| inventory.packages.len());
    let severity = query.severity.parse::<Severity>().ok().filter(|_| !query.severity.is_empty());
    let fits = |finding: &Finding| kinds.contains(&finding.kind) && severity.is_none_or(|s| finding.severity == s);
    let mut findings: Vec<Finding> = judged.findings.into_iter().filter(fits).collect();
    let mut packages: Vec<Package> = inventory.map(|inventory| inventory.packages).unwrap_or_default();
    packages.retain(|package| tab == "packages" && package.key.name.contains(query.q.trim()));
    let cut = findings.len() > ROWS_MAX || packages.len() > ROWS_MAX;
    findings.truncate(ROWS_MAX);
    packages.truncate(ROWS_MAX);
    ImagePage {
        frame: Frame::new(state, visitor, title(&view), Section::Images),
        show: Show::at(state.now()),
        state_class: image_state_class(view.state),
        state_meaning: image_state_meaning(view.state),
        os,
        bytes: view.resolved.layers.iter().map(|layer| layer.bytes).sum(),
        view,
        scanners,
        tabs,
        tab,
        query,
        severities,
        findings,
        packages,
        packages_of,
        layers,
        controls: judged.controls.into_iter().map(control_row).collect(),
        uncompared: judged.gaps.iter().filter(|gap| blinds_matching(gap)).map(|gap| gap.detail.clone()).collect(),
        gaps: judged.gaps,
        nothing,
        cut,
        base,
        gain,
    }
}

impl ImagePage {
    /// Is this layer one of the base image's?
    fn is_base(&self, index: &u32) -> bool {
        self.base.as_ref().is_some_and(|base| base.image.has_layer(*index))
    }
}

/// What people call the image: its first tag.
fn title(view: &ImageView) -> String {
    match view.references.first() {
        Some(at) => format!("{}:{}", at.repository, at.tag),
        None => view.digest.short(),
    }
}

fn by_severity(findings: &[Finding]) -> [u64; 6] {
    let mut counts = [0; 6];
    for finding in findings.iter().filter(|finding| finding.kind == FindingKind::Vulnerability) {
        counts[super::show::severity_rank(finding.severity)] += 1;
    }
    counts
}

fn tabs(facts: &ImageFacts, scanners: &[ScannerBody], current: &str) -> Vec<Tab> {
    let inventory = facts.stored.as_ref().map(|stored| &stored.inventory);
    let tab = |&(key, label, kinds, scanner): &(&'static str, &'static str, &[FindingKind], &str)| {
        let of_kind = facts.judged.findings.iter().filter(|finding| kinds.contains(&finding.kind)).count();
        let failed = facts.judged.controls.iter().filter(|control| control.state == ControlState::Failed).count();
        let (count, bad) = match key {
            "compliance" => (failed, failed > 0),
            "packages" => (inventory.map_or(0, |inventory| inventory.packages.len()), false),
            "layers" => (facts.view.resolved.layers.len(), false),
            "gaps" => (facts.judged.gaps.len(), false),
            _ => (of_kind, of_kind > 0),
        };
        let unseen = is_unseen(scanners, scanner) && count == 0 || key == "gaps" && count > 0;
        let class = match (unseen, bad) {
            (true, _) => "gap",
            (false, true) => "bad",
            (false, false) => "",
        };
        Tab { key, label, count: count as u64, class, current: key == current }
    };
    TABS.iter().map(tab).collect()
}

/// Did a scanner not look at all?
fn is_unseen(scanners: &[ScannerBody], name: &str) -> bool {
    scanners.iter().any(|scanner| scanner.name == name && scanner.state == "not-run")
}

/// Does a gap keep packages from being compared with advisories?
const fn blinds_matching(gap: &Gap) -> bool {
    use model::GapReason;
    matches!(
        gap.reason,
        GapReason::NoAdvisories | GapReason::StaleFeed | GapReason::UnknownOs | GapReason::UnsupportedOs
    )
}

/// Why a tab is empty. Only a scanner that saw everything found nothing.
fn nothing(
    view: &ImageView,
    is_read: bool,
    scanners: &[ScannerBody],
    tab: &str,
    scanner: &str,
    gaps: &[Gap],
) -> Nothing {
    let blind = |title: &str, text: String| Nothing { class: "gap", title: title.to_owned(), text };
    if !is_read {
        let reason = view.reason.clone().unwrap_or_else(|| "it has not been read yet".to_owned());
        return blind("Not looked at", format!("Nothing can be said about this image: {reason}."));
    }
    if is_unseen(scanners, scanner) {
        return blind("Not looked at", format!("The scanner for {scanner} has not run over these bytes."));
    }
    let unseen = scanners.iter().find(|s| s.name == scanner && s.state == "partial");
    if let Some(unseen) = unseen {
        let gaps = super::show::counted(unseen.gaps, "gap");
        return blind(
            "Nothing found in what could be seen",
            format!("This is no clean result: see the {gaps} of this scanner."),
        );
    }
    if tab == "vulnerabilities"
        && let Some(gap) = gaps.iter().find(|gap| blinds_matching(gap))
    {
        return blind("No vulnerabilities can be told", format!("This is no clean result: {}.", gap.detail));
    }
    let (title, text) = match tab {
        "vulnerabilities" => ("No known vulnerabilities", "Every package was compared with the advisories in force."),
        "secrets" => ("No secrets found", "Every layer, the environment, labels and history were searched."),
        "malware" => {
            ("No malware found", "Every executable and script was compared with signatures and lists of bad files.")
        }
        "configuration" => ("Nothing to object to", "Every check of the configuration passed."),
        "packages" => ("No packages", "No package database or manifest lies in this image."),
        "compliance" => ("No controls", "No standard is loaded."),
        _ => ("No gaps", "Everything in this image was looked at."),
    };
    Nothing { class: "", title: title.to_owned(), text: text.to_owned() }
}

fn layers(facts: &ImageFacts) -> Vec<LayerRow> {
    let mut packages: BTreeMap<u32, u64> = BTreeMap::new();
    for package in facts.stored.iter().flat_map(|stored| &stored.inventory.packages) {
        if let Some(layer) = package.evidence.first().and_then(|evidence| evidence.layer) {
            *packages.entry(layer).or_default() += 1;
        }
    }
    let mut findings: BTreeMap<u32, u64> = BTreeMap::new();
    for finding in &facts.judged.findings {
        if let Some(layer) = finding.evidence.first().and_then(|evidence| evidence.layer) {
            *findings.entry(layer).or_default() += 1;
        }
    }
    let row = |layer: &Layer| LayerRow {
        packages: packages.get(&layer.index).copied().unwrap_or_default(),
        findings: findings.get(&layer.index).copied().unwrap_or_default(),
        layer: layer.clone(),
    };
    facts.view.resolved.layers.iter().map(row).collect()
}

fn control_row(result: ControlResult) -> ControlRow {
    let (class, word) = match result.state {
        ControlState::Passed => ("good", "passed"),
        ControlState::Failed => ("bad", "failed"),
        ControlState::NotEvaluated => ("gap", "not evaluated"),
    };
    ControlRow { result, class, word }
}

/// Where a finding is, for people: `etc/key line 3`.
pub(crate) fn place(evidence: &Evidence) -> String {
    let path = evidence.path.as_ref().map(ToString::to_string);
    match (path, evidence.line, &evidence.history) {
        (Some(path), Some(line), _) => format!("{path}:{line}"),
        (Some(path), None, _) => path,
        (None, _, Some(entry)) => super::show::cut(entry, 120),
        (None, _, None) => "image configuration".to_owned(),
    }
}

/// The highest CVSS score of a finding, with its vector.
pub(crate) fn cvss(finding: &Finding) -> Option<(String, String)> {
    let scores = finding.vulnerability.iter().flat_map(|detail| &detail.cvss);
    let best = scores.max_by(|a, b| a.score.total_cmp(&b.score))?;
    Some((format!("{:.1}", best.score), best.vector.clone()))
}
