//! The one HTTP client: every request of this crate goes through `Client::send`.
//!
//! Not here: logins (`auth`), what a status means for one kind of thing (`oci`).
//!
//! Invariants: each address, redirects included, passes the guard; `Authorization` never leaves the origin it
//! was made for; no body is read without a cap; texts of errors hold neither queries (they may be signed) nor
//! user parts of addresses.

use crate::guard::{Guard, Refused};
use crate::retry::retry_after;
use crate::{Error, ErrorKind, Limits, Result};
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Method, Response, StatusCode};
use std::io;
use std::time::Duration;
use url::Url;

/// How a client is set up.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) user_agent: String,
    /// Plain HTTP was chosen: redirects may lead to it.
    pub(crate) plain_http: bool,
    pub(crate) skip_tls_verify: bool,
    pub(crate) ca_certificate: Option<String>,
    pub(crate) deny_private: bool,
    /// The other side is this machine: no forward proxy.
    pub(crate) direct: bool,
}

/// One request. Not `Debug`: its body may be a login.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) body: Option<Bytes>,
    /// Until the answer's headers.
    pub(crate) timeout: Duration,
}

impl Request {
    /// A request without body or login.
    pub(crate) fn new(method: Method, url: Url, limits: &Limits) -> Self {
        let timeout = limits.request_timeout;
        Self { method, url, headers: HeaderMap::new(), authorization: None, body: None, timeout }
    }
}

/// The client. Cloning shares its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: reqwest::Client,
    guard: Guard,
    plain_http: bool,
    limits: Limits,
}

