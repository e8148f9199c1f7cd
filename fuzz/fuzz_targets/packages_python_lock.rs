//! Package files: `app/requirements.txt`, `app/Pipfile.lock`, `app/poetry.lock`, `app/pdm.lock`, `app/uv.lock`, `app/pylock.toml`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz::package_file(
    &["app/requirements.txt", "app/Pipfile.lock", "app/poetry.lock", "app/pdm.lock", "app/uv.lock", "app/pylock.toml"],
    data
));
