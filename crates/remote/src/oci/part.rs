//! Parts of blobs, by range requests, and what refers to an image.
//!
//! Sources: OCI distribution specification 1.1, "Pulling blobs" (`Range`) and "Listing Referrers"; RFC 9110, sections
//! 14.2 and 15.3.7. Not here: whether the bytes are the right ones, which only who asked for them can tell. Invariant:
//! what comes back is exactly the range that was asked for, in its length and by the answer's own word.

use super::{Ask, ManifestContent, RegistryClient, pull};
use crate::auth::Access;
use crate::retry::retrying;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use model::Digest;
use model::layer::{Descriptor, ImageIndex};
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The longest range of one request, in bytes; longer ones are asked for in pieces.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// Requests of one reader under way at once.
const REQUESTS_AT_ONCE: usize = 4;

/// The largest list of referrers, in entries.
const REFERRERS_MAX: usize = 1000;

/// Ranges of a blob, one after the other. For blocking threads: reading from async code panics.
pub struct RangesReader {
    pieces: mpsc::Receiver<Result<Bytes>>,
    current: Bytes,
    failed: Option<(io::ErrorKind, String)>,
    task: AbortHandle,
}

impl Read for RangesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, text)) = &self.failed {
            return Err(io::Error::new(*kind, text.clone()));
        }
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(bytes)) => self.current = bytes,
                Some(Err(error)) => {
                    let text = error.to_string();
                    let error = error.into_io();
                    self.failed = Some((error.kind(), text));
                    return Err(error);
                }
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

impl Drop for RangesReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for RangesReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangesReader").finish_non_exhaustive()
    }
}

/// A blob that is asked for in parts.
#[derive(Clone)]
struct Parts {
    client: RegistryClient,
    access: Access,
    target: String,
    what: String,
    size: u64,
}

impl Parts {
    /// One request, tried again where that may help.
    async fn get(&self, range: &Range<u64>) -> Result<Bytes> {
        let bytes = range.end.saturating_sub(range.start);
        if bytes == 0 || range.end > self.size {
            let text = format!("{} has no bytes {} to {}", self.what, range.start, range.end);
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        let mut ask = Ask::get(&self.target, self.access.clone(), self.what.clone());
        ask.range = Some(range.clone());
        retrying(self.client.limits(), || async {
            let response = self.client.request(&ask).await?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                let text =
                    format!("{} answers with the whole of {} when asked for a part", self.client.host(), self.what);
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            let sent = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            if !sent.is_some_and(|text| is_range(text, range, self.size)) {
                let text = format!("{}: the registry sent another range than asked for", self.what);
                return Err(Error::new(ErrorKind::Malformed, text));
            }
            let body = self.client.inner.http.body(response, bytes, &self.what).await?;
            if body.len() as u64 == bytes {
                return Ok(body.into());
            }
            let text = format!("{}: the answer ended after {} of {bytes} bytes", self.what, body.len());
            Err(Error::new(ErrorKind::Transient { retry_after: None }, text))
        })
        .await
    }
}

/// Is it `bytes START-END/SIZE` of just this range (RFC 9110, section 14.4)?
fn is_range(text: &str, range: &Range<u64>, size: u64) -> bool {
    let Some((sent, of)) = text.strip_prefix("bytes ").and_then(|text| text.split_once('/')) else { return false };
    let sent = sent.split_once('-').and_then(|(start, last)| Some((start.parse().ok()?, last.parse::<u64>().ok()?)));
    sent == Some((range.start, range.end - 1)) && (of == "*" || of.parse() == Ok(size))
}

impl RegistryClient {
    /// A part of a blob, at most 64 MiB of it. Its bytes are not verified.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the registry answers with the whole blob, [`ErrorKind::LimitExceeded`] above the
    /// cap.
    pub async fn blob_range(&self, repository: &str, blob: &Descriptor, range: Range<u64>) -> Result<Vec<u8>> {
        const BYTES_MAX: u64 = 64 << 20;
        let parts = self.parts(repository, blob)?;
        if range.end.saturating_sub(range.start) > BYTES_MAX {
            let text = format!("a part of {} is larger than the limit of {BYTES_MAX} bytes", parts.what);
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let mut out = Vec::new();
        let mut answers = stream::iter(pieces(vec![range]))
            .map(|piece| {
                let parts = parts.clone();
                async move { parts.get(&piece).await }
            })
            .buffered(REQUESTS_AT_ONCE);
        while let Some(answer) = answers.next().await {
            out.extend_from_slice(&answer?);
        }
        Ok(out)
    }

    /// Opens ranges of a blob, to be read one after the other. Their bytes are not verified. What goes wrong comes out
    /// of the reader; dropping it ends the requests.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a repository that is none.
    pub fn blob_ranges(&self, repository: &str, blob: &Descriptor, ranges: Vec<Range<u64>>) -> Result<RangesReader> {
        let parts = self.parts(repository, blob)?;
        let (sender, receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut answers = stream::iter(pieces(ranges))
                .map(|piece| {
                    let parts = parts.clone();
                    async move { parts.get(&piece).await }
                })
                .buffered(REQUESTS_AT_ONCE);
            while let Some(answer) = answers.next().await {
                let is_over = answer.is_err();
                // A reader that is gone needs no more.
                if sender.send(answer).await.is_err() || is_over {
                    return;
                }
            }
        });
        Ok(RangesReader { pieces: receiver, current: Bytes::new(), failed: None, task: task.abort_handle() })
    }

