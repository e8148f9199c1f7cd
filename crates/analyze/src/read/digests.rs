//! Digests of programs, computed while the files that follow are searched.
//!
//! Not here: which files get one ([`super::checksums`]). Small programs are copied into a batch, which a thread of its
//! own computes; whoever finds that thread busy computes the batch instead of waiting for it. Pieces of large ones go the
//! same way. Invariant: every program gets one set of digests, and which thread computed
//! them shows nowhere.

use super::at_once::AtOnce;
use super::checksums::{Hashers, Wanted, digest_of};
use super::lanes::md5_of_all;
use crate::memory::{Held, MemoryBudget};
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::inventory::{FileChecksums, FileDigest};
use model::{Digest, LayerPath};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender};

/// Bytes of programs that are computed together.
const BATCH_BYTES: usize = 8 << 20;

/// Larger programs are computed alone: side by side with the others they would take longer.
pub(super) const COPIED_BYTES_MAX: usize = BATCH_BYTES / 2;

/// One is filled while the other is computed.
pub(super) const BATCHES: usize = 2;

/// What is known of one program.
#[derive(Debug)]
pub(super) struct Digested {
    /// The number of its entry in the archive.
    pub(super) number: u32,
    path: LayerPath,
    sha256: Digest,
    checksums: Vec<Checksum>,
}

impl Digested {
    /// The facts of the malware detector, the second if the program got other checksums as well.
    pub(super) fn into_facts(self) -> (FileDigest, Option<FileChecksums>) {
        let Self { path, sha256, checksums, .. } = self;
        let others = (!checksums.is_empty()).then(|| FileChecksums { path: path.clone(), checksums });
        (FileDigest { path, sha256 }, others)
    }
}

/// Digests of one program, as its content comes.
#[derive(Debug)]
pub(super) enum Summing {
    /// SHA-256 and MD5 alone: what Debian's programs get.
    AtOnce(Box<AtOnce>),
    /// Any others.
    Each(Box<(Sha256, Hashers)>),
}

impl Summing {
    fn new(wanted: Wanted) -> Self {
        match wanted {
            Wanted { md5: true, sha1: false } => Self::AtOnce(Box::new(AtOnce::new())),
            wanted => Self::Each(Box::new((Sha256::new(), wanted.hashers()))),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::AtOnce(both) => both.update(piece),
            Self::Each(each) => {
                each.0.update(piece);
                each.1.update(piece);
            }
        }
    }

    fn finish(self, number: u32, path: LayerPath) -> Digested {
        let (sha256, checksums) = match self {
            Self::AtOnce(both) => {
                let (sha256, md5) = both.finish();
                (sha256, Checksum::new(ChecksumAlgorithm::Md5, &md5).into_iter().collect())
            }
            Self::Each(each) => (Digest::from_bytes(each.0.finalize().into()), each.1.finish()),
        };
        Digested { number, path, sha256, checksums }
    }
}

/// A program whose content comes in pieces. One at a time.
#[derive(Debug)]
pub(super) enum Large {
    /// There is no memory for copies.
    Here(Summing),
    /// Its pieces go into batches.
    There,
}

/// A program in a batch.
#[derive(Debug)]
struct Program {
    number: u32,
    path: LayerPath,
    wanted: Wanted,
    place: Range<usize>,
}

/// What a large program adds to batches, in this order.
#[derive(Debug)]
enum Step {
    Begin(Wanted),
    Piece(Range<usize>),
    /// Number and path, unless its content was cut short.
    End(Option<(u32, LayerPath)>),
}

/// Copies of programs.
#[derive(Debug, Default)]
pub(super) struct Batch {
    content: Vec<u8>,
    programs: Vec<Program>,
    steps: Vec<Step>,
}

impl Batch {
    /// Copies some bytes. Answers where they lie.
    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        // At once, because growing it step by step copies what it holds each time.
        self.content.reserve_exact(BATCH_BYTES - self.content.len());
        let start = self.content.len();
        self.content.extend_from_slice(bytes);
        start..self.content.len()
    }

    /// Computes all of it, and leaves it empty. `open` is the large program whose pieces come.
    fn digest(&mut self, open: &mut Option<Summing>, out: &mut Vec<Digested>) {
        let Self { content, programs, steps } = self;
        let needs_md5 = |program: &&Program| program.wanted.md5;
        let contents: Vec<&[u8]> =
            programs.iter().filter(needs_md5).map(|program| &content[program.place.clone()]).collect();
        let mut md5 = md5_of_all(&contents).into_iter();
        for Program { number, path, wanted, place } in programs.drain(..) {
            let content = &content[place];
            let md5 = if wanted.md5 { md5.next() } else { None };
            let md5 = md5.and_then(|md5| Checksum::new(ChecksumAlgorithm::Md5, &md5));
            let others = Wanted { md5: false, ..wanted }.of(content);
            let checksums = md5.into_iter().chain(others).collect();
            out.push(Digested { number, path, sha256: digest_of(content), checksums });
        }
        for step in steps.drain(..) {
            match step {
                Step::Begin(wanted) => *open = Some(Summing::new(wanted)),
                Step::Piece(place) => open.iter_mut().for_each(|open| open.update(&content[place.clone()])),
                Step::End(None) => *open = None,
                Step::End(Some((number, path))) => out.extend(open.take().map(|open| open.finish(number, path))),
            }
        }
        content.clear();
    }
}

