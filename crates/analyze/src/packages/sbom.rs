//! Bills of materials that lie in the image: what its builders say that is in it, such as the parts of a program that was
//! linked into one file.
//!
//! Not here: how the documents are read ([`crate::sbom`]); those of Bitnami ([`super::bitnami`]); operating-system
//! packages, which the databases know better, hence also the one document per package of Wolfi (`var/lib/db/sbom`).
//! Documents in folders of installed packages say how somebody else made that package, and are not read.

use super::is_depth_below;
use super::locked::is_in_installed_folder;
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sbom::{self, SbomLimits};
use crate::sink::Sink;
use model::evidence::Place;
use model::package::LayerPackage;
use model::{Detector, GapReason};

/// Reads CycloneDX, SPDX and syft's documents, by their names.
pub(super) struct Sbom;

/// Names that say what the file is: one that cannot be read is a gap.
const CERTAIN: [&[u8]; 4] = [b".cdx.json", b".cyclonedx.json", b".spdx.json", b".syft.json"];
/// Names that other files have too.
const POSSIBLE: [&[u8]; 2] = [b"bom.json", b"sbom.json"];

fn is_certain(name: &[u8]) -> bool {
    CERTAIN.iter().any(|suffix| name.ends_with(suffix))
}

impl Analyzer for Sbom {
    fn id(&self) -> &'static str {
        "sbom/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let (path, name) = (file.path.as_bytes(), file.path.file_name());
        let is_named = name.ends_with(b".json") && (is_certain(name) || POSSIBLE.contains(&name));
        let is_of_image =
            is_depth_below(path) && !is_in_installed_folder(path) && !path.starts_with(b"var/lib/db/sbom/");
        if is_named && is_of_image && file.bytes > 0 {
            Want::Whole { bytes_max: limits.lockfile_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let limits = SbomLimits { bytes_max: out.limits().lockfile_bytes_max, ..SbomLimits::default() };
        let document = match sbom::read(file.content, &limits) {
            Ok(document) => document,
            Err(error) if is_certain(file.entry.path.file_name()) => return Err(Unread::malformed(error.to_string())),
            Err(_) => return Ok(()),
        };
        for package in document.packages.into_iter().filter(|package| !package.key.format.is_os()) {
            let place = Place { path: file.entry.path.clone(), line: None };
            out.package(LayerPackage { key: package.key, place, licenses: package.licenses });
        }
        if let Some(first) = document.gaps.first() {
            let detail = format!(
                "{} parts of this {} document were not understood, the first: {}",
                document.gaps.len(),
                document.format,
                first.detail
            );
            out.gap(Detector::Packages, file.entry.path, GapReason::Malformed, detail);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    const BOM: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[
        {"type":"library","name":"zlib","version":"1.2.13","purl":"pkg:generic/zlib@1.2.13","licenses":[{"license":{"id":"Zlib"}}]},
        {"type":"library","name":"libc6","version":"2.36","purl":"pkg:deb/debian/libc6@2.36?distro=debian-12"}]}"#;

    #[test]
    fn bills_of_materials_in_the_image_are_read() {
        check("usr/share/sbom/tool.cdx.json", BOM, &["pkg:generic/zlib@1.2.13 Zlib"]);
        check("app/sbom.json", BOM, &["pkg:generic/zlib@1.2.13 Zlib"]);
        check("app/bom.json", "{}", &[]);
        check("app/node_modules/x/bom.json", BOM, &["not wanted"]);
        check("var/lib/db/sbom/zlib.spdx.json", BOM, &["not wanted"]);
        survives("app/sbom.json", BOM.as_bytes());
    }
}
