//! The archive that a table of contents describes, put together again: headers from the table, content from the blob.
//!
//! Files that are not fetched have a header with their size and no content, in the form of a sparse file of nothing but
//! holes (GNU tar manual, "Sparse formats"): for [`crate::LayerRequest::in_part`]. Invariant: every byte of content has
//! passed its digest before the tape ends; a wrong one is an error of the kind `InvalidData`.

use super::choice::Choice;
use super::source::{Stream, Streams};
use super::{Entry, Kind, Part};
use crate::decompress::Caps;
use crate::limits::Limits;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

const BLOCK: usize = 512;

/// The archive as a stream; `source` gives the bytes of [`Choice::ranges`], one range after the other.
pub struct Tape<'a, R: Read> {
    choice: &'a Choice,
    streams: Streams<R>,
    /// The stream of the last part, and that part.
    stream: Option<(Stream<R>, &'a Part, u64)>,
    /// The next entry.
    entry: usize,
    /// The parts of the current file that are still to come, and how much of the first is left.
    parts: &'a [Part],
    left: u64,
    hasher: Sha256,
    /// Headers and padding.
    pending: Vec<u8>,
    given: usize,
    padding: usize,
    is_over: bool,
}

impl<R: Read> std::fmt::Debug for Tape<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl<'a, R: Read> Tape<'a, R> {
    /// Gets ready; nothing is read yet.
    pub fn new(choice: &'a Choice, source: R, limits: &Limits) -> Self {
        let mut pending = Vec::new();
        // An extension of no bytes: the first name must not be taken for the magic of some packing.
        push_header(&mut pending, b"table", b'g', 0, None);
        Self {
            choice,
            streams: Streams::new(source, choice.ranges(), Caps::layer(limits)),
            stream: None,
            entry: 0,
            parts: &[],
            left: 0,
            hasher: Sha256::new(),
            pending,
            given: 0,
            padding: 0,
            is_over: false,
        }
    }

    /// Gets the next header ready, or the end.
    fn next_entry(&mut self) -> io::Result<()> {
        self.pending.clear();
        self.given = 0;
        self.pending.resize(std::mem::take(&mut self.padding), 0);
        let table = &self.choice.table;
        let Some(entry) = table.entries.get(self.entry) else {
            if let Some((stream, ..)) = self.stream.take() {
                stream.finish()?;
            }
            self.pending.resize(self.pending.len() + 2 * BLOCK, 0);
            self.is_over = true;
            return Ok(());
        };
        let is_wanted = self.choice.wanted[self.entry];
        self.entry += 1;
        describe(&mut self.pending, entry, is_wanted);
        if is_wanted {
            self.parts = &table.parts[entry.parts.clone()];
            self.left = self.parts.first().map_or(0, |part| part.bytes);
            let bytes = usize::try_from(entry.bytes % BLOCK as u64).unwrap_or_default();
            self.padding = (BLOCK - bytes) % BLOCK;
        }
        Ok(())
    }

