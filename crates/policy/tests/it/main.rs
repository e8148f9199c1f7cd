//! Integration tests of `policy`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod build;
mod document;
mod findings;
mod gate;
mod judge;
mod malware;
mod transition;
mod tuning;
