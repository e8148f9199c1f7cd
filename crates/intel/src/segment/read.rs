//! Opens a segment and reads from it, checking each block once, when it is first used.

use super::{
    ADVISORY_ENTRY_BYTES, BLOCK_BYTES, CONTENT_HASH_BYTES, DIGEST_ENTRY_BYTES, FORMAT, HEADER_BYTES, HEADER_HASH_AT,
    KEY_ENTRY_BYTES, KEY_HASH_BYTES, MAGIC, PARTS, ROOT_AT, SORTS_AT, directory_bits, directory_slot, key_hash,
    sort_bit,
};
use crate::error::{Error, Result};
use crate::record::{Advisory, Key, Listed, Statement, package_key};
use model::{Digest, EcosystemRelease};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

/// One opened feed. Cloning shares the bytes and what has been checked of them.
#[derive(Clone)]
pub struct Segment {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    directory: Range<usize>,
    key_hashes: Range<usize>,
    keys: Range<usize>,
    contents: Range<usize>,
    advisories: Range<usize>,
    names: Range<usize>,
    digests: Range<usize>,
    heap: Range<usize>,
    hashes: Range<usize>,
    root: Digest,
    /// Which sorts of keys there are.
    sorts: u32,
    /// One bit per block that was found good.
    verified: Arc<[AtomicU64]>,
}

/// A statement where it lies, and which advisory it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredStatement<'a> {
    /// Row of the advisory, for [`Segment::advisory`] and [`Segment::names`].
    pub(crate) advisory: u32,
    bytes: &'a [u8],
}

impl<'a> StoredStatement<'a> {
    /// What it says.
    pub(crate) fn read(&self) -> Result<Statement<&'a str>> {
        decode(self.bytes)
    }

    /// Its postcard form.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A key that is looked up, with its hash: made once for all segments that are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    key: Vec<u8>,
    hash: u64,
    sort: u32,
}

impl Wanted {
    /// A key by its bytes.
    pub(crate) fn new(key: Vec<u8>) -> Self {
        Self { hash: key_hash(&key), sort: sort_bit(&key), key }
    }

    /// What is said about a package.
    pub(crate) fn package(release: &EcosystemRelease, name: &str) -> Self {
        Self::new(package_key(release, name))
    }
}

impl From<Key> for Wanted {
    fn from(key: Key) -> Self {
        Self::new(key.encode())
    }
}

/// The statements of one key, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Statements<'a> {
    left: u32,
    rest: &'a [u8],
}

impl<'a> Statements<'a> {
    fn read(mut record: &'a [u8]) -> Result<Self> {
        Ok(Self { left: take_u32(&mut record)?, rest: record })
    }

    /// How many are left.
    pub(crate) const fn count_left(&self) -> usize {
        self.left as usize
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Result<StoredStatement<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut read = || {
            let advisory = take_u32(&mut self.rest)?;
            let bytes = take_u32(&mut self.rest)? as usize;
            Ok(StoredStatement { advisory, bytes: take(&mut self.rest, bytes)? })
        };
        let found = read();
        if found.is_err() {
            self.left = 0;
        }
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count_left().min(self.rest.len() / 8), None)
    }
}

/// Hashed names of an advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names<'a>(&'a [u8]);

impl<'a> Names<'a> {
    /// One after the other.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|bytes| u32_at(bytes, 0))
    }
}

/// One row of the key table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry<'a> {
    /// The key.
    pub(crate) key: &'a [u8],
    /// Where it stands in the order of the table, together with the key.
    pub(crate) order: u64,
    /// Hash of everything that a verdict can depend on.
    pub(crate) hash: [u8; CONTENT_HASH_BYTES],
}

