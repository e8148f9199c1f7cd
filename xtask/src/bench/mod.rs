//! Measurements that a person asks for.
//!
//! Invariant: what is compared runs in one go, in turns, on the same image from the same registry on this machine.

mod image;
mod matching;
mod measure;
mod registry;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::machine;
use crate::process::{Run, root};
pub(crate) use matching::run as matching;
use measure::Measured;
use registry::Registry;

/// What to run, and how it is called in the table.
struct Contender {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// Where the image, the registry's blobs and the intelligence are kept between runs.
fn folder() -> PathBuf {
    root().join("target/bench")
}

/// `bench image`: makes the image that [`scan`] measures with, once.
pub(crate) fn image() -> Result<PathBuf> {
    machine::ensure_test_programs()?;
    fs::create_dir_all(folder())?;
    let layout = image::layout(&folder())?;
    println!("{}: {}", layout.display(), image::describe(&layout)?);
    Ok(layout)
}

/// `bench scan`: wall time, processor time and peak memory of `pratique scan` beside those of the floor.
pub(crate) fn scan(arguments: &[&str]) -> Result<()> {
    let (mut write, mut build, mut rounds) = (false, true, 3_usize);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--write" => write = true,
            "--no-build" => build = false,
            "--rounds" => {
                let count = rest.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                rounds = count.context("--rounds takes a number")?;
            }
            other => bail!("unknown argument: {other}"),
        }
    }
    let layout = image()?;
    let folder = folder();
    if build {
        Run::cargo(&["build", "--release", "-p", "pratique"]).wait()?;
        Run::cargo(&["build", "--release", "-p", "engine", "--example", "floor"]).wait()?;
    }
    let registry = Registry::start(&folder)?;
    registry.push(&layout, "bench:1")?;
    let contenders = contenders(&registry, &folder)?;
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (contender, of) in contenders.iter().zip(&mut measured) {
            let output = folder.join("output");
            let found = measure::run(&contender.program, &contender.arguments, &output)?;
            check_output(contender, &output, &folder.join("floor"))?;
            // The first round only warms the page cache.
            if round > 0 {
                println!("round {round}: {} {found}", contender.name);
                of.push(found);
            }
        }
    }
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let text = table::render(&image::describe(&layout)?, &names, &measured)?;
    println!("\n{text}");
    if write {
        table::write(&root().join("docs/measurements.md"), "scan", &text)?;
    }
    Ok(())
}

/// The floor first: the others are compared with it.
fn contenders(registry: &Registry, folder: &Path) -> Result<Vec<Contender>> {
    let release = root().join("target/release");
    let pratique = release.join("pratique");
    let intel = intelligence(&pratique, folder)?;
    let reference = format!("{}/bench:1", registry.host());
    let scan = |more: &[&str]| -> Vec<String> {
        let fixed = ["scan", "--plain-http", &reference, "--format", "json", "--no-cache", "--intel", &intel];
        fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    };
    let floor = vec![registry.host().to_owned(), "bench".to_owned(), "1".to_owned()];
    Ok(vec![
        Contender { name: "floor", program: release.join("examples/floor"), arguments: floor },
        Contender { name: "pratique scan", program: pratique.clone(), arguments: scan(&[]) },
        Contender {
            name: "pratique scan --scanners packages",
            program: pratique,
            arguments: scan(&["--scanners", "packages"]),
        },
    ])
}

/// Where the feeds of the test data are, if there are any.
fn feeds() -> PathBuf {
    let data = std::env::var_os("PRATIQUE_TEST_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    data.join("feeds")
}

/// The folder of intelligence that scans match against; empty where there are no feeds to import.
fn intelligence(pratique: &Path, folder: &Path) -> Result<String> {
    let intel = folder.join("intel").display().to_string();
    let feeds = feeds();
    if feeds.is_dir() {
        let feeds = feeds.display().to_string();
        Run::new(&pratique.display().to_string(), &["feeds", "import", "--from", &feeds, "--intel", &intel]).wait()?;
    } else {
        println!("no feeds at {}: the scan matches against nothing", feeds.display());
    }
    Ok(intel)
}

/// Both sides have to have read the same bytes: the layers' digests are compared, and a scan has to find packages.
fn check_output(contender: &Contender, output: &Path, floor: &Path) -> Result<()> {
    let text = fs::read_to_string(output)?;
    if contender.name == "floor" {
        fs::write(floor, &text)?;
        return Ok(());
    }
    let report: Value = serde_json::from_str(&text).with_context(|| format!("{} wrote no report", contender.name))?;
    let layers = report["image"]["layers"].as_array().context("the report has no layers")?;
    let scanned: BTreeSet<String> =
        layers.iter().filter_map(|layer| layer["diff_id"].as_str()).map(str::to_owned).collect();
    let summed = fs::read_to_string(floor)?;
    let summed: BTreeSet<String> =
        summed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    if scanned != summed {
        bail!("{} read other layers than the floor: {scanned:?}, {summed:?}", contender.name);
    }
    if report["packages"].as_array().is_none_or(Vec::is_empty) {
        bail!("{} found no packages", contender.name);
    }
    Ok(())
}
