//! The memory of all readers together, and where content lies that does not fit into it.
//!
//! Not here: which content is kept. Invariant: what is held in memory is taken from the budget before it is allocated,
//! and given back with it; nobody waits for memory, because whoever gets none uses a temporary file.

use model::ports::{Spool, SpoolFile};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that one reader of a layer takes from the start: chunks on their way from the decompressor, its window,
/// the window that secrets are searched in, tables.
pub const LAYER_BYTES: u64 = 12 << 20;

/// The largest content that is held in memory; what is larger goes to a temporary file.
pub const HELD_BYTES_MAX: u64 = 16 << 20;

/// A ceiling for the buffers of every reader of a process, in bytes.
#[derive(Debug)]
pub struct MemoryBudget {
    bytes_max: u64,
    used: AtomicU64,
}

impl MemoryBudget {
    /// At most `bytes_max` bytes are held at once.
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, used: AtomicU64::new(0) }
    }

    /// Bytes that are held now.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let room = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl<'a> Held<'a> {
    /// Nothing yet.
    pub(crate) const fn none(budget: &'a MemoryBudget) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Makes it `bytes` bytes in all. False, and as it was, when the budget has no room for that, or when it is more
    /// than [`HELD_BYTES_MAX`].
    pub(crate) fn grow_to(&mut self, bytes: u64) -> bool {
        let growth = bytes.saturating_sub(self.bytes);
        let grown = bytes <= HELD_BYTES_MAX && (growth == 0 || self.budget.take(growth));
        if grown {
            self.bytes = self.bytes.max(bytes);
        }
        grown
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where the content of a member may lie that somebody has to see whole.
#[derive(Clone, Copy)]
pub struct Room<'a> {
    /// The memory of all readers.
    pub memory: &'a MemoryBudget,
    /// Temporary files.
    pub spool: &'a dyn Spool,
}

impl std::fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// No temporary files at all.
struct NoSpool;

impl Spool for NoSpool {
    fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
        Err(io::Error::new(io::ErrorKind::StorageFull, "there is no room for temporary files"))
    }
}

static SPARE: MemoryBudget = MemoryBudget::new(64 << 20);

impl Room<'static> {
    /// A little memory and no temporary files, for those who were given nothing.
    pub(crate) const fn spare() -> Self {
        Self { memory: &SPARE, spool: &NoSpool }
    }
}

/// Content that is kept whole for as long as this lives.
pub(crate) struct Kept<'a> {
    memory: Vec<u8>,
    file: Option<Box<dyn SpoolFile>>,
    held: Held<'a>,
}

/// Buffers grow at least by this.
const STEP_BYTES: usize = 64 << 10;

impl<'a> Room<'a> {
    /// Reads `input` to its end.
    ///
    /// # Errors
    /// [`Unkept::Room`] when neither memory nor temporary files have room for it, [`Unkept::Input`] when `input`
    /// fails.
    pub(crate) fn keep(&self, input: &mut dyn Read) -> Result<Kept<'a>, Unkept> {
        let mut kept = Kept { memory: Vec::new(), file: None, held: Held::none(self.memory) };
        let mut piece = vec![0; STEP_BYTES];
        loop {
            match input.read(&mut piece) {
                Ok(0) => return Ok(kept),
                Ok(n) => kept.push(&piece[..n], self.spool).map_err(Unkept::Room)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Unkept::Input(error)),
            }
        }
    }
}

/// Why content could not be kept.
#[derive(Debug)]
pub(crate) enum Unkept {
    /// It could not be read.
    Input(io::Error),
    /// There is no room for it.
    Room(io::Error),
}

impl Kept<'_> {
    fn push(&mut self, piece: &[u8], spool: &dyn Spool) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(piece);
        }
        let bytes = self.memory.len() + piece.len();
        if bytes > self.memory.capacity() {
            let capacity = bytes.next_power_of_two().max(STEP_BYTES);
            if !self.held.grow_to(capacity as u64) {
                let mut file = spool.file()?;
                file.write_all(&self.memory)?;
                file.write_all(piece)?;
                self.memory = Vec::new();
                self.file = Some(file);
                return Ok(());
            }
            self.memory.reserve_exact(capacity - self.memory.len());
        }
        self.memory.extend_from_slice(piece);
        Ok(())
    }

    /// Shows all of it.
    ///
    /// # Errors
    /// When the temporary file cannot be looked at.
    pub(crate) fn show<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        match &mut self.file {
            None => Ok(look(&self.memory)),
            Some(file) => {
                let bytes = file.content()?;
                Ok(look((*bytes).as_ref()))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    /// Temporary files in memory.
    pub(crate) struct MemorySpool;

    impl Spool for MemorySpool {
        fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
            Ok(Box::new(Cursor::new(Vec::new())))
        }
    }

    #[test]
    fn content_is_held_up_to_the_budget_and_spooled_beyond() {
        let memory = MemoryBudget::new(300_000);
        let room = Room { memory: &memory, spool: &MemorySpool };
        let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut first = room.keep(&mut content.as_slice()).unwrap();
        assert!(first.file.is_none());
        assert_eq!(memory.used_bytes(), 1 << 18);
        let mut second = room.keep(&mut content.as_slice()).unwrap();
        assert!(second.file.is_some());
        assert!(first.show(|bytes| bytes == content).unwrap());
        assert!(second.show(|bytes| bytes == content).unwrap());
        drop((first, second));
        assert_eq!(memory.used_bytes(), 0);
    }
}
