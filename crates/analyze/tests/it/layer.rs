//! What one pass over a layer records.

use crate::support::*;
use model::inventory::FileDigest;
use model::observation::ObservationKind;
use model::{Detector, LayerPath};
use std::collections::BTreeSet;
use std::io::{self, Read};
use testkit::image::{LayerBuilder, Packing, sha256};

#[test]
fn every_entry_is_recorded() {
    let layer = LayerBuilder::new()
        .directory("usr/bin")
        .executable("usr/bin/tool", "\x7fELF and so on")
        .symlink("bin", "usr/bin")
        .hard_link("usr/bin/alias", "usr/bin/tool")
        .whiteout("etc/gone")
        .opaque("var/cache")
        .file("etc/motd", "hello");
    let reading = read(&layer.build().blob);
    assert_eq!(
        listing(&reading),
        [
            "link bin -> usr/bin",
            "whiteout etc/gone",
            "file etc/motd",
            "folder usr/bin",
            "hard usr/bin/alias -> usr/bin/tool",
            "file usr/bin/tool",
            "opaque var/cache",
        ]
    );
    assert_eq!(reading.diff_id, sha256(&layer.tar()));
    assert_eq!(reading.bytes_uncompressed, layer.tar().len() as u64);
    assert_eq!(gaps(&reading), [""; 0]);
    let digest = FileDigest { path: LayerPath::from("usr/bin/tool"), sha256: sha256(b"\x7fELF and so on") };
    assert_eq!(facts(&reading, Detector::Malware).digests, [digest]);
}

#[test]
fn long_names_are_whole() {
    let path = format!("{}/file", "long-folder-name/".repeat(12).trim_end_matches('/'));
    let target = "elsewhere/".repeat(20);
    let layer = LayerBuilder::new().file(&path, "x").symlink("link", target.trim_end_matches('/'));
    let expect = [format!("link link -> {}", target.trim_end_matches('/')), format!("file {path}")];
    assert_eq!(listing(&read(&layer.build().blob)), expect);
}

#[test]
fn facts_do_not_depend_on_what_else_is_asked_for() {
    let big = vec![b'M'; 300_000];
    let layer = LayerBuilder::new().executable("a", "MZ\u{90}\0\0").file("b", "MZ plain text").file("c.so", &big);
    let blob = layer.build().blob;
    let files_only = read_with(&blob[..], detectors(), &BTreeSet::new());
    let all = read(&blob);
    assert_eq!(files_only.facts[&Detector::Files], all.facts[&Detector::Files]);
    assert_eq!(files_only.facts.len(), 1);
    assert_eq!(all.facts.len(), 4);
}

/// Gives one byte at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(1).min(self.0.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn facts_do_not_depend_on_how_the_input_arrives() {
    let content: Vec<u8> = (0..600_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let layer = LayerBuilder::new().executable("big", &content).file("etc/os-release", "ID=alpine\nVERSION_ID=3.20\n");
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let blob = layer.clone().packing(packing).build().blob;
        assert_eq!(read_with(Trickle(&blob), detectors(), &all()), read(&blob), "{packing:?}");
    }
}

