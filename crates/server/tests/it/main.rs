//! The server over real sockets: one binary, one module per subject.

mod access;
mod agents;
mod api;
mod house;
mod live;
mod pages;
mod registries;
