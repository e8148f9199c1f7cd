//! Fixes that the RHEL family builds for one minor release: `7.76.1-23.el9_2.4` is of `el9_2`.
//!
//! When a vulnerability is fixed for 9.2 and later, with a newer build, in the erratum that opens 9.3, both errata list it.
//! Going by the newest build alone, a package that has 9.2's fix would be called affected.
//!
//! Rule: where one source has several errata about one vulnerability of a package, and some of their fixes are built for
//! the installed build's own minor release, those decide if the installed build has all of them; errata of that source
//! whose fixes are all built for other releases are passed over.
//!
//! Invariant: a build that is older than some fix of its own minor release is judged as if this rule were not there; so is
//! a build that names no minor release.

use super::Witness;
use super::applies::{Standing, bounds};
use super::evaluate::Outcome;
use model::advisory::NotAffected;
use std::collections::BTreeMap;

/// The minor release that a build names: `el9_2` of `7.76.1-23.el9_2.4`. Plain `el9` names none.
pub(super) fn tag(version: &str) -> Option<&str> {
    let start = version.rfind(".el")? + 1;
    let text = &version[start..];
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(&text[2..]);
    let rest = text[2 + major..].strip_prefix('_')?;
    let minor = digits(rest);
    let is_end = rest[minor..].bytes().next().is_none_or(|b| !b.is_ascii_alphanumeric() && b != b'_');
    (major > 0 && minor > 0 && is_end).then(|| &text[..2 + major + 1 + minor])
}

/// Witnesses, in their order.
type Rows<'b, 'a> = Vec<&'b Witness<'a>>;

/// The witnesses of one vulnerability that count, and those that are passed over; `None` when the rule has nothing to
/// say.
pub(super) fn part<'b, 'a>(group: &[&'b Witness<'a>]) -> Option<(Rows<'b, 'a>, Rows<'b, 'a>)> {
    if !group.iter().any(|witness| own(witness) == Some(Own::Has)) {
        return None;
    }
    // Of each source: whether the build has all fixes of its own minor release that there are.
    let mut settled: BTreeMap<&str, bool> = BTreeMap::new();
    for witness in group {
        match own(witness) {
            Some(Own::Has) => drop(settled.entry(&witness.feed.id).or_insert(true)),
            Some(Own::Lacks) => drop(settled.insert(&witness.feed.id, false)),
            Some(Own::None) | None => {}
        }
    }
    let is_passed = |witness: &&Witness<'_>| {
        own(witness) == Some(Own::None) && settled.get(witness.feed.id.as_str()) == Some(&true)
    };
    let (passed, counting): (Vec<_>, Vec<_>) = group.iter().copied().partition(is_passed);
    (!passed.is_empty()).then_some((counting, passed))
}

/// How an installed build stands to an erratum's fixes for its own minor release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// It has them.
    Has,
    /// It has not, or that cannot be told.
    Lacks,
    /// There are only fixes for other releases.
    None,
}

/// `None` when a witness is no erratum with fixes for everybody, or the installed build names no minor release. Fixes for
/// subscribers decide by themselves.
fn own(witness: &Witness<'_>) -> Option<Own> {
    let is_erratum = witness.advisory.is_erratum && witness.standing == Standing::General;
    let installed = tag(witness.installed.version).filter(|_| is_erratum)?;
    bounds(&witness.statement.says).next()?;
    let is_own = bounds(&witness.statement.says).any(|fix| tag(fix) == Some(installed));
    Some(match witness.judgement.outcome {
        _ if !is_own => Own::None,
        Outcome::NotAffected(NotAffected::Fixed) => Own::Has,
        Outcome::NotAffected(_) | Outcome::Affected { .. } | Outcome::Undecided(_) => Own::Lacks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_name_their_minor_release() {
        let check = |version: &str, expect: Option<&str>| assert_eq!(tag(version), expect, "{version}");
        check("7.76.1-23.el9_2.4", Some("el9_2"));
        check("530-2.el8_9", Some("el8_9"));
        check("1:1.1.1k-7.el8_10.alma.1", Some("el8_10"));
        check("7.76.1-26.el9", None);
        check("7.76.1-26.el9_", None);
        check("7.76.1-26.el_2", None);
        check("7.76.1-26.el9_2beta", None);
        check("1.14.4-1.module_el8.5.0+2628+c731dc97", None);
        check("1.0-1.elder", None);
        check("8.4.1-1", None);
    }
}
