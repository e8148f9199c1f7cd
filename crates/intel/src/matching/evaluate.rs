//! One statement, one installed version: what follows, and which comparison says so.
//!
//! Invariant: "not affected" needs either a comparison that worked for every interval, or a statement that holds for
//! every version.

use crate::record::{End, Interval, Says};
use crate::version::Scheme;
use model::advisory::{NotAffected, Outlook};
use std::cmp::Ordering;

/// How many intervals a text lists.
const INTERVALS_SHOWN: usize = 6;

/// An installed package as statements see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installed<'a> {
    /// The name that it was looked up by.
    pub(crate) name: &'a str,
    /// The version that is compared.
    pub(crate) version: &'a str,
    /// How versions are ordered.
    pub(crate) scheme: Scheme,
}

/// What follows from one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The version is affected.
    Affected {
        /// The version that ends it, when one is known.
        fix: Option<String>,
        /// Other versions with the fix that are newer than the installed one.
        others: Vec<String>,
        /// What the distribution means to do.
        outlook: Outlook,
    },
    /// It is not.
    NotAffected(NotAffected),
    /// It cannot be told, and why.
    Undecided(String),
}

/// An outcome with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// What follows.
    pub(crate) outcome: Outcome,
    /// The comparison that decided, for people.
    pub(crate) comparison: String,
    /// What the source says, as the rest of a sentence after "says".
    pub(crate) claim: String,
}

/// Judges one statement.
pub(crate) fn judge(says: &Says, installed: Installed<'_>) -> Judgement {
    let plain = format!("{} {}", installed.name, installed.version);
    match says {
        Says::Ranges { intervals, versions, unclear } => in_ranges(intervals, versions, unclear.as_deref(), installed)
            .unwrap_or_else(|why| Judgement {
                claim: claim_of(intervals, versions),
                comparison: plain,
                outcome: Outcome::Undecided(why),
            }),
        Says::FixedIn(versions) => fixed_in(versions, installed),
        Says::Open { outlook, note } => {
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            let claim = match outlook {
                Outlook::Open => "affected, without a fix",
                Outlook::WillNotFix => "affected, and it will not be fixed",
                Outlook::Deferred => "affected, and the fix is put off",
            };
            Judgement {
                outcome: Outcome::Affected { fix: None, others: Vec::new(), outlook: *outlook },
                comparison: plain,
                claim: format!("{claim}{note}"),
            }
        }
        Says::NotAffected => Judgement {
            outcome: Outcome::NotAffected(NotAffected::Declared),
            comparison: plain,
            claim: "never affected".to_owned(),
        },
        Says::Undetermined(claim) => Judgement {
            outcome: Outcome::Undecided("the source does not say which versions are affected".to_owned()),
            comparison: plain,
            claim: claim.clone(),
        },
    }
}

fn fixed_in(versions: &[String], installed: Installed<'_>) -> Judgement {
    let Installed { name, version, scheme } = installed;
    let claim = format!("fixed in {}", versions.join(" and "));
    let mut newer: Vec<String> = Vec::new();
    let mut failed = None;
    for fixed in versions {
        match scheme.compare(version, fixed) {
            Ok(Ordering::Less) => newer.push(fixed.clone()),
            Ok(Ordering::Equal | Ordering::Greater) => {}
            Err(why) => failed = Some(why.to_string()),
        }
    }
    newer.sort_by(|a, b| scheme.order(a, b));
    let order = format!("({scheme} order)");
    match (newer.pop(), failed) {
        (Some(fix), _) => Judgement {
            comparison: format!("{name} {version} < {fix} {order}"),
            outcome: Outcome::Affected { fix: Some(fix), others: newer, outlook: Outlook::Open },
            claim,
        },
        (None, Some(why)) => {
            Judgement { comparison: format!("{name} {version}"), outcome: Outcome::Undecided(why), claim }
        }
        (None, None) => {
            let newest = versions.iter().max_by(|a, b| scheme.order(a, b)).map_or("", String::as_str);
            Judgement {
                comparison: format!("{name} {version} >= {newest} {order}"),
                outcome: Outcome::NotAffected(NotAffected::Fixed),
                claim,
            }
        }
    }
}

fn in_ranges(
    intervals: &[Interval],
    versions: &[String],
    unclear: Option<&str>,
    installed: Installed<'_>,
) -> Result<Judgement, String> {
    let Installed { name, version, scheme } = installed;
    if let Some(judgement) = listed(intervals, versions, installed) {
        return Ok(judgement);
    }
    let valid = scheme.validate(version);
    let is_all = |i: &&Interval| i.from.is_none() && i.end == End::Never;
    if intervals.iter().any(|i| is_all(&i)) {
        return Ok(Judgement {
            outcome: Outcome::Affected { fix: None, others: Vec::new(), outlook: Outlook::Open },
            comparison: format!("{name} {version}, as every version"),
            claim: "every version is affected, without a fix".to_owned(),
        });
    }
    valid.map_err(|e| e.to_string())?;
    let mut holding: Vec<&Interval> = Vec::new();
    for interval in intervals {
        if holds(interval, installed)? {
            holding.push(interval);
        }
    }
    if let Some(interval) = decisive(&holding, scheme) {
        return Ok(affected(interval, intervals, installed));
    }
    if let Some(why) = unclear {
        return Err(why.to_owned());
    }
    if versions.iter().any(|listed| scheme.compare(version, listed) == Ok(Ordering::Equal)) {
        return Ok(affected_at(intervals, installed));
    }
    Ok(unaffected(intervals, versions, installed))
}

