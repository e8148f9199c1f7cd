//! What people send to add or edit a registry, and what is wrong with it.

use super::present;
use super::problem::FieldProblem;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use model::Platform;
use model::registry::{Credentials, InitialScan, RegistryConfig, RegistryKind, ScanMode, ScopeGlobs};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The shortest time between two discoveries, in seconds.
const SCHEDULE_SECONDS_MIN: u32 = 10;
/// The longest, 30 days.
const SCHEDULE_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// `initial_scan.days` at most.
const DAYS_MAX: u32 = 90;

/// A registry to add. The password only ever goes in.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryRequest {
    /// Name of the instance, unique.
    pub name: String,
    /// `docker-v2`, …
    #[schema(example = "docker-v2")]
    pub kind: String,
    /// As for `docker login`.
    #[schema(example = "https://registry.example.org")]
    pub url: String,
    /// The user, unless access is public.
    #[serde(default)]
    pub username: Option<String>,
    /// The password or token.
    #[serde(default)]
    #[schema(write_only)]
    pub password: Option<String>,
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
    /// `cloud`, `outpost` or `broker`.
    #[serde(default)]
    #[schema(default = "cloud")]
    pub scan_mode: Option<String>,
    /// The group of agents, for `outpost` and `broker`.
    #[serde(default)]
    pub agent_group: Option<String>,
    /// What to take at first.
    #[serde(default)]
    pub initial_scan: Option<InitialScanBody>,
    /// Which repositories and tags.
    #[serde(default)]
    pub scope: Option<ScopeBody>,
    /// `os/architecture[/variant]`; empty means every platform of an index.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Only the newest N tags of a repository.
    #[serde(default)]
    pub newest_per_repository: Option<u32>,
    /// Time between discoveries, ISO 8601.
    #[serde(default)]
    #[schema(example = "PT1H", default = "PT1H")]
    pub schedule: Option<String>,
    /// Switched off registries are neither discovered nor scanned.
    #[serde(default)]
    #[schema(default = true)]
    pub enabled: Option<bool>,
}

impl fmt::Debug for RegistryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryRequest").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// What to take at first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InitialScanBody {
    /// `all`, `latest_tag` or `days_modified`.
    pub mode: String,
    /// 1 to 90, for `days_modified`.
    #[serde(default)]
    pub days: Option<u32>,
}

/// Globs over `repository` or `repository:tag`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeBody {
    /// Empty includes everything.
    pub include: Vec<String>,
    /// Wins over `include`.
    pub exclude: Vec<String>,
}

/// An edit of a registry: absent keys stay as they are, `null` takes a value away.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryPatch {
    /// Name of the instance.
    pub name: Option<String>,
    /// As for `docker login`.
    pub url: Option<String>,
    /// `null` forgets user and password.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub username: Option<Option<String>>,
    /// The password or token, together with the user name.
    #[schema(write_only)]
    pub password: Option<String>,
    /// Certificate authority to trust, PEM.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub ca_certificate: Option<Option<String>>,
    /// Speak HTTP.
    pub plain_http: Option<bool>,
    /// Do not verify the certificate.
    pub skip_tls_verify: Option<bool>,
    /// Explicit repositories.
    pub repositories: Option<Vec<String>>,
    /// `cloud`, `outpost` or `broker`.
    pub scan_mode: Option<String>,
    /// The group of agents.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub agent_group: Option<Option<String>>,
    /// What to take.
    pub initial_scan: Option<InitialScanBody>,
    /// Which repositories and tags.
    pub scope: Option<ScopeBody>,
    /// Platforms.
    pub platforms: Option<Vec<String>>,
    /// Only the newest N tags of a repository.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    pub newest_per_repository: Option<Option<u32>>,
    /// Time between discoveries, ISO 8601.
    pub schedule: Option<String>,
    /// On or off.
    pub enabled: Option<bool>,
}

impl fmt::Debug for RegistryPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryPatch").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// What an edit does to the stored credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsEdit {
    /// Nothing.
    Keep,
    /// They are forgotten.
    Remove,
    /// These take their place.
    Replace(Credentials),
}

