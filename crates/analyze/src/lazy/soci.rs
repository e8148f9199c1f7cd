//! SOCI: beside an ordinary gzip layer lies a "ztoc": its table of contents, and places where unpacking can begin.
//!
//! Facts: `ztoc/fbs/ztoc.fbs`, `ztoc/compression/gzip_zinfo.h` and `gzip_zinfo.c` of awslabs/soci-snapshotter; the
//! FlatBuffers documentation, "Internals". Not here: how the index is found. Invariant: every span that is unpacked is
//! read to its end and has the digest that the ztoc names; no offset of the ztoc is followed beyond its bytes.

use super::toc::{checked, shown};
use super::{Entry, Form, Kind, Part, ROWS_MAX, Refused, Table};
use crate::decompress::{Caps, Resumed, WINDOW_BYTES};
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;

/// The artifact type of a SOCI index that refers to an image. One of the second version is named by its image.
pub const ARTIFACT_TYPE_V1: &str = "application/vnd.amazon.soci.index.v1+json";

/// The annotation of an image manifest that names its SOCI index, which makes the index part of the image.
pub const INDEX_DIGEST: &str = "com.amazon.soci.index-digest";

/// The annotation of a ztoc in a SOCI index that names the layer it is about.
pub const LAYER_DIGEST: &str = "com.amazon.soci.image-layer-digest";

/// Places where unpacking can begin: each is 32 KiB in the ztoc.
const SPANS_MAX: usize = 1 << 16;
/// A packed checkpoint: offset in the blob, offset in the archive, bits, the window before it.
const CHECKPOINT_BYTES: usize = 8 + 8 + 1 + WINDOW_BYTES;
/// The number of checkpoints, and the size of a span.
const CHECKPOINTS_HEADER_BYTES: usize = 4 + 8;
/// Without a checkpoint of its own the first span begins behind a gzip header of this size.
const GZIP_HEADER_BYTES: u64 = 10;

/// Places where unpacking can begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spans {
    spans: Vec<Span>,
    /// Their windows, one after the other; the first span of an older ztoc has none.
    windows: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Span {
    /// Of the blob. Neighbours share a byte when a span begins inside one.
    packed: Range<u64>,
    /// Where it begins in the archive.
    out: u64,
    /// How many bits of its first byte belong to it; 0 when all do.
    bits: u8,
    /// Where its window begins in the windows.
    window: Option<usize>,
    digest: Digest,
}

/// Reads a ztoc about a layer of `blob_bytes` bytes. The caller has verified its digest.
///
/// # Errors
/// [`super::RefusedKind::Unusable`] when it cannot be used.
pub fn table(ztoc: &[u8], blob_bytes: u64) -> Result<Table, Refused> {
    read(ztoc, blob_bytes).map_err(|what| Refused::unusable(format!("its ztoc cannot be used: {what}")))
}

/// What is wrong with a ztoc is told as text.
type Outcome<T> = Result<T, String>;

fn read(ztoc: &[u8], blob_bytes: u64) -> Outcome<Table> {
    let buffer = Buffer(ztoc);
    let root = buffer.root()?;
    if root.long(2)? != blob_bytes {
        return Err("it is about a blob of another size".to_owned());
    }
    let out_bytes = root.long(3)?;
    let information = root.table(5)?.ok_or("it has no places to begin at")?;
    let spans = spans(&information, blob_bytes, out_bytes)?;
    let mut table = Table {
        form: Form::Soci,
        entries: Vec::new(),
        parts: Vec::new(),
        spans: Some(spans),
        blob_bytes,
        table_bytes: 0,
    };
    let files = root.table(4)?.ok_or("it has no table of contents")?.tables(0)?;
    if files.len() > ROWS_MAX {
        return Err(format!("more than {ROWS_MAX} entries"));
    }
    for file in files {
        add(&mut table, &file?, out_bytes)?;
    }
    Ok(table)
}