/// Of overlapping intervals the one that ends last: only its fix ends them all.
fn decisive<'a>(holding: &[&'a Interval], scheme: Scheme) -> Option<&'a Interval> {
    holding.iter().copied().max_by(|a, b| match (fix_of(a), fix_of(b)) {
        (Some(a), Some(b)) => scheme.order(a, b),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    })
}

fn unaffected(intervals: &[Interval], versions: &[String], installed: Installed<'_>) -> Judgement {
    let Installed { name, version, scheme } = installed;
    let reached = |interval: &Interval| {
        fix_of(interval).filter(|fix| scheme.compare(version, fix).is_ok_and(Ordering::is_ge)).is_some()
    };
    let why = if intervals.iter().any(reached) { NotAffected::Fixed } else { NotAffected::OutOfRange };
    let (comparison, claim) = match intervals {
        [Interval { end: End::Fixed(fix), .. }] if why == NotAffected::Fixed => {
            (format!("{name} {version} >= {fix} ({scheme} order)"), format!("fixed in {fix}"))
        }
        _ => (format!("{name} {version} is in no affected range ({scheme} order)"), claim_of(intervals, versions)),
    };
    Judgement { outcome: Outcome::NotAffected(why), comparison, claim }
}

/// Versions that are listed letter by letter need no comparison.
fn listed(intervals: &[Interval], versions: &[String], installed: Installed<'_>) -> Option<Judgement> {
    versions.binary_search_by(|listed| listed.as_str().cmp(installed.version)).ok()?;
    let holding: Vec<&Interval> = intervals.iter().filter(|i| holds(i, installed) == Ok(true)).collect();
    match decisive(&holding, installed.scheme) {
        Some(interval) => Some(affected(interval, intervals, installed)),
        None => Some(affected_at(intervals, installed)),
    }
}

fn affected_at(intervals: &[Interval], installed: Installed<'_>) -> Judgement {
    let mut others = fixes_above(intervals, installed);
    let fix = (!others.is_empty()).then(|| others.remove(0));
    Judgement {
        outcome: Outcome::Affected { fix, others, outlook: Outlook::Open },
        comparison: format!("{} {} is listed", installed.name, installed.version),
        claim: format!("affected: {}", installed.version),
    }
}

fn affected(interval: &Interval, intervals: &[Interval], installed: Installed<'_>) -> Judgement {
    let Installed { name, version, scheme } = installed;
    let fix = fix_of(interval).map(str::to_owned);
    let mut others = fixes_above(intervals, installed);
    others.retain(|other| Some(other) != fix.as_ref());
    let lower = interval.from.as_ref().map(|from| format!(">= {from}"));
    let upper = match &interval.end {
        End::Never => None,
        End::Fixed(end) | End::Limit(end) => Some(format!("< {end}")),
        End::Last(end, _) => Some(format!("<= {end}")),
    };
    let bounds: Vec<String> = [lower, upper].into_iter().flatten().collect();
    Judgement {
        outcome: Outcome::Affected { fix, others, outlook: Outlook::Open },
        comparison: format!("{name} {version} {} ({scheme} order)", bounds.join(" and ")),
        claim: match fix_of(interval) {
            Some(fix) => format!("fixed in {fix}"),
            None => format!("affected: {}", text(interval)),
        },
    }
}

fn fix_of(interval: &Interval) -> Option<&str> {
    match &interval.end {
        End::Fixed(fix) | End::Last(_, Some(fix)) => Some(fix),
        End::Last(_, None) | End::Limit(_) | End::Never => None,
    }
}

fn fixes_above(intervals: &[Interval], installed: Installed<'_>) -> Vec<String> {
    let Installed { version, scheme, .. } = installed;
    let is_newer = |fix: &&str| scheme.compare(version, fix) == Ok(Ordering::Less);
    let mut found: Vec<String> = intervals.iter().filter_map(fix_of).filter(is_newer).map(str::to_owned).collect();
    found.sort_by(|a, b| scheme.order(a, b));
    found.dedup();
    found
}

fn holds(interval: &Interval, installed: Installed<'_>) -> Result<bool, String> {
    let compare = |bound: &str| installed.scheme.compare(installed.version, bound).map_err(|e| e.to_string());
    if let Some(from) = &interval.from
        && compare(from)?.is_lt()
    {
        return Ok(false);
    }
    match &interval.end {
        End::Never => Ok(true),
        End::Fixed(end) | End::Limit(end) => Ok(compare(end)?.is_lt()),
        End::Last(end, _) => Ok(compare(end)?.is_le()),
    }
}

fn claim_of(intervals: &[Interval], versions: &[String]) -> String {
    let mut shown: Vec<String> = intervals.iter().take(INTERVALS_SHOWN).map(text).collect();
    if intervals.len() > INTERVALS_SHOWN {
        shown.push(format!("{} more", intervals.len() - INTERVALS_SHOWN));
    }
    if !versions.is_empty() && intervals.is_empty() {
        shown.push(format!("{} listed versions", versions.len()));
    }
    if shown.is_empty() {
        return "affected versions that cannot be read".to_owned();
    }
    format!("affected: {}", shown.join(", "))
}

/// An interval in mathematical notation: `[2.2, 2.2.28)`.
pub(crate) fn text(interval: &Interval) -> String {
    let from = interval.from.as_ref().map_or_else(|| "(".to_owned(), |from| format!("[{from}"));
    match &interval.end {
        End::Never => format!("{from}, )"),
        End::Fixed(end) | End::Limit(end) => format!("{from}, {end})"),
        End::Last(end, _) => format!("{from}, {end}]"),
    }
}