impl Client {
    /// Sets a client up.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a CA certificate that is no PEM, [`ErrorKind::Internal`] otherwise.
    pub(crate) fn new(options: &Options, limits: &Limits) -> Result<Self> {
        crate::install_crypto();
        let guard = Guard::new(options.deny_private);
        let roots = certificates(options.ca_certificate.as_deref())?;
        let builder = || {
            let mut builder = reqwest::Client::builder()
                .user_agent(&options.user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(limits.connect_timeout)
                .pool_idle_timeout(Duration::from_secs(60))
                .dns_resolver(guard.clone());
            if options.skip_tls_verify {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
            if options.direct { builder.no_proxy() } else { builder }
        };
        // Without any system certificate the first fails; plain HTTP and a CA of one's own must still work.
        let inner = builder()
            .tls_certs_merge(roots.clone())
            .build()
            .or_else(|_| builder().tls_certs_only(roots).build())
            .map_err(|e| Error::because(ErrorKind::Internal, "the HTTP client cannot be set up", e.without_url()))?;
        Ok(Self { inner, guard, plain_http: options.plain_http, limits: limits.clone() })
    }

    /// The limits it was made with.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends one request and follows redirects of `GET` and `HEAD`. Every status that is no redirect is returned.
    ///
    /// # Errors
    /// Of the connection, the guard and redirects; never for a status.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response> {
        let origin = request.url.origin();
        let mut url = request.url.clone();
        let mut authorization = request.authorization.as_ref();
        for _ in 0..=self.limits.redirects_max {
            self.guard.check_url(&url)?;
            let response = self.send_once(request, &url, authorization).await?;
            if !is_redirect(response.status()) || !matches!(request.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            url = self.redirect_target(&url, &response)?;
            if url.origin() != origin {
                authorization = None;
            }
        }
        let text = format!("{} redirects more than {} times", place(&request.url), self.limits.redirects_max);
        Err(Error::new(ErrorKind::LimitExceeded, text))
    }

    async fn send_once(&self, request: &Request, url: &Url, login: Option<&HeaderValue>) -> Result<Response> {
        let mut builder = self.inner.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(login) = login {
            builder = builder.header(AUTHORIZATION, login.clone());
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        match tokio::time::timeout(request.timeout, builder.send()).await {
            Ok(answer) => answer.map_err(|e| transport_error(e, url)),
            Err(_) => {
                let text = format!("{} did not answer within {} s", place(url), request.timeout.as_secs_f32());
                Err(Error::new(ErrorKind::Transient { retry_after: None }, text))
            }
        }
    }

    fn redirect_target(&self, from: &Url, response: &Response) -> Result<Url> {
        let bad = || Error::new(ErrorKind::Malformed, format!("{} redirects to nowhere", place(from)));
        let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).ok_or_else(bad)?;
        let mut to = from.join(location).map_err(|_| bad())?;
        // Credentials in a location are the other host's invention, not ours to send.
        let stripped = to.set_username("").and_then(|()| to.set_password(None));
        let to_http = to.scheme() == "http" && from.scheme() == "https" && !self.plain_http;
        match to.scheme() {
            "http" if to_http => {
                let text = format!("{} redirects to plain HTTP at {}: not followed", place(from), place(&to));
                Err(Error::new(ErrorKind::Forbidden, text))
            }
            "http" | "https" if stripped.is_ok() => Ok(to),
            _ => Err(bad()),
        }
    }

    /// Reads a body whole, up to `bytes_max`. `what` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] beyond the cap, [`ErrorKind::Transient`] when it is cut or too slow.
    pub(crate) async fn body(&self, mut response: Response, bytes_max: u64, what: &str) -> Result<Vec<u8>> {
        let over = |size: &str| {
            let text = format!("{what} is {size} bytes, more than the limit of {bytes_max}");
            Error::new(ErrorKind::LimitExceeded, text)
        };
        if let Some(length) = response.content_length().filter(|length| *length > bytes_max) {
            return Err(over(&length.to_string()));
        }
        let url = response.url().clone();
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| transport_error(e, &url))? {
                if (body.len() + chunk.len()) as u64 > bytes_max {
                    return Err(over("unnumbered"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        match tokio::time::timeout(self.limits.request_timeout, read).await {
            Ok(body) => body,
            Err(_) => {
                let text = format!("{what} did not arrive within {} s", self.limits.request_timeout.as_secs_f32());
                Err(Error::new(ErrorKind::Transient { retry_after: None }, text))
            }
        }
    }

    /// What the other side says about a refusal: the first kilobyte of text for people, if any. Reads at most
    /// the error cap; a body that cannot be read says nothing.
    pub(crate) async fn complaint(&self, response: Response) -> Option<String> {
        let capped = self.body(response, self.limits.error_bytes_max, "the error").await.ok()?;
        complaint_text(&capped)
    }
}

/// The error that a status makes, when nothing more special is known about it.
pub(crate) fn status_kind(status: StatusCode, headers: &HeaderMap) -> ErrorKind {
    match status.as_u16() {
        401 | 403 | 407 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 | 410 | 412 => ErrorKind::Conflict,
        408 | 425 | 429 => ErrorKind::Transient { retry_after: retry_after(headers) },
        413 | 431 => ErrorKind::LimitExceeded,
        405 | 406 | 415 | 501 => ErrorKind::Unsupported,
        500..=599 => ErrorKind::Transient { retry_after: retry_after(headers) },
        _ => ErrorKind::Malformed,
    }
}

/// Scheme, host and path of an address: never its query or user.
pub(crate) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), cut(url.path(), 300))
}

/// `host[:port]` of an address.
pub(crate) fn host_of(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// At most `chars` characters, on one line.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn certificates(pem: Option<&str>) -> Result<Vec<Certificate>> {
    let Some(pem) = pem else { return Ok(Vec::new()) };
    let bad = "the CA certificate is not PEM with at least one certificate";
    let found = Certificate::from_pem_bundle(pem.as_bytes())
        .map_err(|e| Error::because(ErrorKind::Malformed, bad, e.without_url()))?;
    if found.is_empty() { Err(Error::new(ErrorKind::Malformed, bad)) } else { Ok(found) }
}

/// The texts of the distribution specification's error body, of RFC 9457, or of a short plain body.
fn complaint_text(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Complaints {
        #[serde(default)]
        errors: Vec<Complaint>,
        detail: Option<String>,
        details: Option<String>,
        error_description: Option<String>,
        title: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Complaint {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Complaints>(body) {
        Ok(found) if !found.errors.is_empty() => {
            let one = |c: &Complaint| format!("{} {}", c.code, c.message).trim().to_owned();
            found.errors.iter().take(3).map(one).collect::<Vec<_>>().join("; ")
        }
        Ok(found) => found.detail.or(found.details).or(found.error_description).or(found.title)?,
        Err(_) => {
            let text = std::str::from_utf8(body).ok()?.trim();
            // A page for browsers says nothing that fits on a line.
            if text.starts_with(['<', '{', '[']) {
                return None;
            }
            text.to_owned()
        }
    };
    let text = cut(text.trim(), 300);
    if text.is_empty() { None } else { Some(text) }
}

/// Turns what the HTTP library says into words, without the address's query.
pub(crate) fn transport_error(error: reqwest::Error, url: &Url) -> Error {
    let host = host_of(url);
    let error = error.without_url();
    if let Some(refused) = cause::<Refused>(&error) {
        return refused.clone().into();
    }
    if let Some(tls) = cause::<rustls::Error>(&error) {
        return tls_error(tls, &host);
    }
    if error.is_dns() {
        let text = match root_text(&error) {
            text if text.contains("emporary failure") => format!("the name {host} cannot be looked up now: {text}"),
            _ => format!("unknown host {host}: check the name"),
        };
        return Error::new(ErrorKind::Unreachable, text);
    }
    if error.is_connect() {
        let text = match cause::<io::Error>(&error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => format!("{host} refuses connections: nothing listens there"),
            Some(io::ErrorKind::TimedOut) => format!("{host} cannot be reached: no answer to the connection attempt"),
            _ if error.is_timeout() => format!("{host} cannot be reached: no answer to the connection attempt"),
            _ => format!("{host} cannot be reached: {}", root_text(&error)),
        };
        return Error::new(ErrorKind::Unreachable, text);
    }
    if error.is_builder() {
        return Error::because(ErrorKind::Malformed, format!("the request to {host} cannot be made"), error);
    }
    let text = format!("the connection to {host} broke: {}", root_text(&error));
    Error::new(ErrorKind::Transient { retry_after: None }, text)
}

fn tls_error(error: &rustls::Error, host: &str) -> Error {
    use rustls::CertificateError as Bad;
    let because = match error {
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => "has expired".to_owned(),
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "is not valid yet".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "is for another name".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "is not signed by a trusted authority: give its CA certificate".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::Revoked) => "is revoked".to_owned(),
        rustls::Error::InvalidCertificate(other) => format!("is not trusted: {other:?}"),
        rustls::Error::InvalidMessage(_) => {
            let text = format!("{host} does not speak TLS: if it speaks plain HTTP, choose that");
            return Error::new(ErrorKind::Untrusted, text);
        }
        other => {
            let text = format!("no secure connection to {host}: {other}");
            return Error::new(ErrorKind::Untrusted, text);
        }
    };
    Error::new(ErrorKind::Untrusted, format!("the certificate of {host} {because}"))
}

/// The first cause of type `T`; looks inside I/O errors too, whose `source` skips what they wrap.
fn cause<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = inner(error);
    }
    None
}

fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped as _),
        None => error.source(),
    }
}

/// The text of the innermost cause.
fn root_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = inner(last) {
        last = next;
    }
    cut(&last.to_string(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_read_from_every_usual_form() {
        let check = |body: &str, expect: Option<&str>| {
            assert_eq!(complaint_text(body.as_bytes()).as_deref(), expect, "{body}");
        };
        check(r#"{"errors":[{"code":"DENIED","message":"no","detail":{}}]}"#, Some("DENIED no"));
        check(r#"{"title":"Forbidden","status":403}"#, Some("Forbidden"));
        check(r#"{"title":"Conflict","detail":"the lease is over"}"#, Some("the lease is over"));
        check(r#"{"details":"incorrect username or password"}"#, Some("incorrect username or password"));
        check("too many requests\n", Some("too many requests"));
        check("<html>no</html>", None);
        check("", None);
    }

    #[test]
    fn places_hold_no_signatures() {
        let url = Url::parse("https://user:secret@storage.example:444/blob?X-Signature=abc").unwrap();
        assert_eq!(place(&url), "https://storage.example:444/blob");
    }
}
