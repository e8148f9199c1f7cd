//! Conda environments: one record per installed package, `conda-meta/NAME-VERSION-BUILD.json`.
//!
//! Not here: `environment.yml`, which asks for ranges. A Python package that Conda installed has metadata of its own
//! as well and is reported as both: advisories are kept for the Python package, none for the Conda package.
//!
//! Source: conda's documentation, "Package specification" and `PrefixRecord`.

use super::is_depth_below;
use super::locked::{Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;

/// Reads `conda-meta/*.json`.
pub(super) struct Conda;

/// Is this the record of an installed package?
fn is_manifest(path: &[u8]) -> bool {
    let Some(slash) = memchr::memrchr(b'/', path) else { return false };
    path.ends_with(b".json")
        && path[..slash].rsplit(|&b| b == b'/').next() == Some(b"conda-meta")
        && is_depth_below(path)
}

#[derive(Deserialize)]
struct Record {
    name: String,
    version: String,
    license: Option<String>,
}

impl Analyzer for Conda {
    fn id(&self) -> &'static str {
        "conda/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        // The record lists every file of the package: some have tens of thousands.
        if is_manifest(file.path.as_bytes()) { Want::Whole { bytes_max: limits.lockfile_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let record: Record = serde_json::from_slice(without_mark(file.content))
            .map_err(|error| Unread::malformed(format!("not the record of a Conda package: {error}")))?;
        let licenses: Vec<String> = record.license.into_iter().collect();
        let mut found = Locked::new(PackageFormat::Conda);
        found.add_licensed(&record.name, &record.version, &licenses);
        found.push(file, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn conda_records_are_read() {
        let record = r#"{"build":"h7f98852_4","build_number":4,"channel":"https://conda.example/conda-forge/linux-64",
            "depends":["libgcc-ng >=9.3.0"],"files":["bin/bzip2"],"fn":"bzip2-1.0.8-h7f98852_4.tar.bz2","license":"bzip2-1.0.6",
            "name":"bzip2","version":"1.0.8","subdir":"linux-64"}"#;
        check("opt/conda/conda-meta/bzip2-1.0.8-h7f98852_4.json", record, &["pkg:conda/bzip2@1.0.8 bzip2-1.0.6"]);
        check("opt/conda/pkgs/bzip2/info/index.json", record, &["not wanted"]);
        let gap = "gap malformed: not the record of a Conda package: missing field `name` at line 1 column 2";
        check("conda-meta/x.json", "{}", &[gap]);
        check("a/conda-meta/x.json", "{}", &[gap]);
        survives("a/conda-meta/bzip2.json", record.as_bytes());
    }
}
