//! Go modules as a source tree asks for them: `go.mod`.
//!
//! Not here: what a program was really built from ([`super::go`]); `go.sum`, which names versions that were only looked
//! at. How lockfiles are treated: [`super::locked`]. Since Go 1.17 the file names every module that the build needs;
//! before, those that others ask for are missing. What is replaced by a folder belongs to the project; the modules `std`
//! and `cmd` are Go itself.
//!
//! Source: "Go Modules Reference", "go.mod files".

use super::lines;
use super::locked::{self, Locked};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use std::collections::BTreeMap;

/// Reads `go.mod`.
pub(super) struct GoMod;

impl Analyzer for GoMod {
    fn id(&self) -> &'static str {
        "go-mod/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        // The go command ignores folders of this name.
        if file.path.as_bytes().split(|&b| b == b'/').any(|part| part == b"testdata") {
            return Want::No;
        }
        locked::wants(file, &[b"go.mod"], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut module = Module::default();
        for (number, line) in lines(file.content) {
            let Ok(line) = std::str::from_utf8(line) else {
                return Err(Unread::malformed(format!("go.mod, line {number}: not UTF-8")));
            };
            module.line(line, number);
        }
        let Some(own) = module.own else { return Err(Unread::malformed("not a go.mod: it names no module")) };
        if matches!(own.as_str(), "std" | "cmd") {
            return Ok(());
        }
        let mut found = Locked::new(PackageFormat::Golang);
        for ((path, version), number) in &module.required {
            let of_any = (path.clone(), String::new());
            let of_this = (path.clone(), version.clone());
            match module.replaced.get(&of_this).or_else(|| module.replaced.get(&of_any)) {
                // By a folder.
                Some(None) => {}
                Some(Some((path, version))) => found.add_at(path, version, *number),
                None => found.add_at(path, version, *number),
            }
        }
        found.push(file, out);
        Ok(())
    }
}

/// A path and a version; no version stands for any.
type Required = (String, String);

/// What the lines of a `go.mod` say.
#[derive(Default)]
struct Module {
    /// The verb of the block that is open: `require (`.
    block: String,
    own: Option<String>,
    required: Vec<(Required, u32)>,
    replaced: BTreeMap<Required, Option<Required>>,
}

impl Module {
    fn line(&mut self, line: &str, number: u32) {
        let words: Vec<&str> = line.split("//").next().unwrap_or_default().split_whitespace().take(6).collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['"', '`'])).collect();
        match words.as_slice() {
            [")"] => self.block.clear(),
            [verb, "("] => (*verb).clone_into(&mut self.block),
            [] => {}
            rest if !self.block.is_empty() => {
                let verb = std::mem::take(&mut self.block);
                self.entry(&verb, rest, number);
                self.block = verb;
            }
            [verb, rest @ ..] => self.entry(verb, rest, number),
        }
    }

    fn entry(&mut self, verb: &str, words: &[&str], number: u32) {
        let pair = |path: &str, version: &str| (path.to_owned(), version.to_owned());
        match (verb, words) {
            ("module", [path]) => self.own = self.own.take().or_else(|| Some((*path).to_owned())),
            ("require", [path, version]) => self.required.push((pair(path, version), number)),
            ("replace", [path, "=>", new, version]) => {
                self.replaced.insert(pair(path, ""), Some(pair(new, version)));
            }
            ("replace", [path, old, "=>", new, version]) => {
                self.replaced.insert(pair(path, old), Some(pair(new, version)));
            }
            ("replace", [path, "=>", _]) => {
                self.replaced.insert(pair(path, ""), None);
            }
            ("replace", [path, old, "=>", _]) => {
                self.replaced.insert(pair(path, old), None);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn go_mod_is_read() {
        let text = "module example.org/app // why\n\ngo 1.20\n\nrequire golang.org/x/net v0.7.0\n\nrequire (\n\t\
                    github.com/gin-gonic/gin v1.9.0\n\texample.org/fork v1.0.0 // indirect\n\texample.org/own v0.0.0\n\t\
                    example.org/one v1.1.0\n)\n\nreplace example.org/fork => example.org/ours v1.0.1\n\nreplace (\n\t\
                    example.org/own => ./own\n\texample.org/one v1.0.0 => ../one\n)\n\nexclude golang.org/x/net v0.6.0\n";
        check(
            "go/src/app/go.mod",
            text,
            &[
                "pkg:golang/example.org/one@v1.1.0 line 11",
                "pkg:golang/example.org/ours@v1.0.1 line 9",
                "pkg:golang/github.com/gin-gonic/gin@v1.9.0 line 8",
                "pkg:golang/golang.org/x/net@v0.7.0 line 5",
            ],
        );
        check("usr/local/go/src/go.mod", "module std\n\nrequire golang.org/x/net v0.7.0\n", &[]);
        check("go/pkg/mod/example.org/x@v1.0.0/go.mod", text, &["not wanted"]);
        check("app/testdata/go.mod", text, &["not wanted"]);
        check("app/go.mod", "go 1.20\n", &["gap malformed: not a go.mod: it names no module"]);
        survives("app/go.mod", b"module a\nrequire (\n\tb v1.0.0\n)\nreplace b => c v1.0.1\n");
    }
}
