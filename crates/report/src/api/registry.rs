//! Registries, their repositories and tags, as they are shown.

use super::registry_request::{InitialScanBody, ScopeBody, schedule_text};
use super::word;
use model::Timestamp;
use model::registry::Registry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registry. Credentials are never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegistryBody {
    /// Row number.
    pub id: i64,
    /// Name of the instance.
    pub name: String,
    /// `docker-v2`, …
    pub kind: String,
    /// As for `docker login`.
    pub url: String,
    /// Are credentials stored?
    pub has_credentials: bool,
    /// Certificate authority, PEM.
    pub ca_certificate: Option<String>,
    /// Speaks HTTP.
    pub plain_http: bool,
    /// The certificate is not verified.
    pub skip_tls_verify: bool,
    /// Explicit repositories.
    pub repositories: Vec<String>,
    /// `cloud`, `outpost` or `broker`.
    pub scan_mode: String,
    /// The group of agents.
    pub agent_group: Option<String>,
    /// What to take.
    pub initial_scan: InitialScanBody,
    /// Which repositories and tags.
    pub scope: ScopeBody,
    /// Platforms; empty means every one.
    pub platforms: Vec<String>,
    /// Only the newest N tags of a repository.
    pub newest_per_repository: Option<u32>,
    /// Time between discoveries, ISO 8601.
    pub schedule: String,
    /// On or off.
    pub enabled: bool,
    /// `Pending`, `Connected`, `Warning`, `Error` or `Disabled`.
    pub status: String,
    /// Why, for people.
    pub reason: String,
    /// What is known.
    pub counts: RegistryCountsBody,
    /// Share of the wanted images that were read or failed, 0 to 1; `null` before any is known.
    pub progress: Option<f64>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its last discovery ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub discovered_at: Option<Timestamp>,
}

/// How much of a registry is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RegistryCountsBody {
    /// Live repositories.
    pub repositories: u64,
    /// Live tags.
    pub tags: u64,
    /// Live tags that the scan configuration takes.
    pub tags_wanted: u64,
    /// Of those: not resolved to images yet.
    pub tags_unresolved: u64,
    /// Core images that wanted live tags show.
    pub images: u64,
    /// Of those: not read.
    pub pending: u64,
    /// Of those: being read.
    pub scanning: u64,
    /// Of those: read.
    pub scanned: u64,
    /// Of those: read with gaps.
    pub partial: u64,
    /// Of those: not readable.
    pub failed: u64,
    /// Open issues.
    pub issues_open: u64,
}

impl RegistryCountsBody {
    /// Share of the wanted images that were read or failed, 0 to 1.
    pub fn progress(&self) -> Option<f64> {
        let ended = self.scanned + self.partial + self.failed;
        let exact = |n: u64| u32::try_from(n).map_or(f64::from(u32::MAX), f64::from);
        (self.images > 0).then(|| exact(ended) / exact(self.images))
    }
}

impl RegistryBody {
    /// The public form of a stored registry.
    pub fn new(registry: &Registry, counts: RegistryCountsBody) -> Self {
        let config = &registry.config;
        Self {
            id: registry.id.get(),
            name: config.name.clone(),
            kind: word(&config.kind),
            url: config.url.clone(),
            has_credentials: registry.has_credentials,
            ca_certificate: config.ca_certificate.clone(),
            plain_http: config.plain_http,
            skip_tls_verify: config.skip_tls_verify,
            repositories: config.repositories.clone(),
            scan_mode: config.scan_mode.to_string(),
            agent_group: config.agent_group.clone(),
            initial_scan: config.initial_scan.into(),
            scope: ScopeBody { include: config.scope.include.clone(), exclude: config.scope.exclude.clone() },
            platforms: config.platforms.iter().map(ToString::to_string).collect(),
            newest_per_repository: config.newest_per_repository,
            schedule: schedule_text(config.schedule_seconds),
            enabled: config.enabled,
            status: registry.status.to_string(),
            reason: registry.reason.clone(),
            counts,
            progress: counts.progress(),
            created_at: registry.created_at,
            discovered_at: registry.discovered_at,
        }
    }
}

/// What a test of the connection found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestResult {
    /// Did every step succeed?
    pub ok: bool,
    /// Steps in order, up to the first that failed.
    pub steps: Vec<TestStep>,
    /// Some of the repositories that it lists.
    pub repositories: Vec<String>,
    /// Pulls left, where the registry tells.
    pub rate_limit_remaining: Option<u64>,
}

/// One step of a test: `reachable`, `login`, `catalogue`, `tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestStep {
    /// What was tried.
    pub name: String,
    /// Did it succeed?
    pub ok: bool,
    /// What happened, and what to do.
    pub detail: String,
}

/// What a scan would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewResult {
    /// Repositories in scope.
    pub repositories: u64,
    /// Tags in scope.
    pub tags: u64,
    /// Distinct images behind them.
    pub images: u64,
    /// Compressed bytes to read, as the manifests claim; layers that are known already do not count.
    pub bytes: u64,
    /// Requests for blobs.
    pub pulls: u64,
    /// Was everything looked at, or only a sample?
    pub complete: bool,
    /// What people should know: the catalogue was refused, the sample was cut, …
    pub note: Option<String>,
    /// Some of the tags.
    pub sample: Vec<PreviewTag>,
}

/// A tag of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewTag {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// Would it be taken?
    pub wanted: bool,
    /// Why not.
    pub why_not: Option<String>,
}

/// What to scan now; nothing given means the whole registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScanRequest {
    /// Only this repository.
    pub repository: Option<String>,
    /// Only this tag of it.
    pub tag: Option<String>,
    /// Only this digest of it.
    pub digest: Option<String>,
}

/// What a request for discovery or scanning started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanStarted {
    /// Jobs that were added; 0 when they were there already.
    pub jobs: u64,
    /// For people.
    pub detail: String,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryBody {
    /// Its name.
    pub name: String,
    /// Live tags.
    pub tags: u64,
    /// Core images that wanted live tags show.
    pub images: u64,
    /// Of those: read, fully or partly.
    pub scanned: u64,
    /// Open issues.
    pub issues: super::SeverityCounts,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// When it was last seen.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// The registry lists it no more.
    pub gone: bool,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagBody {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What the registry returned for it.
    pub digest: String,
    /// The images behind the digest.
    pub images: Vec<TagImageBody>,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// When it was last seen.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// When it was found missing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
    /// Does the scan configuration take it?
    pub wanted: bool,
    /// Why not, or what the digest is when it is no image.
    pub note: Option<String>,
    /// What it pointed at, oldest first.
    pub history: Vec<TagMoveBody>,
}

/// An image behind a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagImageBody {
    /// What it runs on.
    pub platform: String,
    /// Digest of the image manifest.
    pub digest: String,
    /// `pending`, `scanning`, `scanned`, `partial` or `failed`.
    pub state: String,
}

/// A stretch of time in which a tag pointed at one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagMoveBody {
    /// What it pointed at.
    pub digest: String,
    /// First seen so.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Seen otherwise; `null` while it holds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}
