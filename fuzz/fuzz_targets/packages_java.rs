//! Package files: `app/x-1.0.jar`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/x-1.0.jar"], data));
