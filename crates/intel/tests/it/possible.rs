//! What is found with the verdict first equals what is found with everything read, and what a matcher remembers of the
//! packages before changes nothing.

use crate::support::{compile, documents, intelligence, test_data};
use intel::{CompiledFeed, Intelligence, Matcher, changes};
use model::package::{Distro, SourcePackage};
use model::{Ecosystem, EcosystemRelease, Match, PackageKey, Verdict};
use std::collections::BTreeSet;

/// A package of a release, as its own database would record it.
fn key(release: &EcosystemRelease, name: &str, version: &str) -> Option<PackageKey> {
    let mut key = PackageKey::new(release.ecosystem.format(), name, version);
    if release.ecosystem.format().is_os() {
        let id = match release.ecosystem {
            Ecosystem::Alpine => "alpine",
            Ecosystem::Debian => "debian",
            Ecosystem::AlmaLinux => "almalinux",
            _ => return None,
        };
        let version = release.release.as_deref().unwrap_or_default().trim_start_matches('v').to_owned();
        key.distro = Some(Distro { id: id.to_owned(), version });
        key.source = Some(SourcePackage { name: name.to_owned(), version: key.version.clone() });
    }
    (key.ecosystem().as_ref() == Some(release)).then_some(key)
}

fn check(intelligence: &Intelligence, matcher: &mut Matcher<'_>, key: &PackageKey) -> (usize, usize) {
    let all = intelligence.matches(key).unwrap();
    let is_open = |m: &&Match| !matches!(m.verdict, Verdict::NotAffected { .. });
    let expect: Vec<Match> = all.iter().filter(is_open).cloned().collect();
    assert_eq!(intelligence.possible(key).unwrap(), expect, "{}", key.purl());
    assert_eq!(matcher.possible(key).unwrap(), expect, "{} after others", key.purl());
    (all.len(), expect.len())
}

fn packages(feeds: &[CompiledFeed]) -> BTreeSet<(EcosystemRelease, String)> {
    feeds.iter().flat_map(|feed| changes(None, Some(&crate::support::open(feed))).unwrap().packages).collect()
}

#[test]
fn verdict_first_finds_what_reading_everything_finds() {
    let Some(data) = test_data() else { return };
    let all = documents(&data.join("feeds"));
    let feeds = compile(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let intelligence = intelligence(&feeds);
    let mut matcher = intelligence.matcher();
    let (mut matches, mut open, mut looked_up) = (0, 0, 0);
    for (at, (release, name)) in packages(&feeds).into_iter().step_by(7).enumerate() {
        // Versions before, among and after those that records name, and what is no version.
        let versions = [
            "0",
            "1.2.3",
            "8.4.1-1.el8",
            "1:1.1.1k-7.el8_6",
            "10.0.0",
            "3.0.11-1~deb12u1",
            "99999-r0",
            "99.0",
            "x",
            "7:9",
        ];
        let version = versions[at % versions.len()];
        let Some(key) = key(&release, &name, version) else { continue };
        let (found, kept) = check(&intelligence, &mut matcher, &key);
        (matches, open, looked_up) = (matches + found, open + kept, looked_up + 1);
    }
    println!("{looked_up} packages: {matches} matches, {open} of them affected or undecided");
    assert!(looked_up > 1000 && open > 1000 && matches > open + 1000, "{looked_up} {matches} {open}");
}

#[test]
fn packages_are_found_by_the_vulnerabilities_that_their_advisories_name() {
    let Some(data) = test_data() else { return };
    let all = documents(&data.join("feeds/debian-tracker"));
    let feeds = compile(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let found = intelligence(&feeds).packages_with(&BTreeSet::from(["CVE-2023-0286".to_owned()])).unwrap();
    let names: BTreeSet<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["openssl"]));
}
