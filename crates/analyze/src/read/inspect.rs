//! The engine outside the process (clamd): which files it is shown, and what it could not look at.
//!
//! Not here: what it is ([`model::ports::Inspector`]). Archives are shown as they are, because such an engine opens
//! them itself; members only of those that it was not shown. Invariant: what it did not see is a gap of the layer.

use super::LAYER_SCOPE;
use super::pass::Pass;
use crate::analyzer::FileView;
use crate::malware::{Shown, Suspect, is_slow, show};
use model::{Detector, Gap, GapReason, LayerPath};

/// Files that the engine could not look at because it could not be reached.
#[derive(Debug, Default)]
pub(super) struct Uninspected {
    files: u64,
    /// The first, and why.
    first: Option<(LayerPath, String)>,
    /// Files on which signatures took too long, and files that were left out after too many of those.
    slow: u32,
    skipped: u64,
    first_skipped: Option<LayerPath>,
}

/// After so many files of one layer that signatures took too long for, they are not tried on the rest.
const SLOW_FILES_MAX: u32 = 12;

impl Uninspected {
    pub(super) const fn are_signatures_too_slow(&self) -> bool {
        self.slow >= SLOW_FILES_MAX
    }

    pub(super) fn note(&mut self, gap: &Gap) {
        self.slow += u32::from(is_slow(gap));
    }

    pub(super) fn skip_signatures(&mut self, path: &LayerPath) {
        self.skipped += 1;
        self.first_skipped.get_or_insert_with(|| path.clone());
    }
}

impl Pass<'_> {
    /// Shows one file to the engine, if there is one. True when it has looked.
    pub(super) fn show(&mut self, view: &FileView<'_>) -> bool {
        let Some(inspector) = self.request.inspector.filter(|_| !self.is_shown_whole) else { return false };
        let path = view.entry.path;
        match show(inspector, &Suspect { path, bytes: view.content }) {
            Shown::Clean => return true,
            Shown::Found(observation) => {
                self.malware.push(observation);
                return true;
            }
            Shown::TooLarge(gap) => self.gaps.push_gap(Detector::Malware, gap),
            Shown::Unavailable(why) => {
                self.uninspected.files += 1;
                self.uninspected.first.get_or_insert_with(|| (path.clone(), why));
            }
        }
        false
    }

    /// Turns what the engine did not see into a gap. Answers why it could not look, if so.
    pub(super) fn note_uninspected(&mut self) -> Option<String> {
        let Uninspected { files, first, skipped, first_skipped, .. } = std::mem::take(&mut self.uninspected);
        if let Some(path) = first_skipped {
            let detail = format!(
                "malware signatures took too long for {SLOW_FILES_MAX} files and were not tried on {skipped} more, \
                 {path} first"
            );
            self.gaps.push(Detector::Malware, LAYER_SCOPE, GapReason::TooMany, detail);
        }
        let (path, why) = first?;
        let detail = format!("malware: {why}; {files} files were not shown to the anti-virus engine, {path} first");
        self.gaps.push(Detector::Malware, LAYER_SCOPE, GapReason::Unreadable, detail);
        Some(why)
    }
}
