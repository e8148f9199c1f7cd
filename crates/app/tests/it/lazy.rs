//! `scan --lazy`: the same packages for fewer bytes, every part verified, and what was not read is told.

use crate::program::{exit_code, run, run_ok};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use testkit::debian::{AccessLine, DebianRegistry};
use testkit::image::sha256;
use testkit::layout::{Stored, write_oci_layout};
use testkit::{BuiltImage, BuiltLayer, Cut, FaultRegistry, ImageBuilder, LayerBuilder};

const ROOM: usize = 300_000;

/// Content that packs badly.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[6]
    };
    std::iter::repeat_with(next).take(ROOM).collect()
}

/// A Debian system and programs of node, between much that no package analyzer wants.
fn system() -> LayerBuilder {
    let status: String = (0..40)
        .map(|n| format!("Package: lib{n}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{n}-1\n\n"))
        .collect();
    LayerBuilder::new()
        .file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n")
        .file("usr/share/doc/first", noise(1))
        .file("var/lib/dpkg/status", status)
        .file("usr/share/doc/second", noise(2))
        .file("node_modules/left/package.json", r#"{"name":"left","version":"1.0.0"}"#)
        .file("usr/share/doc/third", noise(3))
        .file("node_modules/right/package.json", r#"{"name":"right","version":"2.0.0"}"#)
        .file_with("usr/bin/su", "small", 0o4755, (0, 0))
}

fn scan(home: &Path, reference: &str, more: &[&str]) -> Value {
    let fixed = ["scan", "--plain-http", reference, "--format", "json", "--scanners", "packages"];
    serde_json::from_str(&run_ok(home, &[&fixed[..], more].concat())).expect("JSON")
}

/// The requests for layers since `mark`.
fn of_layers(registry: &DebianRegistry, mark: usize, image: &BuiltImage) -> Vec<AccessLine> {
    let is_layer = |line: &AccessLine| image.layers.iter().any(|layer| line.path.contains(&layer.digest.to_string()));
    registry.requests_since(mark).into_iter().filter(is_layer).collect()
}

fn lazy_gaps(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().into_iter().flatten();
    let told = gaps.filter(|gap| gap["reason"] == "not-yet-read").filter_map(|gap| gap["detail"].as_str());
    told.map(str::to_owned).collect()
}

/// Scans as a whole and in part: the same packages, only ranges, and fewer bytes.
fn agrees(registry: &DebianRegistry, repository: &str, image: &BuiltImage, form: &str) -> Value {
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("{}/{repository}:1", registry.host());
    let whole = scan(home.path(), &reference, &["--no-cache"]);
    let mark = registry.mark();
    let part = scan(home.path(), &reference, &["--no-cache", "--lazy"]);
    let asked = of_layers(registry, mark, image);
    for field in ["image", "os", "packages", "findings"] {
        assert_eq!(part[field], whole[field], "{form}: {field}");
    }
    assert_eq!(part["packages"].as_array().map(Vec::len), Some(42), "{form}");
    assert!(asked.iter().all(|line| line.status == 206), "{form}: only ranges: {asked:?}");
    let sent: u64 = asked.iter().map(|line| line.bytes).sum();
    let size: u64 = image.layers.iter().map(|layer| layer.blob.len() as u64).sum();
    let (read, left) = (&part["statistics"]["bytes_read"], &part["statistics"]["bytes_not_read"]);
    let told = format!("lazy: {form}: {sent} of {size} bytes came over the wire, in {} requests", asked.len());
    writeln!(std::io::stderr(), "{told}").expect("standard error");
    assert!(sent > 0 && sent < size / 2, "{form}: {sent} of {size}");
    assert!(left.as_u64().is_some_and(|left| left > size / 2), "{form}: {read} and {left} of {size}");
    assert!(read.as_u64().is_some_and(|read| read >= sent), "{form}");
    let gaps = lazy_gaps(&part);
    assert!(gaps.iter().any(|gap| gap.contains(&format!("by its {form} table of contents"))), "{form}: {gaps:?}");
    assert_eq!(lazy_gaps(&whole), [""; 0]);
    part
}

#[test]
fn estargz_and_zstd_chunked_are_read_by_ranges() {
    let Some(registry) = DebianRegistry::start() else { return };
    let packed = Cut { part_bytes: 100_000, stream_bytes_min: 4_000 };
    for (form, name, layer) in [
        ("eStargz", "estargz", system().estargz(Cut::default())),
        ("eStargz", "packed", system().estargz(packed)),
        ("zstd:chunked", "chunked", system().zstd_chunked(packed)),
    ] {
        let image = ImageBuilder::new().layer(layer).build();
        let repository = format!("team/{name}");
        registry.push(&repository, "1", &image);
        agrees(&registry, &repository, &image, form);
    }
}

/// Stores a SOCI index about an image's only layer; its digest.
fn put_soci_index(
    registry: &DebianRegistry,
    repository: &str,
    layer: &BuiltLayer,
    ztoc: &[u8],
    version: u8,
) -> Vec<u8> {
    let kind = format!("application/vnd.amazon.soci.index.v{version}+json");
    let config = registry.put_blob(repository, b"{}");
    let digest = registry.put_blob(repository, ztoc);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": { "mediaType": kind, "digest": config.to_string(), "size": 2 },
        "layers": [{
            "mediaType": "application/octet-stream",
            "digest": digest.to_string(),
            "size": ztoc.len(),
            "annotations": { "com.amazon.soci.image-layer-digest": layer.digest.to_string() },
        }],
    });
    let index = index.to_string().into_bytes();
    let reference = sha256(&index).to_string();
    registry.put_manifest(repository, &reference, "application/vnd.oci.image.manifest.v1+json", &index);
    index
}

