//! Packings, the end of the input, and errors of the input.

use crate::support::*;
use analyze::{ErrorKind, Limits};
use model::Detector;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use testkit::image::{LayerBuilder, Packing, sha256};

fn small() -> LayerBuilder {
    LayerBuilder::new().file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\n\n").executable("bin/sh", "#!/bin/sh\n")
}

#[test]
fn magic_bytes_decide_and_not_the_media_type() {
    let expect = read(&small().packing(Packing::Plain).build().blob);
    assert_eq!(packages(&expect).len(), 1);
    for packing in [Packing::Gzip, Packing::Zstd] {
        assert_eq!(read(&small().packing(packing).build().blob), expect, "{packing:?}");
    }
}

#[test]
fn several_members_are_one_stream() {
    let tar = small().tar();
    let expect = read(&tar);
    for cut in [1, 511, 512, tar.len() - 1] {
        let members = |packing: Packing| [packing.pack(&tar[..cut]), packing.pack(&tar[cut..])].concat();
        assert_eq!(read(&members(Packing::Gzip)), expect, "gzip cut at {cut}");
        assert_eq!(read(&members(Packing::Zstd)), expect, "zstd cut at {cut}");
    }
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &Packing::Zstd.pack(&tar)].concat();
    assert_eq!(read(&skippable), expect);
}

#[test]
fn a_layer_cut_at_any_byte_is_no_error_and_never_clean() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let blob = small().packing(packing).build().blob;
        let whole = packages(&read(&blob));
        for end in 0..blob.len() {
            let reading = read_with(&blob[..end], detectors(), &[Detector::Packages].into());
            let gaps = gaps(&reading);
            assert!(gaps.iter().any(|gap| gap.starts_with("layer malformed: ")), "{packing:?} cut at {end}: {gaps:?}");
            assert!(packages(&reading).iter().all(|package| whole.contains(package)));
        }
    }
}

#[test]
fn an_archive_cut_at_any_byte_is_no_error() {
    let tar = small().tar();
    let whole = packages(&read(&tar));
    for end in 0..tar.len() {
        let reading = read_with(&tar[..end], detectors(), &[Detector::Packages].into());
        assert_eq!(reading.diff_id, sha256(&tar[..end]));
        assert!(packages(&reading).iter().all(|package| whole.contains(package)), "cut at {end}");
        // A cut between members cannot be seen, because writers may leave out the end mark and the last padding.
        let unseen = [512 + 19..=1024, 1536 + 10..=2048, 2560..=2560].iter().any(|range| range.contains(&end));
        assert_eq!(gaps(&reading).is_empty(), unseen, "cut at {end}: {:?}", gaps(&reading));
    }
}

#[test]
fn unsupported_packings_are_named() {
    let check = |head: &[u8], expect: &str| {
        let reading = read(&[head, &[0; 64]].concat());
        assert_eq!(
            gaps(&reading),
            [format!("layer unsupported: compressed with {expect}, which is not supported; 0 entries were read")]
        );
    };
    check(b"\xfd7zXZ\0", "xz");
    check(b"BZh91AY&SY", "bzip2");
    check(b"\x04\x22\x4d\x18", "lz4");
}

#[test]
fn noise_is_a_gap() {
    let noise: Vec<u8> = (0..2000_u32).map(|n| u8::try_from(n * n % 239).unwrap() | 1).collect();
    let reading = read(&noise);
    assert_eq!(reading.diff_id, sha256(&noise));
    assert!(
        gaps(&reading)[0].starts_with("layer malformed: layer archive broken after 0 entries at byte 512"),
        "{:?}",
        gaps(&reading)
    );
    assert_eq!(gaps(&read(b"")), ["layer malformed: the layer is empty, and not gzip as its media type says"]);
}

/// Counts what is read, and fails at a byte.
struct Probe<'a> {
    bytes: &'a [u8],
    read: &'a mut usize,
    fails_at: Option<usize>,
}

impl Read for Probe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fails_at.is_some_and(|at| *self.read >= at) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the digest does not match"));
        }
        let n = buffer.len().min(1000).min(self.bytes.len() - *self.read);
        buffer[..n].copy_from_slice(&self.bytes[*self.read..][..n]);
        *self.read += n;
        Ok(n)
    }
}

