//! Layers that can be read in parts: a table of contents, made by the publisher, says where each file lies in the blob.
//!
//! Three forms have one: eStargz ([`estargz`]), zstd:chunked ([`zstd_chunked`]) and layers with a SOCI index ([`soci`]).
//! What the package analyzers want is chosen from the table, fetched by ranges, verified part by part and shown to the
//! same pass ([`crate::read_layer`]) as an archive that is put together here ([`Tape`]).
//!
//! Not here: requests, and what the annotations of a manifest are worth (the caller verified the manifest). Invariant:
//! a byte that is shown to an analyzer has passed the digest that the table names for its part, or the reading fails;
//! what was not fetched is told as a gap. What the table says of the archive is the publisher's word: nobody has looked
//! at the archive itself.

mod choice;
pub mod estargz;
pub mod soci;
mod source;
mod tape;
mod toc;
pub mod zstd_chunked;

pub use choice::Choice;
pub use tape::Tape;

use model::Digest;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Bytes of a table of contents, packed and unpacked. A larger one is not used: the layer is read as a whole.
pub const TABLE_BYTES_MAX: u64 = 32 << 20;

/// Rows of a table of contents: files, and parts of files. A longer one is not used.
pub const ROWS_MAX: usize = 250_000;

/// The longest name or link in a table of contents, in bytes.
const NAME_BYTES_MAX: usize = 32 << 10;

/// What lies between two ranges and is no longer than this is fetched along, in bytes: another request costs more.
const RANGE_GAP_BYTES_MAX: u64 = 32 << 10;

/// How a layer says that it can be read in parts, in the annotations of its descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// eStargz: the digest of the table of contents.
    Estargz {
        /// Of the unpacked JSON document.
        table: Digest,
    },
    /// zstd:chunked: where the table of contents lies.
    ZstdChunked(zstd_chunked::Position),
}

impl Offer {
    /// Reads the annotations of a layer's descriptor; `None` when they offer nothing.
    ///
    /// # Errors
    /// [`RefusedKind::Unusable`] when they offer something that cannot be read.
    pub fn of(annotations: &BTreeMap<String, String>, blob_bytes: u64) -> Result<Option<Self>, Refused> {
        if let Some(position) = zstd_chunked::Position::of(annotations, blob_bytes)? {
            return Ok(Some(Self::ZstdChunked(position)));
        }
        let Some(text) = annotations.get(estargz::TABLE_DIGEST) else { return Ok(None) };
        let table = text.parse().map_err(|e| Refused::unusable(format!("{}: {e}", estargz::TABLE_DIGEST)))?;
        Ok(Some(Self::Estargz { table }))
    }
}

/// What kind of table of contents it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// eStargz.
    Estargz,
    /// zstd:chunked.
    ZstdChunked,
    /// A SOCI index.
    Soci,
}

impl Form {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estargz => "eStargz",
            Self::ZstdChunked => "zstd:chunked",
            Self::Soci => "SOCI",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The table cannot be used; the layer can still be read as a whole.
    Unusable,
    /// Bytes do not have the digest that was promised for them: nothing that came with them is believed.
    Mismatch,
}

/// Why a layer is not read in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For branching.
    pub kind: RefusedKind,
    /// For people.
    pub text: String,
}

impl Refused {
    fn unusable(text: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Unusable, text: text.into() }
    }

    fn mismatch(text: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Mismatch, text: text.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// A table of contents: what the archive holds, in its order, and where the content lies in the blob.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    form: Form,
    entries: Vec<Entry>,
    /// The parts of all files, in the order of the entries.
    parts: Vec<Part>,
    /// SOCI: the places where unpacking can begin.
    spans: Option<soci::Spans>,
    /// Bytes of the blob.
    blob_bytes: u64,
    /// Bytes that were fetched to have the table.
    table_bytes: u64,
}

impl Table {
    /// What kind it is.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// How many entries the archive has, by its table.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

/// One entry of the archive.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: Box<[u8]>,
    kind: Kind,
    /// Size of a file's content.
    bytes: u64,
    mode: u32,
    uid: u64,
    gid: u64,
    /// Which of the table's parts are its content.
    parts: Range<usize>,
}

/// What kind of entry it is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Symlink(Box<[u8]>),
    HardLink(Box<[u8]>),
    CharacterDevice,
    BlockDevice,
    Pipe,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Where the packed stream that holds it lies in the blob; empty for a run of zeros, which has none.
    stream: Range<u64>,
    /// Where it begins in the unpacked stream.
    inner: u64,
    /// Its size.
    bytes: u64,
    /// Of its bytes. `None` where the stream is verified instead.
    digest: Option<Digest>,
}

impl Part {
    const fn is_zeros(&self) -> bool {
        self.stream.start == self.stream.end
    }

    /// Does reading it after `before` take a new look at its stream?
    fn opens_after(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.stream != self.stream || self.inner < before.inner + before.bytes)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn offers_are_read_from_annotations() {
        let digest = digest_of(b"table").to_string();
        let offer = |pairs: &[(&str, &str)]| Offer::of(&annotations(pairs), 10_000);
        assert_eq!(offer(&[]), Ok(None));
        let estargz = offer(&[(estargz::TABLE_DIGEST, &digest)]).unwrap();
        assert_eq!(estargz, Some(Offer::Estargz { table: digest_of(b"table") }));
        assert_eq!(offer(&[(estargz::TABLE_DIGEST, "sha256:x")]).unwrap_err().kind, RefusedKind::Unusable);
        for prefix in ["io.github.containers.zstd-chunked", "io.containers.zstd-chunked"] {
            let (position, checksum) = (format!("{prefix}.manifest-position"), format!("{prefix}.manifest-checksum"));
            let good = offer(&[(&position, "4211:219:300:1"), (&checksum, &digest)]).unwrap();
            assert!(matches!(good, Some(Offer::ZstdChunked(_))), "{good:?}");
            for bad in ["4211:219:300", "4211:219:300:2", "9900:219:300:1", "x", "18446744073709551615:2:3:1", ""] {
                let refused = offer(&[(&position, bad), (&checksum, &digest)]).unwrap_err();
                assert_eq!(refused.kind, RefusedKind::Unusable, "{bad}");
            }
            assert!(offer(&[(&position, "4211:219:300:1")]).is_err(), "a place without a digest");
        }
    }
}