fn add(table: &mut Table, file: &TableView<'_>, out_bytes: u64) -> Outcome<()> {
    let text = |slot| Ok::<_, String>(file.string(slot)?.unwrap_or_default());
    let checked = |bytes: &[u8]| checked(bytes).map_err(|refused| refused.text);
    let link = || checked(text(4)?);
    let kind = match text(1)? {
        b"reg" => Kind::File,
        b"dir" => Kind::Folder,
        b"symlink" => Kind::Symlink(link()?),
        b"hardlink" => Kind::HardLink(link()?),
        b"char" => Kind::CharacterDevice,
        b"block" => Kind::BlockDevice,
        b"fifo" => Kind::Pipe,
        other => return Err(format!("an entry of the type {:?}", shown(&String::from_utf8_lossy(other)))),
    };
    let (start, size) = (file.long(2)?, file.long(3)?);
    let bytes = if kind == Kind::File { size } else { 0 };
    if start.checked_add(bytes).is_none_or(|end| end > out_bytes) {
        return Err("a file lies outside of the archive".to_owned());
    }
    let mode = u32::try_from(file.long(5)? & 0o7777).unwrap_or_default();
    let (uid, gid) = (file.uint(6)?.into(), file.uint(7)?.into());
    let first = table.parts.len();
    if bytes > 0 {
        // Where its spans lie is worked out when it is known which of them are read.
        table.parts.push(Part { stream: 0..1, inner: start, bytes, digest: None });
    }
    table.entries.push(Entry {
        name: checked(text(0)?)?,
        kind,
        bytes,
        mode,
        uid,
        gid,
        parts: first..table.parts.len(),
    });
    Ok(())
}

fn spans(information: &TableView<'_>, blob_bytes: u64, out_bytes: u64) -> Outcome<Spans> {
    if information.byte(0)?.unwrap_or(1) != 1 {
        return Err("its layer is not packed with gzip".to_owned());
    }
    let digests = information.strings(2)?;
    let packed = information.bytes(3)?;
    let header = packed.split_at_checked(CHECKPOINTS_HEADER_BYTES).ok_or("its places to begin at are cut off")?;
    let count = u32::from_le_bytes([header.0[0], header.0[1], header.0[2], header.0[3]]);
    let count = usize::try_from(count).ok().filter(|count| (1..=SPANS_MAX).contains(count));
    let count = count.ok_or("it has no sound number of places to begin at")?;
    let stored = header.1.len() / CHECKPOINT_BYTES;
    if header.1.len() % CHECKPOINT_BYTES != 0 || stored != count && stored + 1 != count || digests.len() != count {
        return Err("the number of its places to begin at does not fit their size".to_owned());
    }
    let mut starts = Vec::with_capacity(count);
    if stored < count {
        starts.push((GZIP_HEADER_BYTES, 0, 0, None));
    }
    for (at, checkpoint) in header.1.chunks_exact(CHECKPOINT_BYTES).enumerate() {
        let number = |at: usize| u64::from_le_bytes(checkpoint[at..at + 8].try_into().unwrap_or_default());
        starts.push((number(0), number(8), checkpoint[16], Some(at * CHECKPOINT_BYTES + 17)));
    }
    let mut spans: Vec<Span> = Vec::with_capacity(count);
    for (at, &(start, out, bits, window)) in starts.iter().enumerate() {
        let digest = std::str::from_utf8(digests.get(at)?).ok().and_then(|text| text.parse().ok());
        let digest = digest.ok_or("a span without a digest")?;
        let next = starts.get(at + 1).map_or((blob_bytes, out_bytes), |next| (next.0, next.1));
        let first = if bits == 0 { Some(start) } else { start.checked_sub(1) };
        let sound = bits < 8 && start < next.0 && next.0 <= blob_bytes && out <= next.1 && (at > 0 || out == 0);
        let Some(first) = first.filter(|_| sound) else {
            return Err("its places to begin at are out of order".to_owned());
        };
        spans.push(Span { packed: first..next.0, out, bits, window, digest });
    }
    Ok(Spans { spans, windows: header.1.to_vec() })
}

impl Spans {
    /// Gives the chosen parts their streams: runs of neighbouring spans.
    pub(super) fn join(&self, parts: &mut [Part], chosen: &[usize]) -> Result<(), Refused> {
        // Runs of spans by their numbers, in the order of the parts; a part that comes later begins no earlier.
        let mut runs: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
        let mut last = 0;
        for &at in chosen {
            let (start, bytes) = (parts[at].inner, parts[at].bytes);
            if start < last {
                return Err(Refused::unusable("its ztoc names files out of the order of the archive"));
            }
            last = start + bytes;
            let first = self.at(start);
            let end = self.at(start + bytes - 1) + 1;
            match runs.last_mut() {
                Some((run, members)) if first <= run.end => {
                    run.end = run.end.max(end);
                    members.push(at);
                }
                _ => runs.push((first..end, vec![at])),
            }
        }
        for (run, members) in runs {
            let (first, end) = (&self.spans[run.start], &self.spans[run.end - 1]);
            for at in members {
                parts[at].stream = first.packed.start..end.packed.end;
                parts[at].inner -= first.out;
            }
        }
        Ok(())
    }

