//! C and C++: Conan's lockfile, in both of its versions.
//!
//! Not here: `conanfile.txt` and `conanfile.py`, which ask for ranges. How lockfiles are treated: [`super::locked`].
//! What only building needs is left out.
//!
//! Source: Conan's documentation, "Lockfiles" of versions 1 and 2; a reference is
//! `name/version@user/channel#revision%time`.

use super::locked::{self, Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Reads `conan.lock`.
pub(super) struct Conan;

#[derive(Deserialize)]
struct Lockfile {
    /// Version 2: references.
    requires: Option<Vec<String>>,
    /// Version 1.
    graph_lock: Option<Graph>,
}

#[derive(Deserialize)]
struct Graph {
    nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// `host`, or `build`.
    context: Option<String>,
    /// Set on the project's own recipe.
    path: Option<String>,
}

impl Analyzer for Conan {
    fn id(&self) -> &'static str {
        "conan/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        locked::wants(file, &[b"conan.lock"], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let lock: Lockfile = serde_json::from_slice(without_mark(file.content))
            .map_err(|error| Unread::malformed(format!("not a conan.lock: {error}")))?;
        if lock.requires.is_none() && lock.graph_lock.is_none() {
            return Err(Unread::malformed("not a conan.lock: neither requires nor graph_lock"));
        }
        let mut found = Locked::new(PackageFormat::Conan);
        for reference in lock.requires.iter().flatten() {
            add(reference, &mut found);
        }
        let nodes = lock.graph_lock.iter().flat_map(|graph| graph.nodes.values());
        for node in nodes.filter(|node| node.context.as_deref() != Some("build") && node.path.is_none()) {
            add(node.reference.as_deref().unwrap_or_default(), &mut found);
        }
        found.push(file, out);
        Ok(())
    }
}

fn add(reference: &str, found: &mut Locked) {
    let plain = reference.split(['@', '#', '%']).next().unwrap_or(reference);
    if let Some((name, version)) = plain.split_once('/') {
        found.add(name, version);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn conan_lock_of_version_2_is_read() {
        let lock = r#"{"version":"0.5","requires":["zlib/1.2.11#ffa77daf%1667396813.987",
            "openssl/3.0.3@bincrafters/stable#0123"],"build_requires":["cmake/3.25.0#x%1"],"python_requires":[]}"#;
        check("src/conan.lock", lock, &["pkg:conan/openssl@3.0.3", "pkg:conan/zlib@1.2.11"]);
        survives("src/conan.lock", lock.as_bytes());
    }

    #[test]
    fn conan_lock_of_version_1_is_read() {
        let lock = r#"{"graph_lock":{"nodes":{"0":{"ref":"app/1.0","path":"conanfile.py","context":"host"},
            "1":{"ref":"zlib/1.2.11#ffa7","context":"host"},"2":{"ref":"cmake/3.25.0","context":"build"}},
            "revisions_enabled":true},"version":"0.4"}"#;
        check("src/conan.lock", lock, &["pkg:conan/zlib@1.2.11"]);
        check("src/conan.lock", "{}", &["gap malformed: not a conan.lock: neither requires nor graph_lock"]);
        survives("src/conan.lock", lock.as_bytes());
    }
}
