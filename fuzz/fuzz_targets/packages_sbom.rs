//! Package files: `app/x.cdx.json`, `app/x.spdx.json`, `app/x.syft.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/x.cdx.json", "app/x.spdx.json", "app/x.syft.json"], data));