    /// Forgets the windows of places where no part's stream begins.
    pub(super) fn keep(&mut self, parts: &[Part]) {
        let starts: BTreeSet<u64> = parts.iter().map(|part| part.stream.start).collect();
        let mut kept = Vec::new();
        for span in &mut self.spans {
            let window = span.window.take().filter(|_| starts.contains(&span.packed.start));
            span.window = window.map(|at| {
                kept.extend_from_slice(&self.windows[at..at + WINDOW_BYTES]);
                kept.len() - WINDOW_BYTES
            });
        }
        self.windows = kept;
    }

    /// The span that holds a byte of the archive.
    fn at(&self, out: u64) -> usize {
        self.spans.partition_point(|span| span.out <= out).saturating_sub(1)
    }
}

/// Unpacks a run of spans.
pub(super) struct SpanReader<R: Read> {
    decoder: Resumed<Checked<R>>,
}

impl<R: Read> SpanReader<R> {
    /// Reads the spans that make up a range of the blob.
    pub(super) fn new(input: R, range: &Range<u64>, spans: &Spans, caps: Caps) -> io::Result<Self> {
        let first = spans.spans.partition_point(|span| span.packed.start < range.start);
        let Some(span) = spans.spans.get(first).filter(|span| span.packed.start == range.start) else {
            return Err(io::Error::other("no span begins there"));
        };
        let window = span.window.map(|at| &spans.windows[at..at + WINDOW_BYTES]).unwrap_or_default();
        let run = spans.spans[first..].iter().take_while(|span| span.packed.end <= range.end);
        let run = run.map(|span| (span.packed.clone(), span.digest)).collect();
        let input = Checked { input, spans: run, at: range.start, hasher: Sha256::new() };
        Ok(Self { decoder: Resumed::new(input, window, span.bits, caps)? })
    }

    /// Reads what is left of the last span, so that it is verified.
    pub(super) fn finish(self) -> io::Result<()> {
        let Some(mut input) = self.decoder.into_inner() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        io::copy(&mut input, &mut io::sink())?;
        if input.spans.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: Read> Read for SpanReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer)
    }
}

/// The packed bytes of a run, each span checked when its last byte is read.
struct Checked<R> {
    input: R,
    /// Those that were not checked yet.
    spans: std::collections::VecDeque<(Range<u64>, Digest)>,
    at: u64,
    hasher: Sha256,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((span, digest)) = self.spans.front().cloned() else { return Ok(0) };
        let left = usize::try_from(span.end - self.at).unwrap_or(usize::MAX);
        let n = left.min(buffer.len());
        let n = self.input.read(&mut buffer[..n])?;
        self.hasher.update(&buffer[..n]);
        self.at += n as u64;
        if n > 0 && self.at == span.end {
            let found = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
            if found != digest {
                let text = format!(
                    "bytes {} to {} of the layer have the digest {found}, its ztoc names {digest}",
                    span.start, span.end
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.spans.pop_front();
            if self.spans.front().is_some_and(|(next, _)| next.start < self.at) {
                self.hasher.update(&buffer[n - 1..n]);
            }
        }
        Ok(n)
    }
}

/// A FlatBuffer, read without trust in its offsets.
#[derive(Clone, Copy)]
struct Buffer<'a>(&'a [u8]);

