//! The programs that the tests need, and how to get them.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, bail};

use crate::process::Run;

/// A program and the Debian package that it comes from.
struct Program {
    name: &'static str,
    package: &'static str,
}

const TESTS_NEED: [Program; 9] = [
    Program { name: "docker-registry", package: "docker-registry" },
    Program { name: "skopeo", package: "skopeo" },
    Program { name: "umoci", package: "umoci" },
    Program { name: "mmdebstrap", package: "mmdebstrap" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "htpasswd", package: "apache2-utils" },
    Program { name: "rpm", package: "rpm" },
    Program { name: "sqlite3", package: "sqlite3" },
    Program { name: "clamd", package: "clamav-daemon" },
];

/// Makes sure that everything the tests start is installed: installs it with apt-get when this is root, unless
/// `PRATIQUE_NO_INSTALL` is set; else says what to install, and fails.
pub(crate) fn ensure_test_programs() -> Result<()> {
    let missing: Vec<&str> = TESTS_NEED.iter().filter(|p| !is_installed(p.name)).map(|p| p.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let allowed = is_root() && is_installed("apt-get") && env::var_os("PRATIQUE_NO_INSTALL").is_none();
    if !allowed {
        bail!("the tests need programs that are not installed; install them with:\n  sudo apt-get install -y {list}");
    }
    println!("installing {list}");
    Run::new("apt-get", &["update", "-q"]).wait()?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(missing);
    Run::new("apt-get", &arguments).set("DEBIAN_FRONTEND", "noninteractive").wait()
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(name).is_file())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_on_the_search_path() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
    }
}
