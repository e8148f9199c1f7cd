//! What the paged forms share: numbers in either byte order, and pages that are given out once.
//!
//! Invariant: in a sound database every page belongs to one thing; so a page that is asked for twice is a cycle or a
//! lie, and reading ends after as many pages as the file has.

use super::{Fault, Spot};

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest first.
    Big,
    /// The lowest first.
    Little,
}

impl Order {
    /// The number of two bytes at `at`, if they are there.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        })
    }

    /// The number of four bytes at `at`, if they are there.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        })
    }
}

/// A file cut into pages.
pub(super) struct Pages<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    first: u32,
    used: Vec<bool>,
}

impl<'a> Pages<'a> {
    /// Cuts a file into pages of `page_bytes`, of which the first has the number `first`.
    pub(super) fn new(bytes: &'a [u8], page_bytes: usize, first: u32) -> Self {
        Self { bytes, page_bytes, first, used: vec![false; bytes.len() / page_bytes] }
    }

    /// How many whole pages there are.
    pub(super) const fn count(&self) -> usize {
        self.used.len()
    }

    /// The size of the file, in bytes.
    pub(super) const fn file_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A page, once.
    pub(super) fn take(&mut self, number: u32) -> Result<&'a [u8], Fault> {
        let fault = |what| Fault::malformed(what, Spot::Page(number.into()));
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at < self.used.len()).ok_or(fault("a page that the file does not have"))?;
        if std::mem::replace(&mut self.used[at], true) {
            return Err(fault("a page that is used twice"));
        }
        Ok(&self.bytes[at * self.page_bytes..][..self.page_bytes])
    }
}

/// Is this the size of a page: a power of two between 512 and 65536?
pub(super) const fn is_page_size(bytes: usize) -> bool {
    bytes.is_power_of_two() && bytes >= 512 && bytes <= 65_536
}
