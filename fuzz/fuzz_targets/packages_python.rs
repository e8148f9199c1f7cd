//! Package files: `lib/x.dist-info/METADATA`, `lib/x.egg-info`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["lib/x.dist-info/METADATA", "lib/x.egg-info"], data));
