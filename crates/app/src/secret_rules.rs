//! `--secret-rules FILE|DIR`: rules and allow lists of the user's own for one scan.
//!
//! Invariant: rules that cannot be used end the scan before anything is read, each named with its place.

use anyhow::{Context, Result, bail};
use model::extraction::{ExtractionRules, RuleDocument, RuleKind, RuleProblem};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files of one folder.
const FILES_MAX: usize = 1000;

/// Reads the files, and of folders the files that end with `.toml`, in the order of their names.
pub(crate) fn read(paths: &[PathBuf]) -> Result<ExtractionRules> {
    let mut documents = Vec::new();
    for path in paths {
        if path.is_dir() {
            for file in toml_files(path)? {
                documents.push(document(&file)?);
            }
        } else {
            documents.push(document(path)?);
        }
    }
    Ok(ExtractionRules { revision: 0, documents })
}

fn toml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("the folder of secret rules {} cannot be read", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension() == Some(OsStr::new("toml")) && path.is_file() {
            files.push(path);
        }
    }
    match files.len() {
        0 => bail!("the folder of secret rules {} holds no file that ends with .toml", folder.display()),
        n if n > FILES_MAX => {
            bail!("the folder of secret rules {} holds more than {FILES_MAX} files", folder.display())
        }
        _ => {}
    }
    files.sort();
    Ok(files)
}

fn document(path: &Path) -> Result<RuleDocument> {
    let failed = || format!("the secret rules {} cannot be read", path.display());
    // One byte more than is allowed, so that a file that is too large is refused where its rules are read.
    let bytes_max = analyze::secrets::OWN_DOCUMENT_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    fs::File::open(path).with_context(failed)?.take(bytes_max).read_to_string(&mut text).with_context(failed)?;
    Ok(RuleDocument { kind: RuleKind::Secrets, name: path.display().to_string(), text })
}

/// Refuses to go on when some of the secret rules were left out.
pub(crate) fn refuse(problems: &[RuleProblem]) -> Result<()> {
    let problems = || problems.iter().filter(|problem| problem.kind == RuleKind::Secrets);
    if problems().next().is_none() {
        return Ok(());
    }
    let lines: Vec<String> = problems()
        .map(|problem| {
            let rule = problem.rule.as_ref().map_or_else(String::new, |id| format!(", rule {id}"));
            format!("  {}{rule}: {}", problem.document, problem.what)
        })
        .collect();
    bail!("the secret rules cannot be used:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_rules_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", "notes.txt"] {
            fs::write(folder.path().join(name), "disabled = []\n").unwrap();
        }
        let rules = read(&[folder.path().to_owned()]).unwrap();
        let names: Vec<&str> = rules.documents.iter().map(|d| d.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.toml", "b.toml"]);
        assert!(read(&[folder.path().join("c.toml")]).unwrap_err().to_string().contains("c.toml"));
        let empty = tempfile::tempdir().unwrap();
        assert!(read(&[empty.path().to_owned()]).unwrap_err().to_string().contains("no file"));
    }
}
