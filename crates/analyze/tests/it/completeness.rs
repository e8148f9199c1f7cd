//! Every analyzer has a fixture and a line in the coverage table, every ecosystem an analyzer and a version scheme, and
//! every format without an ecosystem says why.

use crate::languages::fixtures;
use analyze::packages::{ANALYZERS, COVERAGE, Coverage, REMARKS};
use model::{Ecosystem, PackageFormat};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The table of `fixtures/versions` of an ecosystem's versions.
const fn versions_of(ecosystem: Ecosystem) -> &'static str {
    match ecosystem.format() {
        PackageFormat::Apk => "apk",
        PackageFormat::Deb => "deb",
        PackageFormat::Rpm => "rpm",
        PackageFormat::Npm => "npm",
        PackageFormat::PyPi => "pep440",
        PackageFormat::Golang => "go",
        PackageFormat::Maven => "maven",
        PackageFormat::Gem => "gem",
        PackageFormat::Composer => "composer",
        PackageFormat::NuGet => "nuget",
        PackageFormat::Bitnami => "bitnami",
        PackageFormat::Alpm => "alpm",
        PackageFormat::Conan => "conan",
        PackageFormat::Cran => "cran",
        PackageFormat::Hackage => "hackage",
        PackageFormat::Hex => "hex",
        PackageFormat::Pub => "pub",
        PackageFormat::Generic => "generic",
        PackageFormat::Cargo | PackageFormat::Julia | PackageFormat::Swift => "semver",
        PackageFormat::Cocoapods
        | PackageFormat::Conda
        | PackageFormat::Cpan
        | PackageFormat::Luarocks
        | PackageFormat::Otp => "",
    }
}

/// Formats that no ecosystem has.
fn without_ecosystem() -> BTreeSet<PackageFormat> {
    let with: BTreeSet<_> = Ecosystem::ALL.iter().map(|ecosystem| ecosystem.format()).collect();
    PackageFormat::ALL.into_iter().filter(|format| !with.contains(format)).collect()
}

/// The lists that an analyzer's fixture is expected to give.
fn expectations(analyzer: &str) -> Vec<PathBuf> {
    let folder = fixtures().join(analyzer);
    let cases = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut lists: Vec<PathBuf> = cases.map(|case| case.join("expect.txt")).filter(|list| list.is_file()).collect();
    lists.extend(Some(folder.join("expect.txt")).filter(|list| list.is_file()));
    lists
}

#[test]
fn every_analyzer_has_a_line_and_a_fixture() {
    let listed: Vec<&str> = ANALYZERS.iter().map(|a| a.id().split('/').next().unwrap()).collect();
    let covered: Vec<&str> = COVERAGE.iter().map(|line| line.analyzer).collect();
    assert!(covered.is_sorted_by(|a, b| a < b), "{covered:?}");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), covered.iter().collect::<BTreeSet<_>>());
    let ids: BTreeSet<&str> = ANALYZERS.iter().map(|analyzer| analyzer.id()).collect();
    assert_eq!(ids.len(), ANALYZERS.len(), "ids are unique");
    for Coverage { analyzer, formats, .. } in COVERAGE {
        let lists = expectations(analyzer);
        assert!(!lists.is_empty(), "no fixture fixtures/packages/{analyzer}");
        let text: String = lists.iter().map(|list| std::fs::read_to_string(list).unwrap()).collect();
        assert!(!text.trim().is_empty(), "fixtures/packages/{analyzer} gives nothing");
        // What rpm itself lists has another form.
        for format in formats.iter().filter(|format| **format != PackageFormat::Rpm) {
            let purl = format!("pkg:{format}/");
            assert!(text.lines().any(|line| line.starts_with(&purl)), "fixtures/packages/{analyzer} has no {purl}");
        }
    }
    for case in std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(covered.contains(&name.as_str()) || !case.is_dir(), "fixtures/packages/{name} belongs to no analyzer");
    }
}

#[test]
fn every_ecosystem_has_analyzer_and_scheme() {
    for ecosystem in Ecosystem::ALL {
        let format = ecosystem.format();
        assert!(COVERAGE.iter().any(|line| line.formats.contains(&format)), "{ecosystem}: no analyzer for {format}");
        let versions = fixtures().join("../versions").join(versions_of(ecosystem)).with_extension("txt");
        assert!(versions.is_file(), "{ecosystem}: no version table {}", versions.display());
    }
}

#[test]
fn every_format_without_an_ecosystem_says_why() {
    let explained: BTreeSet<PackageFormat> = REMARKS.iter().map(|(format, _)| *format).collect();
    // Of software without a package manager, only listed names have advisories.
    let mut expected = without_ecosystem();
    assert!(expected.insert(PackageFormat::Generic));
    assert_eq!(explained, expected);
    for format in PackageFormat::ALL {
        assert!(COVERAGE.iter().any(|line| line.formats.contains(&format)), "no analyzer for {format}");
    }
}
