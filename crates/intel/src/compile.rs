//! From documents to segments: one per feed.
//!
//! Not here: what the documents look like (that is [`feed`](crate::feed)) and how a segment is laid out.
//!
//! Invariant: the order in which documents arrive does not matter, apart from two documents of one feed that are each
//! the whole feed and bear no date: then the later one counts.

use crate::feed::{Document, FEEDS, Parsed, Scope};
use crate::meta::{FeedId, FeedKind, FeedMeta};
use crate::record::{Advisory, Key, Listed, Rated};
use crate::segment::{PackedAdvisory, SegmentContent, name_hash, write};
use jiff::SignedDuration;
use model::advisory::CvssScore;
use model::{Digest, EcosystemRelease, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The largest document that is read, in bytes. Debian's tracker, the largest that feeds publish as one document, has
/// about 80 MB.
const DOCUMENT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How many broken records are kept by name.
const BROKEN_NAMED_MAX: usize = 20;

/// Collects documents and compiles them.
#[derive(Debug)]
pub struct Compiler {
    now: Timestamp,
    feeds: BTreeMap<FeedId, Builder>,
    /// Feeds of the documents since the last question.
    touched: BTreeSet<FeedId>,
    /// Feeds that are not compiled, whatever else comes.
    abandoned: BTreeSet<FeedId>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// It was read; it belongs to this feed (the first, if it belongs to several).
    Recognised(FeedId),
    /// It has the form of no feed.
    Unrecognised,
    /// It has the form of this feed and could not be read: the document was cut short, is not in the form it should
    /// have, or is too large. Inside an archive of records that is one broken record; the feed counts it.
    Failed {
        /// The feed, as far as it could be told.
        feed: FeedId,
        /// Why, for people: names the document.
        reason: String,
    },
}

/// One feed, ready to be installed.
#[derive(Debug, Clone)]
pub struct CompiledFeed {
    /// What is known about it.
    pub meta: FeedMeta,
    /// The bytes of its segment, for [`Segment::open`](crate::Segment::open).
    pub segment: Vec<u8>,
}

impl Compiler {
    /// An empty compiler. `now` is when the documents were got: the feeds' `imported_at`.
    pub const fn new(now: Timestamp) -> Self {
        Self { now, feeds: BTreeMap::new(), touched: BTreeSet::new(), abandoned: BTreeSet::new() }
    }

    /// Takes one document. It is recognised by content; `path_hint` only helps to name it, apart from hash lists,
    /// which have no form of their own and are recognised by `hashes` in the file's name.
    pub fn document(&mut self, path_hint: &str, bytes: &[u8]) -> Intake {
        let document = Document::new(path_hint, bytes);
        let Some((feed, id)) = FEEDS.iter().find_map(|feed| Some((feed, feed.recognise(&document)?))) else {
            return Intake::Unrecognised;
        };
        let parsed = if bytes.len() > DOCUMENT_BYTES_MAX {
            Err(format!("it has {} bytes, more than the {DOCUMENT_BYTES_MAX} that are read", bytes.len()))
        } else {
            feed.parse(&document)
        };
        match parsed {
            Ok(parsed) => {
                let first = parsed.first().map_or(id, |first| first.feed.clone());
                for part in parsed {
                    self.touched.insert(part.feed.clone());
                    let builder = self.feeds.entry(part.feed.clone()).or_insert_with(|| Builder::new(part.kind));
                    builder.add(part);
                }
                Intake::Recognised(first)
            }
            Err(reason) => {
                let reason = format!("{path_hint}: {reason}");
                self.touched.insert(id.clone());
                if !feed.kind().has_a_document_per_record() {
                    self.abandoned.insert(id.clone());
                }
                let builder = self.feeds.entry(id.clone()).or_insert_with(|| Builder::new(feed.kind()));
                builder.count_broken(reason.clone());
                Intake::Failed { feed: id, reason }
            }
        }
    }

    /// The feeds that the documents since the last call belonged to.
    pub fn take_touched(&mut self) -> BTreeSet<FeedId> {
        std::mem::take(&mut self.touched)
    }

    /// Gives a feed up, because a part of it is known to be missing: what is known of it already stays as it is, rather
    /// than being replaced by less.
    pub fn abandon(&mut self, feed: &FeedId) {
        self.abandoned.insert(feed.clone());
    }

    /// Compiles what was collected, sorted by feed id. A feed that was given up, or of which a document that is not just
    /// one record could not be read, is left out: what was known before stays.
    pub fn finish(self) -> Vec<CompiledFeed> {
        let Self { now, feeds, abandoned, touched: _ } = self;
        let whole = feeds.into_iter().filter(|(id, builder)| builder.documents > 0 && !abandoned.contains(id));
        whole.map(|(id, builder)| builder.finish(id, now)).collect()
    }
}

/// What is collected of one feed.
#[derive(Debug)]
struct Builder {
    kind: FeedKind,
    documents: u64,
    modified: Option<Timestamp>,
    advisories: BTreeMap<String, Entry>,
    /// With the date of each.
    singles: BTreeMap<Key, (Option<Timestamp>, Vec<u8>)>,
    digests: BTreeMap<Digest, BTreeSet<Listed>>,
    broken: u64,
    broken_named: BTreeSet<String>,
    skipped: BTreeMap<String, u64>,
    limited: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Entry {
    modified: Option<Timestamp>,
    packed: PackedAdvisory,
    rated: Option<(String, Vec<CvssScore>)>,
}

impl Builder {
    const fn new(kind: FeedKind) -> Self {
        Self {
            kind,
            documents: 0,
            modified: None,
            advisories: BTreeMap::new(),
            singles: BTreeMap::new(),
            digests: BTreeMap::new(),
            broken: 0,
            broken_named: BTreeSet::new(),
            skipped: BTreeMap::new(),
            limited: BTreeMap::new(),
        }
    }

    fn add(&mut self, parsed: Parsed) {
        if parsed.scope == Scope::Whole && self.documents > 0 {
            if parsed.modified < self.modified {
                return;
            }
            *self = Self::new(self.kind);
        }
        self.documents += 1;
        self.modified = self.modified.max(parsed.modified);
        self.forget_older(&parsed);
        for draft in parsed.drafts {
            let modified = draft.modified;
            if self.advisories.get(&draft.advisory.id).is_none_or(|known| known.modified <= modified) {
                let id = draft.advisory.id.clone();
                let statements = draft.statements.iter().map(|(key, s)| (key.encode(), pack(s))).collect();
                let packed =
                    PackedAdvisory { advisory: pack(&draft.advisory), names: names(&draft.advisory), statements };
                self.advisories.insert(id, Entry { modified, packed, rated: draft.rated });
            }
        }
        for (cve, exploited) in parsed.exploited {
            self.singles.insert(Key::Exploited(cve), (None, pack(&exploited)));
        }
        for (key, modified, record) in parsed.singles {
            let record = (modified, record);
            if self.singles.get(&key).is_none_or(|known| *known < record) {
                self.singles.insert(key, record);
            }
        }
        for (digest, listed) in parsed.digests {
            self.digests.entry(digest).or_default().insert(listed);
        }
        for name in parsed.broken {
            self.count_broken(name);
        }
        for (reason, count) in parsed.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        for (why, count) in parsed.limited {
            *self.limited.entry(why).or_default() += count;
        }
    }

    /// A later record of NVD that speaks of no package any more leaves nothing of the earlier one.
    fn forget_older(&mut self, parsed: &Parsed) {
        if self.kind != FeedKind::Nvd || self.advisories.is_empty() {
            return;
        }
        for (key, modified, _) in &parsed.singles {
            if let Key::Rated(cve) = key
                && self.advisories.get(cve).is_some_and(|known| known.modified < *modified)
            {
                self.advisories.remove(cve);
            }
        }
    }

    /// Keeps the names that sort first, so that the order of arrival does not matter.
    fn count_broken(&mut self, name: String) {
        self.broken += 1;
        self.broken_named.insert(name);
        if self.broken_named.len() > BROKEN_NAMED_MAX {
            self.broken_named.pop_last();
        }
    }

    fn finish(mut self, id: FeedId, now: Timestamp) -> CompiledFeed {
        // NVD's advisories are records that are among the singles as well.
        let advisories = if self.kind == FeedKind::Nvd { 0 } else { self.advisories.len() };
        let records = advisories + self.singles.len() + self.digests.len();
        let mut rated: BTreeMap<String, Vec<CvssScore>> = BTreeMap::new();
        let mut advisories = Vec::with_capacity(self.advisories.len());
        for entry in self.advisories.into_values() {
            if let Some((cve, scores)) = entry.rated {
                rated.entry(cve).or_default().extend(scores);
            }
            advisories.push(entry.packed);
        }
        for (cve, mut cvss) in rated {
            crate::cvss::sort(&mut cvss);
            self.singles.insert(Key::Rated(cve), (None, pack(&Rated { cvss, ..Rated::default() })));
        }
        let digests = self.digests.into_iter().map(|(d, listed)| (d, pack(&Vec::from_iter(listed)))).collect();
        let releases = releases(&advisories);
        let singles = self.singles.into_iter().map(|(key, (_, record))| (key, record)).collect();
        let segment = write(SegmentContent { advisories, singles, digests });
        // A date in the future says nothing about how recent the source is.
        let plausible = self.modified.filter(|at| at.duration_since(now) <= SignedDuration::from_hours(24));
        let meta = FeedMeta {
            id,
            kind: self.kind,
            releases,
            records: records as u64,
            modified: plausible,
            imported_at: now,
            error: None,
            broken_records: self.broken,
            broken: self.broken_named.into_iter().collect(),
            skipped: self.skipped,
            limited: self.limited,
        };
        CompiledFeed { meta, segment }
    }
}

fn releases(advisories: &[PackedAdvisory]) -> Vec<EcosystemRelease> {
    let keys: BTreeSet<&[u8]> =
        advisories.iter().flat_map(|a| &a.statements).filter_map(|(key, _)| key.split(|b| *b == 0x1f).next()).collect();
    let mut found: Vec<_> = keys
        .into_iter()
        .filter_map(|prefix| match Key::decode(&[prefix, b"\x1f"].concat()) {
            Some(Key::Package(release, _)) => Some(release),
            Some(Key::Exploited(_) | Key::Rated(_) | Key::Likely(_) | Key::Lifecycle(..)) | None => None,
        })
        .collect();
    found.sort();
    found
}

fn names(advisory: &Advisory) -> Vec<u32> {
    let all = [&advisory.id].into_iter().chain(&advisory.cves).chain(&advisory.others);
    all.map(|name| name_hash(name)).collect()
}

pub(crate) fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("records have only lengths that are known before they are written")
}
