//! Which statements can make a difference, told without text: verdict first.
//!
//! Most of what advisories say about an installed package is that it has the fix. A statement that is *clear* says so,
//! and is only worth reading where another statement about the same vulnerability says otherwise.
//!
//! Invariant: what is left out never changes a match other than "not affected"; a test compares both ways over all feeds.

use super::evaluate::Installed;
use crate::error::Result;
use crate::quick::Quick;
use crate::segment::Names;
use crate::version::{Read, Scheme};
use model::PackageKey;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

/// An installed package of which statements can be told to be clear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sieve<'a> {
    version: &'a str,
    read: &'a Read<'a>,
    scheme: Scheme,
}

impl<'a> Sieve<'a> {
    /// `None` when every statement has to be judged in full: the version cannot be read, or the package may be a build
    /// of a module, which is not told by its version alone.
    pub(crate) fn new(key: &PackageKey, installed: Installed<'a>) -> Option<Self> {
        let Installed { version, scheme, read, .. } = installed;
        let found = Self { version, read: read?, scheme };
        (key.module.is_none() && found.is_plain(version)).then_some(found)
    }

    /// True when a statement, in its postcard form, surely means "not affected", or does not speak of the package. False
    /// when it may say otherwise; then it has to be judged in full.
    pub(crate) fn is_clear(&self, statement: &[u8]) -> bool {
        let mut wire = Wire(statement);
        self.says_clear(&mut wire).unwrap_or(false) && wire.has_neither_module_nor_stream().unwrap_or(false)
    }

    /// The [`Says`](crate::record::Says) that a statement begins with. `None` for what cannot be read.
    fn says_clear(&self, wire: &mut Wire<'_>) -> Option<bool> {
        Some(match wire.number()? {
            RANGES => self.ranges_clear(wire)?,
            FIXED_IN => {
                let count = wire.number()?;
                for _ in 0..count {
                    let fix = wire.text()?;
                    if !self.is_plain(fix) || !self.is(fix, Ordering::is_ge) {
                        return Some(false);
                    }
                }
                true
            }
            NOT_AFFECTED => true,
            CONFIGURED => self.configuration_clear(wire)?,
            _ => false,
        })
    }

    fn ranges_clear(&self, wire: &mut Wire<'_>) -> Option<bool> {
        Some(self.intervals_clear(wire)? && self.rest_clear(wire)?)
    }

    /// A [`Configured`](crate::record::Configured): what is outside of its ranges needs no condition, and an interval
    /// that begins after its beginning is smaller than it looks.
    fn configuration_clear(&self, wire: &mut Wire<'_>) -> Option<bool> {
        wire.text()?;
        if !self.intervals_clear(wire)? {
            return Some(false);
        }
        for _ in 0..wire.number()? {
            wire.text()?;
        }
        let is_clear = self.rest_clear(wire)?;
        if is_clear {
            wire.option(Wire::text)?;
        }
        Some(is_clear)
    }

