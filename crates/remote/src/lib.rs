//! Every outbound socket of Pratique: registries, feed documents, and an agent's way to its server.
//!
//! Not here: what the bytes mean (only manifests are parsed, because paging and pinning need them), a clock,
//! storage, listening sockets.
//!
//! Invariants: one HTTP client (module `http`) makes every request but those to clamd, so that every body is capped, every redirect is
//! looked at (credentials never follow it to another host), every address passes the guard after name
//! resolution (link-local and cloud-metadata addresses are never connected to), and no credential appears in
//! an error, a log line or a `Debug` text.

pub mod agent;
pub mod api;
mod auth;
pub mod clamd;
pub mod connector;
mod crypto;
pub mod docker_config;
pub mod download;
mod endpoint;
mod error;
mod guard;
mod http;
mod limits;
pub mod oci;
mod retry;

pub use crypto::install_crypto;
pub use endpoint::{Endpoint, IDENTITY_TOKEN_USER, agent_user_agent, server_user_agent};
pub use error::{Error, ErrorKind, Result};
pub use limits::Limits;
