//! Operating systems that get no more security fixes.
//!
//! The dates are data: those of a feed where one is imported, else the table `rules/end-of-life.toml`, with its source. A
//! release that neither has gets no finding, but a gap. Before a date nothing is said; the date itself is a boundary of
//! time.
//!
//! A feed tells the last day of support that is free for everyone, whoever gives it; the table tells Debian's own from
//! the long-term support that follows. So where the table has both, the feed's day is the end of the second.

use super::ImageFacts;
use jiff::civil::Date;
use model::{Evidence, Finding, FindingKind, FindingStatus, Gap, GapReason, LayerPath, Severity, Timestamp};
use serde::Deserialize;
use std::sync::LazyLock;

const TABLE: &str = include_str!("../../../../rules/end-of-life.toml");

/// When the support of one release ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndOfLifeDate {
    /// os-release `ID`.
    pub os: String,
    /// For people.
    pub name: String,
    /// The release: the leading parts of os-release `VERSION_ID`.
    pub release: String,
    /// When it was published.
    pub released: Date,
    /// The last day of security support for everyone.
    pub until: Date,
    /// The last day of the free long-term support that follows, where there is one.
    #[serde(default)]
    pub extended_until: Option<Date>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The state of the dates.
    as_of: Date,
    release: Vec<EndOfLifeDate>,
}

fn table() -> &'static Table {
    static PARSED: LazyLock<Table> =
        LazyLock::new(|| toml::from_str(TABLE).expect("the table of end-of-life dates is checked by a test"));
    &PARSED
}

/// Every release with a known date, by operating system, newest first.
pub fn end_of_life_dates() -> &'static [EndOfLifeDate] {
    &table().release
}

/// What is known of the image's release, and who says so.
struct Support {
    os: String,
    name: String,
    release: String,
    until: Date,
    extended_until: Option<Date>,
    source: String,
}

/// The moment after the last day of support.
fn end_of(day: Date) -> Option<Timestamp> {
    Some(day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn support(facts: &ImageFacts<'_>) -> Option<Support> {
    let known = date_of(facts);
    let Some(feed) = facts.end_of_support else {
        let EndOfLifeDate { os, name, release, until, extended_until, .. } = known?.clone();
        let source = format!("Pratique's own table of {}", table().as_of);
        return Some(Support { os, name, release, until, extended_until, source });
    };
    let day = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let last = day(feed.until);
    let own =
        known.filter(|known| known.release == feed.release && known.extended_until.is_some() && known.until < last);
    Some(Support {
        os: facts.inventory.os.as_ref()?.id.clone(),
        name: feed.name.clone(),
        release: feed.release.clone(),
        until: own.map_or(last, |own| own.until),
        extended_until: own.map(|_| last),
        source: format!("feed {} of {}", feed.feed, day(feed.as_of)),
    })
}

fn date_of(facts: &ImageFacts<'_>) -> Option<&'static EndOfLifeDate> {
    let os = facts.inventory.os.as_ref()?;
    let fits = |date: &&EndOfLifeDate| {
        date.os == os.id
            && os.version.strip_prefix(&date.release).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    end_of_life_dates().iter().filter(fits).max_by_key(|date| date.release.len())
}

/// The next end of a support period of the image's operating system.
pub(super) fn boundary(facts: &ImageFacts<'_>) -> Option<Timestamp> {
    let date = support(facts)?;
    let ends = [Some(date.until), date.extended_until];
    ends.into_iter().flatten().filter_map(end_of).filter(|end| *end > facts.now).min()
}

/// The gap of a release that nobody told the end of: not the same as one that is supported.
pub(super) fn gap(facts: &ImageFacts<'_>) -> Option<Gap> {
    let os = facts.inventory.os.as_ref().filter(|_| support(facts).is_none())?;
    // Packages of these flow on without releases, so there is no day on which support ends.
    if ROLLING.contains(&os.id.as_str()) {
        return None;
    }
    let release = if os.version.is_empty() { "a release without a number".to_owned() } else { os.version.clone() };
    Some(Gap {
        scope: "image".to_owned(),
        detector: None,
        reason: GapReason::NoEndOfLife,
        detail: format!("nobody told when the security support of {} ({} {release}) ends", os.name, os.id),
    })
}

/// os-release `ID`s of distributions without releases.
const ROLLING: [&str; 5] = ["arch", "wolfi", "chainguard", "gentoo", "opensuse-tumbleweed"];

/// Adds the end-of-life finding, if the day has passed.
pub(super) fn add(facts: &ImageFacts<'_>, out: &mut Vec<Finding>) {
    let Some(date) = support(facts) else { return };
    if end_of(date.until).is_none_or(|end| facts.now < end) {
        return;
    }
    let extended = date.extended_until.filter(|day| end_of(*day).is_some_and(|end| facts.now < end));
    let severity = if extended.is_some() { Severity::Medium } else { Severity::High };
    let said = match (extended, date.extended_until) {
        (Some(day), _) => format!(
            "security support of {} {} ended on {}; long-term support, for a part of the packages, lasts until {day}",
            date.name, date.release, date.until
        ),
        (None, Some(day)) => format!(
            "security support of {} {} ended on {}, long-term support on {day}",
            date.name, date.release, date.until
        ),
        (None, None) => format!("security support of {} {} ended on {}", date.name, date.release, date.until),
    };
    let because = format!("{said}, as {} says", date.source);
    let evidence = Evidence {
        layer: None,
        path: Some(LayerPath::from("etc/os-release")),
        line: None,
        removed_in: None,
        history: None,
    };
    out.push(Finding {
        kind: FindingKind::EndOfLife,
        id: format!("end-of-life-{}-{}", date.os, date.release),
        aliases: Vec::new(),
        title: match extended {
            Some(_) => format!("{} {} only gets long-term support", date.name, date.release),
            None => format!("{} {} gets no more security fixes", date.name, date.release),
        },
        severity,
        severity_source: "pratique".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        evidence: vec![evidence],
        because,
        remediation: successor(&date, facts.now),
        vulnerability: None,
    });
}

fn successor(date: &Support, now: Timestamp) -> String {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let better = end_of_life_dates()
        .iter()
        .filter(|other| other.os == date.os && other.released <= today && other.until >= today)
        .max_by_key(|other| other.until);
    match better {
        Some(other) => {
            format!("Rebuild on {} {}, supported until {}.", other.name, other.release, other.until)
        }
        None => format!("Rebuild on a release of {} that is still supported.", date.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_dates_is_sound() {
        let dates = end_of_life_dates();
        assert!(dates.len() > 40, "{}", dates.len());
        let mut seen = std::collections::BTreeSet::new();
        for date in dates {
            assert!(seen.insert((&date.os, &date.release)), "twice: {date:?}");
            assert!(date.released < date.until, "{date:?}");
            assert!(date.extended_until.is_none_or(|day| day > date.until), "{date:?}");
        }
        let until = |os: &str, release: &str| {
            dates.iter().find(|d| d.os == os && d.release == release).map(|d| d.until.to_string()).unwrap_or_default()
        };
        assert_eq!(until("alpine", "3.10"), "2021-05-01");
        assert_eq!(until("alpine", "3.20"), "2026-04-01");
        assert_eq!(until("debian", "10"), "2022-09-10");
        assert_eq!(until("ubuntu", "20.04"), "2025-05-31");
    }
}
