//! R: installed packages, `library/NAME/DESCRIPTION`, and renv's lockfile.
//!
//! Not here: the `DESCRIPTION` of a source tree, which lacks the field `Built` that installing adds; packages of
//! `Priority: base`, which are R itself. How lockfiles are treated: [`super::locked`].
//!
//! Sources: "Writing R Extensions", "The DESCRIPTION file" (Debian control format), and `R CMD INSTALL`; renv's article
//! "Lockfiles".

use super::locked::{self, Locked, without_mark};
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads `DESCRIPTION` and `renv.lock`.
pub(super) struct R;

const LOCKFILE: &[u8] = b"renv.lock";

/// May this be the description of an installed package? Its fields decide.
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let Some(folder) = path.strip_suffix(b"/DESCRIPTION") else { return false };
    memchr::memchr(b'/', folder).is_some() && is_depth_below(path)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lockfile {
    packages: BTreeMap<String, Pinned>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pinned {
    package: String,
    version: String,
    /// `Repository`, `GitHub`, `Local`, …
    source: Option<String>,
}

impl Analyzer for R {
    fn id(&self) -> &'static str {
        "r/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.manifest_bytes_max };
        }
        locked::wants(file, &[LOCKFILE], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::Cran);
        if file.entry.path.file_name() == LOCKFILE {
            let lock: Lockfile = serde_json::from_slice(without_mark(file.content))
                .map_err(|error| Unread::malformed(format!("not an renv.lock: {error}")))?;
            for package in lock.packages.values().filter(|package| package.source.as_deref() != Some("Local")) {
                found.add(&package.package, &package.version);
            }
        } else {
            read_description(file.content, &mut found);
        }
        found.push(file, out);
        Ok(())
    }
}

/// Fields at the left margin; other programs have files of this name too, so what is no description is none.
fn read_description(content: &[u8], found: &mut Locked) {
    let (mut package, mut version, mut license, mut built, mut priority) = (None, None, None, None, None);
    for (_, line) in lines(content) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let slot = match &line[..colon] {
            b"Package" => &mut package,
            b"Version" => &mut version,
            b"License" => &mut license,
            b"Built" => &mut built,
            b"Priority" => &mut priority,
            _ => continue,
        };
        *slot = slot.take().or_else(|| super::field(&line[colon + 1..]));
    }
    let is_installed =
        built.is_some_and(|built: String| built.starts_with("R ")) && priority.as_deref() != Some("base");
    if let (true, Some(package), Some(version)) = (is_installed, package, version) {
        let licenses: Vec<String> = license.into_iter().collect();
        found.add_licensed(&package, &version, &licenses);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn r_packages_are_installed_when_they_are_built() {
        let description = "Package: caret\nTitle: Classification\nVersion: 6.0-88\nAuthors@R: person(\"Max\",\n    \"Kuhn\")\n\
                           License: GPL (>= 2)\nNeedsCompilation: yes\nBuilt: R 4.2.2; x86_64-pc-linux-gnu; 2023-01-01 00:00:00 UTC; unix\n";
        let expect = ["pkg:cran/caret@6.0-88 GPL (>= 2)"];
        check("usr/local/lib/R/site-library/caret/DESCRIPTION", description, &expect);
        let source = description.split("Built").next().unwrap();
        check("usr/local/lib/R/site-library/caret/DESCRIPTION", source, &[]);
        let base = format!("Priority: base\n{description}");
        check("usr/lib/R/library/base/DESCRIPTION", &base, &[]);
        check("DESCRIPTION", description, &["not wanted"]);
        survives("usr/local/lib/R/site-library/caret/DESCRIPTION", description.as_bytes());
    }

    #[test]
    fn renv_lock_is_read() {
        let lock = r#"{"R":{"Version":"4.2.2"},"Packages":{"markdown":{"Package":"markdown","Version":"1.0",
            "Source":"Repository","Repository":"CRAN"},"own":{"Package":"own","Version":"0.1","Source":"Local"}}}"#;
        check("app/renv.lock", lock, &["pkg:cran/markdown@1.0"]);
        survives("app/renv.lock", lock.as_bytes());
    }
}
