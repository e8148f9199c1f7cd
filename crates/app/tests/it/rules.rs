//! Rules are edited: settings judge stored images again without a request, and a new pattern reads each layer once.

use crate::agents::{join_token, start_agent};
use crate::program::Server;
use crate::registry::{evaluations, judged, put_policies};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::debian::DebianRegistry;
use testkit::image::{BuiltImage, ImageBuilder, LayerBuilder, alpine};

const PATIENCE: Duration = Duration::from_secs(120);

fn policies() -> Value {
    json!({ "revision": 0, "policies": [
        { "id": "secrets", "name": "Any secret", "kind": "secrets", "action": "issue" },
        { "id": "configuration", "name": "Any check", "kind": "misconfigurations", "action": "issue" },
    ]})
}

/// A pattern of the installation, and a value that it finds.
fn own_rule() -> Value {
    let text = "[[rule]]\nid = \"zebra-key\"\ntitle = \"Key of the zebra service\"\nseverity = \"high\"\nconfidence = \"high\"\n\
         keywords = [\"zebra_\"]\npattern = '(?<value>zebra_[0-9a-f]{12})'\nreference = \"https://zebra.example/keys\"\n\
         examples = [[\"zebra_\", \"0c4f19ab77de\"]]\ncounter_examples = [[\"zebra_\", \"crossing\"]]\n";
    json!({ "kind": "secrets", "name": "zebra.toml", "text": text })
}

const ZEBRA: &str = "zebra_0c4f19ab77de";

async fn put_tuning(server: &Server, settings: Value) {
    let mut body = settings;
    body["revision"] = server.get("/rules/tuning").await["revision"].clone();
    let before = evaluations(server).await;
    let (status, answer) = server.send(Method::PUT, "/rules/tuning", &body).await;
    assert_eq!(status, 200, "{answer}");
    judged(server, before).await;
}

