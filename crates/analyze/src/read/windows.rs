//! Large files are searched for secrets in windows that overlap, so that memory stays bounded.
//!
//! Invariant: windows lie at the same offsets however the content arrives, so equal files give equal facts; no rule
//! looks farther than the overlap; all windows are read as the kind of content that the first shows.

use crate::secrets::{ContentKind, SecretDetector, WINDOW_BYTES_MAX};
use model::observation::{LayerObservation, ObservationKind};
use model::{Gap, LayerPath};
use std::collections::HashSet;

/// What two neighbours share: as far as a rule may look from its keyword, in both directions.
const OVERLAP_BYTES: usize = 2 * WINDOW_BYTES_MAX;

/// The search of one large file.
pub(super) struct SecretWindows<'a> {
    detector: &'a SecretDetector,
    path: &'a LayerPath,
    window_bytes: usize,
    buffer: Vec<u8>,
    /// How much of the buffer was searched with the window before.
    searched: usize,
    lines_before: u32,
    /// What the first window tells.
    kind: Option<ContentKind>,
    seen: HashSet<(String, String)>,
    gap: Option<Gap>,
}

impl<'a> SecretWindows<'a> {
    /// `buffer` is reused; what it holds is dropped.
    pub(super) fn new(
        detector: &'a SecretDetector,
        path: &'a LayerPath,
        window_bytes: usize,
        mut buffer: Vec<u8>,
    ) -> Self {
        buffer.clear();
        Self {
            detector,
            path,
            window_bytes: window_bytes.max(2 * OVERLAP_BYTES) & !1,
            buffer,
            searched: 0,
            lines_before: 0,
            kind: None,
            seen: HashSet::new(),
            gap: None,
        }
    }

    /// Takes the next piece of the file.
    pub(super) fn push(&mut self, mut piece: &[u8], out: &mut Vec<LayerObservation>) {
        while !piece.is_empty() {
            let n = piece.len().min(self.window_bytes - self.buffer.len());
            self.buffer.extend_from_slice(&piece[..n]);
            piece = &piece[n..];
            if self.buffer.len() == self.window_bytes {
                self.search(out);
                self.advance();
            }
        }
    }

    /// Keeps what the next window shares with this one. Of UTF-16, which is twice as long as what rules see, twice as
    /// much.
    fn advance(&mut self) {
        let line_end = match self.kind {
            Some(ContentKind::Utf16 { is_little_endian: true }) => Some([b'\n', 0]),
            Some(ContentKind::Utf16 { is_little_endian: false }) => Some([0, b'\n']),
            Some(ContentKind::Text | ContentKind::Binary | ContentKind::Opaque) | None => None,
        };
        let shared = if line_end.is_some() { self.window_bytes / 2 } else { OVERLAP_BYTES };
        let shared = shared.min(2 * OVERLAP_BYTES);
        let done = self.window_bytes - shared;
        let lines = match line_end {
            None => memchr::memchr_iter(b'\n', &self.buffer[..done]).count(),
            Some(end) => self.buffer[..done].chunks_exact(2).filter(|pair| **pair == end).count(),
        };
        self.lines_before = self.lines_before.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.buffer.drain(..done);
        self.searched = self.buffer.len();
    }

    /// Searches what is left. Answers the buffer and, when the file holds more than the detector lists, why.
    pub(super) fn finish(mut self, out: &mut Vec<LayerObservation>) -> (Vec<u8>, Option<Gap>) {
        if self.buffer.len() > self.searched {
            self.search(out);
        }
        (self.buffer, self.gap)
    }

    fn search(&mut self, out: &mut Vec<LayerObservation>) {
        let kind = *self.kind.get_or_insert_with(|| ContentKind::of(&self.buffer));
        let known = out.len();
        let gap = self.detector.scan_part(self.path, &self.buffer, kind, out);
        self.gap = self.gap.take().or(gap);
        let mut found = out.split_off(known);
        found.retain(|observation| {
            let ObservationKind::Secret(fact) = &observation.kind else { return true };
            self.seen.insert((fact.rule.clone(), fact.fingerprint.clone()))
        });
        for observation in &mut found {
            observation.place.line = observation.place.line.map(|line| line.saturating_add(self.lines_before));
        }
        out.append(&mut found);
    }
}
