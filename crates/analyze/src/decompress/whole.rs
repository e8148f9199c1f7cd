//! Unpacking many small gzip files, one after the other and each at once.
//!
//! Not here: what is unusual about a file, which is for the [`Decompressor`](super::Decompressor) to unpack and to
//! explain. Invariant: what comes out is what it would have given, or nothing.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The header without any of its optional parts, and the trailer (RFC 1952, section 2.3).
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
/// The flag of a header that holds the file's name; those of the other parts are seldom set.
const HAS_NAME: u8 = 0b1000;

/// DEFLATE gives at most so many bytes for one: a copy of 258 in two bits (RFC 1951, section 3.2.5).
const RATIO_MAX: usize = 1032;

/// What is kept from file to file: making it takes longer than unpacking a small file.
#[derive(Debug)]
pub(crate) struct WholeGzip {
    inflate: Option<Box<Decompress>>,
    /// As long as the longest file so far.
    unpacked: Vec<u8>,
}

impl WholeGzip {
    pub(crate) const fn new() -> Self {
        Self { inflate: None, unpacked: Vec::new() }
    }

    /// Unpacks a file of one member that says that it is no longer than `bytes_max`. Nothing if it is any other, or
    /// broken. Work is linear in `packed`, whatever it says.
    pub(crate) fn unpack(&mut self, packed: &[u8], bytes_max: usize) -> Option<&[u8]> {
        let (body, crc, bytes) = parts(packed)?;
        if bytes > bytes_max.min(body.len().saturating_mul(RATIO_MAX)) {
            return None;
        }
        if self.unpacked.len() < bytes {
            self.unpacked.resize(bytes, 0);
        }
        let inflate = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(false)));
        inflate.reset(false);
        let unpacked = &mut self.unpacked[..bytes];
        let ended = inflate.decompress(body, unpacked, FlushDecompress::Finish);
        let is_all = inflate.total_in() == body.len() as u64 && inflate.total_out() == bytes as u64;
        if !is_all || !matches!(ended, Ok(Status::StreamEnd)) {
            return None;
        }
        let mut sum = Crc::new();
        sum.update(unpacked);
        (sum.sum() == crc).then_some(&*unpacked)
    }
}

/// The compressed bytes of a file of one member, and what its trailer says: the CRC-32 and the size of the unpacked bytes.
fn parts(packed: &[u8]) -> Option<(&[u8], u32, usize)> {
    let (header, rest) = packed.split_first_chunk::<HEADER_BYTES>()?;
    let [0x1f, 0x8b, 8, flags, ..] = header else { return None };
    let rest = match *flags {
        0 => rest,
        HAS_NAME => &rest[memchr::memchr(0, rest)? + 1..],
        _ => return None,
    };
    let (body, trailer) = rest.split_last_chunk::<TRAILER_BYTES>()?;
    let word = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    Some((body, word(0), usize::try_from(word(4)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::decompress::{Caps, Decompressor};
    use proptest::prelude::*;
    use std::io::{Read, Write};

    const BYTES_MAX: usize = 1 << 20;

    fn pack(content: &[u8], name: Option<&str>) -> Vec<u8> {
        let builder = name.map_or_else(flate2::GzBuilder::new, |name| flate2::GzBuilder::new().filename(name));
        let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn general(packed: &[u8]) -> Option<Vec<u8>> {
        let caps = Caps::archive(&Limits::default());
        let mut out = Vec::new();
        Decompressor::of_size(packed, caps, packed.len()).ok()?.read_to_end(&mut out).ok()?;
        Some(out)
    }

    #[test]
    fn files_are_unpacked_one_after_the_other() {
        let mut whole = WholeGzip::new();
        let best = [7; BYTES_MAX];
        for content in [&b"a long text, of which nothing is left in the next"[..], b"", b"short", &best, b"x"] {
            for name in [None, Some("name")] {
                assert_eq!(whole.unpack(&pack(content, name), BYTES_MAX), Some(content), "{} {name:?}", content.len());
            }
        }
    }

    #[test]
    fn unusual_files_are_left_to_the_decompressor() {
        let mut whole = WholeGzip::new();
        let packed = pack(b"content", None);
        assert_eq!(whole.unpack(&packed, b"content".len() - 1), None, "too long");
        assert_eq!(whole.unpack(&[&packed[..], &packed].concat(), BYTES_MAX), None, "two members");
        assert_eq!(whole.unpack(&[&packed[..], b"tail"].concat(), BYTES_MAX), None, "something behind it");
        assert_eq!(whole.unpack(b"", BYTES_MAX), None);
        let mut boasting = packed.clone();
        let end = packed.len() - TRAILER_BYTES / 2;
        boasting[end..].copy_from_slice(&(BYTES_MAX as u32).to_le_bytes());
        assert_eq!(whole.unpack(&boasting, BYTES_MAX), None, "longer than it can be");
        assert!(whole.unpacked.len() < BYTES_MAX, "no memory for what cannot be there");
        let commented = flate2::GzBuilder::new().comment("c").write(Vec::new(), flate2::Compression::fast());
        assert_eq!(whole.unpack(&commented.finish().unwrap(), BYTES_MAX), None, "a comment");
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_the_decompressor_gives(
            content in proptest::collection::vec(any::<u8>(), 0..300),
            name in proptest::option::of("[a-z]{1,9}"),
            at in any::<prop::sample::Index>(),
            flip in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut packed = pack(&content, name.as_deref());
            let at = at.index(packed.len());
            packed[at] ^= flip;
            packed.truncate(packed.len() - cut.index(packed.len()) % 4);
            let mut whole = WholeGzip::new();
            if let Some(unpacked) = whole.unpack(&packed, BYTES_MAX) {
                prop_assert_eq!(Some(unpacked.to_vec()), general(&packed));
            }
        }
    }
}
