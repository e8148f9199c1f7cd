//! Package URLs as the specification has them: any type, every part, read, checked and written in canonical form
//! (package-url/purl-spec, `PURL-SPECIFICATION.rst` and the type definitions).
//!
//! Not here: which of them this program knows as packages ([`Purl`](crate::purl::Purl)).
//!
//! Invariant: what is written reads back as the same parts, and reading what was written writes the same text.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The longest package URL that is read, in bytes.
pub const BYTES_MAX: usize = 8 * 1024;

/// Letters, digits and `-._~` stay; `:` stays too, as the specification's canonical form has it.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
/// Subpaths keep their slashes.
const ENCODE_PATH: &AsciiSet = &ENCODE.remove(b'/');

/// The parts of a package URL, decoded and normalised as their type asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PurlParts {
    /// `npm`, `deb`, …; lower case.
    pub kind: String,
    /// Without slashes at its ends.
    pub namespace: Option<String>,
    /// Never empty.
    pub name: String,
    /// Never empty.
    pub version: Option<String>,
    /// Values are never empty.
    pub qualifiers: BTreeMap<String, String>,
    /// Relative, without `.` and `..`.
    pub subpath: Option<String>,
}

/// Why a text or a set of parts is no package URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no package URL: {0}")]
pub struct NotAPurl(pub &'static str);

impl FromStr for PurlParts {
    type Err = NotAPurl;

    fn from_str(text: &str) -> Result<Self, NotAPurl> {
        if text.len() > BYTES_MAX {
            return Err(NotAPurl("it is longer than 8 KiB"));
        }
        let (scheme, rest) = text.split_once(':').ok_or(NotAPurl("it does not start with pkg:"))?;
        if !scheme.eq_ignore_ascii_case("pkg") {
            return Err(NotAPurl("it does not start with pkg:"));
        }
        let (rest, subpath) = rest.rsplit_once('#').map_or((rest, None), |(rest, subpath)| (rest, Some(subpath)));
        let (rest, qualifiers) = rest.rsplit_once('?').map_or((rest, ""), |(rest, qualifiers)| (rest, qualifiers));
        let rest = rest.trim_matches('/');
        let (kind, rest) = rest.split_once('/').ok_or(NotAPurl("it has no name"))?;
        // An at sign that begins a part before the last one belongs to a namespace (`@scope/name`).
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, version) = match rest[last..].rfind('@') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if path.ends_with('/') || path.is_empty() {
            return Err(NotAPurl("it has no name"));
        }
        let (namespace, name) = path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')));
        let namespace = segments(namespace, |_| true)?;
        let parts = Self {
            kind: kind.to_owned(),
            namespace: Some(namespace),
            name: decode(name)?,
            version: version.map(decode).transpose()?,
            qualifiers: qualifiers_of(qualifiers)?,
            subpath: subpath.map(|subpath| segments(subpath, |part| !matches!(part, "." | ".."))).transpose()?,
        };
        parts.normalised()
    }
}

fn decode(text: &str) -> Result<String, NotAPurl> {
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| NotAPurl("a part is not UTF-8"))
}

/// Parts between slashes, decoded, without the empty ones and those that are not wanted.
fn segments(text: &str, wanted: impl Fn(&str) -> bool) -> Result<String, NotAPurl> {
    let decoded = text.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
    Ok(decoded.into_iter().filter(|part| !part.is_empty() && wanted(part)).collect::<Vec<_>>().join("/"))
}

fn qualifiers_of(text: &str) -> Result<BTreeMap<String, String>, NotAPurl> {
    let mut found = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(NotAPurl("a qualifier has no value"))?;
        if !key.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(NotAPurl("the key of a qualifier does not begin with a lower-case letter"));
        }
        if found.insert(key.to_ascii_lowercase(), decode(value)?).is_some() {
            return Err(NotAPurl("a qualifier is there twice"));
        }
    }
    Ok(found)
}

