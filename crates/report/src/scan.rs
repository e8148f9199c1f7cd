//! The scan report, version 1: what `pratique scan` writes.
//!
//! Not here: judgement; the findings come in as they are; and how they are written (`format`). Invariant: field names never change, absent values are
//! `null`, lists are sorted, and apart from `statistics` equal input gives equal bytes. The schema is
//! `docs/report-v1.schema.json`.

pub use crate::format::{Format, RenderOptions, render, render_all};
use model::base::BaseImage;
use model::finding::VulnerabilityDetail;
use model::{Evidence, Finding, FindingKind, Gap, ImageInventory, Package};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A report about one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScanReport {
    /// Always 1.
    pub version: u32,
    /// What was scanned.
    pub image: ReportImage,
    /// Its operating system, when one could be told.
    pub os: Option<ReportOs>,
    /// One row per purl, sorted by it.
    pub packages: Vec<ReportPackage>,
    /// Sorted by kind, worst first, then by id and package.
    pub findings: Vec<ReportFinding>,
    /// Sorted.
    pub gaps: Vec<ReportGap>,
    /// What differs from run to run.
    pub statistics: Statistics,
}

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportImage {
    /// As the user gave it.
    pub reference: String,
    /// Digest of the image manifest; `null` where there is none (`docker-archive:`).
    pub digest: Option<String>,
    /// Digest of the configuration; `null` where there is none.
    pub config_digest: Option<String>,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// When it was built, by its publisher's clock, RFC 3339.
    pub created: Option<String>,
    /// Lowest first.
    pub layers: Vec<ReportLayer>,
    /// The image that it was built on, as far as somebody tells.
    #[serde(default)]
    pub base: Option<ReportBase>,
}

/// The image that another one was built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportBase {
    /// What it is called.
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Option<String>,
    /// How many of the lowest layers are its; 0 when that is not known.
    pub layers: u32,
    /// Who says so: `layers` (they are those of a known image), `labels` or `history` of the image itself.
    pub source: String,
}

impl From<&BaseImage> for ReportBase {
    fn from(base: &BaseImage) -> Self {
        Self {
            name: base.name.clone(),
            digest: base.digest.map(|digest| digest.to_string()),
            layers: base.layers,
            source: base.source.as_str().to_owned(),
        }
    }
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportLayer {
    /// Position, 0 at the bottom.
    pub index: u32,
    /// Digest of the blob as stored.
    pub blob_digest: String,
    /// Digest of the uncompressed archive.
    pub diff_id: String,
    /// Size of the blob as stored, in bytes.
    pub bytes: u64,
    /// The history line that made it.
    pub instruction: Option<String>,
}

/// An operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportOs {
    /// os-release `ID`.
    pub id: String,
    /// os-release `VERSION_ID`.
    pub version: String,
    /// os-release `PRETTY_NAME` or `NAME`.
    pub name: String,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportPackage {
    /// Its package URL.
    pub purl: String,
    /// The binary package's name.
    pub name: String,
    /// Its version as found.
    pub version: String,
    /// Where its advisories are kept, as osv.dev spells it (`Alpine:v3.10`); `null` when unknown.
    pub ecosystem: Option<String>,
    /// The source package.
    pub source: Option<ReportSource>,
    /// Where it is recorded, sorted.
    pub locations: Vec<ReportLocation>,
    /// Licence expressions as found, sorted.
    pub licenses: Vec<String>,
}

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportSource {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Where a package is recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ReportLocation {
    /// Index into `image.layers`.
    pub layer: Option<u32>,
    /// The file.
    pub path: Option<String>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportFinding {
    /// `vulnerability`, `secret`, `malware`, `misconfiguration`, `end-of-life`, `untrusted-image` or `compliance`.
    pub kind: String,
    /// The CVE or advisory, the rule, the check, the control.
    pub id: String,
    /// Other ids, sorted.
    pub aliases: Vec<String>,
    /// `critical`, `high`, `medium`, `low`, `negligible` or `unknown`.
    pub severity: String,
    /// `affected`, `will_not_fix`, `deferred` or `undecided`; `not_affected` or `fixed` when asked for.
    pub status: String,
    /// The package.
    pub package: Option<ReportFindingPackage>,
    /// Versions without the fault, the one to install on this release first.
    pub fixed_versions: Vec<String>,
    /// Where it is.
    pub evidence: Vec<ReportEvidence>,
    /// Why we say so.
    pub because: String,
    /// For people.
    pub title: String,
    /// Who rated it.
    pub severity_source: String,
    /// What to do.
    pub remediation: String,
    /// What only vulnerabilities have.
    pub vulnerability: Option<ReportVulnerability>,
}

/// The package of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportFindingPackage {
    /// Its package URL.
    pub purl: String,
    /// The binary package's name.
    pub name: String,
    /// The installed version.
    pub version: String,
}

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportEvidence {
    /// Index into `image.layers`; `null` for what stands in the configuration.
    pub layer: Option<u32>,
    /// The file.
    pub path: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// The layer that deleted or replaced the file.
    pub removed_in: Option<u32>,
    /// The history line that made the layer, or the configuration entry.
    pub history: Option<String>,
}

/// What only vulnerabilities have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportVulnerability {
    /// Who says so.
    pub advisories: Vec<ReportAdvisory>,
    /// CVSS vectors with base scores, newest version first.
    pub cvss: Vec<ReportCvss>,
    /// Entry in a catalogue of known exploited vulnerabilities.
    pub kev: Option<ReportKev>,
    /// Probability of exploitation within 30 days, 0 to 1.
    pub epss: Option<f64>,
    /// When it was published, RFC 3339.
    pub published: Option<String>,
    /// When the fix was published, RFC 3339.
    pub fixed_at: Option<String>,
}

/// Where a statement comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportAdvisory {
    /// The feed.
    pub feed: String,
    /// The advisory's own id.
    pub id: String,
    /// A page for people.
    pub url: Option<String>,
}

