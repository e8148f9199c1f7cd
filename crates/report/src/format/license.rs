//! Licences as image contents spell them, in the words that bills of materials allow (SPDX specification 2.3, annex D).
//!
//! Invariant: what is written as an identifier or expression is one; everything else is carried as a name.

use spdx::Expression;

/// A licence as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum License<'a> {
    /// One identifier of the SPDX list.
    Id(&'a str),
    /// A valid expression of several.
    Expression(&'a str),
    /// Anything else.
    Name(&'a str),
}

/// Says what a text is.
pub(super) fn read(text: &str) -> License<'_> {
    let text = text.trim();
    match spdx::license_id(text) {
        Some(id) if id.name == text && !id.is_deprecated() => return License::Id(text),
        Some(_) | None => {}
    }
    match Expression::parse(text) {
        Ok(_) => License::Expression(text),
        Err(_) => License::Name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_told_apart() {
        let check = |text, expect| assert_eq!(read(text), expect);
        check("MIT", License::Id("MIT"));
        check("mit", License::Name("mit"));
        check("GPL-2.0-or-later AND MIT", License::Expression("GPL-2.0-or-later AND MIT"));
        check("MIT OR (Apache-2.0 AND BSD-3-Clause)", License::Expression("MIT OR (Apache-2.0 AND BSD-3-Clause)"));
        check("MIT BSD GPL2+", License::Name("MIT BSD GPL2+"));
        check("", License::Name(""));
        check("SEE LICENSE IN x.txt", License::Name("SEE LICENSE IN x.txt"));
    }
}
