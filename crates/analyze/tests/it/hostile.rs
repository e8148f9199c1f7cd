//! Archives that lie, climb out, run in circles, or claim more than there is.

use crate::support::*;
use analyze::Limits;
use model::Detector;
use proptest::prelude::*;
use std::time::{Duration, Instant};
use testkit::image::{LayerBuilder, Packing, sha256};

#[test]
fn names_that_climb_out_are_refused_and_named() {
    let layer = LayerBuilder::new()
        .hostile_file(b"../../etc/passwd", "root::0:0::/:/bin/sh")
        .hostile_file(b"a/../../b\xff", "x")
        .hard_link("link", "../../../etc/shadow")
        .hostile_file(b"/etc/passwd", "fine")
        .hostile_file(b".wh...", "")
        .file("after", "still read");
    let reading = read(&layer.build().blob);
    assert_eq!(listing(&reading), ["file after", "file etc/passwd"]);
    assert_eq!(
        gaps(&reading),
        [
            "../../../etc/shadow bad-path: archive entry skipped: the path climbs out with \"..\"",
            "../../etc/passwd bad-path: archive entry skipped: the path climbs out with \"..\"",
            ".wh... bad-path: archive entry skipped: the path climbs out with \"..\"",
            "a/../../b\\xff bad-path: archive entry skipped: the path climbs out with \"..\"",
        ]
    );
}

#[test]
fn a_size_that_lies_is_seen() {
    let before = LayerBuilder::new().file("lib/apk/db/installed", "P:a\nV:1-r0\n\n");
    for claimed in [1 << 40, 1_000_000, 7_000] {
        let blob = before.clone().lying_file("big", "short", claimed).file("hidden", "x").build().blob;
        let reading = read(&blob);
        assert_eq!(packages(&reading).len(), 1);
        assert!(
            gaps(&reading).iter().any(|gap| gap.starts_with("layer malformed: layer archive broken after 2 entries"))
        );
        assert_eq!(
            reading.diff_id,
            sha256(&before.clone().lying_file("big", "short", claimed).file("hidden", "x").tar())
        );
    }
    // A size that is too small leaves content where the next header should be.
    let reading = read(&before.lying_file("big", "y".repeat(2000), 10).build().blob);
    assert!(
        gaps(&reading)[0].contains("archive broken after 2 entries at byte 2560: a header has a number"),
        "{:?}",
        gaps(&reading)
    );
}

#[test]
fn a_database_whose_archive_ends_inside_is_a_gap_that_names_it() {
    let database = "P:a\nV:1-r0\n\nP:b\nV:2-r0\n\n".repeat(100);
    let tar = LayerBuilder::files(&[("lib/apk/db/installed", &database)]).tar();
    let reading = read(&tar[..1000]);
    assert!(!packages(&reading).is_empty());
    assert!(
        gaps(&reading)
            .contains(&"lib/apk/db/installed malformed: the layer's archive ends inside this file".to_owned())
    );
}

#[test]
fn extension_headers_are_bounded() {
    let tar = LayerBuilder::new().file(&"n".repeat(4000), "x").tar();
    let reading =
        read_with(&tar[..], &detectors_with(Limits { extension_bytes_max: 1000, ..Limits::default() }), &all());
    assert!(
        gaps(&reading)[0].contains("an extension header is larger than the limit of 1000 bytes"),
        "{:?}",
        gaps(&reading)
    );
}

#[test]
fn entries_and_names_are_bounded() {
    let layer = (0..50).fold(LayerBuilder::new(), |layer, n| layer.file(&format!("file-{n:02}"), "x"));
    let blob = layer.packing(Packing::Plain).build().blob;
    let reading = read_with(&blob[..], &detectors_with(Limits { entries_max: 20, ..Limits::default() }), &all());
    assert_eq!(files(&reading).len(), 20);
    assert_eq!(gaps(&reading), ["layer too-many: more than 20 entries: the rest was not looked at"]);
    assert_eq!(reading.diff_id, sha256(&blob));
    let reading = read_with(&blob[..], &detectors_with(Limits { names_bytes_max: 70, ..Limits::default() }), &all());
    assert_eq!(files(&reading).len(), 11);
    assert_eq!(gaps(&reading), ["layer too-many: names of more than 70 bytes: the rest was not looked at"]);
}

#[test]
fn gaps_are_bounded() {
    let layer = (0..50).fold(LayerBuilder::new(), |layer, n| layer.hostile_file(format!("../{n:02}").as_bytes(), ""));
    let reading =
        read_with(&layer.build().blob[..], &detectors_with(Limits { gaps_max: 10, ..Limits::default() }), &all());
    let gaps = gaps(&reading);
    assert_eq!(gaps.len(), 11);
    assert!(gaps.contains(
        &"layer too-many: 40 more facts or gaps of this detector are above its limits and not kept".to_owned()
    ));
}

