//! The integration tests of `intel`.
#![cfg(test)]

mod acceptance;
mod bad_input;
mod golden;
mod matching;
mod segments;
mod support;
mod versions;
