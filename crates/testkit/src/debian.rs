//! Debian's own registry (`docker-registry`), started on a free loopback port in a temporary folder.

use crate::image::{BuiltImage, BuiltIndex, sha256};
use crate::layout::{Stored, write_oci_layout};
use crate::net::{free_port, has_program, wait_until};
use model::Digest;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running registry. Ends when dropped; its folder goes with it.
pub struct DebianRegistry {
    child: Child,
    folder: TempDir,
    port: u16,
    login: Option<(String, String)>,
}

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// The `User-Agent`.
    pub user_agent: String,
}

impl DebianRegistry {
    /// Starts one; everyone may read and write. `None` (said visibly) when a program that it needs is absent.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start() -> Option<Self> {
        Self::launch(None)
    }

    /// Starts one that asks for a login by Basic.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start_with_login(username: &str, password: &str) -> Option<Self> {
        Self::launch(Some((username.to_owned(), password.to_owned())))
    }

    fn launch(login: Option<(String, String)>) -> Option<Self> {
        let needed = [("docker-registry", "docker-registry"), ("skopeo", "skopeo"), ("htpasswd", "apache2-utils")];
        if !needed.iter().all(|(program, package)| has_program(program, package)) {
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        // Another process may take the free port before the registry does.
        for _ in 0..5 {
            let port = free_port();
            write_config(folder.path(), port, login.as_ref());
            let mut child = spawn(folder.path());
            let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            if wait_until(Duration::from_secs(20), || listens() || matches!(child.try_wait(), Ok(Some(_)))) && listens()
            {
                return Some(Self { child, folder, port, login });
            }
            end(&mut child);
        }
        let log = fs::read_to_string(folder.path().join("errors.log")).unwrap_or_default();
        panic!("docker-registry does not start: {log}");
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Ends the process, as a crash would; [`Self::restart`] brings it back with the same images.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        end(&mut self.child);
        self.child = spawn(self.folder.path());
        let port = self.port;
        let up = wait_until(Duration::from_secs(20), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        assert!(up, "docker-registry does not start again");
    }

    /// Pushes an image under `repository:tag`, moving the tag if it exists.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push(&self, repository: &str, tag: &str, image: &BuiltImage) {
        self.push_stored(repository, tag, Stored::Image(image));
    }

    /// Pushes an index with every image under `repository:tag`.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push_index(&self, repository: &str, tag: &str, index: &BuiltIndex) {
        self.push_stored(repository, tag, Stored::Index(index));
    }

    fn push_stored(&self, repository: &str, tag: &str, stored: Stored<'_>) {
        let layout = TempDir::new_in(self.folder.path()).expect("a temporary folder can be made");
        write_oci_layout(layout.path(), &[("it", stored)]);
        self.copy(&format!("oci:{}:it", layout.path().display()), repository, tag);
    }

    /// Pushes a `docker save` archive (unpacked or gzip) under `repository:tag`.
    ///
    /// # Panics
    /// When the file cannot be read or skopeo fails.
    pub fn push_docker_archive(&self, file: &Path, repository: &str, tag: &str) {
        // Debian's skopeo does not unpack every gzip archive by itself.
        let bytes = fs::read(file).expect("the archive can be read");
        let plain = TempDir::new_in(self.folder.path()).expect("a temporary folder can be made");
        let path = plain.path().join("image.tar");
        fs::write(&path, crate::layout::unpacked(&bytes.into())).expect("the archive can be written");
        self.copy(&format!("docker-archive:{}", path.display()), repository, tag);
    }

    /// `skopeo copy SOURCE docker://this/repository:tag`, every platform, bytes unchanged where possible.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn copy(&self, source: &str, repository: &str, tag: &str) {
        let target = format!("docker://{}/{repository}:{tag}", self.host());
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]);
        if source.starts_with("oci:") {
            command.arg("--preserve-digests");
        }
        if let Some((username, password)) = &self.login {
            command.arg(format!("--dest-creds={username}:{password}"));
        }
        let output = command.args([source, &target]).output().expect("skopeo can be started");
        assert!(output.status.success(), "skopeo copy {source} {target}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stores a blob, without a login.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        let head = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[], 202);
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let location = lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let location = location.expect("an upload has a location").1.trim();
        let target = location.strip_prefix(&self.url()).unwrap_or(location);
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}digest={digest}");
        self.send("PUT", &target, "application/octet-stream", bytes, 201);
        digest
    }

    /// Stores a manifest under a tag or its digest, without a login; the blobs that it names must be there.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) {
        self.send("PUT", &format!("/v2/{repository}/manifests/{reference}"), media_type, bytes, 201);
    }

    /// Sends one request; the head of the answer.
    fn send(&self, method: &str, target: &str, media_type: &str, body: &[u8], expect: u16) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the registry listens");
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.host(),
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some(expect.to_string().as_str()), "{method} {target}: {answer}");
        answer
    }

    /// Every request so far, in the order of their answers.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn requests(&self) -> Vec<AccessLine> {
        let mut text = String::new();
        let path = self.folder.path().join("access.log");
        File::open(path).expect("the log is there").read_to_string(&mut text).expect("the log is text");
        text.lines().filter_map(access_line).collect()
    }

    /// The number of requests so far; hand it to [`Self::requests_since`] later.
    pub fn mark(&self) -> usize {
        self.requests().len()
    }

    /// The requests after a mark.
    pub fn requests_since(&self, mark: usize) -> Vec<AccessLine> {
        self.requests().split_off(mark)
    }

    /// The folder of its files.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended on its own.
    let _ = child.kill();
    let _ = child.wait();
}

