//! Measures what each detector costs, on the layers of an image, one thread, bytes already in memory; for
//! `cargo xtask bench detect`.
//!
//! `cargo run --release -p analyze --example detect -- FOLDER LAYER…`: layers as they are pulled. Prints one JSON object,
//! and writes into FOLDER what a public search program is to search: `text`, `binary` (the files of the layers, one after
//! the other) and `prefixes` (the keywords of the secret rules).
#![expect(clippy::print_stdout, reason = "an example that prints what it measured")]

use analyze::decompress::{Caps, Decompressor};
use analyze::secrets::SecretDetector;
use analyze::{DetectorOptions, Detectors, LayerRequest, Limits, MemoryBudget, read_layer};
use model::layer::LayerMedia;
use model::observation::{Confidence, LayerObservation, ObservationKind};
use model::ports::{Spool, SpoolFile};
use model::{Detector, LayerPath};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 3;

/// Larger files are left out of what is searched alone: they would be searched in windows.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Temporary files in memory: what is measured is the processor.
#[derive(Debug)]
struct MemorySpool;

impl Spool for MemorySpool {
    fn file(&self) -> std::io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}

struct File {
    path: LayerPath,
    bytes: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("usage: detect FOLDER LAYER…");
    let layers: Vec<Vec<u8>> = arguments.map(|path| fs::read(path).expect("a readable layer")).collect();
    let options = DetectorOptions { secret_key: [0; 32], limits: Limits::default(), rules: Default::default() };
    let memory = MemoryBudget::new(256 << 20);
    let started = Instant::now();
    let detectors = Detectors::new(options).expect("the rules compile");
    let compiling = started.elapsed().as_secs_f64();
    let mut passes = vec![pass("floor: unpack and hash", &layers, floor)];
    let sets: [(&str, &[Detector]); 6] = [
        ("the walk over the entries", &[]),
        ("the walk, packages", &[Detector::Packages]),
        ("the walk, secrets", &[Detector::Secrets]),
        ("the walk, malware", &[Detector::Malware]),
        ("the walk, configuration", &[Detector::Configuration]),
        ("everything", &Detector::ALL),
    ];
    for (name, only) in sets {
        let only: BTreeSet<Detector> = only.iter().copied().collect();
        passes.push(pass(name, &layers, |blob| {
            let media = LayerMedia::TarGzip;
            let request = LayerRequest {
                media,
                detectors: &detectors,
                only: &only,
                spool: &MemorySpool,
                inspector: None,
                in_part: false,
                memory: &memory,
            };
            let reading = read_layer(blob, &request).expect("memory can be read");
            reading.facts.get(&Detector::Files).map_or(0, |facts| facts.files.len() as u64)
        }));
    }
    let secrets = SecretDetector::new([0; 32]).expect("the rules compile");
    let (text, binary) = files(&layers, &secrets);
    let alone = [("text", &text), ("binary", &binary)].map(|(kind, files)| secrets_alone(kind, files, &secrets));
    write_for_search(Path::new(&folder), &text, &binary, &secrets);
    let out = json!({
        "compile_seconds": compiling, "rules": secrets.rules().len(), "passes": passes, "secrets": alone,
        "found": found(&text, &secrets).into_iter().chain(found(&binary, &secrets)).collect::<Vec<Value>>(),
    });
    println!("{out}");
}

/// Wall-clock seconds, and seconds that all threads of this process spent on processors.
struct Stopwatch {
    wall: Instant,
    processor: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: Self::processor() }
    }

    fn seconds(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), Self::processor() - self.processor)
    }

    /// The fourteenth and fifteenth field of `/proc/self/stat`, in ticks of a hundredth of a second (proc(5)).
    fn processor() -> f64 {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2);
        fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

/// The best of some rounds, by processor time: others may be at work on the machine.
fn best(mut run: impl FnMut()) -> (f64, f64) {
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        run();
        let (wall, processor) = watch.seconds();
        best = (best.0.min(wall), best.1.min(processor));
    }
    best
}

