//! What was learnt about the feeds in force since they were installed: that their source has nothing newer, or why it
//! could not be used.
//!
//! Not here: the records, and what was said of them when they were installed ([`FeedMeta`]). Invariant: a note makes no
//! generation, because it changes nothing that is known of the world; it speaks of one import of a feed, and the next
//! import ends it.

use crate::{Error, ErrorKind, Result};
use intel::FeedMeta;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::intel_folder::IntelFolder;

/// The notes of a folder, by feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Notes {
    feeds: BTreeMap<String, Note>,
}

/// What is noted about a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// When the records were imported that it is about.
    of: Timestamp,
    /// When the source last said that it has nothing newer.
    unchanged_at: Option<Timestamp>,
    /// Why the source could not be used since; `None` when it could.
    error: Option<String>,
}

/// What a look at a source showed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// It has nothing newer.
    Unchanged(Timestamp),
    /// It could not be used, for this reason.
    Failed(&'a str),
}

impl Notes {
    /// Reads notes. Those that cannot be read count as none: feeds then seem older than they are, never newer.
    pub(crate) fn read(bytes: Option<&[u8]>) -> Self {
        bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    }

    /// Completes what is said of a feed.
    pub(crate) fn complete(&self, meta: &mut FeedMeta) {
        let Some(note) = self.feeds.get(&meta.id).filter(|note| note.of == meta.imported_at) else { return };
        meta.imported_at = note.unchanged_at.map_or(meta.imported_at, |at| at.max(meta.imported_at));
        meta.error.clone_from(&note.error);
    }

    fn set(&mut self, meta: &FeedMeta, seen: Seen<'_>) {
        let known = self.feeds.get(&meta.id).filter(|note| note.of == meta.imported_at);
        let (unchanged_at, error) = match seen {
            Seen::Unchanged(at) => (Some(at), None),
            Seen::Failed(why) => (known.and_then(|note| note.unchanged_at), Some(why.to_owned())),
        };
        self.feeds.insert(meta.id.clone(), Note { of: meta.imported_at, unchanged_at, error });
    }
}

/// Notes what was seen of feeds that are in force. `metas` is what was said of them when they were installed.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn note<'a>(folder: &IntelFolder, rows: impl Iterator<Item = (FeedMeta, Seen<'a>)>) -> Result<()> {
    let rows: Vec<(FeedMeta, Seen<'a>)> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let current: Vec<String> = folder.current()?.feeds.into_iter().map(|feed| feed.id).collect();
    let mut failed = None;
    folder.edit_notes(|known| {
        let before = Notes::read(known.as_deref());
        let mut notes = before.clone();
        rows.iter().for_each(|(meta, seen)| notes.set(meta, *seen));
        notes.feeds.retain(|id, _| current.contains(id));
        if notes == before {
            return None;
        }
        serde_json::to_vec(&notes).map_err(|error| failed = Some(error)).ok()
    })?;
    failed
        .map_or(Ok(()), |error| Err(Error::because(ErrorKind::Internal, "notes about feeds cannot be written", error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intel::FeedKind;

    fn meta(imported_at: &str) -> FeedMeta {
        FeedMeta {
            id: "kev".to_owned(),
            kind: FeedKind::Kev,
            releases: Vec::new(),
            records: 1,
            modified: None,
            imported_at: imported_at.parse().unwrap(),
            error: None,
            broken_records: 0,
            broken: Vec::new(),
            skipped: BTreeMap::new(),
            limited: BTreeMap::new(),
        }
    }

    #[test]
    fn a_note_ends_with_the_import_that_it_is_about() {
        let (first, asked, second) = ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z");
        let read = |notes: &Notes, at: &str| {
            let mut meta = meta(at);
            notes.complete(&mut meta);
            (meta.imported_at.to_string(), meta.error)
        };
        let mut notes = Notes::default();
        assert_eq!(read(&notes, first), (first.to_owned(), None));
        notes.set(&meta(first), Seen::Unchanged(asked.parse().unwrap()));
        assert_eq!(read(&notes, first), (asked.to_owned(), None));
        notes.set(&meta(first), Seen::Failed("gone"));
        assert_eq!(read(&notes, first), (asked.to_owned(), Some("gone".to_owned())), "its last good look stays");
        notes.set(&meta(first), Seen::Unchanged(asked.parse().unwrap()));
        assert_eq!(read(&notes, first), (asked.to_owned(), None));
        notes.set(&meta(first), Seen::Failed("gone"));
        assert_eq!(read(&notes, second), (second.to_owned(), None));
        assert_eq!(Notes::read(Some(b"damaged")), Notes::default());
    }
}