impl RegistryRequest {
    /// The configuration and credentials that the request describes.
    ///
    /// # Errors
    /// Every field that is not valid.
    pub fn into_config(self) -> Result<(RegistryConfig, Option<Credentials>), Vec<FieldProblem>> {
        let mut reader = FieldReader::default();
        let config = RegistryConfig {
            name: reader.name(&self.name),
            kind: reader.kind(&self.kind),
            url: reader.url(&self.url),
            ca_certificate: reader.certificate(self.ca_certificate),
            plain_http: self.plain_http,
            skip_tls_verify: self.skip_tls_verify,
            repositories: reader.repositories(self.repositories),
            scan_mode: self.scan_mode.as_deref().map_or(ScanMode::Cloud, |text| reader.scan_mode(text)),
            agent_group: self.agent_group,
            initial_scan: self.initial_scan.as_ref().map_or(InitialScan::All, |body| reader.initial_scan(body)),
            scope: self.scope.map(ScopeGlobs::from).unwrap_or_default(),
            platforms: reader.platforms(&self.platforms),
            newest_per_repository: self.newest_per_repository,
            schedule_seconds: self.schedule.as_deref().map_or(3600, |text| reader.schedule(text)),
            enabled: self.enabled.unwrap_or(true),
        };
        let credentials = match (self.username, self.password) {
            (Some(username), Some(password)) => Some(Credentials { username, password }),
            (None, None) => None,
            (Some(_), None) => reader.fail("password", "a user name needs its password"),
            (None, Some(_)) => reader.fail("username", "a password needs its user name"),
        };
        reader.whole(&config);
        reader.end((config, credentials))
    }
}

impl RegistryPatch {
    /// The edited configuration, and what happens to the credentials.
    ///
    /// # Errors
    /// Every field that is not valid.
    pub fn apply(self, config: &RegistryConfig) -> Result<(RegistryConfig, CredentialsEdit), Vec<FieldProblem>> {
        let mut reader = FieldReader::default();
        let mut out = config.clone();
        if let Some(name) = &self.name {
            out.name = reader.name(name);
        }
        if let Some(url) = &self.url {
            out.url = reader.url(url);
        }
        if let Some(pem) = self.ca_certificate {
            out.ca_certificate = reader.certificate(pem);
        }
        if let Some(repositories) = self.repositories {
            out.repositories = reader.repositories(repositories);
        }
        if let Some(mode) = &self.scan_mode {
            out.scan_mode = reader.scan_mode(mode);
        }
        if let Some(body) = &self.initial_scan {
            out.initial_scan = reader.initial_scan(body);
        }
        if let Some(platforms) = &self.platforms {
            out.platforms = reader.platforms(platforms);
        }
        if let Some(schedule) = &self.schedule {
            out.schedule_seconds = reader.schedule(schedule);
        }
        out.plain_http = self.plain_http.unwrap_or(out.plain_http);
        out.skip_tls_verify = self.skip_tls_verify.unwrap_or(out.skip_tls_verify);
        out.agent_group = self.agent_group.unwrap_or(out.agent_group);
        out.scope = self.scope.map_or(out.scope, ScopeGlobs::from);
        out.newest_per_repository = self.newest_per_repository.unwrap_or(out.newest_per_repository);
        out.enabled = self.enabled.unwrap_or(out.enabled);
        let credentials = match (self.username, self.password) {
            (None, None) => CredentialsEdit::Keep,
            (Some(None), None) => CredentialsEdit::Remove,
            (Some(Some(username)), Some(password)) => CredentialsEdit::Replace(Credentials { username, password }),
            (Some(Some(_)), None) => {
                reader.fail::<()>("password", "a new user name needs its password");
                CredentialsEdit::Keep
            }
            (Some(None) | None, Some(_)) => {
                reader.fail::<()>("username", "a new password needs its user name");
                CredentialsEdit::Keep
            }
        };
        reader.whole(&out);
        reader.end((out, credentials))
    }
}

/// Reads fields and collects what is wrong with them.
#[derive(Default)]
struct FieldReader {
    problems: Vec<FieldProblem>,
}

impl FieldReader {
    fn fail<T>(&mut self, field: &str, detail: impl Into<String>) -> Option<T> {
        self.problems.push(FieldProblem::new(field, detail));
        None
    }

    fn end<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    fn name(&mut self, name: &str) -> String {
        let allowed = |c: char| c.is_alphanumeric() || " ._-".contains(c);
        if name.trim().is_empty() || name.len() > 100 || !name.chars().all(allowed) || name.trim() != name {
            self.fail::<()>("name", "a name has 1 to 100 letters, digits, blanks, dots, dashes and underscores");
        }
        name.to_owned()
    }

    fn kind(&mut self, text: &str) -> RegistryKind {
        match from_word(text) {
            Some(kind) => kind,
            None => {
                self.fail::<()>("kind", format!("{text:?} is not supported: use \"docker-v2\""));
                RegistryKind::DockerV2
            }
        }
    }

