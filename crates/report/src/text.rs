//! Text of unknown origin made safe to show.
//!
//! Not here: escaping for JSON (serde does) or HTML (the page does). Invariant: the result holds no control character
//! and nothing that reorders the line, so that a file name cannot write to somebody's terminal.

use std::fmt::Write;

/// Replaces what a terminal would act on by `\u{…}`; line breaks and tabs become one space each.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || reorders(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// At most `chars_max` characters, the last being `…` when something was cut.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= chars_max {
        return text;
    }
    let mut out: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Bidirectional controls and invisible separators (Unicode Standard Annex #9, section 2).
const fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_a_terminal() {
        let check = |input: &str, expect: &str| assert_eq!(plain(input), expect);
        check("plain ünïcode", "plain ünïcode");
        check("a\u{1b}[31mred", "a\\u{1b}[31mred");
        check("one\ntwo\tthree", "one two three");
        check("abc\u{202e}txt.exe", "abc\\u{202e}txt.exe");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }
}
