//! Layer bytes → facts: one bounded, deterministic pass per layer, and the squash of layers into an image.
//!
//! Not here: judgement, versions, networks, files on disk, clocks. Bad bytes are never an error and never
//! "clean": they become a [`model::Gap`].
//!
//! Invariant: equal bytes, detectors and limits give equal facts; memory is bounded by [`Limits`] and by a
//! [`MemoryBudget`] that all readers share.

mod accounts;
mod analyzer;
pub mod archive;
pub mod decompress;
mod detectors;
mod error;
pub mod lazy;
mod limits;
pub mod malware;
mod memory;
mod nested;
pub mod packages;
mod read;
pub mod sbom;
pub mod secrets;
mod sink;
mod squash;
mod tar;
mod zip_directory;

pub use analyzer::{Analyzer, FileEntry, FileForm, FileView, Unread, Want};
pub use detectors::{CataloguedRule, DetectorOptions, Detectors};
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use memory::{HELD_BYTES_MAX, LAYER_BYTES, MemoryBudget, Room};
pub use read::{LayerReading, LayerRequest, read_layer};
pub use sink::Sink;
pub use squash::{SquashInput, squash};
