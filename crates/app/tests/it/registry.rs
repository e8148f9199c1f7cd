//! A registry goes in, issues come out: the server against Debian's `docker-registry`.

use crate::program::{Server, run_ok};
use crate::secdb;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use testkit::debian::DebianRegistry;
use testkit::image::{BuiltIndex, ImageBuilder, LayerBuilder, alpine};

const PATIENCE: Duration = Duration::from_secs(120);

/// What every test tolerates: nothing that a package database, a hash list or a repository name can show.
pub fn strict_policies() -> Value {
    json!({ "revision": 0, "policies": [
        { "id": "vulnerable", "name": "Any vulnerability", "kind": "vulnerabilities", "action": "issue", "conditions": { "vulnerabilities": ["CVE-*", "TEST-*"] } },
        { "id": "bad-files", "name": "Any malware", "kind": "malware", "action": "issue" },
        { "id": "secrets", "name": "Any secret", "kind": "secrets", "action": "issue" },
    ]})
}

/// Puts policies in force, whatever revision is stored.
pub async fn put_policies(server: &Server, policies: &Value) {
    let revision = server.get("/policies").await["revision"].clone();
    let mut body = policies.clone();
    body["revision"] = revision;
    let (status, answer) = server.send(Method::PUT, "/policies", &body).await;
    assert_eq!(status, 200, "{answer}");
}

pub fn secdb_folder(version: &str) -> std::path::PathBuf {
    testkit::data::path("feeds/alpine-secdb").expect("secdb beside the images").join(version)
}

pub fn import(server: &Server, from: &Path) {
    run_ok(&server.home, &["feeds", "import", "--from", from.to_str().expect("UTF-8"), "--intel", &server.intel()]);
}

/// Waits until the newest installed generation is judged.
pub async fn judged(server: &Server, evaluations_before: usize) {
    let path = "/evaluations?limit=100";
    server
        .until(path, PATIENCE, |list| {
            let items = list["items"].as_array().expect("items");
            items.len() > evaluations_before && !items[0]["finished_at"].is_null()
        })
        .await;
}

pub async fn evaluations(server: &Server) -> usize {
    server.get("/evaluations?limit=100").await["items"].as_array().expect("items").len()
}

fn docker_registry() -> Option<DebianRegistry> {
    testkit::data::folder()?;
    DebianRegistry::start()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_goes_in_and_issues_come_out() {
    let Some(registry) = docker_registry() else { return };
    let archive = testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz").expect("the archive");
    registry.push_docker_archive(&archive, "team/alpine310", "3.10.2");
    let old = alpine("3.9.6", "x86_64").expect("a root file system").build();
    registry.push("team/alpine39", "stable", &old);
    let members = ["x86_64", "aarch64"].map(|arch| alpine("3.20.3", arch).expect("a root file system").build());
    registry.push_index("team/multi", "3.20", &BuiltIndex::over(members.to_vec()));

    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    put_policies(&server, &strict_policies()).await;
    for version in ["v3.9", "v3.10"] {
        import(&server, &secdb_folder(version));
    }
    let body = json!({ "name": "real", "kind": "docker-v2", "url": registry.host(), "plain_http": true });
    let id = server.add_registry(&body).await;
    server.settled(id, PATIENCE).await;
    let state = server.get(&format!("/registries/{id}")).await;
    assert_eq!(state["status"], "Connected", "{state}");
    assert_eq!(state["counts"]["repositories"], 3);
    assert_eq!(state["counts"]["images"], 4, "an index has one image per platform: {state}");

    issues_are_what_secdb_implies(&server).await;
    let index = server.all(&format!("/registries/{id}/tags?repository=team/multi")).await;
    assert_eq!(index[0]["images"].as_array().map(Vec::len), Some(2), "{index:?}");
    reevaluation_is_silent(&server, &registry).await;
    moved_tag_keeps_its_history(&server, &registry, id, &old.digest.to_string()).await;
}

/// Issues of `team/alpine310`, as rows (package, vulnerability).
async fn issue_rows(server: &Server) -> BTreeSet<(String, String)> {
    let issues = server.all("/issues?state=open&repository=team/alpine310&policy=vulnerable").await;
    issues
        .iter()
        .map(|issue| {
            let finding = &issue["finding"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&finding["package"]["name"]), text(&finding["id"]))
        })
        .collect()
}

async fn issues_are_what_secdb_implies(server: &Server) {
    let documents: Vec<Value> = ["main.json", "community.json"]
        .iter()
        .map(|name| {
            serde_json::from_slice(&std::fs::read(secdb_folder("v3.10").join(name)).expect("secdb")).expect("JSON")
        })
        .collect();
    let images = server.all("/images?repository=team/alpine310").await;
    let digest = images[0]["digest"].as_str().expect("a digest");
    let packages = server.all(&format!("/images/{digest}/packages")).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let installed: Vec<(String, String, String)> = packages
        .iter()
        .map(|p| {
            let origin = p["source"]["name"].as_str().map_or_else(|| text(&p["name"]), str::to_owned);
            (text(&p["name"]), origin, text(&p["version"]))
        })
        .collect();
    let implied = secdb::implied(&documents, &installed);
    let expected: BTreeSet<(String, String)> = implied.into_iter().map(|(package, id, _)| (package, id)).collect();
    assert!(!expected.is_empty());
    assert_eq!(issue_rows(server).await, expected);
}

