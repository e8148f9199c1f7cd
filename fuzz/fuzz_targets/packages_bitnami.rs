//! Package files: `opt/bitnami/redis/.spdx-redis.spdx`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(&["opt/bitnami/redis/.spdx-redis.spdx"], data));
