//! What is kept of a secret's value: never the value.
//!
//! Invariant: the preview shows at most four leading and two trailing bytes, and never more than a quarter of
//! the value; the fingerprint cannot be turned back without the key.

use hmac::{Hmac, KeyInit, Mac};
use model::observation::{Alphabet, SecretShape};
use sha2::Sha256;

/// Leading bytes that a preview may show.
const LEADING_MAX: usize = 4;
/// Trailing bytes that a preview may show.
const TRAILING_MAX: usize = 2;
/// Stands for the middle, whatever its length: the length is not told.
const MASK: &str = "********";
/// Hexadecimal digits of a fingerprint: 128 bits.
const FINGERPRINT_DIGITS: usize = 32;

/// The value with its middle masked.
pub(super) fn preview(value: &[u8]) -> String {
    let shown = value.len() / 4;
    let trailing = TRAILING_MAX.min(shown / 3);
    let leading = LEADING_MAX.min(shown - trailing);
    let mut out = String::with_capacity(LEADING_MAX + MASK.len() + TRAILING_MAX);
    out.extend(value[..leading].iter().map(printable));
    out.push_str(MASK);
    out.extend(value[value.len() - trailing..].iter().map(printable));
    out
}

fn printable(byte: &u8) -> char {
    if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }
}

/// Keyed hash of the value: HMAC-SHA-256 (RFC 2104), the first 32 hexadecimal digits.
pub(super) fn fingerprint(key: &[u8; 32], value: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(value);
    let mut hex = model::Digest::from_bytes(mac.finalize().into_bytes().into()).hex();
    hex.truncate(FINGERPRINT_DIGITS);
    hex
}

/// Shannon entropy of the bytes, in bits per byte: 0 for one byte repeated, at most 8.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = bytes.len() as f64;
    counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / length).map(|p| -p * p.log2()).sum()
}

/// Bytes of a value in which its issuer's prefix is looked for.
const PREFIX_BYTES_MAX: usize = 12;

/// What a value looks like. `prefixed`: does the rule describe an issuer's form, whose beginning is no secret?
pub(super) fn shape(value: &[u8], prefixed: bool) -> SecretShape {
    SecretShape {
        bytes: u32::try_from(value.len()).unwrap_or(u32::MAX),
        alphabet: alphabet(value),
        prefix: if prefixed { prefix(value) } else { String::new() },
        // At most 8000.
        entropy_millibits: (entropy(value) * 1000.0).round() as u32,
    }
}

fn alphabet(value: &[u8]) -> Alphabet {
    let all = |holds: fn(&u8) -> bool| value.iter().all(holds);
    if all(u8::is_ascii_digit) {
        Alphabet::Decimal
    } else if all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        || all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b))
    {
        Alphabet::Hexadecimal
    } else if all(u8::is_ascii_alphanumeric) {
        Alphabet::Alphanumeric
    } else if all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
        Alphabet::Base64Url
    } else if all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)) {
        Alphabet::Base64
    } else if all(u8::is_ascii_graphic) {
        Alphabet::Printable
    } else {
        Alphabet::Other
    }
}

/// Small words of letters and digits up to the last `_`, `-` or `.` near the beginning, never more than a quarter of
/// the value: what an issuer writes in front.
fn prefix(value: &[u8]) -> String {
    let head = &value[..value.len().min(4 * PREFIX_BYTES_MAX) / 4];
    let words = head.iter().position(|b| !(b.is_ascii_alphanumeric() || b"_-.".contains(b))).unwrap_or(head.len());
    let end = head[..words].iter().rposition(|b| b"_-.".contains(b)).map_or(0, |at| at + 1);
    String::from_utf8_lossy(&head[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn previews_mask_the_middle() {
        let check = |value: &str, expect: &str| assert_eq!(preview(value.as_bytes()), expect);
        check("", "********");
        check("abc", "********");
        check("hunter2x", "hu********");
        check("abcdefghijkl", "ab********l");
        check("abcdefghijklmnopqrstuvwxyz", "abcd********yz");
        check("\u{1}bcdefg\n", "?b********");
    }

    #[test]
    fn fingerprints_are_equal_for_equal_values_and_keys() {
        let one = fingerprint(&[7; 32], b"value");
        assert_eq!(one, fingerprint(&[7; 32], b"value"));
        assert_ne!(one, fingerprint(&[7; 32], b"valuf"));
        assert_ne!(one, fingerprint(&[8; 32], b"value"));
        assert_eq!(one.len(), 32);
        // RFC 4231, test case 2, with the key padded by zeros as the HMAC itself does.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(fingerprint(&key, b"what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn shapes_tell_no_more_than_the_form() {
        let check = |value: &str, expect: (u32, Alphabet, &str)| {
            let shape = shape(value.as_bytes(), true);
            assert_eq!((shape.bytes, shape.alphabet, shape.prefix.as_str()), expect, "{value}");
        };
        check("", (0, Alphabet::Decimal, ""));
        check("12345678", (8, Alphabet::Decimal, ""));
        check("c0ffee0123456789", (16, Alphabet::Hexadecimal, ""));
        check("ghx_c0ffeeXYZ0123456789aaaaaaaaaaaaaa", (37, Alphabet::Base64Url, "ghx_"));
        check("sk_live_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", (40, Alphabet::Base64Url, "sk_live_"));
        check("a_bcdefg", (8, Alphabet::Base64Url, "a_"));
        check("ab/cd+==", (8, Alphabet::Base64, ""));
        check("p@ss w\u{f6}rd", (10, Alphabet::Other, ""));
        assert_eq!(shape(b"abab", false).entropy_millibits, 1000);
    }

    #[test]
    fn entropy_is_in_bits() {
        let check = |text: &str, expect: f64| assert!((entropy(text.as_bytes()) - expect).abs() < 1e-9, "{text}");
        check("", 0.0);
        check("aaaa", 0.0);
        check("abab", 1.0);
        check("abcdefgh", 3.0);
    }

    proptest! {
        #[test]
        fn a_preview_never_holds_the_middle(value in "[!-)+-~]{1,200}") {
            let preview = preview(value.as_bytes());
            let (head, tail) = preview.split_once(MASK).unwrap();
            prop_assert!(head.len() <= LEADING_MAX && tail.len() <= TRAILING_MAX);
            prop_assert!(4 * (head.len() + tail.len()) <= value.len());
            prop_assert!(value.starts_with(head) && value.ends_with(tail));
            prop_assert_eq!(preview.len(), head.len() + MASK.len() + tail.len());
        }
    }
}
