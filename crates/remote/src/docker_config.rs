//! Logins that `docker login` and its like left behind: `config.json` with its credential helpers.
//!
//! Not here: writing it. Source: docker/cli, "Credential stores" and the protocol of docker-credential-helpers.
//!
//! Invariants: helpers run without a shell, with a name of letters, digits, `-` and `_` only, for a limited time,
//! and their output is capped; nothing that they print reaches an error or a log.

use crate::{Error, ErrorKind, IDENTITY_TOKEN_USER, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::registry::Credentials;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Largest `config.json`, in bytes.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Most that a helper may print, in bytes.
const HELPER_BYTES_MAX: u64 = 64 << 10;
/// Longest that a helper may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);
/// What Docker Hub's login is filed under.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The stored logins of one user.
#[derive(Clone, Default)]
pub struct DockerConfig {
    file: ConfigFile,
    /// Where helpers are looked for; `None` searches `PATH`.
    helper_folder: Option<PathBuf>,
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig").field("auths", &self.file.auths.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    auths: BTreeMap<String, AuthEntry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Reads `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, else podman's
    /// `$XDG_RUNTIME_DIR/containers/auth.json`. None of them is no error: there are no stored logins.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when a file is there and cannot be read; the text names it.
    pub fn load() -> Result<Self> {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        for path in candidates(env("DOCKER_CONFIG"), env("HOME"), env("XDG_RUNTIME_DIR")) {
            if path.is_file() {
                return Self::read(&path);
            }
        }
        Ok(Self::default())
    }

    /// Reads one file.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when it cannot be read, [`ErrorKind::LimitExceeded`] when it is above 4 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        let named = |e: io::Error| {
            Error::because(
                ErrorKind::Malformed,
                format!("the docker configuration {} cannot be read", path.display()),
                e,
            )
        };
        let mut text = Vec::new();
        std::fs::File::open(path).map_err(named)?.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut text).map_err(named)?;
        if text.len() as u64 > CONFIG_BYTES_MAX {
            let text = format!("the docker configuration {} is above {CONFIG_BYTES_MAX} bytes", path.display());
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        // The parser's text could quote a password: only its place is told.
        let file = serde_json::from_slice(&text).map_err(|e| {
            let at = format!("line {}, column {}", e.line(), e.column());
            Error::new(ErrorKind::Malformed, format!("the docker configuration {} is damaged at {at}", path.display()))
        })?;
        Ok(Self { file, helper_folder: None })
    }

    /// Looks for helpers in this folder instead of `PATH`.
    #[must_use]
    pub fn with_helper_folder(mut self, folder: PathBuf) -> Self {
        self.helper_folder = Some(folder);
        self
    }

    /// The login for a registry host, as in image references. Order as Docker's: the registry's own helper, the
    /// store for all, the file itself.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a configured helper fails; that it knows no login is `None`.
    pub async fn credentials(&self, host: &str) -> Result<Option<Credentials>> {
        let keys = keys(host);
        if let Some(helper) = keys.iter().find_map(|key| self.file.cred_helpers.get(key)) {
            return self.ask_helper(helper, &keys).await;
        }
        if let Some(store) = self.file.creds_store.as_deref().filter(|name| !name.is_empty())
            && let Some(found) = self.ask_helper(store, &keys).await?
        {
            return Ok(Some(found));
        }
        match keys.iter().find_map(|key| self.entry(key)) {
            Some(entry) => entry.credentials(host),
            None => Ok(None),
        }
    }

    fn entry(&self, key: &str) -> Option<&AuthEntry> {
        self.file.auths.get(key).or_else(|| {
            let plain = bare_host(key);
            self.file.auths.iter().find(|(name, _)| bare_host(name) == plain).map(|(_, entry)| entry)
        })
    }

    async fn ask_helper(&self, helper: &str, keys: &[String]) -> Result<Option<Credentials>> {
        if helper.is_empty() || !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            let text = format!("{helper:?} is not the name of a docker credential helper");
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        for key in keys {
            if let Some(found) = self.run_helper(helper, key).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn run_helper(&self, helper: &str, server: &str) -> Result<Option<Credentials>> {
        let program = format!("docker-credential-{helper}");
        let path = self.helper_folder.as_ref().map_or_else(|| PathBuf::from(&program), |folder| folder.join(&program));
        let failed = |why: String| Error::new(ErrorKind::Internal, format!("the credential helper {program} {why}"));
        let run = async {
            let mut child = tokio::process::Command::new(&path)
                .arg("get")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| failed(format!("cannot be started: {e}")))?;
            let mut input = child.stdin.take().ok_or_else(|| failed("has no input".into()))?;
            // A helper that does not read its input still may answer.
            let _ = input.write_all(format!("{server}\n").as_bytes()).await;
            drop(input);
            let output = child.stdout.take().ok_or_else(|| failed("has no output".into()))?;
            let mut text = Vec::new();
            output
                .take(HELPER_BYTES_MAX + 1)
                .read_to_end(&mut text)
                .await
                .map_err(|e| failed(format!("cannot be read: {e}")))?;
            if text.len() as u64 > HELPER_BYTES_MAX {
                return Err(failed(format!("printed more than {HELPER_BYTES_MAX} bytes")));
            }
            let status = child.wait().await.map_err(|e| failed(format!("cannot be waited for: {e}")))?;
            Ok((status.success(), text))
        };
        let (success, text) = match tokio::time::timeout(HELPER_TIMEOUT, run).await {
            Ok(result) => result?,
            Err(_) => return Err(failed(format!("did not answer within {} s", HELPER_TIMEOUT.as_secs()))),
        };
        helper_answer(success, &text).map_err(failed)
    }
}

