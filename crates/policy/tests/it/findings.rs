//! Golden findings: `fixtures/policy/<case>/input.json` becomes `expect.json`.
//!
//! `PRATIQUE_BLESS=1` rewrites the expectations.

use model::advisory::{BadHash, EndOfSupport};
use model::{Digest, EcosystemRelease, Finding, FindingKind, ImageInventory, Match, PackageKey, Timestamp};
use policy::{CompiledTuning, ImageFacts, Place, Scanners, Show, compliance, findings, findings_boundary};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize)]
struct Case {
    inventory: ImageInventory,
    matches: Vec<(PackageKey, Vec<Match>)>,
    #[serde(default)]
    bad_hashes: BTreeMap<Digest, Vec<BadHash>>,
    covered: Vec<String>,
    now: Timestamp,
}

#[derive(Serialize)]
struct Expect {
    findings: Vec<Finding>,
    only_with_show_all: Vec<String>,
    compliance: Vec<String>,
    next_boundary: Option<Timestamp>,
}

/// The values of a case, as the facts borrow them.
struct Known {
    case: Case,
    matches: BTreeMap<PackageKey, Arc<[Match]>>,
    covered: BTreeSet<EcosystemRelease>,
    tuning: CompiledTuning,
}

impl Known {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path.join("input.json")).unwrap();
        let case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let matches = case.matches.iter().map(|(key, found)| (key.clone(), Arc::from(found.as_slice()))).collect();
        let covered = case.covered.iter().map(|name| EcosystemRelease::from_name(name).unwrap()).collect();
        Self { case, matches, covered, tuning: CompiledTuning::default() }
    }

    fn facts(&self) -> ImageFacts<'_> {
        ImageFacts {
            inventory: &self.case.inventory,
            matches: &self.matches,
            bad_hashes: &self.case.bad_hashes,
            covered: &self.covered,
            end_of_support: None,
            scanners: Scanners::ALL,
            now: self.case.now,
            tuning: &self.tuning,
            place: Place::default(),
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/policy");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn case(name: &str) -> Known {
    Known::read(&cases().into_iter().find(|path| path.ends_with(name)).unwrap())
}

#[test]
fn findings_are_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 3);
    for path in cases {
        let known = Known::read(&path);
        let facts = known.facts();
        let open = findings(&facts, Show::Open);
        let named = |f: &Finding| {
            let package = f.package.as_ref().map(|p| p.name.as_str()).unwrap_or_default();
            format!("{} {package} {}", f.id, f.status.as_str())
        };
        let known_open: BTreeSet<String> = open.iter().map(named).collect();
        let all = findings(&facts, Show::All);
        let results = compliance(&facts, &open);
        let expect = Expect {
            only_with_show_all: all.iter().map(named).filter(|name| !known_open.contains(name)).collect(),
            compliance: results.iter().map(|r| format!("{} {}: {}", r.id(), r.state.as_str(), r.because)).collect(),
            next_boundary: findings_boundary(&facts),
            findings: open,
        };
        let mut found = serde_json::to_string_pretty(&expect).unwrap();
        found.push('\n');
        let file = path.join("expect.json");
        if std::env::var_os("PRATIQUE_BLESS").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, wanted, "{} (PRATIQUE_BLESS=1 rewrites it)", file.display());
    }
}

#[test]
fn a_failed_control_is_a_finding_and_the_other_way_round() {
    for path in cases() {
        let known = Known::read(&path);
        let found = findings(&known.facts(), Show::Open);
        let failed: Vec<String> = compliance(&known.facts(), &found)
            .iter()
            .filter(|r| r.state == policy::ControlState::Failed)
            .map(policy::ControlResult::id)
            .collect();
        let mut raised: Vec<String> =
            found.iter().filter(|f| f.kind == FindingKind::Compliance).map(|f| f.id.clone()).collect();
        raised.sort();
        let mut failed = failed;
        failed.sort();
        assert_eq!(raised, failed, "{}", path.display());
    }
}

#[test]
fn the_order_of_facts_means_nothing() {
    let mut known = case("alpine-everything");
    let expect = findings(&known.facts(), Show::All);
    known.case.inventory.packages.reverse();
    known.case.inventory.observations.reverse();
    known.case.inventory.files.reverse();
    assert_eq!(findings(&known.facts(), Show::All), expect);
}

#[test]
fn scanners_that_were_not_asked_for_say_nothing() {
    let known = case("alpine-everything");
    let none = Scanners { vulnerabilities: false, secrets: false, malware: false, configuration: false };
    let check = |scanners: Scanners, expect: &[FindingKind]| {
        let facts = ImageFacts { scanners, ..known.facts() };
        let kinds: BTreeSet<FindingKind> = findings(&facts, Show::All).iter().map(|f| f.kind).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expect, "{scanners:?}");
    };
    check(none, &[]);
    check(Scanners { vulnerabilities: true, ..none }, &[FindingKind::Vulnerability, FindingKind::EndOfLife]);
    check(Scanners { secrets: true, ..none }, &[FindingKind::Secret]);
    check(Scanners { malware: true, ..none }, &[FindingKind::Malware]);
    check(Scanners { configuration: true, ..none }, &[FindingKind::Misconfiguration, FindingKind::Compliance]);
}

