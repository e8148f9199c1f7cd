//! `yarn.lock`: classic (a format of its own) and berry (YAML as yarn writes it).
//!
//! Both have one block per package: a line with what was asked for, that ends in a colon, then indented fields. Berry
//! tells the package in `resolution`, classic only in what was asked for.

use super::{Locked, alias, is_version, split_at_sign};
use crate::analyzer::Unread;
use crate::packages::lines;

/// One block.
#[derive(Default)]
struct Block<'a> {
    line: u32,
    asked: &'a str,
    version: &'a str,
    resolution: &'a str,
}

pub(super) fn read(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let mut block = Block::default();
    let mut is_lock = false;
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Unread::malformed(format!("yarn.lock, line {number}: not UTF-8")));
        };
        is_lock |= line.contains("yarn lockfile v1") || line.starts_with("__metadata:");
        if !line.starts_with([' ', '\t', '#']) && !line.trim().is_empty() {
            block.add_to(found);
            block = Block { line: number, asked: line.trim_end().trim_end_matches(':'), ..Block::default() };
        } else if let Some(value) = value_of(line, "version") {
            block.version = value;
        } else if let Some(value) = value_of(line, "resolution") {
            block.resolution = value;
        }
    }
    block.add_to(found);
    if is_lock { Ok(()) } else { Err(Unread::malformed("not a yarn.lock: it does not say its version")) }
}

/// The value of a field with an indentation of two: `version "1.0"`, `version: 1.0`.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("  ")?.strip_prefix(name)?;
    rest.starts_with([' ', ':']).then(|| rest.trim_start_matches(':').trim().trim_matches('"'))
}

impl Block<'_> {
    fn add_to(&self, found: &mut Locked) {
        if !is_version(self.version) {
            return;
        }
        if !self.resolution.is_empty() {
            let Some((name, protocol)) = split_at_sign(self.resolution) else { return };
            if !is_own(protocol) {
                found.add_at(name, self.version, self.line);
            }
            return;
        }
        let first = self.asked.split(',').next().unwrap_or_default().trim().trim_matches('"');
        let Some((name, range)) = split_at_sign(first) else { return };
        if !is_own(range) {
            let aliased = range.strip_prefix("npm:").and_then(split_at_sign).map(|(name, _)| name);
            found.add_at(alias(range).map(|(name, _)| name).or(aliased).unwrap_or(name), self.version, self.line);
        }
    }
}

/// Is it a member of the project, or a folder?
fn is_own(range: &str) -> bool {
    ["workspace:", "link:", "portal:", "file:"].iter().any(|protocol| range.starts_with(protocol))
}

#[cfg(test)]
mod tests {
    use crate::packages::tests::{check, survives};

    #[test]
    fn yarn_classic_lock_is_read() {
        let lock = "# yarn lockfile v1\n\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.1.6\"\n  \
                    resolved \"https://registry.example/x.tgz\"\n  dependencies:\n    version \"^1.0\"\n\n\
                    lodash@^4:\n  version \"4.17.4\"\n\n\"old@npm:real@^1.0\":\n  version \"1.2.0\"\n\n\
                    \"here@file:./here\":\n  version \"0.0.0\"\n";
        let expect =
            ["pkg:npm/%40babel/core@7.1.6 line 4", "pkg:npm/lodash@4.17.4 line 10", "pkg:npm/real@1.2.0 line 13"];
        check("app/yarn.lock", lock, &expect);
        survives("app/yarn.lock", lock.as_bytes());
    }

    #[test]
    fn yarn_berry_lock_is_read() {
        let lock = "__metadata:\n  version: 6\n  cacheKey: 8\n\n\"@babel/core@npm:^7.0.0\":\n  version: 7.1.6\n  \
                    resolution: \"@babel/core@npm:7.1.6\"\n  dependencies:\n    lodash: ^4\n\n\
                    \"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n\n\
                    \"typescript@patch:typescript@^4\":\n  version: 4.0.0\n  \
                    resolution: \"typescript@patch:typescript@npm%3A4.0.0#x\"\n";
        check("app/yarn.lock", lock, &["pkg:npm/%40babel/core@7.1.6 line 5", "pkg:npm/typescript@4.0.0 line 15"]);
        survives("app/yarn.lock", lock.as_bytes());
    }

    #[test]
    fn yarn_lock_that_is_none_is_a_gap() {
        check("app/yarn.lock", "hello\n", &["gap malformed: not a yarn.lock: it does not say its version"]);
    }
}