/// A CVSS vector and its base score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportCvss {
    /// The vector, such as `CVSS:3.1/AV:N/…`.
    pub vector: String,
    /// The base score, 0.0 to 10.0.
    pub score: f64,
}

/// An entry in a catalogue of known exploited vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportKev {
    /// When it was added, RFC 3339.
    pub added: String,
    /// When US agencies must have fixed it, RFC 3339.
    pub due: Option<String>,
    /// Used by ransomware.
    pub ransomware: bool,
}

/// What could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ReportGap {
    /// What is affected.
    pub scope: String,
    /// Why, for programs.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Whose facts are missing; `null` when all are.
    pub detector: Option<String>,
}

/// What differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Statistics {
    /// Scanners that were not asked for: their absence is no clean result. Sorted.
    pub not_run: Vec<String>,
    /// Wall time of the scan in milliseconds.
    pub duration_ms: u64,
    /// Layers whose bytes were read.
    pub layers_read: u64,
    /// Layers whose facts were known already.
    pub layers_cached: u64,
    /// Compressed bytes that were read.
    pub bytes_read: u64,
    /// Compressed bytes of the layers that were not downloaded, because they were read in part.
    pub bytes_not_read: u64,
    /// Uncompressed bytes of the layers that were read.
    pub bytes_uncompressed: u64,
    /// Generation of the intelligence that was used; `null` without any.
    pub intelligence_generation: Option<u64>,
    /// Version of the program.
    pub program: String,
}

/// Everything that a report is made of.
#[derive(Debug, Clone)]
pub struct ScanInput<'a> {
    /// As the user gave it.
    pub reference: &'a str,
    /// Digest of the image manifest, where there is one.
    pub digest: Option<&'a model::Digest>,
    /// Digest of the configuration, where there is one.
    pub config_digest: Option<&'a model::Digest>,
    /// The facts; their gaps are part of the report.
    pub inventory: &'a ImageInventory,
    /// The judgement.
    pub findings: &'a [Finding],
    /// Gaps beside those of the inventory: what the intelligence could not say.
    pub gaps: &'a [Gap],
    /// What differs from run to run.
    pub statistics: Statistics,
}

/// Writes a value as JSON, with a newline at its end.
pub(crate) fn json<T: Serialize>(value: &T, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let mut text = text.expect("a report has only string keys, which JSON can always hold");
    text.push('\n');
    text
}

impl ScanReport {
    /// Puts facts and judgement into the public form.
    pub fn new(input: ScanInput<'_>) -> Self {
        let inventory = input.inventory;
        let mut gaps: Vec<ReportGap> = inventory.gaps.iter().chain(input.gaps).map(ReportGap::from).collect();
        gaps.sort();
        gaps.dedup();
        let mut findings: Vec<&Finding> = input.findings.iter().collect();
        findings.sort_by(|a, b| order(a).cmp(&order(b)));
        Self {
            version: 1,
            image: ReportImage {
                reference: input.reference.to_owned(),
                digest: input.digest.map(ToString::to_string),
                config_digest: input.config_digest.map(ToString::to_string),
                platform: inventory.configuration.platform().to_string(),
                created: inventory.configuration.created.map(|t| t.to_string()),
                layers: inventory.layers.iter().map(ReportLayer::from).collect(),
                base: BaseImage::told_by(&inventory.configuration).as_ref().map(ReportBase::from),
            },
            os: inventory.os.as_ref().map(|os| ReportOs {
                id: os.id.clone(),
                version: os.version.clone(),
                name: os.name.clone(),
            }),
            packages: packages(&inventory.packages),
            findings: findings.into_iter().map(ReportFinding::from).collect(),
            gaps,
            statistics: input.statistics,
        }
    }

