//! Unpacking gzip from the middle of a member on.
//!
//! Invariant: as for every decompressor here, no more comes out than the cap says.

use super::{Caps, Deflate, Gzip, SOURCE_BYTES, Source, Stop};
use std::io::{self, Read};

/// How far back DEFLATE refers (RFC 1951, section 3.2.5).
pub(crate) const WINDOW_BYTES: usize = 32 << 10;

/// Unpacks gzip from the middle of a member on, where a block begins, and the members after it.
///
/// No decoder here can begin inside a byte or with a window. So it gets a stream that brings it there: the window in a
/// stored block, then blocks that give nothing and have as many bits as it takes.
pub(crate) struct Resumed<R: Read> {
    decoder: Option<ResumedDecoder<R>>,
    /// Bytes that only make up the window.
    passed: usize,
    caps: Caps,
    bytes_out: u64,
}

enum ResumedDecoder<R: Read> {
    Block(Deflate<Source<Primed<R>>>),
    Members(Gzip<Source<Primed<R>>>),
}

/// What brings a decoder to its place, then the rest.
type Primed<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// The bytes after the last block of a member (RFC 1952, section 2.3.1).
const GZIP_TRAILER_BYTES: usize = 8;

impl<R: Read> Resumed<R> {
    /// Begins at a block: `bits` of the first byte of `input`, the upper ones, belong to it; 0 when all do. `window` is
    /// what came out before, [`WINDOW_BYTES`] or nothing.
    pub(crate) fn new(mut input: R, window: &[u8], bits: u8, caps: Caps) -> io::Result<Self> {
        let mut first = [0];
        if bits > 0 {
            input.read_exact(&mut first)?;
        }
        let (prime, passed) = prime(window, bits, first[0]);
        let source = Source::new(io::Cursor::new(prime).chain(input), SOURCE_BYTES);
        let decoder = ResumedDecoder::Block(Deflate::new(source));
        Ok(Self { decoder: Some(decoder), passed, caps, bytes_out: 0 })
    }

    /// The input, behind what was read of it.
    pub(crate) fn into_inner(self) -> Option<R> {
        let source = match self.decoder? {
            ResumedDecoder::Block(decoder) => decoder.into_inner(),
            ResumedDecoder::Members(decoder) => decoder.into_inner(),
        };
        Some(source.inner.into_inner().1)
    }

    fn some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.decoder {
            Some(ResumedDecoder::Block(decoder)) => decoder.read(buffer)?,
            Some(ResumedDecoder::Members(decoder)) => return decoder.read(buffer),
            None => 0,
        };
        if n > 0 {
            return Ok(n);
        }
        // The member is at its end; another may follow its trailer.
        let Some(ResumedDecoder::Block(decoder)) = self.decoder.take() else { return Ok(0) };
        let mut source = decoder.into_inner();
        source.read_exact(&mut [0; GZIP_TRAILER_BYTES])?;
        let mut decoder = Gzip::new(source);
        let n = decoder.read(buffer);
        self.decoder = Some(ResumedDecoder::Members(decoder));
        n
    }
}

impl<R: Read> Read for Resumed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut scratch = [0; 4096];
        while self.passed > 0 {
            let n = self.passed.min(scratch.len());
            let n = self.some(&mut scratch[..n])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.passed -= n;
        }
        let n = self.some(buffer)?;
        self.bytes_out += n as u64;
        if self.bytes_out > self.caps.bytes_max {
            return Err(Stop::Limit(format!("expands beyond the limit of {} bytes", self.caps.bytes_max)).into());
        }
        Ok(n)
    }
}

