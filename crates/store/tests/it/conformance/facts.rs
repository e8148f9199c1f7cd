//! Promises of `Facts`.

use crate::world::*;
use model::inventory::{DetectorFacts, RawInput};
use model::job::{BlobClaim, JobOutcome};
use model::{Detector, DetectorVersion, LayerInventory, LayerPath, Reader};
use store::ErrorKind;

/// The facts of a layer; `name` tells two apart.
pub(crate) fn layer(name: &str, versions: &[DetectorVersion]) -> LayerInventory {
    let facts = |version: &DetectorVersion| {
        let mut facts = DetectorFacts::new(version.clone());
        let content = format!("{name} {}", version.fingerprint).into_bytes();
        facts.raw_inputs.push(RawInput { path: LayerPath::from("etc/os-release"), content });
        (version.detector, facts)
    };
    LayerInventory {
        blob: digest("blob"),
        diff_id: digest(&format!("{name} diff")),
        bytes: 5_000_000_000,
        bytes_uncompressed: 10_000_000_000,
        detectors: versions.iter().map(facts).collect(),
    }
}

fn version(detector: Detector, fingerprint: &str) -> DetectorVersion {
    DetectorVersion { detector, fingerprint: fingerprint.to_owned() }
}

pub(crate) async fn facts_come_back_by_detector_version(w: &World) {
    let a = w.registry("a").await;
    let lease = w.scan(&a, "x", Reader::Server).await;
    let stored = layer("x", &[version(Detector::Files, "1"), version(Detector::Secrets, "1")]);
    w.store.put_facts(&lease, &Reader::Server, &stored, at(1)).await.unwrap();
    let get =
        async |versions: &[DetectorVersion]| w.store.facts(&stored.blob, &[Reader::Server], versions).await.unwrap();
    assert_eq!(get(&versions("1")).await.as_ref(), Some(&stored));
    assert_eq!(get(&versions("2")).await, None);
    assert_eq!(get(&[]).await, None);
    assert_eq!(w.store.facts(&digest("other"), &[Reader::Server], &versions("1")).await.unwrap(), None);
    // A newer secrets detector alone is added to what is there.
    let newer = layer("x", &[version(Detector::Secrets, "2")]);
    w.store.put_facts(&lease, &Reader::Server, &newer, at(2)).await.unwrap();
    let both = get(&[version(Detector::Files, "1"), version(Detector::Secrets, "2")]).await.unwrap();
    assert_eq!(both.detectors[&Detector::Files], stored.detectors[&Detector::Files]);
    assert_eq!(both.detectors[&Detector::Secrets], newer.detectors[&Detector::Secrets]);
    assert_eq!(get(&versions("1")).await.as_ref(), Some(&stored), "old versions stay");
}

pub(crate) async fn earlier_readers_win(w: &World) {
    let a = w.brokered("a", "g").await;
    let (server, agent) = (w.scan(&a, "x", Reader::Server).await, w.scan(&a, "x", group("g")).await);
    let mine = layer("mine", &[version(Detector::Files, "1")]);
    let theirs = layer("theirs", &versions("1"));
    w.store.put_facts(&server, &Reader::Server, &mine, at(1)).await.unwrap();
    w.store.put_facts(&agent, &group("g"), &theirs, at(1)).await.unwrap();
    let get =
        async |readers: &[Reader]| w.store.facts(&digest("blob"), readers, &versions("1")).await.unwrap().unwrap();
    let ours = get(&[Reader::Server, group("g")]).await;
    assert_eq!(ours.diff_id, mine.diff_id);
    assert_eq!(ours.detectors[&Detector::Files], mine.detectors[&Detector::Files]);
    assert_eq!(ours.detectors[&Detector::Secrets], theirs.detectors[&Detector::Secrets]);
    assert_eq!(get(&[group("g"), Reader::Server]).await, theirs);
}

pub(crate) async fn facts_of_a_group_do_not_serve_others(w: &World) {
    let a = w.brokered("a", "g").await;
    let agent = w.scan(&a, "x", group("g")).await;
    w.store.put_facts(&agent, &group("g"), &layer("forged", &versions("1")), at(1)).await.unwrap();
    let get = async |readers: &[Reader]| w.store.facts(&digest("blob"), readers, &versions("1")).await.unwrap();
    assert_eq!(get(&[Reader::Server]).await, None);
    assert_eq!(get(&[Reader::Server, group("h")]).await, None);
    assert!(get(&[Reader::Server, group("g")]).await.is_some());
}

