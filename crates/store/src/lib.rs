//! Every durable byte: tables, blobs, the leased queue.
//!
//! Not here: version comparison, judgement, sockets. Only this crate knows SQL.
//!
//! Invariants: a write on behalf of a job carries its [`Lease`] and is refused (and counted) when the lease
//! is stale; a read of images, findings or issues takes a [`Scope`]; one call is one transaction.

mod error;
pub mod traits;

pub use error::{Error, ErrorKind, Result};
pub use traits::{Store, types};