#[test]
fn modes_of_interest_are_observed() {
    let layer = LayerBuilder::new()
        .file_with("bin/su", "#!/bin/sh", 0o4755, (0, 0))
        .file_with("bin/wall", "#!/bin/sh", 0o2755, (0, 5))
        .file_with("etc/open", "x", 0o666, (1, 1))
        .file_with("etc/closed", "x", 0o664, (0, 0));
    let reading = read(&layer.build().blob);
    let observed: Vec<_> = facts(&reading, Detector::Files)
        .observations
        .iter()
        .map(|observation| match &observation.kind {
            ObservationKind::FileMode(mode) => {
                format!("{} {:o} {}:{}", observation.place.path, mode.mode, mode.uid, mode.gid)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expect = ["bin/su 4755 0:0", "bin/wall 2755 0:5", "etc/open 666 1:1"].map(str::to_owned);
    expect.sort();
    let mut observed = observed;
    observed.sort();
    assert_eq!(observed, expect);
}

#[test]
fn the_last_of_several_entries_counts() {
    let first = "P:old\nV:1\n\n";
    let second = "P:new\nV:2\n\n";
    let layer = LayerBuilder::new().file("lib/apk/db/installed", first).file("./lib/apk//db/installed", second);
    let reading = read(&layer.build().blob);
    assert_eq!(packages(&reading), ["pkg:apk/new@2 lib/apk/db/installed"]);
    assert_eq!(listing(&reading), ["file lib/apk/db/installed"]);
}

#[test]
fn a_folder_that_becomes_a_file_hides_what_was_below_and_says_so() {
    let layer =
        LayerBuilder::new().file("a/node_modules/p/package.json", r#"{"name":"p","version":"1"}"#).file("a", "x");
    let reading = read(&layer.build().blob);
    assert_eq!(listing(&reading), ["file a"]);
    assert_eq!(packages(&reading), [""; 0]);
    assert!(
        gaps(&reading)[0].starts_with("a malformed: the archive puts entries below this path"),
        "{:?}",
        gaps(&reading)
    );
}

#[test]
fn hard_links_to_manifests_are_manifests() {
    let manifest = r#"{"name":"p","version":"1"}"#;
    let layer = LayerBuilder::new()
        .file("node_modules/p/package.json", manifest)
        .hard_link("app/node_modules/p/package.json", "node_modules/p/package.json")
        .file("store/0a", manifest)
        .hard_link("node_modules/q/package.json", "store/0a");
    let reading = read(&layer.build().blob);
    assert_eq!(
        packages(&reading),
        ["pkg:npm/p@1 app/node_modules/p/package.json", "pkg:npm/p@1 node_modules/p/package.json",]
    );
    assert_eq!(
        gaps(&reading),
        ["node_modules/q/package.json unsupported: a hard link to store/0a, which was not read as such"]
    );
}

#[test]
fn a_file_above_its_limit_is_a_gap_of_the_detector_that_wanted_it() {
    let limits =
        analyze::Limits { database_bytes_max: 10, secret_file_bytes_max: 400_000, ..analyze::Limits::default() };
    let detectors = detectors_with(limits);
    let big = "x".repeat(500_000);
    let layer = LayerBuilder::new().file("lib/apk/db/installed", "P:a\nV:1-r0\n\n").executable("big", &big);
    let only = [Detector::Packages, Detector::Secrets].into_iter().collect();
    let reading = read_with(&layer.build().blob[..], &detectors, &only);
    assert_eq!(
        gaps(&reading),
        [
            "lib/apk/db/installed file-too-large: 12 bytes, the limit is 10",
            "big file-too-large: 500000 bytes, the limit is 400000",
        ]
    );
    assert_eq!(files(&reading)[0].path, LayerPath::from("big"));
}

#[test]
fn machine_code_above_its_limit_is_a_gap_of_the_malware_detector() {
    let detectors = detectors_with(analyze::Limits { malware_file_bytes_max: 10_000, ..analyze::Limits::default() });
    let code = ["\x7fELF", &"x".repeat(20_000)].concat();
    let layer = LayerBuilder::new().file("usr/lib/lib.so", &code).file("data.csv", "1,2\n".repeat(10_000));
    let blob = layer.build().blob;
    let reading = read_with(&blob[..], &detectors, &all());
    assert_eq!(gaps(&reading), ["usr/lib/lib.so file-too-large: 20004 bytes, the limit is 10000"]);
    let alone = read_with(&blob[..], &detectors, &[Detector::Malware].into());
    assert_eq!(alone.facts[&Detector::Malware], reading.facts[&Detector::Malware]);
    let digest = FileDigest { path: LayerPath::from("usr/lib/lib.so"), sha256: sha256(code.as_bytes()) };
    assert_eq!(facts(&reading, Detector::Malware).digests, [digest]);
}

#[test]
fn secrets_of_large_files_are_found_once_at_their_line() {
    let detectors = detectors_with(analyze::Limits { secret_window_bytes: 300_000, ..analyze::Limits::default() });
    let key = |at: usize| format!("password: '{}'\n", ["sdb7CD-b", "JjTHi", &at.to_string()].concat());
    let mut text = String::new();
    for at in 0..40_000 {
        match at {
            10 | 20_000 | 39_990 => text += &key(at),
            30_000 => text += &key(10),
            _ => text += "just a line of text\n",
        }
    }
    let blob = LayerBuilder::new().file("srv/app/config.yml", &text).executable("usr/bin/tool.yml", &text).build().blob;
    let secrets: BTreeSet<_> = [Detector::Secrets].into();
    let alone = read_with(&blob[..], &detectors, &secrets);
    let lines: Vec<_> = facts(&alone, Detector::Secrets).observations.iter().map(|o| o.place.line).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    for line in [11, 20_001, 39_991] {
        assert_eq!(lines.iter().filter(|l| **l == Some(line)).count(), 2, "{lines:?}");
    }
    // With a detector beside it that wants the file whole.
    let both = read_with(&blob[..], &detectors, &all());
    assert_eq!(alone.facts[&Detector::Secrets], both.facts[&Detector::Secrets]);
    assert_eq!(alone.facts[&Detector::Files], both.facts[&Detector::Files]);
}

#[test]
fn a_database_cut_in_half_keeps_what_is_whole() {
    let apk = testkit::packages::apk_installed(&["a", "b", "c", "d"].map(|name| testkit::packages::ApkPackage {
        name,
        version: "1.0-r0",
        origin: name,
        files: &["bin/x"],
    }));
    let dpkg = testkit::packages::dpkg_status(&["a", "b", "c", "d"].map(|name| testkit::packages::DpkgPackage {
        name,
        version: "1.0-1",
        source: None,
        status: "install ok installed",
    }));
    for (path, database) in [("lib/apk/db/installed", apk), ("var/lib/dpkg/status", dpkg)] {
        let whole = packages(&read(&LayerBuilder::files(&[(path, &database)]).build().blob));
        assert_eq!(whole.len(), 4);
        for end in 1..database.len() {
            let reading = read(&LayerBuilder::files(&[(path, &database[..end])]).build().blob);
            let found = packages(&reading);
            assert!(found.iter().all(|package| whole.contains(package)), "{path} cut at {end}: {found:?}");
            let at_border = database[..end].ends_with("\n\n");
            let named = gaps(&reading).iter().any(|gap| gap.starts_with(&format!("{path} malformed: ")));
            assert!(named || at_border, "{path} cut at {end}: {:?}", gaps(&reading));
        }
    }
}

#[test]
fn secrets_and_malware_are_found() {
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat();
    let token = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let layer = LayerBuilder::new().file("tmp/eicar.com", &eicar).file("app/.env", format!("TOKEN={token}\n"));
    let reading = read(&layer.build().blob);
    let malware: Vec<_> =
        facts(&reading, Detector::Malware).observations.iter().map(|o| o.place.path.to_string()).collect();
    assert_eq!(malware, ["tmp/eicar.com"]);
    assert!(!format!("{reading:?}").contains(&token), "a value left the detector");
}
