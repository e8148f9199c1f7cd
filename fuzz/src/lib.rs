//! What the fuzz targets call: every way in for bytes that somebody else made.
//!
//! Not here: what must hold beside "no panic, bounded time and memory"; the tests of the crates say that. A short,
//! deterministic look at the same ways in is part of every test run (`mutations` in the tests of `analyze`, `bad_input` and `versions` in those of `intel`).

use analyze::packages::read_file;
use analyze::{DetectorOptions, Detectors, FileEntry, LayerRequest, Limits, MemoryBudget, SquashInput};
use intel::range::cpe::Name;
use intel::version::Scheme;
use intel::{Compiler, Segment};
use model::extraction::ExtractionRules;
use model::inventory::LayerInventory;
use model::layer::{ImageConfig, Layer, LayerMedia};
use model::ports::{Spool, SpoolFile};
use model::purl::Purl;
use model::{Detector, DetectorVersion, Digest, LayerPath};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, OnceLock};

/// Temporary files in memory.
struct MemorySpool;

impl Spool for MemorySpool {
    fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}

/// Shows the bytes to the package analyzers, under one of the paths: the first byte chooses.
pub fn package_file(paths: &[&str], data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let path = LayerPath::from(paths[usize::from(choice) % paths.len()]);
    let entry = FileEntry { path: &path, bytes: content.len() as u64, mode: 0o755, uid: 0, gid: 0 };
    let _ = read_file(&entry, content, &Limits::default());
}

fn detectors() -> &'static Detectors {
    static DETECTORS: OnceLock<Detectors> = OnceLock::new();
    let limits = Limits { layer_bytes_max: 64 << 20, ..Limits::default() };
    let options = DetectorOptions { secret_key: [0; 32], limits, rules: ExtractionRules::default() };
    DETECTORS.get_or_init(|| Detectors::new(options).expect("the rules compile"))
}

/// Reads a layer with every detector.
pub fn layer(data: &[u8]) {
    inventory(data);
}

fn inventory(data: &[u8]) -> LayerInventory {
    let only = BTreeSet::from(Detector::ALL);
    let memory = MemoryBudget::new(256 << 20);
    let request = LayerRequest {
        media: LayerMedia::TarGzip,
        detectors: detectors(),
        only: &only,
        memory: &memory,
        spool: &MemorySpool,
        inspector: None,
        in_part: false,
    };
    let reading = analyze::read_layer(data, &request).expect("memory can be read");
    LayerInventory {
        blob: Digest::from_bytes([0; 32]),
        diff_id: reading.diff_id,
        bytes: data.len() as u64,
        bytes_uncompressed: reading.bytes_uncompressed,
        detectors: reading.facts,
    }
}

/// Lays two layers over each other; the first byte says where the second begins.
pub fn squash(data: &[u8]) {
    let Some((&cut, rest)) = data.split_first() else { return };
    let (lower, upper) = rest.split_at(rest.len() * usize::from(cut) / 256);
    let inventories = [lower, upper].map(|blob| Some(inventory(blob)));
    let layer = |(index, inventory): (u32, &LayerInventory)| Layer {
        index,
        blob: inventory.blob,
        diff_id: inventory.diff_id,
        media: LayerMedia::TarGzip,
        bytes: inventory.bytes,
        instruction: None,
    };
    let layers: Vec<Layer> = (0..).zip(inventories.iter().flatten()).map(layer).collect();
    analyze::squash(&SquashInput {
        layers: &layers,
        configuration: &ImageConfig::default(),
        inventories: &inventories,
        gaps: &[],
        detectors: detectors(),
        only: &BTreeSet::from(Detector::ALL),
    });
}

/// Unpacks a zlib stream.
pub fn zlib(data: &[u8]) {
    if let Ok(out) = analyze::decompress::zlib(data, 1 << 20) {
        assert!(out.len() <= 1 << 20, "the cap holds");
    }
}

/// Reads a bill of materials in the place of an image, and makes an inventory of it.
pub fn sbom(data: &[u8]) {
    let limits = analyze::sbom::SbomLimits::default();
    let Ok(sbom) = analyze::sbom::read(data, &limits) else { return };
    let version = DetectorVersion { detector: Detector::Packages, fingerprint: "f".to_owned() };
    assert!(sbom.packages.len() <= limits.components_max, "the limit holds");
    analyze::sbom::inventory(&sbom, version);
}

