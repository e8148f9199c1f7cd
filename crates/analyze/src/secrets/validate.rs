//! Proof by form: checksums, structures and keys that a secret's bytes must have.
//!
//! Not here: asking the issuer. Invariant: a validator looks at the value alone and never keeps it.

mod checksum;
mod pem;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use std::borrow::Cow;

/// The most that a JSON part of a token may take, in bytes.
const TOKEN_JSON_BYTES_MAX: usize = 16 << 10;

/// A proof that a rule can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Validator {
    /// Bech32 with its checksum (BIP 173): keys of age and nostr.
    Bech32,
    /// Base 58 with a checksum of four bytes (BIP 32, "Serialization format"): keys of wallets.
    Base58Check,
    /// Base64 of a text that is plausible as a secret: values in a Secret of Kubernetes.
    Base64Text,
    /// Prefix, entropy and six base-62 digits of its CRC-32: tokens of GitHub and npm.
    Crc32Base62,
    /// Capitals and digits of base 32, in which AWS writes its key ids.
    AwsKeyId,
    /// Two base64url parts that are JSON objects, the first with `alg` (RFC 7519, section 3), and a signature.
    JwtStructure,
    /// Base64 of a private key that is not encrypted (RFC 7468; openssh `PROTOCOL.key`).
    PemPrivateKey,
    /// The same, encrypted.
    PemEncryptedKey,
    /// Base64 of a whole PEM private key, as kubeconfig holds it.
    Base64Pem,
    /// Base64 of `user:password` (RFC 7617, section 2).
    BasicCredentials,
    /// A password as it stands in a URL, perhaps percent-encoded.
    UrlPassword,
    /// A value that was assigned to a name: nothing but plausibility.
    Assigned,
    /// A value in a file that is made to keep credentials.
    Stored,
}

/// What a validator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// The form proves itself.
    Proven,
    /// Nothing speaks for or against it.
    Silent,
    /// The form has a proof, and it fails: made up, or mistyped.
    Failed,
    /// It is something else.
    Refuted,
}

impl Validator {
    /// Judges a value by its form. [`Self::Assigned`] and [`Self::Stored`] are judged by their surroundings instead.
    pub(super) fn prove(self, value: &[u8]) -> Proof {
        match self {
            Self::Bech32 => checksum::bech32(value),
            Self::Base58Check => checksum::base58_check(value),
            Self::Base64Text => base64_text(value),
            Self::Crc32Base62 => crc32_base62(value),
            Self::AwsKeyId => aws_key_id(value),
            Self::JwtStructure => jwt_structure(value),
            Self::PemPrivateKey => pem::prove(value, false),
            Self::PemEncryptedKey => pem::prove(value, true),
            Self::Base64Pem => base64_pem(value),
            Self::BasicCredentials => basic_credentials(value),
            Self::UrlPassword | Self::Assigned | Self::Stored => Proof::Silent,
        }
    }

    /// The value in one spelling, so that the same key with other line ends has the same fingerprint.
    pub(super) fn canonical(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::PemPrivateKey | Self::PemEncryptedKey => Cow::Owned(pem::body(value).0),
            Self::Bech32
            | Self::Base58Check
            | Self::Base64Text
            | Self::Crc32Base62
            | Self::AwsKeyId
            | Self::JwtStructure
            | Self::Base64Pem
            | Self::BasicCredentials
            | Self::UrlPassword
            | Self::Assigned
            | Self::Stored => Cow::Borrowed(value),
        }
    }
}

/// The last six of the token are the CRC-32 of what stands between the prefix's `_` and them.
fn crc32_base62(value: &[u8]) -> Proof {
    const DIGITS: usize = 6;
    let Some(at) = value.iter().position(|b| *b == b'_') else { return Proof::Silent };
    let body = &value[at + 1..];
    if body.len() <= DIGITS {
        return Proof::Silent;
    }
    let (random, checksum) = body.split_at(body.len() - DIGITS);
    if base62(crc32(random)) == checksum { Proof::Proven } else { Proof::Failed }
}

/// CRC-32 of ISO-HDLC, as in zlib; bit by bit, since it only sees a token.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn base62(mut number: u32) -> [u8; 6] {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; 6];
    for digit in out.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    out
}

/// The sixteen after the prefix are base 32 (RFC 4648, section 6); what has other digits is found all the same.
fn aws_key_id(value: &[u8]) -> Proof {
    let is_base32 = |b: &u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(b);
    if value.iter().all(is_base32) { Proof::Proven } else { Proof::Silent }
}

