//! Package files: `lib/R/library/x/DESCRIPTION`, `app/renv.lock`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["lib/R/library/x/DESCRIPTION", "app/renv.lock"], data));