#[test]
fn layers_with_a_soci_index_are_read_by_ranges() {
    let Some(registry) = DebianRegistry::start() else { return };
    let (layer, ztoc) = system().soci(20_000);

    // The image names its index.
    let named = put_soci_index(&registry, "team/named", &layer, &ztoc, 2);
    let annotation = sha256(&named).to_string();
    let image =
        ImageBuilder::new().layer(layer.clone()).annotation("com.amazon.soci.index-digest", &annotation).build();
    registry.push("team/named", "1", &image);
    let part = agrees(&registry, "team/named", &image, "SOCI");
    assert!(!lazy_gaps(&part)[0].contains("whoever may write"), "{part}");

    // An index refers to the image; this registry has no list of referrers, so a tag does.
    let image = ImageBuilder::new().layer(layer.clone()).build();
    registry.push("team/referred", "1", &image);
    let index = put_soci_index(&registry, "team/referred", &layer, &ztoc, 1);
    let list = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": sha256(&index).to_string(),
            "size": index.len(),
            "artifactType": "application/vnd.amazon.soci.index.v1+json",
        }],
    });
    let tag = format!("sha256-{}", image.digest.hex());
    let media_type = "application/vnd.oci.image.index.v1+json";
    registry.put_manifest("team/referred", &tag, media_type, list.to_string().as_bytes());
    let part = agrees(&registry, "team/referred", &image, "SOCI");
    assert!(lazy_gaps(&part)[0].contains("whoever may write to its repository"), "{part}");
}

#[test]
fn what_skopeo_and_public_tools_wrote_is_read() {
    let Some(registry) = DebianRegistry::start() else { return };
    let layouts = tempfile::tempdir().expect("a folder");
    let image = ImageBuilder::new().layer(system().build()).build();
    write_oci_layout(&layouts.path().join("own"), &[("it", Stored::Image(&image))]);
    let source = format!("oci:{}:it", layouts.path().join("own").display());
    let target = format!("docker://{}/team/skopeo:1", registry.host());
    let fixed = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--dest-compress"];
    let form = ["--dest-compress-format", "zstd:chunked", &source, &target];
    let copied = Command::new("skopeo").args(fixed).args(form).status().expect("skopeo starts");
    assert!(copied.success());
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("{}/team/skopeo:1", registry.host());
    let [whole, part] =
        [&["--no-cache"][..], &["--no-cache", "--lazy"]].map(|more| scan(home.path(), &reference, more));
    assert_eq!(whole["packages"], part["packages"]);
    assert_eq!(whole["packages"].as_array().map(Vec::len), Some(42));
    assert!(lazy_gaps(&part)[0].contains("by its zstd:chunked table of contents"), "{part}");

    let Some(sample) = testkit::data::path("images/layer-formats/test-oci-estargz-image.tar") else { return };
    let folder = layouts.path().join("sample");
    tar::Archive::new(std::fs::File::open(sample).expect("the sample")).unpack(&folder).expect("an archive");
    registry.copy(&format!("oci:{}", folder.display()), "team/sample", "1");
    let reference = format!("{}/team/sample:1", registry.host());
    let arm = ["--no-cache", "--platform", "linux/arm64"];
    let mark = registry.mark();
    let part = scan(home.path(), &reference, &[&arm[..], &["--lazy"]].concat());
    let digest = "faae588a698ab938e22085e54a6ee1dcab88eca70618c8cca18cd1169ce7cb5a";
    let asked: Vec<AccessLine> =
        registry.requests_since(mark).into_iter().filter(|line| line.path.contains(digest)).collect();
    assert!(asked.iter().all(|line| line.status == 206), "{asked:?}");
    assert_eq!(asked.iter().map(|line| line.bytes).sum::<u64>(), 51 + 293, "the footer and the table of contents");
    assert_eq!(part["packages"], scan(home.path(), &reference, &arm)["packages"]);
}

