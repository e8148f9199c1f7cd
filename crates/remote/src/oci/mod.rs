//! The client of the OCI distribution API, version 1.1 (and Docker's registry API v2, which it grew from).
//!
//! Not here: which repositories and tags are wanted, what is in a layer.
//!
//! Invariants: every body is capped; a manifest, configuration or blob that is returned whole has the digest
//! that was asked for, computed over its bytes.

mod blob;
mod manifest;
mod paging;
mod part;
mod push;

pub use blob::BlobReader;
pub use manifest::{
    INDEX_MEMBERS_MAX, LAYERS_MAX, ManifestContent, ParsedManifest, artifact_tag, index_member_artifact, parse_manifest,
};
pub use paging::{Cursor, RepositoryPage, TagPage};
pub use part::RangesReader;

use crate::auth::{Access, Authorizer};
use crate::http::{Client, Options, Request, cut, host_of, status_kind};
use crate::retry::retrying;
use crate::{Endpoint, Error, ErrorKind, Limits, Result};
use bytes::Bytes;
use model::Digest;
use model::layer::Descriptor;
use model::reference::{is_repository, is_tag};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use url::Url;

/// One registry. Cloning shares its connections and tokens.
#[derive(Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Client,
    auth: Authorizer,
    base: Url,
    host: String,
    /// Pulls left as the registry last said; negative when it never did.
    pulls_left: AtomicI64,
}

/// A manifest as fetched, with its verified digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// SHA-256 of `bytes`: the digest that was asked for, or the one that the registry announced for the tag.
    pub digest: Digest,
    /// The effective media type.
    pub media_type: String,
    /// The manifest itself.
    pub bytes: Vec<u8>,
    /// What it is.
    pub content: ManifestContent,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("host", &self.inner.host).finish_non_exhaustive()
    }
}

/// A page size that every registry takes.
const PAGE_ENTRIES_SAFE: u32 = 100;

/// What is listed.
struct Listing<'a> {
    path: &'a str,
    access: Access,
    /// For people.
    what: String,
}

/// What one request is about.
struct Ask<'a> {
    method: Method,
    /// Path and query.
    target: &'a str,
    access: Access,
    /// The `Accept` line, if any.
    accept: Option<&'static str>,
    /// Bytes to leave out at the start.
    skip_bytes: u64,
    /// Only these bytes.
    range: Option<std::ops::Range<u64>>,
    /// What is sent, and as what.
    body: Option<Bytes>,
    content_type: Option<&'static str>,
    /// Seconds that the answer may take beyond the usual.
    seconds_more: u64,
    /// For people.
    what: String,
}

impl<'a> Ask<'a> {
    fn get(target: &'a str, access: Access, what: String) -> Self {
        let (body, content_type) = (None, None);
        Self {
            method: Method::GET,
            target,
            access,
            accept: None,
            skip_bytes: 0,
            range: None,
            body,
            content_type,
            seconds_more: 0,
            what,
        }
    }
}

impl RegistryClient {
    /// A client for one registry. Opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a host or CA certificate that cannot be read, [`ErrorKind::Forbidden`] for an
    /// address that is never connected to.
    pub fn new(endpoint: Endpoint, limits: Limits) -> Result<Self> {
        let base = endpoint.base()?;
        let options = Options {
            user_agent: endpoint.user_agent.clone(),
            plain_http: endpoint.plain_http,
            skip_tls_verify: endpoint.skip_tls_verify,
            ca_certificate: endpoint.ca_certificate.clone(),
            deny_private: endpoint.deny_private,
            direct: endpoint.is_loopback(),
        };
        let http = Client::new(&options, &limits)?;
        let auth = Authorizer::new(http.clone(), &endpoint, base.clone());
        let host = host_of(&base);
        Ok(Self { inner: Arc::new(Inner { http, auth, base, host, pulls_left: AtomicI64::new(-1) }) })
    }

    /// `host[:port]` of the registry.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// How many pulls the registry's rate limit leaves, as its last answer said.
    pub fn pulls_left(&self) -> Option<u64> {
        u64::try_from(self.inner.pulls_left.load(Ordering::Relaxed)).ok()
    }

    /// Checks that there is a registry, that it is reached safely, and that it accepts the login.
    ///
    /// # Errors
    /// Any; the texts say which of name, connection, certificate and login is wrong.
    pub async fn ping(&self) -> Result<()> {
        let ask = Ask::get("/v2/", Access::Nothing, format!("the API of {}", self.host()));
        let answer = retrying(self.limits(), || async {
            let response = self.request(&ask).await?;
            self.inner.http.body(response, self.limits().page_bytes_max, &ask.what).await
        })
        .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => {
                let text = format!("{} answers, but not as a registry: there is no /v2/", self.host());
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            Err(error) => Err(error),
        }
    }