/// Computes batches as they come and sends them back empty. Answers what it computed.
pub(super) fn compute(full: Receiver<Batch>, empty: &SyncSender<Batch>) -> Vec<Digested> {
    let (mut open, mut done) = (None, Vec::new());
    for mut batch in full {
        batch.digest(&mut open, &mut done);
        // The other side is gone when it has sent everything.
        drop(empty.send(batch));
    }
    done
}

/// The side that collects programs.
pub(super) struct Digests<'m> {
    memory: &'m MemoryBudget,
    batch: Batch,
    /// Until the last batch is given away.
    full: Option<SyncSender<Batch>>,
    empty: Receiver<Batch>,
    /// The memory of the batches, once there is one.
    held: Vec<Held<'m>>,
    is_second_made: bool,
    done: Vec<Digested>,
}

impl<'m> Digests<'m> {
    pub(super) fn new(memory: &'m MemoryBudget, full: SyncSender<Batch>, empty: Receiver<Batch>) -> Self {
        Self {
            memory,
            batch: Batch::default(),
            full: Some(full),
            empty,
            held: Vec::new(),
            is_second_made: false,
            done: Vec::new(),
        }
    }

    /// Copies a program, so that its digests are computed later; computes them when it is large or there is no memory.
    pub(super) fn take(&mut self, number: u32, path: &LayerPath, wanted: Wanted, content: &[u8]) {
        if content.len() > COPIED_BYTES_MAX || !self.has_room() {
            let mut summing = Summing::new(wanted);
            summing.update(content);
            return self.done.push(summing.finish(number, path.clone()));
        }
        if self.batch.content.len() + content.len() > BATCH_BYTES {
            self.pass_on();
        }
        let place = self.batch.copy(content);
        self.batch.programs.push(Program { number, path: path.clone(), wanted, place });
    }

    /// Begins a program whose content comes in pieces.
    pub(super) fn begin(&mut self, wanted: Wanted) -> Large {
        if !self.has_room() {
            return Large::Here(Summing::new(wanted));
        }
        self.batch.steps.push(Step::Begin(wanted));
        Large::There
    }

    /// Takes the next piece.
    pub(super) fn piece(&mut self, large: &mut Large, piece: &[u8]) {
        match large {
            Large::Here(summing) => summing.update(piece),
            Large::There => {
                if self.batch.content.len() + piece.len() > BATCH_BYTES {
                    self.pass_on();
                }
                let place = self.batch.copy(piece);
                self.batch.steps.push(Step::Piece(place));
            }
        }
    }

    /// Ends it. One that is not complete gets no digest.
    pub(super) fn end(&mut self, large: Large, number: u32, path: &LayerPath, complete: bool) {
        match large {
            Large::Here(summing) if complete => self.done.push(summing.finish(number, path.clone())),
            Large::Here(_) => {}
            Large::There => self.batch.steps.push(Step::End(complete.then(|| (number, path.clone())))),
        }
    }

    /// Is there memory for all batches?
    fn has_room(&mut self) -> bool {
        if self.held.is_empty() {
            let mut held = [Held::none(self.memory), Held::none(self.memory)];
            if held.iter_mut().all(|held| held.grow_to(BATCH_BYTES as u64)) {
                self.held.extend(held);
            }
        }
        !self.held.is_empty()
    }

    /// Gives the batch away for an empty one. When there is none it computes the batch, or waits, because pieces of a
    /// program have to stay together.
    fn pass_on(&mut self) {
        let next = match self.empty.try_recv() {
            Ok(empty) => empty,
            Err(_) if !std::mem::replace(&mut self.is_second_made, true) => Batch::default(),
            Err(_) if self.batch.steps.is_empty() => return self.batch.digest(&mut None, &mut self.done),
            // The other side only goes away when it panics; then nobody looks at the result.
            Err(_) => self.empty.recv().unwrap_or_default(),
        };
        let batch = std::mem::replace(&mut self.batch, next);
        self.send(batch);
    }

