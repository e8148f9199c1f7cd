//! Rules about the tree as a whole: what has to be there, what must not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problem;

/// The largest file that belongs into the repository, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What every tree holds.
const FILES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "deny.toml",
    "clippy.toml",
    ".ci/run",
    "docs/measurements.md",
];

/// The two commands that a stranger tries first.
const README_COMMANDS: [&str; 2] = ["cargo run --release -- demo --once", "cargo xtask test"];

/// Words that do not stand in code and documentation: each is a promise that nobody keeps.
const WORDS: [&str; 4] = ["FIXME", "TODO", "XXX", "HACK"];

/// Every rule about the tree at `root`, whose `files` are relative paths.
pub(super) fn check(root: &Path, files: &[String]) -> Result<Vec<Problem>> {
    let mut found = missing(files);
    for path in files {
        let full = root.join(path);
        let bytes = fs::metadata(&full).with_context(|| format!("cannot look at {path}"))?.len();
        found.extend(size(path, bytes));
        let Ok(text) = fs::read_to_string(&full) else { continue };
        match path.as_str() {
            "README.md" => found.extend(commands(&text)),
            manifest if manifest.ends_with("/Cargo.toml") => found.extend(lints(manifest, &text)),
            _ => {}
        }
        let own = path.starts_with("xtask/src/tidy/");
        if !own && !path.starts_with("fixtures/") && (path.ends_with(".rs") || path.ends_with(".md")) {
            found.extend(words(path, &text));
        }
    }
    Ok(found)
}

fn missing(files: &[String]) -> Vec<Problem> {
    let absent = FILES.iter().filter(|name| !files.iter().any(|path| path == *name));
    absent.map(|name| Problem::new(name, 0, "is missing")).collect()
}

fn size(path: &str, bytes: u64) -> Option<Problem> {
    (bytes > FILE_BYTES_MAX).then(|| Problem::new(path, 0, format!("{bytes} bytes, more than {FILE_BYTES_MAX}")))
}

fn commands(readme: &str) -> Vec<Problem> {
    let absent = README_COMMANDS.iter().filter(|command| !readme.contains(*command));
    absent.map(|command| Problem::new("README.md", 0, format!("does not show `{command}`"))).collect()
}

fn lints(manifest: &str, text: &str) -> Option<Problem> {
    // A workspace of its own (the fuzz targets) has no lints to take.
    let is_own_workspace = text.lines().any(|line| line.trim() == "[workspace]");
    let inherits = is_own_workspace
        || text.split("[lints]").nth(1).is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
    (!inherits).then(|| Problem::new(manifest, 0, "does not take the lints of the workspace"))
}

fn words(path: &str, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in WORDS.iter().filter(|word| has_word(line, word)) {
            found.push(Problem::new(path, at + 1, format!("`{word}` is a promise that nobody keeps")));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(inside) && !line[at + word.len()..].starts_with(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_are_named() {
        let all: Vec<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
        assert!(missing(&all).is_empty());
        assert_eq!(missing(&all[1..]), [Problem::new("README.md", 0, "is missing")]);
    }

    #[test]
    fn large_files_are_refused() {
        assert_eq!(size("a.bin", FILE_BYTES_MAX), None);
        assert_eq!(size("a.bin", 2_000_000), Some(Problem::new("a.bin", 0, "2000000 bytes, more than 1048576")));
    }

    #[test]
    fn the_readme_shows_both_commands() {
        assert!(commands("cargo run --release -- demo --once\ncargo xtask test\n").is_empty());
        assert_eq!(commands("cargo run -- demo\ncargo xtask test\n").len(), 1);
    }

    #[test]
    fn every_crate_takes_the_lints_of_the_workspace() {
        assert_eq!(lints("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"), None);
        assert!(lints("a/Cargo.toml", "[package]\nname = \"a\"\n").is_some());
        assert_eq!(lints("fuzz/Cargo.toml", "[package]\n\n[workspace]\n"), None);
    }

    #[test]
    fn empty_promises_are_refused() {
        assert_eq!(words("a.rs", "// FIXME later\n").len(), 1);
        assert_eq!(words("a.md", "TODO: say more\n").len(), 1);
        assert!(words("a.rs", "// XXXX-1234 and TODOS\n").is_empty());
    }
}