    /// Reads from the first of the parts.
    fn content(&mut self, part: &'a Part, buffer: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = if part.is_zeros() {
            buffer[..n].fill(0);
            n
        } else {
            self.stream_at(part)?;
            let Some((stream, _, position)) = &mut self.stream else { return Err(io::Error::other("no stream")) };
            let n = stream.read(&mut buffer[..n])?;
            *position += n as u64;
            n
        };
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a part of a file is shorter than its table says"));
        }
        self.hasher.update(&buffer[..n]);
        self.left -= n as u64;
        if self.left == 0 {
            self.finish_part(part)?;
        }
        Ok(n)
    }

    fn finish_part(&mut self, part: &Part) -> io::Result<()> {
        let found = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if let Some(digest) = part.digest.filter(|digest| *digest != found) {
            let name = self.choice.table.entries.get(self.entry.wrapping_sub(1)).map(|entry| &*entry.name);
            let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
            let text = format!("a part of {name:?} has the digest {found}, its table of contents names {digest}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.parts = &self.parts[1..];
        self.left = self.parts.first().map_or(0, |part| part.bytes);
        Ok(())
    }

    /// Opens the stream of a part, if it is not open, and passes over what lies before the part.
    fn stream_at(&mut self, part: &'a Part) -> io::Result<()> {
        let is_new = self.left == part.bytes;
        if !is_new {
            return Ok(());
        }
        if part.opens_after(self.stream.as_ref().map(|(_, before, _)| *before)) {
            if let Some((stream, ..)) = self.stream.take() {
                stream.finish()?;
            }
            let stream = self.streams.open(&part.stream, self.choice.table.spans.as_ref())?;
            self.stream = Some((stream, part, 0));
        }
        let Some((stream, before, position)) = &mut self.stream else { return Err(io::Error::other("no stream")) };
        *before = part;
        let skip = part.inner.saturating_sub(*position);
        let passed = io::copy(&mut stream.take(skip), &mut io::sink())?;
        *position += passed;
        if passed < skip {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a stream is shorter than its table says"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Tape<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.given < self.pending.len() {
                let n = buffer.len().min(self.pending.len() - self.given);
                buffer[..n].copy_from_slice(&self.pending[self.given..self.given + n]);
                self.given += n;
                return Ok(n);
            }
            let parts: &[Part] = self.parts;
            if let Some(part) = parts.first() {
                return self.content(part, buffer);
            }
            if self.is_over {
                return Ok(0);
            }
            self.next_entry()?;
        }
    }
}

/// The header of an entry, with long names in front of it (GNU tar manual, "Basic Tar Format").
fn describe(out: &mut Vec<u8>, entry: &Entry, has_content: bool) {
    let (kind, link): (u8, &[u8]) = match &entry.kind {
        Kind::File if has_content || entry.bytes == 0 => (b'0', b""),
        Kind::File => (b'S', b""),
        Kind::HardLink(to) => (b'1', to),
        Kind::Symlink(to) => (b'2', to),
        Kind::CharacterDevice => (b'3', b""),
        Kind::BlockDevice => (b'4', b""),
        Kind::Folder => (b'5', b""),
        Kind::Pipe => (b'6', b""),
    };
    for (kind, text) in [(b'L', &*entry.name), (b'K', link)] {
        if text.len() > 100 {
            push_header(out, b"long", kind, text.len() as u64, None);
            out.extend_from_slice(text);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
    }
    let bytes = if has_content { entry.bytes } else { 0 };
    push_header(out, &entry.name, kind, bytes, Some((entry, link)));
}

fn push_header(out: &mut Vec<u8>, name: &[u8], kind: u8, bytes: u64, entry: Option<(&Entry, &[u8])>) {
    let mut block = [0_u8; BLOCK];
    let text = |field: &mut [u8], text: &[u8]| {
        let n = text.len().min(field.len());
        field[..n].copy_from_slice(&text[..n]);
    };
    text(&mut block[..100], name);
    number(&mut block[124..136], bytes);
    block[156] = kind;
    text(&mut block[257..265], b"ustar  \0");
    if let Some((entry, link)) = entry {
        number(&mut block[100..108], u64::from(entry.mode));
        number(&mut block[108..116], entry.uid);
        number(&mut block[116..124], entry.gid);
        text(&mut block[157..257], link);
        if kind == b'S' {
            number(&mut block[483..495], entry.bytes);
        }
    }
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum::<u64>() + 8 * 32;
    number(&mut block[148..156], sum);
    out.extend_from_slice(&block);
}

/// Octal digits, or where they do not fit a binary number with the top bit set, as GNU tar writes it.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    if u32::try_from(3 * digits).is_ok_and(|bits| value.checked_shr(bits).unwrap_or(0) == 0) {
        let text = format!("{value:0digits$o}");
        field[..digits].copy_from_slice(text.as_bytes());
        return;
    }
    field[0] = 0x80;
    let bytes = value.to_be_bytes();
    for (to, from) in field.iter_mut().skip(1).rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
}
