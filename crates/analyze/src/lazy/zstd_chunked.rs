//! zstd:chunked: every part of a file is a Zstandard frame of its own; a skippable frame holds the table of contents.
//!
//! Facts: `pkg/chunked/internal/minimal/compression.go` and `compression_linux.go` of containers/storage. The footer
//! repeats where the table lies, but not its digest, so that only the annotations count; containers/storage never reads
//! it either. Invariant: a table that is returned has the digest that the annotation names, and all its offsets lie
//! before it.

use super::toc::{ChunkType, Row, RowKind, rows, shown};
use super::{Form, Part, Refused, TABLE_BYTES_MAX, Table, digest_of};
use crate::decompress::{Caps, Decompressor};
use crate::limits::Limits;
use model::Digest;
use std::collections::BTreeMap;
use std::ops::Range;

/// The prefixes of the annotations: older versions of containers/storage wrote the second one.
const PREFIXES: [&str; 2] = ["io.github.containers.zstd-chunked", "io.containers.zstd-chunked"];

/// The one type of a table of contents.
const TYPE_CRFS: u64 = 1;

/// Where the table of contents lies, by the annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// In the blob.
    pub range: Range<u64>,
    bytes: u64,
    digest: Digest,
}

impl Position {
    /// The digest of what lies there.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads the annotations; `None` when there are none of this form.
    ///
    /// # Errors
    /// [`super::RefusedKind::Unusable`] when they name no digest, or a place where no table can be.
    pub(super) fn of(annotations: &BTreeMap<String, String>, blob_bytes: u64) -> Result<Option<Self>, Refused> {
        let found = PREFIXES.iter().find_map(|prefix| {
            let position = annotations.get(&format!("{prefix}.manifest-position"))?;
            Some((position, annotations.get(&format!("{prefix}.manifest-checksum"))))
        });
        let Some((position, digest)) = found else { return Ok(None) };
        let bad = || {
            Refused::unusable(format!("the annotation about the table of contents is no place: {:?}", shown(position)))
        };
        let digest = digest.and_then(|text| text.parse().ok());
        let digest =
            digest.ok_or_else(|| Refused::unusable("no annotation names the digest of its table of contents"))?;
        let numbers: Option<Vec<u64>> = position.split(':').map(|number| number.parse().ok()).collect();
        let Some(&[start, packed, bytes, TYPE_CRFS]) = numbers.as_deref() else { return Err(bad()) };
        let end = start.checked_add(packed).filter(|end| packed > 0 && *end <= blob_bytes).ok_or_else(bad)?;
        if packed.max(bytes) > TABLE_BYTES_MAX {
            let size = packed.max(bytes);
            let text = format!("a table of contents of {size} bytes, the limit is {TABLE_BYTES_MAX}");
            return Err(Refused::unusable(text));
        }
        Ok(Some(Self { range: start..end, bytes, digest }))
    }
}

/// Reads the table of contents: `packed` is what lies in the blob at its position.
///
/// # Errors
/// [`super::RefusedKind::Mismatch`] when it has another digest than the annotation names,
/// [`super::RefusedKind::Unusable`] when it cannot be used.
pub fn table(packed: &[u8], position: &Position, blob_bytes: u64, limits: &Limits) -> Result<Table, Refused> {
    let found = digest_of(packed);
    if found != position.digest {
        let text = format!("the table of contents has the digest {found}, the manifest names {}", position.digest);
        return Err(Refused::mismatch(text));
    }
    let bad = |what: String| Refused::unusable(format!("the table of contents cannot be unpacked: {what}"));
    let caps = Caps { bytes_max: position.bytes, ..Caps::layer(limits) };
    let stream = Decompressor::of_size(packed, caps, packed.len());
    let mut stream = stream.map_err(|(stop, _)| bad(std::io::Error::from(stop).to_string()))?;
    let mut document = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut document).map_err(|error| bad(error.to_string()))?;
    let mut table = Table {
        form: Form::ZstdChunked,
        entries: Vec::new(),
        parts: Vec::new(),
        spans: None,
        blob_bytes,
        table_bytes: position.range.end - position.range.start,
    };
    let mut rows = rows(&document)?;
    drop(document);
    let mut at = 0;
    while at < rows.len() {
        let chunks = rows[at + 1..].iter().take_while(|row| row.kind == RowKind::Chunk).count();
        file(&mut table, &mut rows[at..=at + chunks], position.range.start)?;
        at += 1 + chunks;
    }
    Ok(table)
}

/// Takes one entry, with the parts that follow it.
fn file(table: &mut Table, rows: &mut [Row], table_start: u64) -> Result<(), Refused> {
    let name = rows.first().map(|row| shown(&row.name)).unwrap_or_default();
    let bad = |what: &str| Refused::unusable(format!("{what} {name:?}"));
    let parts = table.parts.len();
    let Some(mut entry) = rows.first_mut().map(|row| row.entry(parts)).transpose()?.flatten() else {
        return Err(bad("a part without its file:"));
    };
    if entry.bytes == 0 {
        table.entries.push(entry);
        return if rows.len() == 1 { Ok(()) } else { Err(bad("parts of nothing:")) };
    }
    let end = rows[0].end_offset;
    let mut known = 0;
    for (at, row) in rows.iter().enumerate() {
        if at > 0 && row.name.as_bytes() != &*entry.name {
            return Err(bad("a part of another file follows"));
        }
        let left = entry.bytes - known;
        let bytes = if row.chunk_size == 0 { left } else { row.chunk_size };
        if row.chunk_offset != known || bytes == 0 || bytes > left {
            return Err(bad("the parts do not make up the file"));
        }
        known += bytes;
        // A part ends where the next begins, the last where the file does.
        let stream = row.offset..rows.get(at + 1).map_or(end, |next| next.offset);
        let is_zeros = row.chunk_type == ChunkType::Zeros;
        if !is_zeros && (stream.start >= stream.end || stream.end > table_start) {
            return Err(bad("the table of contents has no place for"));
        }
        let whole = row.digest.filter(|_| rows.len() == 1);
        let digest = row.chunk_digest.or(whole).filter(|_| !is_zeros);
        if digest.is_none() && !is_zeros {
            return Err(bad("the table of contents names no digest for a part of"));
        }
        let stream = if is_zeros { 0..0 } else { stream };
        table.parts.push(Part { stream, inner: 0, bytes, digest });
    }
    if known != entry.bytes {
        return Err(bad("the parts do not make up the file"));
    }
    entry.parts.end = table.parts.len();
    table.entries.push(entry);
    Ok(())
}
