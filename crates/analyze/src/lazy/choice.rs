//! Which files of a table of contents are fetched, and what that takes.
//!
//! Invariant: what is chosen takes no more bytes of the blob than it has, and unpacks within the limits of a layer;
//! what is not chosen is counted, and told as one gap.

use super::{Entry, Form, Kind, Part, RANGE_GAP_BYTES_MAX, Refused, Table};
use crate::accounts;
use crate::analyzer::{FileEntry, Want};
use crate::limits::Limits;
use crate::packages::ANALYZERS;
use crate::read::{LAYER_SCOPE, LayerReading};
use model::{Detector, Gap, GapReason, LayerPath};
use std::ops::Range;

/// A table of contents, and what of it is read.
#[derive(Debug)]
pub struct Choice {
    pub(super) table: Table,
    /// For every entry: is its content fetched?
    pub(super) wanted: Vec<bool>,
    ranges: Vec<Range<u64>>,
    members_left: u64,
    bytes_left: u64,
}

impl Choice {
    /// Chooses what the package analyzers want, and the files of accounts. What a file holds is not known yet: whoever
    /// would look at a program gets each file that may be one.
    ///
    /// # Errors
    /// [`super::RefusedKind::Unusable`] when the table makes no sense as a whole, or asks for more than the limits allow.
    pub fn new(mut table: Table, limits: &Limits) -> Result<Self, Refused> {
        let wanted: Vec<bool> = table.entries.iter().map(|entry| is_wanted(entry, limits)).collect();
        if let Some(spans) = &table.spans {
            let entries = table.entries.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
            let chosen: Vec<usize> = entries.flat_map(|(entry, _)| entry.parts.clone()).collect();
            spans.join(&mut table.parts, &chosen)?;
        }
        let chosen = || table.entries.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(entry, _)| entry);
        let ranges = ranges(chosen().flat_map(|entry| &table.parts[entry.parts.clone()]), table.blob_bytes)?;
        let packed: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let unpacked = chosen().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes));
        let allowed = packed.saturating_mul(limits.ratio_max).saturating_add(limits.ratio_from_bytes);
        if unpacked.is_none_or(|bytes| bytes > limits.layer_bytes_max.min(allowed)) {
            let text = format!("its table of contents says that {packed} bytes unpack to more than the limits allow");
            return Err(Refused::unusable(text));
        }
        let left = || table.entries.iter().zip(&wanted).filter(|(entry, wanted)| !**wanted && entry.bytes > 0);
        let members_left = left().count() as u64;
        let bytes_left = left().fold(0_u64, |sum, (entry, _)| sum.saturating_add(entry.bytes));
        table.keep(&wanted);
        Ok(Self { wanted, ranges, members_left, bytes_left, table })
    }

    /// What kind of table it is.
    pub const fn form(&self) -> Form {
        self.table.form
    }

    /// The ranges of the blob to fetch, in the order in which [`super::Tape`] takes them.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Bytes of the blob that are fetched, the table of contents among them.
    pub fn bytes_fetched(&self) -> u64 {
        self.ranges.iter().fold(self.table.table_bytes, |sum, range| sum.saturating_add(range.end - range.start))
    }

    /// Bytes of the blob that are not fetched.
    pub fn bytes_left(&self) -> u64 {
        self.table.blob_bytes.saturating_sub(self.bytes_fetched())
    }

    /// Files whose content is not fetched.
    pub const fn members_left(&self) -> u64 {
        self.members_left
    }

    /// Says in the facts of a reading what was not looked at.
    pub fn note(&self, reading: &mut LayerReading, remark: Option<&str>) {
        let Some(files) = reading.facts.get_mut(&Detector::Files) else { return };
        let detail = format!(
            "read in part, by its {} table of contents: {} files of {} bytes were not looked into, {} of the blob's {} bytes \
             were not downloaded; what the table says of the archive was not compared with the archive{}{}",
            self.table.form,
            self.members_left,
            self.bytes_left,
            self.bytes_left(),
            self.table.blob_bytes,
            if remark.is_some() { "; " } else { "" },
            remark.unwrap_or_default(),
        );
        let scope = LAYER_SCOPE.to_owned();
        files.gaps.push(Gap { scope, detector: None, reason: GapReason::NotYetRead, detail });
        files.normalise();
    }
}

impl Table {
    /// Forgets where the content lies that is not fetched: a table is held as long as its layer is read.
    fn keep(&mut self, wanted: &[bool]) {
        let mut kept = Vec::new();
        for (entry, wanted) in self.entries.iter_mut().zip(wanted) {
            let first = kept.len();
            if *wanted {
                kept.extend_from_slice(&self.parts[entry.parts.clone()]);
            }
            entry.parts = first..kept.len();
        }
        if let Some(spans) = &mut self.spans {
            spans.keep(&kept);
        }
        self.parts = kept;
    }
}

/// Does somebody want this file's content, as far as name, mode and size can tell? A file above a limit is not fetched:
/// its size makes the pass say so.
fn is_wanted(entry: &Entry, limits: &Limits) -> bool {
    if entry.kind != Kind::File || entry.bytes == 0 {
        return false;
    }
    let Ok(path) = LayerPath::normalise(&entry.name) else { return false };
    if path.file_name().starts_with(b".wh.") {
        return false;
    }
    if accounts::is_accounts(&path) && entry.bytes <= accounts::ACCOUNTS_BYTES_MAX {
        return true;
    }
    let file = FileEntry { path: &path, bytes: entry.bytes, mode: entry.mode, uid: entry.uid, gid: entry.gid };
    ANALYZERS.iter().any(|analyzer| match analyzer.wants(&file, limits) {
        Want::No => false,
        Want::Whole { bytes_max } | Want::Program { bytes_max } => entry.bytes <= bytes_max,
    })
}

/// What is fetched for these parts, in their order; neighbours become one range.
fn ranges<'a>(parts: impl Iterator<Item = &'a Part>, blob_bytes: u64) -> Result<Vec<Range<u64>>, Refused> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut before: Option<&Part> = None;
    let mut bytes = 0_u64;
    for part in parts.filter(|part| !part.is_zeros()) {
        if part.opens_after(before) {
            let Range { start, end } = part.stream;
            match ranges.last_mut() {
                Some(last) if start >= last.end && start - last.end <= RANGE_GAP_BYTES_MAX => {
                    bytes = bytes.saturating_add(end - last.end);
                    last.end = end;
                }
                _ => {
                    bytes = bytes.saturating_add(end - start);
                    ranges.push(part.stream.clone());
                }
            }
        }
        before = Some(part);
    }
    if bytes > blob_bytes {
        return Err(Refused::unusable("its table of contents asks for more bytes than the blob has"));
    }
    Ok(ranges)
}
