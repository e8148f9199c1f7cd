//! Package files: `app/Cargo.lock`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/Cargo.lock"], data));
