//! The uncompressed stream on the analysing side: whole chunks, hashed as they arrive, recycled when consumed.
//!
//! Invariant: every chunk that arrives is hashed, whether anybody looks at it or not.

use model::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender};

/// Bytes of one chunk: fits a second-level cache beside the decompressor's window.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks in flight: enough for one side to run ahead while the other looks into a file.
pub(super) const CHUNKS: usize = 8;

/// The receiving end.
pub(super) struct Chunks {
    full: Receiver<Vec<u8>>,
    empty: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    start: usize,
    bytes: u64,
    hasher: Sha256,
}

impl Chunks {
    pub(super) fn new(full: Receiver<Vec<u8>>, empty: SyncSender<Vec<u8>>) -> Self {
        Self { full, empty, chunk: Vec::new(), start: 0, bytes: 0, hasher: Sha256::new() }
    }

    /// Moves on to the next chunk; false at the end of the stream.
    fn advance(&mut self) -> bool {
        let Ok(next) = self.full.recv() else {
            self.start = self.chunk.len();
            return false;
        };
        self.hasher.update(&next);
        self.bytes += next.len() as u64;
        let used = std::mem::replace(&mut self.chunk, next);
        self.start = 0;
        // The other side is gone when it has sent everything: then nothing is recycled any more.
        drop(self.empty.try_send(used));
        true
    }

    /// Hashes what nobody asked for. The digest and the size of the whole stream.
    pub(super) fn finish(mut self) -> (Digest, u64) {
        while self.advance() {}
        (Digest::from_bytes(self.hasher.finalize().into()), self.bytes)
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
