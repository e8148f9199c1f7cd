//! `docs/coverage.md` is made from the code: what is read, and how it is matched. `PRATIQUE_BLESS=1` rewrites it, which
//! `cargo xtask bless` sets.

use analyze::packages::{COVERAGE, REMARKS};
use intel::FeedKind;
use intel::version::Scheme;
use model::{Ecosystem, PackageFormat};
use std::fmt::Write as _;
use std::path::Path;

/// The feeds that hold an ecosystem's advisories.
const fn feeds_of(ecosystem: Ecosystem) -> &'static [FeedKind] {
    match ecosystem {
        Ecosystem::Alpine | Ecosystem::Wolfi | Ecosystem::Chainguard | Ecosystem::MinimOs => {
            &[FeedKind::Secdb, FeedKind::Osv]
        }
        Ecosystem::Arch => &[FeedKind::Arch],
        Ecosystem::Debian => &[FeedKind::DebianTracker, FeedKind::Osv],
        Ecosystem::Ubuntu => &[FeedKind::Osv, FeedKind::Vex],
        Ecosystem::RedHat | Ecosystem::Suse => &[FeedKind::Csaf, FeedKind::Osv],
        Ecosystem::AlmaLinux | Ecosystem::RockyLinux => &[FeedKind::Osv, FeedKind::Updateinfo],
        Ecosystem::PhotonOs => &[FeedKind::Photon, FeedKind::Osv],
        Ecosystem::AzureLinux => &[FeedKind::Oval, FeedKind::Osv],
        Ecosystem::OracleLinux => &[FeedKind::Oval],
        Ecosystem::Generic => &[FeedKind::Nvd],
        Ecosystem::AmazonLinux | Ecosystem::Fedora => &[FeedKind::Updateinfo],
        Ecosystem::OpenSuse
        | Ecosystem::OpenEuler
        | Ecosystem::Npm
        | Ecosystem::PyPI
        | Ecosystem::Go
        | Ecosystem::Maven
        | Ecosystem::CratesIo
        | Ecosystem::RubyGems
        | Ecosystem::Packagist
        | Ecosystem::NuGet
        | Ecosystem::Bitnami
        | Ecosystem::ConanCenter
        | Ecosystem::Cran
        | Ecosystem::Hackage
        | Ecosystem::Hex
        | Ecosystem::Julia
        | Ecosystem::Pub
        | Ecosystem::SwiftUrl => &[FeedKind::Osv],
    }
}

const HEAD: &str = "\
# What is covered

Made from the code by `cargo xtask bless`; a test fails when it is stale.

";

fn codes<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

fn render() -> String {
    let mut text = HEAD.to_owned();
    text += "## What is read\n\nWhat stands in code form is a path, from its end unless it is a fixed one.\n\n";
    text += "| analyzer | files | what is taken | package URL |\n|---|---|---|---|\n";
    for line in COVERAGE {
        let formats = codes(line.formats.iter().map(|format| format.as_str()));
        writeln!(text, "| {} | {} | {} | {formats} |", line.analyzer, line.files, line.facts)
            .expect("a text can be written to");
    }
    text += "\n## How it is matched\n\nAn ecosystem without a feed is a gap in every report that has its packages.\n\n";
    text +=
        "| ecosystem | package URL | analyzers | versions | feeds | `ID` in os-release |\n|---|---|---|---|---|---|\n";
    for ecosystem in Ecosystem::ALL {
        let format = ecosystem.format();
        let analyzers = COVERAGE.iter().filter(|line| line.formats.contains(&format)).map(|line| line.analyzer);
        let feeds: Vec<&str> = feeds_of(ecosystem).iter().map(|feed| feed.as_str()).collect();
        let feeds = if feeds.is_empty() { "none".to_owned() } else { feeds.join(", ") };
        let ids = codes(Ecosystem::OS_IDS.iter().filter(|(_, of)| *of == ecosystem).map(|(id, _)| *id));
        let analyzers: Vec<&str> = analyzers.collect();
        let scheme = Scheme::of(ecosystem);
        writeln!(text, "| {ecosystem} | `{format}` | {} | {scheme} | {feeds} | {ids} |", analyzers.join(", "))
            .expect("a text can be written to");
    }
    text += "\n## What is listed and not matched\n\n| package URL | analyzers | why |\n|---|---|---|\n";
    for format in PackageFormat::ALL {
        let Some((_, why)) = REMARKS.iter().find(|(of, _)| *of == format) else { continue };
        let analyzers = COVERAGE.iter().filter(|line| line.formats.contains(&format)).map(|line| line.analyzer);
        writeln!(text, "| `{format}` | {} | {why} |", analyzers.collect::<Vec<_>>().join(", "))
            .expect("a text can be written to");
    }
    text
}

#[test]
fn the_page_about_coverage_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    let text = render();
    if std::env::var_os("PRATIQUE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, text, "{} is stale: cargo xtask bless rewrites it", path.display());
}
