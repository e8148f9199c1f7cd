//! The ways in over HTTP: the API, the web page, the agent hub, health probes and metrics.
//!
//! Not here: judgement, SQL, outbound sockets. Handlers translate between requests and calls of `engine` and `store`.
//!
//! Invariants: every route but the login, the set-up link, the assets and the health probes names the role that it
//! needs, in the table that also makes the router (`routes`); text that comes from an image is escaped wherever it
//! is shown; a token's text is never stored, only its hash.

mod agent_groups;
mod api;
mod auth;
mod base;
mod error;
mod facts;
mod hub;
mod limits;
mod page;
mod preview;
mod probes;
mod problem;
mod registries;
mod respond;
mod routes;
mod serve;
mod state;
mod tls;

pub use api::openapi::document as openapi_document;
pub use error::{Error, ErrorKind, Result};
pub use routes::{Route, documented_routes};
pub use serve::{Server, ServerOptions};
pub use tls::TlsFiles;