    fn intervals_clear(&self, wire: &mut Wire<'_>) -> Option<bool> {
        let intervals = wire.number()?;
        for _ in 0..intervals {
            let from = wire.option(Wire::text)?;
            let (end, is_past): (_, fn(Ordering) -> bool) = match wire.number()? {
                NEVER => (None, Ordering::is_ge),
                FIXED | LIMIT => (Some(wire.text()?), Ordering::is_ge),
                LAST => {
                    let last = wire.text()?;
                    wire.option(Wire::text)?;
                    (Some(last), Ordering::is_gt)
                }
                _ => return None,
            };
            let is_outside = end.is_none_or(|end| self.is_plain(end))
                && (end.is_some_and(|end| self.is(end, is_past)) && from.is_none_or(|from| self.is_readable(from))
                    || from.is_some_and(|from| self.is(from, Ordering::is_lt)));
            if !is_outside {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The listed versions, and that nothing is unclear.
    fn rest_clear(&self, wire: &mut Wire<'_>) -> Option<bool> {
        let versions = wire.number()?;
        for _ in 0..versions {
            if self.is_same(wire.piece()?)? {
                return Some(false);
            }
        }
        Some(wire.option(Wire::text)?.is_none())
    }

    /// Whether a version is surely so.
    fn is(&self, other: &str, wanted: fn(Ordering) -> bool) -> bool {
        self.read.compare(other).is_ok_and(wanted)
    }

    /// Errata of RPM distributions give ranges as they find them; ranges of other schemes were read when they were
    /// compiled ([`intervals`](super::interval::intervals)).
    fn is_readable(&self, from: &str) -> bool {
        self.scheme != Scheme::Rpm || self.scheme.read(from).is_ok()
    }

    /// Whether a listed version is the installed one, in whatever spelling.
    fn is_same(&self, listed: &[u8]) -> Option<bool> {
        // To Java, 1.8 and 8 are one.
        if self.scheme != Scheme::Java && differ_in_numbers(self.version.as_bytes(), listed) {
            return Some(false);
        }
        let listed = std::str::from_utf8(listed).ok()?;
        Some(self.version == listed || self.is(listed, Ordering::is_eq))
    }

    /// Not of a module.
    fn is_plain(&self, version: &str) -> bool {
        const MODULE: &[u8] = b".module";
        self.scheme != Scheme::Rpm || !version.as_bytes().windows(MODULE.len()).any(|part| part == MODULE)
    }
}

// The numbers of the variants of `Says` and `End`, in the order in which they are declared.
const RANGES: u64 = 0;
const FIXED_IN: u64 = 1;
const NOT_AFFECTED: u64 = 3;
const CONFIGURED: u64 = 5;
const NEVER: u64 = 0;
const FIXED: u64 = 1;
const LAST: u64 = 2;
const LIMIT: u64 = 3;

/// Reads the postcard form ("The Postcard Wire Format") of a [`Statement`](crate::record::Statement) without making one.
/// `None` is an end that comes too early, or something that cannot be.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self) -> Option<u64> {
        let mut found = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            found |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(found);
            }
        }
        None
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn piece(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.bytes(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.piece()?).ok()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// The fields after `says`.
    fn has_neither_module_nor_stream(&mut self) -> Option<bool> {
        let _rating = self.option(Self::number)?;
        let vectors = self.number()?;
        for _ in 0..vectors {
            self.text()?;
            self.bytes(size_of::<f64>())?;
        }
        let _level = self.number()?;
        let module = self.option(Self::text)?;
        Some(module.is_none() && self.byte()? == 0)
    }
}

/// True only for versions that no scheme but Java's takes for equal: plain numbers between dots, of which one pair differs.
fn differ_in_numbers(a: &[u8], b: &[u8]) -> bool {
    // An epoch, or a letter first, changes what the first number means.
    let is_plain =
        |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit) && !text.iter().any(|b| b":!".contains(b));
    let (mut left, mut right) = (a, b);
    loop {
        let digits = |text: &[u8]| text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        let (x, y) = (digits(left), digits(right));
        if x == 0 || y == 0 {
            return false;
        }
        if without_zeros(&left[..x]) != without_zeros(&right[..y]) {
            return is_plain(a) && is_plain(b);
        }
        match (left[x..].strip_prefix(b"."), right[y..].strip_prefix(b".")) {
            (Some(l), Some(r)) => (left, right) = (l, r),
            (None, _) | (_, None) => return false,
        }
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..]
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
    let mut known: HashSet<u32, BuildHasherDefault<Quick>> = HashSet::default();
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
    use crate::compile::pack;
    use crate::matching::evaluate::{Outcome, judge};
    use crate::record::{Configured, End, Interval, Level, Says, Statement, Stream};
    use model::PackageFormat;
    use model::advisory::{CvssScore, Outlook};
    use proptest::prelude::*;

    /// Whether a statement is clear about a version.
    fn is_clear(statement: &Statement<&str>, scheme: Scheme, version: &str) -> bool {
        let read = scheme.read(version).ok();
        let installed = Installed { name: "any", version, scheme, read: read.as_ref() };
        let key = PackageKey::new(PackageFormat::Rpm, "any", version);
        Sieve::new(&key, installed).is_some_and(|sieve| sieve.is_clear(&pack(statement)))
    }

    fn statement(says: Says<&str>) -> Statement<&str> {
        let cvss = vec![CvssScore { vector: "CVSS:3.1/AV:N".to_owned(), score: 9.8 }];
        Statement { says, rating: None, cvss, level: Level::Source, module: None, stream: None }
    }

    #[test]
    fn statements_are_clear_when_the_installed_version_surely_has_the_fix() {
        let check = |says: &Says<&str>, version: &str, expect: bool| {
            assert_eq!(is_clear(&statement(says.clone()), Scheme::Rpm, version), expect, "{says:?} {version}");
        };
        let fixed = Says::FixedIn(vec!["1.0-2.el8", "1.0-1.el8"]);
        check(&fixed, "1.0-2.el8", true);
        check(&fixed, "1.0-1.el8", false);
        check(&fixed, "1.0-3.module_el8+1", false);
        check(&Says::FixedIn(vec!["1.0-2.module+el8"]), "2.0-1", false);
        check(&Says::NotAffected, "1.0-1", true);
        check(&Says::NotAffected, "", false);
        check(&Says::Open { outlook: Outlook::Open, note: None }, "1.0-1", false);
        check(&Says::Undetermined("maybe"), "1.0-1", false);
        let ranges = |end, versions: &[&'static str], unclear| Says::Ranges {
            intervals: vec![Interval { from: Some("1.0"), end }],
            versions: versions.to_vec(),
            unclear,
        };
        check(&ranges(End::Fixed("2.0"), &[], None), "2.0", true);
        check(&ranges(End::Fixed("2.0"), &[], None), "1.9", false);
        check(&ranges(End::Fixed("2.0"), &[], None), "0.9", true);
        check(&ranges(End::Fixed("2.0"), &["2.0.0", "3"], None), "3", false);
        check(&ranges(End::Fixed("2.0"), &[], Some("unreadable")), "2.0", false);
        check(&ranges(End::Last("2.0", Some("2.1")), &[], None), "2.0", false);
        check(&ranges(End::Last("2.0", None), &[], None), "2.1", true);
        check(&ranges(End::Limit("2.0"), &[], None), "2.0", true);
        check(&ranges(End::Never, &[], None), "9", false);
    }

