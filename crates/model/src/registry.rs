//! A configured registry: where images are found.

use crate::id::kind;
use crate::{Id, Platform, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One registry instance as people configure it. Credentials are kept apart and never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryConfig {
    /// Name of the instance, unique.
    pub name: String,
    /// Which connector.
    pub kind: RegistryKind,
    /// As for `docker login`: `host[:port]` or `https://host[:port]`.
    pub url: String,
    /// Certificate authority to trust besides the system's, PEM.
    #[serde(default)]
    pub ca_certificate: Option<String>,
    /// Speak HTTP.
    #[serde(default)]
    pub plain_http: bool,
    /// Do not verify the certificate.
    #[serde(default)]
    pub skip_tls_verify: bool,
    /// Explicit repositories, for registries that refuse to list theirs.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Who pulls.
    #[serde(default)]
    pub scan_mode: ScanMode,
    /// The group of agents, for the modes that have one.
    #[serde(default)]
    pub agent_group: Option<String>,
    /// What to take at first.
    #[serde(default)]
    pub initial_scan: InitialScan,
    /// Globs over repositories, or `repository:tag`.
    #[serde(default)]
    pub scope: ScopeGlobs,
    /// Platforms to read; empty means every platform of an index.
    #[serde(default)]
    pub platforms: Vec<Platform>,
    /// Only the newest N tags of a repository, by creation time.
    #[serde(default)]
    pub newest_per_repository: Option<u32>,
    /// Seconds between discoveries.
    #[serde(default = "hourly")]
    pub schedule_seconds: u32,
    /// Switched off registries are neither discovered nor scanned.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn hourly() -> u32 {
    3600
}

const fn enabled() -> bool {
    true
}

/// Which connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryKind {
    /// Any registry that speaks the distribution API and lists its catalogue.
    DockerV2,
}

/// Who pulls and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ScanMode {
    /// The server's workers ("Cloud Scan").
    #[default]
    Cloud,
    /// An agent reads, the server discovers ("Scan with Outpost").
    Outpost,
    /// An agent discovers and reads; the server never needs to reach the registry ("Scan with Broker VM").
    Broker,
}

impl fmt::Display for ScanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cloud => "cloud",
            Self::Outpost => "outpost",
            Self::Broker => "broker",
        })
    }
}

/// What is taken at first; after that, new and moved tags are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum InitialScan {
    /// Every tag.
    #[default]
    All,
    /// The tag `latest`.
    LatestTag,
    /// Images created within the last `days`, at most 90.
    DaysModified {
        /// 1 to 90.
        days: u32,
    },
}

/// Include and exclude globs over `repository` or `repository:tag`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeGlobs {
    /// Empty includes everything.
    pub include: Vec<String>,
    /// Wins over `include`.
    pub exclude: Vec<String>,
}

/// How a registry is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum RegistryStatus {
    /// Not looked at yet.
    Pending,
    /// The last discovery saw everything.
    Connected,
    /// The last discovery saw only a part.
    Warning,
    /// The last discovery failed.
    Error,
    /// Switched off.
    Disabled,
}

impl fmt::Display for RegistryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "Pending",
            Self::Connected => "Connected",
            Self::Warning => "Warning",
            Self::Error => "Error",
            Self::Disabled => "Disabled",
        })
    }
}

/// A registry instance as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Row number.
    pub id: Id<kind::Registry>,
    /// Its configuration.
    pub config: RegistryConfig,
    /// How it is doing.
    pub status: RegistryStatus,
    /// Why, for people.
    pub reason: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its last discovery ended.
    pub discovered_at: Option<Timestamp>,
    /// Whether credentials are stored for it.
    pub has_credentials: bool,
}

/// Username and password for one registry. Not serialisable: it is encrypted by `store`, and its
/// `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
