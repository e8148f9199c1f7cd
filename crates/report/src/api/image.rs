//! Images: what they are, where they are found, how they stand to standards.

use super::LayerBody;
use crate::scan::ReportGap;
use model::{FindingKind, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A number for each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SeverityCounts {
    /// Critical.
    pub critical: u64,
    /// High.
    pub high: u64,
    /// Medium.
    pub medium: u64,
    /// Low.
    pub low: u64,
    /// Negligible.
    pub negligible: u64,
    /// Nobody rated it.
    pub unknown: u64,
}

impl SeverityCounts {
    /// One more.
    pub fn add(&mut self, severity: Severity) {
        let slot = match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Negligible => &mut self.negligible,
            Severity::Unknown => &mut self.unknown,
        };
        *slot += 1;
    }

    /// All together.
    pub const fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.negligible + self.unknown
    }
}

impl From<[u64; 6]> for SeverityCounts {
    /// In the order of `Severity::ALL`.
    fn from([critical, high, medium, low, negligible, unknown]: [u64; 6]) -> Self {
        Self { critical, high, medium, low, negligible, unknown }
    }
}

/// A core image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImageBody {
    /// Digest of its manifest.
    pub digest: String,
    /// Digest of its configuration.
    pub config_digest: String,
    /// What it runs on.
    pub platform: String,
    /// When it was built, by its publisher's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<Timestamp>,
    /// `pending`, `scanning`, `scanned`, `partial` or `failed`.
    pub state: String,
    /// Why, when it failed, or was read again only in part.
    pub reason: Option<String>,
    /// How often reading it failed, or read only a part, in a row.
    #[serde(default)]
    pub tries: u32,
    /// When it is tried again by itself; `null` when it is not.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retry_at: Option<Timestamp>,
    /// Where it is found now.
    pub references: Vec<ReferenceBody>,
    /// Lowest first.
    pub layers: Vec<LayerBody>,
    /// How far each scanner is.
    pub scanners: Vec<ScannerBody>,
    /// What the last judgement counted.
    pub counts: ImageCountsBody,
    /// When its inventory was committed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub scanned_at: Option<Timestamp>,
    /// Who read its bytes: `server` or `group:NAME`.
    pub reader: Option<String>,
    /// The image that it was built on, as far as somebody tells; `null` in lists.
    #[serde(default)]
    pub base: Option<BaseImageBody>,
}

/// The image that another one was built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaseImageBody {
    /// `repository:tag`, or what the image's labels call it.
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Option<String>,
    /// How many of the lowest layers are its; 0 when that is not known.
    pub layers: u32,
    /// Who says so: `layers` (they are those of an image that was read), `labels` or `history` of the image itself.
    pub source: String,
    /// The newest tag of the same repository, when that is another image.
    pub newer: Option<NewerBaseBody>,
}

/// A newer tag of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewerBaseBody {
    /// `repository:tag`.
    pub name: String,
    /// Digest of the image behind it.
    pub digest: String,
    /// Vulnerabilities from the base that it does not have; `null` while it was not read.
    pub fixes: Option<u64>,
    /// Vulnerabilities that come from the base.
    pub of: Option<u64>,
}

/// Scores of repositories, and whether every image was looked at for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceScoresBody {
    /// The rows.
    pub items: Vec<ComplianceScoreBody>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// Images that were looked at.
    pub images: u64,
    /// False when there are more images than one request looks at: ask for one registry or repository then.
    pub complete: bool,
}

/// Where an image is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ReferenceBody {
    /// Row number of the registry.
    pub registry_id: i64,
    /// Name of the registry instance.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

/// How far a scanner is with an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ScannerBody {
    /// `packages`, `secrets`, `malware`, `configuration` or `files`.
    pub name: String,
    /// `done`, `partial`, `outdated` or `not-run`.
    pub state: String,
    /// Gaps that concern it.
    pub gaps: u64,
}

/// What a judgement counted on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ImageCountsBody {
    /// Distinct packages.
    pub packages: u64,
    /// Open vulnerability findings.
    pub vulnerabilities: SeverityCounts,
    /// Secret findings.
    pub secrets: u64,
    /// Malware findings.
    pub malware: u64,
    /// Misconfiguration findings.
    pub misconfigurations: u64,
    /// Failed controls.
    pub compliance: u64,
    /// Gaps.
    pub gaps: u64,
}

/// The answer for the digest of an index (status 300): choose one of its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndexBody {
    /// Digest of the index.
    pub digest: String,
    /// Its images.
    pub images: Vec<IndexMember>,
}

/// An image of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct IndexMember {
    /// What it runs on.
    pub platform: String,
    /// Digest of the image manifest.
    pub digest: String,
}

/// The answer to an imported bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SbomBody {
    /// SHA-256 of the document: the digest of the image that it stands for in `/images`.
    pub digest: String,
    /// Name of the registry instance that imports are shown under.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The form of the document and its version: `CycloneDX 1.6`.
    pub format: String,
    /// Distinct packages.
    pub packages: u64,
    /// What the document names and could not be understood.
    pub gaps: Vec<ReportGap>,
}

/// A gap of an image, in lists over many images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageGapBody {
    /// The image.
    pub image: String,
    /// What could not be seen.
    #[serde(flatten)]
    pub gap: ReportGap,
}

/// How an image stands to a control of a standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceBody {
    /// The standard: `cis-docker`.
    pub standard: String,
    /// The control's number in the standard.
    pub control: String,
    /// What it asks for.
    pub title: String,
    /// How bad it is to fail it.
    pub severity: String,
    /// `passed`, `failed` or `not-evaluated`.
    pub state: String,
    /// Why.
    pub because: String,
    /// The findings that make it fail.
    pub findings: Vec<CausingFinding>,
}

/// A finding that makes a control fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct CausingFinding {
    /// Which sort.
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl CausingFinding {
    /// From the parts of a control's result.
    pub fn new(kind: FindingKind, id: &str) -> Self {
        Self { kind: kind.as_str().to_owned(), id: id.to_owned() }
    }
}

/// How a repository stands to a standard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComplianceScoreBody {
    /// The standard.
    pub standard: String,
    /// Name of the registry instance.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// Images that were judged.
    pub images: u64,
    /// Controls that passed, over all images.
    pub passed: u64,
    /// Controls that failed.
    pub failed: u64,
    /// Controls that could not be told.
    pub not_evaluated: u64,
    /// `passed / (passed + failed)`, 0 to 1; `null` when nothing could be told.
    pub score: Option<f64>,
}
