//! A client of a Pratique server's HTTP API, for the command line.
//!
//! Not here: what bodies mean; they go in and come out as JSON bytes.

use crate::agent::server_address;
use crate::http::{Client, Options, Request, status_kind};
use crate::{Error, ErrorKind, Limits, Result, server_user_agent};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Largest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Speaks to one server with one token.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: Client,
    base: Url,
    token: SecretString,
}

impl ApiClient {
    /// A client of `https://host[:port]`; plain HTTP is for this machine only, because every request carries the token.
    ///
    /// # Errors
    /// For an address or certificate that cannot be used.
    pub fn new(server_url: &str, ca_pem: Option<&str>, token: SecretString) -> Result<Self> {
        let base = server_address(server_url)?;
        let options = Options {
            user_agent: server_user_agent(),
            plain_http: base.scheme() == "http",
            skip_tls_verify: false,
            ca_certificate: ca_pem.map(str::to_owned),
            deny_private: false,
            direct: crate::endpoint::is_loopback(&base),
        };
        Ok(Self { http: Client::new(&options, &Limits::default())?, base, token })
    }

    /// `GET path`, such as `api/v1/registries`.
    ///
    /// # Errors
    /// Those of the connection; the server's own words for every status that is no success.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.request(Method::GET, path, None).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As for [`ApiClient::get`].
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        self.request(Method::POST, path, Some(body)).await
    }

    async fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let url = self.base.join(path).map_err(|e| Error::because(ErrorKind::Malformed, "not a path of the API", e))?;
        let mut request = Request::new(method, url, self.http.limits());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose_secret()))
            .map_err(|_| Error::new(ErrorKind::Malformed, "the token has characters that no header may hold"))?;
        bearer.set_sensitive(true);
        request.authorization = Some(bearer);
        if let Some(body) = body {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = Some(body.into());
        }
        let response = self.http.send(&request).await?;
        let status = response.status();
        if status.is_success() {
            return self.http.body(response, ANSWER_BYTES_MAX, "the server's answer").await;
        }
        let kind = status_kind(status, response.headers());
        let said = self.http.complaint(response).await.map(|text| format!(": {text}")).unwrap_or_default();
        Err(Error::new(kind, format!("the server answered {status}{said}")))
    }
}