    fn send(&self, batch: Batch) {
        if let Some(full) = &self.full {
            // The other side only goes away when it panics; then nobody looks at the result.
            drop(full.send(batch));
        }
    }

    /// Gives the last batch away. What the other side computes is still to come.
    pub(super) fn finish(&mut self) -> Vec<Digested> {
        let last = std::mem::take(&mut self.batch);
        if !last.programs.is_empty() || !last.steps.is_empty() {
            self.send(last);
        }
        self.full = None;
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    /// Digests of programs of these sizes, in the order of their entries.
    fn digested(sizes: &[usize], memory_bytes: u64) -> Vec<Option<Digested>> {
        let memory = MemoryBudget::new(memory_bytes);
        let (full_tx, full_rx) = sync_channel(BATCHES);
        let (empty_tx, empty_rx) = sync_channel(BATCHES);
        let mut all: Vec<Option<Digested>> = sizes.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let computing = scope.spawn(move || compute(full_rx, &empty_tx));
            let mut digests = Digests::new(&memory, full_tx, empty_rx);
            for (bytes, number) in sizes.iter().zip(0_u32..) {
                let wanted = Wanted { md5: number % 3 != 0, sha1: number % 5 == 0 };
                let path = LayerPath::from(format!("usr/bin/{number}").as_str());
                digests.take(number, &path, wanted, &content(*bytes, number));
            }
            let mut done = digests.finish();
            done.extend(computing.join().unwrap());
            for one in done {
                let at = one.number as usize;
                assert!(all[at].replace(one).is_none(), "{at} came twice");
            }
        });
        assert_eq!(memory.used_bytes(), 0);
        all
    }

    fn content(bytes: usize, number: u32) -> Vec<u8> {
        (0..bytes).map(|at| (at as u32).wrapping_mul(number + 7).to_le_bytes()[1]).collect()
    }

    #[test]
    fn programs_get_the_digests_of_their_own_bytes() {
        let sizes: Vec<usize> = (0..20).map(|n| (n * n * 92_311) % (6 << 20)).collect();
        assert!(sizes.iter().any(|bytes| *bytes > COPIED_BYTES_MAX));
        for memory in [2 * BATCH_BYTES - 1, 2 * BATCH_BYTES] {
            for (one, (bytes, number)) in digested(&sizes, memory as u64).into_iter().zip(sizes.iter().zip(0_u32..)) {
                let one = one.expect("every program gets digests");
                let content = content(*bytes, number);
                let wanted = Wanted { md5: number % 3 != 0, sha1: number % 5 == 0 };
                assert_eq!(one.sha256, digest_of(&content), "{number}");
                assert_eq!(one.checksums, wanted.of(&content), "{number}");
            }
        }
    }

    #[test]
    fn the_pieces_of_a_large_program_stay_together() {
        const PIECE_BYTES: usize = 256 << 10;
        for memory in [0, 1 << 30] {
            let memory = MemoryBudget::new(memory);
            let (full_tx, full_rx) = sync_channel(BATCHES);
            let (empty_tx, empty_rx) = sync_channel(BATCHES);
            let mut done = std::thread::scope(|scope| {
                let computing = scope.spawn(move || compute(full_rx, &empty_tx));
                let mut digests = Digests::new(&memory, full_tx, empty_rx);
                let wanted = Wanted { md5: true, sha1: false };
                for number in 0..5_u32 {
                    let path = LayerPath::from("usr/bin/large");
                    let mut large = digests.begin(wanted);
                    // The last is larger than both batches together.
                    for piece in content(number as usize * (7 << 20), number).chunks(PIECE_BYTES) {
                        digests.piece(&mut large, piece);
                    }
                    digests.end(large, number, &path, number != 3);
                    digests.take(100 + number, &path, wanted, &content(2 << 20, number));
                }
                let mut done = digests.finish();
                done.extend(computing.join().unwrap());
                done
            });
            done.retain(|one| one.number < 100);
            done.sort_by_key(|one| one.number);
            assert_eq!(done.iter().map(|one| one.number).collect::<Vec<_>>(), [0, 1, 2, 4]);
            for one in done {
                let content = content(one.number as usize * (7 << 20), one.number);
                assert_eq!(one.sha256, digest_of(&content), "{}", one.number);
                assert_eq!(one.checksums, Wanted { md5: true, sha1: false }.of(&content), "{}", one.number);
            }
        }
    }
}