async fn put_rules(server: &Server, documents: Value) -> Value {
    let revision = server.get("/rules/extraction").await["revision"].clone();
    let body = json!({ "revision": revision, "documents": documents });
    let (status, answer) = server.send(Method::PUT, "/rules/extraction", &body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Issues that are in `before` and not in `after`, and the other way round.
fn difference(before: &[String], after: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |all: &[String], other: &[String]| all.iter().filter(|key| !other.contains(key)).cloned().collect();
    (without(before, after), without(after, before))
}

/// Two images on one base, one of them with a key that only the installation's own rule knows.
fn images() -> [BuiltImage; 2] {
    let base = alpine("3.9.6", "x86_64").expect("a root file system").build().layers[0].clone();
    let password = ["DATABASE_PASS", "WORD=xK9mQ2vL5nR8wT3z\n"].concat();
    let first = LayerBuilder::files(&[("app/config.env", &password), ("srv/deep/.env", &password)]).build();
    let second = LayerBuilder::files(&[("etc/service.conf", &format!("key = {ZEBRA}\n"))]).build();
    let image = |top| ImageBuilder::new().layer(base.clone()).layer(top).build();
    [image(first), image(second)]
}

async fn filled(registry: &DebianRegistry, home: &std::path::Path) -> (Server, i64) {
    let [first, second] = images();
    registry.push("team/first", "1", &first);
    registry.push("team/second", "1", &second);
    let server = Server::start(home);
    put_policies(&server, &policies()).await;
    let body = json!({ "name": "real", "kind": "docker-v2", "url": registry.host(), "plain_http": true });
    let id = server.add_registry(&body).await;
    server.settled(id, PATIENCE).await;
    (server, id)
}

fn start() -> Option<DebianRegistry> {
    testkit::data::folder()?;
    DebianRegistry::start()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_rules_show_only_the_difference_and_ask_no_registry() {
    let Some(registry) = start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let (server, _) = filled(&registry, home.path()).await;
    let before = server.open_issues().await;
    let mark = registry.mark();

    put_tuning(&server, json!({ "rules": [{ "id": "root-user", "enabled": false }] })).await;
    let (gone, new) = difference(&before, &server.open_issues().await);
    assert_eq!(new, Vec::<String>::new());
    assert_eq!(gone.iter().filter(|key| key.ends_with(" root-user")).count(), 2, "{gone:?}");
    let of_the_check = |key: &String| key.ends_with(" root-user") || key.ends_with(" cis-docker-4.1");
    assert!(gone.iter().all(of_the_check), "{gone:?}");
    resolved_because(&server, "root-user", "policy-changed").await;

    put_tuning(&server, json!({ "minimum_confidence": "high" })).await;
    let (gone, new) = difference(&before, &server.open_issues().await);
    assert_eq!(new, Vec::<String>::new());
    assert!(!gone.is_empty() && gone.iter().all(|key| is_of_secrets(key)), "{gone:?}");

    let entry = json!({ "paths": ["app/*"], "images": ["real/team/*"], "reason": "rotated every hour" });
    put_tuning(&server, json!({ "allow": [entry] })).await;
    let (gone, new) = difference(&before, &server.open_issues().await);
    assert_eq!(new, Vec::<String>::new());
    assert_eq!(gone.iter().filter(|key| key.contains(" app/config.env ")).count(), 1, "{gone:?}");
    assert!(gone.iter().all(|key| key.contains(" app/config.env ")), "the other file stays: {gone:?}");
    let stored = server.get("/rules/tuning").await;
    assert_eq!(stored["allow"][0]["reason"], "rotated every hour");
    assert!(!stored["allow"][0]["author"].as_str().unwrap_or_default().is_empty(), "signed: {stored}");

    let parameters = json!({ "rules": [{ "id": "old-image", "parameters": { "days": 1 }, "severity": "critical" }] });
    put_tuning(&server, parameters).await;
    let critical = server.all("/issues?state=open&severity=critical").await;
    assert!(critical.iter().all(|issue| issue["finding"]["id"] == "old-image"), "{critical:?}");

    put_tuning(&server, json!({})).await;
    assert_eq!(server.open_issues().await, before, "taking settings back brings everything back");
    let heard = registry.requests_since(mark);
    assert!(heard.is_empty(), "the registry was asked: {heard:?}");
}

fn is_of_secrets(key: &str) -> bool {
    key.starts_with("secrets ") || key.ends_with(" cis-docker-4.10")
}

async fn resolved_because(server: &Server, rule: &str, resolution: &str) {
    let issues = server.all("/issues?state=resolved").await;
    let issue = issues.iter().find(|issue| issue["finding"]["id"] == rule).expect("a resolved issue");
    assert_eq!(issue["resolution"], resolution, "{issue}");
    let issue = server.get(&format!("/issues/{}", issue["id"])).await;
    let last = issue["history"].as_array().and_then(|rows| rows.last().cloned()).expect("a history");
    let why = last["why"].as_str().expect("a reason");
    assert!(why.contains("tuning edited by"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_would_do_nothing_are_refused() {
    let Some(registry) = start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let (server, _) = filled(&registry, home.path()).await;
    let refused = async |path: &str, body: Value, expect: &str| {
        let (status, answer) = server.send(Method::PUT, path, &body).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer.to_string().contains(expect), "{answer}");
    };
    refused("/rules/tuning", json!({ "rules": [{ "id": "no-such-rule" }] }), "no-such-rule").await;
    let ports = json!({ "rules": [{ "id": "remote-access-port", "parameters": { "doors": [1] } }] });
    refused("/rules/tuning", ports, "it has ports").await;
    refused("/rules/tuning", json!({ "allow": [{ "reason": "all of it" }] }), "everything").await;
    refused("/rules/tuning", json!({ "allow": [{ "rule": "x", "reason": " " }] }), "reason").await;
    let broken = json!({ "revision": 0, "documents": [{ "kind": "secrets", "name": "x.toml", "text": "nonsense" }] });
    refused("/rules/extraction", broken, "x.toml").await;
    let (status, _) =
        server.send(Method::PUT, "/rules/extraction", &json!({ "revision": 7, "documents": [own_rule()] })).await;
    assert_eq!(status, 409, "another revision");
}

/// How often each layer was fetched since a mark.
fn layer_reads(registry: &DebianRegistry, mark: usize) -> BTreeMap<String, usize> {
    let mut out: BTreeMap<String, usize> = BTreeMap::new();
    for line in registry.requests_since(mark).iter().filter(|line| line.method == "GET") {
        if let Some((_, digest)) = line.path.split_once("/blobs/") {
            *out.entry(digest.to_owned()).or_default() += 1;
        }
    }
    out
}

/// The not-yet-read gaps of every image that is found.
async fn unread(server: &Server) -> Vec<String> {
    let mut out = Vec::new();
    for image in server.all("/images").await {
        let gaps = server.all(&format!("/images/{}/gaps", image["digest"].as_str().expect("a digest"))).await;
        let mine = gaps.iter().filter(|gap| gap["reason"] == "not-yet-read");
        out.extend(mine.map(|gap| gap["detail"].as_str().unwrap_or_default().to_owned()));
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pattern_reads_each_layer_once_and_says_what_is_not_read_yet() {
    let Some(registry) = start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let (mut server, id) = filled(&registry, home.path()).await;
    // An image that leaves the registry before the rules are edited.
    let [_, second] = images();
    let left = ImageBuilder::new().layer(LayerBuilder::files(&[("etc/motd", "gone soon\n")]).build()).build();
    registry.push("team/third", "1", &left);
    discover(&server, id, "team/third", &left).await;
    registry.push("team/third", "1", &second);
    discover(&server, id, "team/third", &second).await;
    server.settled(id, PATIENCE).await;
    assert_eq!(unread(&server).await, Vec::<String>::new());
    let before = server.open_issues().await;

    // Nobody reads: the rules are stored, the gap shows, and nothing is lost when the server is killed.
    server.kill_and_restart(&["--workers", "0"]);
    let mark = registry.mark();
    let stored = put_rules(&server, json!([own_rule()])).await;
    assert_eq!((&stored["revision"], &stored["problems"]), (&json!(1), &json!([])), "{stored}");
    let gaps = unread(&server).await;
    let queued = gaps.iter().filter(|text| text.contains("rule set 1") && text.contains("secrets")).count();
    assert_eq!((gaps.len(), queued), (3, 3), "two images that are there and one that left: {gaps:?}");
    assert_eq!(gaps.iter().filter(|text| text.contains("no registry shows the image any more")).count(), 1);
    assert!(layer_reads(&registry, mark).is_empty());

    server.kill_and_restart(&[]);
    server.until("/images?state=scanned", PATIENCE, |_| true).await;
    server.settled(id, PATIENCE).await;
    until_read(&server).await;
    let reads = layer_reads(&registry, mark);
    assert!(reads.values().all(|count| *count == 1), "{reads:?}");
    assert_eq!(reads.len(), 3, "the base and one layer of each image: {reads:?}");
    let (gone, new) = difference(&before, &server.open_issues().await);
    assert_eq!(gone, Vec::<String>::new());
    assert!(new.iter().any(|key| key.ends_with(" zebra-key")), "{new:?}");

    // Taken back, the same way.
    let mark = registry.mark();
    put_rules(&server, json!([])).await;
    server.settled(id, PATIENCE).await;
    until_read(&server).await;
    assert!(layer_reads(&registry, mark).values().all(|count| *count == 1));
    assert_eq!(server.open_issues().await, before);
}

async fn discover(server: &Server, id: i64, repository: &str, image: &BuiltImage) {
    let (status, _) = server.send(Method::POST, &format!("/registries/{id}/discover"), &json!({})).await;
    assert!((200..300).contains(&status));
    let path = format!("/registries/{id}/tags?repository={repository}&tag=1");
    server
        .until(&path, PATIENCE, |page| {
            page["items"][0]["digest"] == image.digest.to_string()
                && page["items"][0]["images"][0]["state"] == "scanned"
        })
        .await;
}

/// Waits until only the image that left is of the old rules.
async fn until_read(server: &Server) {
    let started = std::time::Instant::now();
    loop {
        let gaps = unread(server).await;
        if gaps.iter().all(|text| text.contains("no registry shows")) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{gaps:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_read_with_the_rules_of_their_server() {
    let Some(registry) = start() else { return };
    let [_, second] = images();
    registry.push("team/second", "1", &second);
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    put_policies(&server, &policies()).await;
    let agent_home = tempfile::tempdir().expect("a folder");
    let _agent = start_agent(&server, agent_home.path(), "outpost", Some(&join_token(&server, "outpost").await));
    let body = json!({ "name": "edge", "kind": "docker-v2", "url": registry.host(), "plain_http": true,
                       "scan_mode": "outpost", "agent_group": "edge" });
    let id = server.add_registry(&body).await;
    server.settled(id, PATIENCE).await;
    let mark = registry.mark();
    put_rules(&server, json!([own_rule()])).await;
    server.settled(id, PATIENCE).await;
    until_read(&server).await;
    let issues = server.open_issues().await;
    assert!(issues.iter().any(|key| key.ends_with(" zebra-key")), "{issues:?}");
    assert_eq!(server.all("/images").await[0]["reader"], "group:edge");
    let reads = layer_reads(&registry, mark);
    assert!(reads.len() == 2 && reads.values().all(|count| *count == 1), "{reads:?}");
}
