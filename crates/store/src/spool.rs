//! Temporary files with a common ceiling: unlinked at birth, so that no crash leaves any behind.

use crate::{Result, durable};
use model::ports::{Spool, SpoolFile};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives out unlinked files of one folder that together never take more than a ceiling.
#[derive(Debug, Clone)]
pub struct DiskSpool {
    folder: PathBuf,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    bytes_max: u64,
    used: AtomicU64,
}

impl DiskSpool {
    /// Files go to `folder`, which is made, and take `bytes_max` bytes at most, all together.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path, bytes_max: u64) -> Result<Self> {
        durable::make_folder(folder)?;
        let budget = Arc::new(Budget { bytes_max, used: AtomicU64::new(0) });
        Ok(Self { folder: folder.to_owned(), budget })
    }

    /// Bytes in use now.
    pub fn used_bytes(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed)
    }
}

impl Spool for DiskSpool {
    fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
        let file = tempfile::tempfile_in(&self.folder)?;
        Ok(Box::new(Unlinked { file, at: 0, bytes: 0, budget: Arc::clone(&self.budget) }))
    }
}

impl Budget {
    fn take(&self, bytes: u64) -> io::Result<()> {
        let room = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(()),
            Err(_) => {
                let text = format!("temporary files would take more than {} bytes", self.bytes_max);
                Err(io::Error::new(io::ErrorKind::StorageFull, text))
            }
        }
    }
}

/// One file. `bytes` is what it takes of the budget: its length, holes included.
struct Unlinked {
    file: File,
    at: u64,
    bytes: u64,
    budget: Arc<Budget>,
}

impl Read for Unlinked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Unlinked {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let end = self.at.saturating_add(buffer.len() as u64);
        if let Some(growth) = end.checked_sub(self.bytes).filter(|g| *g > 0) {
            self.budget.take(growth)?;
            self.bytes = end;
        }
        let written = self.file.write(buffer)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Unlinked {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spool_files_share_one_ceiling_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = DiskSpool::new(folder.path(), 100).unwrap();
        let mut first = spool.file().unwrap();
        let mut second = spool.file().unwrap();
        first.write_all(&[1; 60]).unwrap();
        let full = second.write_all(&[2; 41]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        second.write_all(&[2; 40]).unwrap();
        assert_eq!(spool.used_bytes(), 100);
        // Writing over what is there takes no more room.
        first.seek(SeekFrom::Start(0)).unwrap();
        first.write_all(&[3; 60]).unwrap();
        first.seek(SeekFrom::Start(0)).unwrap();
        let mut back = Vec::new();
        first.read_to_end(&mut back).unwrap();
        assert_eq!(back, [3; 60]);
        drop(first);
        assert_eq!(spool.used_bytes(), 40);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn holes_count() {
        let folder = tempfile::tempdir().unwrap();
        let spool = DiskSpool::new(folder.path(), 100).unwrap();
        let mut file = spool.file().unwrap();
        file.seek(SeekFrom::Start(1 << 30)).unwrap();
        assert_eq!(file.write_all(&[1]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
