//! Switches, severities, thresholds and allow-lists: what they dismiss, and what becomes of issues.

use crate::build::{finding, image, policies};
use crate::transition::{judged, open};
use model::observation::{Confidence, Observation, ObservationKind, SecretFact};
use model::tuning::Tuning;
use model::{Detector, Evidence, FindingKind, FindingStatus, ImageInventory, LayerPath, Severity, Timestamp};
use policy::{
    Assessment, CompiledTuning, Dismissal, ImageFacts, Place, Scanners, Show, assess, check_tuning, findings,
    findings_boundary, parse_tuning, tuning_text,
};
use std::collections::{BTreeMap, BTreeSet};

const NOW: &str = "2026-01-01T00:00:00Z";

fn tuning(text: &str) -> Tuning {
    let tuning = parse_tuning(text).unwrap();
    let known = ["some-key", "other-key"].map(str::to_owned).into();
    assert_eq!(check_tuning(&tuning, &known), []);
    tuning
}

fn secret(rule: &str, path: &str, confidence: Confidence, fingerprint: &str) -> Observation {
    let fact = serde_json::json!({
        "rule": rule, "title": rule, "severity": "high", "preview": "ab**", "fingerprint": fingerprint,
        "confidence": confidence,
    });
    let fact: SecretFact = serde_json::from_value(fact).unwrap();
    let path = Some(LayerPath::from(path));
    let evidence = Evidence { layer: Some(0), path, line: Some(1), removed_in: None, history: None };
    Observation { detector: Detector::Secrets, kind: ObservationKind::Secret(fact), evidence }
}

fn inventory() -> ImageInventory {
    let snippet =
        policy::Snippet { user: Some("root".to_owned()), ports: vec!["2222/tcp".to_owned()], ..Default::default() };
    let mut inventory = snippet.inventory();
    inventory.observations = vec![
        secret("some-key", "app/a.env", Confidence::Medium, "f1"),
        secret("some-key", "app/a.env", Confidence::High, "f2"),
        secret("other-key", "usr/share/doc/x", Confidence::Low, "f3"),
    ];
    inventory
}

/// What is made of the inventory at a place: secrets and the checks about user and ports.
fn judge(text: &str, repositories: &[&str]) -> (Vec<String>, Vec<(String, Dismissal)>) {
    let Assessment { findings, dismissed } = assessed(text, repositories, NOW);
    let brief = |f: &model::Finding| {
        let path = f.evidence.first().and_then(|e| e.path.as_ref()).map(|p| format!(" {p}")).unwrap_or_default();
        format!("{} {}{path}", f.id, f.severity)
    };
    let of_interest =
        |f: &model::Finding| f.kind == FindingKind::Secret || ["root-user", "remote-access-port"].contains(&&*f.id);
    let open = findings.iter().filter(|f| of_interest(f)).map(brief).collect();
    let dismissed = dismissed.iter().filter(|d| of_interest(&d.finding)).map(|d| (brief(&d.finding), d.by)).collect();
    (open, dismissed)
}

fn assessed(text: &str, repositories: &[&str], now: &str) -> Assessment {
    with_facts(text, repositories, now, |facts| assess(facts, Show::Open))
}

