//! Package files: `lib/.meta/x/MYMETA.json`, `lib/perllocal.pod`, `app/cpanfile.snapshot`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["lib/.meta/x/MYMETA.json", "lib/perllocal.pod", "app/cpanfile.snapshot"],
    data
));
