//! What several test modules need.

use intel::{CompiledFeed, Compiler, Intake, Intelligence, Segment};
use model::purl::Purl;
use model::{Match, PackageKey, Timestamp};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When the documents of every test were got.
pub(crate) fn now() -> Timestamp {
    "2030-02-15T00:00:00Z".parse().unwrap()
}

pub(crate) fn fixtures(area: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(area)
}

/// The folder of real test data, when there is one.
pub(crate) fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PRATIQUE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: there is no test data in {}", folder.display());
    None
}

/// Every file under a folder, sorted, with its path below it.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The members of a zip archive, sorted by name.
#[expect(clippy::disallowed_types, reason = "a test reads archives that it trusts")]
pub(crate) fn unzip(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        if member.is_file() {
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            found.push((format!("{name}/{}", member.name().unwrap()), content));
        }
    }
    found.sort();
    found
}

/// The documents under a folder, with archives opened.
pub(crate) fn documents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let open = |(name, bytes): (String, Vec<u8>)| {
        if name.ends_with(".zip") { unzip(&name, &bytes) } else { vec![(name, bytes)] }
    };
    files(folder).into_iter().flat_map(open).collect()
}

pub(crate) fn compile<'a>(documents: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<CompiledFeed> {
    let mut compiler = Compiler::new(now());
    for (name, bytes) in documents {
        compiler.document(name, bytes);
    }
    compiler.finish()
}

/// Compiles one document that must be recognised.
pub(crate) fn compile_one(name: &str, text: &str) -> Vec<CompiledFeed> {
    let mut compiler = Compiler::new(now());
    let intake = compiler.document(name, text.as_bytes());
    assert!(matches!(intake, Intake::Recognised(_)), "{intake:?}");
    compiler.finish()
}

pub(crate) fn open(feed: &CompiledFeed) -> Segment {
    Segment::open(Arc::new(feed.segment.clone())).unwrap()
}

pub(crate) fn intelligence(feeds: &[CompiledFeed]) -> Intelligence {
    Intelligence::new(1, feeds.iter().map(|feed| (feed.meta.clone(), open(feed))).collect())
}

pub(crate) fn key(purl: &str) -> PackageKey {
    Purl::to_key(purl).unwrap()
}

/// The one match of a package.
pub(crate) fn only(intelligence: &Intelligence, purl: &str) -> Match {
    let mut found = intelligence.matches(&key(purl)).unwrap();
    assert_eq!(found.len(), 1, "{purl}: {found:#?}");
    found.remove(0)
}
