//! Tables of contents of layers that can be read in part: eStargz, zstd:chunked, SOCI.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::lazy(data));
