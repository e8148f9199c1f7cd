//! What is known about CVEs beside the advisories, remembered for as long as a generation is in force.
//!
//! Not here: looking it up ([`Matcher`](crate::Matcher)).
//!
//! Invariant: it holds what a look into the segments of the generation would give, of a bounded count of CVEs.

use crate::matching::Enrichment;
use crate::quick::Quick;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By [`cve_number`].
pub(crate) type ByCve = HashMap<u64, Known, BuildHasherDefault<Quick>>;

/// Tables with locks of their own, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Of so many CVEs each table remembers what is known; then it starts anew.
const REMEMBERED_MAX: usize = 1 << 12;

/// What is known about a CVE, if anything is, and whether vectors were looked for.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Vectors were looked for.
    pub(crate) has_vectors: bool,
    /// `None`: nothing is known.
    pub(crate) enrichment: Option<Arc<Enrichment>>,
}

/// Shared by the matchers of a generation.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    shards: [Mutex<ByCve>; SHARDS],
}

impl Remembered {
    /// What is remembered of a CVE.
    pub(crate) fn get(&self, number: u64) -> Option<Known> {
        self.shard(number).get(&number).cloned()
    }

    /// Remembers it.
    pub(crate) fn put(&self, number: u64, known: Known) {
        let mut shard = self.shard(number);
        if shard.len() >= REMEMBERED_MAX {
            shard.clear();
        }
        shard.insert(number, known);
    }

    /// A thread that panicked while it held the lock left a table that is whole.
    fn shard(&self, number: u64) -> MutexGuard<'_, ByCve> {
        let index = usize::try_from(number).unwrap_or_default() % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A CVE id as one number, different for different ids: four digits of the year, the count of the other digits, and
/// those. `None` for those that do not fit.
pub(crate) fn cve_number(cve: &str) -> Option<u64> {
    let (year, digits) = cve.strip_prefix("CVE-")?.split_once('-')?;
    let (year, number, count) = (year.parse::<u64>().ok()?, digits.parse::<u64>().ok()?, digits.len() as u64);
    (year < 10_000 && count <= 12).then_some(year << 48 | count << 44 | number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn different_cves_have_different_numbers() {
        let ids = ["CVE-2024-0001", "CVE-2024-00001", "CVE-2023-0001", "CVE-2024-10001", "CVE-2024-123456789012"];
        let numbers: BTreeSet<Option<u64>> = ids.iter().map(|id| cve_number(id)).collect();
        assert_eq!(numbers.len(), ids.len());
        assert_eq!(cve_number("CVE-2024-1234567890123"), None);
        assert_eq!(cve_number("GHSA-xxxx"), None);
    }

    #[test]
    fn no_more_than_the_cap_is_remembered() {
        let remembered = Remembered::default();
        for number in 0..(SHARDS * REMEMBERED_MAX * 2) as u64 {
            remembered.put(number, Known { has_vectors: false, enrichment: None });
            assert!(remembered.get(number).is_some());
        }
        assert!(remembered.shards.iter().all(|shard| shard.lock().expect("no panic").len() <= REMEMBERED_MAX));
    }
}