#[test]
fn facts_read_in_part_are_kept_apart_from_those_of_the_whole() {
    let Some(registry) = DebianRegistry::start() else { return };
    let image = ImageBuilder::new().layer(system().estargz(Cut::default())).build();
    registry.push("team/app", "1", &image);
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("{}/team/app:1", registry.host());
    let first = scan(home.path(), &reference, &["--lazy"]);

    let mark = registry.mark();
    let again = scan(home.path(), &reference, &["--lazy"]);
    assert_eq!(of_layers(&registry, mark, &image), [], "known in part");
    assert_eq!((&again["packages"], &again["gaps"]), (&first["packages"], &first["gaps"]));

    let mark = registry.mark();
    let whole = scan(home.path(), &reference, &[]);
    let statuses: Vec<u16> = of_layers(&registry, mark, &image).iter().map(|line| line.status).collect();
    assert_eq!(statuses, [200], "what is known in part is not taken for the whole");
    assert_eq!(lazy_gaps(&whole), [""; 0]);

    let mark = registry.mark();
    let better = scan(home.path(), &reference, &["--lazy"]);
    assert_eq!(of_layers(&registry, mark, &image), [], "the whole is known");
    assert_eq!(better["gaps"], whole["gaps"]);
}

#[test]
fn a_part_with_another_digest_fails_the_layer() {
    let Some(registry) = DebianRegistry::start() else { return };
    let other = sha256(b"other").to_string();
    let layer = system().estargz_with(Cut::default(), |table| {
        for row in table["entries"].as_array_mut().expect("rows") {
            if row["name"] == "var/lib/dpkg/status" {
                row["chunkDigest"] = json!(other);
            }
        }
    });
    let plain = LayerBuilder::files(&[("node_modules/own/package.json", r#"{"name":"own","version":"3.0.0"}"#)]);
    let image = ImageBuilder::new().layer(layer).layer(plain.build()).build();
    registry.push("team/app", "1", &image);
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("{}/team/app:1", registry.host());
    let report = scan(home.path(), &reference, &["--lazy"]);
    let names: BTreeSet<&str> = report["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(["own"]), "nothing of the layer is used");
    let gaps = report["gaps"].as_array().expect("gaps");
    let failed = |gap: &&Value| gap["reason"] == "unreadable" && gap["scope"] == "layer 0";
    let gap = gaps.iter().find(failed).expect("a gap")["detail"].to_string();
    assert!(gap.contains("var/lib/dpkg/status") && gap.contains("has the digest"), "{gap}");
}

#[test]
fn other_layers_and_registries_without_ranges_are_read_as_a_whole_and_told() {
    let home = tempfile::tempdir().expect("a folder");
    let registry = FaultRegistry::start();
    let image = ImageBuilder::new().layer(system().estargz(Cut::default())).layer(system().build()).build();
    registry.put("team/app", "1", &image);
    registry.faults(|faults| faults.ignore_range = true);
    let reference = format!("{}/team/app:1", registry.host());
    let output = run(home.path(), &["scan", "--plain-http", &reference, "--lazy", "--no-cache", "--format", "json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("as a whole: ") && told.contains("when asked for a part"), "{told}");
    assert!(told.contains("it has no table of contents"), "{told}");
    assert!(told.contains("does not look for secrets and malware"), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["packages"].as_array().map(Vec::len), Some(42));
    assert_eq!(report["statistics"]["bytes_not_read"], 0);
    assert_eq!(report["statistics"]["not_run"], json!(["malware", "secrets"]));
    assert_eq!(lazy_gaps(&report), [""; 0]);

    for scanner in ["secrets", "malware", "packages,malware"] {
        assert_eq!(exit_code(home.path(), &["scan", "--lazy", &reference, "--scanners", scanner]), 64, "{scanner}");
    }
}
