//! From the events of OSV ranges to intervals, once, when a feed is compiled.
//!
//! The OSV schema ("Evaluation") sorts a range's events by version and walks them: `introduced` opens, `fixed` and
//! `last_affected` close, and nothing after the last `limit` counts. The same walk, done without an installed version,
//! gives intervals.

use crate::record::{End, Interval};
use crate::version::Scheme;
use std::cmp::Ordering;

/// One event of a range (OSV schema, `affected[].ranges[].events`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The first version that is affected; `0` is before every version.
    Introduced(String),
    /// The first version that is not.
    Fixed(String),
    /// The last version that is.
    LastAffected(String),
    /// Nothing is said about this version and later ones.
    Limit(String),
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Self::Introduced(v) | Self::Fixed(v) | Self::LastAffected(v) | Self::Limit(v) => v,
        }
    }

    /// Before every version?
    fn is_start(&self) -> bool {
        matches!(self, Self::Introduced(version) if version == "0")
    }
}

/// The intervals of one range.
///
/// # Errors
/// A sentence, when a version is not one of the scheme, or when an end has no beginning: then nothing can be said about
/// versions that are not listed one by one.
pub(crate) fn intervals(events: Vec<Event>, scheme: Scheme) -> Result<Vec<Interval>, String> {
    for event in events.iter().filter(|event| !event.is_start()) {
        scheme.validate(event.version()).map_err(|e| format!("its range cannot be read: {e}"))?;
    }
    let (limits, mut events): (Vec<_>, Vec<_>) = events.into_iter().partition(|e| matches!(e, Event::Limit(_)));
    let limit = limits.iter().map(Event::version).max_by(|a, b| scheme.order(a, b)).map(str::to_owned);
    // The sort is stable: events at one version stay in the document's order, but a version that is first and last
    // affected is affected.
    events.sort_by(|a, b| match (a.is_start(), b.is_start()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => scheme.order(a.version(), b.version()).then(is_last(a).cmp(&is_last(b))),
    });
    let found = walk(events)?;
    Ok(match limit {
        Some(limit) => found.into_iter().filter_map(|interval| clip(interval, &limit, scheme)).collect(),
        None => found,
    })
}

const fn is_last(event: &Event) -> bool {
    matches!(event, Event::LastAffected(_))
}

fn walk(events: Vec<Event>) -> Result<Vec<Interval>, String> {
    let mut found: Vec<Interval> = Vec::new();
    let mut open: Option<Option<String>> = None;
    for event in events {
        match event {
            Event::Introduced(_) if open.is_some() => {}
            Event::Introduced(version) => open = Some((version != "0").then_some(version)),
            Event::Fixed(version) => match (open.take(), found.last_mut()) {
                (Some(from), _) => found.push(Interval { from, end: End::Fixed(version) }),
                (None, Some(Interval { end: End::Last(_, fix @ None), .. })) => *fix = Some(version),
                (None, Some(_)) => {}
                (None, None) => return Err(format!("its range ends at {version} before it begins")),
            },
            Event::LastAffected(version) => match (open.take(), found.is_empty()) {
                (Some(from), _) => found.push(Interval { from, end: End::Last(version, None) }),
                (None, false) => {}
                (None, true) => return Err(format!("its range ends with {version} before it begins")),
            },
            Event::Limit(_) => {}
        }
    }
    if let Some(from) = open {
        found.push(Interval { from, end: End::Never });
    }
    Ok(found)
}

/// What of an interval lies before the limit.
fn clip(interval: Interval, limit: &str, scheme: Scheme) -> Option<Interval> {
    let starts_after = interval.from.as_deref().is_some_and(|from| scheme.order(from, limit).is_ge());
    let ends_after = match &interval.end {
        End::Never => true,
        End::Fixed(end) | End::Limit(end) => scheme.order(end, limit).is_gt(),
        End::Last(end, _) => scheme.order(end, limit).is_ge(),
    };
    match (starts_after, ends_after) {
        (true, _) => None,
        (false, true) => Some(Interval { from: interval.from, end: End::Limit(limit.to_owned()) }),
        (false, false) => Some(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(interval: &Interval) -> String {
        let end = match &interval.end {
            End::Never => End::Never,
            End::Fixed(end) => End::Fixed(end.as_str()),
            End::Last(end, fix) => End::Last(end.as_str(), fix.as_deref()),
            End::Limit(end) => End::Limit(end.as_str()),
        };
        let mut out = String::new();
        super::super::words::write_interval(&Interval { from: interval.from.as_deref(), end }, false, &mut out);
        out
    }

    fn show(found: &Result<Vec<Interval>, String>) -> String {
        match found {
            Ok(found) => found.iter().map(text).collect::<Vec<_>>().join(" "),
            Err(why) => why.clone(),
        }
    }

    #[test]
    fn events_are_read_as_intervals() {
        use Event::{Fixed, Introduced, LastAffected, Limit};
        type Make = fn(String) -> Event;
        let check = |events: &[(Make, &str)], expect: &str| {
            let events = events.iter().map(|(make, version)| make((*version).to_owned())).collect();
            assert_eq!(show(&intervals(events, Scheme::Semver)), expect);
        };
        check(&[(Introduced, "0"), (Fixed, "1.0.0")], "(, 1.0.0)");
        check(&[(Introduced, "0")], "(, )");
        check(&[(Fixed, "2.0.0"), (Introduced, "1.0.0")], "[1.0.0, 2.0.0)");
        check(
            &[(Introduced, "0"), (Fixed, "1.0.0"), (Introduced, "2.0.0"), (Fixed, "2.1.0")],
            "(, 1.0.0) [2.0.0, 2.1.0)",
        );
        check(&[(LastAffected, "1.0.0"), (Introduced, "1.0.0")], "[1.0.0, 1.0.0]");
        check(&[(Introduced, "1.0.0"), (Fixed, "1.0.0")], "[1.0.0, 1.0.0)");
        check(&[(Introduced, "0"), (LastAffected, "1.0.0"), (Fixed, "1.1.0")], "(, 1.0.0]");
        check(&[(Introduced, "0"), (Limit, "3.0.0")], "(, 3.0.0)");
        check(&[(Introduced, "4.0.0"), (Limit, "3.0.0")], "");
        check(&[(Introduced, "3.0.0"), (Fixed, "2.0.0")], "its range ends at 2.0.0 before it begins");
        check(&[(Introduced, "0"), (Fixed, "one")], &show(&intervals(vec![Fixed("one".into())], Scheme::Semver)));
    }
}
