//! Real images against real feeds: the reported rows equal those that the feed implies, computed here without the
//! matcher and with another comparison.

use crate::support::{compile, documents, intelligence, key, test_data};
use model::package::{Distro, SourcePackage};
use model::{GapReason, Package, PackageFormat, PackageKey, Verdict};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

/// (binary package, vulnerability, fixed version).
type Row = (String, String, String);

#[derive(Debug, Clone)]
struct Installed {
    name: String,
    version: String,
    origin: String,
}

#[expect(clippy::disallowed_types, reason = "a test reads archives that it trusts")]
fn gunzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A file of a tar archive, or of a layer inside it.
fn member(archive: &[u8], wanted: &str) -> Option<Vec<u8>> {
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let is_layer = path.ends_with("layer.tar");
        if !is_layer && path.trim_start_matches("./") != wanted {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if !is_layer {
            return Some(bytes);
        }
        if let Some(found) = member(&bytes, wanted) {
            return Some(found);
        }
    }
    None
}

fn installed(image: &Path) -> Vec<Installed> {
    let database = member(&gunzip(image), "lib/apk/db/installed").expect("the image has an apk database");
    let database = String::from_utf8(database).unwrap();
    let field = |stanza: &str, name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    database
        .split("\n\n")
        .filter(|stanza| !stanza.trim().is_empty())
        .map(|stanza| Installed {
            name: field(stanza, "P:"),
            version: field(stanza, "V:"),
            origin: field(stanza, "o:"),
        })
        .collect()
}

/// Orders the versions that occur in these images and feeds: numbers, one letter, a date suffix, a revision.
fn older(a: &str, b: &str) -> bool {
    parts(a).cmp(&parts(b)) == Ordering::Less
}

fn parts(version: &str) -> (Vec<u64>, char, u64, u64) {
    let (rest, revision) = version.rsplit_once("-r").unwrap_or_else(|| panic!("{version} has no revision"));
    let (numbers, suffix) = match rest.split_once('_') {
        Some((numbers, suffix)) => {
            let digits: String = suffix.chars().filter(char::is_ascii_digit).collect();
            assert!(suffix.starts_with("git") || suffix.starts_with('p'), "{version}: this test cannot order that");
            (numbers, 1 + digits.parse::<u64>().unwrap_or(0))
        }
        None => (rest, 0),
    };
    let letter = numbers.chars().last().filter(char::is_ascii_lowercase).unwrap_or(' ');
    let numbers = numbers.trim_end_matches(letter).split('.').map(|n| n.parse().unwrap()).collect();
    (numbers, letter, suffix, revision.parse().unwrap())
}

/// What a secdb document implies: every listed fix that is newer than what is installed.
fn implied(document: &[u8], installed: &[Installed]) -> BTreeSet<Row> {
    let document: serde_json::Value = serde_json::from_slice(document).unwrap();
    let mut rows = BTreeSet::new();
    for listing in document["packages"].as_array().unwrap() {
        let origin = listing["pkg"]["name"].as_str().unwrap();
        for package in installed.iter().filter(|package| package.origin == origin) {
            for (fixed, ids) in listing["pkg"]["secfixes"].as_object().unwrap() {
                for id in ids.as_array().into_iter().flatten().map(|id| id.as_str().unwrap()) {
                    assert!(id.starts_with("CVE-") && !id.contains(' '), "{id}: this test cannot read that");
                    if fixed != "0" && older(&package.version, fixed) {
                        rows.insert((package.name.clone(), id.to_owned(), fixed.clone()));
                    }
                }
            }
        }
    }
    rows
}

fn package_key(package: &Installed, version: &str) -> PackageKey {
    let mut key = PackageKey::new(PackageFormat::Apk, &package.name, &package.version);
    key.distro = Some(Distro { id: "alpine".into(), version: version.into() });
    key.source = Some(SourcePackage { name: package.origin.clone(), version: package.version.clone() });
    key
}