impl<'a> Buffer<'a> {
    fn array<const N: usize>(self, at: usize) -> Outcome<[u8; N]> {
        let end = at.checked_add(N);
        let bytes = end.and_then(|end| self.0.get(at..end)).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| "an offset points outside of it".to_owned())
    }

    fn u32(self, at: usize) -> Outcome<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Follows the offset that is stored at `at`.
    fn follow(self, at: usize) -> Outcome<usize> {
        let offset = usize::try_from(self.u32(at)?).unwrap_or(usize::MAX);
        at.checked_add(offset)
            .filter(|to| *to < self.0.len())
            .ok_or_else(|| "an offset points outside of it".to_owned())
    }

    fn root(self) -> Outcome<TableView<'a>> {
        self.table_at(self.follow(0)?)
    }

    /// A table begins with the signed distance back to its list of fields, which begins with its own size.
    fn table_at(self, at: usize) -> Outcome<TableView<'a>> {
        let back = i32::from_le_bytes(self.array(at)?);
        let fields = i64::try_from(at).unwrap_or(i64::MAX) - i64::from(back);
        let fields = usize::try_from(fields).map_err(|_| "an offset points outside of it".to_owned())?;
        let bytes = u16::from_le_bytes(self.array(fields)?);
        Ok(TableView { buffer: self, at, fields, fields_bytes: usize::from(bytes) })
    }

    /// The elements of a vector of `size` bytes each.
    fn vector(self, at: usize, size: usize) -> Outcome<(usize, usize)> {
        let length = usize::try_from(self.u32(at)?).unwrap_or(usize::MAX);
        let bytes = length.checked_mul(size).ok_or("a list longer than it")?;
        let start = at + 4;
        match start.checked_add(bytes) {
            Some(end) if end <= self.0.len() => Ok((start, length)),
            _ => Err("a list longer than it".to_owned()),
        }
    }
}

/// A table in a FlatBuffer.
struct TableView<'a> {
    buffer: Buffer<'a>,
    at: usize,
    fields: usize,
    fields_bytes: usize,
}

impl<'a> TableView<'a> {
    /// Where a field is stored; `None` when it has its default.
    fn field(&self, slot: usize) -> Outcome<Option<usize>> {
        let place = 4 + 2 * slot;
        if place + 2 > self.fields_bytes {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.buffer.array(self.fields + place)?);
        Ok((offset != 0).then(|| self.at + usize::from(offset)))
    }

    /// A number that must not be below zero.
    fn long(&self, slot: usize) -> Outcome<u64> {
        let Some(at) = self.field(slot)? else { return Ok(0) };
        u64::try_from(i64::from_le_bytes(self.buffer.array(at)?)).map_err(|_| "a number below zero".to_owned())
    }

    fn uint(&self, slot: usize) -> Outcome<u32> {
        self.field(slot)?.map_or(Ok(0), |at| self.buffer.u32(at))
    }

    fn byte(&self, slot: usize) -> Outcome<Option<u8>> {
        let at = self.field(slot)?;
        at.map(|at| self.buffer.array::<1>(at).map(|[byte]| byte)).transpose()
    }

    fn table(&self, slot: usize) -> Outcome<Option<TableView<'a>>> {
        let at = self.field(slot)?;
        at.map(|at| self.buffer.table_at(self.buffer.follow(at)?)).transpose()
    }

    fn bytes(&self, slot: usize) -> Outcome<&'a [u8]> {
        let Some(at) = self.field(slot)? else { return Ok(&[]) };
        let (start, length) = self.buffer.vector(self.buffer.follow(at)?, 1)?;
        Ok(&self.buffer.0[start..start + length])
    }

    fn string(&self, slot: usize) -> Outcome<Option<&'a [u8]>> {
        Ok(Some(self.bytes(slot)?).filter(|bytes| !bytes.is_empty()))
    }

    fn strings(&self, slot: usize) -> Outcome<Strings<'a>> {
        let Some(at) = self.field(slot)? else { return Ok(Strings { buffer: self.buffer, start: 0, length: 0 }) };
        let (start, length) = self.buffer.vector(self.buffer.follow(at)?, 4)?;
        Ok(Strings { buffer: self.buffer, start, length })
    }

    fn tables(&self, slot: usize) -> Outcome<impl ExactSizeIterator<Item = Outcome<TableView<'a>>> + use<'a>> {
        let buffer = self.buffer;
        let (start, length) = match self.field(slot)? {
            Some(at) => buffer.vector(buffer.follow(at)?, 4)?,
            None => (0, 0),
        };
        Ok((0..length).map(move |at| buffer.table_at(buffer.follow(start + 4 * at)?)))
    }
}

/// A vector of strings.
struct Strings<'a> {
    buffer: Buffer<'a>,
    start: usize,
    length: usize,
}

impl<'a> Strings<'a> {
    const fn len(&self) -> usize {
        self.length
    }

    fn get(&self, at: usize) -> Outcome<&'a [u8]> {
        let (start, length) = self.buffer.vector(self.buffer.follow(self.start + 4 * at)?, 1)?;
        Ok(&self.buffer.0[start..start + length])
    }
}
