//! What the organisation tolerates. Without a policy a finding raises nothing.

use crate::{Digest, Severity};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One rule of intent. Policies of a kind are tried in order; the first whose scope and conditions fit a
/// finding decides what happens to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Stable name, lower-case with dashes: part of issue keys.
    pub id: String,
    /// For people.
    pub name: String,
    /// Why it exists.
    #[serde(default)]
    pub description: String,
    /// Which findings it speaks about.
    pub kind: PolicyKind,
    /// Switched off policies decide nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Which registry images it speaks about.
    #[serde(default)]
    pub scope: PolicyScope,
    /// Which findings it fits. Every condition that is given must hold.
    #[serde(default)]
    pub conditions: Conditions,
    /// What happens.
    pub action: Action,
    /// The severity of the issue, when it is not the finding's own.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Nothing happens until this many days after the fix was published, else after publication.
    #[serde(default)]
    pub grace_days: Option<u32>,
    /// For trusted-image policies: what is trusted. An image that is none of it gets an `untrusted-image` finding.
    #[serde(default)]
    pub trusted: Option<TrustedImages>,
}

const fn yes() -> bool {
    true
}

/// The five kinds of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Vulnerability and end-of-life findings.
    Vulnerabilities,
    /// Secret findings.
    Secrets,
    /// Malware findings, malicious packages too.
    Malware,
    /// Misconfiguration and compliance findings.
    Misconfigurations,
    /// Untrusted-image findings.
    TrustedImages,
}

impl PolicyKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Vulnerabilities, Self::Secrets, Self::Malware, Self::Misconfigurations, Self::TrustedImages];

    /// The word used in files and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vulnerabilities => "vulnerabilities",
            Self::Secrets => "secrets",
            Self::Malware => "malware",
            Self::Misconfigurations => "misconfigurations",
            Self::TrustedImages => "trusted-images",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which registry images a policy speaks about: globs, an empty list means all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyScope {
    /// Names of registry instances.
    pub registries: Vec<String>,
    /// Repositories.
    pub repositories: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// Which findings a policy fits. `None` and empty lists do not restrict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// At least this severe; an unknown severity counts as met.
    pub severity_at_least: Option<Severity>,
    /// Highest CVSS score at least this.
    pub cvss_at_least: Option<f64>,
    /// EPSS at least this, 0 to 1.
    pub epss_at_least: Option<f64>,
    /// On (or not on) a list of known exploited vulnerabilities.
    pub kev: Option<bool>,
    /// A fixed version exists (or not).
    pub fix_available: Option<bool>,
    /// Globs over package names.
    pub packages: Vec<String>,
    /// Globs over vulnerability ids and aliases.
    pub vulnerabilities: Vec<String>,
    /// Globs over evidence paths.
    pub paths: Vec<String>,
    /// Globs over rule, check and control ids.
    pub rules: Vec<String>,
}

/// What is trusted. An image is trusted when any of these fits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustedImages {
    /// Image digests.
    pub digests: Vec<Digest>,
    /// Globs over `registry/repository`, with the registry instance's name or its host.
    pub repositories: Vec<String>,
    /// Base images, each as the DiffIDs of its layers, lowest first: an image that starts with all of one is trusted.
    pub base_layers: Vec<Vec<Digest>>,
}

/// What happens to a finding that a policy fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing.
    Ignore,
    /// An issue is raised.
    Issue,
    /// An issue is raised, and `scan --policy` ends with 2.
    Fail,
    /// An issue is raised, `scan --policy` ends with 2, and admission is refused.
    Block,
}

/// The policies in force: one document, edited as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicySet {
    /// Counts edits.
    #[serde(default)]
    pub revision: u64,
    /// In order.
    pub policies: Vec<Policy>,
}
