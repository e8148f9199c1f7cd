//! Feed documents: a conditional `GET` into a file.
//!
//! Not here: which documents, what they mean, the final place of the file (the caller renames).
//!
//! Invariant: [`Downloaded::File`] means that the whole document is in the file and was flushed to disk.

use crate::http::{Client, Options, Request, host_of, place, status_kind, transport_error};
use crate::retry::Backoff;
use crate::{Error, ErrorKind, Limits, Result, server_user_agent};
use model::Digest;
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use url::Url;

/// How feed documents are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadOptions {
    /// The `User-Agent`.
    pub user_agent: String,
    /// Certificate authorities to trust besides the system's, PEM.
    pub ca_certificate: Option<String>,
    /// Take documents over plain HTTP from other machines too.
    pub plain_http: bool,
    /// Refuse private and loopback addresses.
    pub deny_private: bool,
    /// Caps and patience.
    pub limits: Limits,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            user_agent: server_user_agent(),
            ca_certificate: None,
            plain_http: false,
            deny_private: false,
            limits: Limits::default(),
        }
    }
}

/// What to send next time so that an unchanged document is not sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag` as received.
    pub etag: Option<String>,
    /// `Last-Modified` as received.
    pub last_modified: Option<String>,
}

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downloaded {
    /// The document is the one that the validators stand for; the file was not touched.
    NotModified,
    /// The document is in the file.
    File {
        /// Its size.
        bytes: u64,
        /// Its SHA-256.
        digest: Digest,
        /// For next time.
        validators: Validators,
    },
}

/// Fetches documents.
#[derive(Debug, Clone)]
pub struct Downloader {
    http: Client,
    direct: Client,
    plain_http: bool,
}

impl Downloader {
    /// Sets a downloader up; opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a CA certificate that cannot be read.
    pub fn new(options: &DownloadOptions) -> Result<Self> {
        let client = |direct| Options {
            user_agent: options.user_agent.clone(),
            plain_http: options.plain_http,
            skip_tls_verify: false,
            ca_certificate: options.ca_certificate.clone(),
            deny_private: options.deny_private,
            direct,
        };
        Ok(Self {
            http: Client::new(&client(false), &options.limits)?,
            direct: Client::new(&client(true), &options.limits)?,
            plain_http: options.plain_http,
        })
    }

    /// Fetches `url` into the file `into`, which is created or overwritten, at most `bytes_max` bytes. A cut
    /// connection is resumed when the other side supports it, else started anew.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] above the cap, [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`] for plain HTTP
    /// that was not chosen, [`ErrorKind::Internal`] when the file cannot be written; those of the connection.
    pub async fn fetch(
        &self,
        url: &str,
        into: &Path,
        known: Option<&Validators>,
        bytes_max: u64,
    ) -> Result<Downloaded> {
        let url = self.address(url)?;
        let http = if crate::endpoint::is_loopback(&url) { &self.direct } else { &self.http };
        let mut transfer = Transfer { http, what: place(&url), url, bytes_max, state: None };
        let mut backoff = Backoff::new(http.limits());
        let mut resumes = 0;
        loop {
            let before = transfer.received();
            let error = match transfer.attempt(into, known).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if transfer.received() > before {
                backoff.reset();
            }
            resumes += 1;
            let pause = backoff.pause(&error).filter(|_| resumes <= http.limits().resumes_max);
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(%error, received = transfer.received(), "resuming {}", transfer.what);
            tokio::time::sleep(pause).await;
        }
    }

    fn address(&self, text: &str) -> Result<Url> {
        let url = Url::parse(text)
            .map_err(|e| Error::because(ErrorKind::Malformed, "the document's address cannot be read", e))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.plain_http || crate::endpoint::is_loopback(&url) => Ok(url),
            "http" => {
                let text = format!("{} is plain HTTP, which anyone on the way can change: not fetched", place(&url));
                Err(Error::new(ErrorKind::Forbidden, text))
            }
            _ => Err(Error::new(ErrorKind::Malformed, "the document's address is neither https:// nor http://")),
        }
    }
}

struct Transfer<'a> {
    http: &'a Client,
    url: Url,
    what: String,
    bytes_max: u64,
    state: Option<Partial>,
}

/// What is in the file so far, and of which document.
struct Partial {
    file: File,
    hasher: Sha256,
    received: u64,
    validators: Validators,
}

