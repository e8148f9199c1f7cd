//! SIGKILL at seeded moments: nothing is lost, nothing is there twice, and the end is as in a calm run.

use crate::agents::{join_token, start_agent};
use crate::program::{Running, Server, issue_key};
use crate::registry::{import, put_policies, secdb_folder, strict_policies};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use store::traits::{Images, Jobs};
use testkit::debian::DebianRegistry;
use testkit::fault::FaultRegistry;
use testkit::image::{ImageBuilder, LayerBuilder, alpine};

const PATIENCE: Duration = Duration::from_secs(180);
const IMAGES: usize = 30;
const SERVER_KILLS: usize = 12;
const AGENT_KILLS: usize = 8;

/// Thirty images, each with a layer of its own that takes a moment to read.
fn fill(registry: &DebianRegistry) {
    let base = alpine("3.9.6", "x86_64").expect("a root file system").build().layers[0].clone();
    for number in 0..IMAGES {
        let noise = noise(number as u64, 3 << 20);
        let package = testkit::packages::node_package(&format!("package-{number}"), "1.0.0");
        let layer = LayerBuilder::new()
            .file("srv/noise", noise)
            .file(&format!("app/node_modules/package-{number}/package.json"), package)
            .build();
        let image = ImageBuilder::new().layer(base.clone()).layer(layer).build();
        registry.push(&format!("crash/app-{number}"), "1", &image);
    }
}

/// Bytes that do not compress, from a seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = Seeded(seed + 1);
    (0..bytes / 8).flat_map(|_| state.next().to_le_bytes()).collect()
}

/// xorshift64*: the same moments in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Between 5 % and 95 % of a duration.
    fn moment(&mut self, of: Duration) -> Duration {
        of.mul_f64(0.05 + 0.9 * (self.next() % 10_000) as f64 / 10_000.0)
    }
}

/// What must be the same after a crash: issues and their history, without times.
#[derive(Debug, PartialEq, Eq)]
struct End {
    issues: BTreeSet<String>,
    history: BTreeSet<String>,
    inventories: BTreeSet<String>,
}

async fn end(server: Server) -> End {
    let mut issues = BTreeSet::new();
    let mut history = BTreeSet::new();
    for issue in server.all("/issues").await {
        let key = issue_key(&issue);
        let one = server.get(&format!("/issues/{}", issue["id"])).await;
        for (at, change) in one["history"].as_array().expect("history").iter().enumerate() {
            history.insert(format!("{key} {at} {} {}", change["what"], change["by"]));
        }
        issues.insert(format!("{key} {} {} {}", issue["state"], issue["severity"], issue["digests"]));
    }
    let data = server.data();
    drop(server);
    let key = store::MasterKey::load_or_create(&data.join("master.key")).expect("the key");
    let store = store::SqliteStore::open(&data, key).await.expect("the store");
    let mut inventories = BTreeSet::new();
    for count in store.inventory_census().await.expect("a census") {
        assert_eq!(count.rows, 1, "one inventory per image and detector versions: {count:?}");
        assert!(inventories.insert(format!("{} {}", count.image, count.reader)), "one detector version: {count:?}");
    }
    store.close().await;
    End { issues, history, inventories }
}

async fn prepare(home: &Path) -> Server {
    let server = Server::start(home);
    put_policies(&server, &strict_policies()).await;
    import(&server, &secdb_folder("v3.9"));
    let advisories = home.join("advisories");
    std::fs::create_dir_all(&advisories).expect("a folder");
    for number in 0..IMAGES {
        std::fs::write(advisories.join(format!("TEST-2026-{number:04}.json")), advisory(number)).expect("written");
    }
    import(&server, &advisories);
    server
}

fn advisory(number: usize) -> String {
    let range = json!({ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "1.1.0" }] });
    json!({
        "schema_version": "1.4.0", "id": format!("TEST-2026-{number:04}"), "modified": "2026-01-01T00:00:00Z",
        "affected": [{ "package": { "ecosystem": "npm", "name": format!("package-{number}") }, "ranges": [range] }],
    })
    .to_string()
}

fn body(registry: &DebianRegistry, mode: &str) -> Value {
    json!({ "name": "crash", "kind": "docker-v2", "url": registry.host(), "plain_http": true, "scan_mode": mode,
            "agent_group": if mode == "cloud" { Value::Null } else { json!("edge") } })
}

