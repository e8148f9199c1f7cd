//! The engine with a real store and a registry that misbehaves on demand.

#![expect(unreachable_pub, reason = "helpers of one test binary are shared between its modules")]

mod coverage;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod feeds;
mod hostile;
mod office;
mod reread;
mod time;
