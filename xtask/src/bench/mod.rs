//! Measurements that a person asks for.
//!
//! Invariant: what is compared runs in one go, in turns, on the same image from the same registry on this machine.

mod detect;
mod huge;
mod image;
mod matching;
mod measure;
mod registry;
mod syft;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::machine;
use crate::process::{Run, root};
pub(crate) use detect::run as detect;
use image::Kind;
pub(crate) use matching::run as matching;
use measure::Measured;
use registry::Registry;

/// What to run, and how it is called in the table.
struct Contender {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

/// Where images, the registry's blobs and the intelligence are kept between runs.
fn folder() -> PathBuf {
    root().join("target/bench")
}

/// Which image is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Real(Kind),
    Huge,
}

impl Subject {
    fn parse(argument: &str) -> Result<Self> {
        match argument {
            "app" => Ok(Self::Real(Kind::App)),
            "tools" => Ok(Self::Real(Kind::Tools)),
            "huge" => Ok(Self::Huge),
            other => bail!("no such image: {other} (there are app, tools and huge)"),
        }
    }

    /// The arguments of `bench` that measure it.
    const fn command(self) -> &'static str {
        match self {
            Self::Real(Kind::App) => "scan",
            Self::Real(Kind::Tools) => "scan --image tools",
            Self::Huge => "scan --image huge",
        }
    }

    fn layout(self) -> Result<PathBuf> {
        fs::create_dir_all(folder())?;
        match self {
            Self::Real(kind) => {
                machine::ensure_test_programs()?;
                image::layout(&folder(), kind)
            }
            Self::Huge => huge::layout(&folder()),
        }
    }
}

/// `bench image [app|tools|huge]`: makes an image that [`scan`] measures with, once.
pub(crate) fn image(arguments: &[&str]) -> Result<()> {
    let subject = match arguments {
        [] => Subject::Real(Kind::App),
        [name] => Subject::parse(name)?,
        _ => bail!("bench image takes one name"),
    };
    let layout = subject.layout()?;
    println!("{}: {}", layout.display(), image::describe(&layout)?);
    Ok(())
}

/// What [`scan`] was asked for.
struct Options {
    subject: Subject,
    write: bool,
    build: bool,
    syft: bool,
    rounds: usize,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self { subject: Subject::Real(Kind::App), write: false, build: true, syft: false, rounds: 3 };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--write" => options.write = true,
                "--no-build" => options.build = false,
                "--syft" => options.syft = true,
                "--image" => options.subject = Subject::parse(rest.next().context("--image takes a name")?)?,
                "--rounds" => {
                    let count = rest.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                    options.rounds = count.context("--rounds takes a number")?;
                }
                other => bail!("unknown argument: {other}"),
            }
        }
        Ok(options)
    }

    /// Shows a result, and puts it into the document.
    fn tell(&self, command: &str, text: &str) -> Result<()> {
        println!("\n{text}");
        if self.write { table::write(&root().join("docs/measurements.md"), command, text) } else { Ok(()) }
    }
}

/// The files of the image's layers, lowest first.
fn layers(layout: &Path) -> Result<Vec<PathBuf>> {
    Ok(image::layers(layout)?
        .into_iter()
        .map(|(digest, _)| layout.join("blobs").join(digest.replace(':', "/")))
        .collect())
}

/// `bench scan`: wall time, processor time and peak memory of `pratique scan` beside those of the floor.
pub(crate) fn scan(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let layout = options.subject.layout()?;
    let folder = folder();
    if options.build {
        Run::cargo(&["build", "--release", "-p", "pratique"]).wait()?;
        Run::cargo(&["build", "--release", "-p", "engine", "--example", "floor"]).wait()?;
    }
    if options.subject == Subject::Huge {
        return scan_huge(&options, &layout, &folder);
    }
    let registry = Registry::start(&folder)?;
    registry.push(&layout, "bench:1")?;
    let contenders = contenders(&registry, &folder, options.syft)?;
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); contenders.len()];
    for round in 0..=options.rounds {
        for (contender, of) in contenders.iter().zip(&mut measured) {
            let output = folder.join(format!("output-{}", contender.name));
            let found = measure::run(&contender.program, &contender.arguments, &contender.environment, &output)?;
            check_output(contender, &output, &folder.join("floor"))?;
            // The first round only warms the page cache.
            if round > 0 {
                println!("round {round}: {} {found}", contender.name);
                of.push(found);
            }
        }
    }
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let command = options.subject.command();
    let text = table::render(command, &image::describe(&layout)?, &names, &measured)?;
    options.tell(command, &text)?;
    if options.syft {
        let output = |name: &str| folder.join(format!("output-{name}"));
        let text = syft::compare(&output(SYFT), &output(PACKAGES))?;
        options.tell("scan --syft", &text)?;
    }
    Ok(())
}

