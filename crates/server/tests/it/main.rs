//! The server over real sockets: one binary, one module per subject.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

mod access;
mod agents;
mod api;
mod bases;
mod house;
mod live;
mod pages;
mod registries;
mod sboms;
