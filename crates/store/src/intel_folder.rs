//! The folder of compiled intelligence: immutable segment files, and generations that name them.
//!
//! `segments/<sha256>` are the files, `generation-N.json` says which feeds a generation has, `changes-N` what it changed,
//! `current` names the generation in force with the digest of its manifest, `notes` is what was learnt about its feeds
//! since, `last-round` how the last round of downloads ended. Not here: what is in a segment, what a change is, what is
//! noted.
//!
//! Invariant: `current` is swapped by rename after everything that it leads to is on disk, so a crash at any
//! moment leaves the old generation or the new one. Everything here blocks.

use crate::mapped::Mapped;
use crate::packed::sha256;
use crate::{Error, ErrorKind, Result, durable};
use model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many generations are kept, the one in force included.
pub const GENERATIONS_KEPT: u64 = 3;

/// For how many generations it is kept what each of them changed.
pub const CHANGES_KEPT: u64 = 30;

const CHANGES_BYTES_MAX: u64 = 256 << 20;
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const CURRENT_BYTES_MAX: u64 = 1024;
const NOTES_BYTES_MAX: u64 = 16 << 20;
const LAST_ROUND_BYTES_MAX: u64 = 1 << 20;

/// A folder of intelligence. Cheap to clone; holds nothing open.
#[derive(Debug, Clone)]
pub struct IntelFolder {
    folder: PathBuf,
}

/// The right to download into a folder; it ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct DownloadTurn {
    _lock: std::fs::File,
}

/// The generation in force.
#[derive(Debug, Clone)]
pub struct InstalledGeneration {
    /// Counts installs; 0 before the first.
    pub number: u64,
    /// Its feeds, by id.
    pub feeds: Vec<InstalledFeed>,
}

/// One feed of a generation.
#[derive(Debug, Clone)]
pub struct InstalledFeed {
    /// The feed's id.
    pub id: String,
    /// What the compiler said about it, as JSON text.
    pub meta_json: String,
    /// Digest of the segment.
    pub digest: Digest,
    /// The segment.
    pub bytes: Arc<Mapped>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    number: u64,
    feeds: BTreeMap<String, FeedEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FeedEntry {
    meta_json: String,
    digest: Digest,
    bytes: u64,
}

impl IntelFolder {
    /// Opens the folder, making it if there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        durable::make_folder(&folder.join("segments"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The number of the generation in force, without opening its files. 0 before the first.
    ///
    /// # Errors
    /// When the pointer cannot be read.
    pub fn current_number(&self) -> Result<u64> {
        Ok(self.pointer()?.map_or(0, |(number, _)| number))
    }

    /// The generation in force with its segments mapped. Sizes are checked, contents are not: see [`Self::verify`].
    ///
    /// # Errors
    /// `Malformed` when the manifest or a segment is not what was installed.
    pub fn current(&self) -> Result<InstalledGeneration> {
        // Between reading the pointer and opening its files, newer generations may have pushed this one out.
        let mut last = None;
        for _ in 0..8 {
            let manifest = match self.manifest() {
                Ok(manifest) => manifest,
                Err(e) if e.kind == ErrorKind::NotFound => {
                    last = Some(e);
                    continue;
                }
                Err(e) => return Err(e),
            };
            match self.map_feeds(&manifest) {
                Err(e) if e.kind == ErrorKind::NotFound => last = Some(e),
                done => return Ok(InstalledGeneration { number: manifest.number, feeds: done? }),
            }
        }
        let source = last.map(|e| e.to_string()).unwrap_or_default();
        let text = format!("the intelligence in {} is incomplete; import it again", self.folder.display());
        Err(Error::because(ErrorKind::Malformed, text, source))
    }

