//! Package files: `opt/java/release`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["opt/java/release"], data));
