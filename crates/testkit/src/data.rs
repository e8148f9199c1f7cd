//! Where the shared test data is: `$PRATIQUE_TEST_DATA`, else `../shared/data` beside the repository.

use crate::net::say;
use std::path::PathBuf;

/// The folder of the shared data. Says visibly that a test is skipped when it is absent.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PRATIQUE_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return folder.canonicalize().ok();
    }
    say(&format!("SKIPPED: no shared test data at {} (set PRATIQUE_TEST_DATA)", folder.display()));
    None
}

/// One file or folder of the shared data, such as `images/docker-save-alpine-3.10.2.tar.gz`.
pub fn path(relative: &str) -> Option<PathBuf> {
    let path = folder()?.join(relative);
    if path.exists() {
        return Some(path);
    }
    say(&format!("SKIPPED: the shared test data has no {}", path.display()));
    None
}
