//! Blobs as verified streams.
//!
//! A background task fetches, hashes, and resumes after a cut; a bounded channel hands the bytes to a blocking
//! reader on another thread, so that the network, the hash and the reader's work overlap.
//!
//! Invariant: [`BlobReader`] returns end of file only after size and SHA-256 of everything it handed out were
//! found to be the descriptor's. Every other end is an error.

use super::{Ask, RegistryClient};
use crate::auth::Access;
use crate::http::transport_error;
use crate::retry::Backoff;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use model::Digest;
use model::layer::Descriptor;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Largest piece handed over at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces in flight: together at most 1 MiB.
const PIECES: usize = 16;

/// A blob being read. For blocking threads: reading from async code panics.
pub struct BlobReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    end: End,
    digest: Digest,
    task: AbortHandle,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    Verified,
    Failed(Error),
}

enum End {
    NotYet,
    Verified,
    Failed(io::ErrorKind, String),
}

impl BlobReader {
    /// The digest that the bytes will have had when the end is reached.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn next_piece(&mut self) -> io::Result<()> {
        match self.pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => self.current = bytes,
            Some(Piece::Verified) => self.end = End::Verified,
            Some(Piece::Failed(error)) => {
                let text = error.to_string();
                let error = error.into_io();
                self.end = End::Failed(error.kind(), text);
                return Err(error);
            }
            None => {
                let text = format!("reading blob {} was given up", self.digest);
                let error = Error::new(ErrorKind::Transient { retry_after: None }, &text).into_io();
                self.end = End::Failed(error.kind(), text);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.current.is_empty() {
            match &self.end {
                End::NotYet => self.next_piece()?,
                End::Verified => return Ok(0),
                End::Failed(kind, text) => return Err(io::Error::new(*kind, text.clone())),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Opens a blob: waits for the answer's headers, then leaves the rest to a task.
pub(super) async fn open(
    client: RegistryClient,
    access: Access,
    repository: &str,
    descriptor: &Descriptor,
) -> Result<BlobReader> {
    let fetch = Fetch {
        what: format!("blob {} of {}/{repository}", descriptor.digest, client.host()),
        target: format!("/v2/{repository}/blobs/{}", descriptor.digest),
        client,
        access,
        digest: descriptor.digest,
        size: descriptor.size,
    };
    let limit = fetch.client.limits().blob_bytes_max;
    if descriptor.size > limit {
        let text = format!("{} is {} bytes, more than the limit of {limit}", fetch.what, descriptor.size);
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let first = fetch.first().await.map_err(|error| foreign(error, descriptor))?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let digest = descriptor.digest;
    let task = tokio::spawn(async move {
        let last = match fetch.run(first, &sender).await {
            Ok(()) => Piece::Verified,
            Err(error) => Piece::Failed(error),
        };
        // A reader that is gone needs no verdict.
        let _ = sender.send(last).await;
    });
    Ok(BlobReader { pieces, current: Bytes::new(), end: End::NotYet, digest, task: task.abort_handle() })
}

/// Foreign layers are kept elsewhere, at addresses that the publisher wrote: those are not followed.
fn foreign(error: Error, descriptor: &Descriptor) -> Error {
    let media = &descriptor.media_type;
    if error.kind == ErrorKind::NotFound && (media.contains("nondistributable") || media.contains(".foreign.")) {
        let text = format!("layer {} is a foreign layer, kept outside of the registry", descriptor.digest);
        return Error::because(ErrorKind::Unsupported, text, error);
    }
    error
}

struct Fetch {
    client: RegistryClient,
    access: Access,
    target: String,
    what: String,
    digest: Digest,
    size: u64,
}

/// What was received and handed over so far.
struct Progress {
    hasher: Sha256,
    received: u64,
}

impl Fetch {
    async fn first(&self) -> Result<Response> {
        let mut backoff = Backoff::new(self.client.limits());
        loop {
            let error = match self.ask(0).await {
                Ok((response, _)) => return self.expect_size(response),
                Err(error) => error,
            };
            let Some(pause) = backoff.pause(&error) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    fn expect_size(&self, response: Response) -> Result<Response> {
        match response.content_length() {
            Some(length) if length != self.size => {
                let text = format!("{} is {length} bytes, but its manifest says {}", self.what, self.size);
                Err(Error::new(ErrorKind::Mismatch, text))
            }
            Some(_) | None => Ok(response),
        }
    }

    /// Asks for the blob from `offset` on; returns how many leading bytes of the answer were received before.
    async fn ask(&self, offset: u64) -> Result<(Response, u64)> {
        let mut ask = Ask::get(&self.target, self.access.clone(), self.what.clone());
        ask.skip_bytes = offset;
        let response = self.client.request(&ask).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // The range was ignored: the answer starts at the beginning.
            return Ok((response, offset));
        }
        let start = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok()).and_then(range_start);
        if offset == 0 || start != Some(offset) {
            let text = format!("{}: the registry sent another range than asked for", self.what);
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        Ok((response, 0))
    }

    async fn run(&self, first: Response, sender: &mpsc::Sender<Piece>) -> Result<()> {
        let mut progress = Progress { hasher: Sha256::new(), received: 0 };
        let limits = self.client.limits();
        let mut backoff = Backoff::new(limits);
        let mut answer = Some((first, 0));
        let mut resumes = 0;
        loop {
            let before = progress.received;
            let failed = match answer.take() {
                Some((response, skip)) => self.stream(response, skip, &mut progress, sender).await,
                None => match self.ask(progress.received).await {
                    Ok((response, skip)) => self.stream(response, skip, &mut progress, sender).await,
                    Err(error) => Err(error),
                },
            };
            let error = match failed {
                Ok(()) => return self.verify(progress),
                Err(error) => error,
            };
            if progress.received > before {
                backoff.reset();
            }
            resumes += 1;
            let pause = backoff.pause_patiently(&error).filter(|_| resumes <= limits.resumes_max);
            let Some(pause) = pause else { return Err(self.gave_up(error, progress.received)) };
            tracing::debug!(%error, received = progress.received, "resuming {}", self.what);
            tokio::time::sleep(pause).await;
        }
    }

    /// Hands one answer's body over. `Ok` only when the blob is complete by its size.
    async fn stream(
        &self,
        mut response: Response,
        mut skip: u64,
        progress: &mut Progress,
        sender: &mpsc::Sender<Piece>,
    ) -> Result<()> {
        let url = response.url().clone();
        let transient = |text: String| Error::new(ErrorKind::Transient { retry_after: None }, text);
        loop {
            let stall = self.client.limits().stall_timeout;
            let chunk = match tokio::time::timeout(stall, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|e| transport_error(e, &url))?,
                Err(_) => return Err(transient(format!("nothing came for {} s", stall.as_secs_f32()))),
            };
            let Some(mut chunk) = chunk else { break };
            let skipped = skip.min(chunk.len() as u64);
            let _ = chunk.split_to(usize::try_from(skipped).unwrap_or(chunk.len()));
            skip -= skipped;
            self.hand_over(chunk, progress, sender).await?;
        }
        if progress.received == self.size {
            return Ok(());
        }
        Err(transient(format!("the answer ended after {} of {} bytes", progress.received, self.size)))
    }

    async fn hand_over(&self, mut chunk: Bytes, progress: &mut Progress, sender: &mpsc::Sender<Piece>) -> Result<()> {
        if progress.received + chunk.len() as u64 > self.size {
            let text = format!("{} is longer than the {} bytes that its manifest says", self.what, self.size);
            return Err(Error::new(ErrorKind::Mismatch, text));
        }
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE_BYTES));
            progress.hasher.update(&piece);
            progress.received += piece.len() as u64;
            if sender.send(Piece::Bytes(piece)).await.is_err() {
                return Err(Error::new(ErrorKind::Internal, format!("nobody reads {} any more", self.what)));
            }
        }
        Ok(())
    }

    fn verify(&self, progress: Progress) -> Result<()> {
        let found = Digest::from_bytes(progress.hasher.finalize().into());
        super::expect_digest(&self.what, self.digest, found)
    }

    fn gave_up(&self, error: Error, received: u64) -> Error {
        if !error.is_transient() {
            return error;
        }
        let text = format!("{} broke off after {received} of {} bytes", self.what, self.size);
        Error::because(error.kind, text, error)
    }
}

/// The first byte's position in `bytes START-END/SIZE` (RFC 9110, section 14.4).
fn range_start(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::range_start;

    #[test]
    fn content_range_start_is_read() {
        assert_eq!(range_start("bytes 10-19/20"), Some(10));
        assert_eq!(range_start("bytes 0-1/*"), Some(0));
        assert_eq!(range_start("bytes */20"), None);
        assert_eq!(range_start("lines 1-2/3"), None);
    }
}