/// New knowledge opens exactly the issues that it should, old knowledge resolves them, and the registry hears nothing.
async fn reevaluation_is_silent(server: &Server, registry: &DebianRegistry) {
    let before = server.open_issues().await;
    let mark = registry.mark();
    let folder = tempfile::tempdir().expect("a folder");
    let mut document: Value =
        serde_json::from_slice(&std::fs::read(secdb_folder("v3.10").join("main.json")).expect("secdb")).expect("JSON");
    let packages = document["packages"].as_array_mut().expect("packages");
    packages.retain(|p| p["pkg"]["name"] != "alpine-keys");
    packages.push(json!({ "pkg": { "name": "alpine-keys", "secfixes": { "99.0-r0": ["TEST-2026-0001"] } } }));
    std::fs::write(folder.path().join("main.json"), document.to_string()).expect("written");
    let hash = busybox_hash();
    std::fs::write(folder.path().join("bad-hashes.csv"), format!("sha256,name,source\n{hash},Test.Bad.Busybox,test\n"))
        .expect("written");

    let runs = evaluations(server).await;
    import(server, folder.path());
    judged(server, runs).await;
    let mut expected = before.clone();
    expected.push("vulnerable team/alpine310 apk/alpine-keys TEST-2026-0001".to_owned());
    let after = server.open_issues().await;
    let opened: Vec<&String> = after.iter().filter(|key| !before.contains(key)).collect();
    let malware: Vec<&&String> = opened.iter().filter(|key| key.starts_with("bad-files team/alpine310 ")).collect();
    assert_eq!(malware.len(), 1, "one file, one issue: {opened:?}");
    expected.push((**malware[0]).clone());
    expected.sort();
    assert_eq!(after, expected);

    let runs = evaluations(server).await;
    import(server, &secdb_folder("v3.10"));
    judged(server, runs).await;
    let runs = evaluations(server).await;
    run_ok(&server.home, &["feeds", "remove", "hashes-*", "--intel", &server.intel()]);
    judged(server, runs).await;
    assert_eq!(server.open_issues().await, before, "old documents resolve what new ones opened");
    let heard = registry.requests_since(mark);
    assert!(heard.is_empty(), "the registry was asked during re-evaluation: {heard:?}");
}

/// SHA-256 of `bin/busybox` in the layer of the 3.10.2 archive, taken with no part of the program.
fn busybox_hash() -> String {
    use sha2::Digest as _;
    use std::io::Read;
    let file =
        std::fs::File::open(testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz").expect("the archive"))
            .expect("opened");
    #[expect(clippy::disallowed_types, reason = "a test unpacks its own input")]
    let mut outer = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    for entry in outer.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        if !entry.path().expect("a path").to_string_lossy().ends_with("layer.tar") {
            continue;
        }
        let mut layer = Vec::new();
        entry.read_to_end(&mut layer).expect("a layer");
        for file in tar::Archive::new(layer.as_slice()).entries().expect("entries") {
            let mut file = file.expect("an entry");
            if file.path().expect("a path").to_string_lossy() == "bin/busybox" {
                let mut content = Vec::new();
                file.read_to_end(&mut content).expect("content");
                return model::Digest::from_bytes(sha2::Sha256::digest(&content).into()).hex();
            }
        }
    }
    panic!("no busybox in the archive");
}