/// Unpacks and hashes a layer, and nothing else; answers its size.
fn floor(blob: &[u8]) -> u64 {
    let limits = Limits::default();
    let mut stream = Decompressor::new(blob, Caps::layer(&limits)).map_err(|(stop, _)| stop).expect("a layer");
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut filled = buffer.len();
    while filled == buffer.len() {
        stream.fill(&mut buffer, &mut filled).expect("a layer");
        hasher.update(&buffer[..filled]);
    }
    std::hint::black_box(hasher.finalize());
    stream.bytes_out()
}

fn unpacked(blob: &[u8]) -> Vec<u8> {
    let limits = Limits::default();
    let mut stream = Decompressor::new(blob, Caps::layer(&limits)).map_err(|(stop, _)| stop).expect("a layer");
    let mut out = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let mut filled = buffer.len();
    while filled == buffer.len() {
        stream.fill(&mut buffer, &mut filled).expect("a layer");
        out.extend_from_slice(&buffer[..filled]);
    }
    out
}

/// The best of some rounds over all layers, one after the other.
fn pass(name: &str, layers: &[Vec<u8>], run: impl Fn(&[u8]) -> u64) -> Value {
    let (wall, processor) = best(|| {
        for layer in layers {
            std::hint::black_box(run(layer));
        }
    });
    json!({"name": name, "wall": wall, "seconds": processor})
}

/// The text files and the others, without those whose name or beginning says that they are compressed.
fn files(layers: &[Vec<u8>], secrets: &SecretDetector) -> (Vec<File>, Vec<File>) {
    let mut all = Vec::new();
    for layer in layers {
        let unpacked = unpacked(layer);
        let mut archive = tar::Archive::new(&unpacked[..]);
        for entry in archive.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let is_file = entry.header().entry_type() == tar::EntryType::Regular;
            let path = LayerPath::normalise(&entry.path_bytes());
            let bytes = entry.size();
            let Ok(path) = path else { continue };
            if is_file && bytes <= FILE_BYTES_MAX && secrets.wants(&path, bytes) {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("an entry");
                all.push(File { path, bytes: content });
            }
        }
    }
    all.into_iter().partition(|file| !file.bytes[..file.bytes.len().min(8000)].contains(&0))
}

fn secrets_alone(kind: &str, files: &[File], secrets: &SecretDetector) -> Value {
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let mut out: Vec<LayerObservation> = Vec::new();
    let (_, seconds) = best(|| {
        out.clear();
        for file in files {
            std::hint::black_box(secrets.scan_file(&file.path, &file.bytes, &mut out));
        }
    });
    json!({"kind": kind, "files": files.len(), "bytes": bytes, "seconds": seconds})
}

/// Every possible secret of medium confidence or more.
fn found(files: &[File], secrets: &SecretDetector) -> Vec<Value> {
    let mut out = Vec::new();
    for file in files {
        drop(secrets.scan_file(&file.path, &file.bytes, &mut out));
    }
    let row = |observation: LayerObservation| match observation.kind {
        ObservationKind::Secret(fact) if fact.dismissed.is_none() && fact.confidence >= Confidence::Medium => Some(
            json!({"rule": fact.rule, "path": observation.place.path.to_string(), "line": observation.place.line, "preview": fact.preview}),
        ),
        _ => None,
    };
    out.into_iter().filter_map(row).collect()
}

fn write_for_search(folder: &Path, text: &[File], binary: &[File], secrets: &SecretDetector) {
    let joined = |files: &[File]| files.iter().flat_map(|file| file.bytes.iter().copied()).collect::<Vec<u8>>();
    let prefixes: BTreeSet<&str> =
        secrets.rules().iter().flat_map(|rule| rule.keywords()).map(String::as_str).collect();
    let prefixes: Vec<&str> = prefixes.into_iter().filter(|prefix| !prefix.contains('\n')).collect();
    for (name, bytes) in
        [("text", joined(text)), ("binary", joined(binary)), ("prefixes", (prefixes.join("\n") + "\n").into_bytes())]
    {
        fs::write(folder.join(name), bytes).expect("the folder can be written");
    }
}
