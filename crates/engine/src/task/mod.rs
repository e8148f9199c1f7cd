//! One file per verb: what is done, whoever does it.

pub mod discover;
pub mod evaluate;
pub mod import;
pub mod plan;
pub mod resolve;
pub mod scan;
pub mod schedule;
