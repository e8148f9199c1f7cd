//! Measures matching: `cargo run --release -p engine --example matching -- INTEL PACKAGES THREADS ROUNDS`.
//!
//! Opens the folder of intelligence, matches every package of a list of purls once, and then ROUNDS times more. Prints
//! what it took as one line of JSON; times are in milliseconds, `first_ms` counts from the start of matching.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use engine::intelligence::Library;
use engine::matching::in_parts;
use model::PackageKey;
use model::purl::Purl;
use std::error::Error;
use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

/// The allocator of the program `pratique`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [intel, packages, threads, rounds] = arguments.as_slice() else {
        return Err("usage: matching INTEL PACKAGES THREADS ROUNDS".into());
    };
    let (threads, rounds) = (threads.parse::<NonZero<usize>>()?, rounds.parse::<usize>()?);
    let started = Instant::now();
    let library = Library::open(Path::new(intel))?;
    let open_ms = milliseconds(started);
    let text = std::fs::read_to_string(packages)?;
    let keys: Vec<PackageKey> = text.lines().map(Purl::to_key).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let matches = all(&library, &keys, threads)?;
    let first_ms = milliseconds(started);
    let mut warm = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        all(&library, &keys, threads)?;
        warm.push(milliseconds(started));
    }
    warm.sort_by(f64::total_cmp);
    let warm_ms = warm.get(rounds / 2).copied();
    let out = serde_json::json!({
        "packages": keys.len(), "matches": matches, "open_ms": open_ms, "first_ms": first_ms, "warm_ms": warm_ms,
    });
    println!("{out}");
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// What all packages may have; how many that are.
fn all(library: &Library, keys: &[PackageKey], threads: NonZero<usize>) -> Result<usize, intel::Error> {
    let loaded = library.current();
    let parts = in_parts(&loaded.intelligence, keys, threads, |matcher, part| {
        part.iter().map(|key| matcher.possible(key).map(|found| found.len())).sum::<Result<usize, intel::Error>>()
    })?;
    Ok(parts.into_iter().sum())
}
