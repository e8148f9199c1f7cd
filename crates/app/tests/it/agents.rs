//! The three scan modes: one registry, the same issues, and an agent that is not believed further than it should be.

use crate::program::{Running, Server, TOKEN, pratique};
use crate::registry::{import, put_policies, secdb_folder, strict_policies};
use model::observation::{LayerObservation, MalwareFact, ObservationKind};
use model::{Detector, Digest, LayerInventory, Severity};
use report::agent::{AgentRequest, AgentResponse, JoinRequest, JoinResponse};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::debian::DebianRegistry;
use testkit::image::{ImageBuilder, LayerBuilder, alpine};

const PATIENCE: Duration = Duration::from_secs(120);

pub async fn join_token(server: &Server, mode: &str) -> String {
    let body = json!({ "group": "edge", "mode": mode, "name": "test" });
    let (status, answer) = server.send(Method::POST, "/agents/tokens", &body).await;
    assert_eq!(status, 201, "{answer}");
    answer["token"].as_str().expect("a token").to_owned()
}

pub fn start_agent(server: &Server, home: &Path, mode: &str, join: Option<&str>) -> Running {
    let mut command = pratique(home);
    let data = home.join("agent");
    command.args(["agent", "--server", &server.base, "--mode", mode, "--group", "edge", "--name", "test"]);
    command.args(["--data", data.to_str().expect("UTF-8")]);
    if let Some(token) = join {
        command.args(["--join", token]);
    }
    Running::start(command, "agent of group edge").0
}

