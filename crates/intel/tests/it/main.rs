//! The integration tests of `intel`.
#![cfg(test)]

mod acceptance;
mod bad_input;
mod golden;
mod matching;
mod possible;
mod purls;
mod quality;
mod ranges;
mod segments;
mod support;
mod versions;