    /// An older generation with its segments mapped; `None` when it is no longer kept.
    ///
    /// # Errors
    /// `Malformed` when its manifest or a segment is not what was installed.
    pub fn generation(&self, number: u64) -> Result<Option<InstalledGeneration>> {
        if number == 0 {
            return Ok(Some(InstalledGeneration { number: 0, feeds: Vec::new() }));
        }
        let path = self.manifest_path(number);
        let Some(bytes) = durable::read(&path, MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{} is damaged", path.display()), e))?;
        match self.map_feeds(&manifest) {
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            done => Ok(Some(InstalledGeneration { number, feeds: done? })),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Installs a new generation: `replaced` feeds as (id, metadata as JSON, segment), without those that `removed`
    /// names (an id, or a prefix and `*`). The others are carried over. Every file's digest is checked before the
    /// generation comes into force. Returns its number, or that of the one in force when nothing would change.
    ///
    /// # Errors
    /// `NotFound` when `removed` names no feed, `Malformed` when a carried-over segment is damaged; the generation
    /// in force stays.
    pub fn install(&self, replaced: Vec<(String, String, Vec<u8>)>, removed: &[String]) -> Result<u64> {
        let _lock = durable::lock(&self.folder.join("lock"))?;
        self.sweep_partial()?;
        let old = self.manifest()?;
        let mut feeds = old.feeds.clone();
        for pattern in removed {
            remove_matching(&mut feeds, pattern)?;
        }
        let renewed: BTreeSet<&String> = replaced.iter().map(|(id, ..)| id).collect();
        for (id, entry) in feeds.iter().filter(|(id, _)| !renewed.contains(id)) {
            self.check_segment(id, entry)?;
        }
        let mut changed = feeds.len() != old.feeds.len();
        for (id, meta_json, bytes) in replaced {
            let entry = self.write_segment(&id, meta_json, &bytes)?;
            let same = |e: &FeedEntry| e.digest == entry.digest && e.meta_json == entry.meta_json;
            changed |= !feeds.get(&id).is_some_and(same);
            feeds.insert(id, entry);
        }
        if !changed {
            return Ok(old.number);
        }
        self.put_in_force(Manifest { version: 1, number: old.number + 1, feeds })
    }

    /// Checks the full digest of every segment in force; returns how many.
    ///
    /// # Errors
    /// `Malformed`, naming the first that is damaged.
    pub fn verify(&self) -> Result<u64> {
        let manifest = self.manifest()?;
        for (id, entry) in &manifest.feeds {
            self.check_segment(id, entry)?;
        }
        Ok(manifest.feeds.len() as u64)
    }

    /// Keeps what a generation changed, for as long as [`CHANGES_KEPT`] says.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_changes<T: Serialize>(&self, number: u64, changes: &T) -> Result<()> {
        durable::write(&self.changes_path(number), &crate::packed::pack(changes)?)
    }

    /// What a generation changed; `None` when that was not kept, or cannot be read any more.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn changes<T: DeserializeOwned>(&self, number: u64) -> Result<Option<T>> {
        let bytes = durable::read(&self.changes_path(number), CHANGES_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| crate::packed::unpack(&bytes).ok()))
    }

    /// What was noted about the feeds, as [`Self::edit_notes`] wrote it; `None` before the first note.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn notes(&self) -> Result<Option<Vec<u8>>> {
        durable::read(&self.folder.join("notes"), NOTES_BYTES_MAX)
    }

    /// Changes what is noted; `edit` gets what is there and answers what replaces it, or `None` to leave it. No new
    /// generation is made.
    ///
    /// # Errors
    /// When it cannot be read or written; what was there stays.
    pub fn edit_notes(&self, edit: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>) -> Result<()> {
        let _lock = durable::lock(&self.folder.join("lock"))?;
        match edit(self.notes()?) {
            Some(bytes) => durable::write(&self.folder.join("notes"), &bytes),
            None => Ok(()),
        }
    }

