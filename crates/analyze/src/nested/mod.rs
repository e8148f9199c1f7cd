//! Archives that lie inside layers: what is in them, member by member, also archives inside archives.
//!
//! Not here: what members mean (the detectors), Java's packages ([`crate::packages`]), layers themselves. A member's
//! path is the archive's, `!/`, and the member's name: `opt/app.jar!/lib/x.jar!/run.sh`. Files that are only packed
//! have one member, named as the file without its last ending. Static libraries (`ar` of objects) are not opened.
//!
//! Invariant: memory, work and depth are bounded by [`Limits`] whatever the archives claim; what is not looked at is
//! a gap that names the file.

mod cpio;
mod form;
mod name;
mod walk;

pub(crate) use form::{Form, HEAD_BYTES};

use crate::decompress::WholeGzip;
use crate::limits::Limits;
use model::{GapReason, LayerPath};

/// What is done with members and with what could not be looked at.
pub(crate) trait Visitor {
    /// One member, whole.
    fn member(&mut self, path: &LayerPath, content: &[u8]);

    /// Would anybody look at this member, going by its name and its first bytes?
    fn wants(&self, path: &LayerPath, bytes: u64, head: &[u8]) -> bool;

    /// Something in `path` was not looked at.
    fn gap(&mut self, path: &LayerPath, reason: GapReason, detail: String);
}

/// What is left of the limits of one layer, and what is kept from file to file.
#[derive(Debug)]
pub(crate) struct Budget {
    members: u64,
    bytes: u64,
    gzip: WholeGzip,
}

impl Budget {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self { members: limits.nested_members_max, bytes: limits.nested_layer_bytes_max, gzip: WholeGzip::new() }
    }
}

/// Looks into one file of a layer, if it is an archive.
pub(crate) fn explore(
    path: &LayerPath,
    content: &[u8],
    limits: &Limits,
    budget: &mut Budget,
    visitor: &mut dyn Visitor,
) {
    let bytes = content.len() as u64;
    let ratio_bytes = bytes.saturating_mul(limits.ratio_max).max(limits.ratio_from_bytes);
    let mut walk = walk::Walk {
        limits,
        budget,
        visitor,
        file_left: limits.nested_file_bytes_max.min(ratio_bytes),
        file_max: limits.nested_file_bytes_max.min(ratio_bytes),
        held: 0,
        stopped: false,
    };
    walk.explore(&walk::At { path, depth: 0 }, content);
}
