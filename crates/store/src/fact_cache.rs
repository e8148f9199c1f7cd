//! A folder of layer facts for scans without a server, one file per (blob, detector version).
//!
//! Not here: facts of other readers; whoever may write the folder is trusted with it. Invariant: an entry that is
//! not exactly what was put is removed and never returned. Everything here blocks.

use crate::packed::{pack, sha256, unpack};
use crate::{Result, durable};
use model::inventory::DetectorFacts;
use model::{DetectorVersion, Digest, LayerInventory, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The largest entry, in bytes as stored.
const ENTRY_BYTES_MAX: u64 = 256 << 20;

/// Of the ceiling, how much an eviction leaves, in percent.
const EVICT_TO_PERCENT: u64 = 80;

/// A folder of layer facts with a ceiling: the least recently used go first.
#[derive(Debug)]
pub struct FactCache {
    folder: PathBuf,
    bytes_max: u64,
    bytes: AtomicU64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    blob: Digest,
    diff_id: Digest,
    bytes: u64,
    bytes_uncompressed: u64,
    facts: DetectorFacts,
}

impl FactCache {
    /// Opens the folder, making it if there is none; it will hold about `bytes_max` bytes at most.
    ///
    /// # Errors
    /// When it cannot be made or listed.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self> {
        durable::make_folder(folder)?;
        let cache = Self { folder: folder.to_owned(), bytes_max, bytes: AtomicU64::new(0) };
        let found: u64 = cache.entries()?.iter().map(|(_, bytes, _)| bytes).sum();
        cache.bytes.store(found, Ordering::Relaxed);
        Ok(cache)
    }

    /// The facts of a blob by those of `versions` that are here; `None` when none is. Entries are marked as used at
    /// `now`.
    pub fn get(&self, blob: &Digest, versions: &[DetectorVersion], now: Timestamp) -> Option<LayerInventory> {
        let mut found: Option<LayerInventory> = None;
        for version in versions {
            let Some(entry) = self.entry(blob, version, now) else { continue };
            let layer = found.get_or_insert_with(|| LayerInventory {
                blob: entry.blob,
                diff_id: entry.diff_id,
                bytes: entry.bytes,
                bytes_uncompressed: entry.bytes_uncompressed,
                detectors: BTreeMap::new(),
            });
            if layer.diff_id == entry.diff_id {
                layer.detectors.insert(version.detector, entry.facts);
            }
        }
        found
    }

    /// Keeps the facts of every detector of a layer. Entries that are here already stay.
    ///
    /// # Errors
    /// When the disk is full or refuses.
    pub fn put(&self, facts: &LayerInventory, now: Timestamp) -> Result<()> {
        for detector in facts.detectors.values() {
            let path = self.path(&facts.blob, &detector.version);
            if path.exists() {
                continue;
            }
            let packed = pack(&Entry {
                blob: facts.blob,
                diff_id: facts.diff_id,
                bytes: facts.bytes,
                bytes_uncompressed: facts.bytes_uncompressed,
                facts: detector.clone(),
            })?;
            let mut content = sha256(&packed).as_bytes().to_vec();
            content.extend_from_slice(&packed);
            if let Some(folder) = path.parent() {
                durable::make_folder(folder)?;
            }
            durable::write(&path, &content)?;
            mark_used(&path, now);
            self.bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
        }
        if self.bytes.load(Ordering::Relaxed) > self.bytes_max { self.evict() } else { Ok(()) }
    }

    fn path(&self, blob: &Digest, version: &DetectorVersion) -> PathBuf {
        let name = format!("{blob} {} {}", version.detector, version.fingerprint);
        durable::fan_out(&self.folder, &sha256(name.as_bytes()).hex())
    }

    fn entry(&self, blob: &Digest, version: &DetectorVersion, now: Timestamp) -> Option<Entry> {
        let path = self.path(blob, version);
        let content = match durable::read(&path, ENTRY_BYTES_MAX) {
            Ok(content) => content?,
            Err(error) => {
                tracing::debug!(%error, "a cached fact cannot be read");
                return None;
            }
        };
        let entry = parse(&content).filter(|e| e.blob == *blob && e.facts.version == *version);
        match &entry {
            Some(_) => mark_used(&path, now),
            None => {
                tracing::warn!(path = %path.display(), "a cached fact was damaged and is removed");
                // What stays is read again, and refused again.
                drop(durable::remove(&path));
            }
        }
        entry
    }

    /// Path, size and time of last use of every file.
    fn entries(&self) -> Result<Vec<(PathBuf, u64, SystemTime)>> {
        let mut found = Vec::new();
        for folder in durable::names(&self.folder)? {
            let folder = self.folder.join(folder);
            if !folder.is_dir() {
                continue;
            }
            for name in durable::names(&folder)? {
                let path = folder.join(name);
                if let Ok(metadata) = fs::symlink_metadata(&path) {
                    found.push((path, metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
                }
            }
        }
        Ok(found)
    }

    fn evict(&self) -> Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        let goal = self.bytes_max / 100 * EVICT_TO_PERCENT;
        for (path, size, _) in entries {
            if bytes <= goal {
                break;
            }
            durable::remove(&path)?;
            bytes = bytes.saturating_sub(size);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// An entry is the SHA-256 of the rest, and the rest.
fn parse(content: &[u8]) -> Option<Entry> {
    let (digest, packed) = content.split_at_checked(32)?;
    if sha256(packed).as_bytes() != digest {
        return None;
    }
    unpack(packed).ok()
}

/// Failing to mark only makes the entry go earlier.
fn mark_used(path: &Path, now: Timestamp) {
    if let Ok(file) = File::options().append(true).open(path) {
        drop(file.set_modified(SystemTime::from(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::inventory::RawInput;
    use model::{Detector, LayerPath};

    fn version(detector: Detector, fingerprint: &str) -> DetectorVersion {
        DetectorVersion { detector, fingerprint: fingerprint.to_owned() }
    }

    fn layer(seed: u8, versions: &[DetectorVersion]) -> LayerInventory {
        let facts = |v: &DetectorVersion| {
            let mut facts = DetectorFacts::new(v.clone());
            let noise = (0..200_u32).map(|n| sha256(&[seed, n.to_le_bytes()[0]]).as_bytes()[0]).collect();
            facts.raw_inputs.push(RawInput { path: LayerPath::from("etc/os-release"), content: noise });
            (v.detector, facts)
        };
        LayerInventory {
            blob: sha256(&[seed]),
            diff_id: sha256(&[seed, 1]),
            bytes: 1,
            bytes_uncompressed: 2,
            detectors: versions.iter().map(facts).collect(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn facts_come_back_per_detector_version() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FactCache::open(&dir.path().join("facts"), 1 << 20).unwrap();
        let (files, secrets) = (version(Detector::Files, "1"), version(Detector::Secrets, "1"));
        let stored = layer(1, &[files.clone(), secrets.clone()]);
        cache.put(&stored, at(1)).unwrap();
        assert_eq!(cache.get(&stored.blob, &[files.clone(), secrets.clone()], at(2)), Some(stored.clone()));
        let newer = version(Detector::Secrets, "2");
        let part = cache.get(&stored.blob, &[files, newer.clone()], at(2)).unwrap();
        assert_eq!(part.detectors.keys().collect::<Vec<_>>(), [&Detector::Files]);
        assert_eq!(cache.get(&stored.blob, &[newer], at(2)), None);
        assert_eq!(cache.get(&sha256(b"other"), &[secrets], at(2)), None);
    }

    #[test]
    fn damaged_entries_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FactCache::open(dir.path(), 1 << 20).unwrap();
        let v = version(Detector::Files, "1");
        let stored = layer(1, std::slice::from_ref(&v));
        cache.put(&stored, at(1)).unwrap();
        let path = cache.path(&stored.blob, &v);
        let good = fs::read(&path).unwrap();
        for bad in [&good[..0], &good[..20], &good[..good.len() - 1]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(cache.get(&stored.blob, std::slice::from_ref(&v), at(2)), None);
            assert!(!path.exists());
        }
        // A whole entry of another blob under this name.
        fs::write(cache.path(&sha256(b"x"), &v), &good).unwrap_or_default();
        durable::make_folder(cache.path(&sha256(b"x"), &v).parent().unwrap()).unwrap();
        fs::write(cache.path(&sha256(b"x"), &v), &good).unwrap();
        assert_eq!(cache.get(&sha256(b"x"), &[v], at(2)), None);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let v = [version(Detector::Files, "1")];
        let one = {
            let probe = FactCache::open(&dir.path().join("probe"), 1 << 20).unwrap();
            probe.put(&layer(1, &v), at(1)).unwrap();
            probe.bytes.load(Ordering::Relaxed)
        };
        let cache = FactCache::open(&dir.path().join("cache"), one * 7 / 2).unwrap();
        for seed in 1..=3 {
            cache.put(&layer(seed, &v), at(seed.into())).unwrap();
        }
        assert!(cache.get(&layer(1, &v).blob, &v, at(10)).is_some());
        cache.put(&layer(4, &v), at(11)).unwrap();
        let left: Vec<u8> = (1..=4).filter(|s| cache.get(&layer(*s, &v).blob, &v, at(12)).is_some()).collect();
        assert_eq!(left, [1, 4]);
        let again = FactCache::open(&dir.path().join("cache"), one * 4).unwrap();
        assert_eq!(again.bytes.load(Ordering::Relaxed), cache.bytes.load(Ordering::Relaxed));
    }
}