/// Scans a registry in one mode with a server of its own, and gives the issues.
async fn issues_in_mode(registry: &DebianRegistry, mode: &str) -> Vec<String> {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    put_policies(&server, &strict_policies()).await;
    import(&server, &secdb_folder("v3.9"));
    let agent_home = tempfile::tempdir().expect("a folder");
    let _agent = match mode {
        "cloud" => None,
        mode => Some(start_agent(&server, agent_home.path(), mode, Some(&join_token(&server, mode).await))),
    };
    let body = json!({
        "name": "shared", "kind": "docker-v2", "url": registry.host(), "plain_http": true,
        "scan_mode": mode, "agent_group": if mode == "cloud" { Value::Null } else { json!("edge") },
    });
    let id = server.add_registry(&body).await;
    server.settled(id, PATIENCE).await;
    let reader = server.all("/images").await[0]["reader"].as_str().expect("a reader").to_owned();
    assert_eq!(reader, if mode == "cloud" { "server" } else { "group:edge" });
    server.open_issues().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_scan_modes_give_the_same_issues() {
    if testkit::data::folder().is_none() {
        return;
    }
    let Some(registry) = DebianRegistry::start() else { return };
    let key = ["ghp_", &"aB3dE6gH9jK2mN5pQ8sT1vW4yZ7".repeat(2)[..36]].concat();
    let secret =
        LayerBuilder::files(&[("app/config.env", &format!("DATABASE_PASSWORD=xK9#mQ2$vL5nR8\nTOKEN={key}\n"))]).build();
    let image = alpine("3.9.6", "x86_64").expect("a root file system").layer(secret).build();
    registry.push("team/app", "1", &image);

    let cloud = issues_in_mode(&registry, "cloud").await;
    assert!(!cloud.is_empty());
    assert_eq!(issues_in_mode(&registry, "outpost").await, cloud);
    let mark = registry.mark();
    assert_eq!(issues_in_mode(&registry, "broker").await, cloud);
    let heard = registry.requests_since(mark);
    assert!(!heard.is_empty());
    let strangers: Vec<_> = heard.iter().filter(|line| !line.user_agent.starts_with("pratique-agent/")).collect();
    assert!(strangers.is_empty(), "in broker mode only the agent speaks to the registry: {strangers:?}");
}

/// An agent that speaks the protocol by hand.
struct Forger {
    client: reqwest::Client,
    base: String,
    secret: String,
}

impl Forger {
    async fn join(server: &Server) -> Self {
        let request =
            JoinRequest { token: join_token(server, "outpost").await, name: "forger".into(), version: "0".into() };
        let client = reqwest::Client::new();
        let response =
            client.post(format!("{}/agent/v1/join", server.base)).json(&request).send().await.expect("an answer");
        let joined: JoinResponse = response.json().await.expect("joined");
        Self { client, base: server.base.clone(), secret: joined.secret }
    }

    async fn call(&self, request: &AgentRequest) -> AgentResponse {
        let response = self
            .client
            .post(format!("{}/agent/v1/call", self.base))
            .bearer_auth(&self.secret)
            .json(request)
            .send()
            .await
            .expect("an answer");
        response.json().await.expect("an agent's answer")
    }
}

fn forged_malware(blob: Digest) -> LayerObservation {
    LayerObservation {
        kind: ObservationKind::Malware(MalwareFact {
            signature: "Forged".into(),
            title: "Forged".into(),
            severity: Severity::Critical,
            engine: "yara".into(),
            sha256: blob,
        }),
        place: model::evidence::Place { path: "forged".into(), line: None },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_inventory_changes_nothing_outside_its_group() {
    let Some(registry) = DebianRegistry::start() else { return };
    let image = ImageBuilder::new().layer(LayerBuilder::files(&[("etc/motd", "shared")]).build()).build();
    registry.push("team/app", "1", &image);
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path());
    put_policies(&server, &strict_policies()).await;
    let forger = Forger::join(&server).await;
    let body = |name: &str, mode: &str| {
        json!({ "name": name, "kind": "docker-v2", "url": registry.host(), "plain_http": true, "scan_mode": mode,
                "agent_group": if mode == "cloud" { Value::Null } else { json!("edge") } })
    };
    let outpost = server.add_registry(&body("outpost", "outpost")).await;
    let lease = loop {
        if let AgentResponse::Assignment(Some(assignment)) = forger.call(&AgentRequest::Lease { wait_ms: 5000 }).await {
            break *assignment;
        }
    };
    let layer = lease.image.as_ref().expect("a scan").layers[0].clone();
    let detectors = lease.versions.iter().filter(|v| v.detector != Detector::Configuration).map(|version| {
        let mut facts = model::inventory::DetectorFacts::new(version.clone());
        if version.detector == Detector::Malware {
            facts.observations.push(forged_malware(layer.blob));
        }
        (version.detector, facts)
    });
    let inventory = LayerInventory {
        blob: layer.blob,
        diff_id: layer.diff_id,
        bytes: layer.bytes,
        bytes_uncompressed: 1,
        detectors: detectors.collect(),
    };
    let claim = AgentRequest::ClaimBlob { lease: lease.lease.clone(), blob: layer.blob };
    assert!(matches!(forger.call(&claim).await, AgentResponse::Claim(_)));
    let put = AgentRequest::PutFacts { lease: lease.lease.clone(), inventory: Box::new(inventory.clone()) };
    assert_eq!(forger.call(&put).await, AgentResponse::Done);
    let other = Digest::from_bytes([7; 32]);
    let foreign = LayerInventory { blob: other, ..inventory };
    let put = AgentRequest::PutFacts { lease: lease.lease.clone(), inventory: Box::new(foreign) };
    assert!(
        matches!(forger.call(&put).await, AgentResponse::Refused { .. }),
        "only layers of the leased image are taken"
    );
    assert_eq!(
        forger.call(&AgentRequest::CompleteScan { lease: lease.lease.clone(), gaps: vec![] }).await,
        AgentResponse::Done
    );
    let done = AgentRequest::Finish { lease: lease.lease.clone(), outcome: model::job::JobOutcome::Done };
    assert_eq!(forger.call(&done).await, AgentResponse::Done);
    server.settled(outpost, PATIENCE).await;
    assert_eq!(
        server.all("/issues?state=open&policy=bad-files").await.len(),
        1,
        "inside its group an agent is believed"
    );

    let cloud = server.add_registry(&body("cloud", "cloud")).await;
    server.settled(cloud, PATIENCE).await;
    let issues = server.all("/issues?state=open&policy=bad-files").await;
    let elsewhere: Vec<&Value> = issues.iter().filter(|issue| issue["registry"] == "cloud").collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let late = AgentRequest::PutFacts {
        lease: lease.lease.clone(),
        inventory: Box::new(LayerInventory {
            blob: layer.blob,
            diff_id: layer.diff_id,
            bytes: 1,
            bytes_uncompressed: 1,
            detectors: Default::default(),
        }),
    };
    assert!(matches!(forger.call(&late).await, AgentResponse::Stale { .. }), "a lease that is over writes nothing");
    let unknown = forger
        .client
        .post(format!("{}/agent/v1/call", forger.base))
        .bearer_auth(TOKEN)
        .json(&AgentRequest::Lease { wait_ms: 0 });
    assert_eq!(
        unknown.send().await.expect("an answer").status().as_u16(),
        401,
        "an administrator's token is no agent's secret"
    );
}