    #[test]
    fn statements_about_modules_and_subscriptions_are_never_clear() {
        let plain = statement(Says::NotAffected);
        assert!(is_clear(&plain, Scheme::Rpm, "1"));
        assert!(!is_clear(&Statement { module: Some("nodejs:18"), ..plain.clone() }, Scheme::Rpm, "1"));
        let stream = Some(Stream { name: "ESM", marker: "esm", clears_only: false });
        assert!(!is_clear(&Statement { stream, ..plain.clone() }, Scheme::Rpm, "1"));
        let rated = Statement { rating: Some(model::Severity::High), ..plain.clone() };
        assert!(is_clear(&rated, Scheme::Rpm, "1"));
        let bytes = pack(&plain);
        let read = Scheme::Rpm.read("1").ok();
        let installed = Installed { name: "any", version: "1", scheme: Scheme::Rpm, read: read.as_ref() };
        let sieve = Sieve::new(&PackageKey::new(PackageFormat::Rpm, "any", "1"), installed).expect("a plain version");
        // Whatever is cut off: a statement that cannot be read is not clear.
        assert!((0..bytes.len()).all(|end| !sieve.is_clear(&bytes[..end])));
    }

    #[test]
    fn numbers_differ_only_where_no_scheme_could_take_them_for_equal() {
        let check = |a: &str, b: &str, expect: bool| {
            assert_eq!(differ_in_numbers(a.as_bytes(), b.as_bytes()), expect, "{a} {b}");
        };
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
        fn what_is_clear_is_judged_not_affected(
            from in proptest::option::of("[0-3](\\.[0-3]){0,2}(-[12])?"),
            end in "[0-3](\\.[0-3]){0,2}(-[12])?",
            kind in 0..4_usize,
            versions in proptest::collection::btree_set("[0-3](\\.[0-3]){0,2}", 0..3),
            installed in "[0-3](\\.[0-3]){0,2}(-[12])?",
            (is_after, is_conditional) in (any::<bool>(), any::<bool>()),
        ) {
            let end = [End::Never, End::Fixed(&*end), End::Last(&*end, None), End::Limit(&*end)][kind];
            let intervals = vec![Interval { from: from.as_deref(), end }];
            let versions = versions.iter().map(String::as_str).collect();
            let says = Says::Ranges { intervals, versions, unclear: None };
            for scheme in Scheme::ALL {
                let bounds = super::super::applies::bounds(&says).chain(from.as_deref());
                if scheme != Scheme::Rpm && !bounds.into_iter().all(|bound| scheme.validate(bound).is_ok()) {
                    continue;
                }
                let read = scheme.read(&installed).ok();
                let package = Installed { name: "any", version: &installed, scheme, read: read.as_ref() };
                let is_free = matches!(judge(&says, package).outcome, Outcome::NotAffected(_));
                prop_assert_eq!(is_clear(&statement(says.clone()), scheme, &installed), is_free, "{} {:?}", scheme, &says);
                let Says::Ranges { intervals, versions, unclear } = says.clone() else { continue };
                let after: Vec<&str> = is_after.then_some(from.as_deref()).flatten().into_iter().collect();
                let condition = is_conditional.then_some("elsewhere");
                let says = Says::Configured(Configured { product: "a:b", intervals, after, versions, unclear, condition });
                let is_clear = is_clear(&statement(says.clone()), scheme, &installed);
                let is_free = matches!(judge(&says, package).outcome, Outcome::NotAffected(_));
                prop_assert!(is_free || !is_clear, "{} {:?}", scheme, &says);
                prop_assert!(is_clear || !is_free || is_after, "{} {:?}", scheme, &says);
            }
        }

        #[test]
        fn versions_that_differ_in_numbers_are_equal_in_no_scheme(
            a in "[0-2]{1,2}([._+-][0-2]{1,2}){0,3}(a1)?",
            b in "[0-2]{1,2}([._+-][0-2]{1,2}){0,3}(a1)?",
        ) {
            for scheme in Scheme::ALL.into_iter().filter(|scheme| *scheme != Scheme::Java) {
                if differ_in_numbers(a.as_bytes(), b.as_bytes()) {
                    prop_assert_ne!(scheme.compare(&a, &b), Ok(Ordering::Equal), "{} {} {}", scheme, a, b);
                }
            }
        }
    }
}
