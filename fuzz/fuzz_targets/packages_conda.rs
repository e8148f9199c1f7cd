//! Package files: `opt/conda/conda-meta/x.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["opt/conda/conda-meta/x.json"], data));
