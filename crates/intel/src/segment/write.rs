//! Writes a segment from content, using it up, so that it lies in memory once.

use super::{
    ADVISORY_ENTRY_BYTES, BLOCK_BYTES, DIGEST_ENTRY_BYTES, FORMAT, HEADER_BYTES, HEADER_HASH_AT, KEY_ENTRY_BYTES,
    MAGIC, PARTS, directory_bits, directory_slot, key_hash,
};
use crate::record::Key;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

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
    /// Row of its advisory; `None` for a record that stands for itself.
    advisory: Option<u32>,
    record: Vec<u8>,
}

/// The parts of the body while they grow.
#[derive(Default)]
struct Parts {
    keys: Vec<u8>,
    advisories: Vec<u8>,
    names: Vec<u8>,
    digests: Vec<u8>,
    heap: Vec<u8>,
    /// Of every row of the key table, in order.
    hashes: Vec<u64>,
}

/// Lays the content out. Equal content gives equal bytes.
pub(crate) fn write(content: SegmentContent) -> Vec<u8> {
    let mut parts = Parts::default();
    let SegmentContent { advisories, singles, digests } = content;
    let mut pending = write_advisories(advisories, &mut parts);
    pending.extend(singles.into_iter().map(|(key, record)| {
        let key = key.encode();
        Pending { hash: key_hash(&key), key, advisory: None, record }
    }));
    pending.sort_by(|a, b| (a.hash, &a.key, a.advisory).cmp(&(b.hash, &b.key, b.advisory)));
    for of_key in pending.chunk_by(|a, b| a.key == b.key) {
        write_key(of_key, &mut parts);
    }
    drop(pending);
    for (digest, record) in digests {
        parts.digests.extend_from_slice(digest.as_bytes());
        parts.digests.extend_from_slice(&(parts.heap.len() as u64).to_le_bytes());
        parts.digests.extend_from_slice(&length(&record).to_le_bytes());
        parts.digests.extend_from_slice(&0u32.to_le_bytes());
        parts.heap.extend_from_slice(&record);
    }
    debug_assert!(parts.digests.len().is_multiple_of(DIGEST_ENTRY_BYTES));
    let directory = directory(&parts.hashes);
    assemble([directory, parts.keys, parts.advisories, parts.names, parts.digests, parts.heap])
}

/// Lengths inside a segment are 32 bits: a record is far smaller, because documents are capped.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("documents are capped far below 4 GiB")
}

fn write_advisories(advisories: Vec<PackedAdvisory>, parts: &mut Parts) -> Vec<Pending> {
    let mut pending = Vec::with_capacity(advisories.iter().map(|a| a.statements.len()).sum());
    parts.advisories.reserve_exact(advisories.len() * ADVISORY_ENTRY_BYTES);
    for (row, packed) in advisories.into_iter().enumerate() {
        for name in &packed.names {
            parts.names.extend_from_slice(&name.to_le_bytes());
        }
        parts.advisories.extend_from_slice(&(parts.heap.len() as u64).to_le_bytes());
        parts.advisories.extend_from_slice(&length(&packed.advisory).to_le_bytes());
        parts.advisories.extend_from_slice(&length(&parts.names).to_le_bytes());
        parts.heap.extend_from_slice(&packed.advisory);
        let advisory = Some(u32::try_from(row).expect("documents are capped"));
        pending.extend(packed.statements.into_iter().map(|(key, record)| Pending {
            hash: key_hash(&key),
            key,
            advisory,
            record,
        }));
    }
    pending
}

/// One row of the key table and its record.
fn write_key(of_key: &[Pending], parts: &mut Parts) {
    let Some(first) = of_key.first() else { return };
    let start = parts.heap.len();
    let mut hasher = Sha256::new();
    parts.heap.extend_from_slice(&length(&first.key).to_le_bytes());
    parts.heap.extend_from_slice(&first.key);
    if first.advisory.is_some() {
        let count = u32::try_from(of_key.len()).expect("documents are capped");
        parts.heap.extend_from_slice(&count.to_le_bytes());
    }
    for Pending { advisory, record, .. } in of_key {
        if let Some(row) = advisory {
            parts.heap.extend_from_slice(&row.to_le_bytes());
            parts.heap.extend_from_slice(&length(record).to_le_bytes());
            let at = *row as usize * ADVISORY_ENTRY_BYTES;
            let number = |from: usize, to: usize| {
                parts.advisories[at + from..at + to].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
            };
            let (offset, bytes) = (number(0, 8), number(8, 12));
            hasher.update((bytes as u64).to_le_bytes());
            hasher.update(&parts.heap[offset..offset + bytes]);
        }
        hasher.update((record.len() as u64).to_le_bytes());
        hasher.update(record);
        parts.heap.extend_from_slice(record);
    }
    parts.hashes.push(first.hash);
    parts.keys.extend_from_slice(&first.hash.to_le_bytes());
    parts.keys.extend_from_slice(&(start as u64).to_le_bytes());
    parts.keys.extend_from_slice(&length(&parts.heap[start..]).to_le_bytes());
    parts.keys.extend_from_slice(&0u32.to_le_bytes());
    parts.keys.extend_from_slice(&hasher.finalize()[..16]);
    debug_assert!(parts.keys.len().is_multiple_of(KEY_ENTRY_BYTES));
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

fn assemble(body_parts: [Vec<u8>; PARTS - 1]) -> Vec<u8> {
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
    let header_hash = Sha256::digest(&out[..HEADER_HASH_AT]);
    out[HEADER_HASH_AT..HEADER_BYTES].copy_from_slice(&header_hash[..HEADER_BYTES - HEADER_HASH_AT]);
    out.extend_from_slice(&hashes);
    out
}
