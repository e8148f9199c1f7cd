//! Package files: `usr/lib/luarocks/rocks-5.1/x/1-1/x-1-1.rockspec`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["usr/lib/luarocks/rocks-5.1/x/1-1/x-1-1.rockspec"], data));
