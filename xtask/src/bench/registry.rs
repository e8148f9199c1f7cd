//! Debian's `docker-registry` on a free loopback port.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// A registry that ends with this value.
pub(super) struct Registry {
    child: Child,
    host: String,
}

impl Registry {
    /// Starts a registry that keeps its blobs below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let storage = folder.join("registry");
        let configuration = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            storage.display()
        );
        fs::write(&configuration, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Registry { child, host: address.to_string() };
        for _ in 0..100 {
            if TcpStream::connect(address).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("docker-registry does not answer at {address}")
    }

    /// `host:port`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Copies the one image of an OCI layout to `name`.
    pub(super) fn push(&self, layout: &Path, name: &str) -> Result<()> {
        let from = format!("oci:{}:1", layout.display());
        let to = format!("docker://{}/{name}", self.host);
        Run::new("skopeo", &["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to]).wait()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A registry that ended by itself is no concern any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
