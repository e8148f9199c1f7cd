//! A file as bytes: the one place of this workspace with `unsafe`.
//!
//! Invariant: only files that nobody changes while they are mapped. Segments are written once under the name of their
//! digest, made read-only, and removed by unlinking, which leaves existing maps whole; temporary files have no name, and
//! who maps one holds its only handle.

use crate::{Error, ErrorKind, Result, durable};
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::Path;

/// A read-only map of a whole file.
#[derive(Debug)]
pub struct Mapped(Option<Mmap>);

impl Mapped {
    /// Maps a file that must have exactly `bytes` bytes.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Malformed` when its size differs.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let file = File::open(path).map_err(|e| durable::io_error(e, "cannot open", path))?;
        let found = file.metadata().map_err(|e| durable::io_error(e, "cannot read", path))?.len();
        if found != bytes {
            let text = format!("{} has {found} bytes instead of {bytes}: it was damaged", path.display());
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        if bytes == 0 {
            return Ok(Self(None));
        }
        Self::map(&file).map_err(|e| durable::io_error(e, "cannot map", path))
    }

    /// Maps a temporary file of at least one byte. Its only handle must be borrowed for as long as the map lives.
    pub(crate) fn temporary(file: &File) -> io::Result<Self> {
        Self::map(file)
    }

    fn map(file: &File) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "mapping a file is unsafe by signature; see the invariant of this module")]
        // SAFETY: by the invariant of this module nobody truncates the file or writes to it while it is mapped.
        let map = unsafe { Mmap::map(file) };
        Ok(Self(Some(map?)))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_the_whole_file_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(Mapped::open(&path, 3).unwrap().as_ref(), b"abc");
        assert_eq!(Mapped::open(&path, 4).unwrap_err().kind, ErrorKind::Malformed);
        assert_eq!(Mapped::open(&folder.path().join("g"), 3).unwrap_err().kind, ErrorKind::NotFound);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(Mapped::open(&path, 0).unwrap().as_ref(), b"");
    }
}
