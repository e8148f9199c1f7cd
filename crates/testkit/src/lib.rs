//! Parts for tests: image and package-database builders, a registry that misbehaves on command, Debian's own
//! registry on a free port, and the place of the shared test data.
//!
//! Not here: anything that ships. Every function may panic with a message that says what is missing.
//!
//! Invariants: everything listens on loopback only, on a free port, and ends when its value is dropped; what is
//! built twice from the same parts has the same bytes.

pub mod corpus;
pub mod data;
pub mod debian;
pub mod fault;
pub mod image;
pub mod layout;
pub mod lazy;
pub mod net;
pub mod packages;
pub mod schema;
pub mod tls;
pub mod yara;

pub use debian::DebianRegistry;
pub use fault::{FaultRegistry, Faults, Login};
pub use image::{BuiltImage, BuiltIndex, BuiltLayer, ImageBuilder, LayerBuilder, Packing};
pub use lazy::Cut;
pub use net::{free_port, wait_until};