#[test]
fn the_input_is_read_to_its_end_whatever_is_in_it() {
    let blob = small().build().blob;
    let tar = small().tar();
    let garbage = vec![0x55; 700_000];
    for input in [
        [&blob[..], &garbage].concat(),
        [&tar[..], &garbage].concat(),
        [&blob[..blob.len() / 2], &garbage].concat(),
        [b"BZh91AY&SY", &garbage[..]].concat(),
        garbage.clone(),
    ] {
        let mut count = 0;
        read_with(Probe { bytes: &input, read: &mut count, fails_at: None }, detectors(), &all());
        assert_eq!(count, input.len());
    }
}

#[test]
fn an_error_of_the_input_passes_through() {
    let blob = LayerBuilder::new().file("big", vec![0x5a; 3_000_000]).packing(Packing::Plain).build().blob;
    let gzip = LayerBuilder::new().file("big", testkit_noise(300_000)).build().blob;
    for (bytes, fails_at) in [(&blob, 0), (&blob, 1_000_000), (&gzip, 100_000), (&gzip, gzip.len())] {
        let mut count = 0;
        let input = Probe { bytes, read: &mut count, fails_at: Some(fails_at) };
        let request = analyze::LayerRequest {
            memory: &MEMORY,
            media: model::layer::LayerMedia::Tar,
            detectors: detectors(),
            only: &BTreeSet::new(),
            spool: &NoSpool,
            inspector: None,
            in_part: false,
        };
        let error = analyze::read_layer(input, &request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Input);
        let source = error.source.unwrap().downcast::<io::Error>().unwrap();
        assert_eq!(
            (source.kind(), source.to_string()),
            (io::ErrorKind::ConnectionReset, "the digest does not match".to_owned())
        );
    }
}

/// Bytes that do not compress.
fn testkit_noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// A tar header of one file of 10 GiB, and its content as 160 gzip members of 64 MiB zeros: about 10 MB.
fn bomb() -> Vec<u8> {
    let header = LayerBuilder::new().lying_file("zeros", "", 10 << 30).tar();
    let mut blob = Packing::Gzip.pack(&header[..512]);
    let zeros = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        io::copy(&mut io::repeat(0).take(64 << 20), &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    for _ in 0..160 {
        blob.extend_from_slice(&zeros);
    }
    blob
}

#[test]
fn a_layer_of_10_gb_from_10_mb_stops_at_the_limit() {
    let blob = bomb();
    assert!(blob.len() < 11_000_000);
    let started = Instant::now();
    let mut count = 0;
    let reading = read_with(Probe { bytes: &blob, read: &mut count, fails_at: None }, detectors(), &all());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(count, blob.len());
    assert!(reading.bytes_uncompressed < 100 << 20, "{}", reading.bytes_uncompressed);
    let gaps = gaps(&reading);
    assert!(
        gaps[0].starts_with("layer expands-too-far: expands more than 200 times beyond 67108864 bytes"),
        "{gaps:?}"
    );

    let limits = Limits { ratio_max: u64::MAX, layer_bytes_max: 100 << 20, ..Limits::default() };
    let reading = read_with(&blob[..], &detectors_with(limits), &all());
    assert_eq!(reading.bytes_uncompressed, 100 << 20);
    let gaps = crate::support::gaps(&reading);
    assert!(gaps[0].starts_with("layer expands-too-far: expands beyond the limit of 104857600 bytes"), "{gaps:?}");
}

#[test]
fn a_zstd_window_above_the_limit_is_named() {
    let limits = Limits { zstd_window_log_max: 17, ..Limits::default() };
    let tar = LayerBuilder::new().file("big", testkit_noise(2_000_000)).tar();
    let blob = zstd::encode_all(&tar[..], 19).unwrap();
    let reading = read_with(&blob[..], &detectors_with(limits), &all());
    let gaps = gaps(&reading);
    assert!(
        gaps[0].starts_with("layer expands-too-far: needs a zstd window above the limit of 2^17 bytes"),
        "{gaps:?}"
    );
}
