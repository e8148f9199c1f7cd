//! Walks a cpio archive in the "new ASCII" format (cpio(5), "New ASCII Format").
//!
//! Invariant: names and contents are read below caps, whatever the headers claim.

use std::io::{self, BufRead};

/// A header has the magic and thirteen numbers of eight hexadecimal digits.
const HEADER_BYTES: usize = 110;
/// The longest name that is read.
const NAME_BYTES_MAX: usize = 4096;
const END: &[u8] = b"TRAILER!!!";

/// One member's header.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) bytes: u64,
}

impl Member {
    /// A regular file?
    pub(super) const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }
}

/// Reads members one after the other.
pub(super) struct Walker<R> {
    source: R,
    /// Content that was not consumed yet, and the padding behind it.
    body: u64,
    padding: u64,
}

impl<R: BufRead> Walker<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, body: 0, padding: 0 }
    }

    /// Skips what is left of a member and reads the next header. `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        self.skip(self.body + self.padding)?;
        let mut header = [0; HEADER_BYTES];
        self.source.read_exact(&mut header)?;
        if !super::form::is_cpio(&header) {
            return Err(malformed("a header does not begin as a cpio header does"));
        }
        let number = |index: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).unwrap_or_default();
            u32::from_str_radix(digits, 16).map_err(|_| malformed("a header has a number that is none"))
        };
        let (mode, bytes, name_bytes) = (number(1)?, number(6)?, number(11)?);
        let name_bytes = usize::try_from(name_bytes).unwrap_or(usize::MAX);
        if name_bytes == 0 || name_bytes > NAME_BYTES_MAX {
            return Err(malformed("a name is empty or longer than 4096 bytes"));
        }
        let mut name = vec![0; name_bytes];
        self.source.read_exact(&mut name)?;
        self.skip(padding((HEADER_BYTES + name_bytes) as u64))?;
        (self.body, self.padding) = (u64::from(bytes), padding(u64::from(bytes)));
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok((name != END).then_some(Member { name, mode, bytes: u64::from(bytes) }))
    }

    /// Appends the content to `out`, all that is left or `bytes_max` of it.
    pub(super) fn read(&mut self, out: &mut Vec<u8>, bytes_max: u64) -> io::Result<()> {
        let mut left = self.body.min(bytes_max);
        while left > 0 {
            let available = self.source.fill_buf()?;
            if available.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let n = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            out.extend_from_slice(&available[..n]);
            self.source.consume(n);
            left -= n as u64;
            self.body -= n as u64;
        }
        Ok(())
    }

    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let available = self.source.fill_buf()?;
            if available.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let n = available.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.source.consume(n);
            bytes -= n as u64;
        }
        (self.body, self.padding) = (0, 0);
        Ok(())
    }
}

/// Names and contents end at a multiple of four.
const fn padding(bytes: u64) -> u64 {
    bytes.wrapping_neg() % 4
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
