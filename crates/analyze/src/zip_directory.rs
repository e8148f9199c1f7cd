//! Reads the directory of a zip archive (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4) member by member.
//!
//! Not here: caps on what members unpack to ([`crate::archive`]). Invariant: memory does not depend on the archive: the
//! directory is read through a small window and nothing of it is kept. Every member of the directory is told, also when
//! several have one name, because readers differ in which of them they take.

use std::io::{self, Read, Seek, SeekFrom};

#[expect(clippy::disallowed_types, reason = "what it gives is capped by crate::archive")]
type Deflate<R> = flate2::read::DeflateDecoder<R>;

/// The end of the directory has a comment of at most 65,535 bytes behind it.
const END_BYTES: usize = 22;
const END_SEARCH_BYTES: u64 = END_BYTES as u64 + 0xffff;
const END64_BYTES: u64 = 56;
const LOCATOR_BYTES: u64 = 20;
const MEMBER_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Bytes of the directory that are read at once.
const WINDOW_BYTES: usize = 64 << 10;

/// Where an archive's directory lies, and how far it was read.
pub(crate) struct Directory {
    /// How much the archive's offsets are too small: bytes before the first member, such as a script.
    shift: u64,
    next: u64,
    end: u64,
    window: Vec<u8>,
    used: usize,
}

/// One member, as the directory describes it.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Size as stored.
    pub(crate) packed_bytes: u64,
    /// Not a folder and not a link.
    pub(crate) is_file: bool,
    bytes: u64,
    method: u16,
    encrypted: bool,
    crc: u32,
    offset: u64,
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl Directory {
    /// Finds the directory by the last record that says where it ends.
    ///
    /// # Errors
    /// When there is none, or the input fails.
    pub(crate) fn open<R: Read + Seek>(input: &mut R) -> io::Result<Self> {
        let bytes = input.seek(SeekFrom::End(0))?;
        let tail_start = bytes.saturating_sub(END_SEARCH_BYTES);
        let mut tail = Vec::new();
        input.seek(SeekFrom::Start(tail_start))?;
        input.take(END_SEARCH_BYTES).read_to_end(&mut tail)?;
        let ends = memchr::memmem::rfind_iter(&tail, b"PK\x05\x06");
        let fits = |at: &usize| at + END_BYTES + usize::from(u16_at(&tail, at + 20)) <= tail.len();
        let at = ends.into_iter().filter(|at| at + END_BYTES <= tail.len()).find(fits);
        let at = at.ok_or_else(|| malformed("it has no end-of-directory record"))?;
        let end = tail_start + at as u64;
        let (size, offset, end) = match end64(input, end)? {
            Some(wide) => wide,
            None => (u64::from(u32_at(&tail, at + 12)), u64::from(u32_at(&tail, at + 16)), end),
        };
        let start = end.checked_sub(size).ok_or_else(|| malformed("its directory is larger than the archive"))?;
        // Offsets that point behind the directory would be negative shifts: then they are taken as they are.
        let shift = start.saturating_sub(offset);
        Ok(Self { shift, next: start, end, window: Vec::new(), used: 0 })
    }

    /// The next member; false at the end of the directory.
    ///
    /// # Errors
    /// When the directory is broken, or the input fails.
    pub(crate) fn next<R: Read + Seek>(&mut self, input: &mut R, member: &mut Member) -> io::Result<bool> {
        if self.window.len() == self.used && self.next == self.end {
            return Ok(false);
        }
        if !self.fill(input, MEMBER_BYTES)? || !self.window[self.used..].starts_with(b"PK\x01\x02") {
            return Err(malformed("its directory is broken"));
        }
        let head = &self.window[self.used..];
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(head, at)));
        let whole = MEMBER_BYTES + lengths.iter().sum::<usize>();
        if !self.fill(input, whole)? {
            return Err(malformed("its directory ends inside a member"));
        }
        member.read(&self.window[self.used..self.used + whole], lengths)?;
        self.used += whole;
        Ok(true)
    }

    /// Sees to it that `bytes` bytes are in the window; false when the directory has fewer.
    fn fill<R: Read + Seek>(&mut self, input: &mut R, bytes: usize) -> io::Result<bool> {
        if self.window.len() - self.used >= bytes {
            return Ok(true);
        }
        self.window.drain(..self.used);
        self.used = 0;
        input.seek(SeekFrom::Start(self.next))?;
        let wanted = bytes.max(WINDOW_BYTES) - self.window.len();
        let wanted = (self.end - self.next).min(wanted as u64);
        let read = input.take(wanted).read_to_end(&mut self.window)?;
        self.next += read as u64;
        Ok(self.window.len() >= bytes)
    }

    /// The content of a member. It ends in an error when it is not what the directory says.
    ///
    /// # Errors
    /// When the member is not there, or in a form that is not supported.
    pub(crate) fn open_member<'i, R: Read + Seek>(
        &self,
        input: &'i mut R,
        member: &Member,
    ) -> io::Result<Box<dyn Read + 'i>> {
        if member.encrypted {
            return Err(malformed("encrypted, which is not supported"));
        }
        let at = self.shift.checked_add(member.offset).ok_or_else(|| malformed("it lies outside the archive"))?;
        input.seek(SeekFrom::Start(at))?;
        let mut head = [0; LOCAL_BYTES];
        input.read_exact(&mut head)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(malformed("it is not where the directory says"));
        }
        let skip = u64::from(u16_at(&head, 26)) + u64::from(u16_at(&head, 28));
        input.seek(SeekFrom::Start(at.saturating_add(LOCAL_BYTES as u64 + skip)))?;
        let packed = input.take(member.packed_bytes);
        let check = |inner| Checked { inner, crc: flate2::Crc::new(), bytes: 0, expect: (member.crc, member.bytes) };
        match member.method {
            0 => Ok(Box::new(check(Inner::Stored(packed)))),
            8 => Ok(Box::new(check(Inner::Deflated(Box::new(Deflate::new(packed)))))),
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("compressed with method {other}, which is not supported"),
            )),
        }
    }
}

