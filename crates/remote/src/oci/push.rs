//! Writing to a registry: blobs and manifests of an artifact, each whole.
//!
//! Source: OCI distribution specification 1.1, "Pushing Blobs" (a POST, then a PUT) and "Pushing Manifests".
//!
//! Invariant: an upload goes on only at the registry itself; an address elsewhere is refused, so that neither the bytes nor
//! the login go to a third party.

use super::{Ask, RegistryClient, sha256};
use crate::auth::Access;
use crate::http::cut;
use crate::retry::retrying;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use model::Digest;
use model::reference::{is_repository, is_tag};
use reqwest::Method;
use reqwest::header::LOCATION;

/// Slowest upload that is waited for, in bytes per second.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

impl RegistryClient {
    /// Uploads a blob unless the registry has it. Returns whether it was sent.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the login may not write; [`ErrorKind::Unsupported`] when the registry does not take
    /// uploads, or sends them elsewhere.
    pub async fn push_blob(&self, repository: &str, bytes: Bytes) -> Result<bool> {
        let (digest, access) = (sha256(&bytes), push(repository)?);
        let what = format!("blob {digest} of {}/{repository}", self.host());
        let target = format!("/v2/{repository}/blobs/{digest}");
        let mut ask = Ask::get(&target, access.clone(), what.clone());
        ask.method = Method::HEAD;
        match retrying(self.limits(), || self.request(&ask)).await {
            Ok(_) => return Ok(false),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        retrying(self.limits(), || self.upload(repository, &access, &what, (digest, bytes.clone()))).await?;
        Ok(true)
    }

    /// Starts an upload and sends everything at once.
    async fn upload(&self, repository: &str, access: &Access, what: &str, blob: (Digest, Bytes)) -> Result<()> {
        let target = format!("/v2/{repository}/blobs/uploads/");
        let mut start = Ask::get(&target, access.clone(), what.to_owned());
        start.method = Method::POST;
        start.body = Some(Bytes::new());
        let response = self.request(&start).await?;
        let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (digest, bytes) = blob;
        let target = self.upload_target(&location, digest)?;
        let mut finish = Ask::get(&target, access.clone(), what.to_owned());
        finish.method = Method::PUT;
        finish.content_type = Some("application/octet-stream");
        finish.seconds_more = bytes.len() as u64 / SLOWEST_UPLOAD;
        finish.body = Some(bytes);
        self.request(&finish).await.map(drop)
    }

    /// Path and query to finish an upload at.
    fn upload_target(&self, location: &str, digest: Digest) -> Result<String> {
        let elsewhere = || {
            let text = format!("{} sends uploads elsewhere, to {:?}: not followed", self.host(), cut(location, 200));
            Error::new(ErrorKind::Unsupported, text)
        };
        let mut url = self.inner.base.join(location).map_err(|_| elsewhere())?;
        if location.is_empty() || url.origin() != self.inner.base.origin() {
            return Err(elsewhere());
        }
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
    }

    /// Uploads a manifest under a tag or its digest; its blobs have to be there. Returns its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the login may not write; [`ErrorKind::Mismatch`] when `reference` is another digest.
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media: &'static str,
        bytes: Bytes,
    ) -> Result<Digest> {
        let digest = sha256(&bytes);
        match reference.parse::<Digest>() {
            Ok(asked) if asked != digest => {
                let text = format!("the manifest has the digest {digest} and cannot be put under {asked}");
                return Err(Error::new(ErrorKind::Mismatch, text));
            }
            Ok(_) => {}
            Err(_) if is_tag(reference) => {}
            Err(_) => {
                let text = format!("{:?} is neither a tag nor a digest", cut(reference, 200));
                return Err(Error::new(ErrorKind::Malformed, text));
            }
        }
        let target = format!("/v2/{repository}/manifests/{reference}");
        let mut ask = Ask::get(&target, push(repository)?, self.named(repository, reference));
        ask.method = Method::PUT;
        ask.content_type = Some(media);
        ask.body = Some(bytes);
        retrying(self.limits(), || self.request(&ask)).await?;
        Ok(digest)
    }
}

fn push(repository: &str) -> Result<Access> {
    if is_repository(repository) {
        return Ok(Access::Push(repository.to_owned()));
    }
    Err(Error::new(ErrorKind::Malformed, format!("{:?} is not the name of a repository", cut(repository, 200))))
}
