//! `pnpm-lock.yaml`, as pnpm writes it: the keys of the section `packages`, and the few fields below each.
//!
//! The keys are `/name/1.0.0_peer` until version 5, `/name@1.0.0(peer)` in version 6 and `name@1.0.0` since version 9.

use super::{Locked, is_version, split_at_sign};
use crate::analyzer::Unread;
use crate::packages::lines;

#[derive(Default)]
struct Entry<'a> {
    line: u32,
    key: &'a str,
    name: Option<&'a str>,
    version: Option<&'a str>,
    dev: bool,
}

pub(super) fn read(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let mut lock_version = None;
    let mut section = "";
    let mut entry = Entry::default();
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Unread::malformed(format!("pnpm-lock.yaml, line {number}: not UTF-8")));
        };
        let line = line.trim_end();
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            entry.add_to(lock_version, found);
            entry = Entry::default();
            if let Some(version) = line.strip_prefix("lockfileVersion:") {
                lock_version = lock_version.or(major(unquoted(version)));
            }
            section = line;
        } else if section != "packages:" {
            continue;
        } else if let Some(key) = indented(line, "  ") {
            entry.add_to(lock_version, found);
            let key = key.strip_suffix(": {}").or(key.strip_suffix(':')).unwrap_or_default();
            entry = Entry { line: number, key: unquoted(key), ..Entry::default() };
        } else if let Some((field, value)) = indented(line, "    ").and_then(|field| field.split_once(':')) {
            match field {
                "dev" => entry.dev = value.trim() == "true",
                "name" => entry.name = Some(unquoted(value)),
                "version" => entry.version = Some(unquoted(value)),
                _ => {}
            }
        }
    }
    entry.add_to(lock_version, found);
    lock_version.map(|_| ()).ok_or_else(|| Unread::malformed("not a pnpm-lock.yaml: no lockfileVersion"))
}

fn indented<'a>(line: &'a str, by: &str) -> Option<&'a str> {
    line.strip_prefix(by).filter(|rest| !rest.starts_with([' ', '#']) && !rest.is_empty())
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

impl Entry<'_> {
    fn add_to(&self, lock_version: Option<u32>, found: &mut Locked) {
        if self.dev {
            return;
        }
        let Some((name, version)) = self.told().or_else(|| key_parts(self.key, lock_version?)) else { return };
        if is_version(version) {
            found.add_at(name, version, self.line);
        }
    }

    /// Archives and repositories have their name and version as fields.
    fn told(&self) -> Option<(&str, &str)> {
        Some((self.name?, self.version?))
    }
}

fn key_parts(key: &str, lock_version: u32) -> Option<(&str, &str)> {
    let key = key.strip_prefix('/').unwrap_or(key);
    if lock_version < 6 {
        let (name, version) = key.rsplit_once('/')?;
        return Some((name, version.split('_').next().unwrap_or(version)));
    }
    split_at_sign(key.split('(').next().unwrap_or(key))
}

#[cfg(test)]
mod tests {
    use crate::packages::tests::{check, survives};

    #[test]
    fn pnpm_lock_is_read_in_every_version() {
        let v5 = "lockfileVersion: 5.4\n\nspecifiers:\n  lodash: ^4\n\npackages:\n\n  /@babel/core/7.1.6_x@1.0.0:\n    \
                  resolution: {integrity: sha512-x}\n    dev: false\n\n  /jest/20.0.0:\n    dev: true\n\n  \
                  github.com/a/b/0123:\n    name: b\n    version: 1.0.0\n";
        check("app/pnpm-lock.yaml", v5, &["pkg:npm/%40babel/core@7.1.6 line 8", "pkg:npm/b@1.0.0 line 15"]);
        let v6 = "lockfileVersion: '6.0'\n\npackages:\n\n  /@babel/core@7.1.6(x@1.0.0):\n    dev: false\n";
        check("app/pnpm-lock.yaml", v6, &["pkg:npm/%40babel/core@7.1.6 line 5"]);
        let v9 = "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies: {}\n\npackages:\n\n  '@babel/core@7.1.6':\n    \
                  resolution: {integrity: sha512-x}\n\nsnapshots:\n\n  '@babel/core@7.1.6(y@2.0.0)': {}\n";
        check("app/pnpm-lock.yaml", v9, &["pkg:npm/%40babel/core@7.1.6 line 10"]);
        for lock in [v5, v6, v9] {
            survives("app/pnpm-lock.yaml", lock.as_bytes());
        }
    }

    #[test]
    fn pnpm_lock_that_is_none_is_a_gap() {
        check("app/pnpm-lock.yaml", "a: b\n", &["gap malformed: not a pnpm-lock.yaml: no lockfileVersion"]);
    }
}
