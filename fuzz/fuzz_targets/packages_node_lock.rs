//! Package files: `app/package-lock.json`, `app/yarn.lock`, `app/pnpm-lock.yaml`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/package-lock.json", "app/yarn.lock", "app/pnpm-lock.yaml"], data));