    fn url(&mut self, url: &str) -> String {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
        let host = rest.trim_end_matches('/');
        if host.is_empty() || url.len() > 2048 || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.fail::<()>("url", "expected host[:port] or https://host[:port]");
        } else if rest.contains('@') {
            self.fail::<()>("url", "credentials do not belong into the URL: use username and password");
        } else if rest.contains("://") {
            self.fail::<()>("url", "the URL starts with https:// or http://, or has no scheme");
        }
        url.to_owned()
    }

    fn certificate(&mut self, pem: Option<String>) -> Option<String> {
        let pem = pem.filter(|text| !text.trim().is_empty())?;
        if pem.len() > 1024 * 1024 || !pem.contains("-----BEGIN CERTIFICATE-----") {
            self.fail::<()>("ca_certificate", "expected PEM: -----BEGIN CERTIFICATE-----");
        }
        Some(pem)
    }

    fn repositories(&mut self, names: Vec<String>) -> Vec<String> {
        for name in names.iter().filter(|name| !model::reference::is_repository(name)).take(10) {
            let shown: String = name.chars().take(100).collect();
            self.fail::<()>("repositories", format!("{shown:?} is not a repository name"));
        }
        names
    }

    fn scan_mode(&mut self, text: &str) -> ScanMode {
        from_word(text).unwrap_or_else(|| {
            self.fail::<()>("scan_mode", format!("{text:?} is not a scan mode: cloud, outpost or broker"));
            ScanMode::Cloud
        })
    }

    fn initial_scan(&mut self, body: &InitialScanBody) -> InitialScan {
        match (body.mode.as_str(), body.days) {
            ("all", None) => InitialScan::All,
            ("latest_tag", None) => InitialScan::LatestTag,
            ("days_modified", Some(days)) if (1..=DAYS_MAX).contains(&days) => InitialScan::DaysModified { days },
            ("days_modified", _) => {
                self.fail::<()>("initial_scan.days", format!("expected 1 to {DAYS_MAX}"));
                InitialScan::All
            }
            ("all" | "latest_tag", Some(_)) => {
                self.fail::<()>("initial_scan.days", "only days_modified has days");
                InitialScan::All
            }
            (mode, _) => {
                self.fail::<()>(
                    "initial_scan.mode",
                    format!("{mode:?} is not a mode: all, latest_tag or days_modified"),
                );
                InitialScan::All
            }
        }
    }

    fn platforms(&mut self, texts: &[String]) -> Vec<Platform> {
        let mut out = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(platform) => out.push(platform),
                Err(problem) => {
                    self.fail::<()>("platforms", problem);
                }
            }
        }
        out
    }

    fn schedule(&mut self, text: &str) -> u32 {
        schedule_seconds(text).unwrap_or_else(|problem| {
            self.fail::<()>("schedule", problem);
            3600
        })
    }

    /// Rules between fields.
    fn whole(&mut self, config: &RegistryConfig) {
        let group = config.agent_group.as_deref().unwrap_or_default();
        let by_agent = matches!(config.scan_mode, ScanMode::Outpost | ScanMode::Broker);
        if by_agent && group.trim().is_empty() {
            self.fail::<()>("agent_group", format!("scan mode {} needs a group of agents", config.scan_mode));
        }
        if !by_agent && !group.is_empty() {
            self.fail::<()>("agent_group", "only the scan modes outpost and broker have agents");
        }
        if config.newest_per_repository == Some(0) {
            self.fail::<()>("newest_per_repository", "expected at least 1, or null for all");
        }
        if config.plain_http && config.url.starts_with("https://") {
            self.fail::<()>("plain_http", "the URL says https://");
        }
    }
}

fn from_word<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

/// Reads an ISO 8601 duration such as `PT1H` or `P1D` (a day has 24 hours) as seconds.
///
/// # Errors
/// When it is not one, or shorter than 10 seconds or longer than 30 days.
pub fn schedule_seconds(text: &str) -> Result<u32, String> {
    let fail = || format!("{text:?} is not an ISO 8601 duration between PT10S and P30D");
    let span: Span = text.parse().map_err(|_| fail())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| fail())?;
    let seconds = u32::try_from(duration.as_secs()).map_err(|_| fail())?;
    if (SCHEDULE_SECONDS_MIN..=SCHEDULE_SECONDS_MAX).contains(&seconds) { Ok(seconds) } else { Err(fail()) }
}

/// `PT1H` for 3600.
pub fn schedule_text(seconds: u32) -> String {
    SignedDuration::from_secs(i64::from(seconds)).to_string()
}

impl From<ScopeBody> for ScopeGlobs {
    fn from(body: ScopeBody) -> Self {
        Self { include: body.include, exclude: body.exclude }
    }
}

