//! What could not be judged, and why.

use crate::intelligence::Intelligence;
use crate::meta::{FeedKind, FeedMeta};
use model::inventory::OsRelease;
use model::{Detector, EcosystemRelease, Gap, GapReason, Package, PackageFormat, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// One broken record in so many is worth a gap: a feed of which a large part was lost does not clear anything.
const BROKEN_SHARE: u64 = 10;

/// Finds the gaps of [`Intelligence::gaps`].
pub(crate) fn find(
    intelligence: &Intelligence,
    packages: &[Package],
    os: Option<&OsRelease>,
    now: Timestamp,
) -> Vec<Gap> {
    let mut found = BTreeSet::new();
    if intelligence.feeds().is_empty() {
        found.insert(gap(
            "intelligence",
            GapReason::NoAdvisories,
            format!(
                "no intelligence is loaded: {} were not checked; import or download feeds",
                counted(packages.len())
            ),
        ));
        return found.into_iter().collect();
    }
    let mut releases: BTreeMap<EcosystemRelease, usize> = BTreeMap::new();
    let mut strangers: BTreeMap<String, usize> = BTreeMap::new();
    for package in packages {
        match package.key.ecosystem() {
            Some(release) => *releases.entry(release).or_default() += 1,
            None => *strangers.entry(stranger(package, os)).or_default() += 1,
        }
    }
    for (scope, count) in strangers {
        let were = if count == 1 { "was" } else { "were" };
        let detail = format!(
            "no advisories for {scope}: {} {were} not checked; no feed that has them is supported",
            counted(count)
        );
        found.insert(gap(&scope, GapReason::NoAdvisories, detail));
    }
    for (release, count) in releases {
        if !intelligence.covers(&release) {
            let plain = release.plain();
            let were = if count == 1 { "was" } else { "were" };
            let detail = format!(
                "no advisories for {plain}: {} {were} not checked; import a feed that has records for {release}",
                counted(count)
            );
            found.insert(gap(&plain, GapReason::NoAdvisories, detail));
        }
        found.extend(intelligence.feeds_of(&release).flat_map(|feed| feed_gaps(feed, now)));
    }
    let is_general = |feed: &&FeedMeta| feed.kind.is_general();
    found.extend(intelligence.feeds().iter().filter(is_general).flat_map(|feed| feed_gaps(feed, now)));
    found.into_iter().collect()
}

/// A package of a format without advisories, or of a distribution that is unknown or not supported, by what can be said
/// of it.
fn stranger(package: &Package, os: Option<&OsRelease>) -> String {
    if package.key.format == PackageFormat::Generic {
        return "software that NVD is not asked for".to_owned();
    }
    if !package.key.format.is_os() {
        return format!("{} packages", package.key.format);
    }
    let name = |id: &str, version: &str| format!("{id} {version}").trim().to_owned();
    match (&package.key.distro, os) {
        (Some(distro), _) => name(&distro.id, &distro.version),
        (None, Some(os)) => name(&os.id, &os.version),
        (None, None) => format!("{} packages of an unknown distribution", package.key.format),
    }
}

fn feed_gaps(feed: &FeedMeta, now: Timestamp) -> Vec<Gap> {
    let detector = if feed.kind == FeedKind::Hashes { Detector::Malware } else { Detector::Packages };
    let gap = |reason, detail| Gap { scope: feed.id.clone(), detector: Some(detector), reason, detail };
    let mut found = Vec::new();
    let imported = feed.imported_at.strftime("%Y-%m-%d");
    if let Some(error) = &feed.error {
        found.push(gap(
            GapReason::StaleFeed,
            format!("the last import of feed {} failed: {error}; its records are those of {imported}", feed.id),
        ));
    }
    if feed.broken_records > feed.records / BROKEN_SHARE {
        found.push(gap(
            GapReason::Malformed,
            format!("{} records of feed {} could not be read, {} could", feed.broken_records, feed.id, feed.records),
        ));
    }
    if let (true, Some(days)) = (feed.is_stale(now), feed.kind.age_days_max()) {
        found.push(gap(
            GapReason::StaleFeed,
            format!("feed {} was last imported on {imported}, more than {days} days ago; import it again", feed.id),
        ));
    }
    found
}

fn gap(scope: &str, reason: GapReason, detail: String) -> Gap {
    Gap { scope: scope.to_owned(), detector: Some(Detector::Packages), reason, detail }
}

fn counted(packages: usize) -> String {
    match packages {
        1 => "1 package".to_owned(),
        n => format!("{n} packages"),
    }
}
