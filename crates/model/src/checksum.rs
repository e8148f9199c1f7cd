//! Checksums as package databases record them, in whatever algorithm the database uses.
//!
//! Not here: [`Digest`], which names content. A checksum by a weak algorithm proves nothing about
//! intent; it tells whether a file is still the one that a package brought, or one that a list names.

use crate::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// MD5 (RFC 1321): dpkg, old rpm.
    Md5,
    /// SHA-1 (FIPS 180-4): apk.
    Sha1,
    /// SHA-256 (FIPS 180-4): rpm.
    Sha256,
}

impl ChecksumAlgorithm {
    /// The word in front of the digits.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// How many bytes it gives.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// What fills a key up behind the bytes.
    const fn mark(self) -> &'static [u8] {
        match self {
            Self::Md5 => b"pratique: md5\0\0\0",
            Self::Sha1 => b"prtq: sha1\0\0",
            Self::Sha256 => b"",
        }
    }

    /// The checksum of nothing.
    pub fn of_nothing(self) -> Checksum {
        let hex = match self {
            Self::Md5 => "d41d8cd98f00b204e9800998ecf8427e",
            Self::Sha1 => "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            Self::Sha256 => "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        };
        Checksum::from_hex(self, hex.as_bytes()).expect("the digits are as many as the algorithm gives")
    }
}

/// A checksum of a file's content. As text: `md5:` and hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    bytes: Box<[u8]>,
}

impl Checksum {
    /// Takes the bytes of a checksum; `None` when they are not as many as the algorithm gives.
    pub fn new(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.bytes()).then(|| Self { algorithm, bytes: bytes.into() })
    }

    /// Reads hexadecimal digits of either case; `None` when they are not as many as the algorithm gives.
    pub fn from_hex(algorithm: ChecksumAlgorithm, digits: &[u8]) -> Option<Self> {
        if digits.len() != 2 * algorithm.bytes() {
            return None;
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let pairs = digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?));
        let bytes: Box<[u8]> = pairs.collect::<Option<_>>()?;
        Some(Self { algorithm, bytes })
    }

    /// What it is looked up by in tables that digests are the keys of: a SHA-256 by itself, another one by its bytes and
    /// the algorithm's name behind them, which no SHA-256 has that anybody will ever compute.
    pub fn key(&self) -> Digest {
        let mut key = [0; 32];
        let (bytes, mark) = key.split_at_mut(self.bytes.len());
        bytes.copy_from_slice(&self.bytes);
        mark.copy_from_slice(self.algorithm.mark());
        Digest::from_bytes(key)
    }

    /// The checksum whose [`key`](Self::key) this is; of a plain digest the SHA-256.
    pub fn of_key(key: &Digest) -> Self {
        let all = key.as_bytes();
        let weak = [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha1].into_iter();
        let algorithm = weak.into_iter().find(|algorithm| all.ends_with(algorithm.mark()));
        let algorithm = algorithm.unwrap_or(ChecksumAlgorithm::Sha256);
        Self { algorithm, bytes: all[..algorithm.bytes()].into() }
    }

    /// How it was computed.
    pub const fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.as_str())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256];
        let read = || {
            let (word, digits) = text.split_once(':')?;
            let algorithm = known.into_iter().find(|algorithm| algorithm.as_str() == word)?;
            Self::from_hex(algorithm, digits.as_bytes())
        };
        read().ok_or_else(|| "not a checksum: expected md5:, sha1: or sha256: and as many digits as it has".to_owned())
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_text_round_trips() {
        for algorithm in [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256] {
            let checksum = algorithm.of_nothing();
            assert_eq!(checksum.to_string().parse(), Ok(checksum.clone()));
            assert_eq!(Checksum::new(algorithm, &checksum.bytes), Some(checksum.clone()));
            assert_eq!(Checksum::of_key(&checksum.key()), checksum);
        }
        let sha256 = ChecksumAlgorithm::Sha256.of_nothing();
        assert_eq!(format!("sha256:{}", sha256.key().hex()), sha256.to_string(), "a SHA-256 is its own key");
        for bad in ["", "md5:", "md5:zz", "sha1:d41d8cd98f00b204e9800998ecf8427e", "crc:00"] {
            assert!(bad.parse::<Checksum>().is_err(), "{bad}");
        }
    }
}
