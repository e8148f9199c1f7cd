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
//! All numbers are little-endian. Offsets count from the start of the file.
//!
//! | part | size | content |
//! |---|---|---|
//! | header | 160 | below |
//! | key table | 40 × keys | sorted by key bytes: string offset `u64`, string length `u32`, record length `u32`, record offset `u64`, content hash `[u8; 16]`; both offsets are relative to their part |
//! | digest table | 48 × digests | sorted: SHA-256 `[u8; 32]`, record offset `u64`, record length `u32`, zero `u32` |
//! | strings | | the key bytes, one after the other |
//! | heap | | records |
//! | block hashes | 32 × blocks | SHA-256 of each 64 KiB block of the body (key table to heap; the last block may be shorter) |
//!
//! Header: magic `PRATIQSG`, format version `u32`, block size `u32`, total size `u64`, then for key table, digest table,
//! strings, heap and block hashes offset `u64` and length in bytes `u64` each, then SHA-256 of the block hashes (the
//! root), then 8 zero bytes, then SHA-256 of everything before it in the header, cut to 16 bytes.
//!
//! Records: for a package `u32` count, then for each statement the advisory's heap offset `u64`, length `u32` and the
//! postcard form of a [`Statement`](crate::record::Statement); an advisory is a `u32` length and the postcard form of
//! an [`Advisory`](crate::record::Advisory). Other records are the postcard form of their type. The content hash of a
//! key covers everything that a verdict about it can depend on, the advisories included.

mod read;
mod write;

pub use read::Segment;
pub(crate) use write::{PackedAdvisory, SegmentContent, write};

/// First bytes of every segment.
const MAGIC: &[u8; 8] = b"PRATIQSG";
/// The layout that this program writes and reads.
const FORMAT: u32 = 2;
/// Bytes that are checked together.
const BLOCK_BYTES: usize = 64 * 1024;
/// Size of the header.
const HEADER_BYTES: usize = 160;
/// Where the root stands in the header.
const ROOT_AT: usize = 104;
/// Where the header's own hash stands in it.
const HEADER_HASH_AT: usize = 144;
/// Size of an entry of the key table.
const KEY_ENTRY_BYTES: usize = 40;
/// Size of an entry of the digest table.
const DIGEST_ENTRY_BYTES: usize = 48;
/// How many parts a segment has.
const PARTS: usize = 5;