#[test]
fn packages_are_bounded() {
    let database: String = (0..50).map(|n| format!("P:p{n}\nV:1-r0\n\n")).collect();
    let layer = LayerBuilder::files(&[("lib/apk/db/installed", &database)]);
    let reading =
        read_with(&layer.build().blob[..], &detectors_with(Limits { packages_max: 10, ..Limits::default() }), &all());
    assert_eq!(packages(&reading).len(), 10);
    assert_eq!(
        gaps(&reading),
        ["layer too-many: 40 more facts or gaps of this detector are above its limits and not kept"]
    );
}

#[test]
fn links_that_run_in_circles_end() {
    let mut layer = LayerBuilder::new().symlink("a", "b").symlink("b", "a").file("a/x", "1").symlink("self", "self");
    layer = layer.symlink("up", "../../../..").file("up/etc/y", "2").symlink("etc/os-release", "../etc/os-release");
    let image =
        image(&[layer.build().blob.to_vec(), LayerBuilder::new().whiteout("a/x").opaque("self").build().blob.to_vec()]);
    assert_eq!(image.os, None);
}

#[test]
fn many_links_to_links_take_bounded_time() {
    // Each folder of each path leads through forty links of many parts.
    let long = "d/../".repeat(800) + "l";
    let mut links = LayerBuilder::new().directory("d");
    for n in 0..39 {
        links = links.symlink(&format!("l{n}"), &format!("{long}{}", n + 1));
    }
    let mut layer = LayerBuilder::new();
    for n in 0..3000 {
        layer = layer.file(&format!("l0/{n}/x"), "x");
    }
    let blobs = [links, layer].map(|layer| layer.build().blob.to_vec());
    let started = Instant::now();
    let image = image(&blobs);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(image.gaps.iter().any(|gap| gap.detail.contains("symbolic links take more steps")), "{:?}", image.gaps);
}

#[test]
fn pax_records_that_lie_are_seen() {
    let check = |records: &str, expect: &str| {
        let mut tar = Vec::new();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_path("pax").unwrap();
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(records.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar.extend(LayerBuilder::files(&[("short", "content")]).tar());
        let reading = read(&tar);
        let said = gaps(&reading).first().cloned().unwrap_or_else(|| listing(&reading).join(" "));
        assert!(said.contains(expect), "{records:?}: {said}");
    };
    check("20 path=folder/name\n", "file folder/name");
    check("11 size=7\n\n", "number that is none");
    check("10 size=7\n", "file short");
    check("13 size=9999\n", "broken after 1 entries");
    check("11 size=-1\n", "number that is none");
    check("99999999999999999999999 path=x\n", "record that is none");
    check("3 a", "record that is none");
    check("0 path=x\n", "record that is none");
    check("22 GNU.sparse.major=1\n", "short unsupported: stored as a sparse file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn broken_archives_never_panic(flips in proptest::collection::vec((0_usize..6000, any::<u8>()), 1..12), cut in 0_usize..8000) {
        let mut tar = LayerBuilder::new()
            .file("lib/apk/db/installed", "P:a\nV:1-r0\nF:a\nR:package.json\n\n")
            .file("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n")
            .file("node_modules/a/package.json", r#"{"name":"a","version":"1"}"#)
            .file(&"long/".repeat(30), "x")
            .symlink("bin", "usr/bin")
            .hard_link("b", "bin/x")
            .tar();
        for (at, value) in flips {
            if let Some(byte) = tar.get_mut(at) {
                *byte = value;
            }
        }
        tar.truncate(cut);
        let reading = read_with(&tar[..], detectors(), &[Detector::Packages].into());
        prop_assert_eq!(reading.diff_id, sha256(&tar));
    }

    #[test]
    fn broken_gzip_never_panics(flips in proptest::collection::vec((0_usize..600, any::<u8>()), 1..6), zstd in any::<bool>()) {
        let layer = LayerBuilder::new().file("lib/apk/db/installed", "P:a\nV:1-r0\n\n".repeat(50)).executable("b", "#!/bin/sh");
        let mut blob = layer.packing(if zstd { Packing::Zstd } else { Packing::Gzip }).build().blob.to_vec();
        for (at, value) in flips {
            let at = at % blob.len();
            blob[at] = value;
        }
        read_with(&blob[..], detectors(), &[Detector::Packages].into());
    }
}
