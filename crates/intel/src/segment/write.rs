//! Writes a segment from sorted content.

use super::{BLOCK_BYTES, DIGEST_ENTRY_BYTES, FORMAT, HEADER_BYTES, HEADER_HASH_AT, KEY_ENTRY_BYTES, MAGIC, PARTS};
use crate::record::Key;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// An advisory as a feed's parser hands it over, already in postcard form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedAdvisory {
    /// Postcard form of the [`Advisory`](crate::record::Advisory).
    pub(crate) advisory: Vec<u8>,
    /// What it says about which package, as the encoded key and the postcard form of the statement.
    pub(crate) statements: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Everything that goes into one segment.
#[derive(Debug, Default)]
pub(crate) struct SegmentContent {
    /// Sorted by advisory id.
    pub(crate) advisories: Vec<PackedAdvisory>,
    /// Records that stand for themselves, in postcard form.
    pub(crate) singles: BTreeMap<Key, Vec<u8>>,
    /// Digests and the postcard form of what is known about each.
    pub(crate) digests: BTreeMap<Digest, Vec<u8>>,
}

/// One row of the key table before it is laid out.
struct KeyRow {
    key: Vec<u8>,
    record_offset: u64,
    record_bytes: u32,
    hash: [u8; 16],
}

/// Lays the content out. Equal content gives equal bytes.
pub(crate) fn write(content: &SegmentContent) -> Vec<u8> {
    let mut heap = Vec::new();
    let rows = write_records(content, &mut heap);
    let mut digests = Vec::with_capacity(content.digests.len() * DIGEST_ENTRY_BYTES);
    for (digest, record) in &content.digests {
        digests.extend_from_slice(digest.as_bytes());
        digests.extend_from_slice(&(heap.len() as u64).to_le_bytes());
        digests.extend_from_slice(&length(record).to_le_bytes());
        digests.extend_from_slice(&0u32.to_le_bytes());
        heap.extend_from_slice(record);
    }
    let (table, strings) = write_keys(&rows);
    assemble([&table, &digests, &strings, &heap])
}

/// Lengths inside a segment are 32 bits: a record is far smaller, because documents are capped.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("documents are capped far below 4 GiB")
}

fn write_records(content: &SegmentContent, heap: &mut Vec<u8>) -> Vec<KeyRow> {
    let mut advisory_at = Vec::with_capacity(content.advisories.len());
    let mut by_key: BTreeMap<&[u8], Vec<(usize, &[u8])>> = BTreeMap::new();
    for (index, packed) in content.advisories.iter().enumerate() {
        advisory_at.push(heap.len() as u64);
        heap.extend_from_slice(&length(&packed.advisory).to_le_bytes());
        heap.extend_from_slice(&packed.advisory);
        for (key, statement) in &packed.statements {
            by_key.entry(key).or_default().push((index, statement));
        }
    }
    let mut rows = Vec::with_capacity(by_key.len() + content.singles.len());
    for (key, statements) in by_key {
        let start = heap.len();
        let mut hasher = Sha256::new();
        heap.extend_from_slice(&u32::try_from(statements.len()).expect("documents are capped").to_le_bytes());
        for (index, statement) in statements {
            heap.extend_from_slice(&advisory_at[index].to_le_bytes());
            heap.extend_from_slice(&length(statement).to_le_bytes());
            heap.extend_from_slice(statement);
            for part in [&content.advisories[index].advisory[..], statement] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        rows.push(row(key.to_vec(), start, heap, hasher));
    }
    for (key, record) in &content.singles {
        let start = heap.len();
        heap.extend_from_slice(record);
        rows.push(row(key.encode(), start, heap, Sha256::new().chain_update(record)));
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

fn row(key: Vec<u8>, start: usize, heap: &[u8], hasher: Sha256) -> KeyRow {
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize()[..16]);
    KeyRow { key, record_offset: start as u64, record_bytes: length(&heap[start..]), hash }
}

fn write_keys(rows: &[KeyRow]) -> (Vec<u8>, Vec<u8>) {
    let mut table = Vec::with_capacity(rows.len() * KEY_ENTRY_BYTES);
    let mut strings = Vec::new();
    for row in rows {
        table.extend_from_slice(&(strings.len() as u64).to_le_bytes());
        table.extend_from_slice(&length(&row.key).to_le_bytes());
        table.extend_from_slice(&row.record_bytes.to_le_bytes());
        table.extend_from_slice(&row.record_offset.to_le_bytes());
        table.extend_from_slice(&row.hash);
        strings.extend_from_slice(&row.key);
    }
    (table, strings)
}

fn assemble(body_parts: [&[u8]; PARTS - 1]) -> Vec<u8> {
    let body_bytes: usize = body_parts.iter().map(|part| part.len()).sum();
    let hashes_bytes = body_bytes.div_ceil(BLOCK_BYTES) * 32;
    let mut out = Vec::with_capacity(HEADER_BYTES + body_bytes + hashes_bytes);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&u32::try_from(BLOCK_BYTES).expect("a constant").to_le_bytes());
    out.extend_from_slice(&((HEADER_BYTES + body_bytes + hashes_bytes) as u64).to_le_bytes());
    let mut offset = HEADER_BYTES;
    for bytes in body_parts.iter().map(|part| part.len()).chain([hashes_bytes]) {
        out.extend_from_slice(&(offset as u64).to_le_bytes());
        out.extend_from_slice(&(bytes as u64).to_le_bytes());
        offset += bytes;
    }
    out.resize(HEADER_BYTES, 0);
    for part in body_parts {
        out.extend_from_slice(part);
    }
    let hashes: Vec<u8> = out[HEADER_BYTES..].chunks(BLOCK_BYTES).flat_map(Sha256::digest).collect();
    out[super::ROOT_AT..super::ROOT_AT + 32].copy_from_slice(&Sha256::digest(&hashes));
    let header_hash = Sha256::digest(&out[..HEADER_HASH_AT]);
    out[HEADER_HASH_AT..HEADER_BYTES].copy_from_slice(&header_hash[..HEADER_BYTES - HEADER_HASH_AT]);
    out.extend_from_slice(&hashes);
    out
}
