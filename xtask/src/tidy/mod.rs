//! The rules that neither the compiler nor clippy checks.
//!
//! Each rule is a pure function from text to [`Problem`]s, with a test that shows it a violation.

mod layers;
mod source;
mod text;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::process::{Run, root};

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// A path in the tree, or a crate.
    place: String,
    /// Counted from 1; 0 where there is none.
    line: usize,
    what: String,
}

impl Problem {
    fn new(place: &str, line: usize, what: impl Into<String>) -> Self {
        Problem { place: place.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.what),
            line => write!(f, "{}:{line}: {}", self.place, self.what),
        }
    }
}

/// Checks every rule and prints every violation.
///
/// # Errors
/// When there is one.
pub(crate) fn run() -> Result<()> {
    let mut problems = BTreeSet::new();
    let metadata = Run::cargo(&["metadata", "--format-version", "1"]).output()?;
    let metadata = serde_json::from_slice(&metadata).context("cannot read the output of cargo metadata")?;
    problems.extend(layers::check(&metadata)?);

    let files = files()?;
    problems.extend(tree::check(&root(), &files)?);
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let text = fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
        problems.extend(source::check(path, &text));
    }
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} places are not tidy", problems.len());
    }
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

/// The files that git knows or would add, as paths from the root.
fn files() -> Result<Vec<String>> {
    let listed = Run::new("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    let listed = String::from_utf8(listed).context("a path is not UTF-8")?;
    let mut found: Vec<String> =
        listed.split('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    Ok(found)
}
