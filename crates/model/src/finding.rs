//! Judged statements about a core image.

use crate::advisory::{AdvisoryRef, CvssScore, KevEntry};
use crate::evidence::Evidence;
use crate::purl::Purl;
use crate::{EcosystemRelease, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which sort.
    pub kind: FindingKind,
    /// The CVE or advisory, the secret or malware rule, the check, the control.
    pub id: String,
    /// Other ids, sorted.
    pub aliases: Vec<String>,
    /// For people.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Who rated it.
    pub severity_source: String,
    /// Does it hold?
    pub status: FindingStatus,
    /// The package, for vulnerabilities and malicious packages.
    pub package: Option<FindingPackage>,
    /// Versions without the fault, the one to install first.
    pub fixed_versions: Vec<String>,
    /// Where it is.
    pub evidence: Vec<Evidence>,
    /// Why we say so.
    pub because: String,
    /// What to do.
    pub remediation: String,
    /// What only vulnerabilities have.
    pub vulnerability: Option<VulnerabilityDetail>,
}

/// Which sort of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A package with a known vulnerability.
    Vulnerability,
    /// A secret.
    Secret,
    /// Malware, or a malicious package.
    Malware,
    /// A failed check of the configuration.
    Misconfiguration,
    /// The operating system gets no more updates.
    EndOfLife,
    /// The image is not one that a policy trusts.
    UntrustedImage,
    /// A control of a standard that fails.
    Compliance,
}

impl FindingKind {
    /// Every kind, in the order of the reports.
    pub const ALL: [Self; 7] = [
        Self::Vulnerability,
        Self::Secret,
        Self::Malware,
        Self::Misconfiguration,
        Self::EndOfLife,
        Self::UntrustedImage,
        Self::Compliance,
    ];

    /// The word of the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Secret => "secret",
            Self::Malware => "malware",
            Self::Misconfiguration => "misconfiguration",
            Self::EndOfLife => "end-of-life",
            Self::UntrustedImage => "untrusted-image",
            Self::Compliance => "compliance",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Does a finding hold?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// It holds.
    Affected,
    /// It holds, and the distribution will not fix it.
    WillNotFix,
    /// It holds, and the distribution has put it off.
    Deferred,
    /// It could not be decided.
    Undecided,
    /// It does not hold (shown only when asked for).
    NotAffected,
    /// It held once; the installed version has the fix (shown only when asked for).
    Fixed,
}

impl FindingStatus {
    /// The word of the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::WillNotFix => "will_not_fix",
            Self::Deferred => "deferred",
            Self::Undecided => "undecided",
            Self::NotAffected => "not_affected",
            Self::Fixed => "fixed",
        }
    }

    /// True when it holds or may hold: such findings are shown by default.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Affected | Self::WillNotFix | Self::Deferred | Self::Undecided)
    }
}

/// The package of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FindingPackage {
    /// Its package URL.
    pub purl: Purl,
    /// The *binary* package's name.
    pub name: String,
    /// The installed version.
    pub version: String,
    /// Where its advisories are kept.
    pub ecosystem: Option<EcosystemRelease>,
    /// The source package's name, where it differs.
    pub source: Option<String>,
}

/// What only vulnerabilities have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VulnerabilityDetail {
    /// Who says so.
    pub advisories: Vec<AdvisoryRef>,
    /// CVSS vectors with scores.
    pub cvss: Vec<CvssScore>,
    /// On a list of known exploited vulnerabilities.
    pub kev: Option<KevEntry>,
    /// Probability of exploitation within 30 days.
    pub epss: Option<f64>,
    /// When it was published.
    pub published: Option<Timestamp>,
    /// When the fix was published.
    pub fixed_at: Option<Timestamp>,
}
