//! Documents that are not what they should be: a clear answer, no panic, nothing guessed.

use crate::support::{documents, files, fixtures, intelligence, key, now, test_data};
use intel::{Compiler, Intake};
use proptest::prelude::*;

fn intake(name: &str, bytes: &[u8]) -> Intake {
    Compiler::new(now()).document(name, bytes)
}

/// Every document of the golden cases that is recognised.
fn good_documents() -> Vec<(String, Vec<u8>)> {
    let all = files(&fixtures("feeds")).into_iter().filter(|(name, _)| name.contains("/input/"));
    all.filter(|(name, bytes)| matches!(intake(name, bytes), Intake::Recognised(_))).collect()
}

/// Rows that stand for themselves: a file that ends between two of them is a smaller file.
fn is_of_rows(name: &str) -> bool {
    name.ends_with(".csv") || name.ends_with(".txt")
}

#[test]
fn a_document_cut_at_any_length_is_never_taken_for_a_whole_one() {
    let good = good_documents();
    assert!(good.len() >= 35, "{}", good.len());
    for (name, bytes) in good.iter().filter(|(name, _)| !is_of_rows(name)) {
        let whole = bytes.trim_ascii_end().len();
        // Every length of a small document; of a large one every hundredth of it and its last hundred bytes.
        let step = (whole / 100).max(1);
        let lengths = (0..whole).filter(|at| whole < 3_000 || at % step == 0 || whole - at < 100);
        for length in lengths {
            let found = intake(name, &bytes[..length]);
            assert!(!matches!(found, Intake::Recognised(_)), "{name} cut to {length}: {found:?}");
        }
    }
    let (name, scores) = good.iter().find(|(name, _)| name.contains("epss_scores")).unwrap();
    let found = intake(name, scores.trim_ascii_end());
    assert!(matches!(&found, Intake::Failed { feed, .. } if feed == "epss"), "{found:?}");
}

#[test]
fn a_cut_document_fails_for_its_own_feed() {
    for (name, bytes) in good_documents().iter().filter(|(name, _)| !is_of_rows(name)) {
        let Intake::Recognised(feed) = intake(name, bytes) else { panic!("{name}") };
        let found = intake(name, &bytes[..bytes.trim_ascii_end().len() - 1]);
        let Intake::Failed { feed: failed, reason } = found else { panic!("{name}: {found:?}") };
        assert_eq!(failed, feed, "{name}");
        assert!(reason.starts_with(name.as_str()), "{reason}");
    }
}

/// What servers send in place of a document: a page, an error, nothing, another document.
#[test]
fn what_is_not_the_document_is_never_taken_for_it() {
    let pages: [&[u8]; 8] = [
        b"",
        b" \n",
        b"null",
        b"[]",
        b"{}",
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"<html><head><title>502 Bad Gateway</title></head></html>",
        b"{\"error\":\"rate limit\",\"message\":\"try later\"}",
    ];
    for (name, _) in good_documents().iter().filter(|(name, _)| !is_of_rows(name)) {
        for page in pages {
            let found = intake(name, page);
            assert!(!matches!(found, Intake::Recognised(_)), "{name}: {found:?}");
        }
    }
}

/// Each field of each document in turn becomes something else: the document fails, or the record that it stands in is
/// counted as broken or left out, and no verdict appears that the document did not give.
#[test]
fn fields_of_another_type_never_make_a_verdict() {
    for (name, bytes) in good_documents().iter().filter(|(name, _)| name.ends_with(".json")) {
        let whole: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        for wrong in
            [serde_json::json!(null), serde_json::json!(7), serde_json::json!([]), serde_json::json!({"x": "y"})]
        {
            for at in 0..count(&whole) {
                let mut changed = whole.clone();
                replace(&mut changed, &mut { at }, &wrong);
                let mut compiler = Compiler::new(now());
                compiler.document(name, changed.to_string().as_bytes());
                let known = intelligence(&compiler.finish());
                for purl in packages_beside(name) {
                    known.matches(&key(&purl)).unwrap();
                }
            }
        }
    }
}

fn packages_beside(name: &str) -> Vec<String> {
    let case = fixtures("feeds").join(name.split("/input/").next().unwrap());
    let text = std::fs::read_to_string(case.join("packages.txt")).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("pkg:")).take(2).map(str::to_owned).collect()
}

/// How many values are in a document, at most as many as are worth changing one by one.
fn count(value: &serde_json::Value) -> usize {
    fn all(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(values) => 1 + values.iter().map(all).sum::<usize>(),
            serde_json::Value::Object(fields) => 1 + fields.values().map(all).sum::<usize>(),
            _ => 1,
        }
    }
    all(value).min(120)
}

/// Replaces the value that is the `at`-th in the order of the document.
fn replace(value: &mut serde_json::Value, at: &mut usize, by: &serde_json::Value) -> bool {
    if *at == 0 {
        *value = by.clone();
        return true;
    }
    *at -= 1;
    match value {
        serde_json::Value::Array(values) => values.iter_mut().any(|inner| replace(inner, at, by)),
        serde_json::Value::Object(fields) => fields.values_mut().any(|inner| replace(inner, at, by)),
        _ => false,
    }
}

