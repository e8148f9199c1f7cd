//! Matching: three values, merged sources, reasons, gaps.

use crate::support::{compile_one, fixtures, intelligence, key, now, only};
use intel::{CompiledFeed, Intelligence, lookup_keys};
use jiff::ToSpan as _;
use model::advisory::{NotAffected, Outlook};
use model::inventory::OsRelease;
use model::{EcosystemRelease, GapReason, Package, Severity, Verdict};
use proptest::prelude::*;

fn osv(ecosystem: &str, events: &str) -> Vec<CompiledFeed> {
    let text = format!(
        r#"{{"id":"EX-1","modified":"2030-01-01T00:00:00Z","aliases":["CVE-2030-1000"],"affected":[{{"package":
        {{"ecosystem":"{ecosystem}","name":"thing"}},"ranges":[{{"type":"ECOSYSTEM","events":[{events}]}}]}}]}}"#
    );
    compile_one("EX-1.json", &text)
}

fn case(name: &str) -> Vec<CompiledFeed> {
    let documents = crate::support::files(&fixtures(&format!("feeds/{name}/input")));
    crate::support::compile(documents.iter().map(|(n, b)| (n.as_str(), b.as_slice())))
}

/// The secdb case without its broken records, which would be a gap of their own.
fn sound_secdb() -> Vec<CompiledFeed> {
    let mut feeds = case("secdb");
    feeds.iter_mut().for_each(|feed| feed.meta.broken_records = 0);
    feeds
}

fn package(purl: &str) -> Package {
    Package { key: key(purl), evidence: Vec::new(), licenses: Vec::new(), owner: None }
}

