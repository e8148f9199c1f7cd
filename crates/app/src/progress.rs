//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Shows how far long work is.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
}

impl Progress {
    /// Work of `total` steps; `quiet` shows nothing.
    pub(crate) fn new(total: u64, what: &str, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}");
        bar.set_style(style.expect("the template is well-formed").progress_chars("=> "));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, plain: !terminal && !quiet }
    }

    /// One step is done; `line` says which.
    pub(crate) fn step(&self, line: &str) {
        self.bar.inc(1);
        if self.plain {
            anstream::eprintln!("{line}");
        }
    }

    /// The work has now `total` steps, `done` of which are done.
    pub(crate) fn set(&self, done: u64, total: u64, line: &str) {
        let moved = self.bar.position() != done || self.bar.length() != Some(total);
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.plain && moved {
            anstream::eprintln!("{line}");
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
