//! Packages × advisories → matches.
//!
//! Not here: where statements are kept, and what a policy makes of a match.
//!
//! The path of one package: its names are looked up ([`name`](crate::name)), each statement found is judged
//! ([`evaluate`]), and what speaks of the same vulnerability is merged into one match ([`merge`]).

pub(crate) mod applies;
pub(crate) mod evaluate;
pub(crate) mod interval;
mod merge;
pub(crate) mod sift;

pub(crate) use merge::{Enrichment, merge};

use crate::meta::{FeedKind, FeedMeta};
use crate::record::{Advisory, Statement};
use applies::Standing;
use evaluate::Judgement;

/// One advisory's word on one package, judged.
#[derive(Debug, Clone)]
pub(crate) struct Witness<'a> {
    /// The feed.
    pub(crate) feed: &'a FeedMeta,
    /// The advisory.
    pub(crate) advisory: Advisory,
    /// What it says about the package.
    pub(crate) statement: Statement,
    /// What follows.
    pub(crate) judgement: Judgement,
    /// For whom it speaks.
    pub(crate) standing: Standing,
}

impl Witness<'_> {
    /// Smaller decides: a distribution's own feed before a copy of it in OSV.
    pub(crate) const fn precedence(&self) -> u8 {
        let of_feed = match self.feed.kind {
            kind if kind.is_distribution() => 1,
            FeedKind::Osv => 2,
            _ => 3,
        };
        match self.standing {
            // A build of a support that the image has decides before what everybody gets.
            Standing::Subscribed => 0,
            Standing::General => of_feed,
            Standing::Unsubscribed => of_feed + 3,
        }
    }

    /// `secdb v3.10 main`, or `osv-pypi PYSEC-2022-1` where one feed may hold several advisories about one thing.
    pub(crate) fn label(&self) -> String {
        match self.feed.kind {
            FeedKind::Secdb | FeedKind::DebianTracker => self.feed.label(),
            FeedKind::Osv
            | FeedKind::Updateinfo
            | FeedKind::Oval
            | FeedKind::Csaf
            | FeedKind::Vex
            | FeedKind::Photon
            | FeedKind::Arch
            | FeedKind::Nvd
            | FeedKind::Epss
            | FeedKind::EndOfLife
            | FeedKind::Kev
            | FeedKind::Hashes => format!("{} {}", self.feed.label(), self.advisory.id),
        }
    }

    /// The comparison and what it rests on, as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let withdrawn = if self.advisory.withdrawn { ", and was withdrawn" } else { "" };
        let disputed = if self.advisory.disputed { ", which is disputed" } else { "" };
        format!("{}: {} says {}{withdrawn}{disputed}", self.judgement.comparison, self.label(), self.judgement.claim)
    }
}
