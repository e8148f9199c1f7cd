//! A segment: one feed, compiled into an immutable file that is read where it lies.
//!
//! Not here: files and maps. The bytes are given; a memory map does as well as a vector.
//!
//! Invariant: no byte outside the header is used before the block it lies in has been checked against its SHA-256.
//! So a changed byte ends in an error, never in a result; the errors are sticky, because a bad block is never marked
//! as good. Opening reads the header and the table of block hashes, nothing else.
//!
//! # Layout
//!
//! All numbers are little-endian. Offsets in the header count from the start of the file, others from the start of the
//! heap.
//!
//! | part | size | content |
//! |---|---|---|
//! | header | 256 | below |
//! | directory | 4 × (2ⁿ + 1) | for each value of the first n bits of a key's hash the first row of the key table, then their count |
//! | key hashes | 8 × keys | sorted by hash, then by key: `u64` |
//! | key table | 16 × keys | in the same order: record offset `u64`, record length `u32`, zero `u32` |
//! | content hashes | 16 × keys | in the same order |
//! | advisory table | 16 × advisories | in the order of the first key that each speaks of, then by id: offset `u64`, length `u32`, end of its names in the next part, in bytes, `u32` |
//! | names | 4 × names | of each advisory its id, CVEs and other names, hashed to `u32` |
//! | digest table | 48 × digests | sorted: SHA-256 `[u8; 32]`, record offset `u64`, record length `u32`, zero `u32` |
//! | heap | | records |
//! | block hashes | 32 × blocks | SHA-256 of each 4 KiB block of the body (directory to heap; the last block may be shorter) |
//!
//! Header: magic `PRATIQSG`, format version `u32`, block size `u32`, total size `u64`, then for each part from the
//! directory on offset `u64` and length in bytes `u64`, then SHA-256 of the block hashes (the root), then which sorts of keys there are (`u32`, a bit each), then 36
//! zero bytes,
//! then SHA-256 of everything before it in the header, cut to 16 bytes.
//!
//! A key's record is the key's length `u32`, the key, and the rest: for a package a count `u32`, then for each statement
//! the row of its advisory `u32`, a length `u32` and the postcard form of a [`Statement`](crate::record::Statement); for
//! any other key the postcard form of its type. An advisory is the postcard form of an
//! [`Advisory`](crate::record::Advisory). The content hash of a key covers everything that a verdict about it can depend
//! on, the advisories included. A hash of a key is the first 8 bytes of its SHA-256, that of a name the first 4.
//!
//! The layout is made for an image that asks about thousands of packages once: a question touches one block of the
//! directory, one of the key hashes and, if there is such a key, one of the key table and those of the record; advisories are touched only for what may be a finding, and lie
//! together: in the heap right before the record of the first key that they speak of, in the tables side by side. Records
//! of CVEs lie behind those of the packages, in the order of their numbers.

mod read;
mod write;

pub use read::Segment;
pub(crate) use read::{Names, StoredStatement, Wanted};
pub(crate) use write::{PackedAdvisory, SegmentContent, write};

use sha2::{Digest as _, Sha256};

/// First bytes of every segment.
const MAGIC: &[u8; 8] = b"PRATIQSG";
/// The layout that this program writes and reads.
const FORMAT: u32 = 4;
/// Bytes that are checked together.
const BLOCK_BYTES: usize = 4 * 1024;
/// Size of the header.
const HEADER_BYTES: usize = 256;
/// Where the root stands in the header.
const ROOT_AT: usize = 168;
/// Where the sorts of keys stand in the header.
const SORTS_AT: usize = 200;
/// Where the header's own hash stands in it.
const HEADER_HASH_AT: usize = 240;
/// Size of a hash of a key.
const KEY_HASH_BYTES: usize = 8;
/// Size of an entry of the key table.
const KEY_ENTRY_BYTES: usize = 16;
/// Size of the hash of what a key's record says.
const CONTENT_HASH_BYTES: usize = 16;
/// Size of an entry of the advisory table.
const ADVISORY_ENTRY_BYTES: usize = 16;
/// Size of an entry of the digest table.
const DIGEST_ENTRY_BYTES: usize = 48;
/// How many parts a segment has.
const PARTS: usize = 9;
/// How many rows of the key table an entry of the directory stands for, about.
const ROWS_PER_ENTRY: usize = 8;

/// What the key table is sorted by.
fn key_hash(key: &[u8]) -> u64 {
    let hash = Sha256::digest(key);
    u64::from_le_bytes(hash[..8].try_into().expect("8 of 32 bytes"))
}

/// The bit of a key's sort, which its first byte tells. A segment that has none of a sort need not be searched.
const fn sort_bit(key: &[u8]) -> u32 {
    match key.first() {
        Some(b'P') => 1,
        Some(b'E') => 2,
        Some(b'R') => 4,
        Some(b'Q') => 8,
        Some(b'L') => 16,
        Some(_) | None => 1 << 31,
    }
}

/// A name of an advisory, shortened: different names may share a hash, so it only ever joins, never parts.
pub(crate) fn name_hash(name: &str) -> u32 {
    let hash = Sha256::digest(name.as_bytes());
    u32::from_le_bytes(hash[..4].try_into().expect("4 of 32 bytes"))
}

/// How many leading bits of a key's hash the directory goes by.
fn directory_bits(keys: usize) -> u32 {
    (keys / ROWS_PER_ENTRY).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// The entry of the directory that a hash belongs to.
fn directory_slot(hash: u64, bits: u32) -> usize {
    let slot = hash.checked_shr(u64::BITS - bits).unwrap_or(0);
    usize::try_from(slot).expect("a directory has far fewer entries than addresses")
}
