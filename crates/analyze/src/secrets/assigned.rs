//! Is a value that was assigned to a name like `password` or `api_key` plausibly a secret?
//!
//! The hardest question, since there is no form to go by. Invariant: the answer is never better than
//! [`Confidence::Medium`].

use super::allow::AllowList;
use super::shape::entropy;
use super::surroundings::Style;
use model::observation::Confidence;

/// The shortest random text in source code that is more than a test's made-up value.
const CODE_BYTES_MIN: usize = 12;

/// The runs of a random text are shorter than this on average, in bytes.
const RUN_BYTES_MAX: f64 = 3.0;

/// Random texts of sixteen bytes or more have at least this entropy, in bits per byte.
const RANDOM_ENTROPY_MIN: f64 = 3.3;

/// How sure it is that `value` is a secret; `None` when it is something else.
pub(super) fn judge(value: &[u8], style: Style, allow: &AllowList) -> Option<Confidence> {
    let value = value.trim_ascii();
    if allow.dismisses_generic(value) || is_something_else(value) {
        return None;
    }
    let random = is_random(value);
    let mixed = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    match style {
        Style::Environment if allow.is_weak(value) || is_uuid(value) => Some(Confidence::Low),
        Style::Environment => Some(Confidence::Medium),
        Style::Settings | Style::Other if allow.is_weak(value) || !mixed || value.len() < 8 => None,
        Style::Settings if random => Some(Confidence::Medium),
        Style::Other if random && value.len() >= CODE_BYTES_MIN => Some(Confidence::Medium),
        Style::Settings => Some(Confidence::Low),
        Style::Other if is_identifier(value) && !random => None,
        Style::Other => Some(Confidence::Low),
    }
}

/// A switch, a number, a path, an address, a date: what such names are given besides secrets.
fn is_something_else(value: &[u8]) -> bool {
    const SHORTEST: usize = 4;
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    value.len() < SHORTEST
        || digits == value.len() && value.len() < 6
        || value.iter().all(|b| b.is_ascii_punctuation())
        || memchr::memmem::find(value, b"://").is_some()
        || is_path(value)
        || is_date_or_version(value)
        || is_key_fingerprint(value)
}

/// `/run/secrets/x`, `./x`, `~/x`, `C:\x`: folders and names of small letters.
fn is_path(value: &[u8]) -> bool {
    let folders = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-".contains(b);
    match value {
        [b'/', rest @ ..] => rest.iter().all(folders) || rest.starts_with(b"run/") || rest.starts_with(b"var/"),
        [b'.', b'/', ..] | [b'.', b'.', b'/', ..] | [b'~', b'/', ..] => true,
        [letter, b':', b'\\', ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

fn is_date_or_version(value: &[u8]) -> bool {
    value.first().is_some_and(|b| b.is_ascii_digit() || *b == b'v')
        && value[1..].iter().all(|b| b.is_ascii_digit() || b".-:TZ+ ".contains(b))
        && value.iter().any(|b| b".-:".contains(b))
}

/// A fingerprint of a PGP key: forty capitals, the form in which images pin the keys that they trust.
fn is_key_fingerprint(value: &[u8]) -> bool {
    value.len() == 40
        && value.iter().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b))
        && value.iter().any(u8::is_ascii_alphabetic)
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `getToken2`, `my_secret_1`, `Foo.bar`, `--token1`: words with a digit or two.
fn is_identifier(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(b))
}

/// Are its runs of letters and digits as short as those of a random text? Words are longer. Random texts of the
/// usual alphabets have runs of 2.0 to 2.5 bytes, when a capital and the small letters after it count as one run.
fn is_random(value: &[u8]) -> bool {
    let class = |b: &u8| match b {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let (mut runs, mut bytes, mut last) = (0_usize, 0_usize, 3);
    for byte in value {
        let this = class(byte);
        let continues = this == last || (last, this) == (1, 0);
        runs += usize::from(this != 3 && !continues);
        bytes += usize::from(this != 3);
        last = this;
    }
    let short = (bytes as f64) < RUN_BYTES_MAX * runs as f64;
    short && (value.len() < 16 || entropy(value) >= RANDOM_ENTROPY_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::embedded;

    #[test]
    fn values_are_told_from_secrets() {
        let allow = AllowList::parse(embedded::ALLOW).unwrap();
        let check = |value: &str, style: Style, expect: Option<Confidence>| {
            assert_eq!(judge(value.as_bytes(), style, &allow), expect, "{value} {style:?}");
        };
        let (low, medium) = (Some(Confidence::Low), Some(Confidence::Medium));
        check("hunter2", Style::Environment, medium);
        check("postgres", Style::Environment, low);
        check("123456", Style::Environment, low);
        check("4096", Style::Environment, None);
        check("true", Style::Environment, None);
        check("/run/secrets/db", Style::Environment, None);
        check("${PASSWORD}", Style::Environment, None);
        check("2024-05-01", Style::Environment, None);
        check("https://sso.internal/login", Style::Environment, None);
        check("E3FF2839C048B25C084DEBE9B26995E310250568", Style::Environment, None);
        check("c0ffee00-1a2b-4c3d-8e9f-001122334455", Style::Environment, low);
        check("k3J9-xQ2p", Style::Settings, medium);
        check("summer2024", Style::Settings, low);
        check("correcthorse", Style::Settings, None);
        check("bK7d0fQz93LmXa2PvR8t", Style::Other, medium);
        check("getToken2", Style::Other, None);
        check("caching_sha2_password", Style::Other, None);
        check("CLIENT_TRAFFIC_SECRET_0", Style::Other, None);
        check("9f86d081884c7d659a2f", Style::Other, medium);
        check("x7k2m9q4w1z8", Style::Settings, medium);
        check("postgres", Style::Settings, None);
    }
}