fn with_facts<T>(text: &str, repositories: &[&str], now: &str, f: impl FnOnce(&ImageFacts<'_>) -> T) -> T {
    let (inventory, compiled) = (inventory(), CompiledTuning::new(&tuning(text)));
    let repositories: Vec<String> = repositories.iter().map(|r| (*r).to_owned()).collect();
    f(&ImageFacts {
        inventory: &inventory,
        matches: &BTreeMap::new(),
        bad_hashes: &BTreeMap::new(),
        covered: &BTreeSet::new(),
        end_of_support: None,
        scanners: Scanners::ALL,
        now: now.parse().unwrap(),
        tuning: &compiled,
        place: Place { digest: None, repositories: &repositories },
    })
}

const SOME: &str = "some-key high app/a.env";
const OTHER: &str = "other-key low usr/share/doc/x";
const USER: &str = "root-user medium";

fn check(text: &str, repositories: &[&str], open: &[&str], dismissed: &[(&str, Dismissal)]) {
    let (found, let_go) = judge(text, repositories);
    assert_eq!(found, open, "{text}");
    let let_go: Vec<_> = let_go.iter().map(|(id, by)| (id.as_str(), *by)).collect();
    assert_eq!(let_go, dismissed, "{text}");
}

#[test]
fn each_setting_dismisses_what_it_names() {
    use Dismissal::{Allowed, BelowConfidence, SwitchedOff};
    check("", &["r/a"], &[SOME, OTHER, USER], &[]);
    check("[[rules]]\nid = \"root-user\"\nenabled = false", &["r/a"], &[SOME, OTHER], &[(USER, SwitchedOff)]);
    check("minimum_confidence = \"medium\"", &["r/a"], &[SOME, USER], &[(OTHER, BelowConfidence)]);
    let own = "minimum_confidence = \"high\"\n[[rules]]\nid = \"other-*\"\nminimum_confidence = \"low\"";
    check(own, &["r/a"], &[SOME, OTHER, USER], &[]);
    check(
        "[[rules]]\nid = \"*-key\"\nseverity = \"critical\"",
        &["r/a"],
        &["some-key critical app/a.env", OTHER, USER],
        &[],
    );
    let entry = |parts: &str| format!("[[allow]]\nreason = \"tests\"\n{parts}");
    check(&entry("paths = [\"usr/share/doc/*\"]"), &["r/a"], &[SOME, USER], &[(OTHER, Allowed)]);
    check(&entry("rule = \"some-key\"\nfingerprint = \"f1\""), &["r/a"], &[SOME, OTHER, USER], &[]);
    check(&entry("rule = \"root-user\""), &["r/a"], &[SOME, OTHER], &[(USER, Allowed)]);
}

#[test]
fn what_the_detector_knows_to_be_harmless_is_no_finding() {
    let mut inventory = inventory();
    for observation in &mut inventory.observations {
        let ObservationKind::Secret(fact) = &mut observation.kind else { continue };
        fact.dismissed = (fact.rule == "other-key").then(|| "an example of the documentation".to_owned());
    }
    let compiled = CompiledTuning::default();
    let facts = ImageFacts {
        inventory: &inventory,
        matches: &BTreeMap::new(),
        bad_hashes: &BTreeMap::new(),
        covered: &BTreeSet::new(),
        end_of_support: None,
        scanners: Scanners::ALL,
        now: NOW.parse().unwrap(),
        tuning: &compiled,
        place: Place::default(),
    };
    let Assessment { findings, dismissed } = assess(&facts, Show::Open);
    assert!(findings.iter().any(|f| f.id == "some-key") && findings.iter().all(|f| f.id != "other-key"));
    let known = dismissed.iter().find(|d| d.finding.id == "other-key").unwrap();
    assert_eq!((known.by, known.why.as_str()), (Dismissal::Harmless, "an example of the documentation"));
}

#[test]
fn an_entry_for_some_repositories_counts_when_it_speaks_about_all_that_are_looked_at() {
    let text = "[[allow]]\nrule = \"other-key\"\nimages = [\"r/team/*\"]\nreason = \"tests\"";
    check(text, &["r/team/a"], &[SOME, USER], &[(OTHER, Dismissal::Allowed)]);
    check(text, &["r/else"], &[SOME, OTHER, USER], &[]);
    check(text, &["r/else", "r/team/a"], &[SOME, OTHER, USER], &[]);
    check(text, &[], &[SOME, OTHER, USER], &[]);
}

#[test]
fn parameters_of_a_check_can_be_set() {
    let ports = "[[rules]]\nid = \"remote-access-port\"\nseverity = \"low\"\nparameters = { ports = [22, 2222] }";
    check(ports, &["r/a"], &[SOME, OTHER, USER, "remote-access-port low"], &[]);
}

#[test]
fn entries_end() {
    let text = "[[allow]]\nrule = \"other-key\"\nreason = \"tests\"\nexpires_at = \"2026-02-01T00:00:00Z\"";
    let end: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    assert_eq!(with_facts(text, &["r/a"], NOW, findings_boundary), Some(end));
    let ids = |now: &str| {
        let found = assessed(text, &["r/a"], now).findings;
        found.iter().any(|f| f.id == "other-key")
    };
    assert_eq!((ids("2026-01-31T23:59:59Z"), ids("2026-02-01T00:00:00Z")), (false, true));
}

#[test]
fn what_is_dismissed_is_shown_with_its_reason_when_everything_is_asked_for() {
    let text = "[[allow]]\nrule = \"other-key\"\nreason = \"only an example\"";
    let all = with_facts(text, &["r/a"], NOW, |facts| findings(facts, Show::All));
    let row = all.iter().find(|f| f.id == "other-key").unwrap();
    assert_eq!(row.status, FindingStatus::NotAffected);
    assert!(row.because.starts_with("allowed: only an example. "), "{}", row.because);
}

#[test]
fn a_control_does_not_pass_because_its_check_is_switched_off() {
    let text = "[[rules]]\nid = \"root-user\"\nenabled = false";
    let (state, because, dismissed) = with_facts(text, &["r/a"], NOW, |facts| {
        let Assessment { findings, dismissed } = assess(facts, Show::Open);
        let control = policy::compliance(facts, &findings).into_iter().find(|c| c.control.id == "4.1").unwrap();
        (control.state, control.because, dismissed)
    });
    assert_eq!((state, because.as_str()), (policy::ControlState::NotEvaluated, "the check root-user is switched off"));
    assert!(dismissed.iter().any(|d| d.finding.id == "cis-docker-4.1" && d.by == Dismissal::SwitchedOff));
}

#[test]
fn issues_of_what_is_dismissed_say_why_they_are_resolved() {
    let resolution = |by: Dismissal| {
        let found = finding(FindingKind::Misconfiguration, "root-user", Severity::Medium);
        let mut seen = image(1, &["1"], vec![found.clone()]);
        let policies = policies("[[policies]]\nid='all'\nname='All'\nkind='misconfigurations'\naction='issue'\n");
        let issues: Vec<_> =
            judged(&[seen.clone()], &policies).desired.iter().map(|desired| open(1, desired)).collect();
        seen.findings = Vec::new().into();
        seen.dismissed = vec![policy::Dismissed { finding: found, by, why: "x".to_owned() }].into();
        let judged = judged(&[seen], &policies);
        let gone = policy::Gone { policies: &policies, unread: false };
        match policy::transition(&issues, &judged, gone).pop() {
            Some(model::issue::Transition::Resolve(_, resolution)) => resolution,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(resolution(Dismissal::Allowed), model::issue::Resolution::Excepted);
    assert_eq!(resolution(Dismissal::SwitchedOff), model::issue::Resolution::PolicyChanged);
    assert_eq!(resolution(Dismissal::BelowConfidence), model::issue::Resolution::PolicyChanged);
}

#[test]
fn documents_that_would_do_nothing_are_refused_by_place() {
    let check = |text: &str, key: &str, what: &str| {
        let problems = check_tuning(&parse_tuning(text).unwrap(), &BTreeSet::new());
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert!(problem.key == key && problem.what.contains(what), "{problem}");
    };
    check("[[rules]]\nid = \"nobody\"", "rules[0].id", "nobody");
    check("[[rules]]\nid = \"*-user\"\nparameters = { ports = [1] }", "rules[0].parameters", "not the id of one check");
    check("[[rules]]\nid = \"root-user\"\nparameters = { x = 1 }", "rules[0].parameters", "it has none");
    check("[[rules]]\nid = \"old-image\"\nparameters = { days = \"x\" }", "rules[0].parameters", "do not fit");
    check("[[allow]]\nreason = \"all\"", "allow[0].rule", "everything");
    check("[[allow]]\nreason = \"\"\nrule = \"x\"", "allow[0].reason", "characters");
    check("[[allow]]\nreason = \"x\"\npaths = [\"[\"]", "allow[0].paths", "not a glob");
    let error = parse_tuning("[[rules]]\nid = 3").unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn a_document_reads_back_as_it_was() {
    let text = "minimum_confidence = \"high\"\n[[rules]]\nid = \"old-image\"\nparameters = { days = 30 }\n\
                [[allow]]\nrule = \"x\"\nreason = \"y\"\nexpires_at = \"2026-02-01T00:00:00Z\"";
    let tuning = parse_tuning(text).unwrap();
    assert_eq!(parse_tuning(&tuning_text(&tuning).unwrap()).unwrap(), tuning);
}

#[test]
fn only_named_repositories_count_as_base_images() {
    let label = |name: &str| {
        let mut inventory = inventory();
        let labels = &mut inventory.configuration.config.labels;
        labels.insert("org.opencontainers.image.base.name".to_owned(), name.to_owned());
        inventory.configuration
    };
    let rules = "base_images = [\"registry.example/base/*\", \"docker.io/library/alpine\"]\n\n[[allow]]\nrule = \"some-key\"\nreason = \"x\"\n";
    let document = tuning(rules);
    assert_eq!(parse_tuning(&tuning_text(&document).unwrap()).unwrap(), document, "what is written is read again");
    let (all, some) = (CompiledTuning::default(), CompiledTuning::new(&document));
    assert!(!all.names_bases() && some.names_bases());
    let check = |name: &str, expect: bool| {
        assert!(all.told_base(&label(name)).is_some(), "{name}");
        assert_eq!(some.told_base(&label(name)).is_some(), expect, "{name}");
    };
    check("registry.example/base/python:3.12", true);
    check("alpine:3.20", true);
    check("registry.example/team/python:3.12", false);
    check("alpine-like:3.20", false);
    check("not a reference", false);
    assert!(some.counts_as_base(["team/app", "registry.example/base/go"]));
    assert!(!some.counts_as_base([]));

    let many = format!("base_images = [{}]", vec!["\"a\""; 1001].join(","));
    for (text, key) in [("base_images = [\"[a\"]", "base_images"), (many.as_str(), "base_images")] {
        let found = check_tuning(&parse_tuning(text).unwrap(), &BTreeSet::new());
        assert_eq!(found.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), [key]);
    }
}
