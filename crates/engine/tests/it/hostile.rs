//! Registries and images that lie, break and stall: each gives a clear reason, and the rest goes on.

use crate::office::{Office, settled, until};
use model::registry::RegistryStatus;
use model::{Digest, Scope};
use store::types::{ImageFilter, Page, TagFilter};
use testkit::fault::FaultRegistry;
use testkit::image::{BuiltImage, ImageBuilder, LayerBuilder};

fn image(text: &str) -> BuiltImage {
    ImageBuilder::new().layer(LayerBuilder::files(&[("etc/motd", text)]).build()).build()
}

/// Scans a registry, and gives the office and every image's state and gaps.
async fn scanned(registry: &FaultRegistry) -> (Office, Vec<(String, String, Vec<String>)>) {
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    let mut out = Vec::new();
    for view in office.store().images(&Scope::All, &ImageFilter::default(), &Page::first(100)).await.expect("images") {
        let stored =
            office.store().inventory(&Scope::All, &view.digest, &[model::Reader::Server]).await.expect("a look");
        let gaps = stored.map(|s| s.inventory.gaps.iter().map(|g| g.detail.clone()).collect()).unwrap_or_default();
        let reason = view.reason.clone().unwrap_or_default();
        out.push((view.references[0].repository.clone(), format!("{} {reason}", view.state.as_str()), gaps));
    }
    engine.stop().await;
    out.sort();
    (office, out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_missing_is_a_gap_and_the_others_are_read() {
    let registry = FaultRegistry::start();
    let gone = LayerBuilder::files(&[("srv/gone", "gone")]).build();
    let kept = LayerBuilder::files(&[("srv/kept", "kept")]).build();
    registry.put("broken", "1", &ImageBuilder::new().layer(kept).layer(gone.clone()).build());
    registry.put("fine", "1", &image("fine"));
    registry.delete_blob(gone.digest);
    let (_, images) = scanned(&registry).await;
    let (name, state, gaps) = &images[0];
    assert_eq!((name.as_str(), state.trim()), ("broken", "partial"));
    assert!(gaps.iter().any(|gap| gap.contains("layer 1") && gap.contains(&gone.digest.to_string())), "{gaps:?}");
    assert_eq!((images[1].0.as_str(), images[1].1.trim()), ("fine", "scanned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_any_readable_layer_is_not_read_for_ever() {
    let registry = FaultRegistry::start();
    let broken = image("gone");
    registry.put("a-broken", "1", &broken);
    registry.put("b-empty", "1", &ImageBuilder::new().build());
    registry.delete_blob(broken.layers[0].digest);
    // `scanned` only returns once the engine has come to rest.
    let (_, images) = scanned(&registry).await;
    assert_eq!(images[0].1.trim(), "partial", "{images:?}");
    assert!(images[0].2.iter().any(|gap| gap.contains("layer 0")), "{images:?}");
    assert_eq!(images[1].1.trim(), "scanned", "{images:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_names_another_layers_diff_id_reads_no_foreign_facts() {
    let registry = FaultRegistry::start();
    let clean = LayerBuilder::files(&[("etc/motd", "clean")]).build();
    let key = ["ghp_", &"aB3dE6gH9jK2mN5pQ8sT1vW4yZ7".repeat(2)[..36]].concat();
    let dirty = LayerBuilder::files(&[("app/token.env", &format!("TOKEN={key}\n"))]).build();
    registry.put("a-clean", "1", &ImageBuilder::new().layer(clean.clone()).build());
    let liar = ImageBuilder::new().layer(dirty.clone()).claim_diff_id(0, clean.diff_id).build();
    registry.put("b-liar", "1", &liar);
    let (office, images) = scanned(&registry).await;
    assert!(
        images[1]
            .2
            .iter()
            .any(|gap| gap.contains(&clean.diff_id.to_string()) && gap.contains(&dirty.diff_id.to_string())),
        "{:?}",
        images[1]
    );
    let stored = office
        .store()
        .inventory(&Scope::All, &liar.digest, &[model::Reader::Server])
        .await
        .expect("a look")
        .expect("read");
    assert_eq!(stored.inventory.layers[0].diff_id, dirty.diff_id, "the computed one");
    assert!(!stored.inventory.observations.is_empty(), "the liar's own bytes were read, and its secret found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_read_is_said_beside_its_tag() {
    let registry = FaultRegistry::start();
    registry.put("fine", "1", &image("fine"));
    let digest =
        registry.put_manifest("broken", "{\"schemaVersion\":2,".into(), "application/vnd.oci.image.manifest.v1+json");
    registry.point("broken", "1", digest);
    let chart = ImageBuilder::new()
        .artifact("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.config.v1+json")
        .build();
    registry.put("chart", "1", &chart);
    let (office, images) = scanned(&registry).await;
    assert_eq!(images.iter().filter(|i| i.1.trim() == "scanned").count(), 1);
    let registry_id = office.store().registries(&Scope::All).await.expect("registries")[0].id;
    let tags =
        office.store().tags(&Scope::All, registry_id, &TagFilter::default(), &Page::first(10)).await.expect("tags");
    let note = |name: &str| tags.iter().find(|t| t.repository == name).and_then(|t| t.note.clone()).unwrap_or_default();
    assert!(note("broken").contains("JSON"), "{:?}", note("broken"));
    assert!(note("chart").to_lowercase().contains("helm"), "{:?}", note("chart"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_catalogue_is_a_warning_and_the_explicit_list_helps() {
    let registry = FaultRegistry::start();
    registry.put("team/app", "1", &image("app"));
    registry.faults(|faults| faults.catalogue_status = Some(403));
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    let id = office.add_registry(&engine, &registry.host(), |_| {}).await;
    let status = || async { office.store().registry(&Scope::All, id).await.expect("a registry") };
    until("a warning", || async { status().await.status == RegistryStatus::Warning }).await;
    assert!(status().await.reason.contains("name them explicitly"), "{}", status().await.reason);
    let mut config = status().await.config;
    config.repositories = vec!["team/app".into()];
    let change = store::types::CredentialsChange::Keep;
    office.store().update_registry(id, &config, change, "test", office.now()).await.expect("edited");
    engine.discover_now(id).await.expect("asked");
    until("connected", || async { status().await.status == RegistryStatus::Connected }).await;
    settled(&engine).await;
    assert_eq!(office.store().registry_counts(&Scope::All, id).await.expect("counts").scanned, 1);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_an_error_that_names_it() {
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    let id = office.add_registry(&engine, "no-such-registry.invalid:5000", |_| {}).await;
    let status = || async { office.store().registry(&Scope::All, id).await.expect("a registry") };
    until("an error", || async { status().await.status == RegistryStatus::Error }).await;
    assert!(status().await.reason.contains("no-such-registry.invalid"), "{}", status().await.reason);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lease_writes_nothing_and_is_counted() {
    use engine::workplace::Workplace;
    let registry = FaultRegistry::start();
    registry.put("team/app", "1", &image("app"));
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    let before = office.store().stale_writes().await.expect("a count");
    let desk = engine.agent_desk("nobody", "agent:1".into());
    let work = model::job::JobWork::Scan {
        registry: model::Id::new(1),
        repository: "team/app".into(),
        digest: Digest::from_bytes([1; 32]),
    };
    let forged = model::job::Lease {
        job: model::Id::new(1),
        work,
        token: model::job::FencingToken(99),
        deadline: office.now(),
        attempts: 0,
    };
    let refused = desk.complete_scan(&forged, &[]).await.expect_err("refused");
    assert_eq!(refused.kind, engine::ErrorKind::StaleLease);
    let late =
        office.store().finish(&forged, &store::types::JobOutcome::Done, office.now()).await.expect_err("refused");
    assert_eq!(late.kind, store::ErrorKind::StaleLease);
    assert!(office.store().stale_writes().await.expect("a count") > before);
    engine.stop().await;
}
