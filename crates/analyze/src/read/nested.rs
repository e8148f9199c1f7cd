//! Archives in a layer: their members are shown to the secret rules and the malware signatures as files are.
//!
//! Not here: how archives are opened ([`crate::nested`]). Invariant: what could not be opened is a gap of each
//! detector that runs.

use super::checksums::digest_of;
use super::pass::Pass;
use crate::analyzer::{FileEntry, FileForm, FileView};
use crate::nested::{self, Budget, Form, Visitor};
use model::evidence::Place;
use model::observation::{FileHashFact, LayerObservation, ObservationKind};
use model::{Detector, GapReason, LayerPath};

impl Pass<'_> {
    /// Is the file an archive that somebody wants to look into? Wanting more than the limit allows is a gap.
    pub(super) fn plans_to_explore(&mut self, entry: &FileEntry<'_>, head: &[u8]) -> bool {
        let wanted = self.run.secrets || self.run.malware;
        if entry.bytes == 0 || !wanted || Form::of(entry.path, head).is_none() {
            return false;
        }
        let bytes_max = self.limits.nested_archive_bytes_max;
        if entry.bytes > bytes_max {
            let detail = format!("an archive of {} bytes, the limit is {bytes_max}; it is not opened", entry.bytes);
            self.gap(entry.path, GapReason::FileTooLarge, detail);
        }
        entry.bytes <= bytes_max
    }

    /// Looks into an archive. With `shows` the engine outside the process sees the whole of it first.
    pub(super) fn explore(&mut self, view: &FileView<'_>, shows: bool) {
        let limits = self.limits;
        let (path, content) = (view.entry.path, view.content);
        if self.request.inspector.is_some() && self.run.malware && view.entry.bytes <= limits.malware_file_bytes_max {
            self.is_shown_whole = !shows || self.show(view);
        }
        let mut budget = std::mem::replace(&mut self.nested, Budget::new(limits));
        nested::explore(path, content, limits, &mut budget, self);
        self.nested = budget;
        self.is_shown_whole = false;
    }

    fn search_member(&mut self, view: &FileView<'_>) {
        let FileView { entry, content, form, .. } = *view;
        if self.run.secrets
            && self.request.detectors.secrets().wants(entry.path, entry.bytes)
            && self.has_observation_room(Detector::Secrets)
        {
            self.search_for_secrets(view);
        }
        if !self.run.malware || !self.has_observation_room(Detector::Malware) {
            return;
        }
        let is_suspect = self.malware_wants(&entry, content);
        let archive = Form::of(entry.path, &content[..content.len().min(nested::HEAD_BYTES)]);
        let is_known_by_digest =
            form.is_machine_code() || form == FileForm::Script || archive.is_some_and(|f| f.is_of_interest(entry.path));
        if !is_suspect && !is_known_by_digest {
            return;
        }
        if is_known_by_digest {
            let fact = FileHashFact { sha256: digest_of(content), bytes: entry.bytes };
            let place = Place { path: entry.path.clone(), line: None };
            self.malware.push(LayerObservation { kind: ObservationKind::FileHash(fact), place });
        }
        if entry.bytes > self.limits.malware_file_bytes_max {
            if is_suspect {
                self.too_large(Detector::Malware, &entry, self.limits.malware_file_bytes_max);
            }
        } else if is_suspect {
            self.inspect(self.request.detectors.malware(), view);
        }
    }
}

impl Visitor for Pass<'_> {
    fn member(&mut self, path: &LayerPath, content: &[u8]) {
        let entry = FileEntry { path, bytes: content.len() as u64, mode: 0, uid: 0, gid: 0 };
        self.search_member(&FileView { entry, content, form: FileForm::of(content), complete: true });
    }

    fn wants(&self, path: &LayerPath, bytes: u64, head: &[u8]) -> bool {
        let entry = FileEntry { path, bytes, mode: 0, uid: 0, gid: 0 };
        self.run.secrets && self.request.detectors.secrets().wants(path, bytes)
            || self.run.malware && self.malware_wants(&entry, head)
    }

    fn gap(&mut self, path: &LayerPath, reason: GapReason, detail: String) {
        for (detector, runs) in [(Detector::Secrets, self.run.secrets), (Detector::Malware, self.run.malware)] {
            if runs {
                self.gaps.push(detector, path.to_string(), reason, format!("{path}: {detail}"));
            }
        }
    }
}