async fn lease_is_held(server: &Server) -> bool {
    server.all("/jobs?state=live").await.iter().any(|job| job["state"] == "leased")
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_twenty_moments_end_as_a_calm_run() {
    if testkit::data::folder().is_none() {
        return;
    }
    let Some(registry) = DebianRegistry::start() else { return };
    fill(&registry);
    let mut seeded = Seeded(0x5eed);
    let mut held = 0;
    for (mode, kills) in [("cloud", SERVER_KILLS), ("outpost", AGENT_KILLS)] {
        let (calm, duration) = calm_run(&registry, mode).await;
        assert_eq!(calm.inventories.len(), IMAGES);
        assert!(!calm.issues.is_empty());
        for kill in 0..kills {
            let moment = seeded.moment(duration);
            let (after, lease) = killed_run(&registry, mode, moment).await;
            held += usize::from(lease);
            assert_eq!(after, calm, "{mode}: killed after {moment:?} of {duration:?} (number {kill})");
        }
    }
    println!("crash: {} kills, {held} of them while a lease was held", SERVER_KILLS + AGENT_KILLS);
    assert!(held >= 15, "only {held} kills hit a held lease");
}

struct Scene {
    server: Server,
    agent: Option<Running>,
    agent_home: tempfile::TempDir,
    _home: tempfile::TempDir,
}

async fn scene(mode: &str) -> Scene {
    let home = tempfile::tempdir().expect("a folder");
    let server = prepare(home.path()).await;
    let agent_home = tempfile::tempdir().expect("a folder");
    let agent = match mode {
        "cloud" => None,
        mode => Some(start_agent(&server, agent_home.path(), mode, Some(&join_token(&server, mode).await))),
    };
    Scene { server, agent, agent_home, _home: home }
}

async fn calm_run(registry: &DebianRegistry, mode: &str) -> (End, Duration) {
    let scene = scene(mode).await;
    let started = Instant::now();
    let id = scene.server.add_registry(&body(registry, mode)).await;
    scene.server.until(&format!("/registries/{id}"), PATIENCE, |r| r["counts"]["scanned"] == IMAGES).await;
    let duration = started.elapsed();
    scene.server.settled(id, PATIENCE).await;
    (end(scene.server).await, duration)
}

async fn killed_run(registry: &DebianRegistry, mode: &str, moment: Duration) -> (End, bool) {
    let mut scene = scene(mode).await;
    let started = Instant::now();
    let id = scene.server.add_registry(&body(registry, mode)).await;
    tokio::time::sleep(moment.saturating_sub(started.elapsed())).await;
    // Between two jobs nobody holds a lease: the kill waits a moment for the next one, if there is one.
    let mut held = lease_is_held(&scene.server).await;
    for _ in 0..20 {
        if held {
            break;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        held = lease_is_held(&scene.server).await;
    }
    match &mut scene.agent {
        None => scene.server.kill_and_restart(&[]),
        Some(agent) => {
            agent.kill();
            scene.agent = Some(start_agent(&scene.server, scene.agent_home.path(), mode, None));
        }
    }
    scene.server.settled(id, PATIENCE).await;
    drop(scene.agent);
    (end(scene.server).await, held)
}

/// An agent that is stopped until its lease is over, and then goes on, writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn late_writes_of_a_stale_holder_are_refused_and_counted() {
    if testkit::data::folder().is_none() {
        return;
    }
    let registry = FaultRegistry::start();
    let layer = LayerBuilder::new().file("srv/noise", noise(99, 4 << 20)).build();
    registry.put("slow/app", "1", &ImageBuilder::new().layer(layer).build());
    registry.faults(|faults| faults.pause_per_piece = Some(Duration::from_millis(400)));
    let scene = scene("outpost").await;
    let body = json!({ "name": "slow", "kind": "docker-v2", "url": registry.host(), "plain_http": true,
                       "scan_mode": "outpost", "agent_group": "edge" });
    let id = scene.server.add_registry(&body).await;
    let first = scene.agent.as_ref().expect("an agent");
    let reading = |jobs: &Value| {
        let jobs = jobs["items"].as_array().expect("items");
        jobs.iter().any(|job| job["kind"] == "scan" && job["state"] == "leased")
    };
    scene.server.until("/jobs?state=live", PATIENCE, reading).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.signal("STOP");
    registry.faults(|faults| faults.pause_per_piece = None);
    let second_home = tempfile::tempdir().expect("a folder");
    let token = join_token(&scene.server, "outpost").await;
    let _second = start_agent(&scene.server, second_home.path(), "outpost", Some(&token));
    scene.server.settled(id, PATIENCE).await;
    let (before, _) = refused(&scene.server).await;
    assert_eq!(before, 0, "nobody has written late yet");
    first.signal("CONT");
    let started = Instant::now();
    loop {
        let (late, census) = refused(&scene.server).await;
        if late > 0 {
            assert_eq!(census.len(), 1, "{census:?}");
            assert_eq!(census[0].rows, 1);
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the late write was never refused");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Refused late writes, and the inventories that there are, from the store itself.
async fn refused(server: &Server) -> (u64, Vec<store::types::InventoryCount>) {
    let data = server.data();
    let key = store::MasterKey::load_or_create(&data.join("master.key")).expect("the key");
    let store = store::SqliteStore::open(&data, key).await.expect("the store");
    let out = (store.stale_writes().await.expect("a count"), store.inventory_census().await.expect("a census"));
    store.close().await;
    out
}
