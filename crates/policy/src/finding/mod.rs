//! What is wrong with one core image, whatever anybody tolerates.
//!
//! Not here: policies. Where an image is found plays no role, so untrusted-image findings are made by `judge`.
//! Invariant: one row per (vulnerability, binary package), one per (rule, file), one per check; sorted.

mod end_of_life;
mod malware;
mod secret;
mod vulnerability;

pub use end_of_life::{EndOfLifeDate, end_of_life_dates};
pub(crate) use malware::ALTERED;

use crate::check;
use crate::compliance;
use crate::tuning::{CompiledTuning, Dismissed, Place};
use model::advisory::{BadHash, EndOfSupport};
use model::{
    Detector, Digest, EcosystemRelease, Evidence, Finding, Gap, ImageInventory, LayerPath, Match, PackageKey, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Evidence lists are cut at this length; the text says how many there are.
pub(crate) const EVIDENCE_MAX: usize = 100;

/// Everything that is known about one core image.
#[derive(Debug, Clone, Copy)]
pub struct ImageFacts<'a> {
    /// The facts about its bytes.
    pub inventory: &'a ImageInventory,
    /// What the intelligence says about its packages; those that it says nothing about may be absent.
    pub matches: &'a BTreeMap<PackageKey, Arc<[Match]>>,
    /// Which of its files are known bad, by the keys of their checksums.
    pub bad_hashes: &'a BTreeMap<Digest, Vec<BadHash>>,
    /// The releases that advisories are loaded for, of those that its packages need (`Intelligence::covers`).
    pub covered: &'a BTreeSet<EcosystemRelease>,
    /// When the support of its operating system ends, as a feed says; the table of this crate is asked where none does.
    pub end_of_support: Option<&'a EndOfSupport>,
    /// What was asked for: nothing is said about the rest.
    pub scanners: Scanners,
    /// The moment.
    pub now: Timestamp,
    /// Switches, severities, thresholds and allow-lists.
    pub tuning: &'a CompiledTuning,
    /// Where the image is looked at: some entries of an allow-list speak about some repositories only.
    pub place: Place<'a>,
}

/// What a scan was asked for. End-of-life belongs to `vulnerabilities`, malicious packages to `malware`, compliance to
/// `configuration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanners {
    /// Vulnerability and end-of-life findings.
    pub vulnerabilities: bool,
    /// Secret findings.
    pub secrets: bool,
    /// Malware findings.
    pub malware: bool,
    /// Misconfiguration and compliance findings.
    pub configuration: bool,
}

impl Scanners {
    /// Everything.
    pub const ALL: Self = Self { vulnerabilities: true, secrets: true, malware: true, configuration: true };
}

/// Which findings are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Those that hold or may hold.
    Open,
    /// Also vulnerabilities that were looked up and do not hold.
    All,
}

/// What is wrong with the image, by kind, worst first. With [`Show::All`] also what was dismissed, as not affected.
pub fn findings(facts: &ImageFacts<'_>, show: Show) -> Vec<Finding> {
    let Assessment { mut findings, dismissed } = assess(facts, show);
    match show {
        Show::Open => {}
        Show::All => findings.extend(dismissed.into_iter().map(Dismissed::into_row)),
    }
    findings.sort_by(|a, b| order(a).cmp(&order(b)));
    findings
}

/// What is wrong with an image, and what would be but for [`CompiledTuning`].
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// By kind, worst first.
    pub findings: Vec<Finding>,
    /// In the same order.
    pub dismissed: Vec<Dismissed>,
}

/// What is wrong with the image, and what was dismissed.
pub fn assess(facts: &ImageFacts<'_>, show: Show) -> Assessment {
    let mut out = Assessment::default();
    if facts.scanners.vulnerabilities {
        vulnerability::add(facts, show, &mut out.findings);
        end_of_life::add(facts, &mut out.findings);
    }
    if facts.scanners.secrets {
        secret::add(facts, &mut out);
    }
    if facts.scanners.malware {
        malware::add(facts, &mut out);
    }
    if facts.scanners.configuration {
        check::add(facts, &mut out);
        compliance::add(facts, &mut out);
    }
    out.findings.sort_by(|a, b| order(a).cmp(&order(b)));
    out.dismissed.sort_by(|a, b| order(&a.finding).cmp(&order(&b.finding)));
    out
}

/// When time alone changes the findings of an image: its operating system's support ends, its age passes what a check
/// asks for, or an entry of the allow-list ends.
pub fn findings_boundary(facts: &ImageFacts<'_>) -> Option<Timestamp> {
    let support = if facts.scanners.vulnerabilities { end_of_life::boundary(facts) } else { None };
    let age = if facts.scanners.configuration { check::boundary(facts) } else { None };
    [support, age, facts.tuning.boundary(facts.place, facts.now)].into_iter().flatten().min()
}

/// What the rules of this crate do not know about an image: nobody told when the support of its release ends.
pub fn gaps(facts: &ImageFacts<'_>) -> Vec<Gap> {
    if facts.scanners.vulnerabilities { end_of_life::gap(facts).into_iter().collect() } else { Vec::new() }
}

/// The order of findings: kind, worst first, then everything that tells two rows apart.
pub(crate) fn order(finding: &Finding) -> impl Ord + '_ {
    let package = finding.package.as_ref().map(|p| p.purl.as_str());
    (finding.kind, std::cmp::Reverse(finding.severity), &finding.id, package, &finding.evidence, &finding.because)
}

/// Did the detector look at the image?
pub(crate) fn ran(inventory: &ImageInventory, detector: Detector) -> bool {
    inventory.detectors.iter().any(|version| version.detector == detector)
}

/// Evidence of a file in a layer.
pub(crate) fn file_evidence(
    inventory: &ImageInventory,
    layer: u32,
    path: &LayerPath,
    removed_in: Option<u32>,
) -> Evidence {
    let instruction = inventory.layers.get(layer as usize).and_then(|l| l.instruction.clone());
    Evidence { layer: Some(layer), path: Some(path.clone()), line: None, removed_in, history: instruction }
}

/// `layer 2: RUN apk add …`, the line cut to a readable length; `the configuration` for what is in no layer, and what was
/// read where there are none.
pub(crate) fn layer_text(inventory: &ImageInventory, layer: Option<u32>) -> String {
    let Some(index) = layer else {
        return if inventory.layers.is_empty() { "what was listed" } else { "the configuration" }.to_owned();
    };
    match inventory.layers.get(index as usize).and_then(|l| l.instruction.as_deref()).map(str::trim) {
        Some(line) if !line.is_empty() => format!("layer {index}: {}", cut(line, 120)),
        Some(_) | None => format!("layer {index}"),
    }
}

/// Where a file is and what became of it: `etc/key in layer 1: COPY . /, deleted or replaced in layer 3: RUN rm /etc/key
/// but still extractable`.
pub(crate) fn place_text(inventory: &ImageInventory, evidence: &Evidence) -> String {
    let entry = || evidence.history.as_deref().map_or_else(|| "the configuration".to_owned(), |h| cut(h, 120));
    let Some(path) = &evidence.path else { return entry() };
    let line = evidence.line.map_or_else(String::new, |line| format!(" line {line}"));
    let removed = evidence.removed_in.map_or_else(String::new, |layer| {
        format!(", deleted or replaced in {} but still extractable", layer_text(inventory, Some(layer)))
    });
    format!("{path}{line} in {}{removed}", layer_text(inventory, evidence.layer))
}

/// At most `chars_max` characters, the last being `…` when something was cut.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    out.push('…');
    out
}