async fn moved_tag_keeps_its_history(server: &Server, registry: &DebianRegistry, id: i64, old: &str) {
    let newer = alpine("3.16.9", "x86_64").expect("a root file system").build();
    registry.push("team/alpine39", "stable", &newer);
    let (status, _) = server.send(Method::POST, &format!("/registries/{id}/discover"), &json!({})).await;
    assert!((200..300).contains(&status));
    let path = format!("/registries/{id}/tags?repository=team/alpine39&tag=stable");
    let page = server.until(&path, PATIENCE, |page| page["items"][0]["digest"] == newer.digest.to_string()).await;
    let history: Vec<&str> =
        page["items"][0]["history"].as_array().expect("history").iter().filter_map(|h| h["digest"].as_str()).collect();
    assert_eq!(history, [old, &newer.digest.to_string()]);
    assert!(page["items"][0]["history"][1]["to"].is_null());
    assert!(!page["items"][0]["history"][0]["to"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_images_on_one_base_cost_one_read_of_it() {
    let Some(registry) = docker_registry() else { return };
    let base = alpine("3.9.6", "x86_64").expect("a root file system").build();
    let base_layer = base.layers[0].clone();
    for number in 0..30 {
        let top = LayerBuilder::files(&[("srv/number", &format!("{number}\n"))]).build();
        let image = ImageBuilder::new().layer(base_layer.clone()).layer(top).build();
        registry.push(&format!("bulk/app-{number}"), "1", &image);
    }
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    let mark = registry.mark();
    let id = server
        .add_registry(&json!({ "name": "bulk", "kind": "docker-v2", "url": registry.host(), "plain_http": true }))
        .await;
    server.settled(id, PATIENCE).await;
    let state = server.get(&format!("/registries/{id}")).await;
    assert_eq!(state["counts"]["scanned"], 30, "{state}");
    let base_path = format!("/blobs/{}", base_layer.digest);
    let reads =
        registry.requests_since(mark).iter().filter(|r| r.method == "GET" && r.path.ends_with(&base_path)).count();
    assert_eq!(reads, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_needs_the_right_password() {
    if testkit::data::folder().is_none() {
        return;
    }
    let Some(registry) = DebianRegistry::start_with_login("robot", "correct horse") else { return };
    let image = alpine("3.9.6", "x86_64").expect("a root file system").build();
    registry.push("private/app", "1", &image);
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    let body = |name: &str, password: &str| json!({ "name": name, "kind": "docker-v2", "url": registry.host(), "plain_http": true, "username": "robot", "password": password });
    let wrong = server.add_registry(&body("wrong", "battery staple")).await;
    let state = server.until(&format!("/registries/{wrong}"), PATIENCE, |r| r["status"] == "Error").await;
    let reason = state["reason"].as_str().expect("a reason");
    assert!(reason.contains("robot") && !reason.contains("battery staple"), "{reason}");
    let right = server.add_registry(&body("right", "correct horse")).await;
    server.settled(right, PATIENCE).await;
    let state = server.get(&format!("/registries/{right}")).await;
    assert_eq!((&state["status"], &state["counts"]["scanned"]), (&json!("Connected"), &json!(1)), "{state}");
    assert!(!state.to_string().contains("correct horse"), "a password never comes back");
    let database = std::fs::read(server.data().join("pratique.db")).expect("the database");
    let wal = std::fs::read(server.data().join("pratique.db-wal")).unwrap_or_default();
    let leaked = [database, wal].iter().any(|bytes| bytes.windows(13).any(|window| window == b"correct horse"));
    assert!(!leaked, "a password is encrypted at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_scans_take_what_they_name_and_new_tags_are_always_taken() {
    let Some(registry) = docker_registry() else { return };
    let image = |text: &str, created: &str| {
        ImageBuilder::new().layer(LayerBuilder::files(&[("etc/motd", text)]).build()).created(created).build()
    };
    registry.push("app", "latest", &image("latest", "2020-01-01T00:00:00Z"));
    registry.push("app", "old", &image("old", "2020-01-01T00:00:00Z"));
    let yesterday = yesterday();
    registry.push("app", "fresh", &image("fresh", &yesterday));
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    let body = |name: &str, initial: Value| json!({ "name": name, "kind": "docker-v2", "url": registry.host(), "plain_http": true, "initial_scan": initial });
    let latest = server.add_registry(&body("latest", json!({ "mode": "latest_tag" }))).await;
    let recent = server.add_registry(&body("recent", json!({ "mode": "days_modified", "days": 7 }))).await;
    for id in [latest, recent] {
        server.settled(id, PATIENCE).await;
    }
    assert_eq!(taken(&server, latest).await, ["latest"]);
    assert_eq!(taken(&server, recent).await, ["fresh"]);
    registry.push("app", "next", &image("next", "2020-01-01T00:00:00Z"));
    let (status, _) = server.send(Method::POST, &format!("/registries/{latest}/discover"), &json!({})).await;
    assert!((200..300).contains(&status));
    server.until(&format!("/registries/{latest}"), PATIENCE, |r| r["counts"]["scanned"] == 2).await;
    assert_eq!(taken(&server, latest).await, ["latest", "next"]);
}

/// Tags whose images were read.
async fn taken(server: &Server, registry: i64) -> Vec<String> {
    let tags = server.all(&format!("/registries/{registry}/tags?repository=app")).await;
    let read = |tag: &&Value| {
        tag["images"].as_array().is_some_and(|images| images.iter().any(|i| i["state"] == "scanned"))
            && tag["wanted"] == true
    };
    tags.iter().filter(read).map(|tag| tag["tag"].as_str().expect("a tag").to_owned()).collect()
}

fn yesterday() -> String {
    let now = std::process::Command::new("date")
        .args(["-u", "-d", "yesterday", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .expect("date");
    String::from_utf8(now.stdout).expect("UTF-8").trim().to_owned()
}
