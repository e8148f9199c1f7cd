//! Java runtimes: the file `release` in the root of a JDK or JRE, also of one that `jlink` made.
//!
//! Not here: Java archives ([`super::java`]). What an operating-system package owns is that package, and the squash drops
//! it here.
//!
//! Source: JEP 223 and OpenJDK's `make/ReleaseFile.gmk`: lines of the form `NAME="value"`; Oracle's own builds say
//! `BUILD_TYPE="commercial"`.

use super::locked::Locked;
use super::{field, is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads `release`.
pub(super) struct Jvm;

/// The largest file of this name that is looked at; real ones have some kilobytes.
const RELEASE_BYTES_MAX: u64 = 64 << 10;

/// May this be the file of a runtime? Its content decides.
pub(super) fn is_manifest(path: &[u8]) -> bool {
    path.ends_with(b"/release") && is_depth_below(path)
}

impl Analyzer for Jvm {
    fn id(&self) -> &'static str {
        "jvm/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, _limits: &Limits) -> Want {
        // Other programs have files of this name too; a large one is none of a runtime and no gap.
        if is_manifest(file.path.as_bytes()) && file.bytes > 0 && file.bytes <= RELEASE_BYTES_MAX {
            Want::Whole { bytes_max: RELEASE_BYTES_MAX }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let (mut version, mut is_commercial) = (None, false);
        for (_, line) in lines(file.content) {
            if let Some(value) = line.strip_prefix(b"JAVA_VERSION=\"") {
                version = value.strip_suffix(b"\"").and_then(field);
            }
            is_commercial |= line == b"BUILD_TYPE=\"commercial\"";
        }
        let mut found = Locked::new(PackageFormat::Generic);
        if let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
            found.add(if is_commercial { "oracle-jdk" } else { "openjdk" }, &version);
        }
        found.push(file, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn java_runtimes_tell_their_version() {
        let release = "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_RUNTIME_VERSION=\"17.0.9+9\"\nJAVA_VERSION=\"17.0.9\"\nLIBC=\"gnu\"\n";
        check("opt/java/openjdk/release", release, &["pkg:generic/openjdk@17.0.9"]);
        let oracle = format!("BUILD_TYPE=\"commercial\"\n{release}");
        check("usr/java/jdk-17/release", &oracle, &["pkg:generic/oracle-jdk@17.0.9"]);
        check("srv/release", "v1\n", &[]);
        survives("opt/java/openjdk/release", release.as_bytes());
    }
}
