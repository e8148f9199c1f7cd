//! Intelligence: what the world knows about packages and files, and what it means for one of them.
//!
//! Documents go into a [`Compiler`], which makes one immutable [`Segment`] per feed. An [`Intelligence`] is a set of
//! opened segments; it answers with three-valued matches that carry their reasons.
//!
//! Not here: fetching, unpacking archives, files, the clock. Documents come in as bytes, time as a parameter.
//!
//! Invariants: a version that cannot be compared never gives "not affected"; a byte that was changed or cut off
//! never gives a result; equal documents give equal segments, byte for byte.

mod changes;
mod compile;
mod cvss;
mod error;
mod explain;
mod feed;
mod gaps;
mod intelligence;
mod known;
mod matcher;
mod matching;
mod meta;
mod name;
mod quick;
pub mod range;
mod record;
mod segment;
pub mod version;

pub use changes::{Changes, changes};
pub use compile::{CompiledFeed, Compiler, Intake};
pub use error::{Error, ErrorKind, Result};
pub use explain::{Explanation, Lookup};
pub use feed::updateinfo_of;
pub use intelligence::Intelligence;
pub use matcher::Matcher;
pub use meta::{FeedId, FeedKind, FeedMeta};
pub use name::lookup_keys;
pub use segment::Segment;
