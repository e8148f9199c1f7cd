//! Package files: `app/App.deps.json`, `app/packages.lock.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/App.deps.json", "app/packages.lock.json"], data));
