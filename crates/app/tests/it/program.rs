//! The program under test: one-shot commands, and a server that is started, asked, killed and started again.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The administrator's token of every test server.
pub const TOKEN: &str = "test-administrator-token-0123456789";

/// The program, with nothing of this machine's user in it.
pub fn pratique(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
    command.env("HOME", home).env("XDG_DATA_HOME", home.join("data")).env("XDG_CACHE_HOME", home.join("cache"));
    for name in
        ["PRATIQUE_INTEL", "PRATIQUE_TOKEN", "PRATIQUE_SERVER", "PRATIQUE_DATA", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"]
    {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

/// Runs a command to its end.
pub fn run(home: &Path, arguments: &[&str]) -> Output {
    pratique(home).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// Runs a command that must end with 0, and gives its standard output.
pub fn run_ok(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The exit code of a command.
pub fn exit_code(home: &Path, arguments: &[&str]) -> i32 {
    run(home, arguments).status.code().expect("not killed")
}

/// A running server or agent; killed when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts a long-running command and waits for a line of its standard output that begins with `sign`.
    pub fn start(mut command: Command, sign: &str) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = loop {
            let line = lines.next().expect("the program ended early").expect("readable output");
            if line.starts_with(sign) {
                break line;
            }
        };
        // Keeps the pipe open, so that later output does not end the program.
        std::thread::spawn(move || lines.for_each(drop));
        (Self { child }, line)
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server with its folder, and a client of its API.
pub struct Server {
    process: Running,
    pub home: PathBuf,
    pub base: String,
    client: reqwest::Client,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    /// Starts a server with more arguments.
    pub fn start_with(home: &Path, more: &[&str]) -> Self {
        remote::install_crypto();
        let (process, base) = spawn(home, "127.0.0.1:0", more);
        Self { process, home: home.to_owned(), base, client: reqwest::Client::new() }
    }

    /// Kills the server and starts it again over the same data, on the same port.
    pub fn kill_and_restart(&mut self, more: &[&str]) {
        self.process.kill();
        let listen = self.base.trim_start_matches("http://").to_owned();
        self.process = spawn(&self.home, &listen, more).0;
    }

    /// Where its data lies.
    pub fn data(&self) -> PathBuf {
        self.home.join("server")
    }

    /// Where its intelligence lies.
    pub fn intel(&self) -> String {
        self.data().join("intel").to_str().expect("UTF-8").to_owned()
    }

    /// Asks the API; panics for any status that is no success.
    pub async fn get(&self, path: &str) -> Value {
        let response =
            self.client.get(format!("{}/api/v1{path}", self.base)).bearer_auth(TOKEN).send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success() || status.as_u16() == 300, "GET {path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Every item of a list, over all pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut out = Vec::new();
        let mut cursor = String::new();
        let joiner = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{joiner}limit=200{cursor}")).await;
            out.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent(next)),
                None => return out,
            }
        }
    }

    /// Sends a body; gives status and answer.
    pub async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(TOKEN).json(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Adds a registry and gives its number.
    pub async fn add_registry(&self, body: &Value) -> i64 {
        let (status, answer) = self.send(reqwest::Method::POST, "/registries", body).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_i64().expect("a number")
    }

    /// Waits until a registry was discovered and everything wanted was read and judged.
    pub async fn settled(&self, registry: i64, patience: Duration) {
        let started = Instant::now();
        let mut quiet = 0;
        loop {
            let state = self.get(&format!("/registries/{registry}")).await;
            let live = self.get("/jobs?state=live&limit=1").await;
            let idle = live["items"].as_array().expect("items").is_empty();
            let counts = &state["counts"];
            let number = |name: &str| counts[name].as_u64().unwrap_or_default();
            let waiting = number("pending") + number("scanning") + number("tags_unresolved");
            let discovered = !state["discovered_at"].is_null();
            // Matching and judging follow the last scan within moments: several quiet looks in a row.
            quiet = if idle && waiting == 0 && discovered { quiet + 1 } else { 0 };
            if quiet >= 8 {
                return;
            }
            assert!(started.elapsed() < patience, "not settled: {state} {live}");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Asks again and again until something holds.
    pub async fn until(&self, path: &str, patience: Duration, holds: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let value = self.get(path).await;
            if holds(&value) {
                return value;
            }
            assert!(started.elapsed() < patience, "GET {path} never became what was expected: {value}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Open issues, as the parts of their keys that do not depend on who read: policy, repository, subject and rule.
    pub async fn open_issues(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.all("/issues?state=open").await.iter().map(issue_key).collect();
        keys.sort();
        keys
    }
}

/// The key of an issue without the registry's name.
pub fn issue_key(issue: &Value) -> String {
    let key = issue["key"].as_str().expect("a key");
    let parts: Vec<&str> = key.split('|').collect();
    assert_eq!(parts.len(), 5, "{key}");
    format!("{} {} {} {}", parts[0], parts[2], parts[3], parts[4])
}

fn spawn(home: &Path, listen: &str, more: &[&str]) -> (Running, String) {
    let data = home.join("server");
    let mut command = pratique(home);
    command.args(["serve", "--data", data.to_str().expect("UTF-8"), "--listen", listen]).args(more);
    command.env("PRATIQUE_ADMIN_TOKEN", TOKEN);
    let (process, line) = Running::start(command, "listening on ");
    (process, line.trim_start_matches("listening on ").trim().to_owned())
}

/// Percent-encodes a query value.
fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
