//! A bill of materials in the place of an image: an inventory without layers, whose gaps say what no document can tell.

use super::{Sbom, SbomPackage};
use model::evidence::Evidence;
use model::layer::ImageConfig;
use model::{Detector, DetectorVersion, Gap, GapReason, ImageInventory, Package};

/// The inventory of what a document describes. `version` is the state of the packages detector that it counts as.
pub fn inventory(sbom: &Sbom, version: DetectorVersion) -> ImageInventory {
    let unknown = || "unknown".to_owned();
    let platform = sbom.platform.clone();
    let configuration = ImageConfig {
        created: sbom.created,
        os: platform.as_ref().map_or_else(unknown, |platform| platform.os.clone()),
        architecture: platform.as_ref().map_or_else(unknown, |platform| platform.architecture.clone()),
        variant: platform.and_then(|platform| platform.variant),
        ..ImageConfig::default()
    };
    let mut packages: Vec<Package> = sbom.packages.iter().map(|found| package(sbom, found)).collect();
    packages.sort_by_cached_key(|package| package.key.purl());
    let mut gaps = sbom.gaps.clone();
    gaps.extend(NOT_IN_DOCUMENTS.map(|(detector, what)| Gap {
        scope: "image".to_owned(),
        detector: Some(detector),
        reason: GapReason::Unsupported,
        detail: format!("a bill of materials holds {what}"),
    }));
    gaps.sort();
    ImageInventory {
        layers: Vec::new(),
        configuration,
        os: sbom.os.clone(),
        packages,
        observations: Vec::new(),
        files: Vec::new(),
        gaps,
        detectors: vec![version],
    }
}

/// What cannot be looked for without the image's bytes, and why.
const NOT_IN_DOCUMENTS: [(Detector, &str); 3] = [
    (Detector::Secrets, "no file contents, so nothing was searched for secrets"),
    (Detector::Malware, "no file contents, so nothing was searched for malware"),
    (Detector::Configuration, "no image configuration, so nothing was checked"),
];

fn package(sbom: &Sbom, found: &SbomPackage) -> Package {
    let history = Some(format!("listed in a bill of materials ({} {})", sbom.format, sbom.version));
    let place = |path| Evidence { layer: None, path, line: None, removed_in: None, history: history.clone() };
    let mut evidence: Vec<Evidence> = found.paths.iter().cloned().map(|path| place(Some(path))).collect();
    if evidence.is_empty() {
        evidence.push(place(None));
    }
    Package { key: found.key.clone(), evidence, licenses: found.licenses.clone(), owner: None }
}
