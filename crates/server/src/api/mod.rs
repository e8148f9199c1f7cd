//! The API, `/api/v1`: one file per group of routes.
//!
//! Not here: bodies (`report::api`), the door (`auth::guard`), the table of routes (`routes`).

#![expect(unused_qualifications, reason = "the macro that describes a route repeats the names of its parameters")]

pub(crate) mod agents;
pub(crate) mod events;
pub(crate) mod images;
pub(crate) mod intelligence;
pub(crate) mod intents;
pub(crate) mod issues;
pub(crate) mod openapi;
pub(crate) mod operations;
pub(crate) mod paging;
pub(crate) mod registries;
pub(crate) mod rules;
pub(crate) mod sboms;
pub(crate) mod tokens;
