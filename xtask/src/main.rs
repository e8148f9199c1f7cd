//! The workspace's own commands: `cargo xtask ci | test | tidy | bless | bench | docs`.
//!
//! Not part of the product. Invariant: every check that a change has to pass is a step of [`ci`], so that a green run
//! here is a green run everywhere.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these commands talk to a person at a terminal")]

mod bench;
mod machine;
mod process;
mod rules;
mod tidy;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::process::Run;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci                    everything a change has to pass: format, lints, tidy, tests, documentation
  test [ARGUMENTS]      the tests, after making sure that the programs they need are installed; arguments go to cargo test
  tidy                  the rules that no other tool checks: layers, sizes, names
  bless                 rewrite the expected results of golden tests, and show what changed
  bench scan [--image app|tools|huge] [--syft] [--write] [--rounds N] [--no-build]
                        measure `pratique scan` against the floor; --write puts the table into docs/measurements.md,
                        --no-build takes the release programs as they are
  bench match [--write] [--no-build]
                        compile 300,000 advisories, open them, match 2,000 and 1,000,000 packages
  bench image [app|tools|huge]
                        make that benchmark's image ahead of time
  bench detect [--write] [LAYER…]
                        measure each detector against the floor, and the secret rules against ripgrep
  quality               judge the labelled rows of fixtures/quality: precision, recall, share of undecided answers
  rules                 write docs/rules.md from the files in rules/
  docs                  build the documentation of every crate, warnings are errors";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["ci"] => ci(),
        ["test", rest @ ..] => test(rest),
        ["tidy"] => tidy(),
        ["bless"] => bless(),
        ["bench", "scan", rest @ ..] => bench::scan(rest),
        ["bench", "match", rest @ ..] => bench::matching(rest),
        ["bench", "detect", rest @ ..] => bench::detect(rest),
        ["bench", "image", rest @ ..] => bench::image(rest),
        ["quality"] => quality(),
        ["rules"] => rules::write(),
        ["docs"] => docs(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown command: {}\n{USAGE}", other.join(" ")),
    }
}

/// One step of [`ci`].
type Step = fn() -> Result<()>;

fn ci() -> Result<()> {
    let steps: [(&str, Step); 5] =
        [("format", format), ("lints", lints), ("tidy", tidy), ("tests", || test(&[])), ("documentation", docs)];
    let mut times = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let started = Instant::now();
        let outcome = step();
        times.push((name, started.elapsed()));
        if let Err(error) = outcome {
            return Err(error.context(format!("{name} failed")));
        }
    }
    println!("\nall steps passed");
    for (name, time) in times {
        println!("{name:>14} {:>8.1} s", time.as_secs_f64());
    }
    Ok(())
}

fn format() -> Result<()> {
    Run::cargo(&["fmt", "--all", "--check"]).wait()
}

fn lints() -> Result<()> {
    Run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).wait()
}

fn tidy() -> Result<()> {
    tidy::run()?;
    rules::check()
}

fn docs() -> Result<()> {
    Run::cargo(&["doc", "--workspace", "--no-deps"]).set("RUSTDOCFLAGS", "-D warnings").wait()
}

/// Runs the whole workspace's tests. What tests print is shown at the end of each test program, because some of it says
/// how much was compared or what was skipped.
fn test(arguments: &[&str]) -> Result<()> {
    machine::ensure_test_programs()?;
    let chosen =
        arguments.iter().any(|a| matches!(*a, "-p" | "--package" | "--workspace") || a.starts_with("--package="));
    let mut full = if chosen { vec!["test"] } else { vec!["test", "--workspace"] };
    full.extend_from_slice(arguments);
    if !arguments.contains(&"--") {
        full.push("--");
    }
    full.push("--show-output");
    Run::cargo(&full).wait()
}

/// The quality gate alone, with its figures. It is one of the tests, so that [`ci`] holds it too.
fn quality() -> Result<()> {
    Run::cargo(&["test", "-p", "intel", "--test", "it", "quality", "--", "--show-output"]).wait()
}

fn bless() -> Result<()> {
    rules::write()?;
    Run::cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
        .set("PRATIQUE_BLESS", "1")
        .set("INSTA_UPDATE", "always")
        .wait()?;
    Run::new("git", &["diff", "--stat"]).wait()
}
