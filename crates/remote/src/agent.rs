//! An agent's way to its server: always outwards, over HTTPS (or plain HTTP to this machine), through the forward
//! proxy of the environment if there is one.
//!
//! Not here: what is said; bodies are bytes. Retrying is the caller's: it knows its lease.

use crate::http::{Client, Options, Request, host_of, status_kind};
use crate::{Error, ErrorKind, Limits, Result, agent_user_agent};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::Duration;
use url::Url;

/// Largest answer that is read from the server, in bytes.
pub const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The connection of one agent to its server.
#[derive(Clone)]
pub struct AgentTransport {
    http: Client,
    base: Url,
    secret: Option<SecretString>,
}

impl fmt::Debug for AgentTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentTransport").field("server", &host_of(&self.base)).finish_non_exhaustive()
    }
}

impl AgentTransport {
    /// A connection to `https://host[:port][/path]`. `ca_pem` is trusted besides the system's authorities;
    /// `secret` is what joining gave, `None` before.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for `http://` to another machine, [`ErrorKind::Malformed`] for an address or
    /// certificate that cannot be read.
    pub fn new(server_url: &str, ca_pem: Option<&str>, secret: Option<SecretString>) -> Result<Self> {
        let base = server_address(server_url)?;
        let direct = crate::endpoint::is_loopback(&base);
        let options = Options {
            user_agent: agent_user_agent(),
            plain_http: base.scheme() == "http",
            skip_tls_verify: false,
            ca_certificate: ca_pem.map(str::to_owned),
            deny_private: false,
            direct,
        };
        let http = Client::new(&options, &Limits::default())?;
        Ok(Self { http, base, secret })
    }

    /// The same connection with the secret that joining gave.
    #[must_use]
    pub fn with_secret(mut self, secret: SecretString) -> Self {
        self.secret = Some(secret);
        self
    }

    /// `POST /agent/v1/join`: `body` is a `JoinRequest` as JSON; the answer's body is returned.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for a token that is used up or unknown; those of the connection.
    pub async fn join(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        self.post("agent/v1/join", body.into(), self.http.limits().request_timeout).await
    }

    /// `POST /agent/v1/call`: `body` is an `AgentRequest` as JSON. `patience` is how long the server may take to
    /// answer: longer than its long poll.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the secret is not known (any more), [`ErrorKind::Conflict`] for a stale lease,
    /// [`ErrorKind::Transient`] and [`ErrorKind::Unreachable`] when it is worth asking again.
    pub async fn call(&self, body: impl Into<Bytes>, patience: Duration) -> Result<Vec<u8>> {
        self.post("agent/v1/call", body.into(), patience).await
    }

    async fn post(&self, path: &str, body: Bytes, patience: Duration) -> Result<Vec<u8>> {
        let host = host_of(&self.base);
        let url = self.base.join(path).map_err(|e| Error::because(ErrorKind::Internal, "no address to call", e))?;
        let mut request = Request::new(Method::POST, url, self.http.limits());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Some(body);
        request.timeout = patience;
        request.authorization = self.bearer()?;
        let response = self.http.send(&request).await?;
        let status = response.status();
        if status.is_success() {
            let what = format!("the answer of {host}");
            return self.http.body(response, ANSWER_BYTES_MAX, &what).await;
        }
        let kind = status_kind(status, response.headers());
        let said = self.http.complaint(response).await.map(|text| format!(": {text}")).unwrap_or_default();
        let verb =
            if kind == ErrorKind::Denied { "refused this agent".to_owned() } else { format!("answered {status}") };
        Err(Error::new(kind, format!("{host} {verb}{said}")))
    }

    fn bearer(&self) -> Result<Option<HeaderValue>> {
        let Some(secret) = &self.secret else { return Ok(None) };
        let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret())).map_err(|_| {
            Error::new(ErrorKind::Malformed, "the agent's secret has characters that no header may hold")
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

pub(crate) fn server_address(text: &str) -> Result<Url> {
    let bad = |why: &str| Error::new(ErrorKind::Malformed, format!("the server's address is not usable: {why}"));
    let mut url = Url::parse(text.trim()).map_err(|_| bad("expected https://host[:port]"))?;
    if url.host().is_none() || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(bad("expected https://host[:port]"));
    }
    match url.scheme() {
        "https" => {}
        "http" if crate::endpoint::is_loopback(&url) => {}
        "http" => {
            let text = format!("{} is not this machine: agents speak HTTPS to their server", host_of(&url));
            return Err(Error::new(ErrorKind::Forbidden, text));
        }
        _ => return Err(bad("expected https://host[:port]")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_speak_plain_http_to_this_machine_only() {
        let check = |text: &str, expect: std::result::Result<&str, ErrorKind>| {
            let found = server_address(text);
            assert_eq!(found.as_ref().map(Url::as_str).map_err(|e| e.kind), expect, "{text}");
        };
        check("https://pratique.example", Ok("https://pratique.example/"));
        check("https://pratique.example/base", Ok("https://pratique.example/base/"));
        check("http://127.0.0.1:8474", Ok("http://127.0.0.1:8474/"));
        check("http://localhost:8474", Ok("http://localhost:8474/"));
        check("http://[::1]:8474", Ok("http://[::1]:8474/"));
        check("http://pratique.example", Err(ErrorKind::Forbidden));
        check("http://127.0.0.1.evil.example", Err(ErrorKind::Forbidden));
        check("ftp://127.0.0.1", Err(ErrorKind::Malformed));
        check("https://a:b@x", Err(ErrorKind::Malformed));
        check("pratique.example", Err(ErrorKind::Malformed));
    }
}
