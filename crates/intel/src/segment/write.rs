//! Writes a segment from content, using it up, so that it lies in memory once.

use super::{
    ADVISORY_ENTRY_BYTES, BLOCK_BYTES, CONTENT_HASH_BYTES, DIGEST_ENTRY_BYTES, FORMAT, HEADER_BYTES, HEADER_HASH_AT,
    MAGIC, PARTS, SORTS_AT, directory_bits, directory_slot, key_hash, sort_bit,
};
use crate::record::Key;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;

/// An advisory as a feed's parser hands it over, already in postcard form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedAdvisory {
    /// Postcard form of the [`Advisory`](crate::record::Advisory).
    pub(crate) advisory: Vec<u8>,
    /// Its id, CVEs and other names, [hashed](super::name_hash).
    pub(crate) names: Vec<u32>,
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

/// A statement that waits for the others of its key.
struct Pending {
    hash: u64,
    key: Vec<u8>,
    /// Which advisory, in the order of their ids; `None` for a record that stands for itself.
    advisory: Option<usize>,
    record: Vec<u8>,
}

/// The parts of the body while they grow.
#[derive(Default)]
struct Parts {
    /// Of every row of the key table.
    hashes: Vec<u64>,
    /// Their sorts, a bit each.
    sorts: u32,
    rows: Vec<Row>,
    advisories: Vec<u8>,
    names: Vec<u8>,
    digests: Vec<u8>,
    heap: Vec<u8>,
    /// Where each advisory lies, in the order of their ids.
    placed: Vec<Option<Placed>>,
}

/// A row of the key table and its content hash.
#[derive(Clone, Copy, Default)]
struct Row {
    offset: u64,
    length: u32,
    content: [u8; CONTENT_HASH_BYTES],
}

/// An advisory that has been laid down.
#[derive(Clone)]
struct Placed {
    row: u32,
    /// In the heap.
    range: Range<usize>,
}

/// Lays the content out. Equal content gives equal bytes. An advisory comes right before the first record that speaks
/// of it, because a question about a package that touches one touches the other.
pub(crate) fn write(content: SegmentContent) -> Vec<u8> {
    let mut parts = Parts::default();
    let SegmentContent { advisories, singles, digests } = content;
    let (mut pending, mut waiting) = split(advisories);
    parts.placed = vec![None; waiting.len()];
    pending.extend(singles.into_iter().map(|(key, record)| {
        let key = key.encode();
        Pending { hash: key_hash(&key), key, advisory: None, record }
    }));
    pending.sort_by(|a, b| (a.hash, &a.key, a.advisory).cmp(&(b.hash, &b.key, b.advisory)));
    let mut alone = Vec::new();
    for (row, of_key) in pending.chunk_by(|a, b| a.key == b.key).enumerate() {
        parts.sorts |= sort_bit(&of_key[0].key);
        parts.hashes.push(of_key[0].hash);
        parts.rows.push(Row::default());
        if of_key.iter().all(|pending| pending.advisory.is_none()) {
            alone.push((row, of_key));
            continue;
        }
        for index in of_key.iter().filter_map(|pending| pending.advisory) {
            place(index, &mut waiting, &mut parts);
        }
        parts.rows[row] = write_key(of_key, &mut parts);
    }
    // Side by side, neighbours in number too: what is known about the CVEs of one package.
    alone.sort_by_key(|(_, of_key)| &of_key[0].key);
    for (row, of_key) in alone {
        parts.rows[row] = write_key(of_key, &mut parts);
    }
    drop(pending);
    // Those that speak of no package.
    for index in 0..waiting.len() {
        place(index, &mut waiting, &mut parts);
    }
    for (digest, record) in digests {
        parts.digests.extend_from_slice(digest.as_bytes());
        parts.digests.extend_from_slice(&(parts.heap.len() as u64).to_le_bytes());
        parts.digests.extend_from_slice(&length(&record).to_le_bytes());
        parts.digests.extend_from_slice(&0u32.to_le_bytes());
        parts.heap.extend_from_slice(&record);
    }
    debug_assert!(parts.digests.len().is_multiple_of(DIGEST_ENTRY_BYTES));
    let directory = directory(&parts.hashes);
    let Parts { hashes, sorts, rows, advisories, names, digests, heap, placed: _ } = parts;
    let hashes = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    let entry = |row: &Row| (u128::from(row.offset) | u128::from(row.length) << u64::BITS).to_le_bytes();
    let keys = rows.iter().flat_map(entry).collect();
    let contents = rows.iter().flat_map(|row| row.content).collect();
    assemble([directory, hashes, keys, contents, advisories, names, digests, heap], sorts)
}

/// Lengths inside a segment are 32 bits: a record is far smaller, because documents are capped.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("documents are capped far below 4 GiB")
}

/// An advisory that has not been laid down yet: its postcard form and its names.
type Waiting = Option<(Vec<u8>, Vec<u32>)>;

