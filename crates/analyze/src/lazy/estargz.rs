//! eStargz: every file is a gzip member of its own, or several; the last member but one holds the table of contents.
//!
//! Facts: `docs/estargz.md` of containerd/stargz-snapshotter. Invariant: a table that is returned has the digest that
//! the layer's annotation names, and all its offsets lie before it.

use super::toc::{Row, RowKind, rows, shown};
use super::{Form, Part, Refused, TABLE_BYTES_MAX, Table, digest_of};
use crate::decompress::{Caps, Decompressor};
use crate::limits::Limits;
use crate::tar::{Member, Walker};
use model::Digest;
use std::io::BufReader;
use std::ops::Range;

/// The annotation that names the digest of the unpacked table of contents.
pub const TABLE_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";

/// The name of the table of contents in the archive.
const TABLE_NAME: &[u8] = b"stargz.index.json";

/// Bytes of the footer: an empty gzip member whose extra field says where the table of contents begins.
pub const FOOTER_BYTES: u64 = 51;

/// Bytes of the footer that stargz had before its extra field had a header (`estargz/types.go`, `legacyFooterSize`).
const FOOTER_BYTES_LEGACY: u64 = 47;

/// Where the table of contents lies in the blob, by the blob's last [`FOOTER_BYTES`] bytes.
///
/// # Errors
/// [`super::RefusedKind::Unusable`] when they are no footer or name a place where no table can be.
pub fn table_range(footer: &[u8], blob_bytes: u64) -> Result<Range<u64>, Refused> {
    let bad = || Refused::unusable("the blob does not end with the footer of an eStargz layer");
    if footer.len() as u64 != FOOTER_BYTES {
        return Err(bad());
    }
    let (_, legacy) = footer.split_at((FOOTER_BYTES - FOOTER_BYTES_LEGACY) as usize);
    let (start, footer_bytes) = match (start(footer, true), start(legacy, false)) {
        (Some(start), _) => (start, FOOTER_BYTES),
        (None, Some(start)) => (start, FOOTER_BYTES_LEGACY),
        (None, None) => return Err(bad()),
    };
    let end = blob_bytes.checked_sub(footer_bytes).ok_or_else(bad)?;
    if start >= end {
        return Err(Refused::unusable(format!("the footer says that the table of contents begins at byte {start}")));
    }
    if end - start > TABLE_BYTES_MAX {
        let text = format!("a table of contents of {} packed bytes, the limit is {TABLE_BYTES_MAX}", end - start);
        return Err(Refused::unusable(text));
    }
    Ok(start..end)
}

