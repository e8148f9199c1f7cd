//! Package files: `vendor/composer/installed.json`, `app/composer.lock`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["vendor/composer/installed.json", "app/composer.lock"], data));
