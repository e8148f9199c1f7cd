//! Exit codes: a contract that pipelines rely on.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing that fails.
    Done,
    /// The program could not do its work.
    Failed,
    /// A policy, `--fail-on` or `--fail-on-gap` says no.
    Refused,
    /// Wrong usage.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::Usage => 64,
        })
    }
}

/// Tells a person what went wrong, on standard error. A usage error found late ends like one found early.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("pratique: {error:#}");
    let usage = error.downcast_ref::<engine::Error>().is_some_and(|e| e.kind == engine::ErrorKind::Usage);
    if usage { Exit::Usage.into() } else { Exit::Failed.into() }
}