#[test]
fn ranges_are_evaluated_as_the_osv_schema_says() {
    let check = |events: &str, version: &str, expect: &str| {
        let found = only(&intelligence(&osv("npm", events)), &format!("pkg:npm/thing@{version}"));
        let found = match found.verdict {
            Verdict::Affected { fixed, .. } => format!("affected {}", fixed.join(" ")).trim_end().to_owned(),
            Verdict::NotAffected { why } => format!("{why:?}"),
            Verdict::Undecided { .. } => "undecided".to_owned(),
        };
        assert_eq!(found, expect, "{version} in {events}");
    };
    let two = r#"{"introduced":"1.0.0"},{"fixed":"1.4.0"},{"introduced":"2.0.0"},{"fixed":"2.1.0"}"#;
    check(two, "0.9.0", "OutOfRange");
    check(two, "1.0.0", "affected 1.4.0 2.1.0");
    check(two, "1.4.0", "Fixed");
    check(two, "2.0.5", "affected 2.1.0");
    check(two, "2.1.0", "Fixed");
    check(two, "latest", "undecided");
    check(r#"{"introduced":"0"},{"last_affected":"1.0.0"}"#, "1.0.0", "affected");
    check(r#"{"introduced":"0"},{"last_affected":"1.0.0"}"#, "1.0.1", "OutOfRange");
    check(r#"{"introduced":"0"},{"limit":"1.0.0"}"#, "1.0.0", "OutOfRange");
    check(r#"{"introduced":"0"},{"limit":"*"}"#, "9.0.0", "affected");
    check(r#"{"fixed":"1.0.0"},{"introduced":"0"}"#, "0.5.0", "affected 1.0.0");
    check(r#"{"introduced":"2.0.0"},{"fixed":"1.0.0"}"#, "1.5.0", "undecided");
    check(r#"{"introduced":"0"},{"fixed":"soon"}"#, "1.5.0", "undecided");
    // Every version is affected, so one that cannot be read is, too.
    check(r#"{"introduced":"0"}"#, "latest", "affected");
}

#[test]
fn the_reason_names_package_version_comparison_and_source() {
    let feeds = case("secdb");
    let found = only(&intelligence(&feeds[..1]), "pkg:apk/alpine/twice@1.1-r0?distro=alpine-3.10.2");
    assert_eq!(found.because, "twice 1.1-r0 < 1.2-r0 (apk order): secdb v3.10 main says fixed in 1.1-r0 and 1.2-r0");
    assert_eq!(found.verdict, Verdict::Affected { fixed: vec!["1.2-r0".into()], outlook: Outlook::Open });
    assert_eq!(found.advisories[0].feed, "alpine-secdb-v3.10-main");
}

#[test]
fn an_advisory_about_two_cves_gives_two_matches() {
    let intelligence = intelligence(&case("osv-language"));
    let found = intelligence.matches(&key("pkg:pypi/example-pair@1.0")).unwrap();
    let ids: Vec<_> = found.iter().map(|m| (m.vulnerability.as_str(), m.aliases.join(" "))).collect();
    assert_eq!(ids, [("CVE-2030-1005", "PYSEC-2030-5".to_owned()), ("CVE-2030-1006", "PYSEC-2030-5".to_owned())]);
}

#[test]
fn the_version_to_install_satisfies_every_advisory() {
    let found = only(&intelligence(&case("osv-language")), "pkg:pypi/example-web@2.2.0");
    // One advisory says 2.2.28, the other 2.2.29.
    let Verdict::Affected { fixed, .. } = &found.verdict else { panic!("{found:?}") };
    assert_eq!(fixed, &["2.2.29", "2.2.28", "3.2.13"]);
    assert_eq!(found.aliases, ["GHSA-aaaa-bbbb-cccc", "PYSEC-2030-1"]);
    assert_eq!((found.severity, found.severity_source.as_str()), (Severity::High, "osv-pypi"));
    assert!((found.cvss[0].score - 7.5).abs() < f64::EPSILON);
}

#[test]
fn a_distribution_s_own_feed_decides_over_its_copy() {
    let purl = "pkg:deb/debian/copied@1.0-1?distro=debian-12";
    let found = only(&intelligence(&case("debian-tracker")), purl);
    assert_eq!(found.verdict, Verdict::NotAffected { why: NotAffected::Declared });
    assert_eq!(found.advisories.len(), 2);
    assert!(found.because.contains("does not decide"), "{}", found.because);
}

#[test]
fn a_cve_s_score_is_borrowed_from_other_feeds_and_named() {
    let bitnami = compile_one(
        "BIT-1.json",
        r#"{"id":"BIT-example-2030-3001","modified":"2030-01-01T00:00:00Z","aliases":["CVE-2030-3001"],"affected":[{"package":
        {"ecosystem":"Bitnami","name":"example"},"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#,
    );
    let purl = "pkg:apk/alpine/libexample@1.1.1c-r0?distro=alpine-3.10.2&upstream=example";
    let severity = |feeds: &[CompiledFeed]| {
        let found = intelligence(feeds).matches(&key(purl)).unwrap();
        let found = found.into_iter().find(|m| m.vulnerability == "CVE-2030-3001").unwrap();
        (found.severity, found.severity_source, found.advisories.len())
    };
    let alone = case("secdb");
    assert_eq!(severity(&alone), (Severity::Unknown, "none".to_owned(), 1));
    let both = [alone, bitnami].concat();
    assert_eq!(severity(&both), (Severity::Critical, "osv-bitnami".to_owned(), 1));
}

#[test]
fn only_exactly_this_ecosystem_and_release_is_covered() {
    let intelligence = intelligence(&case("secdb"));
    let check = |release: &str, expect: bool| {
        assert_eq!(intelligence.covers(&EcosystemRelease::from_name(release).unwrap()), expect, "{release}");
    };
    check("Alpine:v3.10", true);
    check("Alpine:v3.20", false);
    check("Alpine", false);
    check("Wolfi", true);
    check("npm", false);
}

#[test]
fn what_is_not_covered_is_a_gap() {
    let packages = [
        package("pkg:apk/alpine/a@1-r0?distro=alpine-3.20.3"),
        package("pkg:apk/alpine/b@1-r0?distro=alpine-3.20.3"),
        package("pkg:apk/alpine/a@1-r0?distro=alpine-3.10.2"),
        package("pkg:npm/a@1.0.0"),
        package("pkg:deb/gentoo/a@1?distro=gentoo-2"),
    ];
    let gaps = intelligence(&sound_secdb()).gaps(&packages, None, now());
    let shown: Vec<_> = gaps.iter().map(|g| (g.scope.as_str(), g.reason, g.detail.as_str())).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    assert_eq!((shown[0].0, shown[0].1), ("alpine 3.20", GapReason::NoAdvisories));
    assert!(shown[0].2.starts_with("no advisories for alpine 3.20: 2 packages were not checked"), "{}", shown[0].2);
    assert_eq!(shown[1].0, "gentoo 2");
    assert!(shown[2].2.starts_with("no advisories for npm: 1 package was not checked"), "{}", shown[2].2);
}

#[test]
fn no_intelligence_at_all_is_a_gap() {
    let os = OsRelease { id: "alpine".into(), version: "3.10.2".into(), name: "Alpine".into() };
    let gaps = Intelligence::new(0, Vec::new()).gaps(&[package("pkg:npm/a@1.0.0")], Some(&os), now());
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].detail.starts_with("no intelligence is loaded"), "{}", gaps[0].detail);
}

#[test]
fn feeds_that_are_old_or_failed_are_gaps_where_they_matter() {
    let mut feeds = [case("secdb"), case("kev-and-hashes")].concat();
    for feed in &mut feeds {
        feed.meta.broken_records = 0;
        feed.meta.error = (feed.meta.id == "cisa-kev").then(|| "it was cut short".to_owned());
    }
    let intelligence = intelligence(&feeds);
    let alpine = [package("pkg:apk/alpine/a@1-r0?distro=alpine-3.10.2")];
    let scopes = |days: i64| {
        let later = now() + (days * 24).hours();
        let gaps = intelligence.gaps(&alpine, None, later);
        assert!(gaps.iter().all(|gap| gap.reason == GapReason::StaleFeed), "{gaps:?}");
        gaps.into_iter().map(|gap| gap.scope).collect::<Vec<_>>()
    };
    assert_eq!(scopes(1), ["cisa-kev"]);
    assert_eq!(scopes(20), ["cisa-kev", "cisa-kev"]);
    // The npm feed is old as well, and no npm package is there.
    assert_eq!(scopes(31), ["alpine-secdb-v3.10-main", "cisa-kev", "cisa-kev"]);
}

#[test]
fn a_feed_of_which_a_large_part_was_lost_is_a_gap() {
    let packages = [package("pkg:apk/alpine/a@1-r0?distro=alpine-3.10.2")];
    let mut feeds = case("secdb");
    let reasons = |feeds: &[CompiledFeed]| {
        let gaps = intelligence(feeds).gaps(&packages, None, now());
        gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&feeds), [GapReason::Malformed]);
    feeds[0].meta.records = 1000;
    assert!(reasons(&feeds).is_empty());
}

#[test]
fn explanations_tell_each_step() {
    let intelligence = intelligence(&case("secdb"));
    let check = |purl: &str, vulnerability: &str, expect: &[&str]| {
        let text = intelligence.explain(&key(purl), vulnerability).unwrap().to_string();
        for part in expect {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    };
    let purl = "pkg:apk/alpine/libexample@1.1.1c-r0?distro=alpine-3.10&upstream=example";
    check(
        purl,
        "cve-2030-3001",
        &[
            "looked up      example 1.1.1c-r0 in alpine-secdb-v3.10-main: 3 records",
            "compared       example 1.1.1c-r0 < 1.1.1d-r0 (apk order)",
            "verdict        affected; fixed in 1.1.1d-r0",
        ],
    );
    check(purl, "CVE-2030-3003", &["not affected: the installed version has the fix"]);
    check(purl, "CVE-1999-0001", &["no loaded advisory of that id mentions the package"]);
    check("pkg:npm/a@1", "CVE-1999-0001", &["no advisories for npm are loaded"]);
    check("pkg:apk/a@1-r0", "CVE-1999-0001", &["distribution is unknown or not supported"]);
    check(
        "pkg:apk/alpine/hypervisor@4.9.2-r0?distro=alpine-3.10",
        "XSA-1273",
        &["also known as  XSA-1273", "verdict        affected; fixed in 4.9.3-r0"],
    );
}

#[test]
fn explanations_name_what_was_passed_over_and_what_a_distribution_means_to_do() {
    let check = |name: &str, document: &str, purl: &str, id: &str, expect: &[&str]| {
        let text = intelligence(&compile_one(name, document)).explain(&key(purl), id).unwrap().to_string();
        for part in expect {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    };
    let module = r#"{"id":"ALSA-2030:1","aliases":["CVE-2030-0001"],"modified":"2030-01-01T00:00:00Z","affected":[{
        "package":{"ecosystem":"AlmaLinux:8","name":"nodejs"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:18.2.0-1.module_el8.5.0+1+a"}]}]}]}"#;
    check(
        "ALSA-2030:1.json",
        module,
        "pkg:rpm/almalinux/nodejs@18.1.0-1.el8?distro=almalinux-8&epoch=1",
        "CVE-2030-0001",
        &[
            "passed over    osv-almalinux ALSA-2030:1: it is about packages of another kind, and this one is of no module",
            "verdict        not listed",
        ],
    );
    let tracker = r#"{"example":{"CVE-2030-0002":{"releases":{"bookworm":{"status":"open","nodsa":"Minor issue",
        "nodsa_reason":"ignored","repositories":{"bookworm":"1.0-1"},"urgency":"low"}}}}}"#;
    let purl = "pkg:deb/debian/example@1.0-1?distro=debian-12";
    let ignored = ["verdict        affected, and it will not be fixed for this release", "Minor issue"];
    check("data.json", tracker, purl, "CVE-2030-0002", &ignored);
    let postponed = tracker.replace("ignored", "postponed");
    check("data.json", &postponed, purl, "CVE-2030-0002", &["verdict        affected, and the fix is put off"]);
    let unreadable = "pkg:deb/debian/example@a:b?distro=debian-12";
    let fixed = tracker.replace(r#""status":"open""#, r#""status":"resolved","fixed_version":"1.0-2""#);
    check(
        "data.json",
        &fixed,
        unreadable,
        "CVE-2030-0002",
        &["verdict        undecided: \"a:b\" is not a deb version"],
    );
}

#[test]
fn changed_packages_are_found_by_their_lookup_keys() {
    let keys = lookup_keys(&key("pkg:apk/alpine/libexample@1-r0?distro=alpine-3.10.2&upstream=example"));
    let shown: Vec<_> = keys.iter().map(|(release, name)| format!("{release} {name}")).collect();
    assert_eq!(shown, ["Alpine:v3.10 example"]);
    assert!(lookup_keys(&key("pkg:apk/a@1-r0")).is_empty());
}

/// Ranges that say nothing about every version: then a version that cannot be read decides nothing.
fn bounded_events() -> impl Strategy<Value = String> {
    let number = 0u8..4;
    proptest::collection::vec((0u8..4, number), 1..5).prop_map(|events| {
        let event = |(kind, number): &(u8, u8)| match kind {
            0 => format!(r#"{{"introduced":"{number}.0.0"}}"#),
            1 => format!(r#"{{"fixed":"{number}.0.0"}}"#),
            2 => format!(r#"{{"last_affected":"{number}.0.0"}}"#),
            _ => format!(r#"{{"limit":"{number}.0.0"}}"#),
        };
        events.iter().map(event).collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_version_that_cannot_be_read_is_never_not_affected(events in bounded_events(), version in "[a-z!~ ]{1,8}") {
        let ecosystem = "PyPI";
        prop_assume!(intel::version::Scheme::Pep440.validate(&version).is_err());
        let mut wanted = key("pkg:pypi/thing@1");
        wanted.version.clone_from(&version);
        for found in intelligence(&osv(ecosystem, &events)).matches(&wanted).unwrap() {
            let is_cleared = matches!(found.verdict, Verdict::NotAffected { .. });
            prop_assert!(!is_cleared, "{version:?} in {events}: {found:?}");
        }
    }

    #[test]
    fn intervals_agree_with_the_walk_of_the_osv_schema(events in bounded_events(), version in 0u8..5) {
        let found = only(&intelligence(&osv("npm", &events)), &format!("pkg:npm/thing@{version}.0.0"));
        match (walk(&events, version), &found.verdict) {
            (_, Verdict::Undecided { .. }) => {}
            (expect, verdict) => {
                prop_assert_eq!(expect, matches!(verdict, Verdict::Affected { .. }), "{} in {}", version, events);
            }
        }
    }
}

/// The algorithm of the OSV schema, "Evaluation", as it stands there, on major versions.
fn walk(events: &str, version: u8) -> bool {
    let events: Vec<serde_json::Value> = serde_json::from_str(&format!("[{events}]")).unwrap();
    let number = |event: &serde_json::Value, name: &str| -> Option<u8> {
        event.get(name).map(|v| v.as_str().unwrap().split('.').next().unwrap().parse().unwrap())
    };
    let limits: Vec<u8> = events.iter().filter_map(|e| number(e, "limit")).collect();
    if !limits.is_empty() && !limits.iter().any(|limit| version < *limit) {
        return false;
    }
    let rank = |e: &serde_json::Value| {
        let at = ["introduced", "fixed", "last_affected", "limit"].iter().find_map(|name| number(e, name)).unwrap();
        (at, e.get("last_affected").is_some())
    };
    let mut sorted = events.clone();
    sorted.sort_by_key(rank);
    let mut vulnerable = false;
    for event in &sorted {
        if number(event, "introduced").is_some_and(|at| version >= at) {
            vulnerable = true;
        }
        if number(event, "fixed").is_some_and(|at| version >= at) {
            vulnerable = false;
        }
        if number(event, "last_affected").is_some_and(|at| version > at) {
            vulnerable = false;
        }
    }
    vulnerable
}

/// AlmaLinux's errata about a curl of 2030, each with its fix.
fn curl(errata: &[(&str, &str)]) -> Intelligence {
    let documents: Vec<(String, String)> = errata
        .iter()
        .map(|(id, fixed)| {
            let document = format!(
                r#"{{"id":"{id}","related":["CVE-2030-0003"],"modified":"2030-01-01T00:00:00Z","affected":[{{
                "package":{{"ecosystem":"AlmaLinux:9","name":"curl"}},
                "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
            );
            (format!("{id}.json"), document)
        })
        .collect();
    intelligence(&crate::support::compile(
        documents.iter().map(|(name, document)| (name.as_str(), document.as_bytes())),
    ))
}

#[test]
fn a_fix_for_the_installed_minor_release_is_a_fix() {
    let second = ("ALSA-2030:2", "7.76.1-23.el9_2.4");
    let third = ("ALSA-2030:3", "7.76.1-26.el9_3.2");
    let again = ("ALSA-2030:4", "7.76.1-23.el9_2.6");
    let rebased = ("ALSA-2030:5", "7.80.0-1.el9");
    let check = |errata: &[(&str, &str)], installed: &str, expect: &str| {
        let intelligence = curl(errata);
        let key = key(&format!("pkg:rpm/almalinux/curl@{installed}?distro=almalinux-9"));
        let found = intelligence.matches(&key).unwrap();
        let verdict = match &found[0].verdict {
            Verdict::Affected { fixed, .. } => fixed.join(" "),
            Verdict::NotAffected { .. } => "not affected".to_owned(),
            Verdict::Undecided { why } => why.clone(),
        };
        assert_eq!(verdict, expect, "{errata:?} {installed}: {}", found[0].because);
        let open: Vec<_> = found.into_iter().filter(|m| !matches!(m.verdict, Verdict::NotAffected { .. })).collect();
        assert_eq!(intelligence.possible(&key).unwrap(), open, "{errata:?} {installed}");
    };
    let both = "7.76.1-26.el9_3.2 7.76.1-23.el9_2.4";
    check(&[second, third], "7.76.1-23.el9_2.4", "not affected");
    check(&[second, third], "7.76.1-23.el9_2.5", "not affected");
    check(&[second, third], "7.76.1-26.el9_3.2", "not affected");
    check(&[second, rebased], "7.76.1-23.el9_2.4", "not affected");
    // Older than the fix of its own minor release.
    check(&[second, third], "7.76.1-23.el9_2.3", both);
    // Of another minor release, and of none: the newest fix counts.
    check(&[second, third], "7.76.1-24.el9_1.9", "7.76.1-26.el9_3.2");
    check(&[second, third], "7.76.1-26.el9_3.1", "7.76.1-26.el9_3.2");
    check(&[second, third], "7.76.1-24.el9", "7.76.1-26.el9_3.2");
    check(&[second, rebased], "7.76.1-24.el9", "7.80.0-1.el9");
    // Its own minor release was fixed a second time.
    check(&[second, third, again], "7.76.1-23.el9_2.5", "7.76.1-26.el9_3.2 7.76.1-23.el9_2.6");
    check(&[second, third, again], "7.76.1-23.el9_2.6", "not affected");
    check(&[third], "7.76.1-23.el9_2.4", "7.76.1-26.el9_3.2");
    let purl = "pkg:rpm/almalinux/curl@7.76.1-23.el9_2.4?distro=almalinux-9";
    let found = only(&curl(&[second, third]), purl);
    assert_eq!(
        found.because,
        "curl 7.76.1-23.el9_2.4 >= 7.76.1-23.el9_2.4 (rpm order): osv-almalinux ALSA-2030:2 says fixed in \
         7.76.1-23.el9_2.4; osv-almalinux ALSA-2030:3 does not decide, because the installed build is of el9_2, which has a \
         fix of its own (curl 7.76.1-23.el9_2.4 < 7.76.1-26.el9_3.2 (rpm order): osv-almalinux ALSA-2030:3 says fixed in \
         7.76.1-26.el9_3.2)"
    );
    let text = curl(&[second, third]).explain(&key(purl), "CVE-2030-0003").unwrap().to_string();
    assert!(text.contains("ALSA-2030:3 does not decide, because the installed build is of el9_2"), "{text}");
}