impl From<InitialScan> for InitialScanBody {
    fn from(scan: InitialScan) -> Self {
        let (mode, days) = match scan {
            InitialScan::All => ("all", None),
            InitialScan::LatestTag => ("latest_tag", None),
            InitialScan::DaysModified { days } => ("days_modified", Some(days)),
        };
        Self { mode: mode.to_owned(), days }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<RegistryRequest, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn fields(problems: &[FieldProblem]) -> String {
        problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn registry_requests_are_read_or_refused_by_field() {
        let check = |json: &str, expect: &str| {
            let found = match request(json).unwrap().into_config() {
                Ok((config, credentials)) => {
                    format!("{} {} {}", config.schedule_seconds, config.scan_mode, credentials.is_some())
                }
                Err(problems) => fields(&problems),
            };
            assert_eq!(found, expect, "{json}");
        };
        check(r#"{"name":"a","kind":"docker-v2","url":"r.example.org"}"#, "3600 cloud false");
        check(
            r#"{"name":"a","kind":"docker-v2","url":"https://r:5000/","username":"u","password":"p","schedule":"PT30M"}"#,
            "1800 cloud true",
        );
        check(
            r#"{"name":"a","kind":"docker-v2","url":"r","scan_mode":"broker","agent_group":"dc1","schedule":"P1D"}"#,
            "86400 broker false",
        );
        check(r#"{"name":"","kind":"harbor","url":"https://u:p@r","username":"u"}"#, "name kind url password");
        check(r#"{"name":"a","kind":"docker-v2","url":"r","scan_mode":"outpost"}"#, "agent_group");
        check(
            r#"{"name":"a","kind":"docker-v2","url":"r","initial_scan":{"mode":"days_modified","days":91}}"#,
            "initial_scan.days",
        );
        check(r#"{"name":"a","kind":"docker-v2","url":"r","schedule":"hourly"}"#, "schedule");
        check(r#"{"name":"a","kind":"docker-v2","url":"r","schedule":"PT1S"}"#, "schedule");
        check(r#"{"name":"a","kind":"docker-v2","url":"r","platforms":["linux"]}"#, "platforms");
        check(r#"{"name":"a","kind":"docker-v2","url":"r","repositories":["A"]}"#, "repositories");
    }

    #[test]
    fn registry_requests_refuse_unknown_keys() {
        let error = request(r#"{"name":"a","kind":"docker-v2","url":"r","pasword":"x"}"#).unwrap_err();
        assert!(error.contains("pasword"), "{error}");
    }

    #[test]
    fn edits_keep_what_they_do_not_name() {
        let json =
            r#"{"name":"a","kind":"docker-v2","url":"r","username":"u","password":"p","newest_per_repository":5}"#;
        let (config, _) = request(json).unwrap().into_config().unwrap();
        let check = |json: &str, expect: &str| {
            let patch: RegistryPatch = serde_json::from_str(json).unwrap();
            let found = match patch.apply(&config) {
                Ok((edited, credentials)) => {
                    let credentials = match credentials {
                        CredentialsEdit::Keep => "keep".to_owned(),
                        CredentialsEdit::Remove => "remove".to_owned(),
                        CredentialsEdit::Replace(new) => format!("replace {}", new.username),
                    };
                    format!("{:?} {} {credentials}", edited.newest_per_repository, edited.enabled)
                }
                Err(problems) => fields(&problems),
            };
            assert_eq!(found, expect, "{json}");
        };
        check("{}", "Some(5) true keep");
        check(r#"{"newest_per_repository":null,"enabled":false}"#, "None false keep");
        check(r#"{"username":null}"#, "Some(5) true remove");
        check(r#"{"username":"v","password":"q"}"#, "Some(5) true replace v");
        check(r#"{"username":"v"}"#, "password");
        check(r#"{"password":"q"}"#, "username");
    }

    #[test]
    fn requests_do_not_print_passwords() {
        let json = r#"{"name":"a","kind":"docker-v2","url":"r","username":"u","password":"hidden-word"}"#;
        assert!(!format!("{:?}", request(json).unwrap()).contains("hidden-word"));
        let patch: RegistryPatch = serde_json::from_str(r#"{"username":"u","password":"hidden-word"}"#).unwrap();
        assert!(!format!("{patch:?}").contains("hidden-word"));
    }

    #[test]
    fn schedules_round_trip() {
        for seconds in [10, 60, 3600, 5400, 86_400, 30 * 24 * 3600] {
            assert_eq!(schedule_seconds(&schedule_text(seconds)), Ok(seconds));
        }
    }
}
