//! Real images and root file systems, where the shared data is.

use crate::support::*;
use model::inventory::OsRelease;
use model::{Detector, ImageInventory};
use std::io::Read;
use std::path::Path;

fn read_file(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Every regular file of a tar archive, by the `tar` crate: another reader than the one under test.
fn members(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let mut out = Vec::new();
    for entry in archive.entries().unwrap() {
        let Ok(mut entry) = entry else { break };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        if entry.header().entry_type().is_file() && entry.read_to_end(&mut content).is_ok() {
            out.push((name, content));
        }
    }
    out
}

#[expect(clippy::disallowed_types, reason = "test data that the test itself chose")]
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

fn alpine(version: &str) -> OsRelease {
    let branch = version.rsplit_once('.').unwrap().0;
    OsRelease { id: "alpine".to_owned(), version: version.to_owned(), name: format!("Alpine Linux v{branch}") }
}

#[test]
fn alpine_root_file_systems_have_as_many_packages_as_their_databases() {
    for (version, architecture) in
        [("3.9.6", "x86_64"), ("3.16.9", "x86_64"), ("3.20.3", "x86_64"), ("3.20.3", "aarch64")]
    {
        let name = format!("images/alpine-minirootfs-{version}-{architecture}.tar.gz");
        let Some(path) = testkit::data::path(&name) else { continue };
        let blob = read_file(&path);
        let database =
            members(&gunzip(&blob)).into_iter().find(|(name, _)| name.ends_with("lib/apk/db/installed")).unwrap().1;
        let expect = String::from_utf8(database).unwrap().lines().filter(|line| line.starts_with("P:")).count();
        let image = image(&[blob]);
        assert_eq!(image.packages.len(), expect, "{name}");
        assert!(expect >= 14);
        assert_eq!(image.os, Some(alpine(version)));
        assert_eq!(image.gaps.iter().map(gap_line).collect::<Vec<_>>(), [""; 0]);
        let busybox = image.packages.iter().find(|package| package.key.name == "busybox").unwrap();
        assert_eq!(busybox.key.architecture.as_deref(), Some(architecture));
        assert_eq!(busybox.evidence[0].path.as_ref().unwrap().to_string(), "lib/apk/db/installed");
        let shell = image.files.iter().find(|file| file.path.to_string() == "bin/busybox").unwrap();
        assert!(shell.sha256.is_some());
    }
}

/// The layers of a docker-archive or OCI archive, as far as its manifest can be read: the blobs that it names.
fn layers(tar: &[u8]) -> Vec<Vec<u8>> {
    let files: std::collections::BTreeMap<_, _> = members(tar).into_iter().collect();
    let json = |name: &str| files.get(name).and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
    let blob = |digest: &str| files.get(&format!("blobs/{}", digest.replace(':', "/"))).cloned();
    let docker = json("manifest.json").map(|manifest| {
        let names = manifest[0]["Layers"].as_array().cloned().unwrap_or_default();
        names.iter().filter_map(|name| files.get(name.as_str()?).cloned()).collect::<Vec<_>>()
    });
    docker.filter(|layers| !layers.is_empty()).unwrap_or_else(|| {
        let Some(index) = json("index.json") else { return Vec::new() };
        let manifest = index["manifests"][0]["digest"].as_str().and_then(blob).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        layers.iter().filter_map(|layer| blob(layer["digest"].as_str()?)).collect()
    })
}

fn images_of(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Some(folder) = testkit::data::path(folder) else { return Vec::new() };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read_file(&path))).collect()
}

#[test]
fn layers_of_every_form_are_read_in_full() {
    let mut count = 0;
    for (name, tar) in images_of("images/layer-formats") {
        let layers = layers(&tar);
        // One of the files holds a text instead of an image.
        assert_eq!(layers.is_empty(), members(&tar).iter().any(|(name, _)| name == "README.md"), "{name}");
        for (at, blob) in layers.iter().enumerate() {
            let reading = read(blob);
            assert_eq!(gaps(&reading), [""; 0], "{name} layer {at}");
            let plain = match blob.get(..4) {
                Some([0x1f, 0x8b, ..]) => gunzip(blob),
                Some([0x28, 0xb5, 0x2f, 0xfd]) => zstd::decode_all(&blob[..]).unwrap(),
                _ => blob.clone(),
            };
            assert_eq!(reading.diff_id, testkit::image::sha256(&plain), "{name} layer {at}");
            let entries = tar::Archive::new(&plain[..]).entries().unwrap().count();
            let root = members(&plain).iter().filter(|(name, _)| name == "./").count();
            assert_eq!(files(&reading).len(), entries - root, "{name} layer {at}");
            count += 1;
        }
        let image = image(&layers);
        assert_eq!(image.layers.len(), layers.len());
    }
    if testkit::data::folder().is_some() {
        assert!(count >= 7, "only {count} layers");
    }
}

#[test]
fn hostile_images_are_read_without_a_panic() {
    let images: Vec<_> = images_of("images/hostile");
    for (name, tar) in &images {
        // The archive itself as a layer, and its layers as an image.
        let own = read(tar);
        assert_eq!(own.diff_id, testkit::image::sha256(tar), "{name}");
        let _ = image(std::slice::from_ref(tar));
        let squashed = image(&layers(tar));
        assert!(squashed.gaps.iter().all(|gap| !gap.detail.is_empty()), "{name}");
    }
    if testkit::data::folder().is_some() {
        assert!(images.len() >= 16);
    }
}

fn paths(image: &ImageInventory) -> Vec<String> {
    image.files.iter().filter(|file| file.removed_in.is_none()).map(|file| file.path.to_string()).collect()
}

#[test]
fn docker_save_of_alpine_has_its_packages() {
    let Some(path) = testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz") else { return };
    let image = image(&layers(&gunzip(&read_file(&path))));
    assert_eq!(image.packages.len(), 14);
    assert_eq!(image.os, Some(alpine("3.10.2")));
    let ssl = image.packages.iter().find(|package| package.key.name == "libssl1.1").unwrap();
    assert_eq!(
        ssl.key.purl().as_str(),
        "pkg:apk/alpine/libssl1.1@1.1.1c-r0?arch=x86_64&distro=alpine-3.10.2&upstream=openssl"
    );
    assert!(paths(&image).contains(&"bin/busybox".to_owned()));
    assert!(image.detectors.iter().any(|version| version.detector == Detector::Malware));
}

#[test]
fn a_truncated_root_file_system_is_never_clean() {
    let Some(path) = testkit::data::path("images/alpine-minirootfs-3.20.3-x86_64.tar.gz") else { return };
    let blob = read_file(&path);
    for part in 1..20 {
        let image = image(&[blob[..blob.len() * part / 20].to_vec()]);
        assert!(
            image.gaps.iter().any(|gap| gap.scope == "layer 0" && gap.detail.contains("ends early")),
            "{:?}",
            image.gaps
        );
    }
}
