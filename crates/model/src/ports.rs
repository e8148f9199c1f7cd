//! What pure crates need from outside, as values: implemented at the edge and passed in.

use std::io::{self, Cursor, Read, Seek, Write};

/// Gives out temporary files: unlinked, and together never larger than a ceiling.
pub trait Spool: Send + Sync {
    /// A new empty file that takes room as it grows.
    ///
    /// # Errors
    /// When the file cannot be made.
    fn file(&self) -> io::Result<Box<dyn SpoolFile>>;

    /// A new empty file with room for `bytes` bytes, set aside at once. Waits while others hold that room: only for
    /// those who hold no other file, else two of them wait for each other.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when the ceiling is lower than that; and when the file cannot be made.
    fn file_with_room(&self, bytes: u64) -> io::Result<Box<dyn SpoolFile>> {
        let _grows = bytes;
        self.file()
    }
}

/// One temporary file. A write that would pass the ceiling fails with [`io::ErrorKind::StorageFull`].
pub trait SpoolFile: Read + Write + Seek + Send {
    /// All of its bytes, without copying them where that can be avoided. What was written is seen.
    ///
    /// # Errors
    /// When the file cannot be looked at as bytes.
    fn content(&mut self) -> io::Result<Box<dyn AsRef<[u8]> + '_>>;
}

impl SpoolFile for Cursor<Vec<u8>> {
    fn content(&mut self) -> io::Result<Box<dyn AsRef<[u8]> + '_>> {
        Ok(Box::new(self.get_ref().as_slice()))
    }
}

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
