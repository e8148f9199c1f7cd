//! What differs between two states of a feed.

use crate::error::Result;
use crate::record::Key;
use crate::segment::Segment;
use model::{Digest, EcosystemRelease};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What differs: everything that a judgement may have to be made again for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Packages whose advisories were added, removed or changed in anything that a match shows. Names as
    /// [`lookup_keys`](crate::lookup_keys) gives them.
    pub packages: BTreeSet<(EcosystemRelease, String)>,
    /// CVEs whose exploitation or rating changed, whatever the package.
    pub vulnerabilities: BTreeSet<String>,
    /// File digests that came onto a list, left it, or are described differently.
    pub hashes: BTreeSet<Digest>,
    /// Some end of the support of an operating system's release was added, removed or changed.
    #[serde(default)]
    pub end_of_life: bool,
}

impl Changes {
    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.vulnerabilities.is_empty() && self.hashes.is_empty() && !self.end_of_life
    }

    /// Adds what differs in another feed.
    pub fn merge(&mut self, other: Self) {
        self.packages.extend(other.packages);
        self.vulnerabilities.extend(other.vulnerabilities);
        self.hashes.extend(other.hashes);
        self.end_of_life |= other.end_of_life;
    }

    fn add(&mut self, key: &[u8]) {
        match Key::decode(key) {
            Some(Key::Package(release, name)) => {
                self.packages.insert((release, name));
            }
            Some(Key::Exploited(cve) | Key::Rated(cve) | Key::Likely(cve)) => {
                self.vulnerabilities.insert(cve);
            }
            Some(Key::Lifecycle(..)) => self.end_of_life = true,
            // Keys are written by this crate and covered by block hashes, so this is a key of a later version.
            None => {}
        }
    }
}

/// Compares two states of one feed; `None` is a feed that is not there.
///
/// # Errors
/// When a block of either segment was changed after it was written.
pub fn changes(old: Option<&Segment>, new: Option<&Segment>) -> Result<Changes> {
    let mut found = Changes::default();
    compare_keys(old, new, &mut found)?;
    compare_digests(old, new, &mut found)?;
    Ok(found)
}

fn compare_keys(old: Option<&Segment>, new: Option<&Segment>, found: &mut Changes) -> Result<()> {
    let (mut o, mut n) = (0, 0);
    loop {
        let left = old.filter(|s| o < s.key_count()).map(|s| s.key_entry(o)).transpose()?;
        let right = new.filter(|s| n < s.key_count()).map(|s| s.key_entry(n)).transpose()?;
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => (left.order, left.key).cmp(&(right.order, right.key)),
        };
        if let Some(left) = left.as_ref().filter(|_| order.is_le()) {
            o += 1;
            if order.is_lt() || right.as_ref().is_none_or(|right| right.hash != left.hash) {
                found.add(left.key);
            }
        }
        if let Some(right) = right.filter(|_| order.is_ge()) {
            n += 1;
            if order.is_gt() {
                found.add(right.key);
            }
        }
    }
}

fn compare_digests(old: Option<&Segment>, new: Option<&Segment>, found: &mut Changes) -> Result<()> {
    for (one, other) in [(old, new), (new, old)] {
        let Some(one) = one else { continue };
        for index in 0..one.digest_count() {
            let (digest, _) = one.digest_entry(index)?;
            let there = other.map(|other| other.listed(&digest)).transpose()?.unwrap_or_default();
            if one.listed(&digest)? != there {
                found.hashes.insert(digest);
            }
        }
    }
    Ok(())
}
