//! Bills of materials: CycloneDX, SPDX and the JSON of syft.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::sbom(data));
