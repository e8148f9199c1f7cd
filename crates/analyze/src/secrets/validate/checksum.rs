//! Checksums of whole-word encodings: bech32 (BIP 173) and base 58 with four bytes of SHA-256 (BIP 32).

use super::Proof;
use sha2::{Digest as _, Sha256};

/// The constant that the remainder has to be (BIP 173).
const BECH32_CONSTANT: u32 = 1;

/// The generator of the code (BIP 173, "Checksum").
const BECH32_GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];

/// The human-readable part, `1`, the data and six digits of checksum, all in one case.
pub(super) fn bech32(value: &[u8]) -> Proof {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let lower = value.to_ascii_lowercase();
    let Some(at) = lower.iter().rposition(|b| *b == b'1') else { return Proof::Refuted };
    let (human, data) = (&lower[..at], &lower[at + 1..]);
    let digit = |b: &u8| ALPHABET.iter().position(|known| known == b).and_then(|at| u32::try_from(at).ok());
    let Some(data) = data.iter().map(digit).collect::<Option<Vec<u32>>>() else { return Proof::Refuted };
    let expanded = human.iter().map(|b| u32::from(b >> 5)).chain([0]).chain(human.iter().map(|b| u32::from(b & 31)));
    let remainder = expanded.chain(data).fold(1_u32, |sum, digit| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ digit;
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(next, |next, bit: usize| next ^ BECH32_GENERATOR[bit])
    });
    if remainder == BECH32_CONSTANT { Proof::Proven } else { Proof::Failed }
}

/// The last four bytes are the first four of SHA-256, twice, of the rest.
pub(super) fn base58_check(value: &[u8]) -> Proof {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    const CHECKSUM_BYTES: usize = 4;
    // Little-endian digits of base 256.
    let mut bytes: Vec<u8> = Vec::with_capacity(value.len());
    for byte in value {
        let Some(digit) = ALPHABET.iter().position(|known| known == byte) else { return Proof::Refuted };
        let mut carry = u32::try_from(digit).expect("58 digits");
        for place in &mut bytes {
            carry += u32::from(*place) * 58;
            *place = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
            carry >>= 8;
        }
    }
    bytes.extend(value.iter().take_while(|b| **b == b'1').map(|_| 0));
    bytes.reverse();
    let Some(at) = bytes.len().checked_sub(CHECKSUM_BYTES) else { return Proof::Refuted };
    let (data, checksum) = bytes.split_at(at);
    if Sha256::digest(Sha256::digest(data))[..CHECKSUM_BYTES] == *checksum { Proof::Proven } else { Proof::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bech32_words_prove_themselves() {
        // The first two and the fourth are test vectors of BIP 173.
        assert_eq!(bech32(b"A12UEL5L"), Proof::Proven);
        assert_eq!(bech32(b"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"), Proof::Proven);
        assert_eq!(bech32(b"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3q"), Proof::Failed);
        assert_eq!(bech32(b"de1lg7wt"), Proof::Failed);
        assert_eq!(bech32(b"none"), Proof::Refuted);
    }

    #[test]
    fn base58_words_prove_themselves() {
        // The public key of the first test vector of BIP 32, chain m.
        let public = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
        assert_eq!(base58_check(public.as_bytes()), Proof::Proven);
        assert_eq!(base58_check(public.replace("et8", "et9").as_bytes()), Proof::Failed);
        assert_eq!(base58_check(b"0OIl"), Proof::Refuted);
        assert_eq!(base58_check(b"1"), Proof::Refuted);
    }
}
