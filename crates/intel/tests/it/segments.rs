//! Segments: what was cut off or changed never gives a result.

use crate::support::{compile, compile_one, fixtures, intelligence, key, open};
use intel::{CompiledFeed, Intelligence, Segment, changes};
use model::Digest;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

const PURL: &str = "pkg:pypi/example-listed@1.0.0";

fn small() -> CompiledFeed {
    let path = fixtures("feeds/osv-language/input/PyPI/PYSEC-2030-2.json");
    compile_one("PYSEC-2030-2.json", &std::fs::read_to_string(path).unwrap()).remove(0)
}

/// A hash list whose segment has several blocks.
fn large() -> CompiledFeed {
    let mut list = String::new();
    for n in 0..6000u32 {
        writeln!(list, "{:064x},name {n}", u64::from(n) * 0x9e37_79b9).unwrap();
    }
    compile_one("hashes.csv", &list).remove(0)
}

fn opened(bytes: Vec<u8>) -> Result<Segment, intel::Error> {
    Segment::open(Arc::new(bytes))
}

#[test]
fn segments_that_were_cut_or_extended_are_refused() {
    let whole = small().segment;
    for length in 0..whole.len() {
        assert!(opened(whole[..length].to_vec()).is_err(), "cut to {length} of {} bytes", whole.len());
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(opened(longer).is_err());
    opened(whole).unwrap().verify().unwrap();
}

#[test]
fn every_changed_bit_of_a_segment_ends_in_an_error() {
    let feed = small();
    let expect = intelligence(std::slice::from_ref(&feed)).matches(&key(PURL)).unwrap();
    assert_eq!(expect.len(), 1);
    for at in 0..feed.segment.len() {
        let mut bytes = feed.segment.clone();
        bytes[at] ^= 1 << (at % 8);
        let answer = opened(bytes).and_then(|segment| {
            let intelligence = Intelligence::new(1, vec![(feed.meta.clone(), segment.clone())]);
            assert!(segment.verify().is_err(), "byte {at} is not covered");
            intelligence.matches(&key(PURL))
        });
        assert!(answer.is_err(), "byte {at} was changed and {answer:?} was answered");
    }
}

#[test]
fn a_changed_block_is_an_error_at_its_first_use_and_the_others_still_answer() {
    let feed = large();
    let blocks = (feed.segment.len() - 192) / (4096 + 32);
    assert!(blocks >= 4, "{blocks} blocks are too few for this test");
    let digests: Vec<Digest> =
        (0..6000u32).map(|n| Digest::from_hex(&format!("{:064x}", u64::from(n) * 0x9e37_79b9)).unwrap()).collect();
    let whole = intelligence(std::slice::from_ref(&feed));
    for block in 0..blocks {
        let mut bytes = feed.segment.clone();
        bytes[256 + block * 4096 + 2000] ^= 4;
        let segment = opened(bytes).unwrap();
        assert!(segment.verify().is_err(), "block {block}");
        let tampered = Intelligence::new(1, vec![(feed.meta.clone(), segment)]);
        let mut errors = 0;
        for digest in digests.iter().step_by(7) {
            match tampered.bad_hashes(digest) {
                Ok(found) => assert_eq!(found, whole.bad_hashes(digest).unwrap()),
                Err(e) => {
                    errors += 1;
                    assert!(e.to_string().contains("hashes-hashes"), "{e}");
                }
            }
        }
        assert!(errors > 0, "block {block} was never used");
    }
}

#[test]
fn what_is_no_segment_is_refused_with_a_reason() {
    let check = |bytes: &[u8], expect: &str| {
        let error = opened(bytes.to_vec()).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(b"", "cut short");
    check(&[0; 4096], "PRATIQSG");
    let mut other_format = small().segment;
    other_format[8] = 9;
    check(&other_format, "format 9");
    // Headers of other formats are shorter.
    check(&other_format[..192], "format 9");
    check(&other_format[..11], "cut short");
}

#[test]
fn equal_documents_give_equal_segments_in_any_order() {
    let folder = fixtures("feeds/osv-language/input");
    let documents = crate::support::files(&folder);
    let forward = compile(documents.iter().map(|(n, b)| (n.as_str(), b.as_slice())));
    let backward = compile(documents.iter().rev().map(|(n, b)| (n.as_str(), b.as_slice())));
    assert_eq!(forward.len(), backward.len());
    for (one, other) in forward.iter().zip(&backward) {
        assert_eq!(one.meta, other.meta);
        assert!(one.segment == other.segment, "{}", one.meta.id);
    }
}

fn names(old: &str, new: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let feed = |text: &str| open(&compile_one("secdb.json", text).remove(0));
    let found = changes(Some(&feed(old)), Some(&feed(new))).unwrap();
    assert!(found.hashes.is_empty());
    let packages = found.packages.into_iter().map(|(release, name)| format!("{release} {name}")).collect();
    (packages, found.vulnerabilities)
}

fn secdb(packages: &str) -> String {
    format!(r#"{{"distroversion":"v3.10","reponame":"main","apkurl":"a","urlprefix":"b","packages":[{packages}]}}"#)
}

#[test]
fn changes_name_exactly_the_packages_whose_advisories_differ() {
    let package =
        |name: &str, fix: &str| format!(r#"{{"pkg":{{"name":"{name}","secfixes":{{"{fix}":["CVE-2030-1000"]}}}}}}"#);
    let check = |old: &[(&str, &str)], new: &[(&str, &str)], expect: &[&str]| {
        let text = |p: &[(&str, &str)]| secdb(&p.iter().map(|(n, f)| package(n, f)).collect::<Vec<_>>().join(","));
        let (packages, vulnerabilities) = names(&text(old), &text(new));
        assert_eq!(packages.into_iter().collect::<Vec<_>>(), expect);
        assert!(vulnerabilities.is_empty());
    };
    check(&[("a", "1-r0"), ("b", "1-r0")], &[("a", "1-r0"), ("b", "1-r0")], &[]);
    check(&[("a", "1-r0"), ("b", "1-r0")], &[("a", "1-r0"), ("b", "2-r0")], &["Alpine:v3.10 b"]);
    check(&[("a", "1-r0")], &[("a", "1-r0"), ("c", "1-r0")], &["Alpine:v3.10 c"]);
    check(&[("a", "1-r0"), ("z", "1-r0")], &[("b", "1-r0")], &["Alpine:v3.10 a", "Alpine:v3.10 b", "Alpine:v3.10 z"]);
}

#[test]
fn changes_ignore_dates_and_see_ratings_and_hashes() {
    let osv = |modified: &str, vector: &str| {
        let text = format!(
            r#"{{"id":"GHSA-1","modified":"{modified}","aliases":["CVE-2030-1000"],"severity":[{{"type":"CVSS_V3","score":"{vector}"}}],
            "affected":[{{"package":{{"ecosystem":"npm","name":"a"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}}]}}]}}]}}"#
        );
        open(&compile_one("a.json", &text).remove(0))
    };
    let high = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    let low = "CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:N/A:N";
    let same = changes(Some(&osv("2030-01-01T00:00:00Z", high)), Some(&osv("2030-01-02T00:00:00Z", high))).unwrap();
    assert!(same.is_empty(), "{same:?}");
    let rated = changes(Some(&osv("2030-01-01T00:00:00Z", high)), Some(&osv("2030-01-01T00:00:00Z", low))).unwrap();
    assert_eq!((rated.packages.len(), rated.vulnerabilities.len()), (1, 1));
    let list = |text: &str| open(&compile_one("hashes.txt", text).remove(0));
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let found = changes(Some(&list(&one)), Some(&list(&format!("{one}\n{two}\n")))).unwrap();
    assert_eq!(found.hashes.into_iter().map(|d| d.hex()).collect::<Vec<_>>(), [two]);
    let gone = changes(Some(&list(&one)), None).unwrap();
    assert_eq!(gone.hashes.len(), 1);
}

#[test]
fn changes_see_a_day_on_which_support_ends() {
    let feed = |day: &str| {
        let text = format!(
            r#"{{"schema_version":"1.2.0","generated_at":"2030-01-01T00:00:00Z","result":{{"name":"debian","label":"Debian",
            "releases":[{{"name":"12","eolFrom":"{day}"}}]}}}}"#
        );
        open(&compile_one("debian.json", &text).remove(0))
    };
    let same = changes(Some(&feed("2028-06-30")), Some(&feed("2028-06-30"))).unwrap();
    assert!(same.is_empty(), "{same:?}");
    assert!(changes(Some(&feed("2028-06-30")), Some(&feed("2028-07-31"))).unwrap().end_of_life);
    assert!(changes(None, Some(&feed("2028-06-30"))).unwrap().end_of_life);
}
