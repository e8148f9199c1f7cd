//! Whether a statement speaks of an installed package at all: names, RPM modules, support for subscribers.
//!
//! Not here: versions ([`evaluate`](super::evaluate)), and what several statements say together ([`merge`](super::merge)).
//!
//! Invariant: a statement that is about another module stream never says anything about a package, and a fix that only
//! subscribers get is never given as the version to install to somebody who does not say that they subscribe.

use super::evaluate::{Installed, Judgement, Outcome, judge};
use super::words::Aside;
use crate::name::Candidate;
use crate::record::{End, Level, Says, Statement, Stream};
use crate::version::Scheme;
use model::PackageKey;
use model::advisory::{NotAffected, Outlook};

/// For whom a statement speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// For subscribers, and the installed version says that the image is one.
    Subscribed,
    /// For everybody.
    General,
    /// For subscribers, and the image does not say that it is one.
    Unsubscribed,
}

/// A judgement, for whom it holds, and what the support for subscribers has to do with it.
pub(crate) type Applied<'a> = (Judgement<'a>, Standing, Aside);

/// What a statement says about an installed package; `None` when it does not speak of it.
pub(crate) fn judgement<'a>(
    statement: &Statement<&'a str>,
    key: &PackageKey,
    candidate: &Candidate,
    installed: Installed<'_>,
) -> Option<Applied<'a>> {
    if !candidate.is_meant(statement.level) {
        return None;
    }
    let module = module(statement, key, installed);
    if module == Module::Other {
        return None;
    }
    let mut found = judge(&statement.says, installed);
    if let Module::Unknown(why) = module {
        found.outcome = Outcome::Undecided(why);
    }
    match &statement.stream {
        None => Some((found, Standing::General, Aside::None)),
        Some(stream) => subscribed(stream, found, installed.version),
    }
}

/// Whether a package is of the module that a statement is about.
#[derive(Debug, PartialEq, Eq)]
enum Module {
    /// It is, or neither is of a module.
    Same,
    /// It is not.
    Other,
    /// Both are of some module, and it cannot be told whether of the same.
    Unknown(String),
}

fn module(statement: &Statement<&str>, key: &PackageKey, installed: Installed<'_>) -> Module {
    if installed.scheme != Scheme::Rpm {
        return Module::Same;
    }
    let is_package = key.module.is_some() || is_module_build(installed.version);
    let is_statement = statement.module.is_some() || bounds(&statement.says).any(is_module_build);
    match (is_package, is_statement) {
        (false, false) => Module::Same,
        (true, false) | (false, true) => Module::Other,
        (true, true) => match (key.module.as_deref(), statement.module) {
            (Some(package), Some(stated)) if name_and_stream(package) == name_and_stream(stated) => Module::Same,
            (Some(_), Some(_)) => Module::Other,
            (None, Some(stated)) => Module::Unknown(format!(
                "the advisory is about module {stated}, and the package does not say of which module it is"
            )),
            (_, None) => Module::Unknown("the advisory is about a module and does not say about which".to_owned()),
        },
    }
}

/// Builds for a module carry it in their release: `1.module+el8.7.0+21037`, `2.module_el8.5.0+119`, `1.module_f38+…`.
fn is_module_build(version: &str) -> bool {
    version.contains(".module+") || version.contains(".module_")
}

/// `nodejs:18:8090020231212:rhel8` and `nodejs:18` are one stream.
fn name_and_stream(module: &str) -> (&str, &str) {
    let mut parts = module.split(':');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The versions that a statement's affected versions end at.
pub(super) fn bounds<'a>(says: &Says<&'a str>) -> impl Iterator<Item = &'a str> {
    let (intervals, fixed): (&[_], &[_]) = match says {
        Says::Ranges { intervals, .. } => (intervals, &[]),
        Says::Configured(configured) => (&configured.intervals, &[]),
        Says::FixedIn(versions) => (&[], versions),
        Says::Open { .. } | Says::NotAffected | Says::Undetermined(_) => (&[], &[]),
    };
    let ends = intervals.iter().filter_map(|interval| match interval.end {
        End::Fixed(version) | End::Last(version, _) | End::Limit(version) => Some(version),
        End::Never => None,
    });
    ends.chain(fixed.iter().copied())
}

/// Does a version have a stream's marker? `.el8_1` is not in `.el8_10`.
fn bears(version: &str, marker: &str) -> bool {
    version.match_indices(marker).any(|(at, _)| {
        let after = version[at + marker.len()..].starts_with(|c: char| c.is_ascii_digit());
        !(after && marker.ends_with(|c: char| c.is_ascii_digit()))
    })
}

fn subscribed<'a>(stream: &Stream<&str>, mut found: Judgement<'a>, version: &str) -> Option<Applied<'a>> {
    let says_so = !stream.marker.is_empty() && bears(version, stream.marker);
    if stream.clears_only {
        let clears = says_so && found.outcome == Outcome::NotAffected(NotAffected::Fixed);
        return clears.then_some((found, Standing::Subscribed, Aside::In));
    }
    if says_so {
        return Some((found, Standing::Subscribed, Aside::None));
    }
    let Outcome::Affected { fix, others, outlook } = &mut found.outcome else {
        return Some((found, Standing::Unsubscribed, Aside::None));
    };
    (*fix, *others, *outlook) = (None, Vec::new(), Outlook::WillNotFix);
    Some((found, Standing::Unsubscribed, Aside::SubscribersOnly))
}

impl Candidate {
    fn is_meant(&self, level: Level) -> bool {
        match level {
            Level::Either => self.is_habit,
            Level::Binary => self.is_binary,
            Level::Source => self.is_source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_streams_end_where_their_number_does() {
        let check = |version: &str, marker: &str, expect: bool| assert_eq!(bears(version, marker), expect, "{version}");
        check("1.0-1.el8_1", ".el8_1", true);
        check("1.0-1.el8_1.3", ".el8_1", true);
        check("1.0-1.el8_10", ".el8_1", false);
        check("1.0-1.el8_10.el8_1", ".el8_1", true);
        check("1.0-0ubuntu1+esm2", "esm", true);
        check("1.0-1.el8", ".el8_1", false);
    }
}
