//! Package files: `lib/apk/db/installed`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["lib/apk/db/installed"], data));
