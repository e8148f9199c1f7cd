//! The uncompressed stream on its way to the analysing side: whole chunks, hashed as they pass, recycled when consumed.
//!
//! Invariant: every chunk that arrives is hashed, whether anybody looks at it or not.

use model::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender};

/// Bytes of one chunk: fits a second-level cache beside the decompressor's window.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are kept for use again; so many are on their way when one side is as fast as the other.
pub(super) const CHUNKS: usize = 8;
/// Chunks by which unpacking may run ahead where files are searched, which takes longer than unpacking for some and not
/// for others: their memory is taken from the budget.
pub(super) const CHUNKS_AHEAD: usize = 32;

/// Hashes chunks as they pass. Answers the digest and the size of the whole stream.
pub(super) fn hash(unpacked: Receiver<Vec<u8>>, hashed: &SyncSender<Vec<u8>>) -> (Digest, u64) {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    for chunk in unpacked {
        hasher.update(&chunk);
        bytes += chunk.len() as u64;
        // The other side only goes away when it panics; then nobody looks at the result.
        if hashed.send(chunk).is_err() {
            break;
        }
    }
    (Digest::from_bytes(hasher.finalize().into()), bytes)
}

/// The receiving end.
pub(super) struct Chunks {
    hashed: Receiver<Vec<u8>>,
    empty: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    start: usize,
}

impl Chunks {
    pub(super) fn new(hashed: Receiver<Vec<u8>>, empty: SyncSender<Vec<u8>>) -> Self {
        Self { hashed, empty, chunk: Vec::new(), start: 0 }
    }

    /// Moves on to the next chunk; false at the end of the stream.
    fn advance(&mut self) -> bool {
        let Ok(next) = self.hashed.recv() else {
            self.start = self.chunk.len();
            return false;
        };
        let used = std::mem::replace(&mut self.chunk, next);
        self.start = 0;
        // What is too much is not kept. The other side is gone when it has sent everything.
        drop(self.empty.try_send(used));
        true
    }

    /// Takes what nobody asked for, so that all of the stream is hashed.
    pub(super) fn finish(mut self) {
        while self.advance() {}
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.chunk.len() && self.advance() {}
        Ok(&self.chunk[self.start..])
    }

    fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.chunk.len());
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buffer.len());
        buffer[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}
