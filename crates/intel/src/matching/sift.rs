//! Which statements can make a difference, told without text: verdict first.
//!
//! Most of what advisories say about an installed package is that it has the fix. A statement that is *clear* says so,
//! and is only worth reading where another statement about the same vulnerability says otherwise.
//!
//! Invariant: what is left out never changes a match other than "not affected"; a test compares both ways over all feeds.

use crate::error::Result;
use crate::name::Candidate;
use crate::record::{End, Interval, Says, Statement};
use crate::segment::Names;
use crate::version::Scheme;
use model::PackageKey;
use std::collections::HashSet;

/// True when the statement surely means "not affected", or does not speak of the package. False when it may say
/// otherwise; then it has to be judged in full.
pub(crate) fn is_clear(statement: &Statement<&str>, key: &PackageKey, candidate: &Candidate, scheme: Scheme) -> bool {
    let version = candidate.version.as_str();
    if statement.module.is_some() || statement.stream.is_some() || key.module.is_some() {
        return false;
    }
    // Whether a build of a module is meant is not told by its version alone.
    let is_plain = |text: &str| scheme != Scheme::Rpm || !text.contains(".module");
    if !is_plain(version) {
        return false;
    }
    match &statement.says {
        Says::NotAffected => true,
        Says::FixedIn(fixes) => {
            fixes.iter().all(|fix| is_plain(fix) && scheme.compare(version, fix).is_ok_and(std::cmp::Ordering::is_ge))
        }
        Says::Ranges { intervals, versions, unclear } => {
            unclear.is_none()
                && scheme.validate(version).is_ok()
                && intervals
                    .iter()
                    .all(|interval| is_plain_interval(interval, is_plain) && is_outside(interval, version, scheme))
                && !versions.iter().any(|listed| is_same(version, listed, scheme))
        }
        Says::Open { .. } | Says::Undetermined(_) => false,
    }
}

fn is_plain_interval(interval: &Interval<&str>, is_plain: impl Fn(&str) -> bool) -> bool {
    match interval.end {
        End::Never => true,
        End::Fixed(end) | End::Limit(end) | End::Last(end, _) => is_plain(end),
    }
}

/// Whether a version is surely not inside.
fn is_outside(interval: &Interval<&str>, version: &str, scheme: Scheme) -> bool {
    let is_before =
        interval.from.is_some_and(|from| scheme.compare(version, from).is_ok_and(std::cmp::Ordering::is_lt));
    is_before
        || match interval.end {
            End::Never => false,
            End::Fixed(end) | End::Limit(end) => scheme.compare(version, end).is_ok_and(std::cmp::Ordering::is_ge),
            End::Last(end, _) => scheme.compare(version, end).is_ok_and(std::cmp::Ordering::is_gt),
        }
}

/// Whether a listed version is the installed one, in whatever spelling.
fn is_same(version: &str, listed: &str, scheme: Scheme) -> bool {
    version == listed
        || (!differ_in_numbers(version, listed) && scheme.compare(version, listed).is_ok_and(std::cmp::Ordering::is_eq))
}

/// True only for versions that no scheme takes for equal: plain numbers between dots, of which one pair differs.
fn differ_in_numbers(a: &str, b: &str) -> bool {
    // An epoch, or a letter first, changes what the first number means.
    let starts_plain =
        |text: &str| text.as_bytes().first().is_some_and(u8::is_ascii_digit) && !text.contains([':', '!']);
    if !starts_plain(a) || !starts_plain(b) {
        return false;
    }
    let (mut left, mut right) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (x, y) = (digits(left), digits(right));
        if x == 0 || y == 0 {
            return false;
        }
        if left[..x].trim_start_matches('0') != right[..y].trim_start_matches('0') {
            return true;
        }
        match (left[x..].strip_prefix('.'), right[y..].strip_prefix('.')) {
            (Some(l), Some(r)) => (left, right) = (l, r),
            (None, _) | (_, None) => return false,
        }
    }
}

/// Keeps what is not clear, and what shares a name with that, directly or through others: `kept[i]` says whether
/// statement `i` counts. `names` gives the hashed names of its advisory.
///
/// # Errors
/// Those of `names`.
pub(crate) fn keep_related<'a>(kept: &mut [bool], names: impl Fn(usize) -> Result<Names<'a>>) -> Result<()> {
    if kept.iter().all(|kept| *kept) || !kept.contains(&true) {
        return Ok(());
    }
    let names = (0..kept.len()).map(names).collect::<Result<Vec<_>>>()?;
    let mut known: HashSet<u32> = HashSet::new();
    for (names, _) in names.iter().zip(kept.iter()).filter(|(_, kept)| **kept) {
        known.extend(names.iter());
    }
    loop {
        let mut grew = false;
        for (names, kept) in names.iter().zip(kept.iter_mut()).filter(|(_, kept)| !**kept) {
            if names.iter().any(|name| known.contains(&name)) {
                known.extend(names.iter());
                (*kept, grew) = (true, true);
            }
        }
        if !grew {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_differ_only_where_no_scheme_could_take_them_for_equal() {
        let check = |a: &str, b: &str, expect: bool| assert_eq!(differ_in_numbers(a, b), expect, "{a} {b}");
        check("1.2", "1.3", true);
        check("1.2.0", "1.2", false);
        check("01.2", "1.2", false);
        check("1.10", "1.9", true);
        check("2rc1", "1", true);
        check("1.0rc1", "1.0.0rc1", false);
        check("0:1.0", "1.0", false);
        check("v1.0", "2.0", false);
    }

    proptest! {
        #[test]
        fn versions_that_differ_in_numbers_are_equal_in_no_scheme(
            a in "[0-2]{1,2}([._+-][0-2]{1,2}){0,3}(a1)?",
            b in "[0-2]{1,2}([._+-][0-2]{1,2}){0,3}(a1)?",
        ) {
            for scheme in Scheme::ALL {
                if differ_in_numbers(&a, &b) {
                    prop_assert_ne!(scheme.compare(&a, &b), Ok(std::cmp::Ordering::Equal), "{} {} {}", scheme, a, b);
                }
            }
        }
    }
}
