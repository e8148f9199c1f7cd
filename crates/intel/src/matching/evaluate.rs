//! One statement, one installed version: what follows, and which comparison says so.
//!
//! Nothing is copied: a judgement borrows from the statement, and its sentences ([`words`](super::words)) are written
//! only for what is shown.
//!
//! Invariant: "not affected" needs either a comparison that worked for every interval, or a statement that holds for
//! every version.

use crate::record::{Configured, End, Interval, Says};
use crate::version::{Incomparable, Read, Scheme};
use model::advisory::{NotAffected, Outlook};
use std::cmp::Ordering;

/// An installed package as statements see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installed<'a> {
    /// The name that it was looked up by.
    pub(crate) name: &'a str,
    /// The version that is compared.
    pub(crate) version: &'a str,
    /// How versions are ordered.
    pub(crate) scheme: Scheme,
    /// The version, read; `None` when it is not one of the scheme.
    pub(crate) read: Option<&'a Read<'a>>,
}

impl Installed<'_> {
    /// How the installed version stands to another.
    pub(crate) fn compare(&self, other: &str) -> Result<Ordering, Incomparable> {
        match self.read {
            Some(read) => read.compare(other),
            None => self.scheme.compare(self.version, other),
        }
    }
}

/// What follows from one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// The version is affected.
    Affected {
        /// The version that ends it, when one is known.
        fix: Option<&'a str>,
        /// Other versions with the fix that are newer than the installed one.
        others: Vec<&'a str>,
        /// What the distribution means to do.
        outlook: Outlook,
    },
    /// It is not.
    NotAffected(NotAffected),
    /// It cannot be told, and why.
    Undecided(String),
}

/// Which comparison decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared<'a> {
    /// None.
    Nothing,
    /// The installed version is older than this one.
    Below(&'a str),
    /// It is not older.
    Reaches(&'a str),
    /// Every version is affected.
    Every,
    /// It is in no interval.
    Outside,
    /// It is listed.
    Listed,
    /// It is in this interval.
    Inside(Interval<&'a str>),
}

/// What of a statement a sentence quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim<'a> {
    /// All.
    Whole,
    /// That every version is affected.
    Every,
    /// One version with the fix.
    FixedIn(&'a str),
    /// That the installed version is affected.
    Version,
    /// One interval.
    Within(Interval<&'a str>),
}

/// An outcome with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement<'a> {
    /// What follows.
    pub(crate) outcome: Outcome<'a>,
    /// The comparison that decided.
    pub(crate) compared: Compared<'a>,
    /// What the source says about it.
    pub(crate) claim: Claim<'a>,
}

impl<'a> Judgement<'a> {
    const fn new(outcome: Outcome<'a>, compared: Compared<'a>, claim: Claim<'a>) -> Self {
        Self { outcome, compared, claim }
    }

    const fn plain(outcome: Outcome<'a>) -> Self {
        Self::new(outcome, Compared::Nothing, Claim::Whole)
    }
}

/// Judges one statement.
pub(crate) fn judge<'a>(says: &Says<&'a str>, installed: Installed<'_>) -> Judgement<'a> {
    match says {
        Says::Ranges { intervals, versions, unclear } => in_ranges(intervals, versions, *unclear, installed)
            .unwrap_or_else(|why| Judgement::plain(Outcome::Undecided(why))),
        Says::FixedIn(versions) => fixed_in(versions, installed),
        Says::Open { outlook, note: _ } => {
            Judgement::plain(Outcome::Affected { fix: None, others: Vec::new(), outlook: *outlook })
        }
        Says::NotAffected => Judgement::plain(Outcome::NotAffected(NotAffected::Declared)),
        Says::Undetermined(_) => {
            Judgement::plain(Outcome::Undecided("the source does not say which versions are affected".to_owned()))
        }
        Says::Configured(configured) => in_configuration(configured, installed),
    }
}

/// As ranges; but what is affected only under a condition is undecided.
fn in_configuration<'a>(says: &Configured<&'a str>, installed: Installed<'_>) -> Judgement<'a> {
    let Configured { product: _, intervals, after, versions, unclear, condition } = says;
    let begins_here = |interval: &Interval<&str>| {
        interval.from.is_some_and(|from| after.contains(&from) && installed.compare(from) == Ok(Ordering::Equal))
    };
    let counting: Vec<Interval<&'a str>> = intervals.iter().filter(|i| !begins_here(i)).copied().collect();
    let mut found = in_ranges(&counting, versions, *unclear, installed)
        .unwrap_or_else(|why| Judgement::plain(Outcome::Undecided(why)));
    let Some(condition) = condition else { return found };
    match &found.outcome {
        Outcome::Affected { .. } => found.outcome = Outcome::Undecided((*condition).to_owned()),
        Outcome::Undecided(why) => found.outcome = Outcome::Undecided(format!("{why}; {condition}")),
        Outcome::NotAffected(_) => {}
    }
    found
}

fn fixed_in<'a>(versions: &[&'a str], installed: Installed<'_>) -> Judgement<'a> {
    let scheme = installed.scheme;
    let mut newer: Vec<&'a str> = Vec::new();
    let mut failed = None;
    for fixed in versions {
        match installed.compare(fixed) {
            Ok(Ordering::Less) => newer.push(fixed),
            Ok(Ordering::Equal | Ordering::Greater) => {}
            Err(why) => failed = Some(why.to_string()),
        }
    }
    newer.sort_by(|a, b| scheme.order(a, b));
    match (newer.pop(), failed) {
        (Some(fix), _) => Judgement::new(
            Outcome::Affected { fix: Some(fix), others: newer, outlook: Outlook::Open },
            Compared::Below(fix),
            Claim::Whole,
        ),
        (None, Some(why)) => Judgement::plain(Outcome::Undecided(why)),
        (None, None) => {
            let newest = versions.iter().copied().max_by(|a, b| scheme.order(a, b)).unwrap_or_default();
            Judgement::new(Outcome::NotAffected(NotAffected::Fixed), Compared::Reaches(newest), Claim::Whole)
        }
    }
}

fn in_ranges<'a>(
    intervals: &[Interval<&'a str>],
    versions: &[&'a str],
    unclear: Option<&str>,
    installed: Installed<'_>,
) -> Result<Judgement<'a>, String> {
    let Installed { version, scheme, .. } = installed;
    if let Some(judgement) = listed(intervals, versions, installed) {
        return Ok(judgement);
    }
    let is_all = |i: &Interval<&str>| i.from.is_none() && i.end == End::Never;
    if intervals.iter().any(is_all) {
        let outcome = Outcome::Affected { fix: None, others: Vec::new(), outlook: Outlook::Open };
        return Ok(Judgement::new(outcome, Compared::Every, Claim::Every));
    }
    if installed.read.is_none() {
        scheme.validate(version).map_err(|e| e.to_string())?;
    }
    let mut holding: Vec<&Interval<&'a str>> = Vec::new();
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
    if versions.iter().any(|listed| installed.compare(listed) == Ok(Ordering::Equal)) {
        return Ok(affected_at(intervals, installed));
    }
    Ok(unaffected(intervals, installed))
}

/// Of overlapping intervals the one that ends last: only its fix ends them all.
fn decisive<'b, 'a>(holding: &[&'b Interval<&'a str>], scheme: Scheme) -> Option<&'b Interval<&'a str>> {
    holding.iter().copied().max_by(|a, b| match (fix_of(a), fix_of(b)) {
        (Some(a), Some(b)) => scheme.order(a, b),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    })
}

fn unaffected<'a>(intervals: &[Interval<&'a str>], installed: Installed<'_>) -> Judgement<'a> {
    let reached = |interval: &Interval<&str>| {
        fix_of(interval).is_some_and(|fix| installed.compare(fix).is_ok_and(Ordering::is_ge))
    };
    let why = if intervals.iter().any(reached) { NotAffected::Fixed } else { NotAffected::OutOfRange };
    let (compared, claim) = match intervals {
        [Interval { end: End::Fixed(fix), .. }] if why == NotAffected::Fixed => {
            (Compared::Reaches(fix), Claim::FixedIn(fix))
        }
        _ => (Compared::Outside, Claim::Whole),
    };
    Judgement::new(Outcome::NotAffected(why), compared, claim)
}

