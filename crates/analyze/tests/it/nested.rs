//! Archives inside layers: what is in them is found, under its path, and what cannot be looked at is a gap.

use crate::support::*;
use analyze::Limits;
use model::observation::ObservationKind;
use model::{Detector, GapReason};
use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use testkit::image::{LayerBuilder, sha256};

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-", "STANDARD-ANTIVIRUS-", "TEST-FILE!$H+H*"].concat().into_bytes()
}

/// A private key's head and body, put together here so that no file of the repository holds one.
fn token() -> Vec<u8> {
    let secret = ["ghp_", "k3WvTq8ZbN1xYc5RmLd7", "Hs2JpAe9Uf0ab8cD"].concat();
    format!("first\ntoken = \"{secret}\"\n").into_bytes()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    members.iter().fold(LayerBuilder::new(), |layer, (name, content)| layer.file(name, content)).tar()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    testkit::image::Packing::Gzip.pack(bytes)
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    testkit::image::Packing::Zstd.pack(bytes)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 6);
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// deb(5): an `ar` archive.
fn deb(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        out.extend_from_slice(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

/// cpio(5), "New ASCII Format".
fn cpio(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in members.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let mode = if name == "TRAILER!!!" { 0 } else { 0o100_755 };
        let fields = [1, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend_from_slice(b"070701");
        for field in fields {
            write!(out, "{field:08x}").unwrap();
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// A lead, a signature header of 24 bytes, a header of 16, and the payload.
fn rpm(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xed, 0xab, 0xee, 0xdb];
    out.resize(96, 0);
    for store in [8_u32, 0] {
        out.extend_from_slice(&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&store.to_be_bytes());
        out.resize(out.len() + store as usize, 0);
    }
    out.extend_from_slice(payload);
    out
}

/// `detector path` of every secret and malware observation.
fn found_with(limits: Limits, path: &str, content: &[u8]) -> (Vec<String>, Vec<String>) {
    let detectors = detectors_with(limits);
    let layer = LayerBuilder::new().file(path, content).build();
    let reading = read_with(&layer.blob[..], &detectors, &all());
    let mut found = Vec::new();
    for detector in [Detector::Secrets, Detector::Malware] {
        for observation in &facts(&reading, detector).observations {
            let what = match &observation.kind {
                ObservationKind::Secret(fact) => fact.rule.clone(),
                ObservationKind::Malware(fact) => fact.signature.clone(),
                ObservationKind::FileHash(_) => continue,
                other => panic!("{other:?}"),
            };
            found.push(format!("{what} {}", observation.place.path));
        }
    }
    let malware = facts(&reading, Detector::Malware).gaps.iter().map(gap_line).collect();
    (found, malware)
}

fn found(path: &str, content: &[u8]) -> Vec<String> {
    let (found, gaps) = found_with(Limits::default(), path, content);
    assert_eq!(gaps, [""; 0], "{path}");
    found
}

#[test]
fn the_test_file_is_found_in_a_file_in_a_zip_and_in_a_tar_inside_a_jar() {
    let check = |path: &str, content: Vec<u8>, expect: &str| {
        assert_eq!(found(path, &content), [format!("eicar-test-file {expect}")]);
    };
    let com: (&str, &[u8]) = ("eicar.com", &eicar());
    check("srv/eicar.com", eicar(), "srv/eicar.com");
    check("srv/a.zip", zip(&[("notes.txt", b"nothing"), com]), "srv/a.zip!/eicar.com");
    let inner = tar(&[com]);
    check("opt/app.jar", zip(&[("inner.tar", &inner)]), "opt/app.jar!/inner.tar!/eicar.com");
    check("opt/app.jar", zip(&[("inner.tgz", &gzip(&inner))]), "opt/app.jar!/inner.tgz!/eicar.com");
    check("opt/app.jar", [b"#!/bin/sh\n".to_vec(), zip(&[com])].concat(), "opt/app.jar!/eicar.com");
}

#[test]
fn every_form_of_archive_is_looked_into() {
    let com: (&str, &[u8]) = ("x/eicar.com", &eicar());
    let plain = tar(&[com]);
    let check = |path: &str, content: Vec<u8>, expect: &str| {
        assert_eq!(found(path, &content), [format!("eicar-test-file {expect}")], "{path}");
    };
    check("a.tar", plain.clone(), "a.tar!/x/eicar.com");
    check("a.tar.gz", gzip(&plain), "a.tar.gz!/x/eicar.com");
    check("a.tar.zst", zstd(&plain), "a.tar.zst!/x/eicar.com");
    check("a.tar.xz", xz(&plain), "a.tar.xz!/x/eicar.com");
    check("a.tar.bz2", bzip2(&plain), "a.tar.bz2!/x/eicar.com");
    check("eicar.com.gz", gzip(&eicar()), "eicar.com.gz!/eicar.com");
    let files = cpio(&[("./x/eicar.com", &eicar())]);
    check("a.cpio", files.clone(), "a.cpio!/x/eicar.com");
    check("a.rpm", rpm(&zstd(&files)), "a.rpm!/x/eicar.com");
    check("a.rpm", rpm(&xz(&files)), "a.rpm!/x/eicar.com");
    let package =
        deb(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &gzip(&tar(&[]))), ("data.tar.xz", &xz(&plain))]);
    check("a.deb", package, "a.deb!/data.tar.xz!/x/eicar.com");
}

#[test]
fn a_secret_in_an_archive_is_found_with_its_line() {
    let wheel = zip(&[("pkg/settings.py", &token())]);
    let layer = LayerBuilder::new().file("srv/pkg.whl", &wheel).build();
    let reading = read(&layer.blob);
    let secrets = &facts(&reading, Detector::Secrets).observations;
    let places: Vec<_> = secrets.iter().map(|o| format!("{}:{:?}", o.place.path, o.place.line)).collect();
    assert!(places.contains(&"srv/pkg.whl!/pkg/settings.py:Some(2)".to_owned()), "{places:?}");
    // Each detector can be asked for alone.
    let only: BTreeSet<_> = [Detector::Malware].into();
    assert!(!read_with(&layer.blob[..], detectors(), &only).facts.contains_key(&Detector::Secrets));
}

#[test]
fn members_keep_their_place_when_the_layers_are_squashed() {
    let program = [b"\x7fELF".to_vec(), vec![1; 100]].concat();
    let archive = zip(&[("eicar.com", &eicar()[..]), ("bin/tool", &program), ("readme", b"text")]);
    let below = LayerBuilder::new().symlink("opt", "srv").directory("srv").file("opt/a.zip", &archive).build();
    let above = LayerBuilder::new().whiteout("srv/a.zip").build();
    let one = image(&[below.blob.to_vec()]);
    let of = |image: &model::ImageInventory| {
        let malware = image.observations.iter().filter(|o| matches!(o.kind, ObservationKind::Malware(_)));
        malware.map(|o| (o.evidence.path.as_ref().unwrap().to_string(), o.evidence.removed_in)).collect::<Vec<_>>()
    };
    assert_eq!(of(&one), [("srv/a.zip!/eicar.com".to_owned(), None)]);
    let member = one.files.iter().find(|file| file.path.to_string() == "srv/a.zip!/bin/tool").unwrap();
    assert_eq!((member.sha256, member.layer, member.removed_in), (Some(sha256(&program)), 0, None));
    assert!(one.files.iter().any(|f| f.path.to_string() == "srv/a.zip" && f.sha256 == Some(sha256(&archive))));
    assert!(!one.files.iter().any(|f| f.path.to_string().ends_with("readme")));
    let two = image(&[below.blob.to_vec(), above.blob.to_vec()]);
    assert_eq!(of(&two), [("srv/a.zip!/eicar.com".to_owned(), Some(1))]);
    assert_eq!(two.files.iter().find(|f| f.path.to_string() == "srv/a.zip!/bin/tool").unwrap().removed_in, Some(1));
}

#[test]
fn limits_on_archives_are_gaps_that_name_the_file() {
    let check = |limits: Limits, path: &str, content: &[u8], reason: GapReason, expect: &str| {
        let (_, gaps) = found_with(limits, path, content);
        let found = gaps.iter().any(|gap| gap.contains(&format!("{reason}: ")) && gap.contains(expect));
        assert!(found, "{expect}: {gaps:?}");
    };
    let limits = Limits::default;
    let com = zip(&[("eicar.com", &eicar())]);
    let deep = zip(&[("b.zip", &zip(&[("c.zip", &com)]))]);
    let depth = Limits { nested_depth_max: 2, ..limits() };
    check(depth, "a.zip", &deep, GapReason::TooMany, "a.zip!/b.zip!/c.zip: lies inside more than 2 other archives");
    let size = Limits { nested_archive_bytes_max: 50, ..limits() };
    check(size, "a.zip", &com, GapReason::FileTooLarge, "a.zip: an archive of");
    let member = Limits { nested_member_bytes_max: 50, ..limits() };
    check(member.clone(), "a.zip", &com, GapReason::FileTooLarge, "a.zip!/eicar.com: a member of");
    check(
        member.clone(),
        "a.tar",
        &tar(&[("x.sh", &[b'#'; 60])]),
        GapReason::FileTooLarge,
        "a.tar!/x.sh: a member of 60",
    );
    check(member, "a.gz", &gzip(&eicar()), GapReason::FileTooLarge, "a.gz!/a: a member of");
    let zeros = vec![0; 3 << 20];
    let bomb = zip(&[("zeros", &zeros), ("eicar.com", &eicar())]);
    let file = Limits { nested_file_bytes_max: 1 << 20, ..limits() };
    for (path, content) in
        [("a.zip", bomb.clone()), ("a.tgz", gzip(&tar(&[("zeros", &zeros)]))), ("a.gz", gzip(&zeros))]
    {
        check(file.clone(), path, &content, GapReason::ExpandsTooFar, path);
    }
    let ratio = Limits { ratio_from_bytes: 1 << 20, ..limits() };
    check(
        ratio.clone(),
        "a.zip",
        &bomb,
        GapReason::ExpandsTooFar,
        "a.zip!/zeros: cannot be read: unpacks to more than 200",
    );
    check(
        Limits { ratio_max: 10, ..ratio },
        "a.tgz",
        &gzip(&tar(&[("zeros", &zeros)])),
        GapReason::ExpandsTooFar,
        "a.tgz: the file it lies in unpacks to more than 1048576",
    );
    let layer = Limits { nested_layer_bytes_max: 1 << 20, ..limits() };
    check(layer, "a.zip", &bomb, GapReason::ExpandsTooFar, "the archives of this layer unpack to more than 1048576");
    let members = Limits { nested_members_max: 1, ..limits() };
    check(members.clone(), "a.zip", &bomb, GapReason::TooMany, "a.zip: more than 1 members");
    check(members, "a.tar", &tar(&[("a", b"1"), ("b", b"2")]), GapReason::TooMany, "a.tar: more than 1 members");
    let held = Limits { nested_held_bytes_max: 50, ..limits() };
    check(held, "a.zip", &deep, GapReason::FileTooLarge, "a.zip!/b.zip: archives inside one another");
}

#[test]
fn what_comes_out_of_a_broken_file_is_looked_at() {
    let long = [token(), b"one line after the other\n".repeat(1000)].concat();
    for content in [token(), long] {
        let packed = gzip(&content);
        // Without its checksum, and with a wrong one.
        let mut wrong = packed.clone();
        wrong[packed.len() - 8] ^= 1;
        for broken in [&packed[..packed.len() - 8], &wrong] {
            let (found, gaps) = found_with(Limits::default(), "srv/notes.gz", broken);
            assert!(found.contains(&"github-token srv/notes.gz!/notes".to_owned()), "{} {found:?}", content.len());
            assert!(gaps.iter().any(|gap| gap.contains("cannot be read to its end")), "{gaps:?}");
        }
    }
}

#[test]
fn what_cannot_be_opened_is_a_gap_that_names_the_file() {
    let check = |path: &str, content: &[u8], reason: GapReason, expect: &str| {
        let (_, gaps) = found_with(Limits::default(), path, content);
        assert!(
            gaps.iter().any(|gap| gap.contains(&format!("{reason}: ")) && gap.contains(expect)),
            "{expect}: {gaps:?}"
        );
    };
    check("a.7z", b"7z\xbc\xaf\x27\x1c\x00\x04", GapReason::Unsupported, "a.7z: an archive of the form 7z");
    check("a.rar", b"Rar!\x1a\x07\x01\x00", GapReason::Unsupported, "a.rar: an archive of the form rar");
    let mut locked = zip(&[("plain.sh", &b"#!/bin/sh\n"[..]), ("locked.sh", b"#!/bin/sh\necho")]);
    // APPNOTE.TXT, section 4.4.4: bit 0 of the flags, in the local header and in the central directory.
    for (magic, flags) in [(&b"PK\x03\x04"[..], 6), (b"PK\x01\x02", 8)] {
        let at: Vec<_> = locked.windows(4).enumerate().filter(|(_, w)| *w == magic).map(|(at, _)| at).collect();
        locked[at[1] + flags] |= 1;
    }
    check("a.zip", &locked, GapReason::Unsupported, "a.zip!/locked.sh: cannot be read: ");
    let mut method = zip(&[("x.sh", &b"#!/bin/sh\n"[..])]);
    for (magic, offset) in [(&b"PK\x03\x04"[..], 8), (b"PK\x01\x02", 10)] {
        let at = method.windows(4).position(|w| w == magic).unwrap();
        method[at + offset] = 14;
    }
    check("a.zip", &method, GapReason::Unsupported, "a.zip!/x.sh: cannot be read: ");
    let cut = gzip(&tar(&[("a", &eicar())]));
    check("a.tgz", &cut[..cut.len() / 2], GapReason::Malformed, "a.tgz: the archive cannot be read to its end");
}

/// Every form, cut at every byte and damaged at every byte: the pass ends, and what it says is bounded.
#[test]
fn cut_and_damaged_archives_end_in_facts_or_gaps() {
    let com: (&str, &[u8]) = ("e.com", &eicar());
    let plain = tar(&[com]);
    let files = cpio(&[("e.com", &eicar())]);
    let samples = [
        zip(&[("i.tgz", &gzip(&plain)), com]),
        gzip(&plain),
        zstd(&plain),
        xz(&plain),
        bzip2(&plain),
        files.clone(),
        rpm(&gzip(&files)),
        deb(&[("debian-binary", b"2.0\n"), ("data.tar.gz", &gzip(&plain))]),
    ];
    let only: BTreeSet<_> = [Detector::Malware].into();
    let detectors = detectors();
    let mut seed = 7_u64;
    for sample in &samples {
        // Many files in one layer: one pass for all cuts of a sample.
        let mut layer = LayerBuilder::new();
        for end in 0..sample.len() {
            layer = layer.file(&format!("cut/{end}"), &sample[..end]);
        }
        let mut damaged = sample.clone();
        for at in 0..sample.len() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            damaged[at] ^= (seed >> 33) as u8 | 1;
            layer = layer.file(&format!("bad/{at}"), &damaged);
            damaged[at] = sample[at];
        }
        let reading = read_with(&layer.build().blob[..], detectors, &only);
        assert!(facts(&reading, Detector::Malware).gaps.len() <= Limits::default().gaps_max + 1);
        assert!(files_of(&reading) > sample.len(), "every file is recorded");
    }
}

fn files_of(reading: &analyze::LayerReading) -> usize {
    files(reading).len()
}
