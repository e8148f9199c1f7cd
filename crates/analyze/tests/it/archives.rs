//! Archives of documents: zip and tar, below caps.

use analyze::archive::{Walked, is_zip, tar_members, zip_members};
use analyze::{Error, ErrorKind, Limits};
use std::io::{Cursor, Read as _, Write};
use testkit::image::{LayerBuilder, Packing};

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn walk_zip(bytes: &[u8], limits: &Limits) -> (Result<Walked, Error>, Vec<String>) {
    let mut seen = Vec::new();
    let result = zip_members(Cursor::new(bytes), limits, |name, content| {
        let mut text = Vec::new();
        content.read_to_end(&mut text).map_err(|e| Error::because(ErrorKind::Input, name, e))?;
        seen.push(format!("{name}={}", text.len()));
        Ok(())
    });
    (result, seen)
}

#[test]
fn zip_members_come_in_order_with_their_names() {
    let bytes = zip(&[("b.json", b"{}"), ("../a.json", b"[1]"), ("folder/", b"")]);
    assert!(is_zip(&bytes));
    let (walked, seen) = walk_zip(&bytes, &Limits::default());
    assert_eq!(seen, ["b.json=2", "../a.json=3"]);
    assert_eq!(walked.unwrap().members, 2);
}

#[test]
fn a_broken_zip_member_is_counted_and_the_others_are_read() {
    let mut bytes = zip(&[("good", b"aaaaaaaaaaaaaaaa"), ("bad", &[b'x'; 3000]), ("last", b"c")]);
    let at = bytes.windows(3).position(|w| w == b"bad").unwrap() + 3;
    bytes[at + 2] ^= 0xff;
    let (walked, seen) = walk_zip(&bytes, &Limits::default());
    let walked = walked.unwrap();
    assert_eq!((walked.members, walked.broken_count), (2, 1));
    assert_eq!(walked.broken[0].0, "bad");
    assert_eq!(seen, ["good=16", "last=1"]);
}

#[test]
fn zip_limits_hold() {
    let zeros = vec![0; 3 << 20];
    let bytes = zip(&[("zeros", &zeros), ("small", b"x")]);
    let (walked, seen) = walk_zip(&bytes, &Limits { archive_member_bytes_max: 1 << 20, ..Limits::default() });
    assert_eq!(seen, ["small=1"]);
    assert!(walked.unwrap().broken[0].1.contains("more than the limit of 1048576 bytes"));
    let (walked, seen) = walk_zip(&bytes, &Limits { ratio_from_bytes: 1 << 20, ..Limits::default() });
    assert_eq!(seen, ["small=1"]);
    assert!(walked.unwrap().broken[0].1.contains("more than 200 times"));
    let (walked, _) = walk_zip(&bytes, &Limits { archive_bytes_max: 1 << 20, ..Limits::default() });
    assert_eq!(walked.unwrap_err().kind, ErrorKind::LimitExceeded);
    let (walked, _) = walk_zip(&bytes, &Limits { archive_members_max: 1, ..Limits::default() });
    assert_eq!(walked.unwrap_err().kind, ErrorKind::LimitExceeded);
}

#[test]
fn a_zip_cut_at_any_byte_is_an_error() {
    let bytes = zip(&[("a", b"1"), ("b", b"2")]);
    for end in 0..bytes.len() {
        let (walked, _) = walk_zip(&bytes[..end], &Limits::default());
        assert_eq!(walked.unwrap_err().kind, ErrorKind::Malformed, "cut at {end}");
    }
}

#[test]
fn tar_members_come_from_every_packing() {
    let layer = LayerBuilder::new().file("a.json", "{}").directory("d").file("d/b.json", "[1]");
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let mut seen = Vec::new();
        let blob = layer.clone().packing(packing).build().blob;
        let walked = tar_members(&blob[..], &Limits::default(), |name, content| {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            seen.push(format!("{name}={text}"));
            Ok(())
        });
        assert_eq!(walked.unwrap().members, 2);
        assert_eq!(seen, ["a.json={}", "d/b.json=[1]"]);
        let cut = tar_members(&blob[..blob.len() / 3], &Limits::default(), |_, _| Ok(()));
        assert_eq!(cut.unwrap_err().kind, ErrorKind::Malformed, "{packing:?}");
    }
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut out).unwrap();
    out
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::best()).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn tar_members_come_from_xz_and_bzip2_too() {
    let tar = LayerBuilder::new().file("a.json", "{}").file("b.json", "[1]").packing(Packing::Plain).build().blob;
    let two = [xz(&tar[..1024]), xz(&tar[1024..])].concat();
    assert_eq!(tar_members(&two[..], &Limits::default(), |_, _| Ok(())).unwrap().members, 2);
    for blob in [xz(&tar), bzip2(&tar)] {
        let walked = tar_members(&blob[..], &Limits::default(), |_, _| Ok(()));
        assert_eq!(walked.unwrap().members, 2);
        for end in 6..blob.len() {
            let cut = tar_members(&blob[..end], &Limits::default(), |_, _| Ok(()));
            assert!(cut.is_err(), "cut at {end} of {}", blob.len());
        }
    }
}

#[test]
fn bombs_of_xz_and_bzip2_stop_at_the_ratio() {
    let tar = LayerBuilder::new().file("zeros", vec![0; 8 << 20]).packing(Packing::Plain).build().blob;
    let limits = Limits { ratio_from_bytes: 1 << 20, ..Limits::default() };
    for blob in [xz(&tar), bzip2(&tar)] {
        let walked = tar_members(&blob[..], &limits, |_, _| Ok(()));
        assert_eq!(walked.unwrap_err().kind, ErrorKind::LimitExceeded);
    }
}