/// The offset in a footer: gzip header, length of the extra field, in the newer form a subfield `SG` with its length,
/// then sixteen hexadecimal digits and `STARGZ`.
fn start(footer: &[u8], has_subfield: bool) -> Option<u64> {
    let rest = footer.strip_prefix(&[0x1f, 0x8b, 8, 4])?.get(6..)?;
    let rest = match has_subfield {
        true => rest.strip_prefix(b"\x1a\0SG\x16\0")?,
        false => rest.strip_prefix(b"\x16\0")?,
    };
    let digits = rest.get(..16)?;
    rest[16..].strip_prefix(b"STARGZ")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Reads the table of contents: `packed` is what lies in the blob at `at`.
///
/// # Errors
/// [`super::RefusedKind::Mismatch`] when it has another digest than `digest`, [`super::RefusedKind::Unusable`] when it
/// cannot be used.
pub fn table(
    packed: &[u8],
    at: &Range<u64>,
    digest: &Digest,
    blob_bytes: u64,
    limits: &Limits,
) -> Result<Table, Refused> {
    let document = unpacked(packed, limits)?;
    let found = digest_of(&document);
    if found != *digest {
        let text = format!("the table of contents has the digest {found}, the manifest names {digest}");
        return Err(Refused::mismatch(text));
    }
    let table = Table {
        form: Form::Estargz,
        entries: Vec::new(),
        parts: Vec::new(),
        spans: None,
        blob_bytes,
        table_bytes: FOOTER_BYTES + (at.end - at.start),
    };
    let rows = rows(&document)?;
    drop(document);
    let mut builder = Builder { table, starts: starts(&rows, at.start)?, known: 0 };
    for row in rows {
        builder.add(row)?;
    }
    builder.finish_file()?;
    Ok(builder.table)
}

/// The document: the one file of an archive in a gzip member.
fn unpacked(packed: &[u8], limits: &Limits) -> Result<Vec<u8>, Refused> {
    let bad = |what: &str| Refused::unusable(format!("the table of contents cannot be unpacked: {what}"));
    let caps = Caps { bytes_max: TABLE_BYTES_MAX + (64 << 10), ..Caps::layer(limits) };
    let stream = Decompressor::of_size(packed, caps, packed.len()).map_err(|_| bad("not gzip"))?;
    let mut walker = Walker::new(BufReader::new(stream), limits.extension_bytes_max);
    let mut member = Member::new();
    if !walker.next(&mut member).map_err(|broken| bad(&broken.text()))? || member.name != TABLE_NAME {
        return Err(bad("there is no stargz.index.json"));
    }
    if member.bytes > TABLE_BYTES_MAX {
        return Err(bad(&format!("{} bytes, the limit is {TABLE_BYTES_MAX}", member.bytes)));
    }
    let (document, broken) = walker.whole(&mut Vec::new(), |content, _| content.to_vec());
    broken.map_or(Ok(document), |broken| Err(bad(&broken.text())))
}

/// Where gzip members begin: the table has no lengths, so that each ends where the next begins.
fn starts(rows: &[Row], table_start: u64) -> Result<Vec<u64>, Refused> {
    let has_content = |row: &&Row| row.kind == RowKind::Chunk || row.kind == RowKind::Reg && row.size > 0;
    let mut starts: Vec<u64> = rows.iter().filter(has_content).map(|row| row.offset).collect();
    starts.sort_unstable();
    starts.dedup();
    if starts.last().is_some_and(|last| *last >= table_start) {
        return Err(Refused::unusable("the table of contents names a place that lies behind it"));
    }
    starts.push(table_start);
    Ok(starts)
}

struct Builder {
    table: Table,
    starts: Vec<u64>,
    /// Bytes of the last file whose parts were seen.
    known: u64,
}

impl Builder {
    fn add(&mut self, mut row: Row) -> Result<(), Refused> {
        let name = shown(&row.name);
        if row.kind != RowKind::Chunk {
            self.finish_file()?;
        } else if self.table.entries.last().is_none_or(|file| file.bytes == 0)
            || !row.name.is_empty() && self.table.entries.last().is_none_or(|file| row.name.as_bytes() != &*file.name)
        {
            return Err(Refused::unusable(format!("a part of {name:?} does not follow its file")));
        }
        let parts = self.table.parts.len();
        if let Some(entry) = row.entry(parts)? {
            self.table.entries.push(entry);
            self.known = 0;
        }
        let Some(file) = self.table.entries.last_mut().filter(|entry| entry.bytes > 0) else { return Ok(()) };
        let left = file.bytes - self.known;
        // The last part of a file, and the only one, has the size zero: it goes to the file's end.
        let bytes = if row.chunk_size == 0 { left } else { row.chunk_size };
        if row.chunk_offset != self.known || bytes == 0 || bytes > left {
            return Err(Refused::unusable(format!("the parts of {name:?} do not make up the file")));
        }
        let whole = row.digest.filter(|_| bytes == file.bytes);
        let Some(digest) = row.chunk_digest.or(whole) else {
            return Err(Refused::unusable(format!("the table of contents names no digest for a part of {name:?}")));
        };
        if row.inner_offset > i64::MAX.cast_unsigned() {
            return Err(Refused::unusable(format!("{name:?} lies beyond the end of any stream")));
        }
        let next = self.starts.partition_point(|start| *start <= row.offset);
        let stream = row.offset..self.starts[next];
        self.table.parts.push(Part { stream, inner: row.inner_offset, bytes, digest: Some(digest) });
        self.known += bytes;
        file.parts.end = parts + 1;
        Ok(())
    }

    /// Do the parts of the last file make it up?
    fn finish_file(&self) -> Result<(), Refused> {
        match self.table.entries.last() {
            Some(file) if file.bytes != self.known => {
                let name = shown(&String::from_utf8_lossy(&file.name));
                Err(Refused::unusable(format!("the parts of {name:?} do not make up the file")))
            }
            _ => Ok(()),
        }
    }
}
