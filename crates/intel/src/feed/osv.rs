//! OSV records (OSV schema 1.7), one per document: `osv-<ecosystem>`.
//!
//! A record that speaks of several ecosystems goes into the feed of each. Ecosystems that are not known here are
//! counted in a feed of their own, so that the status shows what is not used.

use super::outline::string_field;
use super::release::{self, Target};
use super::{Document, Draft, Feed, Parsed, Scope, date, feed_id, nullable, plain, summary, web_page};
use crate::matching::interval::{Event, intervals};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, End, Key, Says, Statement, Stream, cve_prefix};
use crate::version::Scheme;
use crate::{cvss, name};
use model::advisory::CvssScore;
use model::{Ecosystem, Severity};
use serde::Deserialize;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Reads OSV records.
pub(super) struct Osv;

/// Records are small; one this large is not a record.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    modified: Option<String>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    related: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    summary: String,
    #[serde(default, deserialize_with = "nullable")]
    details: String,
    #[serde(default, deserialize_with = "nullable")]
    severity: Vec<Rating>,
    #[serde(default, deserialize_with = "nullable")]
    affected: Vec<Affected>,
    #[serde(default, deserialize_with = "nullable")]
    references: Vec<Reference>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct Rating {
    #[serde(rename = "type", default)]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default, deserialize_with = "nullable")]
    ranges: Vec<OsvRange>,
    #[serde(default, deserialize_with = "nullable")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    severity: Vec<Rating>,
    #[serde(default)]
    ecosystem_specific: Value,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct OsvRange {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    events: Vec<OsvEvent>,
}

#[derive(Deserialize)]
struct OsvEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

impl Feed for Osv {
    fn kind(&self) -> FeedKind {
        FeedKind::Osv
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        // A record that was cut short may have lost its id: osv.dev writes `affected` first.
        let has_id = outline.has("id") && (outline.has("modified") || outline.has("affected"));
        let is_osv = if outline.is_complete() {
            has_id && ["affected", "schema_version", "withdrawn"].iter().any(|key| outline.has(key))
        } else {
            outline.has("affected") || (has_id && outline.has("schema_version"))
        };
        let ecosystem = || string_field(document.bytes, "ecosystem").or_else(|| ecosystem_of_hint(document.hint));
        is_osv.then(|| feed_of(&ecosystem().unwrap_or_else(|| "unknown".to_owned())))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        if document.bytes.len() > RECORD_BYTES_MAX {
            return Err(format!("the record has more than {RECORD_BYTES_MAX} bytes"));
        }
        let record: Record =
            serde_json::from_slice(document.bytes).map_err(|e| format!("it is not a whole OSV record: {e}"))?;
        plain("the record's id", &record.id)?;
        let mut feeds: BTreeMap<FeedId, Vec<(Target, &Affected, String)>> = BTreeMap::new();
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        for affected in &record.affected {
            let Some(package) = &affected.package else {
                unknown.insert("GIT");
                continue;
            };
            match release::read(&package.ecosystem) {
                Some(target) => {
                    let name = name::normalise(target.release.ecosystem, plain("a package's name", &package.name)?);
                    feeds.entry(feed_of(&package.ecosystem)).or_default().push((target, affected, name));
                }
                None => {
                    unknown.insert(package.ecosystem.split(':').next().unwrap_or_default());
                }
            }
        }
        let mut parsed = feeds.into_iter().map(|(id, affected)| read_feed(&record, id, &affected)).collect();
        add_unknown(&record, document.hint, &unknown, &mut parsed);
        parsed.into_iter().collect()
    }
}

/// Counts the record where it would have gone.
fn add_unknown(record: &Record, hint: &str, unknown: &BTreeSet<&str>, parsed: &mut Vec<Result<Parsed, String>>) {
    for ecosystem in unknown {
        let mut skipped = Parsed::new(feed_of(ecosystem), FeedKind::Osv, Scope::Part);
        skipped.skip(format!("unknown ecosystem {}", ecosystem.chars().take(100).collect::<String>()));
        parsed.push(Ok(skipped));
    }
    if record.affected.is_empty() {
        let ecosystem = ecosystem_of_hint(hint).unwrap_or_else(|| "unknown".to_owned());
        let mut skipped = Parsed::new(feed_of(&ecosystem), FeedKind::Osv, Scope::Part);
        skipped.skip("names no package");
        parsed.push(Ok(skipped));
    }
}

fn feed_of(ecosystem: &str) -> FeedId {
    feed_id(&format!("osv-{}", ecosystem.split(':').next().unwrap_or_default()))
}

/// `…/PyPI.zip/PYSEC-2021-1.json` and `…/PyPI/PYSEC-2021-1.json` say what a damaged record no longer does.
fn ecosystem_of_hint(hint: &str) -> Option<String> {
    let stem = |part: &str| part.split(['.', '!']).next().unwrap_or_default().to_owned();
    hint.rsplit(['/', '\\']).map(stem).find(|stem| {
        Ecosystem::ALL.iter().any(|e| e.as_str().split(['.', ' ']).next() == Some(stem) || e.as_str() == stem)
    })
}

fn read_feed(record: &Record, feed: FeedId, affected: &[(Target, &Affected, String)]) -> Result<Parsed, String> {
    let is_os = affected.iter().any(|(target, _, _)| target.release.ecosystem.format().is_os());
    let (cves, others) = names(record, is_os)?;
    let mut parsed = Parsed::new(feed, FeedKind::Osv, Scope::Part);
    parsed.modified = record.modified.as_deref().and_then(date);
    if cves.is_empty() && is_plain_update(&record.id) {
        parsed.skip("update without a vulnerability");
        return Ok(parsed);
    }
    let scores = cvss_of(&record.severity);
    let mut all_scores = scores.clone();
    let module = module_of(&record.summary);
    let mut statements: BTreeMap<(Key, Option<Stream>), Statement> = BTreeMap::new();
    for (target, affected, name) in affected {
        let mut statement = read_affected(affected, target.release.ecosystem)?;
        statement.stream = target.stream.clone();
        statement.module = module.clone().filter(|_| is_module_build(&statement.says));
        all_scores.extend(statement.cvss.iter().cloned());
        match statements.entry((Key::Package(target.release.clone(), name.clone()), target.stream.clone())) {
            Entry::Vacant(first) => drop(first.insert(statement)),
            Entry::Occupied(known) => join(known.into_mut(), statement),
        }
    }
    cvss::sort(&mut all_scores);
    let rated = match cves.as_slice() {
        [cve] if !all_scores.is_empty() && record.withdrawn.is_none() => Some((cve.clone(), all_scores)),
        _ => None,
    };
    let advisory = Advisory {
        id: record.id.clone(),
        url: page(&record.references),
        summary: summary(&record.summary).or_else(|| summary(&record.details)),
        published: record.published.as_deref().and_then(date).map(|at| at.as_second()),
        withdrawn: record.withdrawn.is_some(),
        disputed: false,
        is_erratum: is_os && !record.id.contains("CVE-"),
        malicious: record.id.starts_with("MAL-"),
        cvss: scores,
        rating: rating(&record.severity).or_else(|| word(&record.database_specific)).or_else(|| prefix(record, is_os)),
        cves,
        others,
    };
    let statements = statements.into_iter().map(|((key, _), statement)| (key, statement)).collect();
    parsed.drafts.push(Draft { modified: parsed.modified, advisory, statements, rated });
    Ok(parsed)
}

/// Errata of the RHEL family say in their title which module they are about: `Important: nodejs:18 security update`.
fn module_of(summary: &str) -> Option<String> {
    let mut words = summary.split(' ').filter(|word| !word.ends_with(':'));
    let module = words.find(|word| word.contains(':'))?;
    let (name, stream) = module.split_once(':')?;
    let legible =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
    (legible(name) && legible(stream)).then(|| module.to_owned())
}

/// Of an erratum about a module only the packages that were built for it are in it.
fn is_module_build(says: &Says) -> bool {
    let Says::Ranges { intervals, .. } = says else { return false };
    intervals.iter().any(|interval| matches!(&interval.end, End::Fixed(fixed) if fixed.contains(".module")))
}

/// A record may speak of one package several times: it is affected where any of them says so.
fn join(known: &mut Statement, more: Statement) {
    known.rating = known.rating.max(more.rating);
    known.cvss.extend(more.cvss);
    cvss::sort(&mut known.cvss);
    match (&mut known.says, more.says) {
        (
            Says::Ranges { intervals, versions, unclear },
            Says::Ranges { intervals: more, versions: also, unclear: doubt },
        ) => {
            more.into_iter().for_each(|interval| {
                if !intervals.contains(&interval) {
                    intervals.push(interval);
                }
            });
            versions.extend(also);
            versions.sort();
            versions.dedup();
            *unclear = unclear.take().or(doubt);
        }
        (Says::Undetermined(_), says) => known.says = says,
        (Says::Ranges { .. } | Says::FixedIn(_) | Says::Open { .. } | Says::NotAffected | Says::Configured(_), _) => {}
    }
}

/// The CVEs and the other names. A distribution's advisory names them as `upstream` or, in older records, `related`;
/// `DEBIAN-CVE-2024-1` carries its CVE in its own id. `related` of a language's record is another vulnerability.
fn names(record: &Record, is_os: bool) -> Result<(Vec<String>, Vec<String>), String> {
    let mut cves = BTreeSet::new();
    let mut others = BTreeSet::new();
    for id in [&record.id].into_iter().chain(&record.aliases).chain(&record.upstream) {
        let id = plain("an alias", id)?;
        match id.find("CVE-").filter(|at| *at == 0 || is_os).and_then(|at| cve_prefix(&id[at..])) {
            Some(cve) => drop(cves.insert(cve.to_owned())),
            None => drop(others.insert(id.to_owned())),
        }
    }
    if is_os && cves.is_empty() {
        cves.extend(record.related.iter().filter_map(|id| cve_prefix(id)).map(str::to_owned));
    }
    others.remove(&record.id);
    Ok((cves.into_iter().collect(), others.into_iter().collect()))
}

/// Bug-fix and enhancement advisories of the RHEL family (`ALBA-`, `RHEA-`, …) are no vulnerabilities.
fn is_plain_update(id: &str) -> bool {
    let kind = id.split('-').next().unwrap_or_default();
    kind.len() == 4 && ["AL", "RH", "RL", "RX", "EL"].contains(&&kind[..2]) && ["BA", "EA"].contains(&&kind[2..])
}

fn read_affected(affected: &Affected, ecosystem: Ecosystem) -> Result<Statement, String> {
    let mut found = Vec::new();
    let mut unclear = None;
    let scheme = Scheme::of(ecosystem);
    let ranges = || affected.ranges.iter().filter(|range| range.kind != "GIT");
    for range in ranges() {
        let read = |event| read_event(event, scheme).transpose();
        let events = range.events.iter().filter_map(read).collect::<Result<_, _>>()?;
        match intervals(events, scheme) {
            Ok(intervals) => found.extend(intervals),
            Err(why) => unclear = Some(why),
        }
    }
    for version in &affected.versions {
        plain("a version", version)?;
    }
    // A record that names only commits, or nothing at all, does not say which versions are affected.
    let says = if ranges().next().is_none() && affected.versions.is_empty() {
        Says::Undetermined("nothing about versions".to_owned())
    } else {
        let mut versions = affected.versions.clone();
        versions.sort();
        versions.dedup();
        Says::Ranges { intervals: found, versions, unclear }
    };
    let own = [&affected.ecosystem_specific, &affected.database_specific];
    let rating = rating(&affected.severity).or_else(|| own.into_iter().find_map(word));
    // Debian's OSV records speak of "unimportant" urgency as the tracker does.
    let rating = rating.or_else(|| {
        let urgency = affected.ecosystem_specific.get("urgency").and_then(Value::as_str);
        urgency.filter(|_| ecosystem == Ecosystem::Debian).and_then(|word| word.parse().ok())
    });
    Ok(Statement { rating, cvss: cvss_of(&affected.severity), ..Statement::new(says) })
}

/// Red Hat and Rocky write RPM versions with an epoch of 0, which no package and no other feed has.
fn read_event(event: &OsvEvent, scheme: Scheme) -> Result<Option<Event>, String> {
    let version = |text: &String| {
        let epochless = text.strip_prefix("0:").filter(|_| scheme == Scheme::Rpm);
        plain("a version", epochless.unwrap_or(text)).map(str::to_owned)
    };
    Ok(if let Some(text) = &event.introduced {
        Some(Event::Introduced(version(text)?))
    } else if let Some(text) = &event.fixed {
        Some(Event::Fixed(version(text)?))
    } else if let Some(text) = &event.last_affected {
        Some(Event::LastAffected(version(text)?))
    } else if let Some(text) = event.limit.as_ref().filter(|limit| *limit != "*") {
        Some(Event::Limit(version(text)?))
    } else {
        None
    })
}

fn cvss_of(ratings: &[Rating]) -> Vec<CvssScore> {
    let mut scores: Vec<CvssScore> = ratings
        .iter()
        .filter(|rating| rating.kind.starts_with("CVSS_"))
        .filter_map(|rating| cvss::score(&rating.score))
        .collect();
    cvss::sort(&mut scores);
    scores
}

/// A distribution's word among the ratings (`"type": "Ubuntu", "score": "medium"`).
fn rating(ratings: &[Rating]) -> Option<Severity> {
    ratings.iter().filter(|r| !r.kind.starts_with("CVSS_")).find_map(|r| r.score.parse().ok())
}

fn word(specific: &Value) -> Option<Severity> {
    specific.get("severity").and_then(Value::as_str).and_then(|word| word.parse().ok())
}

/// Summaries of the RHEL family's errata begin with the vendor's rating: `Important: kernel security update`.
fn prefix(record: &Record, is_os: bool) -> Option<Severity> {
    let (word, _) = record.summary.split_once(':').filter(|_| is_os)?;
    ["Critical", "Important", "Moderate", "Low"].contains(&word).then(|| word.parse().ok())?
}

fn page(references: &[Reference]) -> Option<String> {
    let of = |kind: &str| references.iter().filter(|r| r.kind == kind).find_map(|r| web_page(&r.url));
    of("ADVISORY").or_else(|| of("WEB")).or_else(|| of("FIX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_ecosystem_of_damaged_records() {
        let check = |hint: &str, expect: Option<&str>| assert_eq!(ecosystem_of_hint(hint).as_deref(), expect);
        check("feeds/osv/PyPI.zip/PYSEC-2021-1.json", Some("PyPI"));
        check("npm/GHSA-1.json", Some("npm"));
        check("x/y.json", None);
    }

    #[test]
    fn titles_name_the_module() {
        let check = |summary: &str, expect: Option<&str>| assert_eq!(module_of(summary).as_deref(), expect);
        check("Important: nodejs:18 security update", Some("nodejs:18"));
        check("mariadb:10.3 bug fix update", Some("mariadb:10.3"));
        check("new module: php:7.4", Some("php:7.4"));
        check("Important: kernel security update", None);
        check("Red Hat Security Advisory: podman security update", None);
    }

    #[test]
    fn plain_updates_are_told_from_security_ones() {
        assert!(is_plain_update("ALBA-2022:8256") && is_plain_update("RHEA-2024:1870"));
        assert!(!is_plain_update("ALSA-2023:7465") && !is_plain_update("GHSA-1"));
    }
}
