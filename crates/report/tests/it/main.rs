//! Integration tests of `report`: golden reports, the agent protocol, the documentation of the API.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod agent;
mod formats;
mod golden;
mod openapi;