impl Segment {
    /// Opens a segment: checks the magic, the size, the header's hash and the root of the block hashes. The body is
    /// not read.
    ///
    /// # Errors
    /// When the bytes are not a segment, were cut short or extended, or when header or block hashes were changed; or
    /// when the format version is another.
    pub fn open(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Result<Self> {
        let all = (*bytes).as_ref();
        // The size of the header depends on the format: an old segment without records is shorter than ours.
        let beginning = all.get(..12).ok_or_else(|| cut_short(all.len(), HEADER_BYTES as u64))?;
        if &beginning[..8] != MAGIC {
            return Err(Error::malformed("this is not an intelligence segment: it does not begin with PRATIQSG"));
        }
        let format = u32_at(beginning, 8);
        if format != FORMAT {
            return Err(Error::unsupported(format!(
                "segment format {format} is not the one that this program reads ({FORMAT}); import the feed again"
            )));
        }
        let header = all.get(..HEADER_BYTES).ok_or_else(|| cut_short(all.len(), HEADER_BYTES as u64))?;
        let total = u64_at(header, 16);
        if total != all.len() as u64 {
            return Err(cut_short(all.len(), total));
        }
        if Sha256::digest(&header[..HEADER_HASH_AT])[..HEADER_BYTES - HEADER_HASH_AT] != header[HEADER_HASH_AT..] {
            return Err(Error::malformed("the segment's header was changed: its hash does not match"));
        }
        let [directory, key_hashes, keys, contents, advisories, names, digests, heap, hashes] =
            parts(header, all.len())?;
        let root: [u8; 32] = header[ROOT_AT..ROOT_AT + 32].try_into().expect("32 bytes");
        if Sha256::digest(&all[hashes.clone()])[..] != root {
            return Err(Error::malformed("the segment's block hashes were changed: their root does not match"));
        }
        let blocks = hashes.len() / 32;
        let verified = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let root = Digest::from_bytes(root);
        Ok(Self {
            directory,
            key_hashes,
            keys,
            contents,
            advisories,
            names,
            digests,
            heap,
            hashes,
            root,
            sorts: u32_at(header, SORTS_AT),
            verified,
            bytes,
        })
    }

    /// Checks every block.
    ///
    /// # Errors
    /// Names the first block that was changed.
    pub fn verify(&self) -> Result<()> {
        (0..self.hashes.len() / 32).try_for_each(|block| self.check_block(block))
    }

    /// The SHA-256 over the block hashes: names the content.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// How many bytes the segment has.
    pub fn bytes_len(&self) -> u64 {
        (*self.bytes).as_ref().len() as u64
    }

    /// What is said about a package.
    pub(crate) fn statements(&self, wanted: &Wanted) -> Result<Statements<'_>> {
        match self.find(wanted)? {
            Some(record) => Statements::read(record),
            None => Ok(Statements { left: 0, rest: &[] }),
        }
    }

    /// An advisory by its row.
    pub(crate) fn advisory(&self, row: u32) -> Result<Advisory<&str>> {
        let entry = self.advisory_entry(row)?;
        decode(self.read(within(&self.heap, u64_at(entry, 0), u32_at(entry, 8))?)?)
    }

