//! Whether a statement speaks of an installed package at all: names, RPM modules, support for subscribers.
//!
//! Not here: versions ([`evaluate`](super::evaluate)), and what several statements say together ([`merge`](super::merge)).
//!
//! Invariant: a statement that is about another module stream never says anything about a package, and a fix that only
//! subscribers get is never given as the version to install to somebody who does not say that they subscribe.

use super::evaluate::{Installed, Judgement, Outcome, judge};
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

/// What a statement says about an installed package; `None` when it does not speak of it.
pub(crate) fn judgement(
    statement: &Statement,
    key: &PackageKey,
    candidate: &Candidate,
    scheme: Scheme,
) -> Option<(Judgement, Standing)> {
    if !candidate.is_meant(statement.level) {
        return None;
    }
    let installed = Installed { name: &candidate.name, version: &candidate.version, scheme };
    let mut found = judge(&statement.says, installed);
    match module(statement, key, candidate, scheme) {
        Module::Other => return None,
        Module::Same => {}
        Module::Unknown(why) => found.outcome = Outcome::Undecided(why),
    }
    match &statement.stream {
        None => Some((found, Standing::General)),
        Some(stream) => subscribed(stream, found, &candidate.version),
    }
}

/// Whether a package is of the module that a statement is about.
enum Module {
    /// It is, or neither is of a module.
    Same,
    /// It is not.
    Other,
    /// Both are of some module, and it cannot be told whether of the same.
    Unknown(String),
}

fn module(statement: &Statement, key: &PackageKey, candidate: &Candidate, scheme: Scheme) -> Module {
    if scheme != Scheme::Rpm {
        return Module::Same;
    }
    let is_package = key.module.is_some() || is_module_build(&candidate.version);
    let is_statement = statement.module.is_some() || bounds(&statement.says).any(is_module_build);
    match (is_package, is_statement) {
        (false, false) => Module::Same,
        (true, false) | (false, true) => Module::Other,
        (true, true) => match (&key.module, &statement.module) {
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

fn bounds(says: &Says) -> impl Iterator<Item = &str> {
    let (intervals, fixed): (&[_], &[_]) = match says {
        Says::Ranges { intervals, .. } => (intervals, &[]),
        Says::FixedIn(versions) => (&[], versions),
        Says::Open { .. } | Says::NotAffected | Says::Undetermined(_) => (&[], &[]),
    };
    let ends = intervals.iter().filter_map(|interval| match &interval.end {
        End::Fixed(version) | End::Last(version, _) | End::Limit(version) => Some(version.as_str()),
        End::Never => None,
    });
    ends.chain(fixed.iter().map(String::as_str))
}

fn subscribed(stream: &Stream, mut found: Judgement, version: &str) -> Option<(Judgement, Standing)> {
    let says_so = !stream.marker.is_empty() && version.contains(&stream.marker);
    if stream.clears_only {
        let clears = says_so && found.outcome == Outcome::NotAffected(NotAffected::Fixed);
        found.claim.push_str(&format!(" in {}", stream.name));
        return clears.then_some((found, Standing::Subscribed));
    }
    if says_so {
        return Some((found, Standing::Subscribed));
    }
    if let Outcome::Affected { fix, others, outlook } = &mut found.outcome {
        found.claim.push_str(&format!(", for subscribers of {} only", stream.name));
        (*fix, *others, *outlook) = (None, Vec::new(), Outlook::WillNotFix);
    }
    Some((found, Standing::Unsubscribed))
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
