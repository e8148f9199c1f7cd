//! What pure crates need from outside, as values: implemented at the edge and passed in.

use std::io::{Read, Seek, Write};

/// Gives out temporary files: unlinked, and together never larger than a ceiling.
pub trait Spool: Send + Sync {
    /// A new empty file.
    ///
    /// # Errors
    /// When the file cannot be made.
    fn file(&self) -> std::io::Result<Box<dyn SpoolFile>>;
}

/// One temporary file. A write that would pass the ceiling fails with [`std::io::ErrorKind::StorageFull`].
pub trait SpoolFile: Read + Write + Seek + Send {}

impl<T: Read + Write + Seek + Send> SpoolFile for T {}

/// Looks at whole files with an engine outside the process (clamd).
pub trait Inspector: Send + Sync {
    /// Inspects one file's bytes.
    fn inspect(&self, bytes: &[u8]) -> Inspection;
}

/// What an [`Inspector`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// Nothing known.
    Clean,
    /// A signature matched, by name.
    Infected(String),
    /// This file is more than it looks at, and why: a gap about the file.
    TooLarge(String),
    /// It could not look, and why: a gap, not "clean".
    Unavailable(String),
}