    /// The names of an advisory by its row: id, CVEs and others, hashed.
    pub(crate) fn names(&self, row: u32) -> Result<Names<'_>> {
        let start = match row.checked_sub(1) {
            Some(before) => u32_at(self.advisory_entry(before)?, 12),
            None => 0,
        };
        let end = u32_at(self.advisory_entry(row)?, 12);
        let bytes =
            end.checked_sub(start).ok_or_else(|| Error::malformed("names of an advisory end before they begin"))?;
        self.read(within(&self.names, u64::from(start), bytes)?).map(Names)
    }

    fn advisory_entry(&self, row: u32) -> Result<&[u8]> {
        let bytes = u32::try_from(ADVISORY_ENTRY_BYTES).expect("a constant");
        self.read(within(&self.advisories, u64::from(row) * u64::from(bytes), bytes)?)
    }

    /// Packages that an advisory with one of these names speaks of. Names are compared by their hashes, so a package too
    /// many may be among them.
    pub(crate) fn packages_named(&self, hashes: &HashSet<u32>) -> Result<Vec<Key>> {
        let count = self.advisories.len() / ADVISORY_ENTRY_BYTES;
        let mut is_named = Vec::with_capacity(count);
        for row in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            is_named.push(self.names(row)?.iter().any(|hash| hashes.contains(&hash)));
        }
        let mut found = Vec::new();
        for index in 0..self.key_count() {
            let (key, record) = self.record(index)?;
            let Some(key @ Key::Package(..)) = Key::decode(key) else { continue };
            for statement in Statements::read(record)? {
                if is_named.get(statement?.advisory as usize) == Some(&true) {
                    found.push(key);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// A record that stands for itself, under a key of its type.
    pub(crate) fn single<'a, T: Deserialize<'a>>(&'a self, wanted: &Wanted) -> Result<Option<T>> {
        self.find(wanted)?.map(decode).transpose()
    }

    /// What the lists say about a digest.
    pub(crate) fn listed(&self, digest: &Digest) -> Result<Vec<Listed>> {
        let (mut low, mut high) = (0, self.digest_count());
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, record) = self.digest_entry(middle)?;
            match found.cmp(digest) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return decode(self.read(record)?),
            }
        }
        Ok(Vec::new())
    }

    /// How many rows the key table has.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.len() / KEY_ENTRY_BYTES
    }

    /// How many rows the digest table has.
    pub(crate) fn digest_count(&self) -> usize {
        self.digests.len() / DIGEST_ENTRY_BYTES
    }

    /// A row of the key table, with its key and hashes.
    pub(crate) fn key_entry(&self, index: usize) -> Result<KeyEntry<'_>> {
        let (key, _) = self.record(index)?;
        let order = u64_at(self.row(&self.key_hashes, index, KEY_HASH_BYTES)?, 0);
        let hash = self.row(&self.contents, index, CONTENT_HASH_BYTES)?;
        Ok(KeyEntry { key, order, hash: hash.try_into().expect("16 bytes") })
    }

    fn row(&self, part: &Range<usize>, index: usize, bytes: usize) -> Result<&[u8]> {
        let at = part.start + index * bytes;
        self.read(at..at + bytes)
    }

    /// A key by its row, and its record.
    fn record(&self, index: usize) -> Result<(&[u8], &[u8])> {
        let row = self.row(&self.keys, index, KEY_ENTRY_BYTES)?;
        let mut record = self.read(within(&self.heap, u64_at(row, 0), u32_at(row, 8))?)?;
        let bytes = take_u32(&mut record)? as usize;
        let key = take(&mut record, bytes)?;
        Ok((key, record))
    }

    /// A row of the digest table: the digest and where its record lies.
    pub(crate) fn digest_entry(&self, index: usize) -> Result<(Digest, Range<usize>)> {
        let at = self.digests.start + index * DIGEST_ENTRY_BYTES;
        let row = self.read(at..at + DIGEST_ENTRY_BYTES)?;
        let digest = Digest::from_bytes(row[..32].try_into().expect("32 bytes"));
        Ok((digest, within(&self.heap, u64_at(row, 32), u32_at(row, 40))?))
    }

    /// Bytes of the body, once every block that they touch has been checked.
    pub(crate) fn read(&self, range: Range<usize>) -> Result<&[u8]> {
        if range.start < HEADER_BYTES || range.end > self.hashes.start || range.start > range.end {
            return Err(Error::malformed("an offset lies outside the segment"));
        }
        if !range.is_empty() {
            let first = (range.start - HEADER_BYTES) / BLOCK_BYTES;
            let last = (range.end - 1 - HEADER_BYTES) / BLOCK_BYTES;
            (first..=last).try_for_each(|block| self.check_block(block))?;
        }
        (*self.bytes).as_ref().get(range).ok_or_else(|| Error::malformed("the segment became shorter while in use"))
    }

    /// The record of a key.
    fn find(&self, wanted: &Wanted) -> Result<Option<&[u8]>> {
        if self.sorts & wanted.sort == 0 {
            return Ok(None);
        }
        let count = self.key_count();
        let at = self.directory.start + directory_slot(wanted.hash, directory_bits(count)) * 4;
        let bounds = self.read(at..at + 8)?;
        let start = u32_at(bounds, 0) as usize;
        let end = (u32_at(bounds, 4) as usize).min(count);
        if start >= end {
            return Ok(None);
        }
        let at = self.key_hashes.start;
        let hashes = self.read(at + start * KEY_HASH_BYTES..at + end * KEY_HASH_BYTES)?;
        let sought = wanted.hash.to_le_bytes();
        for (index, _) in hashes.chunks_exact(KEY_HASH_BYTES).enumerate().filter(|(_, hash)| **hash == sought) {
            let (key, record) = self.record(start + index)?;
            if key == wanted.key {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn check_block(&self, block: usize) -> Result<()> {
        let (word, bit) = (&self.verified[block / 64], 1u64 << (block % 64));
        if word.load(Memory::Relaxed) & bit != 0 {
            return Ok(());
        }
        let all = (*self.bytes).as_ref();
        let start = HEADER_BYTES + block * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.hashes.start);
        let hash_at = self.hashes.start + block * 32;
        let content = all.get(start..end);
        let expected = all.get(hash_at..hash_at + 32);
        match (content, expected) {
            (Some(content), Some(expected)) if Sha256::digest(content)[..] == *expected => {
                word.fetch_or(bit, Memory::Relaxed);
                Ok(())
            }
            (Some(_), Some(_)) => Err(Error::malformed(format!(
                "block {block} of the segment was changed after it was written: its SHA-256 does not match"
            ))),
            (None, _) | (_, None) => Err(Error::malformed("the segment became shorter while in use")),
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("root", &self.root).field("keys", &self.key_count()).finish_non_exhaustive()
    }
}

fn cut_short(found: usize, expected: u64) -> Error {
    Error::malformed(format!(
        "the segment has {found} bytes where {expected} are expected: it was cut short or changed"
    ))
}

/// The parts, in order, without gaps, from the header to the end.
fn parts(header: &[u8], total: usize) -> Result<[Range<usize>; PARTS]> {
    let wrong = || Error::malformed("the segment's parts do not fit together");
    let mut next = HEADER_BYTES;
    let mut found: [Range<usize>; PARTS] = Default::default();
    for (index, part) in found.iter_mut().enumerate() {
        let offset = usize::try_from(u64_at(header, 24 + index * 16)).map_err(|_| wrong())?;
        let bytes = usize::try_from(u64_at(header, 32 + index * 16)).map_err(|_| wrong())?;
        let end = offset.checked_add(bytes).filter(|end| *end <= total).ok_or_else(wrong)?;
        if offset != next {
            return Err(wrong());
        }
        *part = offset..end;
        next = end;
    }
    let body = found[PARTS - 1].start - HEADER_BYTES;
    let keys = found[2].len() / KEY_ENTRY_BYTES;
    let fits = next == total
        && found[0].len() == ((1 << directory_bits(keys)) + 1) * 4
        && found[1].len() == keys * KEY_HASH_BYTES
        && found[2].len() == keys * KEY_ENTRY_BYTES
        && found[3].len() == keys * CONTENT_HASH_BYTES
        && found[4].len().is_multiple_of(ADVISORY_ENTRY_BYTES)
        && found[5].len().is_multiple_of(4)
        && found[6].len().is_multiple_of(DIGEST_ENTRY_BYTES)
        && found[PARTS - 1].len() == body.div_ceil(BLOCK_BYTES) * 32
        && u32_at(header, 12) as usize == BLOCK_BYTES;
    if fits { Ok(found) } else { Err(wrong()) }
}

fn within(part: &Range<usize>, offset: u64, bytes: u32) -> Result<Range<usize>> {
    let start = usize::try_from(offset).ok().and_then(|offset| part.start.checked_add(offset));
    let end = start.and_then(|start| start.checked_add(bytes as usize)).filter(|end| *end <= part.end);
    match (start, end) {
        (Some(start), Some(end)) => Ok(start..end),
        (None, _) | (_, None) => Err(Error::malformed("an offset lies outside the segment")),
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8]> {
    let (taken, left) =
        rest.split_at_checked(bytes).ok_or_else(|| Error::malformed("a record of the segment ends too early"))?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32> {
    take(rest, 4).map(|bytes| u32_at(bytes, 0))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|e| Error::malformed(format!("a record of the segment cannot be read: {e}")))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