impl Transfer<'_> {
    fn received(&self) -> u64 {
        self.state.as_ref().map_or(0, |partial| partial.received)
    }

    async fn attempt(&mut self, into: &Path, known: Option<&Validators>) -> Result<Downloaded> {
        let request = self.request(known);
        let response = self.http.send(&request).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Downloaded::NotModified),
            StatusCode::PARTIAL_CONTENT if self.continues(&response) => {}
            StatusCode::OK => self.start(into, response.headers()).await?,
            _ => {
                self.state = None;
                return Err(self.refusal(response).await);
            }
        }
        self.receive(response).await?;
        self.finish().await
    }

    fn request(&self, known: Option<&Validators>) -> Request {
        let mut request = Request::new(Method::GET, self.url.clone(), self.http.limits());
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers.insert(name, value);
            }
        };
        let resumable = self.state.as_ref().filter(|partial| partial.received > 0);
        if let Some((partial, etag)) = resumable.and_then(|p| Some((p, p.validators.etag.as_deref()?)))
            && !etag.starts_with("W/")
        {
            set(RANGE, &format!("bytes={}-", partial.received));
            set(IF_RANGE, etag);
            return request;
        }
        if let Some(etag) = known.and_then(|v| v.etag.as_deref()) {
            set(IF_NONE_MATCH, etag);
        }
        if let Some(modified) = known.and_then(|v| v.last_modified.as_deref()) {
            set(IF_MODIFIED_SINCE, modified);
        }
        request
    }

    fn continues(&self, response: &Response) -> bool {
        let prefix = format!("bytes {}-", self.received());
        let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        self.state.is_some() && range.is_some_and(|text| text.starts_with(&prefix))
    }

    async fn start(&mut self, into: &Path, headers: &HeaderMap) -> Result<()> {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let file = match self.state.take() {
            Some(mut partial) => {
                partial.file.rewind().await.map_err(|e| unwritable(into, e))?;
                partial.file.set_len(0).await.map_err(|e| unwritable(into, e))?;
                partial.file
            }
            None => File::create(into).await.map_err(|e| unwritable(into, e))?,
        };
        let validators = Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) };
        self.state = Some(Partial { file, hasher: Sha256::new(), received: 0, validators });
        Ok(())
    }

    async fn receive(&mut self, mut response: Response) -> Result<()> {
        let (what, limit) = (self.what.clone(), self.bytes_max);
        let over = || Error::new(ErrorKind::LimitExceeded, format!("{what} is more than the limit of {limit} bytes"));
        let stall = self.http.limits().stall_timeout;
        let partial = self.state.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "no file to write to"))?;
        if response.content_length().is_some_and(|length| partial.received + length > limit) {
            return Err(over());
        }
        let url = response.url().clone();
        loop {
            let chunk = match tokio::time::timeout(stall, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|e| transport_error(e, &url))?,
                Err(_) => {
                    let text = format!("nothing came of {what} for {} s", stall.as_secs_f32());
                    return Err(Error::new(ErrorKind::Transient { retry_after: None }, text));
                }
            };
            let Some(chunk) = chunk else { return Ok(()) };
            if partial.received + chunk.len() as u64 > limit {
                return Err(over());
            }
            partial
                .file
                .write_all(&chunk)
                .await
                .map_err(|e| Error::because(ErrorKind::Internal, format!("{what} cannot be written to its file"), e))?;
            partial.hasher.update(&chunk);
            partial.received += chunk.len() as u64;
        }
    }

    async fn finish(&mut self) -> Result<Downloaded> {
        let mut partial = self.state.take().ok_or_else(|| Error::new(ErrorKind::Internal, "no file to finish"))?;
        let failed = |e| Error::because(ErrorKind::Internal, format!("{} cannot be written to its file", self.what), e);
        partial.file.flush().await.map_err(failed)?;
        partial.file.sync_all().await.map_err(failed)?;
        Ok(Downloaded::File {
            bytes: partial.received,
            digest: Digest::from_bytes(partial.hasher.finalize().into()),
            validators: partial.validators,
        })
    }

    async fn refusal(&self, response: Response) -> Error {
        let status = response.status();
        let kind = status_kind(status, response.headers());
        let from = host_of(response.url());
        let text = match status {
            StatusCode::NOT_FOUND => format!("{} does not exist", self.what),
            _ => format!("{from} answered {status} when asked for {}", self.what),
        };
        Error::new(kind, text)
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::because(ErrorKind::Internal, format!("{} cannot be written", path.display()), error)
}
