//! Package files: `app/node_modules/x/package.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/node_modules/x/package.json"], data));