const ALL: &str = "pratique scan";
const PACKAGES: &str = "pratique scan --scanners packages";
const SYFT: &str = "syft";

/// Anonymous memory and temporary files that a scan of any image may take.
const ANONYMOUS_MAX: u64 = 256 << 20;
const SPOOLED_MAX: u64 = 2 << 30;

/// Scans the huge image from its layout, so that only one copy of it lies on the disk.
fn scan_huge(options: &Options, layout: &Path, folder: &Path) -> Result<()> {
    let pratique = root().join("target/release/pratique");
    let spool = folder.join("spool");
    fs::create_dir_all(&spool)?;
    let temporary: &'static str = spool.display().to_string().leak();
    let reference = format!("oci:{}:1", layout.display());
    let intel = folder.join("intel").display().to_string();
    let mut names = Vec::new();
    let mut measured = Vec::new();
    for (name, more) in [(ALL, &[][..]), (PACKAGES, &["--scanners", "packages"][..])] {
        let fixed = ["scan", &reference, "--format", "json", "--no-cache", "--intel", &intel];
        let arguments: Vec<String> = fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        let output = folder.join("output");
        let mut of = Vec::new();
        for round in 1..=options.rounds {
            let found = measure::run(&pratique, &arguments, &[("TMPDIR", temporary)], &output)?;
            println!("round {round}: {name} {found}");
            if !fs::read_to_string(&output)?.contains(huge::ARTIFACT) {
                bail!("{name} did not find {}", huge::ARTIFACT);
            }
            if found.anonymous > ANONYMOUS_MAX || found.spooled > SPOOLED_MAX {
                bail!("{name} took more than it may: {found}");
            }
            if fs::read_dir(&spool)?.next().is_some() {
                bail!("{name} left files in {temporary}");
            }
            of.push(found);
        }
        names.push(name);
        measured.push(of);
    }
    let command = options.subject.command();
    let text = table::render(command, &image::describe(layout)?, &names, &measured)?;
    options.tell(command, &text)
}

/// The floor first: the others are compared with it.
fn contenders(registry: &Registry, folder: &Path, with_syft: bool) -> Result<Vec<Contender>> {
    let release = root().join("target/release");
    let pratique = release.join("pratique");
    let intel = intelligence(&pratique, folder)?;
    let reference = format!("{}/bench:1", registry.host());
    let scan = |more: &[&str]| -> Vec<String> {
        let fixed = ["scan", "--plain-http", &reference, "--format", "json", "--no-cache", "--intel", &intel];
        fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    };
    let floor = vec![registry.host().to_owned(), "bench".to_owned(), "1".to_owned()];
    let contender = |name, program: &Path, arguments| Contender {
        name,
        program: program.to_owned(),
        arguments,
        environment: Vec::new(),
    };
    let mut contenders = vec![
        contender("floor", &release.join("examples/floor"), floor),
        contender(ALL, &pratique, scan(&[])),
        contender(PACKAGES, &pratique, scan(&["--scanners", "packages"])),
    ];
    if with_syft {
        let arguments = vec!["scan".to_owned(), format!("registry:{reference}"), "-o".to_owned(), "json".to_owned()];
        contenders.push(Contender {
            name: SYFT,
            program: syft::program(folder)?,
            arguments,
            environment: vec![
                ("SYFT_REGISTRY_INSECURE_USE_HTTP", "true"),
                ("SYFT_CHECK_FOR_APP_UPDATE", "false"),
                ("HOME", "/nonexistent"),
            ],
        });
    }
    Ok(contenders)
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
    if contender.name == SYFT {
        // Its layers are not in its report; its list is compared with ours at the end.
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