/// The stream that brings a decoder to a place, and how many bytes come out of it. Its last byte is the first of the
/// rest, when the place lies inside that byte.
fn prime(window: &[u8], bits: u8, first: u8) -> (Vec<u8>, usize) {
    // Blocks of fixed codes (RFC 1951, section 3.2.6) that give nothing have ten bits, so that an odd place needs
    // another: a copy of three bytes from as far back as there is, in 35 bits. The stored block is arranged so that the
    // copy gives the window's last three bytes.
    let free = (8 - u32::from(bits)) % 8;
    let is_odd = free % 2 == 1;
    let mut plain = window.to_vec();
    plain.resize(WINDOW_BYTES, 0);
    let mut out = Bits::default();
    if !window.is_empty() || is_odd {
        if is_odd {
            plain.rotate_right(COPY_BYTES);
        }
        out.stored(&plain);
    } else {
        plain.clear();
    }
    if is_odd {
        out.push(0b010, 3);
        out.code(0b000_0001, 7);
        out.code(0b11101, 5);
        out.push((1 << 13) - 1, 13);
        out.code(0, 7);
    }
    while out.bits != free {
        out.push(0b010, 3);
        out.code(0, 7);
    }
    if bits > 0 {
        let mask = u8::MAX << free;
        *out.bytes.last_mut().expect("some bits of the last byte are taken") |= first & mask;
    }
    (out.bytes, plain.len() + if is_odd { COPY_BYTES } else { 0 })
}

/// The shortest copy that DEFLATE has.
const COPY_BYTES: usize = 3;

/// Bits as DEFLATE packs them: the lowest of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Of the last byte, how many are taken; 0 when all are.
    bits: u32,
}

impl Bits {
    /// A number, its lowest bit first.
    fn push(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.bits == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> at & 1 == 1) << self.bits;
            }
            self.bits = (self.bits + 1) % 8;
        }
    }

    /// A Huffman code, its highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        for at in (0..count).rev() {
            self.push(code >> at & 1, 1);
        }
    }

    /// A stored block, from a byte's beginning.
    fn stored(&mut self, plain: &[u8]) {
        self.push(0, 3);
        self.bits = 0;
        let length = u16::try_from(plain.len()).expect("a window is shorter than the longest stored block");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&(!length).to_le_bytes());
        self.bytes.extend_from_slice(plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use std::io::Write;

    #[test]
    fn unpacking_begins_at_any_bit() {
        // A block of fixed codes with a literal that refers to nothing, then a copy from the window's far end and from
        // its near one, at each of the eight places in a byte.
        let window: Vec<u8> = (0..WINDOW_BYTES).map(|at| (at * 7 + at / 256) as u8).collect();
        for free in 0..8 {
            let mut stream = Bits::default();
            stream.push(0, free);
            stream.push(0b011, 3);
            stream.code(0x30 + u32::from(b'x'), 8);
            stream.code(0b000_0001, 7);
            stream.code(0b11101, 5);
            stream.push((1 << 13) - 1, 13);
            stream.code(0b000_0001, 7);
            stream.code(0b00011, 5);
            stream.code(0, 7);
            let bits = ((8 - free) % 8) as u8;
            let mut out = Vec::new();
            let input = stream.bytes.as_slice();
            let caps = Caps::layer(&Limits::default());
            let result = Resumed::new(input, &window, bits, caps).unwrap().read_to_end(&mut out);
            let far = [window[1], window[2], window[3]];
            let expect = [&b"x"[..], &far, &[b'x', far[0], far[1]]].concat();
            // There is no trailer, which is only missed after the content.
            assert!(result.is_err());
            assert_eq!(out, expect, "{free} bits before");
        }
    }

    #[test]
    fn members_that_follow_are_unpacked_too() {
        let gzip = |plain: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        };
        let both = [gzip(b"one "), gzip(b"two")].concat();
        let mut out = String::new();
        let caps = Caps::layer(&Limits::default());
        // The header of a gzip member without a name has ten bytes.
        Resumed::new(&both[10..], &[], 0, caps).unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "one two");
        let small = Caps { bytes_max: 5, ..caps };
        assert!(Resumed::new(&both[10..], &[], 0, small).unwrap().read_to_string(&mut out).is_err());
    }
}
