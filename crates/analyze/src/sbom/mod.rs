//! Bills of materials as a source of packages: CycloneDX 1.2 to 1.7 (JSON), SPDX 2.2 and 2.3 (JSON and tag-value) and
//! the JSON of syft.
//!
//! Not here: where the document comes from, and judging its packages. Invariant: everything that the document names and
//! that could not be understood is a gap; equal bytes and limits give equal results; time and memory are bounded by
//! [`SbomLimits`], whatever the document says.

mod collect;
mod inventory;
mod json;
mod lenient;
mod tag_value;

pub use inventory::inventory;

use crate::{Error, ErrorKind};
use model::inventory::OsRelease;
use model::{Gap, LayerPath, PackageKey, Platform, Timestamp};
use std::fmt;

/// What is read of a document at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SbomLimits {
    /// Bytes of the document. Default 128 MiB.
    pub bytes_max: u64,
    /// Components, or packages. Default 200,000.
    pub components_max: usize,
}

impl Default for SbomLimits {
    fn default() -> Self {
        Self { bytes_max: 128 << 20, components_max: 200_000 }
    }
}

/// In which form a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomFormat {
    /// CycloneDX, JSON (ECMA-424).
    CycloneDx,
    /// SPDX 2, JSON.
    Spdx,
    /// SPDX 2, tag-value.
    SpdxTagValue,
    /// What syft writes as `syft-json`.
    Syft,
}

impl SbomFormat {
    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CycloneDx => "CycloneDX",
            Self::Spdx | Self::SpdxTagValue => "SPDX",
            Self::Syft => "syft",
        }
    }
}

impl fmt::Display for SbomFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A document, as far as it speaks of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// Its form.
    pub format: SbomFormat,
    /// The version of that form, as the document says it.
    pub version: String,
    /// What it describes, as it says.
    pub name: Option<String>,
    /// When it was made, as it says.
    pub created: Option<Timestamp>,
    /// What the image runs on, where it says so.
    pub platform: Option<Platform>,
    /// The operating system.
    pub os: Option<OsRelease>,
    /// One per key, sorted.
    pub packages: Vec<SbomPackage>,
    /// What it names and could not be understood, and what it says itself that it does not know. Sorted.
    pub gaps: Vec<Gap>,
}

/// A package of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SbomPackage {
    /// What a verdict needs.
    pub key: PackageKey,
    /// Licences as found, sorted.
    pub licenses: Vec<String>,
    /// Files that it was found in, sorted.
    pub paths: Vec<LayerPath>,
}

/// Reads a document; its form is told by its content.
///
/// # Errors
/// `Malformed` when it is none of the known forms, or cut off; `LimitExceeded` when it is too large.
pub fn read(bytes: &[u8], limits: &SbomLimits) -> Result<Sbom, Error> {
    if bytes.len() as u64 > limits.bytes_max {
        let text = format!("the document has {} bytes, more than the limit of {}", bytes.len(), limits.bytes_max);
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        Some(b'{') => json::read(bytes, limits),
        Some(b'<') => Err(malformed(
            "XML is not read: write the bill of materials as JSON, for example with `cyclonedx convert` or the option \
             of the tool that made it",
        )),
        Some(_) if tag_value::is_document(bytes) => tag_value::read(bytes, limits),
        Some(_) | None => Err(malformed("it is neither JSON nor SPDX tag-value")),
    }
}

fn malformed(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, format!("not a bill of materials that can be read: {}", text.into()))
}
