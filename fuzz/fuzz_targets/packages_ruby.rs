//! Package files: `lib/specifications/x.gemspec`, `app/Gemfile.lock`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["lib/specifications/x.gemspec", "app/Gemfile.lock"], data));