    fn parts(&self, repository: &str, blob: &Descriptor) -> Result<Parts> {
        Ok(Parts {
            client: self.clone(),
            access: pull(repository)?,
            target: format!("/v2/{repository}/blobs/{}", blob.digest),
            what: format!("blob {} of {}/{repository}", blob.digest, self.host()),
            size: blob.size,
        })
    }

    /// Manifests of one artifact type that are about an image, as the registry lists them, or as a tag does where the
    /// registry has no such list. Whoever may write to the repository can add to it.
    ///
    /// # Errors
    /// When the list cannot be read; that there is none is no error.
    pub async fn referrers(&self, repository: &str, subject: &Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        let access = pull(repository)?;
        let target = format!("/v2/{repository}/referrers/{subject}");
        let what = format!("what refers to {}/{repository}@{subject}", self.host());
        let ask = Ask::get(&target, access, what);
        let listed = retrying(self.limits(), || async {
            let response = self.request(&ask).await?;
            self.inner.http.body(response, self.limits().manifest_bytes_max, &ask.what).await
        })
        .await;
        let index = match listed {
            Ok(bytes) => serde_json::from_slice::<ImageIndex>(&bytes)
                .map_err(|e| Error::because(ErrorKind::Malformed, format!("{} cannot be read", ask.what), e))?,
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) => {
                match self.manifest(repository, &format!("sha256-{}", subject.hex())).await {
                    Ok(fetched) => match fetched.content {
                        ManifestContent::Index(index) => index,
                        ManifestContent::Image(_) | ManifestContent::Artifact { .. } => return Ok(Vec::new()),
                    },
                    Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let is_asked_for = |member: &Descriptor| member.artifact_type.as_deref() == Some(artifact_type);
        Ok(index.manifests.into_iter().filter(is_asked_for).take(REFERRERS_MAX).collect())
    }
}

/// The ranges in pieces that one request can ask for.
fn pieces(ranges: Vec<Range<u64>>) -> impl Iterator<Item = Range<u64>> + Send {
    ranges.into_iter().flat_map(|range| {
        let starts = (range.start..range.end).step_by(usize::try_from(REQUEST_BYTES_MAX).unwrap_or(usize::MAX));
        starts.map(move |start| start..range.end.min(start + REQUEST_BYTES_MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_is_taken() {
        let check = |text: &str, expect: bool| assert_eq!(is_range(text, &(10..20), 100), expect, "{text}");
        check("bytes 10-19/100", true);
        check("bytes 10-19/*", true);
        check("bytes 10-19/101", false);
        check("bytes 10-18/100", false);
        check("bytes 0-99/100", false);
        check("bytes */100", false);
        check("10-19/100", false);
    }

    #[test]
    fn long_ranges_are_asked_for_in_pieces() {
        let mib = REQUEST_BYTES_MAX;
        let cut: Vec<Range<u64>> = pieces(vec![5..7, mib..3 * mib + 1]).collect();
        assert_eq!(cut, [5..7, mib..2 * mib, 2 * mib..3 * mib, 3 * mib..3 * mib + 1]);
    }
}
