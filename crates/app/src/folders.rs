//! Where the program keeps things of a user, after the XDG base directory specification.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// Compiled intelligence: `$XDG_DATA_HOME/pratique/intel`.
pub(crate) fn intelligence(given: Option<PathBuf>) -> Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder),
        None => Ok(base("XDG_DATA_HOME", ".local/share")
            .context("say where the intelligence lies with --intel DIR")?
            .join("intel")),
    }
}

/// Facts of layers that were read before: `$XDG_CACHE_HOME/pratique/facts`.
pub(crate) fn facts_cache() -> Result<PathBuf> {
    Ok(base("XDG_CACHE_HOME", ".cache")?.join("facts"))
}

fn base(variable: &str, below_home: &str) -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)));
    Ok(folder.with_context(|| format!("neither {variable} nor HOME is set"))?.join("pratique"))
}
