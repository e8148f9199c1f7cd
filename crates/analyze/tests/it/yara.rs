//! An installation's own YARA rules: many, broken, and such that match everything.

use crate::support::*;
use analyze::malware::{MATCHES_PER_SIGNATURE_MAX, MalwareDetector};
use analyze::{DetectorOptions, Detectors, Limits};
use model::Detector;
use model::extraction::{ExtractionRules, RuleDocument, RuleKind};
use model::observation::ObservationKind;
use std::time::Instant;
use testkit::image::LayerBuilder;

fn document(name: &str, text: String) -> RuleDocument {
    RuleDocument { kind: RuleKind::Malware, name: name.to_owned(), text }
}

fn detectors_of(documents: Vec<RuleDocument>) -> Detectors {
    let rules = ExtractionRules { revision: 1, documents };
    Detectors::new(DetectorOptions { secret_key: [7; 32], limits: Limits::default(), rules }).unwrap()
}

#[test]
fn six_thousand_rules_load_and_are_bounded() {
    let documents: Vec<RuleDocument> =
        testkit::yara::rule_set(6000).into_iter().map(|(name, text)| document(&name, text)).collect();
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    let started = Instant::now();
    let (detector, problems) = MalwareDetector::with_rules(&documents).unwrap();
    let compiled = started.elapsed();
    assert_eq!(problems, []);
    assert!(detector.signatures().count() >= 6000);
    println!("6,000 generated rules ({bytes} bytes) compiled in {compiled:?}");
    assert!(compiled.as_secs() < 120, "{compiled:?}");
}

#[test]
fn a_rule_that_matches_everything_is_bounded_and_said() {
    let detectors = detectors_of(vec![document("all.yar", "rule everything { condition: true }".to_owned())]);
    let layer = (0..MATCHES_PER_SIGNATURE_MAX + 50).fold(LayerBuilder::new(), |layer, at| {
        layer.file(&format!("srv/{at:04}.sh"), format!("#!/bin/sh\necho {at}\n"))
    });
    let reading = read_with(&layer.build().blob[..], &detectors, &[Detector::Malware].into());
    let facts = facts(&reading, Detector::Malware);
    let mut paths: Vec<_> = facts.observations.iter().map(|found| found.place.path.to_string()).collect();
    paths.sort();
    assert_eq!(paths.len(), MATCHES_PER_SIGNATURE_MAX);
    assert_eq!((paths[0].as_str(), paths[99].as_str()), ("srv/0000.sh", "srv/0099.sh"));
    assert_eq!(
        gaps(&reading),
        ["layer too-many: the yara signature everything matches 150 files; the first 100 are listed"]
    );
}

#[test]
fn rules_that_do_not_load_are_named_and_a_gap_of_every_image() {
    let text = "rule good { strings: $a = \"needle\" condition: $a }\nrule bad { condition: nonsense }";
    let detectors = detectors_of(vec![document("mine.yar", text.to_owned())]);
    let said: Vec<_> = detectors.problems().iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].starts_with("malware/mine.yar, rule bad: line 2: "), "{said:?}");
    let layer = LayerBuilder::new().file("srv/run.sh", "#!/bin/sh\n# needle\n").build();
    let reading = read_with(&layer.blob[..], &detectors, &all());
    let found = facts(&reading, Detector::Malware).observations.iter();
    let ids: Vec<_> = found
        .filter_map(|o| match &o.kind {
            ObservationKind::Malware(fact) => Some(fact.signature.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["good"]);
    let input = analyze::SquashInput {
        layers: &[],
        configuration: &model::layer::ImageConfig::default(),
        inventories: &[],
        gaps: &[],
        detectors: &detectors,
        only: &all(),
    };
    let gaps: Vec<_> = analyze::squash(&input).gaps.iter().map(gap_line).collect();
    assert!(
        gaps[0].starts_with("rules unsupported: 1 rules of this installation are left out: malware/mine.yar, rule bad"),
        "{gaps:?}"
    );
}
