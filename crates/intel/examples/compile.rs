//! Measures compiling, opening and matching: `cargo run --release -p intel --example compile -- FOLDER`.
//!
//! Reads every document under the folder (zip archives are opened), compiles it, opens the segments, and matches 2,000
//! packages that the feeds name, cold and warm.
#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use intel::{Compiler, Intake, Intelligence, Segment};
use model::package::Distro;
use model::{Ecosystem, EcosystemRelease, PackageKey};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: compile FOLDER")?.into();
    let started = Instant::now();
    let mut compiler = Compiler::new(model::Timestamp::UNIX_EPOCH);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut bytes_read = 0;
    walk(&folder, &mut |name, bytes| {
        bytes_read += bytes.len();
        let became = match compiler.document(name, bytes) {
            Intake::Recognised(_) => "recognised",
            Intake::Unrecognised => "unrecognised",
            Intake::Failed { .. } => "failed",
        };
        *counts.entry(became).or_default() += 1;
    })?;
    let read = started.elapsed();
    let feeds = compiler.finish();
    let total: usize = feeds.iter().map(|feed| feed.segment.len()).sum();
    println!("documents {counts:?}, {bytes_read} bytes; peak memory {}", peak_memory());
    println!("compiled in {:?} (reading and parsing {read:?}), {total} bytes of segments", started.elapsed());
    for feed in &feeds {
        let meta = &feed.meta;
        let (id, records, broken) = (&meta.id, meta.records, meta.broken_records);
        println!("  {id:32} {records:6} records, {broken} broken, {:9} bytes {:?}", feed.segment.len(), meta.skipped);
    }
    let packages = packages(&feeds)?;
    let started = Instant::now();
    let mut opened = Vec::new();
    for feed in feeds {
        opened.push((feed.meta, Segment::open(Arc::new(feed.segment))?));
    }
    let intelligence = Intelligence::new(1, opened);
    println!("opened in {:?}", started.elapsed());
    for round in ["cold", "warm", "warm"] {
        let started = Instant::now();
        let mut found = 0;
        for key in &packages {
            found += intelligence.matches(key)?.len();
        }
        println!("matched {} packages {round}: {found} matches in {:?}", packages.len(), started.elapsed());
    }
    Ok(())
}

fn walk(path: &Path, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        let mut paths = std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        return paths.iter().try_for_each(|path| walk(path, take));
    }
    let name = path.to_string_lossy();
    let bytes = std::fs::read(path)?;
    if path.extension().is_some_and(|e| e == "zip") {
        return unzip(&name, bytes, take);
    }
    take(&name, &bytes);
    Ok(())
}

#[expect(clippy::disallowed_types, reason = "an example reads archives that its user trusts")]
fn unzip(name: &str, bytes: Vec<u8>, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), Box<dyn Error>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut content = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        content.clear();
        member.read_to_end(&mut content)?;
        let path = format!("{name}/{}", member.name()?);
        take(&path, &content);
    }
    Ok(())
}

/// 2,000 packages that the feeds name, spread over them.
fn packages(feeds: &[intel::CompiledFeed]) -> Result<Vec<PackageKey>, intel::Error> {
    let mut all = Vec::new();
    for feed in feeds {
        let segment = Segment::open(Arc::new(feed.segment.clone()))?;
        all.extend(intel::changes(None, Some(&segment))?.packages);
    }
    let step = (all.len() / 2000).max(1);
    Ok(all.into_iter().step_by(step).take(2000).filter_map(|(release, name)| key(&release, &name)).collect())
}

fn key(release: &EcosystemRelease, name: &str) -> Option<PackageKey> {
    let mut key = PackageKey::new(release.ecosystem.format(), name, "1.2.3");
    if release.ecosystem.format().is_os() {
        let id = match release.ecosystem {
            Ecosystem::Alpine => "alpine",
            Ecosystem::Debian => "debian",
            Ecosystem::AlmaLinux => "almalinux",
            _ => return None,
        };
        let version = release.release.as_deref().unwrap_or_default().trim_start_matches('v').to_owned();
        "1.2.3-1".clone_into(&mut key.version);
        key.distro = Some(Distro { id: id.to_owned(), version });
    }
    Some(key)
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("unknown", str::trim).to_owned()
}
