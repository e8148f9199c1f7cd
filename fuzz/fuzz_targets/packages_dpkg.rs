//! Package files: `var/lib/dpkg/status`, `var/lib/dpkg/status.d/x`, `var/lib/dpkg/info/x.list`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "var/lib/dpkg/info/x.list"],
    data
));
