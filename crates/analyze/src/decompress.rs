//! The one place that makes decompressors, each with a cap on what comes out.
//!
//! Not here: what the bytes mean. The packing is told by magic bytes; media types lie. Invariant: a
//! [`Decompressor`] gives out at most `bytes_max` bytes, and beyond `ratio_from_bytes` at most `ratio_max` bytes
//! for each byte that went in; the raw decoders are never handed out.

mod resumed;
mod whole;

pub(crate) use resumed::{Resumed, WINDOW_BYTES};
pub(crate) use whole::WholeGzip;

use crate::limits::Limits;
use model::layer::LayerMedia;
use std::io::{self, BufRead, Read};

#[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
type Gzip<R> = flate2::bufread::MultiGzDecoder<R>;
#[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
type Deflate<R> = flate2::bufread::DeflateDecoder<R>;
#[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
type Zstd<R> = zstd::stream::read::Decoder<'static, R>;
#[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
type Xz<R> = liblzma::bufread::XzDecoder<R>;
#[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
type Bzip2<R> = bzip2::bufread::MultiBzDecoder<R>;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952), of one or several members.
    Gzip,
    /// Zstandard (RFC 8878), of one or several frames, skippable ones among them.
    Zstd,
    /// The .xz file format (version 1.2.1), of one or several streams. In no layer: see [`Caps::foreign`].
    Xz,
    /// bzip2, of one or several streams. In no layer: see [`Caps::foreign`].
    Bzip2,
}

impl Packing {
    /// Tells the packing from the first bytes.
    ///
    /// # Errors
    /// The name of a packing that is recognised and not supported.
    pub fn of(head: &[u8]) -> Result<Self, &'static str> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Ok(Self::Bzip2),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err("lz4"),
            _ => Ok(Self::Plain),
        }
    }

    /// The packing that a media type promises.
    pub const fn of_media(media: LayerMedia) -> Self {
        match media {
            LayerMedia::Tar => Self::Plain,
            LayerMedia::TarGzip => Self::Gzip,
            LayerMedia::TarZstd => Self::Zstd,
        }
    }

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Caps on one compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes that may come out.
    pub bytes_max: u64,
    /// Bytes out per byte in, beyond `ratio_from_bytes`.
    pub ratio_max: u64,
    /// Bytes out up to which the ratio does not matter.
    pub ratio_from_bytes: u64,
    /// Binary logarithm of the largest Zstandard window.
    pub zstd_window_log_max: u32,
    /// Whether packings that no image layer has (xz, bzip2) are unpacked too.
    pub foreign: bool,
}

impl Caps {
    /// For a layer.
    pub const fn layer(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.layer_bytes_max,
            ratio_max: limits.ratio_max,
            ratio_from_bytes: limits.ratio_from_bytes,
            zstd_window_log_max: limits.zstd_window_log_max,
            foreign: false,
        }
    }

    /// For an archive of documents.
    pub const fn archive(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.archive_bytes_max,
            ratio_max: limits.ratio_max,
            ratio_from_bytes: limits.ratio_from_bytes,
            zstd_window_log_max: limits.zstd_window_log_max,
            foreign: true,
        }
    }
}

/// Why a stream stopped before its end.
#[derive(Debug)]
pub enum Stop {
    /// The input could not be read.
    Input(io::Error),
    /// The compressed bytes are broken or end early.
    Malformed(String),
    /// A cap was reached; the text names it.
    Limit(String),
    /// The packing is recognised and not supported.
    Unsupported(String),
}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Input(error) => error,
            Stop::Malformed(text) => Self::new(io::ErrorKind::InvalidData, text),
            Stop::Limit(text) => Self::new(io::ErrorKind::FileTooLarge, text),
            Stop::Unsupported(text) => Self::new(io::ErrorKind::Unsupported, text),
        }
    }
}

/// Unpacks a stream whose packing its own first bytes tell.
pub struct Decompressor<R: Read> {
    decoder: Decoder<R>,
    packing: Packing,
    caps: Caps,
    bytes_out: u64,
    pending: Option<Stop>,
}

enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<Gzip<Source<R>>>),
    Zstd(Box<Zstd<Source<R>>>),
    Xz(Box<Xz<Source<R>>>),
    Bzip2(Box<Bzip2<Source<R>>>),
}

