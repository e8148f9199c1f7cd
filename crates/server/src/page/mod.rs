//! The web page: server-rendered, usable without scripts; scripts only add live progress and copy buttons.
//!
//! Not here: judgement and storage. Invariants: templates escape every value; a change is a POST with the session's
//! token; "could not look" has its own words and its own colour.

pub(crate) mod activity;
pub(crate) mod agents;
pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod compliance;
pub(crate) mod exceptions;
pub(crate) mod fix;
pub(crate) mod form;
pub(crate) mod frame;
pub(crate) mod gaps;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod intelligence;
pub(crate) mod issue;
pub(crate) mod issues;
pub(crate) mod login;
pub(crate) mod overview;
pub(crate) mod policies;
pub(crate) mod refusal;
pub(crate) mod registries;
pub(crate) mod registry_form;
pub(crate) mod rule_documents;
pub(crate) mod rules;
pub(crate) mod setup;
pub(crate) mod show;
pub(crate) mod tokens;
pub(crate) mod tree;
