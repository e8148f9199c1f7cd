//! End-to-end tests: the program itself, against real parts on this machine's loopback.

#![expect(unreachable_pub, reason = "helpers of one test binary are shared between its modules")]

mod agents;
mod crash;
mod debian_images;
mod demo;
mod feeds;
mod program;
mod registry;
mod scan;
mod secdb;