fn jwt_structure(value: &[u8]) -> Proof {
    let mut parts = value.split(|b| *b == b'.');
    let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return Proof::Refuted;
    };
    let object = |part: &[u8]| -> Option<serde_json::Map<String, serde_json::Value>> {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok().filter(|b| b.len() <= TOKEN_JSON_BYTES_MAX)?;
        serde_json::from_slice(&bytes).ok()
    };
    let (Some(header), Some(payload)) = (object(header), object(payload)) else { return Proof::Refuted };
    let signed = header.get("alg").and_then(|alg| alg.as_str()).is_some_and(|alg| alg != "none");
    match signed && !signature.is_empty() && !payload.is_empty() {
        true => Proof::Silent,
        false => Proof::Refuted,
    }
}

fn base64_pem(value: &[u8]) -> Proof {
    let Some(bytes) = decode_base64(value) else { return Proof::Refuted };
    let holds = |part: &[u8]| memchr::memmem::find(&bytes, part).is_some();
    match holds(b"PRIVATE KEY-----") {
        true if holds(b"ENCRYPTED") => Proof::Silent,
        true => Proof::Proven,
        false => Proof::Refuted,
    }
}

/// At least four bytes, all of them text; not a placeholder of a template.
fn base64_text(value: &[u8]) -> Proof {
    const WORDS: [&[u8]; 6] = [b"password", b"changeme", b"change-me", b"admin", b"example", b"secret"];
    let Some(bytes) = decode_base64(value) else { return Proof::Refuted };
    let text = bytes.trim_ascii();
    let is_text = text.len() >= 4 && std::str::from_utf8(text).is_ok_and(|t| !t.chars().any(char::is_control));
    if !is_text || WORDS.contains(&text) || text.starts_with(b"${") || text.starts_with(b"{{") {
        return Proof::Refuted;
    }
    Proof::Silent
}

fn basic_credentials(value: &[u8]) -> Proof {
    let Some(bytes) = decode_base64(value) else { return Proof::Refuted };
    let text = bytes.iter().all(|b| (0x20..0x7f).contains(b) || *b >= 0x80) && std::str::from_utf8(&bytes).is_ok();
    match memchr::memchr(b':', &bytes) {
        Some(at) if text && at > 0 && at + 1 < bytes.len() => Proof::Silent,
        _ => Proof::Refuted,
    }
}

fn decode_base64(value: &[u8]) -> Option<Vec<u8>> {
    let end = value.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    STANDARD_NO_PAD.decode(&value[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_prove_tokens() {
        let check = |parts: &[&str], expect: Proof| {
            assert_eq!(Validator::Crc32Base62.prove(parts.concat().as_bytes()), expect, "{parts:?}");
        };
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        check(&["ghp", "_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"], Proof::Proven);
        check(&["npm", "_qkJaB6MffYVzZXWqmcoF49yrUxP3wf", "0LsakP"], Proof::Proven);
        check(&["ghp", "_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq18"], Proof::Failed);
        check(&["ghp", "_zQW"], Proof::Silent);
    }

    #[test]
    fn web_tokens_have_two_objects_and_a_signature() {
        let token = |header: &str, payload: &str, signature: &str| {
            format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
        };
        let check = |token: String, expect: Proof| {
            assert_eq!(Validator::JwtStructure.prove(token.as_bytes()), expect, "{token}");
        };
        check(token(r#"{"alg":"HS256"}"#, r#"{"sub":"a"}"#, "c2lnbmF0dXJl"), Proof::Silent);
        check(token(r#"{"alg":"none"}"#, r#"{"sub":"a"}"#, "c2ln"), Proof::Refuted);
        check(token(r#"{"alg":"HS256"}"#, r#"{"sub":"a"}"#, ""), Proof::Refuted);
        check(token(r#"{"typ":"JWT"}"#, r#"{"sub":"a"}"#, "c2ln"), Proof::Refuted);
        check(token(r#"{"alg":"HS256"}"#, "[1]", "c2ln"), Proof::Refuted);
        check("eyJh.b".to_owned(), Proof::Refuted);
    }

    #[test]
    fn basic_credentials_are_two_texts() {
        let check = |plain: &[u8], expect: Proof| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
            assert_eq!(Validator::BasicCredentials.prove(encoded.as_bytes()), expect, "{plain:?}");
        };
        check(b"robot:pa55word", Proof::Silent);
        check(b"robot", Proof::Refuted);
        check(b"robot:", Proof::Refuted);
        check(b":word", Proof::Refuted);
        check(b"\x01\x02:\xff", Proof::Refuted);
    }
}
