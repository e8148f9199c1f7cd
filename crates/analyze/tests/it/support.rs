//! What the tests share: detectors compiled once, and short ways to read and squash.

use analyze::{
    DetectorOptions, Detectors, LayerReading, LayerRequest, Limits, MemoryBudget, SquashInput, read_layer, squash,
};
use model::inventory::{DetectorFacts, FileKind, FileRecord, LayerInventory};
use model::layer::{ImageConfig, Layer, LayerMedia};
use model::ports::{Spool, SpoolFile};
use model::{Detector, Gap, ImageInventory};
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::OnceLock;

pub(crate) static MEMORY: MemoryBudget = MemoryBudget::new(1 << 30);

pub(crate) struct NoSpool;

impl Spool for NoSpool {
    fn file(&self) -> std::io::Result<Box<dyn SpoolFile>> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
}

pub(crate) fn detectors() -> &'static Detectors {
    static DETECTORS: OnceLock<Detectors> = OnceLock::new();
    DETECTORS.get_or_init(|| detectors_with(Limits::default()))
}

pub(crate) fn detectors_with(limits: Limits) -> Detectors {
    Detectors::new(DetectorOptions { secret_key: [7; 32], limits, rules: Default::default() }).unwrap()
}

pub(crate) fn all() -> BTreeSet<Detector> {
    Detector::ALL.into_iter().collect()
}

pub(crate) fn read_with(input: impl Read + Send, detectors: &Detectors, only: &BTreeSet<Detector>) -> LayerReading {
    let request = LayerRequest {
        media: LayerMedia::TarGzip,
        detectors,
        only,
        memory: &MEMORY,
        spool: &NoSpool,
        inspector: None,
        in_part: false,
    };
    read_layer(input, &request).unwrap()
}

pub(crate) fn read(blob: &[u8]) -> LayerReading {
    read_with(blob, detectors(), &all())
}

pub(crate) fn files(reading: &LayerReading) -> &[FileRecord] {
    &reading.facts[&Detector::Files].files
}

pub(crate) fn facts(reading: &LayerReading, detector: Detector) -> &DetectorFacts {
    &reading.facts[&detector]
}

/// `kind path` of every entry, as tests compare them.
pub(crate) fn listing(reading: &LayerReading) -> Vec<String> {
    let line = |file: &FileRecord| {
        let kind = match &file.kind {
            FileKind::Regular => "file".to_owned(),
            FileKind::Folder => "folder".to_owned(),
            FileKind::Symlink(to) => return format!("link {} -> {}", file.path, String::from_utf8_lossy(to)),
            FileKind::HardLink(to) => return format!("hard {} -> {to}", file.path),
            FileKind::Special => "special".to_owned(),
            FileKind::Whiteout => "whiteout".to_owned(),
            FileKind::Opaque => "opaque".to_owned(),
        };
        format!("{kind} {}", file.path)
    };
    files(reading).iter().map(line).collect()
}

/// `scope reason: detail` of every gap of every detector.
pub(crate) fn gaps(reading: &LayerReading) -> Vec<String> {
    reading.facts.values().flat_map(|facts| &facts.gaps).map(gap_line).collect()
}

pub(crate) fn gap_line(gap: &Gap) -> String {
    format!("{} {}: {}", gap.scope, gap.reason, gap.detail)
}

/// `purl path[:line]` of every package.
pub(crate) fn packages(reading: &LayerReading) -> Vec<String> {
    let packages = &facts(reading, Detector::Packages).packages;
    packages.iter().map(|package| format!("{} {}", package.key.purl(), package.place.path)).collect()
}

pub(crate) fn inventory(blob: &[u8]) -> LayerInventory {
    inventory_of(blob, read(blob))
}

pub(crate) fn inventory_of(blob: &[u8], reading: LayerReading) -> LayerInventory {
    LayerInventory {
        blob: testkit::image::sha256(blob),
        diff_id: reading.diff_id,
        bytes: blob.len() as u64,
        bytes_uncompressed: reading.bytes_uncompressed,
        detectors: reading.facts,
    }
}

pub(crate) fn layer_of(index: usize, inventory: &LayerInventory) -> Layer {
    Layer {
        index: u32::try_from(index).unwrap(),
        blob: inventory.blob,
        diff_id: inventory.diff_id,
        media: LayerMedia::TarGzip,
        bytes: inventory.bytes,
        instruction: Some(format!("RUN step {index}")),
    }
}

/// Reads and squashes layers, lowest first.
pub(crate) fn image(blobs: &[Vec<u8>]) -> ImageInventory {
    image_with(blobs, &ImageConfig::default())
}

pub(crate) fn image_with(blobs: &[Vec<u8>], configuration: &ImageConfig) -> ImageInventory {
    let inventories: Vec<_> = blobs.iter().map(|blob| Some(inventory(blob))).collect();
    let layers: Vec<_> = inventories.iter().flatten().enumerate().map(|(at, i)| layer_of(at, i)).collect();
    let input = SquashInput {
        layers: &layers,
        configuration,
        inventories: &inventories,
        gaps: &[],
        detectors: detectors(),
        only: &all(),
    };
    squash(&input)
}

/// `purl layer:path[ owner]` of every evidence of every package.
pub(crate) fn image_packages(image: &ImageInventory) -> Vec<String> {
    let lines = image.packages.iter().flat_map(|package| {
        package.evidence.iter().map(move |evidence| {
            let (layer, path) = (evidence.layer.unwrap(), evidence.path.as_ref().unwrap());
            let owner = package.owner.as_ref().map(|owner| format!(" owned by {owner}")).unwrap_or_default();
            format!("{} {layer}:{path}{owner}", package.key.purl())
        })
    });
    lines.collect()
}
