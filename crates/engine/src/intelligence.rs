//! The intelligence in force: opened from its folder, swapped as a whole when a new generation is installed.

use crate::feeds::notes::Notes;
use crate::{Error, ErrorKind, Result};
use intel::{Changes, FeedMeta, Intelligence, Segment};
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, RwLock};
use store::intel_folder::{InstalledGeneration, IntelFolder};

/// One generation, opened.
pub struct Loaded {
    /// Ready for questions.
    pub intelligence: Intelligence,
    /// What was noted about its feeds, as stored.
    notes: Option<Vec<u8>>,
}

/// The current generation, shared by everyone who asks.
#[derive(Clone)]
pub struct Library {
    folder: Arc<IntelFolder>,
    current: Arc<RwLock<Arc<Loaded>>>,
}

impl Library {
    /// Opens the newest generation in a folder; a folder without one gives intelligence without feeds.
    ///
    /// # Errors
    /// When the folder cannot be read, or a segment is cut short.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = IntelFolder::open(path)?;
        let loaded = load(&folder)?;
        Ok(Self { folder: Arc::new(folder), current: Arc::new(RwLock::new(Arc::new(loaded))) })
    }

    /// The generation in force.
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().expect("no panic while the lock is held"))
    }

    /// Where it lies.
    pub fn folder(&self) -> &IntelFolder {
        &self.folder
    }

    /// Opens the newest generation if another than the one in force was installed. Returns its number then. What was
    /// noted about its feeds since is taken up as well.
    ///
    /// # Errors
    /// When it cannot be opened; the one in force stays.
    pub fn refresh(&self) -> Result<Option<u64>> {
        let current = self.current();
        let before = current.intelligence.generation();
        if self.folder.current_number()? == before && self.folder.notes()? == current.notes {
            return Ok(None);
        }
        let loaded = load(&self.folder)?;
        let number = loaded.intelligence.generation();
        *self.current.write().expect("no panic while the lock is held") = Arc::new(loaded);
        Ok((number != before).then_some(number))
    }

    /// What the steps from an older generation to the one in force changed; `None` when that is not known any more:
    /// then anything may have.
    ///
    /// # Errors
    /// When a segment is damaged.
    pub fn changes_since(&self, old: u64) -> Result<Option<Changes>> {
        let now = self.folder.current_number()?;
        if let Some(found) = self.kept_changes(old, now)? {
            return Ok(Some(found));
        }
        let Some(before) = self.folder.generation(old)? else { return Ok(None) };
        let Some(now) = self.folder.generation(now)? else { return Ok(None) };
        changes_between(&before, &now).map(Some)
    }

    /// Puts together what each generation since then has noted.
    fn kept_changes(&self, old: u64, now: u64) -> Result<Option<Changes>> {
        let mut total = Changes::default();
        for number in old.saturating_add(1)..=now {
            match self.folder.changes::<Changes>(number)? {
                Some(step) => total.merge(step),
                None => return Ok(None),
            }
        }
        Ok(Some(total))
    }

    /// Did the set of feeds change, so that gaps of every image may read otherwise?
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn coverage_changed_since(&self, old: Option<u64>) -> Result<bool> {
        let Some(before) = old.map(|old| self.folder.generation(old)).transpose()?.flatten() else { return Ok(true) };
        let releases = |generation: &InstalledGeneration| -> Vec<String> {
            let metas =
                generation.feeds.iter().filter_map(|feed| serde_json::from_str::<FeedMeta>(&feed.meta_json).ok());
            let mut out: Vec<String> = metas.flat_map(|meta| meta.releases).map(|r| r.to_string()).collect();
            out.sort();
            out.dedup();
            out
        };
        Ok(releases(&before) != releases(&self.folder.current()?))
    }
}

/// What differs between two generations.
///
/// # Errors
/// When a segment is damaged.
pub fn changes_between(before: &InstalledGeneration, now: &InstalledGeneration) -> Result<Changes> {
    let mut total = Changes::default();
    let ids: BTreeSet<&str> = before.feeds.iter().chain(&now.feeds).map(|feed| feed.id.as_str()).collect();
    for id in ids {
        let old = before.feeds.iter().find(|feed| feed.id == id);
        let new = now.feeds.iter().find(|feed| feed.id == id);
        if old.map(|feed| feed.digest) == new.map(|feed| feed.digest) {
            continue;
        }
        let old = old.map(|feed| open_segment(&feed.bytes)).transpose()?.flatten();
        let new = new.map(|feed| open_segment(&feed.bytes)).transpose()?.flatten();
        total.merge(intel::changes(old.as_ref(), new.as_ref()).map_err(crate::error::from_intel)?);
    }
    Ok(total)
}

/// Notes what the newest generation changed, so that it is known for as long as [`store::intel_folder::CHANGES_KEPT`]
/// says. The generation before is still there right after an install.
///
/// # Errors
/// When a segment is damaged, or the note cannot be written.
pub fn note_changes(folder: &IntelFolder, number: u64) -> Result<Changes> {
    let (Some(before), Some(now)) = (folder.generation(number.saturating_sub(1))?, folder.generation(number)?) else {
        return Ok(Changes::default());
    };
    let changes = changes_between(&before, &now)?;
    folder.put_changes(number, &changes)?;
    Ok(changes)
}

fn load(folder: &IntelFolder) -> Result<Loaded> {
    let stored = folder.notes()?;
    let notes = Notes::read(stored.as_deref());
    let generation = folder.current()?;
    let mut segments = Vec::with_capacity(generation.feeds.len());
    for feed in &generation.feeds {
        let mut meta: FeedMeta = serde_json::from_str(&feed.meta_json).map_err(|e| {
            Error::because(ErrorKind::Malformed, format!("the description of the feed {} cannot be read", feed.id), e)
        })?;
        notes.complete(&mut meta);
        match open_segment(&feed.bytes)? {
            Some(segment) => segments.push((meta, segment)),
            None => tracing::warn!(
                "the feed {} was compiled by another version of this program and is left out: import it again",
                feed.id
            ),
        }
    }
    Ok(Loaded { intelligence: Intelligence::new(generation.number, segments), notes: stored })
}

/// `None` for a segment that another version of the program compiled: until its feed is imported again there are no
/// advisories of it, which is a gap, and everything else goes on.
fn open_segment(bytes: &Arc<store::Mapped>) -> Result<Option<Segment>> {
    let bytes: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::clone(bytes) as _;
    match Segment::open(bytes) {
        Ok(segment) => Ok(Some(segment)),
        Err(error) if error.kind == intel::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(crate::error::from_intel(error)),
    }
}

/// Can this program read a segment?
pub(crate) fn opens(bytes: &Arc<store::Mapped>) -> bool {
    open_segment(bytes).is_ok_and(|segment| segment.is_some())
}

/// The hexadecimal SHA-256 of some bytes.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Digest::from_bytes(Sha256::digest(bytes).into()).hex()
}