/// Statements apart from their advisories.
fn split(advisories: Vec<PackedAdvisory>) -> (Vec<Pending>, Vec<Waiting>) {
    let mut pending = Vec::with_capacity(advisories.iter().map(|a| a.statements.len()).sum());
    let mut waiting = Vec::with_capacity(advisories.len());
    for (index, PackedAdvisory { advisory, names, statements }) in advisories.into_iter().enumerate() {
        waiting.push(Some((advisory, names)));
        pending.extend(statements.into_iter().map(|(key, record)| Pending {
            hash: key_hash(&key),
            key,
            advisory: Some(index),
            record,
        }));
    }
    (pending, waiting)
}

/// Gives an advisory the next row, once.
fn place(index: usize, waiting: &mut [Waiting], parts: &mut Parts) {
    let Some((advisory, names)) = waiting[index].take() else { return };
    for name in names {
        parts.names.extend_from_slice(&name.to_le_bytes());
    }
    let start = parts.heap.len();
    let row = u32::try_from(parts.advisories.len() / ADVISORY_ENTRY_BYTES).expect("documents are capped");
    parts.advisories.extend_from_slice(&(start as u64).to_le_bytes());
    parts.advisories.extend_from_slice(&length(&advisory).to_le_bytes());
    parts.advisories.extend_from_slice(&length(&parts.names).to_le_bytes());
    parts.heap.extend_from_slice(&advisory);
    parts.placed[index] = Some(Placed { row, range: start..parts.heap.len() });
}

/// Writes a key's record, and tells its row.
fn write_key(of_key: &[Pending], parts: &mut Parts) -> Row {
    let Some(first) = of_key.first() else { return Row::default() };
    let start = parts.heap.len();
    let mut hasher = Sha256::new();
    parts.heap.extend_from_slice(&length(&first.key).to_le_bytes());
    parts.heap.extend_from_slice(&first.key);
    if first.advisory.is_some() {
        let count = u32::try_from(of_key.len()).expect("documents are capped");
        parts.heap.extend_from_slice(&count.to_le_bytes());
    }
    for Pending { advisory, record, .. } in of_key {
        if let Some(index) = advisory {
            let Placed { row, range } =
                parts.placed[*index].clone().expect("an advisory is placed before its statements");
            parts.heap.extend_from_slice(&row.to_le_bytes());
            parts.heap.extend_from_slice(&length(record).to_le_bytes());
            hasher.update((range.len() as u64).to_le_bytes());
            hasher.update(&parts.heap[range]);
        }
        hasher.update((record.len() as u64).to_le_bytes());
        hasher.update(record);
        parts.heap.extend_from_slice(record);
    }
    let content = hasher.finalize()[..CONTENT_HASH_BYTES].try_into().expect("16 of 32 bytes");
    Row { offset: start as u64, length: length(&parts.heap[start..]), content }
}

fn directory(hashes: &[u64]) -> Vec<u8> {
    let bits = directory_bits(hashes.len());
    let mut out = Vec::with_capacity(((1 << bits) + 1) * 4);
    let mut row = 0;
    for slot in 0..=1usize << bits {
        row += hashes[row..].iter().take_while(|hash| directory_slot(**hash, bits) < slot).count();
        out.extend_from_slice(&u32::try_from(row).expect("documents are capped").to_le_bytes());
    }
    out
}

fn assemble(body_parts: [Vec<u8>; PARTS - 1], sorts: u32) -> Vec<u8> {
    let body_bytes: usize = body_parts.iter().map(Vec::len).sum();
    let hashes_bytes = body_bytes.div_ceil(BLOCK_BYTES) * 32;
    let mut out = Vec::with_capacity(HEADER_BYTES + body_bytes + hashes_bytes);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&u32::try_from(BLOCK_BYTES).expect("a constant").to_le_bytes());
    out.extend_from_slice(&((HEADER_BYTES + body_bytes + hashes_bytes) as u64).to_le_bytes());
    let mut offset = HEADER_BYTES;
    for bytes in body_parts.iter().map(Vec::len).chain([hashes_bytes]) {
        out.extend_from_slice(&(offset as u64).to_le_bytes());
        out.extend_from_slice(&(bytes as u64).to_le_bytes());
        offset += bytes;
    }
    out.resize(HEADER_BYTES, 0);
    for part in body_parts {
        out.extend_from_slice(&part);
    }
    let hashes: Vec<u8> = out[HEADER_BYTES..].chunks(BLOCK_BYTES).flat_map(Sha256::digest).collect();
    out[super::ROOT_AT..super::ROOT_AT + 32].copy_from_slice(&Sha256::digest(&hashes));
    out[SORTS_AT..SORTS_AT + 4].copy_from_slice(&sorts.to_le_bytes());
    let header_hash = Sha256::digest(&out[..HEADER_HASH_AT]);
    out[HEADER_HASH_AT..HEADER_BYTES].copy_from_slice(&header_hash[..HEADER_BYTES - HEADER_HASH_AT]);
    out.extend_from_slice(&hashes);
    out
}
