//! Temporary files with a common ceiling: unlinked at birth, so that no crash leaves any behind.

use crate::mapped::Mapped;
use crate::{Result, durable};
use model::ports::{Spool, SpoolFile};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Gives out unlinked files of one folder that together never take more than a ceiling.
#[derive(Debug, Clone)]
pub struct DiskSpool {
    folder: PathBuf,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    bytes_max: u64,
    in_use: Mutex<Use>,
    given_back: Condvar,
}

/// Bytes that are taken, and the most that ever were.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    now: u64,
    peak: u64,
}

impl DiskSpool {
    /// Files go to `folder`, which is made, and take `bytes_max` bytes at most, all together.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path, bytes_max: u64) -> Result<Self> {
        durable::make_folder(folder)?;
        let budget = Budget { bytes_max, in_use: Mutex::default(), given_back: Condvar::new() };
        Ok(Self { folder: folder.to_owned(), budget: Arc::new(budget) })
    }

    /// Bytes in use now.
    pub fn used_bytes(&self) -> u64 {
        self.budget.lock().now
    }

    /// The most bytes that were ever in use at once.
    pub fn peak_bytes(&self) -> u64 {
        self.budget.lock().peak
    }

    fn new_file(&self, reserved: u64) -> io::Result<Box<dyn SpoolFile>> {
        // Made first, so that what was taken is given back when there is no file.
        let room = Room { bytes: reserved, budget: Arc::clone(&self.budget) };
        let file = tempfile::tempfile_in(&self.folder)?;
        Ok(Box::new(Unlinked { file, at: 0, bytes: 0, room }))
    }
}

impl Spool for DiskSpool {
    fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
        self.new_file(0)
    }

    fn file_with_room(&self, bytes: u64) -> io::Result<Box<dyn SpoolFile>> {
        self.budget.wait_for(bytes)?;
        self.new_file(bytes)
    }
}

impl Budget {
    fn lock(&self) -> MutexGuard<'_, Use> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> io::Error {
        let text = format!("temporary files would take more than {} bytes", self.bytes_max);
        io::Error::new(io::ErrorKind::StorageFull, text)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let mut in_use = self.lock();
        if in_use.add(bytes, self.bytes_max) { Ok(()) } else { Err(self.full()) }
    }

    /// Takes room as soon as others give enough back.
    fn wait_for(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.bytes_max {
            return Err(self.full());
        }
        let mut in_use = self.lock();
        while !in_use.add(bytes, self.bytes_max) {
            in_use = self.given_back.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.lock().now -= bytes;
        self.given_back.notify_all();
    }
}

impl Use {
    fn add(&mut self, bytes: u64, bytes_max: u64) -> bool {
        let Some(sum) = self.now.checked_add(bytes).filter(|sum| *sum <= bytes_max) else { return false };
        self.now = sum;
        self.peak = self.peak.max(sum);
        true
    }
}

/// What one file has taken of the budget.
struct Room {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// One file. `bytes` is what it needs of its room: its length, holes included.
struct Unlinked {
    file: File,
    at: u64,
    bytes: u64,
    /// Given back last, when the file is closed.
    room: Room,
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
        if let Some(growth) = end.checked_sub(self.room.bytes).filter(|g| *g > 0) {
            self.room.budget.take(growth)?;
            self.room.bytes = end;
        }
        let written = self.file.write(buffer)?;
        self.at += written as u64;
        self.bytes = self.bytes.max(self.at);
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

impl SpoolFile for Unlinked {
    fn content(&mut self) -> io::Result<Box<dyn AsRef<[u8]> + '_>> {
        if self.bytes == 0 {
            return Ok(Box::new([0_u8; 0]));
        }
        Ok(Box::new(Borrowed { map: Mapped::temporary(&self.file)?, _file: &self.file }))
    }
}

/// A map that cannot outlive the borrow of its file.
struct Borrowed<'a> {
    map: Mapped,
    _file: &'a File,
}

impl AsRef<[u8]> for Borrowed<'_> {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref()
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

    #[test]
    fn room_is_waited_for_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = DiskSpool::new(folder.path(), 100).unwrap();
        assert_eq!(spool.file_with_room(101).err().map(|e| e.kind()), Some(io::ErrorKind::StorageFull));
        let mut first = spool.file_with_room(70).unwrap();
        first.write_all(&[1; 70]).unwrap();
        assert_eq!(spool.used_bytes(), 70);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| spool.file_with_room(50).map(drop));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!((spool.used_bytes(), spool.peak_bytes()), (0, 70));
    }

    #[test]
    fn spool_files_are_seen_as_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let spool = DiskSpool::new(folder.path(), 100).unwrap();
        let mut file = spool.file().unwrap();
        assert_eq!(file.content().unwrap().as_ref().as_ref(), b"");
        file.write_all(b"abc").unwrap();
        assert_eq!(file.content().unwrap().as_ref().as_ref(), b"abc");
        file.write_all(b"de").unwrap();
        assert_eq!(file.content().unwrap().as_ref().as_ref(), b"abcde");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