    /// The report with the base image that counts, in the place of what the image itself tells.
    #[must_use]
    pub fn with_base(mut self, base: Option<&BaseImage>) -> Self {
        self.image.base = base.map(ReportBase::from);
        self
    }

    /// Findings of one kind, in order.
    pub fn findings_of(&self, kind: FindingKind) -> impl Iterator<Item = &ReportFinding> {
        self.findings.iter().filter(move |f| f.kind == kind.as_str())
    }
}

/// The order of findings: kind, worst first, then everything that tells two rows apart.
fn order(finding: &Finding) -> impl Ord + '_ {
    let package = finding.package.as_ref().map(|p| p.purl.as_str());
    (finding.kind, std::cmp::Reverse(finding.severity), &finding.id, package, &finding.evidence)
}

fn packages(packages: &[Package]) -> Vec<ReportPackage> {
    let mut rows: BTreeMap<String, ReportPackage> = BTreeMap::new();
    for package in packages {
        let purl = package.key.purl().as_str().to_owned();
        let row = rows.entry(purl.clone()).or_insert_with(|| ReportPackage {
            purl,
            name: package.key.name.clone(),
            version: package.key.version.clone(),
            ecosystem: package.key.ecosystem().map(|e| e.to_string()),
            source: package
                .key
                .source
                .as_ref()
                .map(|s| ReportSource { name: s.name.clone(), version: s.version.clone() }),
            locations: Vec::new(),
            licenses: Vec::new(),
        });
        row.locations.extend(
            package
                .evidence
                .iter()
                .map(|e| ReportLocation { layer: e.layer, path: e.path.as_ref().map(ToString::to_string) }),
        );
        row.licenses.extend(package.licenses.iter().cloned());
    }
    let mut rows: Vec<ReportPackage> = rows.into_values().collect();
    for row in &mut rows {
        row.locations.sort();
        row.locations.dedup();
        row.licenses.sort();
        row.licenses.dedup();
    }
    rows
}

impl From<&model::Layer> for ReportLayer {
    fn from(layer: &model::Layer) -> Self {
        Self {
            index: layer.index,
            blob_digest: layer.blob.to_string(),
            diff_id: layer.diff_id.to_string(),
            bytes: layer.bytes,
            instruction: layer.instruction.clone(),
        }
    }
}

impl From<&Finding> for ReportFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.as_str().to_owned(),
            id: finding.id.clone(),
            aliases: finding.aliases.clone(),
            severity: finding.severity.as_str().to_owned(),
            status: finding.status.as_str().to_owned(),
            package: finding.package.as_ref().map(|p| ReportFindingPackage {
                purl: p.purl.as_str().to_owned(),
                name: p.name.clone(),
                version: p.version.clone(),
            }),
            fixed_versions: finding.fixed_versions.clone(),
            evidence: finding.evidence.iter().map(ReportEvidence::from).collect(),
            because: finding.because.clone(),
            title: finding.title.clone(),
            severity_source: finding.severity_source.clone(),
            remediation: finding.remediation.clone(),
            vulnerability: finding.vulnerability.as_ref().map(ReportVulnerability::from),
        }
    }
}

impl From<&Evidence> for ReportEvidence {
    fn from(evidence: &Evidence) -> Self {
        Self {
            layer: evidence.layer,
            path: evidence.path.as_ref().map(ToString::to_string),
            line: evidence.line,
            removed_in: evidence.removed_in,
            history: evidence.history.clone(),
        }
    }
}

impl From<&VulnerabilityDetail> for ReportVulnerability {
    fn from(detail: &VulnerabilityDetail) -> Self {
        Self {
            advisories: detail
                .advisories
                .iter()
                .map(|a| ReportAdvisory { feed: a.feed.clone(), id: a.id.clone(), url: a.url.clone() })
                .collect(),
            cvss: detail.cvss.iter().map(|c| ReportCvss { vector: c.vector.clone(), score: c.score }).collect(),
            kev: detail.kev.as_ref().map(|k| ReportKev {
                added: k.added.to_string(),
                due: k.due.map(|t| t.to_string()),
                ransomware: k.ransomware,
            }),
            epss: detail.epss,
            published: detail.published.map(|t| t.to_string()),
            fixed_at: detail.fixed_at.map(|t| t.to_string()),
        }
    }
}

impl From<&Gap> for ReportGap {
    fn from(gap: &Gap) -> Self {
        Self {
            scope: gap.scope.clone(),
            reason: gap.reason.as_str().to_owned(),
            detail: gap.detail.clone(),
            detector: gap.detector.map(|d| d.as_str().to_owned()),
        }
    }
}
