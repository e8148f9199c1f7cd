//! The nouns of Pratique: what every other crate speaks in.
//!
//! Not here: I/O, async, SQL, HTTP, a clock. Time is always a parameter of type [`Timestamp`].
//!
//! Three kinds of data live apart (DESIGN: bytes are read once, judgement is recomputed):
//! * facts about bytes: [`layer`], [`package`], [`observation`], [`gap`], [`inventory`];
//! * knowledge of the world: [`advisory`];
//! * intent: [`policy`], [`exception`], [`extraction`], [`tuning`];
//!
//! and what is recomputed from them: [`finding`] and [`issue`].

pub mod advisory;
pub mod base;
pub mod checksum;
pub mod detector;
pub mod digest;
pub mod discovery;
pub mod ecosystem;
pub mod evidence;
pub mod exception;
pub mod extraction;
pub mod finding;
pub mod gap;
pub mod id;
pub mod inventory;
pub mod issue;
pub mod job;
pub mod layer;
pub mod observation;
pub mod package;
pub mod path;
pub mod policy;
pub mod ports;
pub mod purl;
pub mod purl_parts;
pub mod reader;
pub mod reference;
pub mod registry;
pub mod scope;
pub mod severity;
pub mod software;
pub mod tuning;

pub use advisory::{Match, Verdict};
pub use detector::{Detector, DetectorVersion};
pub use digest::Digest;
pub use ecosystem::{Ecosystem, EcosystemRelease};
pub use evidence::Evidence;
pub use finding::{Finding, FindingKind, FindingStatus};
pub use gap::{Gap, GapReason};
pub use id::Id;
pub use inventory::{ImageInventory, LayerInventory};
pub use issue::{Issue, IssueKey};
/// A point in time, always UTC. Shown and stored as RFC 3339.
pub use jiff::Timestamp;
pub use layer::Layer;
pub use observation::Observation;
pub use package::{Package, PackageFormat, PackageKey};
pub use path::LayerPath;
pub use reader::Reader;
pub use reference::{ImageRef, PinnedImage, Platform};
pub use scope::Scope;
pub use severity::Severity;
