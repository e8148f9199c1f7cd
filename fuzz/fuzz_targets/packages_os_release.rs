//! Package files: `etc/os-release`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["etc/os-release"], data));
