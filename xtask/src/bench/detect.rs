//! `bench detect`: what each detector costs, beside the floor and beside a public search program on the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::image::Kind;
use super::{Subject, folder, image, layers, measure, table};
use crate::machine;
use crate::process::{Run, root};

/// How often the public program searches each file.
const ROUNDS: usize = 3;

/// Measures and prints; with `--write` also into docs/measurements.md. Layers can be given instead of the image's.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (mut write, mut given) = (false, Vec::new());
    for argument in arguments {
        match *argument {
            "--write" => write = true,
            other if !other.starts_with('-') => given.push(PathBuf::from(other)),
            other => bail!("unknown argument: {other}"),
        }
    }
    if !machine::is_installed("rg") {
        bail!("the comparison needs ripgrep: apt-get install -y ripgrep");
    }
    let (name, blobs) = if given.is_empty() {
        let layout = Subject::Real(Kind::App).layout()?;
        (image::describe(&layout)?, layers(&layout)?)
    } else {
        (format!("{} layers given", given.len()), given)
    };
    Run::cargo(&["build", "--release", "-p", "analyze", "--example", "detect"]).wait()?;
    let search = folder().join("detect");
    fs::create_dir_all(&search)?;
    let program = root().join("target/release/examples/detect").display().to_string();
    let mut words = vec![search.display().to_string()];
    words.extend(blobs.iter().map(|blob| blob.display().to_string()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let measured: Value = serde_json::from_slice(&Run::new(&program, &words).output()?)?;
    let ripgrep = [("text", ripgrep(&search, "text")?), ("binary", ripgrep(&search, "binary")?)];
    let text = render(&name, &measured, &ripgrep)?;
    println!("\n{text}");
    if write {
        table::write(&root().join("docs/measurements.md"), "detect", &text)?;
    }
    Ok(())
}

/// Processor seconds that ripgrep takes to count the lines of a file that hold one of the rules' keywords: one thread,
/// the best of some rounds.
fn ripgrep(folder: &Path, file: &str) -> Result<f64> {
    let prefixes = folder.join("prefixes").display().to_string();
    let file = folder.join(file).display().to_string();
    let words = ["-c", "-a", "-j1", "--no-config", "--no-mmap", "-F", "-f", &prefixes, &file].map(str::to_owned);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        best = best.min(measure::run(Path::new("rg"), &words, &[], &folder.join("output"))?.cpu);
    }
    Ok(best)
}

fn render(name: &str, measured: &Value, ripgrep: &[(&str, f64)]) -> Result<String> {
    let passes = measured["passes"].as_array().context("no passes were measured")?;
    let seconds = |pass: &Value| pass["seconds"].as_f64().context("a pass has no time");
    let floor = seconds(passes.first().context("no passes were measured")?)?;
    let walk = seconds(passes.get(1).context("no walk was measured")?)?;
    let mut text = format!(
        "`cargo xtask bench detect` on {} ({name}; bytes in memory, best of {ROUNDS}, times are of the processor; {} secret rules compile in {:.0} ms):\n\n",
        table::machine(),
        measured["rules"],
        1e3 * measured["compile_seconds"].as_f64().unwrap_or(f64::NAN),
    );
    text.push_str("| | processor s | ÷ floor | its own share, s | wall s |\n|---|---:|---:|---:|---:|\n");
    for (at, pass) in passes.iter().enumerate() {
        let took = seconds(pass)?;
        let own = if at > 1 { format!("{:.2}", took - walk) } else { "–".to_owned() };
        let label = pass["name"].as_str().unwrap_or_default();
        let wall = pass["wall"].as_f64().context("a pass has no time")?;
        text.push_str(&format!("| {label} | {took:.2} | {:.2} | {own} | {wall:.2} |\n", took / floor));
    }
    text.push_str("\n| secrets alone | MB | MB/s per core | ripgrep, same keywords, MB/s |\n|---|---:|---:|---:|\n");
    for (of, (_, rg)) in measured["secrets"].as_array().context("secrets were not measured")?.iter().zip(ripgrep) {
        let megabytes = of["bytes"].as_f64().context("no size")? / 1e6;
        let label = of["kind"].as_str().unwrap_or_default();
        text.push_str(&format!(
            "| {label}, {} files | {megabytes:.0} | {:.0} | {:.0} |\n",
            of["files"],
            megabytes / seconds(of)?,
            megabytes / rg
        ));
    }
    let found = measured["found"].as_array().map_or(&[][..], Vec::as_slice);
    text.push_str(&format!("\nPossible secrets of medium confidence or more in these files: {}.\n", found.len()));
    for row in found {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!(
            "* `{}` at `{}` line {}: `{}`\n",
            word("rule"),
            word("path"),
            row["line"],
            word("preview")
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_told_from_the_walk() {
        let pass = |name: &str, seconds: f64| json!({"name": name, "seconds": seconds, "wall": 2.0 * seconds});
        let measured = json!({
            "rules": 3, "compile_seconds": 0.004,
            "passes": [pass("floor", 1.0), pass("walk", 1.25), pass("secrets", 2.0)],
            "secrets": [{"kind": "text", "files": 2, "bytes": 2_000_000, "seconds": 0.01}],
            "found": [{"rule": "r", "path": "a/b", "line": 3, "preview": "ab********"}],
        });
        let text = render("1 layer", &measured, &[("text", 0.02)]).expect("a table");
        assert!(text.contains("| secrets | 2.00 | 2.00 | 0.75 | 4.00 |"), "{text}");
        assert!(text.contains("| text, 2 files | 2 | 200 | 100 |"), "{text}");
        assert!(text.contains("* `r` at `a/b` line 3"), "{text}");
    }
}
