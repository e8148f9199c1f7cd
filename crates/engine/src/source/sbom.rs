//! A bill of materials in a file, in the place of an image.
//!
//! Not here: understanding it; `analyze::sbom` does.

use crate::{Error, ErrorKind, Result};
use analyze::sbom::{self, Sbom, SbomLimits};
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The scheme of a bill of materials on the command line.
const SCHEME: &str = "sbom:";

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomDocument {
    /// What it says.
    pub sbom: Sbom,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// The file of `sbom:FILE`; `None` when the text names something else.
///
/// # Errors
/// `Usage` when no file is named.
pub fn sbom_file(text: &str) -> Result<Option<PathBuf>> {
    match text.strip_prefix(SCHEME) {
        None => Ok(None),
        Some("") => Err(Error::new(ErrorKind::Usage, format!("{text:?} names no file: expected {SCHEME}FILE"))),
        Some(path) => Ok(Some(PathBuf::from(path))),
    }
}

/// Reads a document from a file.
///
/// # Errors
/// When the file cannot be read, is too large, or is no bill of materials that is known.
pub fn read_sbom_file(path: &Path, limits: &SbomLimits) -> Result<SbomDocument> {
    let unreadable = |error| Error::because(ErrorKind::NotFound, format!("{} cannot be read", path.display()), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limits.bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    read_sbom(&bytes, limits)
        .map_err(|error| Error { context: format!("{}: {}", path.display(), error.context), ..error })
}

/// Reads a document.
///
/// # Errors
/// When it is too large, or is no bill of materials that is known.
pub fn read_sbom(bytes: &[u8], limits: &SbomLimits) -> Result<SbomDocument> {
    let sbom = sbom::read(bytes, limits).map_err(|error| {
        let kind = match error.kind {
            analyze::ErrorKind::LimitExceeded => ErrorKind::LimitExceeded,
            analyze::ErrorKind::Malformed | analyze::ErrorKind::Input | analyze::ErrorKind::Internal => {
                ErrorKind::Malformed
            }
        };
        Error::new(kind, error.to_string())
    })?;
    Ok(SbomDocument { sbom, digest: Digest::from_bytes(Sha256::digest(bytes).into()) })
}
