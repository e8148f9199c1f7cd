//! One file per command.

pub(crate) mod agent;
pub(crate) mod explain;
pub(crate) mod feeds;
pub(crate) mod policy;
pub(crate) mod registry;
pub(crate) mod scan;
pub(crate) mod serve;
