//! Gaps of one layer, bounded per detector.

use model::{Detector, Gap, GapReason};
use std::collections::BTreeMap;

/// Gaps by the detector whose facts they are stored with.
#[derive(Debug)]
pub(super) struct Gaps {
    per_detector: BTreeMap<Detector, Vec<Gap>>,
    refused: BTreeMap<Detector, u64>,
    gaps_max: usize,
}

impl Gaps {
    pub(super) const fn new(gaps_max: usize) -> Self {
        Self { per_detector: BTreeMap::new(), refused: BTreeMap::new(), gaps_max }
    }

    /// A gap in the facts of `detector`; `scope` is a path or the layer.
    pub(super) fn push(&mut self, detector: Detector, scope: impl Into<String>, reason: GapReason, detail: String) {
        self.push_gap(detector, Gap { scope: scope.into(), detector: Some(detector), reason, detail });
    }

    /// A gap in everybody's facts, kept with the files detector's.
    pub(super) fn push_for_all(&mut self, scope: impl Into<String>, reason: GapReason, detail: String) {
        self.push_gap(Detector::Files, Gap { scope: scope.into(), detector: None, reason, detail });
    }

    /// A gap to be kept with the facts of `detector`.
    pub(super) fn push_gap(&mut self, detector: Detector, gap: Gap) {
        let gaps = self.per_detector.entry(detector).or_default();
        if gaps.len() < self.gaps_max {
            gaps.push(gap);
        } else {
            *self.refused.entry(detector).or_default() += 1;
        }
    }

    /// Counts gaps that somebody else refused.
    pub(super) fn refuse(&mut self, detector: Detector, count: u64) {
        if count > 0 {
            *self.refused.entry(detector).or_default() += count;
        }
    }

    /// The gaps of one detector, with one more when some did not fit.
    pub(super) fn take(&mut self, detector: Detector) -> Vec<Gap> {
        let mut gaps = self.per_detector.remove(&detector).unwrap_or_default();
        if let Some(refused) = self.refused.remove(&detector) {
            gaps.push(Gap {
                scope: super::LAYER_SCOPE.to_owned(),
                detector: Some(detector),
                reason: GapReason::TooMany,
                detail: format!("{refused} more facts or gaps of this detector are above its limits and not kept"),
            });
        }
        gaps
    }
}
