//! SHA-256 (FIPS 180-4) and MD5 (RFC 1321) of the same bytes at once.
//!
//! Both are chains of steps that wait for each other, so that a processor can compute one while it waits for the other:
//! block by block in turns, SHA-256 costs next to nothing beside MD5. Invariant: the digests are those that computing one
//! after the other gives.

use super::lanes;
use md5::block_api::compress as md5_blocks;
use model::Digest;
use sha2::block_api::compress256 as sha256_blocks;
use std::slice::from_ref;

const BLOCK_BYTES: usize = 64;

type Block = [u8; BLOCK_BYTES];

/// The words that SHA-256 begins with (FIPS 180-4, section 5.3.3).
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Both digests of one file, as its content comes.
#[derive(Debug, Clone)]
pub(super) struct AtOnce {
    sha256: [u32; 8],
    md5: [u32; 4],
    bytes: u64,
    /// What is less than a block, as far as `bytes` says.
    rest: Block,
}

impl AtOnce {
    pub(super) const fn new() -> Self {
        Self { sha256: SHA256_START, md5: lanes::START, bytes: 0, rest: [0; BLOCK_BYTES] }
    }

    pub(super) fn update(&mut self, mut piece: &[u8]) {
        let filled = self.filled();
        self.bytes += piece.len() as u64;
        if filled > 0 {
            let (head, tail) = piece.split_at(piece.len().min(BLOCK_BYTES - filled));
            self.rest[filled..filled + head.len()].copy_from_slice(head);
            piece = tail;
            if filled + head.len() < BLOCK_BYTES {
                return;
            }
            let block = self.rest;
            self.blocks(from_ref(&block));
        }
        let (blocks, rest) = piece.as_chunks::<BLOCK_BYTES>();
        self.blocks(blocks);
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// Bytes of `rest` that count.
    const fn filled(&self) -> usize {
        (self.bytes % BLOCK_BYTES as u64) as usize
    }

    fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            sha256_blocks(&mut self.sha256, from_ref(block));
            md5_blocks(&mut self.md5, from_ref(block));
        }
    }

    /// SHA-256 and MD5.
    pub(super) fn finish(mut self) -> (Digest, [u8; 16]) {
        // Both are padded in the same way, but for the order of the length's bytes (FIPS 180-4, section 5.1.1; RFC 1321,
        // sections 3.1 and 3.2).
        let (filled, bits) = (self.filled(), self.bytes.wrapping_mul(8));
        let mut end = [[0; BLOCK_BYTES]; 2];
        end[0][..filled].copy_from_slice(&self.rest[..filled]);
        end[0][filled] = 0x80;
        let last = usize::from(filled >= BLOCK_BYTES - 8);
        end[last][BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
        sha256_blocks(&mut self.sha256, &end[..=last]);
        end[last][BLOCK_BYTES - 8..].copy_from_slice(&bits.to_le_bytes());
        md5_blocks(&mut self.md5, &end[..=last]);
        let (mut sha256, mut md5) = ([0; 32], [0; 16]);
        for (bytes, word) in sha256.as_chunks_mut::<4>().0.iter_mut().zip(self.sha256) {
            *bytes = word.to_be_bytes();
        }
        for (bytes, word) in md5.as_chunks_mut::<4>().0.iter_mut().zip(self.md5) {
            *bytes = word.to_le_bytes();
        }
        (Digest::from_bytes(sha256), md5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest as _, Md5};
    use proptest::prelude::*;
    use sha2::Sha256;

    fn check(pieces: &[Vec<u8>]) {
        let mut sums = AtOnce::new();
        pieces.iter().for_each(|piece| sums.update(piece));
        let whole = pieces.concat();
        let expect = (Digest::from_bytes(Sha256::digest(&whole).into()), Md5::digest(&whole).into());
        assert_eq!(sums.finish(), expect, "{:?}", pieces.iter().map(Vec::len).collect::<Vec<_>>());
    }

    #[test]
    fn every_length_of_an_end_is_padded_as_it_has_to_be() {
        check(&[]);
        (0..200).for_each(|bytes| check(&[vec![b'a'; bytes]]));
    }

    proptest! {
        #[test]
        fn digests_do_not_depend_on_how_the_bytes_come(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..12),
        ) {
            check(&pieces);
        }
    }
}
