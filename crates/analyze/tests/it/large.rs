//! Members and archives that are larger than memory, or claim to be.

use crate::support::*;
use analyze::{HELD_BYTES_MAX, LayerReading, LayerRequest, Limits, MemoryBudget, read_layer};
use model::Detector;
use model::layer::LayerMedia;
use model::ports::{Spool, SpoolFile};
use std::collections::BTreeSet;
use std::io::{self, Cursor, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::image::{LayerBuilder, Packing, sha256};

/// Counts the files it gives out; `fails` says how the next one fails.
#[derive(Default)]
struct CountingSpool {
    files: AtomicUsize,
    fails: Option<io::ErrorKind>,
}

impl Spool for CountingSpool {
    fn file(&self) -> io::Result<Box<dyn SpoolFile>> {
        match self.fails {
            Some(kind) => Err(io::Error::new(kind, "no more room")),
            None => {
                self.files.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(Cursor::new(Vec::new())))
            }
        }
    }
}

fn read_spooling(
    input: impl Read + Send,
    limits: Limits,
    memory: &MemoryBudget,
    spool: &CountingSpool,
) -> Result<LayerReading, analyze::Error> {
    let detectors = detectors_with(limits);
    let only = BTreeSet::from([Detector::Packages]);
    let media = LayerMedia::Tar;
    read_layer(
        input,
        &LayerRequest { media, detectors: &detectors, only: &only, memory, spool, inspector: None, in_part: false },
    )
}

fn jar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const POM: (&str, &[u8]) =
    ("META-INF/maven/org.example/last/pom.properties", b"groupId=org.example\nartifactId=last\nversion=1\n");

#[test]
fn a_java_archive_larger_than_memory_is_read_from_a_temporary_file() {
    let inner = jar(&[("data", &vec![7; 3 << 20]), POM]);
    let big = vec![1; usize::try_from(HELD_BYTES_MAX).unwrap()];
    let outer = jar(&[("data", &big), ("lib/inner.jar", &inner)]);
    let tar = LayerBuilder::new().file("opt/app.jar", &outer).tar();
    let spool = CountingSpool::default();
    let memory = MemoryBudget::new(1 << 20);
    let reading = read_spooling(&tar[..], Limits::default(), &memory, &spool).unwrap();
    assert_eq!(packages(&reading), ["pkg:maven/org.example/last@1 opt/app.jar"]);
    assert_eq!(gaps(&reading), [""; 0]);
    assert_eq!(spool.files.load(Ordering::Relaxed), 2, "one for the archive and one for the archive in it");
    assert_eq!(memory.used_bytes(), 0);
    // With memory for it, the same is found without temporary files for what fits.
    let roomy = MemoryBudget::new(1 << 30);
    let again = read_spooling(&tar[..], Limits::default(), &roomy, &CountingSpool::default()).unwrap();
    assert_eq!(again, reading);
}

#[test]
fn what_fits_nowhere_is_a_gap_that_names_the_file_and_the_limit() {
    let big = jar(&[("data", &vec![1; 2 << 20]), POM]);
    let tar = LayerBuilder::new().file("opt/app.jar", &big).file("lib/apk/db/installed", "P:a\nV:1-r0\n\n").tar();
    let memory = MemoryBudget::new(1 << 20);
    let limits = Limits { spooled_bytes_max: 1 << 20, ..Limits::default() };
    let reading = read_spooling(&tar[..], limits, &memory, &CountingSpool::default()).unwrap();
    let expect = format!("opt/app.jar out-of-space: {} bytes: the limit of temporary files is 1048576", big.len());
    assert_eq!(gaps(&reading), [expect]);
    assert_eq!(packages(&reading).len(), 1);
    assert_eq!(reading.diff_id, sha256(&tar));
    let full = CountingSpool { fails: Some(io::ErrorKind::StorageFull), ..CountingSpool::default() };
    let reading = read_spooling(&tar[..], Limits::default(), &memory, &full).unwrap();
    assert_eq!(gaps(&reading), [format!("opt/app.jar out-of-space: {} bytes: no more room", big.len())]);
}

#[test]
fn a_temporary_file_that_fails_is_an_error_and_no_fact() {
    let tar = LayerBuilder::new().file("opt/app.jar", jar(&[("data", &vec![1; 2 << 20]), POM])).tar();
    let broken = CountingSpool { fails: Some(io::ErrorKind::PermissionDenied), ..CountingSpool::default() };
    let error = read_spooling(&tar[..], Limits::default(), &MemoryBudget::new(1 << 20), &broken).unwrap_err();
    assert_eq!(error.kind, analyze::ErrorKind::Internal);
}