/// Size and offset of a large archive's directory, and where it ends (section 4.3.14); `None` for others.
fn end64<R: Read + Seek>(input: &mut R, end: u64) -> io::Result<Option<(u64, u64, u64)>> {
    let Some(locator_at) = end.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
    let mut locator = [0; LOCATOR_BYTES as usize];
    input.seek(SeekFrom::Start(locator_at))?;
    input.read_exact(&mut locator)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Right before the locator, whatever lies before the archive; else where it says.
    for at in [locator_at.checked_sub(END64_BYTES), Some(u64_at(&locator, 8))].into_iter().flatten() {
        let mut record = [0; END64_BYTES as usize];
        let is_read =
            at < locator_at && input.seek(SeekFrom::Start(at)).is_ok() && input.read_exact(&mut record).is_ok();
        if is_read && record.starts_with(b"PK\x06\x06") {
            return Ok(Some((u64_at(&record, 40), u64_at(&record, 48), at)));
        }
    }
    Err(malformed("its end-of-directory record is broken"))
}

impl Member {
    /// Reads a member's entry: fixed part, name, extra fields, comment.
    fn read(&mut self, entry: &[u8], [name, extra, _comment]: [usize; 3]) -> io::Result<()> {
        let (fixed, rest) = entry.split_at(MEMBER_BYTES);
        let (name, rest) = rest.split_at(name);
        self.name.clear();
        self.name.push_str(&String::from_utf8_lossy(name));
        self.encrypted = u16_at(fixed, 8) & 1 != 0;
        self.method = u16_at(fixed, 10);
        self.crc = u32_at(fixed, 16);
        let made_on_unix = fixed[5] == 3;
        let is_link = made_on_unix && u32_at(fixed, 38) >> 28 == 0o12;
        self.is_file = !is_link && !name.ends_with(b"/") && !name.ends_with(b"\\");
        let mut wide = [u32_at(fixed, 24), u32_at(fixed, 20), u32_at(fixed, 42)].map(u64::from);
        let mut field64 = extra_field(&rest[..extra], 1);
        // Section 4.5.3: only those that do not fit above are there, in this order.
        for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
            let Some((head, tail)) = field64.split_at_checked(8) else { break };
            *value = u64_at(head, 0);
            field64 = tail;
        }
        [self.bytes, self.packed_bytes, self.offset] = wide;
        Ok(())
    }
}

