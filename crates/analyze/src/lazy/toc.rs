//! The JSON table of contents that eStargz and zstd:chunked share, but for the parts of files.
//!
//! Facts: `docs/estargz.md` of containerd/stargz-snapshotter ("TOC, TOCEntries and Footer"); `FileMetadata` in
//! `pkg/chunked/internal/minimal/compression.go` of containers/storage. Invariant: no more than [`ROWS_MAX`] rows are
//! ever held.

use super::{Entry, Kind, NAME_BYTES_MAX, ROWS_MAX, Refused};
use model::Digest;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// A row as both forms write it; numbers below zero are refused by their types.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: RowKind,
    #[serde(default)]
    link_name: Option<String>,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    mode: u64,
    #[serde(default)]
    uid: u64,
    #[serde(default)]
    gid: u64,
    #[serde(default)]
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) end_offset: u64,
    #[serde(default)]
    pub(super) inner_offset: u64,
    #[serde(default)]
    pub(super) chunk_offset: u64,
    #[serde(default)]
    pub(super) chunk_size: u64,
    #[serde(default, deserialize_with = "digest")]
    pub(super) digest: Option<Digest>,
    #[serde(default, deserialize_with = "digest")]
    pub(super) chunk_digest: Option<Digest>,
    #[serde(default)]
    pub(super) chunk_type: ChunkType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RowKind {
    Reg,
    Chunk,
    Dir,
    Symlink,
    Hardlink,
    Char,
    Block,
    Fifo,
}

/// zstd:chunked: what stands for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum ChunkType {
    #[default]
    #[serde(rename = "")]
    Data,
    #[serde(rename = "zeros")]
    Zeros,
}

/// An empty text is no digest.
fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

#[derive(Deserialize)]
struct Document {
    version: u64,
    #[serde(default)]
    entries: Option<Rows>,
}

struct Rows(Vec<Row>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Capped;
        impl<'de> Visitor<'de> for Capped {
            type Value = Vec<Row>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Row>, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = sequence.next_element()? {
                    if rows.len() >= ROWS_MAX {
                        return Err(A::Error::custom(format_args!("more than {ROWS_MAX} entries")));
                    }
                    rows.push(row);
                }
                Ok(rows)
            }
        }
        deserializer.deserialize_seq(Capped).map(Rows)
    }
}

/// The rows of a table of contents.
pub(super) fn rows(document: &[u8]) -> Result<Vec<Row>, Refused> {
    let parsed: Document = serde_json::from_slice(document)
        .map_err(|error| Refused::unusable(format!("the table of contents cannot be read: {error}")))?;
    if parsed.version != 1 {
        return Err(Refused::unusable(format!("a table of contents of version {}, not 1", parsed.version)));
    }
    Ok(parsed.entries.map(|rows| rows.0).unwrap_or_default())
}

impl Row {
    /// The row as an entry without parts; `None` for a part of a file.
    pub(super) fn entry(&mut self, parts: usize) -> Result<Option<Entry>, Refused> {
        let link = || -> Result<Box<[u8]>, Refused> { checked(self.link_name.clone().unwrap_or_default()) };
        let kind = match self.kind {
            RowKind::Chunk => return Ok(None),
            RowKind::Reg => Kind::File,
            RowKind::Dir => Kind::Folder,
            RowKind::Symlink => Kind::Symlink(link()?),
            RowKind::Hardlink => Kind::HardLink(link()?),
            RowKind::Char => Kind::CharacterDevice,
            RowKind::Block => Kind::BlockDevice,
            RowKind::Fifo => Kind::Pipe,
        };
        let bytes = if kind == Kind::File { self.size } else { 0 };
        if bytes > i64::MAX.cast_unsigned() {
            return Err(Refused::unusable(format!("{:?} is said to be larger than any file", shown(&self.name))));
        }
        let name = checked(std::mem::take(&mut self.name))?;
        let mode = u32::try_from(self.mode & 0o7777).unwrap_or_default();
        Ok(Some(Entry { name, kind, bytes, mode, uid: self.uid, gid: self.gid, parts: parts..parts }))
    }
}

/// A name that an archive can hold.
pub(super) fn checked(name: impl Into<Vec<u8>>) -> Result<Box<[u8]>, Refused> {
    let name = name.into();
    if name.len() > NAME_BYTES_MAX {
        return Err(Refused::unusable(format!("a name of {} bytes, the limit is {NAME_BYTES_MAX}", name.len())));
    }
    if name.contains(&0) {
        return Err(Refused::unusable("a name with a NUL byte in it"));
    }
    Ok(name.into_boxed_slice())
}

/// A name as far as an error shows it.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(120).collect()
}
