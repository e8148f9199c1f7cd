//! Digests of programs, computed while the files that follow are searched.
//!
//! Not here: which files get one ([`super::checksums`]). Small programs are copied into a batch, which a thread of its
//! own computes; whoever finds that thread busy computes the batch instead of waiting for it. Large ones are computed as
//! their content comes. Invariant: every program gets one set of digests, and which thread computed
//! them shows nowhere.

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
const BATCH_BYTES: usize = 12 << 20;

/// Larger programs are not copied: side by side with the others they would take longer than alone.
pub(super) const COPIED_BYTES_MAX: usize = BATCH_BYTES / 4;

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
pub(super) struct Summing {
    sha256: Sha256,
    others: Hashers,
}

impl Summing {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { sha256: Sha256::new(), others: wanted.hashers() }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.others.update(piece);
    }

    pub(super) fn finish(self, number: u32, path: &LayerPath) -> Digested {
        let sha256 = Digest::from_bytes(self.sha256.finalize().into());
        Digested { number, path: path.clone(), sha256, checksums: self.others.finish() }
    }
}

/// A program in a batch.
#[derive(Debug)]
struct Program {
    number: u32,
    path: LayerPath,
    wanted: Wanted,
    place: Range<usize>,
}

/// Copies of programs.
#[derive(Debug, Default)]
pub(super) struct Batch {
    content: Vec<u8>,
    programs: Vec<Program>,
}

impl Batch {
    /// Computes all of it, and leaves it empty.
    fn digest(&mut self, out: &mut Vec<Digested>) {
        let Self { content, programs } = self;
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
        content.clear();
    }
}

/// Computes batches as they come and sends them back empty. Answers what it computed.
pub(super) fn compute(full: Receiver<Batch>, empty: &SyncSender<Batch>) -> Vec<Digested> {
    let mut done = Vec::new();
    for mut batch in full {
        batch.digest(&mut done);
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
    /// The memory of each batch that was made.
    held: Vec<Held<'m>>,
    done: Vec<Digested>,
}

impl<'m> Digests<'m> {
    pub(super) fn new(memory: &'m MemoryBudget, full: SyncSender<Batch>, empty: Receiver<Batch>) -> Self {
        Self { memory, batch: Batch::default(), full: Some(full), empty, held: Vec::new(), done: Vec::new() }
    }

    /// Copies a program; its digests are computed later. False when it is too large, or when there is no memory.
    pub(super) fn take(&mut self, number: u32, path: &LayerPath, wanted: Wanted, content: &[u8]) -> bool {
        if content.len() > COPIED_BYTES_MAX || self.held.is_empty() && !self.make_batch() {
            return false;
        }
        if self.batch.content.len() + content.len() > BATCH_BYTES {
            self.pass_on();
        }
        let start = self.batch.content.len();
        self.batch.content.extend_from_slice(content);
        let place = start..self.batch.content.len();
        self.batch.programs.push(Program { number, path: path.clone(), wanted, place });
        true
    }

    /// Keeps what was computed elsewhere.
    pub(super) fn keep(&mut self, digested: Digested) {
        self.done.push(digested);
    }

    fn make_batch(&mut self) -> bool {
        let mut held = Held::none(self.memory);
        let has_room = self.held.len() < BATCHES && held.grow_to(BATCH_BYTES as u64);
        if has_room {
            self.held.push(held);
        }
        has_room
    }

    /// Gives the batch away for an empty one; computes it when there is none.
    fn pass_on(&mut self) {
        let next = match self.empty.try_recv() {
            Ok(empty) => empty,
            Err(_) if self.make_batch() => Batch::default(),
            Err(_) => return self.batch.digest(&mut self.done),
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
        if !last.programs.is_empty() {
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
        let sizes: Vec<usize> = (0..60).map(|n| (n * n * 769) % (3 << 20)).collect();
        for (one, (bytes, number)) in digested(&sizes, 1 << 30).into_iter().zip(sizes.iter().zip(0_u32..)) {
            let one = one.expect("it is small enough");
            let content = content(*bytes, number);
            let wanted = Wanted { md5: number % 3 != 0, sha1: number % 5 == 0 };
            assert_eq!(one.sha256, digest_of(&content), "{number}");
            assert_eq!(one.checksums, wanted.of(&content), "{number}");
        }
    }

    #[test]
    fn a_large_program_and_one_without_memory_are_left_to_the_caller() {
        assert!(digested(&[COPIED_BYTES_MAX + 1], 1 << 30)[0].is_none());
        assert!(digested(&[10], (BATCH_BYTES - 1) as u64)[0].is_none());
        assert!(digested(&[10; 3], BATCH_BYTES as u64).iter().all(Option::is_some));
        let of_one_batch = digested(&[3 << 20; 12], BATCH_BYTES as u64);
        assert!(of_one_batch.iter().all(Option::is_some), "a batch is computed when there is no other");
    }
}