/// The content of an extra field (section 4.5.1), empty when there is none.
fn extra_field(mut fields: &[u8], id: u16) -> &[u8] {
    while let Some((head, rest)) = fields.split_at_checked(4) {
        let Some((content, rest)) = rest.split_at_checked(usize::from(u16_at(head, 2))) else { break };
        if u16_at(head, 0) == id {
            return content;
        }
        fields = rest;
    }
    &[]
}

enum Inner<R: Read> {
    Stored(R),
    Deflated(Box<Deflate<R>>),
}

/// Compares what comes out with the checksum and the size of the directory.
struct Checked<R: Read> {
    inner: Inner<R>,
    crc: flate2::Crc,
    bytes: u64,
    expect: (u32, u64),
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Inner::Stored(inner) => inner.read(buffer)?,
            Inner::Deflated(inner) => inner.read(buffer)?,
        };
        self.crc.update(&buffer[..n]);
        self.bytes += n as u64;
        if n == 0 && !buffer.is_empty() && (self.crc.sum(), self.bytes) != self.expect {
            return Err(malformed("its content is not what its checksum says"));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    fn zip(prefix: &[u8], large: bool) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().large_file(large);
        for (name, method) in [("a", zip::CompressionMethod::Stored), ("b/c", zip::CompressionMethod::Deflated)] {
            writer.start_file(name, options.compression_method(method)).unwrap();
            writer.write_all(&name.as_bytes().repeat(1000)).unwrap();
        }
        writer.add_directory("d", options).unwrap();
        writer.add_symlink("e", "a", options).unwrap();
        writer.set_comment("PK\x05\x06 is no end").unwrap();
        [prefix, &writer.finish().unwrap().into_inner()].concat()
    }

    fn listing(bytes: &[u8]) -> io::Result<Vec<String>> {
        let mut input = Cursor::new(bytes);
        let mut directory = Directory::open(&mut input)?;
        let (mut member, mut out) = (Member::default(), Vec::new());
        while directory.next(&mut input, &mut member)? {
            let mut content = Vec::new();
            if member.is_file {
                directory.open_member(&mut input, &member)?.read_to_end(&mut content)?;
            }
            out.push(format!("{} {}", member.name, content.len()));
        }
        Ok(out)
    }

    #[test]
    fn members_are_told_in_the_order_of_the_directory() {
        for prefix in [&b""[..], b"#!/bin/sh\nexec java -jar $0\n"] {
            for large in [false, true] {
                assert_eq!(listing(&zip(prefix, large)).unwrap(), ["a 1000", "b/c 3000", "d/ 0", "e 0"]);
            }
        }
    }

    #[test]
    fn sizes_of_large_archives_are_read() {
        let bytes = zip(b"", false);
        // The same archive with the records of a large one before its end.
        let end = bytes.windows(4).position(|w| w == b"PK\x05\x06").unwrap();
        let (size, offset) = (u32_at(&bytes, end + 12), u32_at(&bytes, end + 16));
        let mut wide = bytes[..end].to_vec();
        wide.extend_from_slice(b"PK\x06\x06");
        wide.extend_from_slice(&44_u64.to_le_bytes());
        wide.extend_from_slice(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [4, 4, u64::from(size), u64::from(offset)] {
            wide.extend_from_slice(&value.to_le_bytes());
        }
        wide.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        wide.extend_from_slice(&(end as u64).to_le_bytes());
        wide.extend_from_slice(&1_u32.to_le_bytes());
        let mut last = bytes[end..].to_vec();
        last[8..20].fill(0xff);
        wide.extend_from_slice(&last);
        assert_eq!(listing(&wide).unwrap().len(), 4);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = zip(b"", true);
        for end in 0..bytes.len() {
            listing(&bytes[..end]).unwrap_err();
        }
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                damaged[at] = value;
                drop(listing(&damaged));
            }
            damaged[at] = bytes[at];
        }
    }
}
