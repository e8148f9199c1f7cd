//! What is known not to be a secret: examples of documentation, placeholders, templates.
//!
//! Not here: excuses of one rule alone, which are its `unless`. Invariant: the lists are data
//! (`rules/secrets/allow.toml`); only forms that no list can hold are code.

use crate::{Error, ErrorKind};
use aho_corasick::AhoCorasick;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Longer values hold any short word by chance, so words are not looked for.
const WORDS_VALUE_BYTES_MAX: usize = 200;

/// So many equal bytes in a row are no part of a random value.
const RUN_MIN: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowFile {
    value: Vec<AllowedValue>,
    words: Words,
}

/// A value that everybody knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowedValue {
    parts: Vec<String>,
    /// Why it is no secret.
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    /// No rule's value holds one of these.
    placeholder: Vec<String>,
    /// Values that hold one of these were hardly made by a generator: found, with low confidence.
    doubtful: Vec<String>,
    /// No value of a generic rule holds one of these.
    generic: Vec<String>,
    /// No value of a generic rule is one of these.
    nothing: Vec<String>,
    /// Values that people choose and should not: found, with low confidence.
    weak: Vec<String>,
}

/// The compiled lists.
#[derive(Debug)]
pub(super) struct AllowList {
    values: BTreeMap<Vec<u8>, String>,
    placeholder: AhoCorasick,
    doubtful: AhoCorasick,
    generic: AhoCorasick,
    nothing: BTreeSet<String>,
    weak: BTreeSet<String>,
}

impl AllowList {
    /// Reads the lists.
    ///
    /// # Errors
    /// When the text is not of the form.
    pub(super) fn parse(toml: &str) -> Result<Self, Error> {
        let file: AllowFile = toml::from_str(toml)
            .map_err(|e| Error::because(ErrorKind::Malformed, "the list of known non-secrets cannot be read", e))?;
        let words = |words: &[String]| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(words)
                .map_err(|e| Error::because(ErrorKind::Malformed, "the list of known non-secrets does not compile", e))
        };
        Ok(Self {
            values: file.value.into_iter().map(|v| (v.parts.concat().into_bytes(), v.reason)).collect(),
            placeholder: words(&file.words.placeholder)?,
            doubtful: words(&file.words.doubtful)?,
            generic: words(&file.words.generic)?,
            nothing: file.words.nothing.into_iter().collect(),
            weak: file.words.weak.into_iter().collect(),
        })
    }

    /// Why this value of any rule is known to be no secret, for people.
    pub(super) fn reason(&self, value: &[u8]) -> Option<String> {
        if let Some(reason) = self.values.get(value) {
            return Some(format!("a public value: {reason}"));
        }
        if value.len() > WORDS_VALUE_BYTES_MAX {
            return None;
        }
        if let Some(word) = self.placeholder.find(value) {
            let word = String::from_utf8_lossy(&value[word.range()]).to_ascii_lowercase();
            return Some(format!("a placeholder: it holds {word:?}"));
        }
        has_run(value).then(|| format!("a placeholder: it holds {RUN_MIN} equal characters in a row"))
    }

    /// Does it look typed rather than drawn?
    pub(super) fn doubts(&self, value: &[u8]) -> bool {
        value.len() <= WORDS_VALUE_BYTES_MAX && self.doubtful.is_match(value)
    }

    /// Is it known that this value of a generic rule is no secret?
    pub(super) fn dismisses_generic(&self, value: &[u8]) -> bool {
        is_template(value)
            || self.nothing.contains(&lower(value))
            || value.len() <= WORDS_VALUE_BYTES_MAX && self.generic.is_match(value)
    }

    /// Is it a password that everybody would try first?
    pub(super) fn is_weak(&self, value: &[u8]) -> bool {
        self.weak.contains(&lower(value))
    }
}

fn lower(value: &[u8]) -> String {
    String::from_utf8_lossy(value).to_ascii_lowercase()
}

fn has_run(value: &[u8]) -> bool {
    let mut run = 1;
    value.windows(2).any(|pair| {
        run = if pair[0] == pair[1] { run + 1 } else { 1 };
        run >= RUN_MIN
    })
}

/// Is it filled in later? `${NAME}`, `$NAME`, `{{ name }}`, `<name>`, `%NAME%`, `%(name)s`, `@NAME@`, `[name]`.
fn is_template(value: &[u8]) -> bool {
    let has = |part: &str| memchr::memmem::find(value, part.as_bytes()).is_some();
    match value {
        [] | [b'$'] | [b'<', .., b'>'] => true,
        [b'$', next, ..] if next.is_ascii_alphanumeric() || b"_{(@#*?!-".contains(next) => !is_password_hash(value),
        [b'%', .., b'%'] | [b'@', .., b'@'] | [b'[', .., b']'] | [b'{', .., b'}'] | [b'`', ..] => true,
        _ => ["${", "$(", "{{", "}}", "%(", "#{", "<%", "$$", "..."].iter().any(|part| has(part)),
    }
}

/// `$6$…`, `$2y$…`: crypt(5) begins a hash as a shell begins a parameter.
fn is_password_hash(value: &[u8]) -> bool {
    value.len() > 20 && value[1..].iter().filter(|b| **b == b'$').count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::embedded;

    #[test]
    fn known_values_are_dismissed() {
        let list = AllowList::parse(embedded::ALLOW).unwrap();
        let check = |value: &str, any: bool, generic: bool| {
            assert_eq!(list.reason(value.as_bytes()).is_some(), any, "{value}");
            assert_eq!(list.dismisses_generic(value.as_bytes()), generic, "{value}");
        };
        check(concat!("AKIAIOSFODNN7", "EXAMPLE"), true, false);
        check("aaaaaaaabc1234", true, false);
        check("${DB_PASSWORD}", false, true);
        check("$DB_PASSWORD", false, true);
        check("$1", false, true);
        check(concat!("$", "6$c2FsdHNhbHQ$k0cP5xZ1"), false, false);
        check("<password>", false, true);
        check("true", false, true);
        check("changeme", true, false);
        check("b7Kx-91mQz", false, false);
        assert!(list.is_weak(b"Postgres"));
    }
}
