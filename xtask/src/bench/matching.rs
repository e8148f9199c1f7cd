//! `bench match`: from 300,000 advisories to what the packages of an image may have.
//!
//! The feeds of the test data are written again and again under other names (`crates/intel/examples/replicate.rs`), then
//! imported by the program as a user would; matching is measured by `crates/engine/examples/matching.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{feeds, folder, measure, table};
use crate::process::{Run, root};

/// So many OSV records; the other documents are repeated as often.
const RECORDS: &str = "300000";
/// Runs of a fresh program, of which the median counts.
const COLD_ROUNDS: usize = 9;

/// Runs everything and prints it; `--write` puts it into docs/measurements.md too.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (mut write, mut build) = (false, true);
    for argument in arguments {
        match *argument {
            "--write" => write = true,
            "--no-build" => build = false,
            other => bail!("unknown argument: {other}"),
        }
    }
    if build {
        Run::cargo(&["build", "--release", "-p", "pratique"]).wait()?;
        Run::cargo(&["build", "--release", "-p", "engine", "--example", "matching"]).wait()?;
        Run::cargo(&["build", "--release", "-p", "intel", "--example", "replicate"]).wait()?;
    }
    let release = root().join("target/release");
    let many = replicated(&release)?;
    let intel = many.join("intel");
    if intel.is_dir() {
        fs::remove_dir_all(&intel)?;
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let (feeds, intel) = (many.join("feeds").display().to_string(), intel.display().to_string());
    let output = many.join("output");
    let pratique = release.join("pratique");
    let import =
        measure::run(&pratique, &words(&["feeds", "import", "--from", &feeds, "--intel", &intel]), &[], &output)?;
    println!("import: {import}");
    let pack = many.join("intelligence.pack").display().to_string();
    let packing = measure::run(&pratique, &words(&["feeds", "pack", &pack, "--intel", &intel]), &[], &output)?;
    println!("pack: {packing}");
    let matching = Matching { program: release.join("examples/matching"), intel: intel.clone() };
    let image = many.join("image.txt");
    let cold = [matching.cold(&image, 1)?, matching.cold(&image, 2)?];
    let warm = [matching.run(&image, 1, 50)?, matching.run(&image, 2, 50)?];
    let million = matching.run(&many.join("million.txt"), 2, 0)?;
    let sizes = Sizes { flat: size_of(&Path::new(&intel).join("segments"))?, packed: fs::metadata(&pack)?.len() };
    let text = render(&import, &sizes, &Image { cold, warm }, &million)?;
    println!("\n{text}");
    if write {
        table::write(&root().join("docs/measurements.md"), "match", &text)?;
    }
    Ok(())
}

/// The many feeds, made the first time.
fn replicated(release: &Path) -> Result<PathBuf> {
    let many = folder().join("match");
    if many.join("million.txt").is_file() {
        return Ok(many);
    }
    let feeds = feeds();
    if !feeds.is_dir() {
        bail!("there are no feeds to replicate at {} (set PRATIQUE_TEST_DATA)", feeds.display());
    }
    fs::create_dir_all(&many)?;
    let replicate = release.join("examples/replicate").display().to_string();
    Run::new(&replicate, &[&feeds.display().to_string(), &many.display().to_string(), RECORDS]).wait()?;
    Ok(many)
}

/// The example that matches.
struct Matching {
    program: PathBuf,
    intel: String,
}

impl Matching {
    fn run(&self, packages: &Path, threads: usize, rounds: usize) -> Result<Value> {
        let output = Command::new(&self.program)
            .arg(&self.intel)
            .arg(packages)
            .args([threads.to_string(), rounds.to_string()])
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            bail!("{} failed: {}", self.program.display(), String::from_utf8_lossy(&output.stderr));
        }
        let found: Value = serde_json::from_slice(&output.stdout).context("the example prints JSON")?;
        println!("{found}");
        Ok(found)
    }

    /// Milliseconds of a fresh program from its start to its end; the median.
    fn cold(&self, packages: &Path, threads: usize) -> Result<f64> {
        let mut found = Vec::with_capacity(COLD_ROUNDS);
        for _ in 0..COLD_ROUNDS {
            let started = Instant::now();
            self.run(packages, threads, 0)?;
            found.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        found.sort_by(f64::total_cmp);
        Ok(found[COLD_ROUNDS / 2])
    }
}

