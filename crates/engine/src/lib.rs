//! The conductor: reconcilers that move images from "seen" to "judged".
//!
//! Here the pure crates meet the edge: [`task`] discovers, resolves, reads, matches and judges; [`worker`] takes
//! leased jobs from a [`workplace`], which is the store itself or, in an agent, the server behind HTTPS;
//! [`single`] reads one image for the command line; [`source`] opens images wherever they lie.
//!
//! Not here: SQL, sockets, parsing, comparison, judgement. The only clock of the program is [`clock`].
//!
//! Invariant: every task is idempotent and takes no input but the store's state, so that the first run and the
//! recovery after a crash are one code path.

pub mod clock;
mod error;
pub mod event;
pub mod feeds;
pub mod intelligence;
pub mod lazy;
pub mod matching;
pub mod packs;
pub mod rules;
pub mod selection;
pub mod service;
pub mod single;
pub mod source;
pub mod task;
pub mod worker;
pub mod workplace;

pub use error::{Error, ErrorKind, Result};