#[test]
fn jars_in_jars_in_jars_stay_below_the_limits() {
    // Each level holds the one below twice, so that the innermost is there 2^12 times.
    let mut nested = jar(&[POM]);
    for _ in 0..12 {
        nested = jar(&[("a.jar", &nested), ("b.jar", &nested)]);
    }
    let tar = LayerBuilder::new().file("opt/app.jar", &nested).tar();
    let started = Instant::now();
    let memory = MemoryBudget::new(64 << 20);
    let reading = read_spooling(&tar[..], Limits::default(), &memory, &CountingSpool::default()).unwrap();
    let gaps = gaps(&reading);
    assert!(!gaps.is_empty() && gaps.len() <= 20, "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap.starts_with("opt/app.jar too-many: ")), "{gaps:?}");
    assert!(gaps[0].contains("an archive inside more than 4 others"), "{gaps:?}");
    assert_eq!(memory.used_bytes(), 0);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// Gives the same bytes `times` times, then others.
struct Repeated {
    head: Vec<u8>,
    at: usize,
    zeros: u64,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.head.len() {
            let n = (self.head.len() - self.at).min(buffer.len());
            buffer[..n].copy_from_slice(&self.head[self.at..self.at + n]);
            self.at += n;
            return Ok(n);
        }
        let n = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(buffer.len());
        buffer[..n].fill(0);
        self.zeros -= n as u64;
        Ok(n)
    }
}

/// The header of a file of 30 GB.
fn header_of_30_gb(path: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_size(30_000_000_000);
    header.set_mode(0o755);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_file_of_30_gb_takes_no_memory_and_no_temporary_file() {
    for (path, expect) in [
        ("usr/bin/tool", None),
        ("opt/app.jar", Some("opt/app.jar file-too-large: 30000000000 bytes, the limit is 4294967296")),
        ("lib/apk/db/installed", Some("lib/apk/db/installed file-too-large: 30000000000 bytes, the limit is 67108864")),
    ] {
        let memory = MemoryBudget::new(64 << 20);
        let spool = CountingSpool::default();
        // The header promises 30 GB, 40 MB follow.
        let input = Repeated { head: header_of_30_gb(path), at: 0, zeros: 40_000_000 };
        let reading = read_spooling(input, Limits::default(), &memory, &spool).unwrap();
        let found = gaps(&reading);
        assert!(found.iter().any(|gap| gap.contains("the archive ends early")), "{found:?}");
        assert!(expect.is_none_or(|expect| found.iter().any(|gap| gap == expect)), "{found:?}");
        assert_eq!((spool.files.load(Ordering::Relaxed), memory.used_bytes()), (0, 0));
    }
}

#[test]
fn sparse_files_of_30_gb_are_gaps_that_name_them() {
    // GNU tar's own format: type S, the real size at 483, and a map of one piece of 512 bytes.
    let mut header = tar::Header::new_gnu();
    header.set_path("var/log/lastlog").unwrap();
    header.set_size(512);
    header.set_mode(0o644);
    let bytes = header.as_mut_bytes();
    bytes[156] = b'S';
    bytes[386..398].copy_from_slice(b"00000000000\0");
    bytes[398..410].copy_from_slice(b"00000001000\0");
    bytes[483..495].copy_from_slice(b"337410726000"); // 30,000,000,000 in octal
    header.set_cksum();
    let mut old = header.as_bytes().to_vec();
    old.extend([0; 512]);
    // The PAX forms 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").
    let pax = |records: &[(&str, &str)]| {
        let mut text = String::new();
        for (key, value) in records {
            let bare = key.len() + value.len() + 3;
            let length = (bare..bare + 4).find(|n| n.to_string().len() + bare == *n).unwrap();
            text += &format!("{length} {key}={value}\n");
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_path("pax").unwrap();
        header.set_size(text.len() as u64);
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.extend(text.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
        tar.extend(&LayerBuilder::files(&[("var/log/lastlog", &"x".repeat(512))]).tar()[..1024]);
        tar
    };
    let size = "30000000000";
    let forms = [
        old,
        pax(&[("GNU.sparse.size", size), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.offset", "0")]),
        pax(&[("GNU.sparse.size", size), ("GNU.sparse.map", "0,512"), ("GNU.sparse.name", "var/log/lastlog")]),
        pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", size)]),
    ];
    for (at, form) in forms.into_iter().enumerate() {
        let tar = [form, LayerBuilder::new().file("after", "x").tar()].concat();
        let memory = MemoryBudget::new(64 << 20);
        let reading = read_spooling(&tar[..], Limits::default(), &memory, &CountingSpool::default()).unwrap();
        let gap = "var/log/lastlog unsupported: stored as a sparse file, which is not looked into";
        assert_eq!(gaps(&reading), [gap], "form {at}");
        assert_eq!(listing(&reading), ["file after", "file var/log/lastlog"], "form {at}");
        assert_eq!(files(&reading)[1].bytes, 30_000_000_000, "form {at}");
    }
}

#[test]
fn a_layer_that_expands_without_end_is_cut() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let zeros = vec![0; 20 << 20];
        let blob = LayerBuilder::new().file("zeros", &zeros).packing(packing).build().blob;
        let limits = Limits { ratio_from_bytes: 1 << 20, ratio_max: 20, ..Limits::default() };
        let memory = MemoryBudget::new(64 << 20);
        let reading = read_spooling(&blob[..], limits, &memory, &CountingSpool::default()).unwrap();
        assert!(reading.bytes_uncompressed < 8 << 20, "{packing:?}: {}", reading.bytes_uncompressed);
        assert!(gaps(&reading).iter().any(|gap| gap.starts_with("layer expands-too-far: ")), "{:?}", gaps(&reading));
    }
}

/// An archive of a million empty files, made as it is read: one header whose name counts.
struct TinyFiles {
    header: [u8; 512],
    /// Sum of the header's bytes without its name's digits.
    sum: u32,
    next: u32,
    at: usize,
}

const TINY_FILES: u32 = 1_000_001;
const DIGITS: std::ops::Range<usize> = 4..11;

impl TinyFiles {
    fn new() -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_path("srv/0000000").unwrap();
        header.set_size(0);
        header.set_mode(0o644);
        let mut header = *header.as_bytes();
        header[148..156].fill(b' ');
        let sum = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() - 7 * u32::from(b'0');
        Self { header, sum, next: 0, at: 512 }
    }

    fn count(&mut self) {
        let mut rest = self.next;
        let mut sum = self.sum;
        for digit in self.header[DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap();
            sum += u32::from(*digit);
            rest /= 10;
        }
        for (at, place) in (148..154).rev().enumerate() {
            self.header[place] = b'0' + u8::try_from((sum >> (3 * at)) & 7).unwrap();
        }
        self.header[154] = 0;
        self.next += 1;
        self.at = 0;
    }
}

impl Read for TinyFiles {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == 512 {
            if self.next == TINY_FILES {
                return Ok(0);
            }
            self.count();
        }
        let n = (512 - self.at).min(buffer.len());
        buffer[..n].copy_from_slice(&self.header[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[test]
fn a_million_tiny_files_are_listed_and_one_more_is_a_gap() {
    let started = Instant::now();
    let input = TinyFiles::new();
    let memory = MemoryBudget::new(64 << 20);
    let reading = read_spooling(input, Limits::default(), &memory, &CountingSpool::default()).unwrap();
    assert_eq!(files(&reading).len(), 1_000_000);
    assert_eq!(gaps(&reading), ["layer too-many: more than 1000000 entries: the rest was not looked at"]);
    assert_eq!(reading.bytes_uncompressed, u64::from(TINY_FILES) * 512);
    println!("a million files: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
}

#[test]
fn a_layer_cut_at_any_byte_never_panics_and_says_so() {
    let layer = LayerBuilder::new()
        .file("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n")
        .executable("usr/bin/tool", "\x7fELF and so on")
        .file("opt/app.jar", jar(&[POM]))
        .file(&"long/".repeat(30), "x")
        .file("same", "1")
        .file("same", "2")
        .hostile_file(b"not \xff utf-8", "y");
    let tar = layer.tar();
    let whole = read(&tar);
    assert!(listing(&whole).contains(&"file not \\xff utf-8".to_owned()), "{:?}", listing(&whole));
    assert_eq!(listing(&whole).iter().filter(|line| *line == "file same").count(), 1);
    for end in 0..tar.len() {
        let reading = read_with(&tar[..end], detectors(), &[Detector::Packages].into());
        assert_eq!(reading.diff_id, sha256(&tar[..end]));
        // A cut between members, or in the padding after one, is an archive that ends there; inside one it is a gap.
        let is_whole = tar[end..end.next_multiple_of(512)].iter().all(|byte| *byte == 0);
        if !is_whole {
            assert!(!gaps(&reading).is_empty(), "cut at {end}");
        }
    }
    for packing in [Packing::Gzip, Packing::Zstd] {
        let blob = layer.clone().packing(packing).build().blob;
        for end in 1..blob.len() {
            let reading = read_with(&blob[..end], detectors(), &[Detector::Packages].into());
            assert!(!gaps(&reading).is_empty(), "{packing:?} cut at {end}");
        }
    }
}