impl AuthEntry {
    fn credentials(&self, host: &str) -> Result<Option<Credentials>> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials { username: IDENTITY_TOKEN_USER.to_owned(), password: token.clone() }));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let bad = || Error::new(ErrorKind::Malformed, format!("the stored login for {host} is damaged"));
            let text =
                BASE64.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
            let (username, password) = text.split_once(':').ok_or_else(bad)?;
            // Old clients padded with NUL.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credentials { username: username.to_owned(), password }));
        }
        match (&self.username, &self.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Ok(Some(Credentials { username: username.clone(), password: password.clone() }))
            }
            _ => Ok(None),
        }
    }
}

/// What a helper's answer means: a login, none, or why it failed.
fn helper_answer(success: bool, text: &[u8]) -> std::result::Result<Option<Credentials>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    if !success {
        // The protocol's own words for "no login here"; anything else is a failure, and its text is not shown.
        let text = String::from_utf8_lossy(text);
        let none = text.contains("credentials not found") || text.contains("no credentials");
        return if none { Ok(None) } else { Err("failed".to_owned()) };
    }
    let answer: Answer = serde_json::from_slice(text).map_err(|_| "gave an answer that cannot be read".to_owned())?;
    if answer.username.is_empty() && answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials { username: answer.username, password: answer.secret }))
}

fn candidates(docker: Option<OsString>, home: Option<OsString>, runtime: Option<OsString>) -> Vec<PathBuf> {
    let docker = match (docker, home) {
        (Some(folder), _) => Some(PathBuf::from(folder).join("config.json")),
        (None, Some(home)) => Some(PathBuf::from(home).join(".docker/config.json")),
        (None, None) => None,
    };
    let podman = runtime.map(|folder| PathBuf::from(folder).join("containers/auth.json"));
    docker.into_iter().chain(podman).collect()
}

/// What a host's login may be filed under.
fn keys(host: &str) -> Vec<String> {
    if matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return vec![HUB_KEY.to_owned(), "docker.io".to_owned()];
    }
    vec![host.to_owned(), format!("https://{host}")]
}

/// `host[:port]` of a key that may be an address.
fn bare_host(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_answers_are_read() {
        let read = |ok, text: &str| {
            helper_answer(ok, text.as_bytes()).map(|found| found.map(|c| format!("{}:{}", c.username, c.password)))
        };
        assert_eq!(read(true, r#"{"ServerURL":"x","Username":"a","Secret":"b"}"#), Ok(Some("a:b".into())));
        assert_eq!(read(true, r#"{"ServerURL":"x","Username":"","Secret":""}"#), Ok(None));
        assert_eq!(read(false, "credentials not found in native keychain"), Ok(None));
        assert_eq!(read(false, "boom hunter2"), Err("failed".into()));
        assert!(read(true, "nonsense").is_err());
    }

    #[test]
    fn config_is_looked_for_in_docker_order() {
        let text = |d: Option<&str>, h: Option<&str>, r: Option<&str>| {
            candidates(d.map(Into::into), h.map(Into::into), r.map(Into::into))
        };
        assert_eq!(text(Some("/d"), Some("/h"), None), [PathBuf::from("/d/config.json")]);
        let both = [PathBuf::from("/h/.docker/config.json"), PathBuf::from("/r/containers/auth.json")];
        assert_eq!(text(None, Some("/h"), Some("/r")), both);
    }
}