impl PurlParts {
    /// Checks parts and brings them into the form that their type asks for.
    ///
    /// # Errors
    /// What breaks a rule of the specification or of the type.
    pub fn normalised(mut self) -> Result<Self, NotAPurl> {
        self.kind.make_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
        if !self.kind.bytes().all(plain) || !self.kind.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(NotAPurl("its type is empty or has a character that is not allowed"));
        }
        for part in [&mut self.namespace, &mut self.version, &mut self.subpath] {
            *part = part.take().map(|text| text.trim_matches('/').to_owned()).filter(|text| !text.is_empty());
        }
        let is_key = |key: &str| {
            key.starts_with(|c: char| c.is_ascii_lowercase())
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
        };
        if !self.qualifiers.keys().all(|key| is_key(key)) {
            return Err(NotAPurl(
                "the key of a qualifier is not in lower case, or has a character that is not allowed",
            ));
        }
        self.qualifiers.retain(|_, value| !value.is_empty());
        self.by_type()?;
        if self.name.is_empty() {
            return Err(NotAPurl("it has no name"));
        }
        Ok(self)
    }

    /// The rules of the types (purl-spec, `types/*-definition.json`).
    fn by_type(&mut self) -> Result<(), NotAPurl> {
        let lower = |text: &mut String| *text = text.to_lowercase();
        match self.kind.as_str() {
            "alpm" | "apk" | "bitbucket" | "bitnami" | "brew" | "composer" | "deb" | "github" | "hex" | "luarocks"
            | "npm" | "oci" | "otp" | "pub" | "vscode-extension" => {
                self.namespace.iter_mut().for_each(lower);
                lower(&mut self.name);
            }
            "pypi" => self.name = self.name.to_lowercase().replace('_', "-"),
            "qpkg" | "rpm" => self.namespace.iter_mut().for_each(lower),
            "git" => self.git(),
            "huggingface" => self.version.iter_mut().for_each(lower),
            // Databricks folds names, Azure ML does not.
            "mlflow" if self.qualifiers.get("repository_url").is_some_and(|url| url.contains("databricks")) => {
                lower(&mut self.name);
            }
            "cpan" => self.namespace.iter_mut().for_each(|namespace| *namespace = namespace.to_uppercase()),
            _ => {}
        }
        self.required()
    }

    /// The namespace is the host; everything after it is the name, which GitHub folds.
    fn git(&mut self) {
        let Some((host, rest)) = self.namespace.as_deref().and_then(|namespace| namespace.split_once('/')) else {
            return;
        };
        let (host, name) = (host.to_owned(), format!("{rest}/{}", self.name));
        if matches!(host.as_str(), "github" | "github.com") {
            self.name = name.to_lowercase();
        } else {
            self.name = name;
        }
        self.namespace = Some(host);
    }

    fn required(&self) -> Result<(), NotAPurl> {
        let has_namespace = self.namespace.is_some();
        match self.kind.as_str() {
            "swift" | "vscode-extension" if !has_namespace => Err(NotAPurl("its type asks for a namespace")),
            "otp" | "vcpkg" if has_namespace => Err(NotAPurl("its type has no namespace")),
            "cpan" if self.name.contains("::") => Err(NotAPurl("the name of a distribution has no double colon")),
            "julia" if !self.qualifiers.contains_key("uuid") => Err(NotAPurl("its type asks for a uuid")),
            "chrome-extension" => self.chrome_extension(),
            _ => Ok(()),
        }
    }

    fn chrome_extension(&self) -> Result<(), NotAPurl> {
        let id = self.name.len() == 32 && self.name.bytes().all(|b| (b'a'..=b'p').contains(&b));
        let numbers = |version: &str| {
            let parts: Vec<&str> = version.split('.').collect();
            parts.len() <= 4 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        };
        if !id || !self.version.as_deref().is_none_or(numbers) {
            return Err(NotAPurl("an extension has 32 letters from a to p, and a version of up to four numbers"));
        }
        Ok(())
    }
}

impl fmt::Display for PurlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}", self.kind)?;
        for part in self.namespace.iter().flat_map(|namespace| namespace.split('/')) {
            write!(f, "/{}", utf8_percent_encode(part, ENCODE))?;
        }
        let in_name = if self.kind == "git" { ENCODE_PATH } else { ENCODE };
        write!(f, "/{}", utf8_percent_encode(&self.name, in_name))?;
        if let Some(version) = &self.version {
            write!(f, "@{}", utf8_percent_encode(version, ENCODE))?;
        }
        for (at, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}={}", if at == 0 { '?' } else { '&' }, utf8_percent_encode(value, ENCODE))?;
        }
        if let Some(subpath) = &self.subpath {
            write!(f, "#{}", utf8_percent_encode(subpath, ENCODE_PATH))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_read_decoded_and_normalised() {
        let check = |text: &str, expect: &str| {
            let found = text.parse::<PurlParts>().map_or_else(|e| e.to_string(), |parts| parts.to_string());
            assert_eq!(found, expect, "{text}");
        };
        check("pkg:npm/%40babel/core@7.0.0", "pkg:npm/%40babel/core@7.0.0");
        check("pkg:npm/@babel/core", "pkg:npm/%40babel/core");
        check("PKG://PyPI/Django_Extra@1.0", "pkg:pypi/django-extra@1.0");
        check("pkg:deb/debian/curl@7.50.3-1?distro=jessie&arch=", "pkg:deb/debian/curl@7.50.3-1?distro=jessie");
        check("pkg:golang/a/b#/./x/../y/", "pkg:golang/a/b#x/y");
        check(
            "pkg:npm/a@1?in%20x=y",
            "it is no package URL: the key of a qualifier is not in lower case, or has a character that is not allowed",
        );
        check("npm/a@1", "it is no package URL: it does not start with pkg:");
        check("pkg:maven/@1.3", "it is no package URL: it has no name");
        check("pkg:npm/a?x=1&x=2", "it is no package URL: a qualifier is there twice");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "[pP]kg:[a-z]{1,4}/[a-zA-Z@%0-9./?=&#:-]{0,30}") {
            if let Ok(parts) = text.parse::<PurlParts>() {
                let written = parts.to_string();
                let again: PurlParts = written.parse().expect("what was written can be read");
                prop_assert_eq!(again.to_string(), written);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<PurlParts>();
            let _ = format!("pkg:{text}").parse::<PurlParts>();
        }
    }
}
