//! The stored form of large values: JSON in one zstd frame.
//!
//! JSON, because the nouns use tagged enums and skipped fields, which a format without names cannot read back.
//! Invariant: unpacking never takes more memory than [`UNPACKED_BYTES_MAX`].

use crate::{Error, ErrorKind, Result};
use model::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// The largest value that is stored, in bytes before compression.
pub(crate) const UNPACKED_BYTES_MAX: u64 = 1 << 30;

const LEVEL: i32 = 3;

/// Serialises and compresses.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let json = json(value)?;
    if json.len() as u64 > UNPACKED_BYTES_MAX {
        let text = format!("a value of {} bytes is too large to store", json.len());
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    zstd::bulk::compress(json.as_bytes(), LEVEL)
        .map_err(|e| Error::because(ErrorKind::Internal, "cannot compress a value", e))
}

/// Decompresses and deserialises what [`pack`] made.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let broken = |why: String| Error::new(ErrorKind::Internal, format!("a stored value is damaged: {why}"));
    let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let size = size.ok_or_else(|| broken("it is no zstd frame with a size".to_owned()))?;
    if size > UNPACKED_BYTES_MAX {
        return Err(broken(format!("it claims {size} bytes")));
    }
    let size = usize::try_from(size).map_err(|e| broken(e.to_string()))?;
    let json = zstd::bulk::decompress(bytes, size).map_err(|e| broken(e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| broken(e.to_string()))
}

/// Compact JSON text.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::because(ErrorKind::Internal, "cannot write a value as JSON", e))
}

/// Reads JSON text of our own.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::because(ErrorKind::Internal, "a stored value is damaged", e))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_come_back_and_damage_is_an_error() {
        let value = vec!["a".repeat(1000), "ü".to_owned()];
        let packed = pack(&value).unwrap();
        assert!(packed.len() < 200);
        assert_eq!(unpack::<Vec<String>>(&packed).unwrap(), value);
        for at in 0..packed.len() {
            assert!(unpack::<Vec<String>>(&packed[..at]).is_err(), "cut at {at}");
        }
        assert!(unpack::<Vec<String>>(b"").is_err());
        assert!(unpack::<Vec<u64>>(&packed).is_err());
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_memory_is_taken() {
        // Magic, descriptor (8-byte content size, single segment), 2^62 bytes (RFC 8878, section 3.1.1).
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        frame.extend_from_slice(&(1_u64 << 62).to_le_bytes());
        let error = unpack::<Vec<String>>(&frame).unwrap_err();
        assert!(error.to_string().contains("claims"), "{error}");
    }
}