/// Takes the bytes for a table of contents of a layer that can be read in part, and reads that layer, all zeros, by it.
/// The first byte chooses the form.
pub fn lazy(data: &[u8]) {
    const BLOB_BYTES: u64 = 1 << 20;
    let Some((&choice, document)) = data.split_first() else { return };
    let limits = Limits::default();
    let table = match choice % 3 {
        0 => analyze::lazy::soci::table(document, BLOB_BYTES),
        1 => zstd_chunked_table(document, BLOB_BYTES, &limits),
        _ => {
            let range = BLOB_BYTES / 2..BLOB_BYTES;
            let archive = one_file("stargz.index.json", document);
            analyze::lazy::estargz::table(&archive, &range, &sha256(document), BLOB_BYTES, &limits)
        }
    };
    let Ok(choice) = table.and_then(|table| analyze::lazy::Choice::new(table, &limits)) else { return };
    let bytes: u64 = choice.ranges().iter().map(|range| range.end - range.start).sum();
    assert!(bytes <= BLOB_BYTES, "no more is asked for than there is");
    let _ = io::copy(&mut analyze::lazy::Tape::new(&choice, io::repeat(0).take(bytes), &limits), &mut io::sink());
}

fn zstd_chunked_table(
    document: &[u8],
    blob_bytes: u64,
    limits: &Limits,
) -> Result<analyze::lazy::Table, analyze::lazy::Refused> {
    let prefix = "io.github.containers.zstd-chunked.manifest";
    let position = format!("1000:{}:{}:1", document.len(), document.len());
    let digest = sha256(document).to_string();
    let annotations = [(format!("{prefix}-position"), position), (format!("{prefix}-checksum"), digest)].into();
    match analyze::lazy::Offer::of(&annotations, blob_bytes)? {
        Some(analyze::lazy::Offer::ZstdChunked(position)) => {
            analyze::lazy::zstd_chunked::table(document, &position, blob_bytes, limits)
        }
        offer => unreachable!("{offer:?}"),
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// An archive of one file.
fn one_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:07o}").as_bytes());
    let mut archive = [&header, content].concat();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

fn archive_limits() -> Limits {
    Limits {
        archive_members_max: 1000,
        archive_member_bytes_max: 1 << 20,
        archive_bytes_max: 8 << 20,
        ..Limits::default()
    }
}

/// Reads every member of a zip archive.
pub fn zip(data: &[u8]) {
    // What is wrong with the archive is said in the result.
    let _ = analyze::archive::zip_members(Cursor::new(data), &archive_limits(), |_, content: &mut dyn Read| {
        let _ = io::copy(content, &mut io::sink());
        Ok(())
    });
}

/// Reads every member of a tar archive, packed or not.
pub fn tar(data: &[u8]) {
    let _ = analyze::archive::tar_members(data, &archive_limits(), |_, content: &mut dyn Read| {
        let _ = io::copy(content, &mut io::sink());
        Ok(())
    });
}

/// Compares the two halves in every scheme: the order turns round with them.
pub fn versions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (a, b) = text.split_once('\n').unwrap_or((&text, "1.0"));
    for scheme in Scheme::ALL {
        let there = scheme.compare(a, b);
        let back = scheme.compare(b, a);
        assert_eq!(there.as_ref().ok().copied(), back.as_ref().ok().map(|order| order.reverse()), "{scheme}");
        assert!(scheme.order(a, a).is_eq(), "{scheme}");
    }
}

/// Reads a CPE name; what was read is written as it was read.
pub fn cpe(data: &[u8]) {
    if let Ok(name) = Name::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Name::parse(&name.to_string()), Ok(name));
    }
}

/// Offers a document to every feed, and compiles what it says.
pub fn feed(data: &[u8]) {
    let Some((&choice, document)) = data.split_first() else { return };
    let hints =
        ["all.zip/GHSA-x.json", "v3.20/main.json", "debian/json", "known_exploited_vulnerabilities.json", "bad.txt"];
    let mut compiler = Compiler::new("2026-01-01T00:00:00Z".parse().expect("a moment"));
    let _ = compiler.document(hints[usize::from(choice) % hints.len()], document);
    for compiled in compiler.finish() {
        Segment::open(Arc::new(compiled.segment)).expect("what was written can be read");
    }
}

/// Opens a segment.
pub fn segment(data: &[u8]) {
    let _ = Segment::open(Arc::new(data.to_vec()));
}

/// Reads a package URL; one that is read is written and read again as the same.
pub fn package_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = Purl::to_key(text) {
        let _ = key.purl();
        let _ = intel::lookup_keys(&key);
    }
}
