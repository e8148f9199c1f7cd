//! One child process: how long it took, how much processor time, how much memory.
//!
//! Times come from `/proc/PID/stat` while the child is dead but not yet reaped, so that they are whole; memory is the
//! peak that the kernel keeps (`VmHWM`), and the largest anonymous part seen by looking every few milliseconds.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the child is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// Ticks per second in `/proc/PID/stat`; fixed at 100 on Linux (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// From start to end, in seconds.
    pub(super) wall: f64,
    /// In user and kernel mode, in seconds.
    pub(super) cpu: f64,
    /// Peak resident memory, in bytes.
    pub(super) peak: u64,
    /// Peak anonymous memory, in bytes.
    pub(super) anonymous: u64,
    /// Peak size of its open files that have no name any more, in bytes.
    pub(super) spooled: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes >> 20;
        write!(
            f,
            "{:.2} s, {:.2} s of processor time, {} MiB, {} MiB anonymous, {} MiB of temporary files",
            self.wall,
            self.cpu,
            mebibytes(self.peak),
            mebibytes(self.anonymous),
            mebibytes(self.spooled)
        )
    }
}

/// Runs a program with its standard output going to a file.
///
/// # Errors
/// When it cannot be started, or does not end with 0.
pub(super) fn run(
    program: &Path,
    arguments: &[String],
    environment: &[(&str, &str)],
    output: &Path,
) -> Result<Measured> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(File::create(output)?)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let process = Path::new("/proc").join(child.id().to_string());
    let (mut peak, mut anonymous, mut spooled) = (0, 0, 0);
    let (wall, cpu) = loop {
        let stat = fs::read_to_string(process.join("stat"))?;
        let (state, cpu) = state_and_cpu(&stat).context("/proc/PID/stat has an unknown shape")?;
        if state == 'Z' {
            break (started.elapsed().as_secs_f64(), cpu);
        }
        let status = fs::read_to_string(process.join("status"))?;
        peak = peak.max(bytes_of(&status, "VmHWM:").unwrap_or(0));
        anonymous = anonymous.max(bytes_of(&status, "RssAnon:").unwrap_or(0));
        spooled = spooled.max(unnamed_bytes(&process.join("fd")));
        thread::sleep(PAUSE);
    };
    let ended = child.wait()?;
    if !ended.success() {
        bail!("{} {} ended with {ended}", program.display(), arguments.join(" "));
    }
    Ok(Measured { wall, cpu, peak, anonymous, spooled })
}

/// The size of the open files of a process that were unlinked. A file that is closed meanwhile does not count.
fn unnamed_bytes(descriptors: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(descriptors) else { return 0 };
    let unnamed = entries.flatten().map(|entry| entry.path()).filter(|path| {
        fs::read_link(path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
    });
    unnamed.filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum()
}

/// The third field, and the sum of the fourteenth and fifteenth in seconds (proc(5)).
fn state_and_cpu(stat: &str) -> Option<(char, f64)> {
    let after_name = stat.rsplit_once(") ")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((fields.first()?.chars().next()?, ticks / TICKS_PER_SECOND))
}

fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_figures_are_read() {
        let stat = "42 (a) b) R 1 42 42 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 1 0 100 0 0";
        assert_eq!(state_and_cpu(stat), Some(('R', 1.75)));
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nRssAnon:\t     512 kB\n";
        assert_eq!(bytes_of(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(bytes_of(status, "RssFile:"), None);
    }

    #[test]
    fn a_child_is_measured() {
        let output = std::env::temp_dir().join(format!("xtask-measure-{}", std::process::id()));
        let command = ["-c".to_owned(), "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done".to_owned()];
        let found = run(Path::new("/bin/sh"), &command, &[], &output).expect("it runs");
        assert!(found.wall > 0.0 && found.peak > 0, "{found:?}");
        assert_eq!(fs::read_to_string(&output).expect("its output"), "done\n");
        fs::remove_file(&output).expect("its output");
        let failing = ["-c".to_owned(), "exit 3".to_owned()];
        assert!(run(Path::new("/bin/sh"), &failing, &[], Path::new("/dev/null")).is_err());
    }
}
