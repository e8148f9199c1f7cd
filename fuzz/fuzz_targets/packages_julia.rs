//! Package files: `app/Manifest.toml`, `root/.julia/packages/A/abcde/Project.toml`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["app/Manifest.toml", "root/.julia/packages/A/abcde/Project.toml"],
    data
));
