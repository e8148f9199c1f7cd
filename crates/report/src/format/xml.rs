//! Text made safe for XML and HTML.
//!
//! Invariant: the result holds no markup, no control character that XML 1.0 forbids (section 2.2, "Char"), and nothing
//! that reorders the line.

use crate::text::plain;

/// Escapes text for element content and quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let text = plain(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_only_text() {
        let check = |text: &str, expect: &str| assert_eq!(escaped(text), expect);
        check("<script>'\"&", "&lt;script&gt;&#39;&quot;&amp;");
        check("a\u{1b}[31m\u{0}b", "a\\u{1b}[31m\\u{0}b");
        check("abc\u{202e}exe", "abc\\u{202e}exe");
        check("line\nbreak", "line break");
    }
}
