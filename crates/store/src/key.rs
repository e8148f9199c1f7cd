//! The master key, and what is sealed with it.
//!
//! Not here: where sealed bytes are kept. Invariant: sealed bytes open only with the same master key *and* the same
//! name of the place they were sealed for, so that a row's secret cannot be moved to another row.

use crate::{Error, ErrorKind, Result, durable};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use model::Digest;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const MARK_LEN: usize = 8;
const VERSION: u8 = 1;
/// version, mark of the master key, nonce and data key sealed with it, nonce of the content.
const HEADER_LEN: usize = 1 + MARK_LEN + NONCE_LEN + KEY_LEN + TAG_LEN + NONCE_LEN;
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// The 32 bytes that protect every stored secret. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

impl MasterKey {
    /// Reads the key from a file, or makes one there that only the owner may read.
    ///
    /// # Errors
    /// When the file cannot be read or made, or does not hold a key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        let made = Self::generate()?;
        let text = Zeroizing::new(format!("{}\n", Digest::from_bytes(*made.0).hex()));
        // The loser of a race takes the winner's key.
        if durable::write_new(path, text.as_bytes())? {
            return Ok(made);
        }
        let gone = || Error::new(ErrorKind::Transient, format!("{} was removed meanwhile", path.display()));
        Self::load(path)?.ok_or_else(gone)
    }

    /// Reads 64 hexadecimal digits, or base64 of 32 bytes.
    ///
    /// # Errors
    /// When the text is neither. The text itself is not repeated.
    pub fn from_text(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(bytes) = Digest::from_hex(text) {
            return Ok(Self(Zeroizing::new(*bytes.as_bytes())));
        }
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).map(Zeroizing::new);
        let bytes = decoded.ok().and_then(|d| <[u8; KEY_LEN]>::try_from(d.as_slice()).ok());
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::Malformed, "the master key must be 64 hexadecimal digits or base64 of 32 bytes")
        })?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// A new random key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// A key of its own for one purpose (HKDF-SHA256, RFC 5869): equal for equal purposes, and tells nothing about
    /// the master key.
    pub fn derive(&self, purpose: &str) -> [u8; KEY_LEN] {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"pratique");
        let info = [purpose.as_bytes()];
        let mut out = [0; KEY_LEN];
        let extracted = salt.extract(self.0.as_slice());
        let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut out));
        expanded.expect("32 bytes are one block of HKDF-SHA256");
        out
    }

    /// Encrypts for one place: a fresh data key seals the content, the master key seals the data key (AES-256-GCM
    /// both). A later change of master key then rewrites the 60 bytes of the data key only.
    pub(crate) fn seal(&self, place: &str, content: &[u8]) -> Result<Vec<u8>> {
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        fill(data_key.as_mut_slice())?;
        let mut out = Vec::with_capacity(HEADER_LEN + content.len() + TAG_LEN);
        out.push(VERSION);
        out.extend_from_slice(&self.mark());
        seal_with(&self.0, place, data_key.as_slice(), &mut out)?;
        seal_with(&data_key, place, content, &mut out)?;
        Ok(out)
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let broken = || Error::new(ErrorKind::Internal, format!("{place}: the stored secret is damaged"));
        if sealed.len() < HEADER_LEN + TAG_LEN || sealed.first() != Some(&VERSION) {
            return Err(broken());
        }
        let (mark, rest) = sealed[1..].split_at(MARK_LEN);
        if mark != self.mark() {
            let text = format!(
                "{place}: the stored secret was encrypted with another master key; \
                 start with that key, or enter the secret again"
            );
            return Err(Error::new(ErrorKind::Malformed, text));
        }
        let (wrapped, content) = rest.split_at(NONCE_LEN + KEY_LEN + TAG_LEN);
        let data_key = open_with(&self.0, place, wrapped).ok_or_else(broken)?;
        let data_key = <[u8; KEY_LEN]>::try_from(data_key.as_slice()).map(Zeroizing::new).map_err(|_| broken())?;
        open_with(&data_key, place, content).ok_or_else(broken)
    }

    /// Tells master keys apart without telling anything about them.
    fn mark(&self) -> [u8; MARK_LEN] {
        let derived = self.derive("mark");
        std::array::from_fn(|i| derived[i])
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = durable::read(path, KEY_FILE_BYTES_MAX)?.map(Zeroizing::new) else { return Ok(None) };
        warn_if_others_may_read(path);
        let text = std::str::from_utf8(&bytes).ok();
        let key = text.and_then(|text| Self::from_text(text).ok());
        let key = key.ok_or_else(|| {
            let text = format!("{} does not hold a master key: 64 hexadecimal digits", path.display());
            Error::new(ErrorKind::Malformed, text)
        })?;
        Ok(Some(key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(unix)]
fn warn_if_others_may_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map(|m| m.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others may read the master key: its mode should be 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_others_may_read(_path: &Path) {}

fn fill(bytes: &mut [u8]) -> Result<()> {
    rand::fill(bytes).map_err(|_| Error::new(ErrorKind::Internal, "the system gives no random bytes"))
}

fn cipher(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 keys have 32 bytes"))
}

/// Appends nonce, ciphertext and tag.
fn seal_with(key: &[u8; KEY_LEN], place: &str, content: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce)?;
    let mut text = content.to_vec();
    let sealed = cipher(key).seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut text);
    sealed.map_err(|_| Error::new(ErrorKind::LimitExceeded, format!("{place}: the secret is too long")))?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&text);
    Ok(())
}

fn open_with(key: &[u8; KEY_LEN], place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = cipher(key).open_in_place(nonce, Aad::from(place), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey(Zeroizing::new([byte; KEY_LEN]))
    }

    #[test]
    fn sealed_text_opens_only_with_its_key_and_place() {
        let sealed = key(1).seal("row 7", b"hush").unwrap();
        assert!(!sealed.windows(4).any(|w| w == b"hush"));
        assert_eq!(key(1).open("row 7", &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(key(1).open("row 8", &sealed).unwrap_err().kind, ErrorKind::Internal);
        let other = key(2).open("row 7", &sealed).unwrap_err();
        assert!(other.to_string().contains("another master key"), "{other}");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = key(1).seal("row 7", b"hush").unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(key(1).open("row 7", &bad).is_err(), "byte {at}");
            assert!(key(1).open("row 7", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn key_text_is_hex_or_base64_of_32_bytes() {
        let check = |text: &str, expect: bool| assert_eq!(MasterKey::from_text(text).is_ok(), expect, "{text}");
        check(&"0f".repeat(32), true);
        check(&format!(" {}\n", "0F".repeat(32)), true);
        check(&STANDARD.encode([7; 32]), true);
        check(&STANDARD_NO_PAD.encode([7; 32]), true);
        check(&STANDARD.encode([7; 31]), false);
        check("", false);
        check("secret", false);
    }

    #[test]
    fn key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/master.key");
        let first = MasterKey::load_or_create(&path).unwrap();
        let second = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(first.0.as_slice(), second.0.as_slice());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "half a k").unwrap();
        assert_eq!(MasterKey::load_or_create(&path).unwrap_err().kind, ErrorKind::Malformed);
    }

    #[test]
    fn derived_keys_differ_by_purpose() {
        assert_eq!(key(1).derive("a"), key(1).derive("a"));
        assert_ne!(key(1).derive("a"), key(1).derive("b"));
        assert_ne!(key(1).derive("a"), key(2).derive("a"));
    }
}
