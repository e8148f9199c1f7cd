//! Package files: `app/mix.lock`, `app/rebar.lock`, `lib/x/ebin/x.app`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/mix.lock", "app/rebar.lock", "lib/x/ebin/x.app"], data));
