//! Measures the secrets and malware detectors on the files of folders, one thread, bytes already in memory.
//!
//! `cargo run --release -p analyze --example secret_throughput -- [--list] DIR…`; with `--list` every possible
//! secret of medium confidence or more, and every malware signature that matched, is printed. Without a folder the
//! text and the binary are made up.
#![expect(clippy::print_stdout, reason = "an example prints its measurements")]

use analyze::malware::{MalwareDetector, Suspect};
use analyze::secrets::SecretDetector;
use model::LayerPath;
use model::observation::{Confidence, LayerObservation, ObservationKind};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

const TOTAL_BYTES_MAX: u64 = 1 << 30;
const FILE_BYTES_MAX: u64 = 16 << 20;
const ROUNDS: usize = 3;

struct File {
    path: LayerPath,
    bytes: Vec<u8>,
}

fn main() {
    let (flags, folders): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let mut files = Vec::new();
    let mut room = TOTAL_BYTES_MAX;
    for folder in &folders {
        collect(Path::new(folder), &mut files, &mut room);
    }
    if folders.is_empty() {
        files = made_up();
    }
    let started = Instant::now();
    let secrets = SecretDetector::new([0; 32]).expect("the rules compile");
    println!("{} secret rules compiled in {:.1} ms", secrets.rules().len(), started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let malware = MalwareDetector::new().expect("the signatures compile");
    println!("malware signatures compiled in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let (binary, text): (Vec<File>, Vec<File>) =
        files.into_iter().partition(|file| file.bytes[..file.bytes.len().min(8000)].contains(&0));
    for (name, files) in [("text", &text), ("binary", &binary)] {
        let cuts = Cell::new(0_usize);
        let found = measure(&format!("secrets, {name}"), files, |file, out| {
            if secrets.wants(&file.path, file.bytes.len() as u64) {
                let cut = secrets.scan_file(&file.path, &file.bytes, out);
                cuts.set(cuts.get() + usize::from(cut.is_some()));
            }
        });
        let infected = measure(&format!("malware, {name}"), files, |file, out| {
            let head = &file.bytes[..file.bytes.len().min(8000)];
            if malware.wants(&file.path, file.bytes.len() as u64, head) {
                let suspect = Suspect { path: &file.path, bytes: &file.bytes };
                malware.scan_file(&suspect, None, out, &mut Vec::new());
            }
        });
        println!("  {} files hold more than the limits allow", cuts.get() / ROUNDS);
        summarise(&found, flags.iter().any(|flag| flag == "--list"), flags.iter().any(|flag| flag == "--low"));
        summarise(&infected, flags.iter().any(|flag| flag == "--list"), true);
    }
}

fn collect(folder: &Path, files: &mut Vec<File>, room: &mut u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.path().symlink_metadata()) else { continue };
        if meta.is_dir() {
            collect(&path, files, room);
        } else if meta.is_file() && meta.len() <= FILE_BYTES_MAX.min(*room) {
            *room -= meta.len();
            let (Some(name), Ok(bytes)) = (path.to_str(), std::fs::read(&path)) else { continue };
            files.push(File { path: LayerPath::from(name), bytes });
        }
    }
}

fn made_up() -> Vec<File> {
    let line = b"export function renderRow(row, index) { return row.cells.map((cell) => cell.text ?? index); }\n";
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).expect("eight bits")
    });
    let text = File { path: LayerPath::from("made/up.js"), bytes: line.repeat(1 << 18) };
    vec![text, File { path: LayerPath::from("made/up.bin"), bytes: noise.take(32 << 20).collect() }]
}

/// Seconds that this thread spent on a processor; wall-clock time where the system does not tell.
struct Stopwatch {
    wall: Instant,
    processor: Option<u64>,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: Self::processor_ns() }
    }

    fn seconds(&self) -> f64 {
        match self.processor.zip(Self::processor_ns()) {
            Some((before, after)) => (after - before) as f64 / 1e9,
            None => self.wall.elapsed().as_secs_f64(),
        }
    }

    fn processor_ns() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }
}

fn measure(what: &str, files: &[File], scan: impl Fn(&File, &mut Vec<LayerObservation>)) -> Vec<LayerObservation> {
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let mut best = f64::MAX;
    let mut out = Vec::new();
    for _ in 0..ROUNDS {
        out.clear();
        let started = Stopwatch::start();
        for file in files {
            scan(file, &mut out);
        }
        best = best.min(started.seconds());
    }
    let mega = bytes as f64 / 1e6;
    println!("{what}: {} files, {mega:.0} MB, {:.0} MB/s, {} found", files.len(), mega / best, out.len());
    out
}

fn summarise(found: &[LayerObservation], list: bool, low: bool) {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for observation in found {
        let (rule, sure, preview) = match &observation.kind {
            ObservationKind::Secret(fact) => (&fact.rule, format!("{:?}", fact.confidence), fact.preview.clone()),
            ObservationKind::Malware(fact) => (&fact.signature, "signature".to_owned(), String::new()),
            ObservationKind::FileHash(_)
            | ObservationKind::FileMode(_)
            | ObservationKind::FolderMode(_)
            | ObservationKind::Cache(_)
            | ObservationKind::Account(_)
            | ObservationKind::AlteredFile(_) => continue,
        };
        *counts.entry((sure.clone(), rule.clone())).or_default() += 1;
        let is_low = matches!(&observation.kind, ObservationKind::Secret(f) if f.confidence == Confidence::Low);
        if list && (low || !is_low) {
            let line = observation.place.line.unwrap_or_default();
            println!("    {sure} {rule} {}:{line} {preview}", observation.place.path);
        }
    }
    for ((sure, rule), count) in counts {
        println!("  {sure} {rule}: {count}");
    }
}
