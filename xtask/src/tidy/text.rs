//! Rust source without what is only text: comments and literals become spaces, lines stay where they are.

/// The source with the insides of comments, strings and characters blanked out.
pub(super) fn code_only(source: &str) -> String {
    let mut out = Vec::with_capacity(source.len());
    let mut rest = source.as_bytes();
    while !rest.is_empty() {
        let length = blank_length(rest, out.last().copied());
        if length == 0 {
            out.push(rest[0]);
            rest = &rest[1..];
        } else {
            out.extend(rest[..length].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
            rest = &rest[length..];
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How many bytes from here on are comment or literal; 0 when none are.
fn blank_length(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => string(rest),
        [b'b' | b'c', b'"', ..] if !in_word => 1 + string(&rest[1..]),
        [b'b', b'\'', ..] if !in_word => 1 + character(&rest[1..]),
        [b'r', b'"' | b'#', ..] if !in_word => raw_string(&rest[1..]).map_or(0, |length| length + 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => raw_string(&rest[2..]).map_or(0, |length| length + 2),
        [b'\'', ..] => character(rest),
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[hashes + 1..];
    let close = body.windows(end.len()).position(|window| window == end);
    Some(close.map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|b| *b == b'\'').map_or(rest.len(), |at| at + 4);
    }
    let width = match rest.get(1) {
        Some(0..0x80) => 1,
        Some(0x80..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(_) => 4,
        None => return 0,
    };
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

/// The lines of [`code_only`] text that are tests: modules and functions behind `#[cfg(test)]`. Counted from 0.
pub(super) fn test_lines(code: &str) -> Vec<bool> {
    let mut found = vec![false; code.lines().count()];
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(test)]").map(|at| at + from) {
        let end = block_end(code, at).unwrap_or(code.len() - 1);
        for line in &mut found[line_of(code, at)..=line_of(code, end)] {
            *line = true;
        }
        from = end + 1;
    }
    found
}

/// Where the block ends that is opened after `from`; a semicolon before it ends the item.
pub(super) fn block_end(code: &str, from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_i32, 0_i32);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(at);
                }
            }
            b';' if braces == 0 && brackets == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The line of a position, counted from 0.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_blanked() {
        let check = |source: &str, expect: &str| {
            let found = code_only(source);
            assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), expect, "{source}");
        };
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"f("x{\"y", 'z', '\'', '\u{7b}', b'{')"#, "f( , , , , )");
        check(r###"r#"a"b"# c r"d" br##"e"#"## g"###, "c g");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("let r#fn = 1; var\"s\"", "let r#fn = 1; var");
        check("'é' 'a", "'a");
    }

    #[test]
    fn lines_stay_where_they_are() {
        assert_eq!(code_only("\"a\nb\"\nc").lines().count(), 3);
    }

    #[test]
    fn tests_are_found() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        assert_eq!(test_lines(code), [false, true, true, true, true, false]);
        assert_eq!(test_lines("#[cfg(test)]\nmod tests;\nfn c() {}\n"), [true, true, false]);
    }
}
