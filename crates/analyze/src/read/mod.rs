//! One streaming pass over a layer: decompression, the layer's digest, the programs' digests and analysis, each on a
//! thread of its own.
//!
//! Not here: what is done with the facts of several layers ([`crate::squash`]). Invariants: the input is always read to
//! its end, so that its reader can verify it; every uncompressed byte is hashed exactly once for the layer's digest;
//! nothing is written anywhere but into unlinked temporary files; facts do not depend on how the input was cut into reads.

mod at_once;
mod checksums;
mod chunks;
mod digests;
mod finish;
mod gaps;
mod inspect;
mod lanes;
mod nested;
mod pass;
mod windows;

pub(crate) use finish::is_mode_of_interest;

use crate::decompress::{self, Caps, Decompressor, Packing, Stop};
use crate::detectors::Detectors;
use crate::memory::{Held, MemoryBudget};
use crate::{Error, ErrorKind};
use chunks::{CHUNK_BYTES, CHUNKS, CHUNKS_AHEAD, Chunks};
use digests::{BATCHES, Digests};
use model::inventory::DetectorFacts;
use model::layer::LayerMedia;
use model::ports::{Inspector, Spool};
use model::{Detector, Digest, GapReason};
use pass::Pass;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

/// The scope of a gap that concerns a whole layer, until the squash knows which layer it is.
pub(crate) const LAYER_SCOPE: &str = "layer";

/// What to read a layer for, and with what.
#[derive(Clone, Copy)]
pub struct LayerRequest<'a> {
    /// How the media type says the layer is packed. A hint: its first bytes decide.
    pub media: LayerMedia,
    /// The compiled detectors.
    pub detectors: &'a Detectors,
    /// Which of them to run; the files detector always runs.
    pub only: &'a BTreeSet<Detector>,
    /// The memory of all readers: content that does not fit goes to temporary files.
    pub memory: &'a MemoryBudget,
    /// Temporary files.
    pub spool: &'a dyn Spool,
    /// An engine outside the process that looks at files.
    pub inspector: Option<&'a dyn Inspector>,
    /// The archive is a [`crate::lazy::Tape`]: a sparse member is a file that was not fetched. What was not is told as
    /// one gap, and not here for each.
    pub in_part: bool,
}

impl std::fmt::Debug for LayerRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerRequest").field("media", &self.media).field("only", &self.only).finish_non_exhaustive()
    }
}

/// What a pass over one layer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReading {
    /// Digest of the uncompressed bytes. Of what came out, when the stream stops early: then a gap says so.
    pub diff_id: Digest,
    /// How many uncompressed bytes there are.
    pub bytes_uncompressed: u64,
    /// Facts per detector; the files detector's are always there.
    pub facts: BTreeMap<Detector, DetectorFacts>,
    /// Why the engine outside the process did not see all that it should have, if so: another try may help.
    pub uninspected: Option<String>,
}

/// Reads one layer. Broken or hostile bytes end in gaps, not in errors; the files detector's facts hold the gaps
/// that concern the whole layer.
///
/// # Errors
/// When `input` fails: then the source of the error is its [`io::Error`], unchanged. `Internal` when a temporary file
/// fails, so that facts are not stored which another try would complete.
pub fn read_layer<R: Read + Send>(input: R, request: &LayerRequest<'_>) -> Result<LayerReading, Error> {
    let caps = Caps::layer(request.detectors.limits());
    let mut held = Held::none(request.memory);
    let is_searched = request.only.contains(&Detector::Secrets) || request.only.contains(&Detector::Malware);
    let runs_ahead = is_searched && held.grow_to((CHUNKS_AHEAD * CHUNK_BYTES) as u64);
    let (full_tx, full_rx) = sync_channel(CHUNKS / 2);
    let (hashed_tx, hashed_rx) = sync_channel(if runs_ahead { CHUNKS_AHEAD } else { CHUNKS / 2 });
    let (empty_tx, empty_rx) = sync_channel(if runs_ahead { CHUNKS_AHEAD } else { CHUNKS });
    std::thread::scope(|scope| {
        let refuse = |e| Error::because(ErrorKind::Internal, "no thread to read a layer with", e);
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let unpacking = named("unpack").spawn_scoped(scope, move || unpack(input, caps, &full_tx, &empty_rx));
        let unpacking = unpacking.map_err(refuse)?;
        let hashing = named("hash").spawn_scoped(scope, move || chunks::hash(full_rx, &hashed_tx)).map_err(refuse)?;
        let (batch_tx, batch_rx) = sync_channel(BATCHES);
        let (computed_tx, computed_rx) = sync_channel(BATCHES);
        let digesting = named("digest").spawn_scoped(scope, move || digests::compute(batch_rx, &computed_tx));
        let digesting = digesting.map_err(refuse)?;
        let mut pass = Pass::new(request, Digests::new(request.memory, batch_tx, computed_rx));
        let mut chunks = Chunks::new(hashed_rx, empty_tx);
        let walked = pass.walk(&mut chunks);
        chunks.finish();
        let mut digested = pass.digests.finish();
        digested.extend(joined(digesting));
        let (diff_id, bytes_uncompressed) = joined(hashing);
        let unpacked = joined(unpacking);
        let unpacked = unpacked.map_err(|e| Error::because(ErrorKind::Input, "the layer cannot be read", e))?;
        if let Some(error) = pass.spool_failed.take() {
            return Err(Error::because(ErrorKind::Internal, "a temporary file cannot be used", error));
        }
        pass.note_end(&walked, &unpacked, request.media);
        let uninspected = pass.note_uninspected();
        Ok(LayerReading { diff_id, bytes_uncompressed, facts: pass.finish(digested), uninspected })
    })
}

/// What a thread answers; if it panicked, so does this one.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How unpacking ended.
#[derive(Debug)]
struct Unpacked {
    packing: Packing,
    /// Why it stopped before the end, when it did.
    stopped: Option<(GapReason, String)>,
}

/// Unpacks `input` into recycled chunks, and reads it to its end in any case.
fn unpack<R: Read>(
    input: R,
    caps: Caps,
    full: &SyncSender<Vec<u8>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Unpacked, io::Error> {
    let mut stream = match Decompressor::new(input, caps) {
        Ok(stream) => stream,
        Err((stop, mut input)) => {
            let stopped = as_gap(stop)?;
            decompress::drain(&mut input, &mut vec![0; CHUNK_BYTES])?;
            return Ok(Unpacked { packing: Packing::Plain, stopped: Some(stopped) });
        }
    };
    let packing = stream.packing();
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let mut filled = 0;
        let result = stream.fill(&mut chunk, &mut filled);
        chunk.truncate(filled);
        let at_end = filled < CHUNK_BYTES;
        // The other side only goes away when it panics; then nobody looks at the result.
        if filled > 0 && full.send(chunk).is_err() {
            return Ok(Unpacked { packing, stopped: None });
        }
        match result {
            Ok(()) if at_end => return Ok(Unpacked { packing, stopped: None }),
            Ok(()) => {}
            Err(stop) => {
                let stopped = as_gap(stop)?;
                stream.drain()?;
                return Ok(Unpacked { packing, stopped: Some(stopped) });
            }
        }
    }
}

fn as_gap(stop: Stop) -> io::Result<(GapReason, String)> {
    match stop {
        Stop::Input(error) => Err(error),
        Stop::Malformed(text) => Ok((GapReason::Malformed, text)),
        Stop::Limit(text) => Ok((GapReason::ExpandsTooFar, text)),
        Stop::Unsupported(text) => Ok((GapReason::Unsupported, text)),
    }
}