/// What the packages of an image took, on one thread and on two.
struct Image {
    /// Milliseconds.
    cold: [f64; 2],
    /// What the example printed.
    warm: [Value; 2],
}

/// Bytes on disk.
struct Sizes {
    flat: u64,
    packed: u64,
}

fn size_of(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        total += entry?.metadata()?.len();
    }
    Ok(total)
}

fn render(import: &measure::Measured, sizes: &Sizes, image: &Image, million: &Value) -> Result<String> {
    let Image { cold, warm: [warm, warm_on_two] } = image;
    let number = |from: &Value, name: &str| from[name].as_f64().with_context(|| format!("no {name} in {from}"));
    let mut text = format!(
        "`cargo xtask bench match` on {}: the feeds of the test data under other names, {RECORDS} OSV records and the other \
         documents as often; every package of the image is named by advisories:\n\n| what | figure | promise |\n|---|---:|---:|\n",
        table::machine()
    );
    let rows = [
        ("compile everything, from archives to a generation in force", format!("{:.1} s", import.wall), "60 s"),
        ("its processor time", format!("{:.1} s", import.cpu), ""),
        ("its peak of anonymous memory", format!("{} MiB", import.anonymous >> 20), "1024 MiB"),
        ("segments on disk", format!("{} MB", sizes.flat / 1_000_000), ""),
        ("the same, packed", format!("{} MB", sizes.packed / 1_000_000), "150 MB"),
        ("open", format!("{:.1} ms", number(warm, "open_ms")?), "10 ms"),
        ("2,000 packages, warm, on 1 thread (median of 50)", format!("{:.1} ms", number(warm, "warm_ms")?), "20 ms"),
        ("the same on 2 threads, as a scan does", format!("{:.1} ms", number(warm_on_two, "warm_ms")?), ""),
        ("matches among them", format!("{}", number(warm, "matches")?), ""),
        (
            "2,000 packages, from the start of the program to its end, on 1 thread (median of 9)",
            format!("{:.1} ms", cold[0]),
            "50 ms",
        ),
        ("the same on 2 threads, as a scan does", format!("{:.1} ms", cold[1]), ""),
        (
            "1,000,000 distinct package versions on 2 threads",
            format!("{:.1} s", number(million, "first_ms")? / 1000.0),
            "60 s",
        ),
        ("matches among them", format!("{}", number(million, "matches")?), ""),
    ];
    for (what, figure, promise) in rows {
        text.push_str(&format!("| {what} | {figure} | {promise} |\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_stand_beside_their_promises() {
        let import = measure::Measured { wall: 20.0, cpu: 30.0, peak: 900 << 20, anonymous: 800 << 20, spooled: 0 };
        let sizes = Sizes { flat: 300_000_000, packed: 60_000_000 };
        let warm = json!({"open_ms": 2.5, "warm_ms": 12.0, "matches": 900});
        let million = json!({"first_ms": 30000.0, "matches": 100_000});
        let image = |warm: &Value| Image { cold: [31.0, 20.0], warm: [warm.clone(), warm.clone()] };
        let text = render(&import, &sizes, &image(&warm), &million).expect("a table");
        assert!(text.contains("| open | 2.5 ms | 10 ms |"), "{text}");
        assert!(text.contains("| its peak of anonymous memory | 800 MiB | 1024 MiB |"), "{text}");
        assert!(text.contains("on 1 thread (median of 9) | 31.0 ms | 50 ms |"), "{text}");
        assert!(render(&import, &sizes, &image(&json!({})), &million).is_err());
    }
}
