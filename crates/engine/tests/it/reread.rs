//! Images are read again by themselves: when a try failed, and when rules of extraction were edited.

use crate::office::{Office, settled, until};
use model::extraction::{ExtractionRules, RuleDocument, RuleKind};
use model::job::ImageState;
use model::tuning::{RuleTuning, Tuning};
use model::{Detector, ImageInventory, Reader, Scope};
use std::time::Duration;
use store::types::{ImageFilter, ImageView, Page, RETRY_AFTER_SECONDS};
use testkit::fault::FaultRegistry;
use testkit::image::{BuiltImage, ImageBuilder, LayerBuilder};

fn image() -> BuiltImage {
    let below = LayerBuilder::files(&[("etc/motd", "below")]).build();
    let above = LayerBuilder::files(&[("etc/service.conf", "key = zebra_0c4f19ab77de\n")]).build();
    ImageBuilder::new().layer(below).layer(above).build()
}

fn rules(revision: u64) -> ExtractionRules {
    let text = "[[rule]]\nid = \"zebra-key\"\ntitle = \"Zebra\"\nseverity = \"high\"\nkeywords = [\"zebra_\"]\n\
         pattern = '(?<value>zebra_[0-9a-f]{12})'\nreference = \"x\"\nexamples = [[\"zebra_\", \"0c4f19ab77de\"]]\n\
         counter_examples = [[\"zebra_\", \"crossing\"]]\n";
    let document = RuleDocument { kind: RuleKind::Secrets, name: "zebra.toml".to_owned(), text: text.to_owned() };
    ExtractionRules { revision, documents: vec![document] }
}

async fn view(office: &Office) -> ImageView {
    let images = office.store().images(&Scope::All, &ImageFilter::default(), &Page::first(9)).await.expect("images");
    images.into_iter().next().expect("an image")
}

async fn inventory(office: &Office, image: &BuiltImage) -> ImageInventory {
    let stored = office.store().inventory(&Scope::All, &image.digest, &[Reader::Server]).await.expect("a look");
    stored.expect("an inventory").inventory
}

fn fingerprint(inventory: &ImageInventory, detector: Detector) -> String {
    let version = inventory.detectors.iter().find(|version| version.detector == detector);
    version.map(|version| version.fingerprint.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_in_part_is_tried_again_when_its_time_has_come() {
    let registry = FaultRegistry::start();
    let image = image();
    registry.put("app", "1", &image);
    registry.delete_blob(image.layers[1].digest);
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    let first = view(&office).await;
    assert_eq!((first.state, first.tries), (ImageState::Partial, 1));
    assert!(first.retry_at.is_some());
    registry.put("app", "1", &image);
    office.clock.advance(Duration::from_secs(u64::from(RETRY_AFTER_SECONDS[0]) + 1));
    until("the rest is read", || async { view(&office).await.state == ImageState::Scanned }).await;
    let last = view(&office).await;
    assert_eq!((last.tries, last.retry_at), (0, None));
    assert_eq!(registry.count("GET", &image.layers[0].digest.to_string()), 1, "what was read is not read again");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_rules_reads_for_their_detector_alone_and_keeps_old_facts_until_then() {
    let registry = FaultRegistry::start();
    let image = image();
    registry.put("app", "1", &image);
    let office = Office::open("2026-11-01T00:00:00Z").await;
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    let before = inventory(&office, &image).await;

    // The bytes are gone for a while: what was known stays known.
    registry.delete_blob(image.layers[1].digest);
    office.store().put_extraction_rules(&rules(0), "test", office.now()).await.expect("stored");
    engine.extraction_changed().await.expect("in force");
    settled(&engine).await;
    let held = view(&office).await;
    assert_eq!((held.state, held.tries), (ImageState::Partial, 1), "{:?}", held.reason);
    assert_eq!(inventory(&office, &image).await, before);
    assert!(held.counters.gaps > 0, "the gap is counted: {:?}", held.counters);

    registry.put("app", "1", &image);
    registry.clear_requests();
    office.clock.advance(Duration::from_secs(u64::from(RETRY_AFTER_SECONDS[0]) + 1));
    until("it is read", || async { view(&office).await.state == ImageState::Scanned }).await;
    settled(&engine).await;
    let after = inventory(&office, &image).await;
    assert_ne!(fingerprint(&after, Detector::Secrets), fingerprint(&before, Detector::Secrets));
    for detector in [Detector::Files, Detector::Packages, Detector::Malware] {
        assert_eq!(fingerprint(&after, detector), fingerprint(&before, detector), "{detector}");
    }
    let found = |inventory: &ImageInventory| inventory.observations.iter().any(|o| o.detector == Detector::Secrets);
    assert!(found(&after) && !found(&before));
    assert_eq!(registry.count("GET", &image.layers[1].digest.to_string()), 1);
    assert_eq!(registry.count("GET", &image.layers[0].digest.to_string()), 0, "read at the first try");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_nobody_judged_are_judged_after_a_restart() {
    let registry = FaultRegistry::start();
    registry.put("app", "1", &image());
    let office = Office::open("2026-11-01T00:00:00Z").await;
    office.policies("[[policies]]\nid='all'\nname='All'\nkind='misconfigurations'\naction='issue'\n").await;
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    engine.stop().await;
    let of_root = |issues: &[model::Issue]| issues.iter().filter(|i| i.desired.key.rule == "root-user").count();
    assert_eq!(of_root(&office.open_issues().await), 1);

    let off = RuleTuning {
        id: "root-user".to_owned(),
        enabled: false,
        severity: None,
        minimum_confidence: None,
        parameters: Default::default(),
    };
    let tuning = Tuning { rules: vec![off], ..Tuning::default() };
    office.store().put_tuning(&tuning, "ann", office.now()).await.expect("stored");
    office.store().put_extraction_rules(&rules(0), "ann", office.now()).await.expect("stored");
    registry.clear_requests();
    let engine = office.start().await;
    until("it is judged", || async { of_root(&office.open_issues().await) == 0 }).await;
    settled(&engine).await;
    assert_eq!(office.store().causes().await.expect("causes"), []);
    let reasons: Vec<String> = office.evaluations().await.into_iter().map(|run| run.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("tuning edited by ann")), "{reasons:?}");
    assert_eq!(view(&office).await.state, ImageState::Scanned);
    assert_eq!(registry.count("GET", "/blobs/sha256:"), 2, "each layer once, for the new rules");
    engine.stop().await;
}
