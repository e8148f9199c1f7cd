//! `scan` keeps the facts of layers: what was read once is not downloaded again.

use crate::program::run_ok;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::debian::DebianRegistry;
use testkit::image::{BuiltImage, ImageBuilder, LayerBuilder};

const DATABASE: &str = "Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4\n\n";
const RELEASE: &str = "ID=debian\nVERSION_ID=\"12\"\n";

/// Three layers, of which the last is this file.
fn image(last: &str) -> BuiltImage {
    let base = LayerBuilder::files(&[("etc/os-release", RELEASE), ("var/lib/dpkg/status", DATABASE)]);
    let tool = LayerBuilder::files(&[("opt/tool/package.json", r#"{"name":"tool","version":"1.0.0"}"#)]);
    let tool = tool.file("node_modules/tool/package.json", r#"{"name":"tool","version":"1.0.0"}"#);
    let own = LayerBuilder::files(&[("node_modules/own/package.json", last)]);
    [base, tool, own].into_iter().fold(ImageBuilder::new(), |image, layer| image.layer(layer.build())).build()
}

fn scan(home: &Path, registry: &DebianRegistry, tag: &str, more: &[&str]) -> Value {
    let reference = format!("{}/team/app:{tag}", registry.host());
    let fixed = ["scan", "--plain-http", &reference, "--scanners", "packages", "--format", "json"];
    serde_json::from_str(&run_ok(home, &[&fixed[..], more].concat())).expect("JSON")
}

/// The layers among what the registry was asked for since `mark`.
fn downloaded(registry: &DebianRegistry, mark: usize, image: &BuiltImage) -> Vec<usize> {
    let asked = registry.requests_since(mark);
    let was_asked =
        |digest: &str| asked.iter().any(|line| line.method == "GET" && line.status < 400 && line.path.contains(digest));
    let layers = image.layers.iter().enumerate();
    layers.filter(|(_, layer)| was_asked(&layer.digest.to_string())).map(|(at, _)| at).collect()
}

fn entries(home: &Path) -> Vec<PathBuf> {
    let mut folders = vec![home.join("cache/pratique/facts")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files
}

#[test]
fn a_second_scan_downloads_only_the_layer_that_changed() {
    let Some(registry) = DebianRegistry::start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let images = ["1.0.0", "2.0.0"].map(|version| image(&format!(r#"{{"name":"own","version":"{version}"}}"#)));
    for (tag, image) in ["1", "2"].iter().zip(&images) {
        registry.push("team/app", tag, image);
    }

    let mark = registry.mark();
    let first = scan(home.path(), &registry, "1", &[]);
    assert_eq!(downloaded(&registry, mark, &images[0]), [0, 1, 2]);

    let mark = registry.mark();
    let second = scan(home.path(), &registry, "2", &[]);
    assert_eq!(downloaded(&registry, mark, &images[1]), [2], "{:?}", registry.requests_since(mark));
    assert_eq!(second["statistics"]["layers_cached"], 2);
    println!("cache: the second scan of an image that shares all but its last layer downloads 1 of 3 layers");

    // What comes from the cache is what is read.
    let fresh = scan(home.path(), &registry, "2", &["--no-cache"]);
    for part in ["image", "packages", "gaps", "os"] {
        assert_eq!(second[part], fresh[part], "{part}");
    }
    assert_ne!(first["packages"], second["packages"]);
}

#[test]
fn a_damaged_cache_is_read_again_and_no_cache_leaves_none() {
    let Some(registry) = DebianRegistry::start() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let image = image(r#"{"name":"own","version":"1.0.0"}"#);
    registry.push("team/app", "1", &image);
    let fresh = scan(home.path(), &registry, "1", &["--no-cache"]);
    assert_eq!(entries(home.path()), [""; 0].map(PathBuf::from));

    scan(home.path(), &registry, "1", &[]);
    let kept = entries(home.path());
    assert_eq!(kept.len(), 6, "files and packages of three layers: {kept:?}");
    for (at, path) in kept.iter().enumerate() {
        let mut content = fs::read(path).expect("an entry");
        match at % 3 {
            0 => content.truncate(content.len() / 2),
            1 => content[40] ^= 1,
            _ => content.clear(),
        }
        fs::write(path, content).expect("damaged");
    }
    let mark = registry.mark();
    let again = scan(home.path(), &registry, "1", &[]);
    assert_eq!(downloaded(&registry, mark, &image), [0, 1, 2]);
    assert_eq!((&again["packages"], &again["gaps"]), (&fresh["packages"], &fresh["gaps"]));
    let mark = registry.mark();
    scan(home.path(), &registry, "1", &[]);
    assert_eq!(downloaded(&registry, mark, &image), [0_usize; 0]);
}