/// Versions that are listed letter by letter need no comparison.
fn listed<'a>(
    intervals: &[Interval<&'a str>],
    versions: &[&'a str],
    installed: Installed<'_>,
) -> Option<Judgement<'a>> {
    versions.binary_search_by(|listed| (*listed).cmp(installed.version)).ok()?;
    let holding: Vec<&Interval<&'a str>> = intervals.iter().filter(|i| holds(i, installed) == Ok(true)).collect();
    match decisive(&holding, installed.scheme) {
        Some(interval) => Some(affected(interval, intervals, installed)),
        None => Some(affected_at(intervals, installed)),
    }
}

fn affected_at<'a>(intervals: &[Interval<&'a str>], installed: Installed<'_>) -> Judgement<'a> {
    let mut others = fixes_above(intervals, installed);
    let fix = (!others.is_empty()).then(|| others.remove(0));
    Judgement::new(Outcome::Affected { fix, others, outlook: Outlook::Open }, Compared::Listed, Claim::Version)
}

fn affected<'a>(
    interval: &Interval<&'a str>,
    intervals: &[Interval<&'a str>],
    installed: Installed<'_>,
) -> Judgement<'a> {
    let fix = fix_of(interval);
    let mut others = if intervals.len() > 1 { fixes_above(intervals, installed) } else { Vec::new() };
    others.retain(|other| Some(*other) != fix);
    let claim = fix.map_or(Claim::Within(*interval), Claim::FixedIn);
    Judgement::new(Outcome::Affected { fix, others, outlook: Outlook::Open }, Compared::Inside(*interval), claim)
}

fn fix_of<'a>(interval: &Interval<&'a str>) -> Option<&'a str> {
    match interval.end {
        End::Fixed(fix) | End::Last(_, Some(fix)) => Some(fix),
        End::Last(_, None) | End::Limit(_) | End::Never => None,
    }
}

fn fixes_above<'a>(intervals: &[Interval<&'a str>], installed: Installed<'_>) -> Vec<&'a str> {
    let is_newer = |fix: &&str| installed.compare(fix) == Ok(Ordering::Less);
    let mut found: Vec<&str> = intervals.iter().filter_map(fix_of).filter(is_newer).collect();
    found.sort_by(|a, b| installed.scheme.order(a, b));
    found.dedup();
    found
}

fn holds(interval: &Interval<&str>, installed: Installed<'_>) -> Result<bool, String> {
    let compare = |bound: &str| installed.compare(bound).map_err(|e| e.to_string());
    if let Some(from) = interval.from
        && compare(from)?.is_lt()
    {
        return Ok(false);
    }
    match interval.end {
        End::Never => Ok(true),
        End::Fixed(end) | End::Limit(end) => Ok(compare(end)?.is_lt()),
        End::Last(end, _) => Ok(compare(end)?.is_le()),
    }
}
