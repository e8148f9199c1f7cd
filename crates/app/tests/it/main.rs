//! End-to-end tests: the program itself, against real parts on this machine's loopback.

#![expect(unreachable_pub, reason = "helpers of one test binary are shared between its modules")]

mod agents;
mod cache;
mod crash;
mod debian_images;
mod demo;
mod feeds;
mod known_bad;
mod lazy;
mod malware;
mod program;
mod registry;
mod rules;
mod sbom;
mod scan;
mod secdb;
mod tuning;
