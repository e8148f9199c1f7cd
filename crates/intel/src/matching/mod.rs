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
mod minor;
pub(crate) mod sift;
mod words;

pub(crate) use merge::{Enrichment, Rules, merge};

use crate::meta::{FeedKind, FeedMeta};
use crate::record::{Advisory, Statement};
use applies::Standing;
use evaluate::{Installed, Judgement};
use words::Aside;

/// One advisory's word on one package, judged. Text is borrowed from the segments and from the package.
#[derive(Debug, Clone)]
pub(crate) struct Witness<'a> {
    /// The feed.
    pub(crate) feed: &'a FeedMeta,
    /// The advisory.
    pub(crate) advisory: Advisory<&'a str>,
    /// What it says about the package.
    pub(crate) statement: Statement<&'a str>,
    /// The package, as the statement names it.
    pub(crate) installed: Installed<'a>,
    /// What follows.
    pub(crate) judgement: Judgement<'a>,
    /// For whom it speaks.
    pub(crate) standing: Standing,
    /// What support for subscribers has to do with it.
    pub(crate) aside: Aside,
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
}
