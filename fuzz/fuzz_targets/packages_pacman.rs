//! Package files: `var/lib/pacman/local/x-1-1/desc`, `var/lib/pacman/local/x-1-1/files`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["var/lib/pacman/local/x-1-1/desc", "var/lib/pacman/local/x-1-1/files"],
    data
));
