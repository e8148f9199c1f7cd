//! Where a registry is and how to speak to it.

use crate::{Error, ErrorKind, Result};
use model::registry::Credentials;
use std::fmt;
use url::{Host, Url};

/// The user name that marks a password as an identity token (Docker's credential helpers use the same mark).
pub const IDENTITY_TOKEN_USER: &str = "<token>";

/// Docker Hub's API host: what `docker.io` stands for.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// The `User-Agent` of the server and of the command line.
pub fn server_user_agent() -> String {
    format!("pratique/{}", env!("CARGO_PKG_VERSION"))
}

/// The `User-Agent` of agents.
pub fn agent_user_agent() -> String {
    format!("pratique-agent/{}", env!("CARGO_PKG_VERSION"))
}

/// One registry and how to speak to it. Its `Debug` text shows no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `host[:port]`, as in image references. `docker.io` is understood as Docker Hub.
    pub host: String,
    /// Speak HTTP. Credentials then travel in clear text: the caller warns.
    pub plain_http: bool,
    /// Do not verify the certificate.
    pub skip_tls_verify: bool,
    /// Certificate authorities to trust besides the system's, PEM.
    pub ca_certificate: Option<String>,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Who logs in; the user [`IDENTITY_TOKEN_USER`] makes the password an identity token.
    pub credentials: Option<Credentials>,
    /// Refuse private and loopback addresses too, not only link-local and metadata ones.
    pub deny_private: bool,
}

impl Endpoint {
    /// Reads a registry's address as for `docker login`: `host[:port]`, `https://host[:port][/]` or
    /// `http://host[:port]` (which chooses plain HTTP). Docker Hub's spellings all mean Docker Hub.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when there is no host in it, or a path, query, or user in it.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |why: &str| Error::new(ErrorKind::Malformed, format!("{:?} is not a registry: {why}", cut(url)));
        let (plain_http, rest) = match url.trim() {
            text if text.starts_with("http://") => (true, &text["http://".len()..]),
            text if text.starts_with("https://") => (false, &text["https://".len()..]),
            text if text.contains("://") => return Err(bad("expected https:// or http://")),
            text => (false, text),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(bad("user and password do not belong into the address"));
        }
        let hub = matches!(host, "docker.io" | "index.docker.io" | "registry.docker.io" | DOCKER_HUB_API);
        let path = path.trim_matches('/');
        if !(path.is_empty() || matches!(path, "v1" | "v2")) {
            return Err(bad("expected host[:port] without a path"));
        }
        let endpoint = Self {
            host: if hub { DOCKER_HUB_API.to_owned() } else { host.to_owned() },
            plain_http,
            skip_tls_verify: false,
            ca_certificate: None,
            user_agent: server_user_agent(),
            credentials: None,
            deny_private: false,
        };
        endpoint.base().map_err(|_| bad("expected host[:port]"))?;
        Ok(endpoint)
    }

    /// The root of the registry's API, such as `https://host:port/`.
    pub(crate) fn base(&self) -> Result<Url> {
        let host = if self.host == "docker.io" { DOCKER_HUB_API } else { self.host.as_str() };
        let bad = || Error::new(ErrorKind::Malformed, format!("{:?} is not a registry host", cut(host)));
        if host.is_empty() || host.contains(['/', '?', '#', '@', '\\', ' ']) {
            return Err(bad());
        }
        let scheme = if self.plain_http { "http" } else { "https" };
        let url = Url::parse(&format!("{scheme}://{host}/")).map_err(|_| bad())?;
        if url.host().is_none() { Err(bad()) } else { Ok(url) }
    }

    /// Is the registry on this machine, by its name?
    pub fn is_loopback(&self) -> bool {
        self.base().is_ok_and(|url| is_loopback(&url))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.host)
            .field("plain_http", &self.plain_http)
            .field("skip_tls_verify", &self.skip_tls_verify)
            .field("user_agent", &self.user_agent)
            .field("credentials", &self.credentials.as_ref().map(|_| "…"))
            .field("deny_private", &self.deny_private)
            .finish_non_exhaustive()
    }
}

/// Does the URL name this machine: `localhost` or a loopback address?
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn cut(text: &str) -> String {
    // Whatever stands before an '@' may be a password.
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_reads_what_docker_login_takes() {
        let check = |input: &str, expect: &str| {
            let found = Endpoint::parse(input).and_then(|e| e.base()).map(|url| url.to_string());
            assert_eq!(found.unwrap_or_else(|e| e.to_string()), expect, "{input}");
        };
        check("registry.example.org", "https://registry.example.org/");
        check("https://registry.example.org:5000/", "https://registry.example.org:5000/");
        check("http://127.0.0.1:5000", "http://127.0.0.1:5000/");
        check("[::1]:5000", "https://[::1]:5000/");
        check("docker.io", "https://registry-1.docker.io/");
        check("https://index.docker.io/v1/", "https://registry-1.docker.io/");
        check("", "\"\" is not a registry: expected host[:port]");
        check("ftp://x", "\"ftp://x\" is not a registry: expected https:// or http://");
        check("https://x/team", "\"https://x/team\" is not a registry: expected host[:port] without a path");
        let secret = Endpoint::parse("https://me:hunter2@x").unwrap_err().to_string();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn endpoint_debug_shows_no_credentials() {
        let mut endpoint = Endpoint::parse("x").unwrap();
        endpoint.credentials = Some(Credentials { username: "alice".into(), password: "hunter2".into() });
        let text = format!("{endpoint:?}");
        assert!(!text.contains("hunter2") && !text.contains("alice"), "{text}");
    }
}