    /// One page of the catalogue, from its start or from `cursor`.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] or [`ErrorKind::Unsupported`] when the registry does not list its repositories.
    pub async fn repositories(&self, cursor: Option<&Cursor>) -> Result<RepositoryPage> {
        #[derive(serde::Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let what = format!("the list of repositories of {}", self.host());
        let listing = Listing { path: "/v2/_catalog", access: Access::Catalogue, what };
        let page = self.listed::<Page>(listing, cursor).await;
        let (page, next) = page.map_err(|error| self.catalogue_refusal(error))?;
        let (repositories, invalid) = sift(page.repositories.unwrap_or_default(), is_repository);
        Ok(RepositoryPage { repositories, invalid, next })
    }

    /// One page of a repository's tags, from its start or from `cursor`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such repository.
    pub async fn tags(&self, repository: &str, cursor: Option<&Cursor>) -> Result<TagPage> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let path = format!("/v2/{repository}/tags/list");
        let what = format!("the tags of {}/{repository}", self.host());
        let listing = Listing { path: &path, access: pull(repository)?, what };
        let (page, next) = self.listed::<Page>(listing, cursor).await?;
        let (tags, invalid) = sift(page.tags.unwrap_or_default(), is_tag);
        Ok(TagPage { tags, invalid, next })
    }

    /// What a tag or digest points at, without fetching it where the registry tells by `HEAD`. The digest is the
    /// registry's claim; [`Self::manifest`] verifies it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such tag.
    pub async fn head(&self, repository: &str, reference: &str) -> Result<Descriptor> {
        let target = manifest_target(repository, reference)?;
        let mut ask = Ask::get(&target, pull(repository)?, self.named(repository, reference));
        ask.method = Method::HEAD;
        ask.accept = Some(manifest::ACCEPT);
        match retrying(self.limits(), || self.request(&ask)).await {
            Ok(response) => {
                let announced = announced_digest(response.headers())?;
                let size =
                    response.headers().get(reqwest::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
                if let (Some(digest), Some(size), Some(media_type)) =
                    (announced, size, content_type(response.headers()))
                {
                    return Ok(Descriptor {
                        media_type,
                        digest,
                        size,
                        platform: None,
                        annotations: std::collections::BTreeMap::new(),
                        artifact_type: None,
                    });
                }
            }
            // Some registries answer GET only.
            Err(error) if error.kind == ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
        let (digest, media_type, bytes) = self.manifest_bytes(repository, reference).await?;
        Ok(Descriptor {
            media_type: media_type.unwrap_or_default(),
            digest,
            size: bytes.len() as u64,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
            artifact_type: None,
        })
    }

    /// Fetches a manifest or index by tag or digest and verifies its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when the bytes have another digest than asked for (or announced, for a tag);
    /// those of [`parse_manifest`].
    pub async fn manifest(&self, repository: &str, reference: &str) -> Result<FetchedManifest> {
        let (digest, media_type, bytes) = self.manifest_bytes(repository, reference).await?;
        let parsed = parse_manifest(&bytes, media_type.as_deref()).map_err(|mut error| {
            error.context = format!("{}: {}", self.named(repository, reference), error.context);
            error
        })?;
        Ok(FetchedManifest { digest, media_type: parsed.media_type, bytes, content: parsed.content })
    }

    /// Fetches an image configuration whole and verifies its digest, which is returned with the bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when the bytes have another digest, [`ErrorKind::LimitExceeded`] above the cap.
    pub async fn config(&self, repository: &str, descriptor: &Descriptor) -> Result<(Digest, Vec<u8>)> {
        let what = format!("the configuration {} of {}/{repository}", descriptor.digest, self.host());
        self.small_blob(repository, descriptor, what, self.limits().config_bytes_max).await
    }

    /// Fetches a small blob whole, at most `bytes_max` bytes, and verifies its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] when the bytes have another digest, [`ErrorKind::LimitExceeded`] above the cap.
    pub async fn whole_blob(&self, repository: &str, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>> {
        let what = format!("blob {} of {}/{repository}", descriptor.digest, self.host());
        Ok(self.small_blob(repository, descriptor, what, bytes_max).await?.1)
    }

    async fn small_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        what: String,
        limit: u64,
    ) -> Result<(Digest, Vec<u8>)> {
        if descriptor.size > limit {
            let text = format!("{what} is {} bytes, more than the limit of {limit}", descriptor.size);
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let target = format!("/v2/{repository}/blobs/{}", descriptor.digest);
        let ask = Ask::get(&target, pull(repository)?, what);
        let bytes = retrying(self.limits(), || async {
            let response = self.request(&ask).await?;
            self.inner.http.body(response, limit, &ask.what).await
        })
        .await?;
        let found = sha256(&bytes);
        expect_digest(&ask.what, descriptor.digest, found)?;
        Ok((found, bytes))
    }

    /// Opens a blob. The answer's headers have arrived when this returns; a background task fetches the bytes,
    /// resumes after a cut, and verifies size and digest at the end. Dropping the reader ends the task.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the registry does not have it, [`ErrorKind::Unsupported`] when it is a foreign
    /// layer that is kept elsewhere (its addresses are not followed), [`ErrorKind::LimitExceeded`] above the cap,
    /// [`ErrorKind::Mismatch`] when another size is announced. What goes wrong later comes out of the reader.
    pub async fn blob(&self, repository: &str, descriptor: &Descriptor) -> Result<BlobReader> {
        blob::open(self.clone(), pull(repository)?, repository, descriptor).await
    }

    fn limits(&self) -> &Limits {
        self.inner.http.limits()
    }

    fn named(&self, repository: &str, reference: &str) -> String {
        let separator = if reference.contains(':') { '@' } else { ':' };
        format!("{}/{repository}{separator}{reference}", self.host())
    }

    async fn manifest_bytes(&self, repository: &str, reference: &str) -> Result<(Digest, Option<String>, Vec<u8>)> {
        let target = manifest_target(repository, reference)?;
        let mut ask = Ask::get(&target, pull(repository)?, self.named(repository, reference));
        ask.accept = Some(manifest::ACCEPT);
        let what = format!("the manifest of {}", ask.what);
        let (announced, media_type, bytes) = retrying(self.limits(), || async {
            let response = self.request(&ask).await?;
            let announced = announced_digest(response.headers())?;
            let media_type = content_type(response.headers());
            let bytes = self.inner.http.body(response, self.limits().manifest_bytes_max, &what).await?;
            Ok((announced, media_type, bytes))
        })
        .await?;
        let found = sha256(&bytes);
        if let Some(asked) = reference.parse::<Digest>().ok().or(announced) {
            expect_digest(&what, asked, found)?;
        }
        Ok((found, media_type, bytes))
    }

    /// A listing's page: the first, or the one at `cursor`.
    async fn listed<T: serde::de::DeserializeOwned>(
        &self,
        listing: Listing<'_>,
        cursor: Option<&Cursor>,
    ) -> Result<(T, Option<Cursor>)> {
        let Listing { path, access, what } = listing;
        if let Some(cursor) = cursor {
            return self.page(&Ask::get(&cursor.target, access, what), Some(cursor)).await;
        }
        let target = format!("{path}?n={}", self.limits().page_entries);
        let first = self.page(&Ask::get(&target, access.clone(), what.clone()), None).await;
        match first {
            // Some registries refuse a page size above theirs (PAGINATION_NUMBER_INVALID) instead of capping it.
            Err(error) if error.kind == ErrorKind::Malformed && self.limits().page_entries > PAGE_ENTRIES_SAFE => {
                let target = format!("{path}?n={PAGE_ENTRIES_SAFE}");
                self.page(&Ask::get(&target, access, what), None).await
            }
            other => other,
        }
    }

    /// One page and the cursor behind it.
    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
        cursor: Option<&Cursor>,
    ) -> Result<(T, Option<Cursor>)> {
        let (link, body) = retrying(self.limits(), || async {
            let response = self.request(ask).await?;
            let links: Vec<_> = response.headers().get_all(LINK).iter().filter_map(|v| v.to_str().ok()).collect();
            let link = links.join(", ");
            let body = self.inner.http.body(response, self.limits().page_bytes_max, &ask.what).await?;
            Ok((link, body))
        })
        .await?;
        let page = serde_json::from_slice(&body)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{} cannot be read", ask.what), e))?;
        let next = paging::next_page(&self.address(ask.target)?, Some(&link), cursor, self.limits().pages_max)?;
        Ok((page, next))
    }

    fn address(&self, target: &str) -> Result<Url> {
        let bad =
            || Error::new(ErrorKind::Malformed, format!("{:?} is no address on {}", cut(target, 200), self.host()));
        let url = self.inner.base.join(target).map_err(|_| bad())?;
        if url.origin() == self.inner.base.origin() { Ok(url) } else { Err(bad()) }
    }

    /// One request with at most one answer to a challenge. Every status but success is an error.
    async fn request(&self, ask: &Ask<'_>) -> Result<Response> {
        let mut request = Request::new(ask.method.clone(), self.address(ask.target)?, self.limits());
        if let Some(accept) = ask.accept {
            request.headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let wanted = match &ask.range {
            Some(range) => Some(format!("bytes={}-{}", range.start, range.end.saturating_sub(1))),
            None => (ask.skip_bytes > 0).then(|| format!("bytes={}-", ask.skip_bytes)),
        };
        if let Some(wanted) = wanted {
            request.headers.insert(RANGE, HeaderValue::try_from(wanted).expect("digits are a header value"));
        }
        if let Some(media) = ask.content_type {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        request.body.clone_from(&ask.body);
        request.timeout += Duration::from_secs(ask.seconds_more);
        request.authorization = self.inner.auth.header(&ask.access).await?;
        let mut response = self.inner.http.send(&request).await?;
        if self.is_challenge(&response) {
            let sent = request.authorization.take();
            let login = self.inner.auth.answer(response.headers(), &ask.access, sent.as_ref()).await?;
            request.authorization = Some(login);
            response = self.inner.http.send(&request).await?;
            if self.is_challenge(&response)
                && let Some(sent) = &request.authorization
            {
                return Err(self.inner.auth.refused(&ask.access, sent));
            }
        }
        self.note_rate_limit(response.headers());
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response, ask).await) }
    }

    /// A 401 of the registry itself; what a storage host says behind a redirect is no challenge to us.
    fn is_challenge(&self, response: &Response) -> bool {
        response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == self.inner.base.origin()
    }

    async fn refusal(&self, response: Response, ask: &Ask<'_>) -> Error {
        let status = response.status();
        let kind = status_kind(status, response.headers());
        let from = host_of(response.url());
        let said = self.inner.http.complaint(response).await.map(|text| self.inner.auth.redact(text));
        let said = said.map(|text| format!(" (it says: {text})")).unwrap_or_default();
        let what = &ask.what;
        let text = match status.as_u16() {
            404 => format!("{what} does not exist{said}"),
            401 | 403 => format!("{from} does not let us {} {what}{said}", ask.access.verb()),
            429 => format!("{from} limits the rate of requests; asked for {what}{said}"),
            _ => format!("{from} answered {status} when asked for {what}{said}"),
        };
        Error::new(kind, text)
    }

    fn catalogue_refusal(&self, error: Error) -> Error {
        let refused = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported);
        if !refused {
            return error;
        }
        let text = format!("{} does not list its repositories: name them explicitly", self.host());
        Error::because(ErrorKind::Unsupported, text, error)
    }

    fn note_rate_limit(&self, headers: &HeaderMap) {
        let value = headers.get("ratelimit-remaining").and_then(|v| v.to_str().ok());
        let count = value.and_then(|text| text.split(';').next()?.trim().parse::<i64>().ok());
        if let Some(count) = count {
            self.inner.pulls_left.store(count, Ordering::Relaxed);
        }
    }
}

