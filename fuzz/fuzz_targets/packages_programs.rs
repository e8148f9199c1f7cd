//! Package files: `usr/bin/openssl`, `usr/lib/libpython3.11.so.1.0`, `app/X.dll`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["usr/bin/openssl", "usr/lib/libpython3.11.so.1.0", "app/X.dll"], data));