/// Dates far in the future, in every feed that has dates: the feed does not count as recent because of them.
#[test]
fn no_feed_is_recent_because_its_clock_is_wrong() {
    for (name, bytes) in good_documents() {
        let text = String::from_utf8(bytes).unwrap();
        let later = text.replace("2030-0", "2093-0");
        let mut compiler = Compiler::new(now());
        compiler.document(&name, later.as_bytes());
        for feed in compiler.finish() {
            assert_eq!(feed.meta.modified, None, "{name}: {}", feed.meta.id);
        }
    }
}

/// Ranges that end before they begin, and records without versions: undecided where a package is named, never clean.
#[test]
fn ranges_that_make_no_sense_decide_nothing() {
    let record = |range: &str| {
        format!(
            r#"{{"id":"A-1","modified":"2030-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"npm","name":"a"}}{range}}}]}}"#
        )
    };
    let events = |events: &str| format!(r#","ranges":[{{"type":"SEMVER","events":[{events}]}}]"#);
    for range in [
        String::new(),
        r#","versions":[]"#.to_owned(),
        events(r#"{"fixed":"1.0.0"}"#),
        events(r#"{"introduced":"not a version"},{"fixed":"2.0.0"}"#),
    ] {
        let known = intelligence(&crate::support::compile_one("a.json", &record(&range)));
        let found = crate::support::only(&known, "pkg:npm/a@1.5.0");
        assert!(matches!(found.verdict, model::Verdict::Undecided { .. }), "{range}: {found:?}");
    }
    let reversed = record(&events(r#"{"introduced":"2.0.0"},{"fixed":"1.0.0"}"#));
    let known = intelligence(&crate::support::compile_one("a.json", &reversed));
    let found = crate::support::only(&known, "pkg:npm/a@2.5.0");
    assert!(!matches!(found.verdict, model::Verdict::NotAffected { .. }), "{found:?}");
}

#[test]
fn xml_beyond_the_limits_is_refused() {
    let check = |text: String, expect: &str| {
        let found = intake("updateinfo.xml", text.as_bytes());
        assert!(matches!(&found, Intake::Failed { reason, .. } if reason.contains(expect)), "{expect}: {found:?}");
    };
    check(format!("<updates>{}{}</updates>", "<a>".repeat(200), "</a>".repeat(200)), "nested deeper");
    check(format!("<updates><update>{}</update></updates>", "<p/>".repeat(1_000_001)), "more than 1000000 elements");
    let attributes: String = (0..100).map(|n| format!(" a{n}=\"\"")).collect();
    check(format!("<updates><update{attributes}/></updates>"), "more than 64 attributes");
    check("<updates><update type=\"security\">&lol9;</update></updates>".to_owned(), "entity");
}

#[test]
fn a_broken_record_is_counted_and_named_and_the_others_stay() {
    let mut compiler = Compiler::new(now());
    for (name, bytes) in files(&fixtures("feeds/damaged/input")) {
        compiler.document(&name, &bytes);
    }
    let feeds = compiler.finish();
    let ids: Vec<_> = feeds.iter().map(|feed| feed.meta.id.as_str()).collect();
    // Feeds of which nothing could be read are not replaced.
    assert_eq!(ids, ["osv-pypi"]);
    assert_eq!((feeds[0].meta.records, feeds[0].meta.broken_records), (1, 2));
    assert!(feeds[0].meta.broken[0].contains("cut-record.json"), "{:?}", feeds[0].meta.broken);
    assert_eq!(intelligence(&feeds).matches(&key("pkg:pypi/survivor@1.0")).unwrap().len(), 1);
}

#[test]
fn documents_over_the_limits_are_refused() {
    let mut record = br#"{"id":"A-1","modified":"2030-01-01T00:00:00Z","affected":[]"#.to_vec();
    record.resize(64 * 1024 * 1024 + 1, b' ');
    record.push(b'}');
    assert!(matches!(intake("a.json", &record), Intake::Failed { .. }));
    let deep = format!(r#"{{"id":"A-1","modified":"x","affected":{}{}}}"#, "[".repeat(9000), "]".repeat(9000));
    assert!(!matches!(intake("a.json", deep.as_bytes()), Intake::Recognised(_)));
    let long = format!(
        r#"{{"id":"A-1","modified":"x","affected":[{{"package":{{"ecosystem":"npm","name":"{}"}}}}]}}"#,
        "n".repeat(5000)
    );
    let found = intake("a.json", long.as_bytes());
    assert!(matches!(&found, Intake::Failed { reason, .. } if reason.contains("5000 bytes")), "{found:?}");
}

#[test]
fn names_with_control_characters_are_refused() {
    let record = r#"{"id":"A-1","modified":"x","affected":[{"package":{"ecosystem":"npm","name":"a\u001fb"}}]}"#;
    assert!(matches!(intake("a.json", record.as_bytes()), Intake::Failed { .. }));
}

#[test]
fn dates_in_the_future_do_not_make_a_feed_recent() {
    let record = |modified: &str| {
        format!(
            r#"{{"id":"A-1","modified":"{modified}","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},"versions":["1.0.0"]}}]}}"#
        )
    };
    let modified = |text: &str| crate::support::compile_one("a.json", &record(text))[0].meta.modified;
    assert!(modified("2030-02-14T00:00:00Z").is_some());
    assert!(modified("2093-01-01T00:00:00Z").is_none());
}

#[test]
fn the_newest_of_two_versions_of_a_record_counts() {
    let record = |modified: &str, version: &str| {
        format!(
            r#"{{"id":"A-1","modified":"{modified}","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},"versions":["{version}"]}}]}}"#
        )
    };
    let (old, new) = (record("2030-01-01T00:00:00Z", "1.0.0"), record("2030-01-02T00:00:00Z", "2.0.0"));
    for documents in [[&old, &new], [&new, &old]] {
        let feeds = crate::support::compile(documents.map(|text| ("a.json", text.as_bytes())));
        assert_eq!(feeds[0].meta.records, 1);
        let found = crate::support::only(&intelligence(&feeds), "pkg:npm/a@2.0.0");
        assert!(matches!(found.verdict, model::Verdict::Affected { .. }), "{found:?}");
    }
}

/// Every upstream form in the test data, valid and invalid, cut and whole.
#[test]
fn every_upstream_document_gets_an_answer() {
    let Some(data) = test_data() else { return };
    let expected = [
        ("alpine-secdb/v3.16/main.json", Some("alpine-secdb-v3.16-main")),
        ("alpine-secdb/edge/community.json", Some("alpine-secdb-edge-community")),
        ("alpine-secdb/indexof.html", None),
        ("debian-tracker-json/advisory.json", Some("debian-tracker")),
        ("debian-tracker-json/invalid.json", None),
        ("cisa-kev/known_exploited_vulnerabilities.json", Some("cisa-kev")),
        ("pypi-osv/all.zip/all/PYSEC-2023-1.json", Some("osv-pypi")),
        ("rocky-osv/all.zip/all/RLSA-2023:0005.json", Some("osv-rocky-linux")),
        ("redhat-osv/all.zip/all/RHSA-2024:8709.json", Some("osv-red-hat")),
        ("hex-osv/all.zip/all/GHSA-2c28-m2m7-mf55.json", Some("osv-hex")),
        ("npm-osv/all.zip/all/MAL-2023-1.json", Some("osv-npm")),
        ("suse-osv/osv.tar.bz2", None),
        ("photon-cve-json/happy/cve_data_photon4.0.json", Some("photon-4.0")),
        ("redhat-csaf-vex/2023/cve-2023-6212.json", Some("redhat-vex")),
        ("redhat-csaf/2023/rhsa-2023_7435.json", Some("redhat-csaf")),
        ("openeuler-osv/happy/OESA-2021-1001.json", Some("osv-openeuler")),
        ("endoflife-date-legacy/happy/full", Some("end-of-life")),
        ("arch/advisory.json", Some("arch")),
        ("arch/invalid.json", None),
        ("oracle-oval/invalid.xml", None),
        ("nvd-cve-api-2.0/1_item/0-1.json", Some("nvd")),
    ];
    let all = documents(&data.join("feed-formats"));
    assert!(all.len() > 80, "{} documents", all.len());
    let mut compiler = Compiler::new(now());
    for (name, bytes) in &all {
        let found = compiler.document(name, bytes);
        if let Some((_, feed)) = expected.iter().find(|(path, _)| path == name) {
            match feed {
                Some(feed) => assert_eq!(found, Intake::Recognised((*feed).to_owned()), "{name}"),
                None => assert_eq!(found, Intake::Unrecognised, "{name}"),
            }
        }
        for cut in [1, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(2)] {
            intake(name, &bytes[..cut.min(bytes.len())]);
        }
    }
    for (path, _) in &expected {
        assert!(all.iter().any(|(name, _)| name == path), "{path} is not in the test data");
    }
    let feeds = compiler.finish();
    let hex = feeds.iter().find(|feed| feed.meta.id == "osv-hex").unwrap();
    assert_eq!((hex.meta.records, hex.meta.skipped.get("unknown ecosystem Hex")), (1, None));
    intelligence(&feeds);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(which in any::<prop::sample::Index>(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let good = good_documents();
        let (name, bytes) = which.get(&good);
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut compiler = Compiler::new(now());
        compiler.document(name, &bytes);
        for feed in compiler.finish() {
            crate::support::open(&feed).verify().unwrap();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "[a-z./]{0,12}(hashes)?(.json|.txt)?") {
        intake(&name, &bytes);
    }
}
