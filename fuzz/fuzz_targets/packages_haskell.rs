//! Package files: `app/stack.yaml.lock`, `app/cabal.project.freeze`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["app/stack.yaml.lock", "app/cabal.project.freeze"], data));
