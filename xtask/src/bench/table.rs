//! Measurements as a Markdown table, and its place in a document.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};

use super::measure::Measured;

/// What stands before and after the figures of one benchmark in a document.
fn markers(bench: &str) -> (String, String) {
    (
        format!("<!-- bench {bench}: written by `cargo xtask bench {bench} --write` -->"),
        format!("<!-- end of bench {bench} -->"),
    )
}

/// Medians, spread and the ratio to the first row.
pub(super) fn render(image: &str, names: &[&str], measured: &[Vec<Measured>]) -> Result<String> {
    let rounds = measured.first().map_or(0, Vec::len);
    let floor = Figures::of(measured.first().context("nothing was measured")?)?;
    let mut text = format!(
        "`cargo xtask bench scan` on {} ({image}; medians of {rounds} rounds in turns, registry on the same machine):\n\n",
        machine()
    );
    text.push_str(
        "| | wall s | min–max | processor s | peak MiB | of it anonymous | wall ÷ floor | processor ÷ floor |\n",
    );
    text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for (name, of) in names.iter().zip(measured) {
        let found = Figures::of(of)?;
        text.push_str(&format!(
            "| {name} | {:.2} | {:.2}–{:.2} | {:.2} | {} | {} | {:.2} | {:.2} |\n",
            found.wall,
            found.wall_min,
            found.wall_max,
            found.cpu,
            found.peak >> 20,
            found.anonymous >> 20,
            found.wall / floor.wall,
            found.cpu / floor.cpu,
        ));
    }
    Ok(text)
}

struct Figures {
    wall: f64,
    wall_min: f64,
    wall_max: f64,
    cpu: f64,
    peak: u64,
    anonymous: u64,
}

impl Figures {
    fn of(measured: &[Measured]) -> Result<Self> {
        let sorted = |of: fn(&Measured) -> f64| {
            let mut values: Vec<f64> = measured.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (walls, cpus) = (sorted(|m| m.wall), sorted(|m| m.cpu));
        let middle = measured.len() / 2;
        let (Some(wall), Some(cpu)) = (walls.get(middle), cpus.get(middle)) else { bail!("nothing was measured") };
        Ok(Figures {
            wall: *wall,
            wall_min: walls[0],
            wall_max: walls[walls.len() - 1],
            cpu: *cpu,
            peak: measured.iter().map(|m| m.peak).max().unwrap_or(0),
            anonymous: measured.iter().map(|m| m.anonymous).max().unwrap_or(0),
        })
    }
}

/// `4 cores of Intel(R) …`.
pub(super) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    format!("{cores} cores of {}", model.map_or("an unnamed processor", |(_, name)| name))
}

/// Puts the text between the markers of the document; adds them, or the document, where they are missing.
pub(super) fn write(path: &Path, bench: &str, text: &str) -> Result<()> {
    let document = fs::read_to_string(path).unwrap_or_else(|_| "# Measurements\n".to_owned());
    fs::write(path, placed(&document, bench, text)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

fn placed(document: &str, bench: &str, text: &str) -> Result<String> {
    let (begin, end) = markers(bench);
    let body = format!("{begin}\n{text}{end}");
    let Some((before, rest)) = document.split_once(&begin) else {
        return Ok(format!("{}\n\n{body}\n", document.trim_end()));
    };
    let (_, after) = rest.split_once(&end).context("the document has no end marker")?;
    Ok(format!("{before}{body}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(wall: f64) -> Measured {
        Measured { wall, cpu: wall * 2.0, peak: 64 << 20, anonymous: 32 << 20 }
    }

    #[test]
    fn rows_are_compared_with_the_first() {
        let floor = [2.0, 1.0, 4.0].map(measured).to_vec();
        let scan = [3.0, 3.0, 3.0].map(measured).to_vec();
        let text = render("2 layers, 1 MB compressed", &["floor", "scan"], &[floor, scan]).expect("a table");
        assert!(text.contains("| floor | 2.00 | 1.00–4.00 | 4.00 | 64 | 32 | 1.00 | 1.00 |"), "{text}");
        assert!(text.contains("| scan | 3.00 | 3.00–3.00 | 6.00 | 64 | 32 | 1.50 | 1.50 |"), "{text}");
    }

    #[test]
    fn the_table_replaces_the_one_before() {
        let first = placed("# Measurements\n", "scan", "one\n").expect("a document");
        let (begin, end) = markers("scan");
        assert_eq!(first, format!("# Measurements\n\n{begin}\none\n{end}\n"));
        let second = placed(&format!("{first}\nMore.\n"), "scan", "two\n").expect("a document");
        assert_eq!(second, format!("# Measurements\n\n{begin}\ntwo\n{end}\n\nMore.\n"));
    }
}
