//! Every public form of what Pratique knows: the scan report, the bodies of the HTTP API, and the messages
//! between an agent and its server.
//!
//! Not here: judgement (`policy`), storage, sockets, a clock, a terminal. Everything is a value in and text out,
//! and the same values give the same bytes.

pub mod agent;
pub mod api;
mod format;
pub mod scan;
mod table;
mod text;

pub use scan::{Format, RenderOptions, ScanInput, ScanReport, Statistics, render, render_all};
