//! A short, deterministic look at what the fuzz targets look at for long: every file of every package fixture, cut off,
//! damaged and made up, shown to the analyzers. No panic, and bounded time; equal bytes give equal facts.

use crate::languages::fixtures;
use analyze::packages::{FileFacts, read_file};
use analyze::sbom::{self, SbomLimits};
use analyze::{FileEntry, Limits};
use model::{Detector, DetectorVersion, LayerPath};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one file may take, in a build without optimization on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Files up to this size are cut at every byte, larger ones at so many places.
const CUTS_MAX: usize = 1200;
/// Damaged copies of each file.
const DAMAGED: usize = 250;
/// Files of nothing but noise, at each path.
const NOISE: usize = 40;

/// A small generator of numbers (xorshift64*), so that each run is the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap()
    }
}

fn read(path: &LayerPath, content: &[u8]) -> Option<FileFacts> {
    let entry = FileEntry { path, bytes: content.len() as u64, mode: 0o755, uid: 0, gid: 0 };
    let started = Instant::now();
    let facts = read_file(&entry, content, &Limits::default());
    let time = started.elapsed();
    assert!(time < TIME_MAX, "{path}: {} bytes took {time:?}", content.len());
    facts
}

/// The files of all fixtures, each with its path inside the image.
fn files() -> Vec<(LayerPath, Vec<u8>)> {
    let mut open: Vec<(PathBuf, PathBuf)> = Vec::new();
    for case in std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let below = std::fs::read_dir(&case).into_iter().flatten().map(|entry| entry.unwrap().path().join("root"));
        let roots = std::iter::once(case.join("root")).chain(below).filter(|root| root.is_dir());
        open.extend(roots.map(|root| (root.clone(), root)));
    }
    let mut found = Vec::new();
    while let Some((root, path)) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| (root.clone(), entry.unwrap().path())));
        } else {
            found.push((inside(&root, &path), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn inside(root: &Path, path: &Path) -> LayerPath {
    LayerPath::from(path.strip_prefix(root).unwrap().to_str().unwrap())
}

/// Changes a copy in one of the ways in which files are broken or hostile.
fn damage(content: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut copy = content.to_vec();
    let at = numbers.below(copy.len());
    match numbers.below(6) {
        // A few bytes.
        0 => {
            for _ in 0..=numbers.below(8) {
                let at = numbers.below(copy.len());
                copy[at] = numbers.next().to_le_bytes()[0];
            }
        }
        // A number near a limit of 16, 32 or 64 bits, in either order.
        1 => {
            let values = [u64::MAX, u64::MAX >> 1, 1 << 63, 1 << 32, (1 << 32) - 1, 1 << 31, (1 << 31) - 1, 0xffff, 0];
            let value = values[numbers.below(values.len())];
            let bytes = if numbers.below(2) == 0 { value.to_le_bytes() } else { value.to_be_bytes() };
            let width = [2, 4, 8][numbers.below(3)];
            let kept = if bytes[0] == 0 { &bytes[8 - width..] } else { &bytes[..width] };
            let end = (at + width).min(copy.len());
            copy[at..end].copy_from_slice(&kept[..end - at]);
        }
        // A piece twice.
        2 => {
            let end = (at + numbers.below(400)).min(copy.len());
            let piece = copy[at..end].to_vec();
            copy.splice(at..at, piece);
        }
        // A piece gone.
        3 => {
            let end = (at + numbers.below(400)).min(copy.len());
            copy.drain(at..end);
        }
        // What formats give a meaning to.
        4 => {
            let marks = [
                "\0", "\n", "\r\n", "\"", "'", "{", "}", "[", "]", "<", ">", "&", "*", ":", "=", "-", "\u{feff}", "\\",
            ];
            let mark = marks[numbers.below(marks.len())].repeat(1 + numbers.below(40));
            copy.splice(at..at, mark.into_bytes());
        }
        // Bytes that are not UTF-8.
        _ => {
            copy.splice(at..at, [0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80]);
        }
    }
    copy
}

#[test]
fn fixtures_cut_at_any_byte_are_read_without_a_panic() {
    for (path, content) in files() {
        let step = content.len().div_ceil(CUTS_MAX).max(1);
        for end in (0..content.len()).step_by(step) {
            read(&path, &content[..end]);
        }
    }
}

#[test]
fn damaged_fixtures_are_read_without_a_panic() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (path, content) in files().into_iter().filter(|(_, content)| !content.is_empty()) {
        let rounds = if content.len() > 100_000 { DAMAGED / 10 } else { DAMAGED };
        for _ in 0..rounds {
            let mut copy = damage(&content, &mut numbers);
            if numbers.below(3) == 0 && !copy.is_empty() {
                copy = damage(&copy, &mut numbers);
            }
            let first = read(&path, &copy);
            if numbers.below(50) == 0 {
                assert_eq!(first, read(&path, &copy), "{path}: equal bytes, other facts");
            }
        }
    }
}

#[test]
fn damaged_bills_of_materials_are_read_without_a_panic() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let limits = SbomLimits { components_max: 100, ..SbomLimits::default() };
    for case in std::fs::read_dir(fixtures().join("../sbom")).unwrap().map(|entry| entry.unwrap().path()) {
        let mut files = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
        let input = files.find(|path| path.file_stem().is_some_and(|stem| stem == "input")).unwrap();
        let content = std::fs::read(input).unwrap();
        for _ in 0..DAMAGED {
            let mut copy = content.clone();
            for _ in 0..=numbers.below(3) {
                copy = damage(&copy, &mut numbers);
                copy.push(b' ');
            }
            let Ok(sbom) = sbom::read(&copy, &limits) else { continue };
            assert!(sbom.packages.len() <= limits.components_max);
            let version = DetectorVersion { detector: Detector::Packages, fingerprint: "f".to_owned() };
            assert_eq!(sbom::inventory(&sbom, version.clone()), sbom::inventory(&sbom, version));
        }
    }
}

#[test]
fn noise_is_read_without_a_panic() {
    let mut numbers = Numbers(0xd1b5_4a32_d192_ed03);
    for (path, content) in files() {
        for _ in 0..NOISE {
            let length = numbers.below(3000);
            let mut noise: Vec<u8> = (0..length).map(|_| numbers.next().to_le_bytes()[0]).collect();
            // So that it is taken for what it is not.
            let head = content.len().min(numbers.below(64));
            noise.splice(..head.min(length), content[..head].iter().copied());
            read(&path, &noise);
        }
    }
}

#[test]
fn deep_and_long_input_is_read_in_bounded_time() {
    let repeated = |piece: &str, count: usize| piece.repeat(count).into_bytes();
    let inputs = [
        repeated("[", 200_000),
        repeated("{\"a\":", 100_000),
        repeated("{\"dependencies\":{\"a\":", 50_000),
        repeated("{{<<[(", 100_000),
        repeated("a: &a [*a, *a]\n", 20_000),
        repeated("- ", 200_000),
        repeated("<a>", 100_000),
        repeated("a.", 200_000),
        repeated("[[a]]\n", 50_000),
        repeated(" ", 500_000),
        repeated("\n", 500_000),
        repeated("\"", 500_000),
        repeated("\0", 500_000),
        repeated("/", 500_000),
        repeated("-1", 200_000),
        [b"lockfileVersion: 9\npackages:\n".to_vec(), repeated("  a@1:\n", 50_000)].concat(),
        [b"{\"packages\":".to_vec(), repeated("[", 100_000)].concat(),
    ];
    let mut names: Vec<LayerPath> = files().into_iter().map(|(path, _)| path).collect();
    // One path for each kind of file is enough.
    names.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    names.dedup_by(|a, b| a.file_name() == b.file_name());
    for path in &names {
        for input in &inputs {
            read(path, input);
        }
        let elf = [b"\x7fELF\x02\x01\x01".to_vec(), vec![0xff; 4096]].concat();
        read(path, &elf);
    }
}