fn spawn(folder: &Path) -> Child {
    let append =
        |name: &str| File::options().create(true).append(true).open(folder.join(name)).expect("the log can be written");
    Command::new("docker-registry")
        .args(["serve", "config.yml"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(append("access.log"))
        .stderr(append("errors.log"))
        .spawn()
        .expect("docker-registry can be started")
}

fn write_config(folder: &Path, port: u16, login: Option<&(String, String)>) {
    let storage = folder.join("storage");
    let mut config = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
         http:\n  addr: 127.0.0.1:{port}\n",
        storage.display()
    );
    if let Some((username, password)) = login {
        let output = Command::new("htpasswd")
            .args(["-Bbn", "-C", "4", username, password])
            .output()
            .expect("htpasswd can be started");
        assert!(output.status.success(), "htpasswd: {}", String::from_utf8_lossy(&output.stderr));
        let file = folder.join("htpasswd");
        fs::write(&file, output.stdout).expect("the password file can be written");
        config.push_str(&format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display()));
    }
    fs::write(folder.join("config.yml"), config).expect("the configuration can be written");
}

/// `ADDRESS - USER [TIME] "METHOD PATH HTTP/1.1" STATUS BYTES "REFERER" "USER AGENT"`.
fn access_line(line: &str) -> Option<AccessLine> {
    let mut quoted = line.split('"');
    quoted.next()?;
    let mut request = quoted.next()?.split(' ');
    let mut numbers = quoted.next()?.split_whitespace();
    quoted.next()?;
    quoted.next()?;
    Some(AccessLine {
        method: request.next()?.to_owned(),
        path: request.next()?.to_owned(),
        status: numbers.next()?.parse().ok()?,
        bytes: numbers.next()?.parse().unwrap_or(0),
        user_agent: quoted.next().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageBuilder, LayerBuilder};

    #[test]
    fn access_lines_are_read() {
        let line =
            r#"127.0.0.1 - - [21/Nov/2026:21:47:00 +0000] "GET /v2/_catalog?n=2 HTTP/1.1" 200 23 "" "pratique/0.1.0""#;
        let expect = AccessLine {
            method: "GET".into(),
            path: "/v2/_catalog?n=2".into(),
            status: 200,
            bytes: 23,
            user_agent: "pratique/0.1.0".into(),
        };
        assert_eq!(access_line(line), Some(expect));
        assert_eq!(access_line("time=\"x\" level=info"), None);
    }

    #[test]
    fn debian_registry_takes_images_unchanged() {
        let Some(registry) = DebianRegistry::start_with_login("ann", "pass word") else { return };
        let image = ImageBuilder::new().layer(LayerBuilder::files(&[("a", "1")]).build()).build();
        let arm =
            ImageBuilder::new().platform("linux/arm64/v8").layer(LayerBuilder::files(&[("b", "1")]).build()).build();
        registry.push("team/app", "1", &image);
        registry.push_index("team/multi", "latest", &BuiltIndex::over(vec![image.clone(), arm]));
        let put = "/v2/team/app/manifests/1";
        assert!(registry.requests().iter().any(|line| line.method == "PUT" && line.path == put && line.status == 201));
        let stored = registry.folder().join("storage/docker/registry/v2/blobs/sha256");
        let hex = image.digest.hex();
        assert!(
            stored.join(&hex[..2]).join(&hex).join("data").is_file(),
            "the manifest is stored under its own digest"
        );
    }
}
