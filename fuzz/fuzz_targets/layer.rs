//! A layer as it is stored: packing, archive, and what the files in it say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::layer(data));