#[test]
fn a_language_package_of_a_covered_distribution_is_not_reported_twice() {
    let mut known = case("alpine-everything");
    let check = |known: &Known, expect: bool| {
        let found = findings(&known.facts(), Show::All).iter().any(|f| f.id == "CVE-2019-20916");
        assert_eq!(found, expect);
    };
    check(&known, false);
    known.covered.clear();
    check(&known, true);
}

#[test]
fn nothing_is_passed_that_was_not_looked_at() {
    let mut known = case("clean");
    let state = |known: &Known, control: &str| {
        let facts = known.facts();
        let results = compliance(&facts, &findings(&facts, Show::Open));
        results.iter().find(|r| r.control.id == control).map(|r| (r.state.as_str(), r.because.clone())).unwrap()
    };
    assert_eq!(state(&known, "4.10").0, "passed");
    assert_eq!(state(&known, "4.4").0, "passed");
    known.case.inventory.gaps.push(model::Gap {
        scope: "layer 0".to_owned(),
        detector: None,
        reason: model::GapReason::Unreadable,
        detail: "layer 0 could not be read".to_owned(),
    });
    let (found, why) = state(&known, "4.10");
    assert_eq!(found, "not-evaluated");
    assert!(why.contains("layer 0 could not be read"), "{why}");
    known.case.inventory.gaps.clear();
    known.covered.clear();
    assert_eq!(state(&known, "4.4"), ("not-evaluated", "no advisories are loaded for alpine 3.24".to_owned()));
    known.case.inventory.detectors.retain(|v| v.detector != model::Detector::Secrets);
    assert_eq!(state(&known, "4.10").0, "not-evaluated");
}

#[test]
fn support_ends_on_the_day_after_its_last() {
    let known = case("debian-long-term-support");
    let check = |now: &str, severity: Option<&str>, boundary: Option<&str>| {
        let facts = ImageFacts { now: now.parse().unwrap(), ..known.facts() };
        let found = findings(&facts, Show::Open);
        let found = found.iter().find(|f| f.kind == FindingKind::EndOfLife).map(|f| f.severity.as_str());
        assert_eq!(found, severity, "{now}");
        assert_eq!(findings_boundary(&facts).map(|t| t.to_string()).as_deref(), boundary, "{now}");
    };
    check("2026-07-11T23:59:59Z", None, Some("2026-07-12T00:00:00Z"));
    check("2026-07-12T00:00:00Z", Some("medium"), Some("2028-07-01T00:00:00Z"));
    check("2028-07-01T00:00:00Z", Some("high"), None);
}

#[test]
fn a_feed_tells_when_support_ends_and_the_table_where_none_does() {
    let known = case("debian-long-term-support");
    let day = |text: &str| format!("{text}T00:00:00Z").parse().unwrap();
    let told = |until: &str, release: &str| EndOfSupport {
        feed: "end-of-life".to_owned(),
        name: "Debian".to_owned(),
        release: release.to_owned(),
        as_of: day("2026-11-02"),
        until: day(until),
        extended_until: None,
    };
    let check = |feed: Option<&EndOfSupport>, now: &str, expect: Option<(&str, &str)>| {
        let facts = ImageFacts { now: day(now), end_of_support: feed, ..known.facts() };
        let found = findings(&facts, Show::Open);
        let found = found.iter().find(|f| f.kind == FindingKind::EndOfLife);
        assert_eq!(found.map(|f| (f.severity.as_str(), f.because.as_str())), expect, "{now}");
    };
    let table = "security support of Debian 12 ended on 2026-07-11; long-term support, for a part of the packages, lasts \
                 until 2028-06-30, as Pratique's own table of 2026-08-22 says";
    check(None, "2026-08-01", Some(("medium", table)));
    // The end of Debian's own support stands in the table alone.
    let longer = "security support of Debian 12 ended on 2026-07-11; long-term support, for a part of the packages, lasts \
                  until 2029-01-31, as feed end-of-life of 2026-11-02 says";
    check(Some(&told("2029-01-31", "12")), "2026-08-01", Some(("medium", longer)));
    check(Some(&told("2029-01-31", "12")), "2026-07-01", None);
    // A day that was brought forward counts at once.
    let sooner = "security support of Debian 12 ended on 2026-01-31, as feed end-of-life of 2026-11-02 says";
    check(Some(&told("2026-01-31", "12")), "2026-02-01", Some(("high", sooner)));
    let facts = ImageFacts { now: day("2026-01-01"), ..known.facts() };
    let feed = told("2026-01-31", "12");
    let boundary = findings_boundary(&ImageFacts { end_of_support: Some(&feed), ..facts });
    assert_eq!(boundary, Some(day("2026-02-01")));
    // A release that only the feed knows.
    let unknown = told("2026-01-31", "12.99");
    check(Some(&unknown), "2026-01-01", None);
    let high = "security support of Debian 12.99 ended on 2026-01-31, as feed end-of-life of 2026-11-02 says";
    check(Some(&unknown), "2026-02-01", Some(("high", high)));
}
