//! Every durable byte: tables, blobs, the leased queue.
//!
//! Not here: version comparison, judgement, sockets. Only this crate knows SQL.
//!
//! Invariants: a write on behalf of a job carries its [`model::job::Lease`] and is refused (and counted) when the
//! lease is stale; a read of images, findings or issues takes a [`model::Scope`]; one call is one transaction.

mod durable;
mod error;
pub mod fact_cache;
pub mod intel_folder;
pub mod intel_pack;
mod key;
mod mapped;
mod packed;
mod spool;
mod sqlite;
pub mod traits;

pub use error::{Error, ErrorKind, Result};
pub use key::MasterKey;
pub use mapped::Mapped;
pub use spool::DiskSpool;
pub use sqlite::SqliteStore;
pub use traits::{Store, types};
