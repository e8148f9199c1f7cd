//! Every message of the agent protocol reads back as it was written, and shows no secret when printed.

use model::discovery::{KnownTag, ResolvedImage, SeenTag, TagDelta};
use model::inventory::{DetectorFacts, FileDigest, FileKind, FileRecord};
use model::job::{BlobClaim, FencingToken, JobOutcome, JobWork, Lease};
use model::layer::ImageConfig;
use model::registry::{RegistryStatus, ScanMode};
use model::{Detector, DetectorVersion, Digest, Gap, GapReason, Id, LayerInventory, LayerPath, Timestamp};
use report::agent::{AgentRequest, AgentResponse, Assignment, Documents, JoinRequest, JoinResponse, Login};
use report::api::RegistryRequest;
use std::collections::BTreeMap;

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn time() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

fn lease() -> Lease {
    let work = JobWork::Scan { registry: Id::new(3), repository: "team/app".to_owned(), digest: digest(1) };
    Lease { job: Id::new(7), work, token: FencingToken(9), deadline: time(), attempts: 1 }
}

fn gap() -> Gap {
    Gap {
        scope: "layer 1".to_owned(),
        detector: Some(Detector::Secrets),
        reason: GapReason::FileTooLarge,
        detail: "big".to_owned(),
    }
}

fn version() -> DetectorVersion {
    DetectorVersion { detector: Detector::Files, fingerprint: "f".to_owned() }
}

fn inventory() -> Box<LayerInventory> {
    let mut facts = DetectorFacts::new(version());
    facts.files.push(FileRecord {
        path: LayerPath::normalise(b"bin/\xff\\x").unwrap(),
        kind: FileKind::Symlink(b"busybox".to_vec()),
        mode: 0o777,
        uid: u64::MAX,
        gid: 0,
        bytes: 12,
    });
    facts.digests.push(FileDigest { path: LayerPath::from("bin/x"), sha256: digest(2) });
    facts.gaps.push(gap());
    Box::new(LayerInventory {
        blob: digest(1),
        diff_id: digest(2),
        bytes: 10,
        bytes_uncompressed: 20,
        detectors: BTreeMap::from([(Detector::Files, facts)]),
    })
}

fn image() -> ResolvedImage {
    ResolvedImage {
        digest: digest(1),
        config_digest: digest(2),
        platform: "linux/arm64/v8".parse().unwrap(),
        configuration: ImageConfig::default(),
        layers: Vec::new(),
        why_not: None,
    }
}

fn requests() -> Vec<AgentRequest> {
    let repository = || "team/app".to_owned();
    let documents = Box::new(Documents {
        digest: digest(3),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        documents: vec!["e30=".to_owned()],
        unreadable: vec![(digest(4), "404".to_owned())],
    });
    let seen = SeenTag { tag: "1".to_owned(), digest: digest(1), wanted: false, why_not: Some("old".to_owned()) };
    vec![
        AgentRequest::Lease { wait_ms: 1000 },
        AgentRequest::Heartbeat { lease: lease() },
        AgentRequest::Finish { lease: lease(), outcome: JobOutcome::Retry { after: time(), error: "e".to_owned() } },
        AgentRequest::RecordRepositories { lease: lease(), names: vec![repository()], complete: true },
        AgentRequest::KnownTags { lease: lease(), repository: repository() },
        AgentRequest::RecordTags { lease: lease(), repository: repository(), seen: vec![seen] },
        AgentRequest::RecordManifest { lease: lease(), repository: repository(), documents },
        AgentRequest::SetStatus {
            lease: lease(),
            status: RegistryStatus::Warning,
            reason: "partial".to_owned(),
            complete: true,
        },
        AgentRequest::Facts { lease: lease(), blob: digest(1) },
        AgentRequest::ClaimBlob { lease: lease(), blob: digest(1) },
        AgentRequest::PutFacts { lease: lease(), inventory: inventory() },
        AgentRequest::CompleteScan { lease: lease(), gaps: vec![gap()] },
        AgentRequest::FailScan { lease: lease(), reason: "gone".to_owned() },
    ]
}

fn assignment() -> Assignment {
    let request: RegistryRequest = serde_json::from_value(serde_json::json!({
        "name": "a", "kind": "docker-v2", "url": "r", "platforms": ["linux/amd64"],
    }))
    .unwrap();
    let (registry, _) = request.into_config().unwrap();
    Assignment {
        lease: lease(),
        registry,
        credentials: Some(Login { username: "ann".to_owned(), password: "hidden-word".to_owned() }),
        first_discovery: true,
        image: Some(image()),
        versions: vec![version()],
        secret_key_hex: "hidden-word".to_owned(),
        rules_revision: 0,
    }
}

fn responses() -> Vec<AgentResponse> {
    vec![
        AgentResponse::Assignment(None),
        AgentResponse::Assignment(Some(Box::new(assignment()))),
        AgentResponse::Lease(lease()),
        AgentResponse::Tags(vec![KnownTag { tag: "1".to_owned(), digest: digest(1), wanted: true, why_not: None }]),
        AgentResponse::TagDelta(TagDelta { new: 1, moved: 2, deleted: 3 }),
        AgentResponse::Facts(None),
        AgentResponse::Facts(Some(inventory())),
        AgentResponse::Claim(BlobClaim::HeldUntil { until: time() }),
        AgentResponse::Done,
        AgentResponse::Stale { message: "m".to_owned() },
        AgentResponse::Refused { message: "m".to_owned() },
    ]
}

#[test]
fn messages_read_back_as_written() {
    for request in requests() {
        let json = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<AgentRequest>(&json).unwrap(), request);
    }
    for response in responses() {
        let json = serde_json::to_vec(&response).unwrap();
        assert_eq!(serde_json::from_slice::<AgentResponse>(&json).unwrap(), response);
    }
}

#[test]
fn messages_are_tagged_by_name() {
    let json = serde_json::to_string(&AgentRequest::Lease { wait_ms: 5 }).unwrap();
    assert_eq!(json, r#"{"lease":{"wait_ms":5}}"#);
    assert_eq!(serde_json::to_string(&AgentResponse::Done).unwrap(), r#""done""#);
    assert!(serde_json::from_str::<AgentRequest>(r#"{"judge":{}}"#).is_err(), "an agent cannot ask for judgement");
}

#[test]
fn printing_a_message_shows_no_secret() {
    let join = JoinRequest { token: "hidden-word".to_owned(), name: "n".to_owned(), version: "1".to_owned() };
    let joined =
        JoinResponse { agent_id: 1, secret: "hidden-word".to_owned(), group: "g".to_owned(), mode: ScanMode::Broker };
    let texts = [format!("{join:?}"), format!("{joined:?}"), format!("{:?}", responses())];
    assert!(texts.iter().all(|text| !text.contains("hidden-word")));
}
