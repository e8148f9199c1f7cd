//! Every ecosystem has an analyzer, a fixture and a version scheme, or an explicit none with its reason.

use crate::languages::fixtures;
use analyze::packages::ANALYZERS;
use model::{Ecosystem, PackageFormat};
use std::collections::BTreeSet;

/// What belongs to one package format.
struct Support {
    /// Names of analyzers, without their versions.
    analyzers: &'static [&'static str],
    /// Folders of `fixtures/packages`.
    fixtures: &'static [&'static str],
    /// The table of `fixtures/versions`.
    versions: &'static str,
}

const fn support_of(format: PackageFormat) -> Support {
    let (analyzers, fixtures, versions): (&[_], &[_], _) = match format {
        PackageFormat::Apk => (&["apk"], &["apk"], "apk"),
        PackageFormat::Deb => (&["dpkg"], &["dpkg"], "deb"),
        PackageFormat::Rpm => (&["rpm"], &["rpm/cbl-mariner-2.0", "rpm/sle15-bci", "rpm/libuuid"], "rpm"),
        // Only software bills of materials name them: no image of the distribution has been asked for.
        PackageFormat::Alpm => (&[], &[], "alpm"),
        PackageFormat::Npm => (&["node-lock", "npm"], &["node-lock", "npm"], "npm"),
        PackageFormat::PyPi => (&["python", "python-lock"], &["python", "python-lock"], "pep440"),
        PackageFormat::Golang => (&["go"], &["go"], "go"),
        PackageFormat::Maven => (&["java"], &["java"], "maven"),
        PackageFormat::Cargo => (&["cargo-auditable", "cargo-lock"], &["cargo"], "semver"),
        PackageFormat::Gem => (&["ruby"], &["ruby"], "gem"),
        PackageFormat::Composer => (&["php"], &["php"], "composer"),
        PackageFormat::NuGet => (&["dotnet"], &["dotnet"], "nuget"),
        PackageFormat::Bitnami => (&["bitnami"], &["bitnami"], "bitnami"),
    };
    Support { analyzers, fixtures, versions }
}

/// Analyzers that read no packages, with the reason why they stand in the list.
const WITHOUT_PACKAGES: [(&str, &str); 1] = [("os-release", "tells the distribution that packages belong to")];

#[test]
fn every_ecosystem_has_analyzer_fixture_and_scheme() {
    let listed: BTreeSet<&str> = ANALYZERS.iter().map(|a| a.id().split('/').next().unwrap()).collect();
    for ecosystem in Ecosystem::ALL {
        let format = ecosystem.format();
        let support = support_of(format);
        for analyzer in support.analyzers {
            assert!(listed.contains(analyzer), "{ecosystem}: no analyzer {analyzer}");
        }
        for fixture in support.fixtures {
            let path = fixtures().join(fixture).join("expect.txt");
            let expect = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(!expect.trim().is_empty(), "{ecosystem}: no fixture {}", path.display());
            let purl = format!("pkg:{format}/");
            let is_list = format == PackageFormat::Rpm || expect.lines().any(|line| line.starts_with(&purl));
            assert!(is_list, "{ecosystem}: {} has no {purl}", path.display());
        }
        let versions = fixtures().join("../versions").join(support.versions).with_extension("txt");
        assert!(versions.is_file(), "{ecosystem}: no version table {}", versions.display());
    }
}

#[test]
fn every_analyzer_belongs_to_a_format() {
    let known: BTreeSet<&str> =
        PackageFormat::ALL.iter().flat_map(|format| support_of(*format).analyzers.iter().copied()).collect();
    let without: BTreeSet<&str> = WITHOUT_PACKAGES.iter().map(|(name, _)| *name).collect();
    let listed: BTreeSet<&str> = ANALYZERS.iter().map(|a| a.id().split('/').next().unwrap()).collect();
    assert_eq!(listed, known.union(&without).copied().collect());
    let ids: BTreeSet<&str> = ANALYZERS.iter().map(|analyzer| analyzer.id()).collect();
    assert_eq!(ids.len(), ANALYZERS.len(), "ids are unique");
}

#[test]
fn every_package_fixture_belongs_to_a_format() {
    let known: BTreeSet<&str> =
        PackageFormat::ALL.iter().flat_map(|format| support_of(*format).fixtures.iter().copied()).collect();
    for case in std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let is_known = known.iter().any(|fixture| fixture.split('/').next() == Some(name.as_str()));
        assert!(is_known || !case.is_dir(), "fixtures/packages/{name} belongs to no format");
    }
}