pub(crate) async fn facts_that_are_there_stay(w: &World) {
    let a = w.registry("a").await;
    let lease = w.scan(&a, "x", Reader::Server).await;
    let (first, second) = (layer("first", &versions("1")), layer("second", &versions("1")));
    for facts in [&first, &second] {
        w.store.put_facts(&lease, &Reader::Server, facts, at(1)).await.unwrap();
    }
    assert_eq!(w.store.facts(&first.blob, &[Reader::Server], &versions("1")).await.unwrap(), Some(first));
}

pub(crate) async fn a_blob_is_claimed_once(w: &World) {
    let a = w.brokered("a", "g").await;
    let (one, two) = (w.scan(&a, "x", Reader::Server).await, w.scan(&a, "y", Reader::Server).await);
    let agent = w.scan(&a, "x", group("g")).await;
    let (blob, server) = (digest("blob"), Reader::Server);
    let held = BlobClaim::HeldUntil { until: one.deadline };
    assert_eq!(w.store.claim_blob(&one, &blob, &server, at(1)).await.unwrap(), BlobClaim::Claimed);
    assert_eq!(w.store.claim_blob(&one, &blob, &server, at(1)).await.unwrap(), BlobClaim::Claimed);
    assert_eq!(w.store.claim_blob(&two, &blob, &server, at(1)).await.unwrap(), held);
    assert_eq!(w.store.claim_blob(&agent, &blob, &group("g"), at(1)).await.unwrap(), BlobClaim::Claimed);
    assert_eq!(w.store.claim_blob(&two, &digest("other"), &server, at(1)).await.unwrap(), BlobClaim::Claimed);
    // Storing the facts lets the claim go.
    w.store.put_facts(&one, &server, &layer("x", &versions("1")), at(2)).await.unwrap();
    assert_eq!(w.store.claim_blob(&two, &blob, &server, at(2)).await.unwrap(), BlobClaim::Claimed);
}

pub(crate) async fn claims_end_with_the_lease(w: &World) {
    let a = w.registry("a").await;
    let (blob, server) = (digest("blob"), Reader::Server);
    let one = w.scan(&a, "x", server.clone()).await;
    let one = w.store.heartbeat(&one, MINUTE_MS, at(0)).await.unwrap();
    let two = w.scan(&a, "y", server.clone()).await;
    w.store.claim_blob(&one, &blob, &server, at(1)).await.unwrap();
    let held = BlobClaim::HeldUntil { until: at(60) };
    assert_eq!(w.store.claim_blob(&two, &blob, &server, at(59)).await.unwrap(), held);
    // The holder's lease ran out.
    assert_eq!(w.store.claim_blob(&two, &blob, &server, at(60)).await.unwrap(), BlobClaim::Claimed);
    // The end of the work ends the claim.
    let again = JobOutcome::Retry { after: at(500), error: String::new() };
    w.store.finish(&two, &again, at(61)).await.unwrap();
    assert_eq!(w.store.claim_blob(&one, &blob, &server, at(61)).await.unwrap(), BlobClaim::Claimed);
}

pub(crate) async fn nobody_writes_in_anothers_name(w: &World) {
    let a = w.brokered("a", "g").await;
    let agent = w.scan(&a, "x", group("g")).await;
    let facts = layer("forged", &versions("1"));
    for reader in [Reader::Server, group("h")] {
        let error = w.store.put_facts(&agent, &reader, &facts, at(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        assert!(w.store.claim_blob(&agent, &facts.blob, &reader, at(1)).await.is_err());
    }
    assert_eq!(w.store.facts(&facts.blob, &[Reader::Server, group("h")], &versions("1")).await.unwrap(), None);
}

pub(crate) async fn large_facts_come_back(w: &World) {
    let a = w.registry("a").await;
    let lease = w.scan(&a, "x", Reader::Server).await;
    let mut stored = layer("x", &versions("1"));
    let noise = |n: usize| digest(&n.to_string());
    let content = (0..20_000).flat_map(|n| *noise(n).as_bytes()).collect();
    let files = stored.detectors.get_mut(&Detector::Files).unwrap();
    files.raw_inputs.push(RawInput { path: LayerPath::from("big"), content });
    w.store.put_facts(&lease, &Reader::Server, &stored, at(1)).await.unwrap();
    assert_eq!(w.store.facts(&stored.blob, &[Reader::Server], &versions("1")).await.unwrap(), Some(stored));
}