impl<R: Read> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("packing", &self.packing)
            .field("bytes_out", &self.bytes_out)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes of `input` and gets ready to unpack it.
    ///
    /// # Errors
    /// When the input fails, or its packing is recognised and not supported; the input comes back for draining.
    pub fn new(input: R, caps: Caps) -> Result<Self, (Stop, R)> {
        Self::with_buffer(input, caps, SOURCE_BYTES)
    }

    /// The same for an input that has `input_bytes` bytes: the buffer in front of the decoder is no larger than that.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_size(input: R, caps: Caps, input_bytes: usize) -> Result<Self, (Stop, R)> {
        Self::with_buffer(input, caps, input_bytes.clamp(HEAD_BYTES, SOURCE_BYTES))
    }

    fn with_buffer(input: R, caps: Caps, buffer_bytes: usize) -> Result<Self, (Stop, R)> {
        let mut source = Source::new(input, buffer_bytes);
        let packing = match source.peek() {
            Ok(head) => Packing::of(head),
            Err(error) => return Err((Stop::Input(error), source.inner)),
        };
        let packing = match packing {
            Ok(packing @ (Packing::Xz | Packing::Bzip2)) if !caps.foreign => Err(packing.as_str()),
            packing => packing,
        };
        let packing = match packing {
            Ok(packing) => packing,
            Err(name) => {
                let text = format!("compressed with {name}, which is not supported");
                return Err((Stop::Unsupported(text), source.inner));
            }
        };
        let decoder = match packing {
            Packing::Plain => Decoder::Plain(source),
            Packing::Gzip => Decoder::Gzip(Box::new(Gzip::new(source))),
            Packing::Zstd => match new_zstd(source, caps) {
                Ok(decoder) => Decoder::Zstd(Box::new(decoder)),
                Err((error, input)) => return Err((Stop::Unsupported(format!("zstd: {error}")), input)),
            },
            Packing::Xz => match new_xz(source) {
                Ok(decoder) => Decoder::Xz(Box::new(decoder)),
                Err((error, input)) => return Err((Stop::Unsupported(format!("xz: {error}")), input)),
            },
            Packing::Bzip2 => Decoder::Bzip2(Box::new(Bzip2::new(source))),
        };
        Ok(Self { decoder, packing, caps, bytes_out: 0, pending: None })
    }

    /// What the first bytes told.
    pub const fn packing(&self) -> Packing {
        self.packing
    }

    /// How many bytes came out so far.
    pub const fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// How many bytes went in so far.
    pub fn bytes_in(&self) -> u64 {
        let source = self.source();
        source.bytes_in - (source.end - source.start) as u64
    }

    /// Fills `buffer` as far as the stream goes; less than its length only at the end of the stream.
    ///
    /// # Errors
    /// Where the stream stops before its end. `filled` says how much of `buffer` is good all the same.
    pub fn fill(&mut self, buffer: &mut [u8], filled: &mut usize) -> Result<(), Stop> {
        *filled = 0;
        while *filled < buffer.len() {
            let n = match self.read_some(&mut buffer[*filled..]) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) => return Err(self.explain(&error)),
            };
            *filled += n;
            self.bytes_out += n as u64;
            if let Err(stop) = self.check_caps() {
                let over = self.bytes_out.saturating_sub(self.caps.bytes_max);
                *filled -= usize::try_from(over).unwrap_or(*filled).min(*filled);
                return Err(stop);
            }
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match &mut self.decoder {
                Decoder::Plain(source) => source.read(buffer),
                Decoder::Gzip(decoder) => decoder.read(buffer),
                Decoder::Zstd(decoder) => decoder.read(buffer),
                Decoder::Xz(decoder) => decoder.read(buffer),
                Decoder::Bzip2(decoder) => decoder.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn check_caps(&self) -> Result<(), Stop> {
        if self.bytes_out > self.caps.bytes_max {
            let text = format!("expands beyond the limit of {} bytes", self.caps.bytes_max);
            return Err(Stop::Limit(text));
        }
        let allowed = self.bytes_in().max(1).saturating_mul(self.caps.ratio_max);
        if self.bytes_out > self.caps.ratio_from_bytes && self.bytes_out > allowed && self.packing != Packing::Plain {
            return Err(Stop::Limit(format!(
                "expands more than {} times beyond {} bytes: {} bytes of {} came from {} bytes",
                self.caps.ratio_max,
                self.caps.ratio_from_bytes,
                self.bytes_out,
                self.packing.as_str(),
                self.bytes_in(),
            )));
        }
        Ok(())
    }

    fn explain(&mut self, error: &io::Error) -> Stop {
        let packing = self.packing.as_str();
        let (bytes_in, bytes_out) = (self.bytes_in(), self.bytes_out);
        let window = self.caps.zstd_window_log_max;
        if let Some(error) = self.source_mut().failed.take() {
            return Stop::Input(error);
        }
        let text = error.to_string();
        if self.packing == Packing::Zstd && text.contains("too much memory") {
            return Stop::Limit(format!("needs a zstd window above the limit of 2^{window} bytes"));
        }
        let what = if error.kind() == io::ErrorKind::UnexpectedEof { "ends early" } else { "is broken" };
        Stop::Malformed(format!(
            "{packing} stream {what} at byte {bytes_in}, after {bytes_out} uncompressed bytes: {text}"
        ))
    }

    fn source(&self) -> &Source<R> {
        match &self.decoder {
            Decoder::Plain(source) => source,
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref(),
            Decoder::Xz(decoder) => decoder.get_ref(),
            Decoder::Bzip2(decoder) => decoder.get_ref(),
        }
    }

    fn source_mut(&mut self) -> &mut Source<R> {
        match &mut self.decoder {
            Decoder::Plain(source) => source,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut(),
            Decoder::Xz(decoder) => decoder.get_mut(),
            Decoder::Bzip2(decoder) => decoder.get_mut(),
        }
    }

    /// Gives up unpacking and reads the input to its end, so that whoever verifies it sees all of it.
    ///
    /// # Errors
    /// When the input fails.
    pub fn drain(&mut self) -> io::Result<()> {
        let source = self.source_mut();
        source.start = source.end;
        drain(&mut source.inner, &mut source.buffer)
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(stop) = self.pending.take() {
            return Err(stop.into());
        }
        let mut filled = 0;
        match self.fill(buffer, &mut filled) {
            Ok(()) => Ok(filled),
            Err(stop) if filled == 0 => Err(stop.into()),
            Err(stop) => {
                self.pending = Some(stop);
                Ok(filled)
            }
        }
    }
}

