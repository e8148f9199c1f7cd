//! Lists the packages of an image whose layers are files, lowest first, one line per package and place:
//! `purl path [owner]`; then the operating system and the gaps. For comparing with other programs that list packages.
//!
//! `cargo run --release -p analyze --example packages -- LAYER…`
#![expect(clippy::print_stdout, reason = "an example that prints what it found")]

use analyze::{DetectorOptions, Detectors, LayerRequest, Limits, MemoryBudget, SquashInput, read_layer, squash};
use model::inventory::LayerInventory;
use model::layer::{ImageConfig, Layer, LayerMedia};
use model::ports::{Spool, SpoolFile};
use model::{Detector, Digest};
use std::collections::BTreeSet;
use std::io::Cursor;

/// Temporary files in memory.
struct MemorySpool;

impl Spool for MemorySpool {
    fn file(&self) -> std::io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}

fn main() {
    let options = DetectorOptions {
        secret_key: [0; 32],
        limits: Limits::default(),
        rules: model::extraction::ExtractionRules::default(),
    };
    let detectors = Detectors::new(options).expect("the rules compile");
    let only = BTreeSet::from([Detector::Packages]);
    let memory = MemoryBudget::new(1 << 30);
    let (mut layers, mut inventories) = (Vec::new(), Vec::new());
    for (index, path) in (0..).zip(std::env::args().skip(1)) {
        let file = std::fs::File::open(path).expect("a readable file");
        let media = LayerMedia::Tar;
        let request = LayerRequest {
            media,
            detectors: &detectors,
            only: &only,
            memory: &memory,
            spool: &MemorySpool,
            inspector: None,
            in_part: false,
        };
        let reading = read_layer(file, &request).expect("a readable file");
        let (blob, bytes) = (Digest::from_bytes([0; 32]), reading.bytes_uncompressed);
        layers.push(Layer { index, blob, diff_id: reading.diff_id, media, bytes, instruction: None });
        let detectors = reading.facts;
        inventories.push(Some(LayerInventory {
            blob,
            diff_id: reading.diff_id,
            bytes,
            bytes_uncompressed: bytes,
            detectors,
        }));
    }
    let configuration = ImageConfig::default();
    let image = squash(&SquashInput {
        layers: &layers,
        configuration: &configuration,
        inventories: &inventories,
        gaps: &[],
        detectors: &detectors,
        only: &only,
    });
    for package in &image.packages {
        let owner = package.owner.as_ref().map(|owner| format!(" owned by {owner}")).unwrap_or_default();
        for path in package.evidence.iter().filter_map(|evidence| evidence.path.as_ref()) {
            println!("{} {path}{owner}", package.key.purl());
        }
    }
    println!("operating system: {:?}", image.os);
    for gap in &image.gaps {
        println!("gap {} {}: {}", gap.scope, gap.reason, gap.detail);
    }
}
