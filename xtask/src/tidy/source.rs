//! Rules about one Rust file.

use super::Problem;
use super::text::{block_end, code_only, line_of, test_lines};

/// The most lines of a file that are not tests, unless its module documentation says that it has "one subject".
const FILE_LINES_MAX: usize = 600;
/// The most lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];
/// Macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
/// The one file that may use `unsafe`, to map a file into memory.
const UNSAFE_FILE: &str = "crates/store/src/mapped.rs";

/// Every rule about this file.
pub(super) fn check(path: &str, source: &str) -> Vec<Problem> {
    let code = code_only(source);
    let mut found = name(path);
    found.extend(banned_code(path, &code));
    if !is_test_file(path) {
        let tests = test_lines(&code);
        found.extend(file_length(path, source, &tests));
        found.extend(function_lengths(path, &code, &tests));
    }
    found
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/")
        || path.contains("/benches/")
        || path.starts_with("crates/testkit/")
        || path.ends_with("/tests.rs")
}

fn name(path: &str) -> Vec<Problem> {
    path.split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| Problem::new(path, 0, format!("`{part}` does not say what is inside")))
        .collect()
}

fn banned_code(path: &str, code: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut push = |what: String| found.push(Problem::new(path, at + 1, what));
        let squeezed: String = line.split_whitespace().collect();
        let attribute = squeezed.contains("#[") || squeezed.contains("#![");
        if attribute && words(&squeezed).any(|word| word == "allow") && squeezed.contains("allow(") {
            push("use `#[expect(lint, reason = \"…\")]`, not `allow`".to_owned());
        }
        for name in UNFINISHED {
            if has_macro(line, name) {
                push(format!("`{name}` is unfinished work"));
            }
        }
        if path != UNSAFE_FILE && words(line).any(|word| word == "unsafe") {
            push(format!("`unsafe` is for {UNSAFE_FILE} alone"));
        }
    }
    found
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn has_macro(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') && !line[at + name.len()..].starts_with('=')
    })
}

fn file_length(path: &str, source: &str, tests: &[bool]) -> Option<Problem> {
    let lines = tests.iter().filter(|test| !**test).count();
    let documentation: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let one_subject = documentation.join(" ").contains("one subject");
    (lines > FILE_LINES_MAX && !one_subject)
        .then(|| Problem::new(path, 0, format!("{lines} lines without tests, more than {FILE_LINES_MAX}")))
}

fn function_lengths(path: &str, code: &str, tests: &[bool]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let word_before = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '#');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let first = line_of(code, at);
        if word_before || name.is_empty() || tests[first] {
            continue;
        }
        let Some(end) = block_end(code, at) else { continue };
        let lines = line_of(code, end) - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("function `{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}");
            found.push(Problem::new(path, first + 1, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a snippet at an ordinary place.
    fn problems(source: &str) -> Vec<String> {
        check("crates/model/src/purl.rs", source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clean_code_has_no_problems() {
        assert!(
            problems("//! A module.\n\nfn f() -> &'static str {\n    \"todo!() #[allow(x)] unsafe\"\n}\n").is_empty()
        );
    }

    #[test]
    fn allow_is_refused() {
        let expect = ["crates/model/src/purl.rs:1: use `#[expect(lint, reason = \"…\")]`, not `allow`"];
        assert_eq!(problems("#[allow(dead_code)]\nfn f() {}\n"), expect);
        assert_eq!(problems("#![allow(dead_code)]\nfn f() {}\n"), expect);
        assert_eq!(problems("#[cfg_attr(test, allow(dead_code))]\nfn f() {}\n"), expect);
    }

    #[test]
    fn unfinished_work_is_refused() {
        assert_eq!(problems("fn f() {\n    todo!()\n}\n"), ["crates/model/src/purl.rs:2: `todo!` is unfinished work"]);
        assert_eq!(
            problems("fn f() {\n    std::dbg!(1);\n}\n"),
            ["crates/model/src/purl.rs:2: `dbg!` is unfinished work"]
        );
        assert_eq!(problems("fn f() { unimplemented!() }\n").len(), 1);
        assert!(problems("fn f(todo: u8) -> bool {\n    todo!=1\n}\n").is_empty());
    }

    #[test]
    fn unsafe_code_is_refused_outside_the_map() {
        let source = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(problems(source), ["crates/model/src/purl.rs:2: `unsafe` is for crates/store/src/mapped.rs alone"]);
        assert!(check(UNSAFE_FILE, source).is_empty());
    }

    #[test]
    fn long_files_are_refused() {
        let long = "//! A table.\n".to_owned() + &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
        assert_eq!(problems(&long), ["crates/model/src/purl.rs: 601 lines without tests, more than 600"]);
        assert!(problems(&long.replace("A table", "A table with one subject")).is_empty());
        assert!(check("crates/model/tests/it/main.rs", &long).is_empty());
        let tests = format!("//! A table.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 1;\n".repeat(700));
        assert!(problems(&tests).is_empty());
    }

    #[test]
    fn long_functions_are_refused() {
        let function =
            |lines: usize| format!("pub(crate) async fn long(a: [u8; 2]) {{\n{}}}\n", "    a;\n".repeat(lines - 2));
        assert!(problems(&function(FUNCTION_LINES_MAX)).is_empty());
        let expect = ["crates/model/src/purl.rs:1: function `long` has 71 lines, more than 70"];
        assert_eq!(problems(&function(FUNCTION_LINES_MAX + 1)), expect);
    }

    #[test]
    fn names_without_meaning_are_refused() {
        let found = check("crates/model/src/utils.rs", "//! Things.\n");
        assert_eq!(found[0].to_string(), "crates/model/src/utils.rs: `utils` does not say what is inside");
        assert_eq!(check("crates/model/src/common/mod.rs", "//! Things.\n").len(), 1);
    }
}