fn new_zstd<R: Read>(source: Source<R>, caps: Caps) -> Result<Zstd<Source<R>>, (io::Error, R)> {
    let mut decoder = Zstd::try_with_buffer(source).map_err(|(source, error)| (error, source.inner))?;
    match decoder.window_log_max(caps.zstd_window_log_max) {
        Ok(()) => Ok(decoder),
        Err(error) => Err((error, decoder.finish().inner)),
    }
}

/// What unpacking xz may take: the largest preset of xz(1) takes 65 MiB.
const XZ_MEMORY_BYTES_MAX: u64 = 80 << 20;

fn new_xz<R: Read>(source: Source<R>) -> Result<Xz<Source<R>>, (liblzma::stream::Error, R)> {
    match liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES_MAX, liblzma::stream::CONCATENATED) {
        Ok(stream) => Ok(Xz::new_stream(source, stream)),
        Err(error) => Err((error, source.inner)),
    }
}

/// Bytes that are read from the input at once.
const SOURCE_BYTES: usize = 128 << 10;
/// Bytes that are looked at to tell the packing.
const HEAD_BYTES: usize = 16;

/// The input: buffered, counted, and it keeps its error apart from those of the decoders.
struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    bytes_in: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Source<R> {
    fn new(inner: R, buffer_bytes: usize) -> Self {
        let buffer = vec![0; buffer_bytes].into_boxed_slice();
        Self { inner, buffer, start: 0, end: 0, bytes_in: 0, failed: None }
    }

    /// The first bytes, at least [`HEAD_BYTES`] unless there are fewer. Consumes nothing.
    fn peek(&mut self) -> io::Result<&[u8]> {
        while self.end < HEAD_BYTES {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => {
                    self.end += n;
                    self.bytes_in += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[..self.end])
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.end {
            match self.inner.read(&mut self.buffer) {
                Ok(n) => {
                    self.start = 0;
                    self.end = n;
                    self.bytes_in += n as u64;
                    if n == 0 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.failed = Some(error);
                    return Err(kind.into());
                }
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buffer.len());
        buffer[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Unpacks one zlib stream (RFC 1950) that gives at most `bytes_max` bytes.
///
/// # Errors
/// [`Stop::Malformed`] when it is broken or ends early, [`Stop::Limit`] when more would come out.
pub fn zlib(packed: &[u8], bytes_max: u64) -> Result<Vec<u8>, Stop> {
    #[expect(clippy::disallowed_types, reason = "this is the one place that makes them, below a cap")]
    let stream = flate2::read::ZlibDecoder::new(packed);
    let mut out = Vec::new();
    let result = stream.take(bytes_max.saturating_add(1)).read_to_end(&mut out);
    result.map_err(|error| Stop::Malformed(format!("zlib stream is broken after {} bytes: {error}", out.len())))?;
    if out.len() as u64 > bytes_max {
        return Err(Stop::Limit(format!("expands beyond the limit of {bytes_max} bytes")));
    }
    Ok(out)
}

/// Reads `input` to its end.
///
/// # Errors
/// When the input fails.
pub(crate) fn drain(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match input.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
