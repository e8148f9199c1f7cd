//! Operating systems: each folder of `fixtures/packages/os-release` is the release files of one distribution, read as an
//! image of one layer. `expect.txt` has one line per folder: the operating system as found, where its advisories are
//! kept, and the gap if there is one. `PRATIQUE_BLESS=1` rewrites it.

use crate::languages::{add_folder, fixtures};
use crate::support::*;
use model::EcosystemRelease;
use testkit::LayerBuilder;

#[test]
fn operating_systems_are_told_by_their_release_files() {
    let folder = fixtures().join("os-release");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("root").is_dir());
    cases.sort();
    let mut found = String::new();
    for case in &cases {
        let root = case.join("root");
        let image = image(&[add_folder(LayerBuilder::new(), &root, &root).tar()]);
        let os = image.os.expect("an operating system");
        let ecosystem = EcosystemRelease::of_distro(&os.distro()).map(|release| release.to_string());
        let gaps: String = image.gaps.iter().map(|gap| format!(" | {}", gap.reason)).collect();
        let kept = ecosystem.as_deref().unwrap_or("no advisories");
        let name = case.file_name().unwrap().to_str().unwrap();
        found += &format!("{name}: {} {} | {} | {kept}{gaps}\n", os.id, os.version, os.name);
    }
    let expect = folder.join("expect.txt");
    if std::env::var_os("PRATIQUE_BLESS").is_some() {
        std::fs::write(&expect, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&expect).unwrap_or_default();
    assert_eq!(found, wanted, "{} (PRATIQUE_BLESS=1 rewrites it)", expect.display());
    assert!(cases.len() >= 30, "only {} systems", cases.len());
}
