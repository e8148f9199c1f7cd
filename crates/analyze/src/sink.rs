//! Where analyzers put what they find: bounded, and aware of which archive entry it came from.
//!
//! Invariant: it never holds more than its limits; what did not fit is counted and becomes one gap.

use crate::limits::Limits;
use crate::memory::Room;
use model::inventory::{OwnedFiles, RawInput, RecordedFiles};
use model::package::LayerPackage;
use model::{Detector, Gap, GapReason, LayerPath};

/// A fact and the number of the archive entry that it was read from.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    pub(crate) entry: u32,
    pub(crate) analyzer: &'static str,
    pub(crate) fact: T,
}

/// Facts of the package analyzers over one layer.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) packages: Vec<Tagged<LayerPackage>>,
    pub(crate) owned: Vec<Tagged<OwnedFiles>>,
    pub(crate) recorded: Vec<Tagged<RecordedFiles>>,
    pub(crate) raw_inputs: Vec<Tagged<RawInput>>,
    pub(crate) gaps: Vec<Tagged<Gap>>,
    raw_bytes: u64,
    refused: u64,
}

impl Collected {
    /// How many facts did not fit.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Takes the facts of one analyzer about one file.
#[derive(Debug)]
pub struct Sink<'a> {
    collected: &'a mut Collected,
    limits: &'a Limits,
    room: Room<'a>,
    analyzer: &'static str,
    entry: u32,
}

impl<'a> Sink<'a> {
    pub(crate) const fn new(
        collected: &'a mut Collected,
        limits: &'a Limits,
        analyzer: &'static str,
        entry: u32,
    ) -> Self {
        Self { collected, limits, room: Room::spare(), analyzer, entry }
    }

    /// With room for what the analyzer unpacks.
    pub(crate) const fn with_room(mut self, room: Room<'a>) -> Self {
        self.room = room;
        self
    }

    /// Where the analyzer can keep what it unpacks.
    pub(crate) const fn room(&self) -> Room<'a> {
        self.room
    }

    const fn tag<T>(&self, fact: T) -> Tagged<T> {
        Tagged { entry: self.entry, analyzer: self.analyzer, fact }
    }

    pub(crate) const fn analyzer(&self) -> &'static str {
        self.analyzer
    }

    pub(crate) const fn collected(&self) -> &Collected {
        self.collected
    }

    /// The limits of the pass.
    pub const fn limits(&self) -> &Limits {
        self.limits
    }

    /// Counts a fact that has no room: false.
    const fn refuse(&mut self) -> bool {
        self.collected.refused += 1;
        false
    }

    /// A package. False when there is no room for it.
    pub fn package(&mut self, package: LayerPackage) -> bool {
        if self.collected.packages.len() >= self.limits.packages_max {
            return self.refuse();
        }
        let tagged = self.tag(package);
        self.collected.packages.push(tagged);
        true
    }

    /// Files that a package owns. Nothing is kept when `owned.paths` is empty. False when there is no room for it.
    pub fn owned(&mut self, owned: OwnedFiles) -> bool {
        if owned.paths.is_empty() {
            return true;
        }
        if self.collected.owned.len() >= self.limits.packages_max {
            return self.refuse();
        }
        let tagged = self.tag(owned);
        self.collected.owned.push(tagged);
        true
    }

    /// What a database records of a package's files. Nothing is kept when `recorded.files` is empty. False when there
    /// is no room for it.
    pub fn recorded(&mut self, recorded: RecordedFiles) -> bool {
        if recorded.files.is_empty() {
            return true;
        }
        if self.collected.recorded.len() >= self.limits.packages_max {
            return self.refuse();
        }
        let tagged = self.tag(recorded);
        self.collected.recorded.push(tagged);
        true
    }

    /// A small file that is only understood with the whole image in view. False when there is no room for it.
    pub fn raw_input(&mut self, input: RawInput) -> bool {
        let bytes = self.collected.raw_bytes.saturating_add(input.content.len() as u64);
        if bytes > self.limits.raw_inputs_bytes_max {
            return self.refuse();
        }
        self.collected.raw_bytes = bytes;
        let tagged = self.tag(input);
        self.collected.raw_inputs.push(tagged);
        true
    }

    /// Something in `path` that could not be read; the rest of the file could.
    pub fn gap(&mut self, detector: Detector, path: &LayerPath, reason: GapReason, detail: impl Into<String>) {
        if self.collected.gaps.len() < self.limits.gaps_max {
            let gap = Gap { scope: path.to_string(), detector: Some(detector), reason, detail: detail.into() };
            let tagged = self.tag(gap);
            self.collected.gaps.push(tagged);
        } else {
            self.collected.refused += 1;
        }
    }
}
