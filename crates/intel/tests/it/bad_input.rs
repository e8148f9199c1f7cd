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

#[test]
fn a_document_cut_at_any_length_is_never_taken_for_a_whole_one() {
    let good = good_documents();
    assert!(good.len() >= 15, "{}", good.len());
    for (name, bytes) in good.iter().filter(|(name, _)| name.ends_with(".json")) {
        let whole = bytes.trim_ascii_end().len();
        for length in 0..whole {
            let found = intake(name, &bytes[..length]);
            assert!(!matches!(found, Intake::Recognised(_)), "{name} cut to {length}: {found:?}");
        }
    }
}

#[test]
fn a_cut_document_fails_for_its_own_feed() {
    for (name, bytes) in good_documents().iter().filter(|(name, _)| name.ends_with(".json")) {
        let Intake::Recognised(feed) = intake(name, bytes) else { panic!("{name}") };
        let found = intake(name, &bytes[..bytes.trim_ascii_end().len() - 1]);
        let Intake::Failed { feed: failed, reason } = found else { panic!("{name}: {found:?}") };
        assert_eq!(failed, feed, "{name}");
        assert!(reason.starts_with(name.as_str()), "{reason}");
    }
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
        ("arch/advisory.json", None),
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
    assert_eq!((hex.meta.records, hex.meta.skipped.get("unknown ecosystem Hex")), (0, Some(&1)));
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
