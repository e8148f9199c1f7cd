//! The outline of a JSON document: its outermost keys, read without understanding the rest.
//!
//! It works on documents that were cut short, so that a damaged document can still be told from a foreign one.

use memchr::memchr2;

/// How many outermost keys are collected before the scan ends: enough for every form that has named fields.
const KEYS_MAX: usize = 64;
/// Deeper than any feed's documents; deeper ones are not JSON that is worth reading.
const DEPTH_MAX: usize = 512;

/// The outermost keys of a JSON object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline<'a> {
    /// In the order of the document, with the first key inside, where the value is an object.
    keys: Vec<(&'a [u8], Option<&'a [u8]>)>,
    /// The scan saw the end of the object.
    complete: bool,
}

impl<'a> Outline<'a> {
    /// Scans a document. What is not a JSON object has no keys.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let mut outline = Self::default();
        let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
        if bytes.get(start) != Some(&b'{') {
            return outline;
        }
        let (mut at, mut depth, mut in_object) = (start, 0usize, true);
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    // Only the first key inside an outermost value is wanted, and only when that is an object.
                    in_object = depth <= 1 || (depth == 2 && *byte == b'{' && outline.wants_inner());
                    if depth > DEPTH_MAX {
                        return outline;
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    in_object = depth == 1;
                    if depth == 0 {
                        outline.complete = true;
                        return outline;
                    }
                }
                b'"' => {
                    let Some(end) = string_end(bytes, at) else { return outline };
                    let text = &bytes[at..end];
                    at = end + 1;
                    if in_object && depth <= 2 && followed_by_colon(bytes, at) {
                        outline.add(depth, text);
                        if outline.keys.len() >= KEYS_MAX {
                            return outline;
                        }
                    }
                }
                _ => {}
            }
        }
        outline
    }

    /// True when there is such an outermost key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(found, _)| *found == key.as_bytes())
    }

    /// True when the document's end was seen.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The first keys inside outermost values that are objects.
    pub(crate) fn inner_keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.keys.iter().filter_map(|(_, inner)| *inner)
    }

    fn wants_inner(&self) -> bool {
        self.keys.last().is_some_and(|(_, inner)| inner.is_none())
    }

    fn add(&mut self, depth: usize, text: &'a [u8]) {
        if depth == 1 {
            self.keys.push((text, None));
        } else if let Some((_, inner @ None)) = self.keys.last_mut() {
            *inner = Some(text);
        }
    }
}

/// The value of the first field of this name anywhere in a document, as far as it is a plain string: what a document
/// that cannot be parsed says about itself.
pub(crate) fn string_field(bytes: &[u8], name: &str) -> Option<String> {
    let quoted = format!("\"{name}\"");
    memchr::memmem::find_iter(bytes, quoted.as_bytes()).find_map(|at| {
        let rest = bytes.get(at + quoted.len()..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"")?;
        let end = memchr2(b'"', b'\\', rest).filter(|end| rest[*end] == b'"')?;
        std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
    })
}

/// Where the string that begins at `at` ends: the position of its closing quote.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn followed_by_colon(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outline_lists_the_outermost_keys() {
        let check = |text: &str, expect: &[(&str, Option<&str>)], complete: bool| {
            let outline = Outline::of(text.as_bytes());
            let expect: Vec<_> = expect.iter().map(|(k, i)| (k.as_bytes(), i.map(str::as_bytes))).collect();
            assert_eq!(outline.keys, expect, "{text}");
            assert_eq!(outline.complete, complete, "{text}");
        };
        check(r#" {"a": 1, "b": [{"c": "x:y"}], "d\"e": "f"}"#, &[("a", None), ("b", None), ("d\\\"e", None)], true);
        check(r#"{"acl":{"CVE-1":{"r":{}},"CVE-2":1},"apt":{"#, &[("acl", Some("CVE-1")), ("apt", None)], false);
        check(r#"{"a":"cut"#, &[("a", None)], false);
        check(r#"{"a":"cut\"#, &[("a", None)], false);
        check("[1]", &[], false);
        check("<html>", &[], false);
        check("", &[], false);
    }

    #[test]
    fn string_fields_are_found_in_damaged_documents() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(string_field(text.as_bytes(), "ecosystem").as_deref(), expect, "{text}");
        };
        check(r#"{"ecosystem" : "PyPI", "na"#, Some("PyPI"));
        check(r#"{"ecosystem": 3, "x": {"ecosystem":"Go"}"#, Some("Go"));
        check(r#"{"ecosystem": "Py"#, None);
        check(r#"{"ecosystem""#, None);
    }
}
