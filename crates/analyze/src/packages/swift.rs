//! Swift: the lockfiles of the Swift package manager and of CocoaPods.
//!
//! Not here: `Package.swift` and `Podfile`, which are programs. How lockfiles are treated: [`super::locked`].
//!
//! Sources: swift-package-manager's documentation, "Resolved versions (Package.resolved)", versions 1 to 3; CocoaPods'
//! guide, "What is Podfile.lock?"; purl specification, types `swift` (the repository's host and path) and `cocoapods`.

use super::lines;
use super::locked::{self, Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Reads `Package.resolved` and `Podfile.lock`.
pub(super) struct Swift;

const RESOLVED: &[u8] = b"Package.resolved";
const PODS: &[u8] = b"Podfile.lock";

#[derive(Deserialize)]
struct Resolved {
    /// Since version 2.
    pins: Option<Vec<Pin>>,
    /// Version 1.
    object: Option<Pins>,
}

#[derive(Deserialize)]
struct Pins {
    pins: Vec<Pin>,
}

#[derive(Deserialize)]
struct Pin {
    #[serde(alias = "repositoryURL")]
    location: Option<String>,
    state: State,
}

#[derive(Deserialize)]
struct State {
    /// Absent for branches and single revisions.
    version: Option<String>,
}

impl Analyzer for Swift {
    fn id(&self) -> &'static str {
        "swift/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        locked::wants(file, &[RESOLVED, PODS], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        if file.entry.path.file_name() == PODS {
            let mut found = Locked::new(PackageFormat::Cocoapods);
            let result = read_pods(file.content, &mut found);
            found.push(file, out);
            return result;
        }
        let resolved: Resolved = serde_json::from_slice(without_mark(file.content))
            .map_err(|error| Unread::malformed(format!("not a Package.resolved: {error}")))?;
        let pins = resolved.pins.or(resolved.object.map(|object| object.pins));
        let Some(pins) = pins else { return Err(Unread::malformed("not a Package.resolved: no pins")) };
        let mut found = Locked::new(PackageFormat::Swift);
        for pin in &pins {
            if let (Some(location), Some(version)) = (pin.location.as_deref().and_then(repository), &pin.state.version)
            {
                found.add(&location, version);
            }
        }
        found.push(file, out);
        Ok(())
    }
}

/// Host and path of a repository: `https://github.com/a/b.git` and `git@github.com:a/b.git` are `github.com/a/b`.
/// A purl of this type has a namespace, so a name without one is none.
fn repository(location: &str) -> Option<String> {
    let bare = match location.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        None => location.replacen(':', "/", 1),
    };
    let bare = bare.split_once('@').map_or(bare.as_str(), |(_, rest)| rest);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix(".git").unwrap_or(bare);
    (!bare.starts_with(['/', '.']) && bare.contains('/')).then(|| bare.to_owned())
}

/// The section `PODS` has `  - Name/Part (1.0.0)` per pod and part, and what each needs below it, further in. Pods under
/// `EXTERNAL SOURCES` with a `:path:` belong to the project.
fn read_pods(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let mut section = "";
    let mut pods = Vec::new();
    let mut own = BTreeSet::new();
    let mut external = "";
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Unread::malformed(format!("Podfile.lock, line {number}: not UTF-8")));
        };
        if !line.starts_with(' ') {
            section = line.split(':').next().filter(|name| !name.is_empty()).unwrap_or(section);
        } else if let ("PODS", Some(pod)) = (section, line.strip_prefix("  - ")) {
            pods.push((number, pod.trim_end_matches(':').trim_matches('"')));
        } else if section == "EXTERNAL SOURCES" {
            match line.strip_prefix("    ") {
                Some(field) if field.starts_with(":path:") => {
                    own.insert(external);
                }
                Some(_) => {}
                None => external = line.trim().trim_end_matches(':').trim_matches('"'),
            }
        }
    }
    if pods.is_empty() && section.is_empty() {
        return Err(Unread::malformed("not a Podfile.lock: none of its sections"));
    }
    for (number, pod) in pods {
        let Some((name, version)) = pod.strip_suffix(')').and_then(|pod| pod.split_once(" (")) else { continue };
        let name = name.split('/').next().unwrap_or(name);
        if !own.contains(name) {
            found.add_at(name, version, number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn package_resolved_is_read_in_every_version() {
        let second = r#"{"pins":[{"identity":"vapor","kind":"remoteSourceControl","location":"https://github.com/vapor/vapor.git",
            "state":{"revision":"0123","version":"4.76.0"}},{"identity":"b","location":"https://github.com/a/b",
            "state":{"branch":"main","revision":"0123"}}],"version":2}"#;
        check("app/Package.resolved", second, &["pkg:swift/github.com/vapor/vapor@4.76.0"]);
        let first = r#"{"object":{"pins":[{"package":"Alamofire","repositoryURL":"git@github.com:Alamofire/Alamofire.git",
            "state":{"branch":null,"revision":"0123","version":"5.4.3"}}]},"version":1}"#;
        check("app/Package.resolved", first, &["pkg:swift/github.com/Alamofire/Alamofire@5.4.3"]);
        check("app/Package.resolved", "{}", &["gap malformed: not a Package.resolved: no pins"]);
        survives("app/Package.resolved", first.as_bytes());
    }

    #[test]
    fn podfile_lock_is_read() {
        let lock = "PODS:\n  - Alamofire (4.7.3)\n  - GoogleUtilities/Logger (7.5.2):\n    - GoogleUtilities/Environment\n  \
                    - \"GoogleUtilities/NSData+zlib (7.5.2)\"\n  - Own (1.0.0):\n    - Alamofire (~> 4)\n\nDEPENDENCIES:\n  - Alamofire\n\n\
                    EXTERNAL SOURCES:\n  Own:\n    :path: \"../Own\"\n\nCOCOAPODS: 1.11.3\n";
        check(
            "app/Podfile.lock",
            lock,
            &["pkg:cocoapods/Alamofire@4.7.3 line 2", "pkg:cocoapods/GoogleUtilities@7.5.2 line 3"],
        );
        check("app/Podfile.lock", "", &["not wanted"]);
        // Cut off before the external sources, the project's own pods are not told apart.
        survives("app/Podfile.lock", lock.split("  - Own").next().unwrap().as_bytes());
    }
}
