//! Private keys in text form: RFC 7468, the older form with header lines (RFC 1421), openssh's own, and any of
//! them inside a string of a programming language.

use super::Proof;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The shortest private key: Ed25519 in PKCS #8 has 48 bytes, a raw EC key of RFC 5915 about 50.
const KEY_BYTES_MIN: usize = 40;

/// So much text that looks like base64 is taken for a broken key.
const BROKEN_BYTES_MIN: usize = 64;

/// Begins the binary form of openssh's keys (openssh, `PROTOCOL.key`, section 1).
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// Judges what stands between the two lines of dashes.
pub(super) fn prove(value: &[u8], encrypted: bool) -> Proof {
    let (base64, header_encrypted) = body(value);
    let end = base64.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
    let Ok(key) = STANDARD_NO_PAD.decode(&base64[..end]) else { return broken(&base64) };
    if key.len() < KEY_BYTES_MIN || key.iter().all(|b| *b == key[0]) {
        return Proof::Refuted;
    }
    let (form, is_encrypted) = match key.strip_prefix(OPENSSH_MAGIC) {
        Some(rest) => (true, !rest.starts_with(b"\0\0\0\x04none")),
        None => (is_der_sequence(&key), header_encrypted || is_encrypted_pkcs8(&key)),
    };
    match (is_encrypted == encrypted, form) {
        (false, _) => Proof::Refuted,
        (true, true) => Proof::Proven,
        (true, false) => Proof::Silent,
    }
}

/// Long lines that are no base64 as a whole may be a key that was cut or mended; anything shorter is a picture of one.
fn broken(base64: &[u8]) -> Proof {
    if base64.len() >= BROKEN_BYTES_MIN { Proof::Failed } else { Proof::Refuted }
}

/// The base64 digits alone, and whether a header line says that the key is encrypted.
pub(super) fn body(value: &[u8]) -> (Vec<u8>, bool) {
    let mut digits = Vec::with_capacity(value.len());
    let mut encrypted = false;
    for line in lines(value) {
        if line.contains(&b':') {
            encrypted |= memchr::memmem::find(line, b"ENCRYPTED").is_some();
        } else {
            // Not quotes, commas and the plus sign that join strings in source code.
            let runs = line.split(|b| !(b.is_ascii_alphanumeric() || b"+/=".contains(b)));
            digits.extend_from_slice(runs.max_by_key(|run| run.len()).filter(|run| *run != b"+").unwrap_or_default());
        }
    }
    (digits, encrypted)
}

/// Lines that end with a line feed, or with one spelled `\n`; a carriage return spelled `\r` goes with it.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = (0..text.len()).find(|at| text[*at] == b'\n' || text[*at..].starts_with(b"\\n"));
        let line = &text[..end.unwrap_or(text.len())];
        rest = end.map(|at| &text[at + if text[at] == b'\n' { 1 } else { 2 }..]);
        Some(line.strip_suffix(b"\\r").unwrap_or(line))
    })
}

/// A DER SEQUENCE that fills the bytes (X.690, section 8.1.3).
fn is_der_sequence(der: &[u8]) -> bool {
    content(der, 0x30).is_some_and(|(_, rest)| rest.is_empty())
}

/// `EncryptedPrivateKeyInfo` (RFC 5958, section 3) begins with an algorithm, all other forms with a version.
fn is_encrypted_pkcs8(der: &[u8]) -> bool {
    content(der, 0x30).is_some_and(|(inner, _)| inner.first() == Some(&0x30))
}

/// The content of a DER value with this tag, and what follows it.
fn content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = der else { return None };
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn der(encrypted: bool) -> Vec<u8> {
        let mut inner = if encrypted { vec![0x30, 0x02, 0x05, 0x00] } else { vec![0x02, 0x01, 0x00] };
        inner.extend((0..60).map(|n: u8| n.wrapping_mul(37)));
        let mut all = vec![0x30, u8::try_from(inner.len()).unwrap()];
        all.extend(inner);
        all
    }

    #[test]
    fn keys_prove_themselves() {
        let check = |value: &str, encrypted: bool, expect: Proof| {
            assert_eq!(prove(value.as_bytes(), encrypted), expect, "{value}");
        };
        let (plain, locked) = (STANDARD.encode(der(false)), STANDARD.encode(der(true)));
        check(&plain, false, Proof::Proven);
        check(&plain, true, Proof::Refuted);
        check(&locked, true, Proof::Proven);
        check(&locked, false, Proof::Refuted);
        check("...", false, Proof::Refuted);
        check("MIIB", false, Proof::Refuted);
        check(&"MIIEpQIBAAKCAQEAz".repeat(5), false, Proof::Failed);
        check(&STANDARD.encode([0; 64]), false, Proof::Refuted);
        let headers = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{plain}");
        check(&headers, true, Proof::Proven);
        let openssh = |cipher: &[u8]| STANDARD.encode([OPENSSH_MAGIC, cipher, &[9; 60], &[8; 9]].concat());
        check(&openssh(b"\0\0\0\x04none"), false, Proof::Proven);
        check(&openssh(b"\0\0\0\x0aaes256-ctr"), false, Proof::Refuted);
        check(&openssh(b"\0\0\0\x0aaes256-ctr"), true, Proof::Proven);
    }

    #[test]
    fn one_key_in_many_spellings_has_one_body() {
        let plain = STANDARD.encode(der(false));
        let (head, tail) = plain.split_at(40);
        for spelling in [
            format!("\n{head}\n{tail}\n"),
            format!("\r\n{head}\r\n{tail}\r\n"),
            format!(r"\n{head}\n{tail}\n"),
            format!(r"\r\n{head}\r\n{tail}\r\n"),
            format!("\\n\" +\n  \"{head}\\n\" +\n  \"{tail}\\n"),
        ] {
            assert_eq!(body(spelling.as_bytes()).0, plain.as_bytes(), "{spelling}");
        }
    }
}