fn pull(repository: &str) -> Result<Access> {
    if is_repository(repository) {
        return Ok(Access::Pull(repository.to_owned()));
    }
    Err(Error::new(ErrorKind::Malformed, format!("{:?} is not the name of a repository", cut(repository, 200))))
}

fn manifest_target(repository: &str, reference: &str) -> Result<String> {
    if is_tag(reference) || reference.parse::<Digest>().is_ok() {
        return Ok(format!("/v2/{repository}/manifests/{reference}"));
    }
    Err(Error::new(ErrorKind::Malformed, format!("{:?} is neither a tag nor a digest", cut(reference, 200))))
}

/// Keeps the names that may stand in a request; the others are only for people to see.
fn sift(names: Vec<String>, valid: fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
    let (good, bad): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| valid(name));
    (good, bad.iter().map(|name| cut(name, 200)).collect())
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(|text| cut(text, 200))
}

/// `Docker-Content-Digest`; one of another algorithm counts as absent.
fn announced_digest(headers: &HeaderMap) -> Result<Option<Digest>> {
    let Some(text) = headers.get("docker-content-digest").and_then(|v| v.to_str().ok()) else { return Ok(None) };
    match text.parse() {
        Ok(digest) => Ok(Some(digest)),
        Err(model::digest::DigestError::UnsupportedAlgorithm(_)) => Ok(None),
        Err(error) => Err(Error::because(ErrorKind::Malformed, "the registry announces no digest", error)),
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn expect_digest(what: &str, asked: Digest, found: Digest) -> Result<()> {
    if asked == found {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Mismatch, format!("{what} has other bytes: expected {asked}, got {found}")))
}