    /// How the last round of downloads ended, as [`Self::put_last_round`] wrote it; `None` before the first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_round(&self) -> Result<Option<Vec<u8>>> {
        durable::read(&self.folder.join("last-round"), LAST_ROUND_BYTES_MAX)
    }

    /// Replaces what is kept about the last round of downloads.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn put_last_round(&self, bytes: &[u8]) -> Result<()> {
        durable::write(&self.folder.join("last-round"), bytes)
    }

    /// Takes the turn to download into the folder; `None` while another has it, in this process or another one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn download_turn(&self) -> Result<Option<DownloadTurn>> {
        Ok(durable::try_lock(&self.folder.join("download-lock"))?.map(|lock| DownloadTurn { _lock: lock }))
    }

    fn changes_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("changes-{number}"))
    }

    fn segment_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("segments").join(digest.hex())
    }

    fn manifest_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("generation-{number}.json"))
    }

    /// `current` is one line: the number and the digest of its manifest.
    fn pointer(&self) -> Result<Option<(u64, Digest)>> {
        let path = self.folder.join("current");
        let Some(bytes) = durable::read(&path, CURRENT_BYTES_MAX)? else { return Ok(None) };
        let parsed = std::str::from_utf8(&bytes).ok().and_then(|line| {
            let (number, digest) = line.trim_end().split_once(' ')?;
            Some((number.parse().ok()?, digest.parse().ok()?))
        });
        let broken = || Error::new(ErrorKind::Malformed, format!("{} is damaged", path.display()));
        parsed.map(Some).ok_or_else(broken)
    }

    fn manifest(&self) -> Result<Manifest> {
        let Some((number, digest)) = self.pointer()? else {
            return Ok(Manifest { version: 1, number: 0, feeds: BTreeMap::new() });
        };
        let path = self.manifest_path(number);
        let missing = || Error::new(ErrorKind::NotFound, format!("{} is missing", path.display()));
        let bytes = durable::read(&path, MANIFEST_BYTES_MAX)?.ok_or_else(missing)?;
        let broken = |why: &str| Error::new(ErrorKind::Malformed, format!("{} {why}", path.display()));
        if sha256(&bytes) != digest {
            return Err(broken("is not the manifest that was installed"));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{} is damaged", path.display()), e))?;
        if manifest.version != 1 || manifest.number != number {
            return Err(broken("is of another version"));
        }
        Ok(manifest)
    }

    fn map_feeds(&self, manifest: &Manifest) -> Result<Vec<InstalledFeed>> {
        let map = |(id, entry): (&String, &FeedEntry)| {
            let bytes = Arc::new(Mapped::open(&self.segment_path(&entry.digest), entry.bytes)?);
            Ok(InstalledFeed { id: id.clone(), meta_json: entry.meta_json.clone(), digest: entry.digest, bytes })
        };
        manifest.feeds.iter().map(map).collect()
    }

    fn check_segment(&self, id: &str, entry: &FeedEntry) -> Result<()> {
        let map = Mapped::open(&self.segment_path(&entry.digest), entry.bytes);
        match map {
            Ok(map) if sha256(map.as_ref()) == entry.digest => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::Malformed,
                format!("the compiled feed {id} was damaged on disk; import it again or remove it"),
            )),
            Err(e) => Err(Error::because(
                ErrorKind::Malformed,
                format!("the compiled feed {id} cannot be read; import it again or remove it"),
                e,
            )),
        }
    }

    fn write_segment(&self, id: &str, meta_json: String, bytes: &[u8]) -> Result<FeedEntry> {
        let entry = FeedEntry { meta_json, digest: sha256(bytes), bytes: bytes.len() as u64 };
        if self.check_segment(id, &entry).is_err() {
            let path = self.segment_path(&entry.digest);
            durable::write(&path, bytes)?;
            make_read_only(&path)?;
            self.check_segment(id, &entry)?;
        }
        Ok(entry)
    }

    fn put_in_force(&self, manifest: Manifest) -> Result<u64> {
        let text = crate::packed::json(&manifest)?;
        durable::write(&self.manifest_path(manifest.number), text.as_bytes())?;
        let pointer = format!("{} {}\n", manifest.number, sha256(text.as_bytes()));
        durable::write(&self.folder.join("current"), pointer.as_bytes())?;
        // The new generation is in force: what is left behind now is only disk space.
        if let Err(error) = self.sweep_old(manifest.number) {
            tracing::warn!(%error, "cannot remove old intelligence");
        }
        Ok(manifest.number)
    }

    /// Removes files that a crash left half-written. Only while the lock is held.
    fn sweep_partial(&self) -> Result<()> {
        for folder in [self.folder.clone(), self.folder.join("segments")] {
            for name in durable::names(&folder)?.iter().filter(|n| n.starts_with(durable::PARTIAL_PREFIX)) {
                durable::remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    fn sweep_old(&self, current: u64) -> Result<()> {
        let mut used = BTreeSet::new();
        for name in durable::names(&self.folder)? {
            let changes = name.strip_prefix("changes-").and_then(|n| n.parse::<u64>().ok());
            if changes.is_some_and(|number| number >= current || number + CHANGES_KEPT <= current) {
                durable::remove(&self.folder.join(&name))?;
            }
            let number = name.strip_prefix("generation-").and_then(|n| n.strip_suffix(".json")?.parse::<u64>().ok());
            let Some(number) = number else { continue };
            if number > current || number + GENERATIONS_KEPT <= current {
                durable::remove(&self.folder.join(&name))?;
                continue;
            }
            let bytes = durable::read(&self.folder.join(&name), MANIFEST_BYTES_MAX)?.unwrap_or_default();
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
                used.extend(manifest.feeds.values().map(|e| e.digest.hex()));
            }
        }
        let segments = self.folder.join("segments");
        for name in durable::names(&segments)?.iter().filter(|n| !used.contains(*n)) {
            durable::remove(&segments.join(name))?;
        }
        Ok(())
    }
}

fn remove_matching(feeds: &mut BTreeMap<String, FeedEntry>, pattern: &str) -> Result<()> {
    let before = feeds.len();
    match pattern.strip_suffix('*') {
        Some(prefix) => feeds.retain(|id, _| !id.starts_with(prefix)),
        None => {
            feeds.remove(pattern);
        }
    }
    if feeds.len() == before {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no feed {pattern:?}")));
    }
    Ok(())
}

fn make_read_only(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|e| durable::io_error(e, "cannot read", path))?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions).map_err(|e| durable::io_error(e, "cannot protect", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn feed(id: &str, body: &str) -> (String, String, Vec<u8>) {
        (id.to_owned(), format!("{{\"of\":\"{id}\"}}"), body.as_bytes().to_vec())
    }

    fn bodies(folder: &IntelFolder) -> Vec<(String, String)> {
        let text = |f: InstalledFeed| (f.id, String::from_utf8((*f.bytes).as_ref().to_vec()).unwrap());
        folder.current().unwrap().feeds.into_iter().map(text).collect()
    }

    fn pairs(expect: &[(&str, &str)]) -> Vec<(String, String)> {
        expect.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn an_install_replaces_removes_and_carries_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        assert_eq!(folder.current_number().unwrap(), 0);
        assert_eq!(bodies(&folder), []);
        assert_eq!(folder.install(vec![feed("secdb-1", "a"), feed("secdb-2", "b"), feed("kev", "")], &[]).unwrap(), 1);
        assert_eq!(folder.install(vec![feed("secdb-1", "c")], &["kev".to_owned()]).unwrap(), 2);
        assert_eq!(bodies(&folder), pairs(&[("secdb-1", "c"), ("secdb-2", "b")]));
        assert_eq!(folder.current().unwrap().feeds[0].meta_json, "{\"of\":\"secdb-1\"}");
        assert_eq!(folder.install(vec![feed("secdb-1", "c")], &[]).unwrap(), 2, "nothing changed");
        assert_eq!(folder.install(vec![], &["secdb-*".to_owned()]).unwrap(), 3);
        assert_eq!(bodies(&folder), []);
        let error = folder.install(vec![feed("new", "x")], &["secdb-1".to_owned()]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(folder.current_number().unwrap(), 3);
    }

    #[test]
    fn old_generations_go_and_maps_of_them_stay_readable() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        folder.install(vec![feed("a", "one")], &[]).unwrap();
        let first = folder.current().unwrap();
        for body in ["two", "three", "four", "five"] {
            folder.install(vec![feed("a", body)], &[]).unwrap();
        }
        let manifests = durable::names(dir.path()).unwrap().into_iter().filter(|n| n.starts_with("generation-"));
        assert_eq!(manifests.collect::<Vec<_>>(), ["generation-3.json", "generation-4.json", "generation-5.json"]);
        assert_eq!(durable::names(&dir.path().join("segments")).unwrap().len(), 3);
        assert_eq!((*first.feeds[0].bytes).as_ref(), b"one");
    }

    #[test]
    fn what_generations_changed_is_kept_longer_than_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        for n in 1..=40u64 {
            assert_eq!(folder.install(vec![feed("a", &n.to_string())], &[]).unwrap(), n);
            folder.put_changes(n, &vec![n]).unwrap();
        }
        let kept: Vec<u64> = (1..=41).filter(|n| folder.changes::<Vec<u64>>(*n).unwrap().is_some()).collect();
        assert_eq!(kept, (11..=40).collect::<Vec<_>>());
        assert_eq!(folder.changes::<Vec<u64>>(20).unwrap(), Some(vec![20]));
        fs::write(dir.path().join("changes-20"), "damaged").unwrap();
        assert_eq!(folder.changes::<Vec<u64>>(20).unwrap(), None);
        assert_eq!(folder.generation(20).unwrap().map(|g| g.number), None);
    }

    #[test]
    fn tampering_ends_in_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        folder.install(vec![feed("a", "aaaa"), feed("b", "bbbb")], &[]).unwrap();
        let victim = dir.path().join("segments").join(sha256(b"aaaa").hex());
        let replace = |body: &str| {
            fs::remove_file(&victim).unwrap();
            fs::write(&victim, body).unwrap();
        };
        replace("aaaaa");
        assert_eq!(folder.current().unwrap_err().kind, ErrorKind::Malformed, "other size");
        replace("xxxx");
        assert_eq!(folder.verify().unwrap_err().kind, ErrorKind::Malformed, "other content");
        let error = folder.install(vec![feed("b", "new")], &[]).unwrap_err();
        assert!(error.to_string().contains("feed a"), "{error}");
        assert_eq!(folder.current_number().unwrap(), 1);
        // Importing the damaged feed again heals it.
        assert_eq!(folder.install(vec![feed("a", "aaaa"), feed("b", "new")], &[]).unwrap(), 2);
        assert_eq!(folder.verify().unwrap(), 2);
        let manifest = dir.path().join("generation-2.json");
        let text = fs::read_to_string(&manifest).unwrap().replace("bbbb", "cccc").replace("number\":2", "number\":3");
        fs::write(&manifest, text).unwrap();
        assert_eq!(folder.current().unwrap_err().kind, ErrorKind::Malformed);
    }

    #[test]
    fn a_crash_before_the_swap_leaves_the_old_generation() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        folder.install(vec![feed("a", "one")], &[]).unwrap();
        // What a crash may leave: a partial file, a whole segment, a manifest that nothing points at.
        fs::write(dir.path().join("segments").join(".partial-x"), "tw").unwrap();
        fs::write(dir.path().join("segments").join(sha256(b"two").hex()), "two").unwrap();
        fs::write(dir.path().join("generation-2.json"), "{\"half").unwrap();
        assert_eq!(bodies(&folder), pairs(&[("a", "one")]));
        assert_eq!(folder.install(vec![feed("a", "three")], &[]).unwrap(), 2);
        assert_eq!(bodies(&folder), pairs(&[("a", "three")]));
        assert_eq!(durable::names(&dir.path().join("segments")).unwrap().len(), 2, "no partial, no unreferenced file");
    }

    #[test]
    fn notes_are_beside_the_generations_and_one_downloads_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        folder.install(vec![feed("a", "one")], &[]).unwrap();
        assert_eq!(folder.notes().unwrap(), None);
        folder.edit_notes(|known| known.is_none().then(|| b"first".to_vec())).unwrap();
        folder.edit_notes(|known| known.is_none().then(|| b"second".to_vec())).unwrap();
        folder.install(vec![feed("a", "two")], &[]).unwrap();
        assert_eq!(folder.notes().unwrap().as_deref(), Some(&b"first"[..]));
        assert_eq!(folder.current_number().unwrap(), 2);
        let turn = folder.download_turn().unwrap();
        assert!(turn.is_some() && IntelFolder::open(dir.path()).unwrap().download_turn().unwrap().is_none());
        drop(turn);
        assert!(folder.download_turn().unwrap().is_some());
    }

    #[test]
    fn installs_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = IntelFolder::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let folder = &folder;
                scope.spawn(move || folder.install(vec![feed(&format!("f{n}"), "x")], &[]).unwrap());
            }
        });
        assert_eq!(folder.current_number().unwrap(), 8);
        assert_eq!(folder.current().unwrap().feeds.len(), 8);
    }
}
