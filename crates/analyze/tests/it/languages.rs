//! Golden fixtures of the package analyzers: each folder of `fixtures/packages` with a `root` is read as one layer.
//!
//! `expect.txt` beside it has one line per package, `purl path`. `PRATIQUE_BLESS=1` rewrites the expectations. Nothing in
//! a fixture may be a gap.

use crate::support::*;
use model::Detector;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use testkit::LayerBuilder;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/packages")
}

/// Adds everything below a folder, in the order of names.
pub(crate) fn add_folder(mut layer: LayerBuilder, root: &Path, folder: &Path) -> LayerBuilder {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        layer = if path.is_dir() {
            add_folder(layer.directory(&name), root, &path)
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            layer.file_with(&name, std::fs::read(&path).unwrap(), mode, (0, 0))
        };
    }
    layer
}

#[test]
fn package_fixtures_have_the_expected_packages() {
    let mut cases = 0;
    let mut folders: Vec<_> = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for case in folders.iter().filter(|case| case.join("root").is_dir()) {
        let layer = add_folder(LayerBuilder::new(), &case.join("root"), &case.join("root"));
        let reading = read_with(&layer.tar()[..], detectors(), &[Detector::Packages].into());
        assert_eq!(gaps(&reading), [""; 0], "{}", case.display());
        let found: String = packages(&reading).iter().map(|line| format!("{line}\n")).collect();
        let expect = case.join("expect.txt");
        if std::env::var_os("PRATIQUE_BLESS").is_some() {
            std::fs::write(&expect, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expect).unwrap_or_default();
        assert_eq!(found, wanted, "{} (PRATIQUE_BLESS=1 rewrites it)", expect.display());
        cases += 1;
    }
    assert!(cases >= 30, "only {cases} fixtures");
}

#[test]
fn go_program_owned_by_a_distribution_package_is_linked_to_it() {
    let tool = std::fs::read(fixtures().join("go/root/usr/local/bin/tool")).unwrap();
    let status = "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n";
    let layer = LayerBuilder::new()
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/tool.list", "/.\n/usr/bin/tool\n")
        .executable("usr/bin/tool", &tool)
        .executable("opt/tool", &tool);
    let owned = image(&[layer.build().blob.to_vec()]);
    // The same modules lie in a program that nobody owns.
    assert!(owned.packages.iter().all(|package| package.owner.is_none()));
    let layer = LayerBuilder::new()
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/tool.list", "/.\n/usr/bin/tool\n")
        .executable("usr/bin/tool", &tool);
    let owned = image(&[layer.build().blob.to_vec()]);
    let modules: Vec<_> = owned.packages.iter().filter(|package| !package.key.format.is_os()).collect();
    assert_eq!(modules.len(), 4);
    assert!(modules.iter().all(|package| package.owner.as_deref() == Some("tool")));
}

#[test]
fn program_above_its_limit_is_a_gap_and_data_is_none() {
    let limits = analyze::Limits { program_bytes_max: 4096, ..analyze::Limits::default() };
    let program = [&b"\x7fELF\x02\x01\x01"[..], &[0; 8000]].concat();
    let layer = LayerBuilder::new().executable("usr/bin/large", &program).executable("srv/data", vec![b'x'; 8000]);
    let reading = read_with(&layer.tar()[..], &detectors_with(limits), &[Detector::Packages].into());
    assert_eq!(gaps(&reading), ["usr/bin/large file-too-large: 8007 bytes, the limit is 4096"]);
}