fn check_image(image: &str, version: &str, release: &str) -> BTreeSet<Row> {
    let Some(data) = test_data() else { return BTreeSet::new() };
    let packages = installed(&data.join("images").join(image));
    assert!(packages.len() >= 13, "{} packages in {image}", packages.len());
    let all = documents(&data.join("feeds/alpine-secdb"));
    assert!(all.len() >= 18);
    let feeds = compile(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let intelligence = intelligence(&feeds);
    let mut expected = BTreeSet::new();
    for (_, bytes) in all.iter().filter(|(name, _)| name.starts_with(&format!("{release}/"))) {
        expected.append(&mut implied(bytes, &packages));
    }
    let mut found = BTreeSet::new();
    for package in &packages {
        for m in intelligence.matches(&package_key(package, version)).unwrap() {
            match m.verdict {
                Verdict::Affected { fixed, .. } => {
                    assert!(m.because.contains(&fixed[0]), "{}", m.because);
                    found.extend(fixed.into_iter().map(|f| (package.name.clone(), m.vulnerability.clone(), f)));
                }
                Verdict::Undecided { why } => panic!("{package:?} {}: {why}", m.vulnerability),
                Verdict::NotAffected { .. } => {}
            }
        }
    }
    assert_eq!(found, expected, "{image}");
    println!("{image}: {} rows of {} packages", found.len(), packages.len());
    found
}

#[test]
fn alpine_3_10_2_has_exactly_the_rows_that_secdb_implies() {
    let rows = check_image("docker-save-alpine-3.10.2.tar.gz", "3.10.2", "v3.10");
    if !rows.is_empty() {
        let has = |name: &str, id: &str, fixed: &str| rows.contains(&(name.into(), id.into(), fixed.into()));
        assert!(has("libssl1.1", "CVE-2019-1547", "1.1.1d-r0"), "{rows:?}");
        assert!(has("libcrypto1.1", "CVE-2019-1547", "1.1.1d-r0"), "{rows:?}");
    }
}

#[test]
fn alpine_3_9_6_has_exactly_the_rows_that_secdb_implies() {
    check_image("alpine-minirootfs-3.9.6-x86_64.tar.gz", "3.9.6", "v3.9");
}

#[test]
fn alpine_3_20_is_a_gap_and_not_a_clean_result() {
    let Some(data) = test_data() else { return };
    let all = documents(&data.join("feeds/alpine-secdb"));
    let feeds = compile(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let packages: Vec<Package> = installed(&data.join("images/alpine-minirootfs-3.20.3-x86_64.tar.gz"))
        .iter()
        .map(|p| Package { key: package_key(p, "3.20.3"), evidence: vec![], licenses: vec![], owner: None })
        .collect();
    let gaps = intelligence(&feeds).gaps(&packages, None, crate::support::now());
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].scope.as_str(), gaps[0].reason), ("alpine 3.20", GapReason::NoAdvisories));
    let expect = format!("no advisories for alpine 3.20: {} packages were not checked", packages.len());
    assert!(gaps[0].detail.starts_with(&expect), "{}", gaps[0].detail);
}

#[test]
fn django_2_2_0_is_judged_by_its_osv_records() {
    let Some(data) = test_data() else { return };
    let archive = std::fs::read(data.join("feeds/osv/PyPI.zip")).unwrap();
    let all = crate::support::unzip("PyPI.zip", &archive);
    let django = all.iter().filter(|(_, bytes)| String::from_utf8_lossy(bytes).to_lowercase().contains("\"django\""));
    let feeds = compile(django.map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let matches = intelligence(&feeds).matches(&key("pkg:pypi/Django@2.2.0")).unwrap();
    let of = |id: &str| matches.iter().find(|m| m.vulnerability == id).unwrap_or_else(|| panic!("{id} is not there"));
    // SQL injection through Trunc(kind), fixed in 3.2.14 and 4.0.6; 2.2 is outside the record's range.
    assert!(matches!(of("CVE-2022-34265").verdict, Verdict::NotAffected { .. }));
    // XSS in AdminURLFieldWidget: 2.2.2 has the fix for the 2.2 branch (Django's release notes).
    match &of("CVE-2019-12308").verdict {
        Verdict::Affected { fixed, .. } => assert_eq!(fixed[0], "2.2.2"),
        other => panic!("{other:?}"),
    }
}
