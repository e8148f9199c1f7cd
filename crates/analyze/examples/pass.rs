//! Times the pass over one layer against its floor: the same bytes unpacked and hashed, and nothing else.
//!
//! `cargo run --release -p analyze --example pass -- LAYER [ROUNDS] [DETECTORS]`
#![expect(clippy::print_stdout, reason = "an example that prints what it measured")]

use analyze::decompress::{Caps, Decompressor};
use analyze::{DetectorOptions, Detectors, LayerRequest, Limits, MemoryBudget, read_layer};
use model::Detector;
use model::layer::LayerMedia;
use model::ports::{Spool, SpoolFile};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::{Duration, Instant};

/// Temporary files in memory: what they cost is part of the time.
struct MemorySpool;

impl Spool for MemorySpool {
    fn file(&self) -> std::io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }
}

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

fn best<T>(rounds: u32, mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..rounds {
        let started = Instant::now();
        let value = run();
        let took = started.elapsed();
        if best.as_ref().is_none_or(|(known, _)| took < *known) {
            best = Some((took, value));
        }
    }
    best.expect("at least one round")
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("usage: pass LAYER [ROUNDS] [DETECTORS]");
    let rounds: u32 = arguments.next().map_or(3, |text| text.parse().expect("ROUNDS is a number"));
    let filter = arguments.next();
    let (memory, spool) = (MemoryBudget::new(128 << 20), MemorySpool);
    let blob = std::fs::read(path).expect("a readable file");
    let started = Instant::now();
    let options = DetectorOptions { secret_key: [0; 32], limits: Limits::default(), rules: Default::default() };
    let detectors = Detectors::new(options).expect("the rules compile");
    println!("compiling the rules: {:?}", started.elapsed());
    let (floor_time, bytes) = best(rounds, || floor(&blob));
    let rate = |took: Duration| bytes as f64 / took.as_secs_f64() / 1e6;
    println!("floor, one thread    {floor_time:>10.3?} {:>8.0} MB/s", rate(floor_time));
    let sets: [(&str, &[Detector]); 5] = [
        ("files", &[]),
        ("packages", &[Detector::Packages]),
        ("packages, malware", &[Detector::Packages, Detector::Malware]),
        ("packages, secrets", &[Detector::Packages, Detector::Secrets]),
        ("all", &Detector::ALL),
    ];
    for (name, only) in sets.into_iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| filter == *name)) {
        let only: BTreeSet<Detector> = only.iter().copied().collect();
        let (took, reading) = best(rounds, || {
            let media = LayerMedia::TarGzip;
            let memory = &memory;
            let request = LayerRequest {
                media,
                detectors: &detectors,
                only: &only,
                memory,
                spool: &spool,
                inspector: None,
                in_part: false,
            };
            read_layer(&blob[..], &request).expect("memory can be read")
        });
        let ratio = took.as_secs_f64() / floor_time.as_secs_f64();
        let entries = reading.facts[&Detector::Files].files.len();
        let packages = reading.facts.get(&Detector::Packages).map_or(0, |facts| facts.packages.len());
        let gaps: usize = reading.facts.values().map(|facts| facts.gaps.len()).sum();
        println!(
            "{name:<20} {took:>10.3?} {:>8.0} MB/s {ratio:>6.2}× {entries} entries {packages} packages {gaps} gaps",
            rate(took)
        );
    }
}
