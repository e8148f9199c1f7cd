//! Measures what a large set of YARA rules costs: time and memory to load, time to scan; for docs/measurements.md.
//!
//! `cargo run --release -p analyze --example yara_load -- [COUNT]`: generated rules (`testkit::yara`), 6,000 without a
//! number. Prints one line for each figure.
#![expect(clippy::print_stdout, reason = "an example that prints what it measured")]

use analyze::malware::{MalwareDetector, Suspect};
use model::LayerPath;
use model::extraction::{RuleDocument, RuleKind};
use std::time::Instant;

/// A figure of this process in KiB, from proc(5).
fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is there");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Seconds of processor time so far: fields 14 and 15 of proc(5) `stat`, in hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc is mounted");
    let fields = stat.rsplit(')').next().expect("the rest").split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

fn main() {
    let count = std::env::args().nth(1).map_or(6000, |text| text.parse().expect("a number of rules"));
    let file = |(name, text)| RuleDocument { kind: RuleKind::Malware, name, text };
    let documents: Vec<RuleDocument> = testkit::yara::rule_set(count).into_iter().map(file).collect();
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    drop(MalwareDetector::new().expect("the rules that ship compile"));
    let (before, worked) = (kib("VmRSS"), processor_seconds());
    let started = Instant::now();
    let (detector, problems) = MalwareDetector::with_rules(&documents).expect("the rules that ship compile");
    let took = started.elapsed().as_secs_f64();
    println!("{count} rules in {} files, {bytes} bytes", documents.len());
    println!("load: {took:.2} s, {:.2} s of processor time", processor_seconds() - worked);
    println!("memory: {} MiB held, {} MiB at the most", (kib("VmRSS") - before) >> 10, (kib("VmHWM") - before) >> 10);
    println!("left out: {}", problems.len());
    problems.iter().take(5).for_each(|problem| println!("  {problem}"));
    for (name, head) in
        [("usr/bin/x", &b"\x7fELF\x02\x01\x01"[..]), ("srv/x.exe", b"MZ\x90\0"), ("srv/x.sh", b"#!/bin/sh\n")]
    {
        let mut seed = 7_u64;
        let mut content = head.to_vec();
        content.extend((0..8 << 20).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefghijklmnopqrstuvwxyz01234 \n"[usize::try_from(seed >> 40).expect("24 bits") % 33]
        }));
        let suspect = Suspect { path: &LayerPath::from(name), bytes: &content };
        let (mut found, mut gaps) = (Vec::new(), Vec::new());
        let started = Instant::now();
        detector.scan_file(&suspect, None, &mut found, &mut gaps);
        let speed = content.len() as f64 / 1e6 / started.elapsed().as_secs_f64();
        println!("scan {name}: {speed:.0} MB/s, {} found, {} gaps", found.len(), gaps.len());
    }
}
