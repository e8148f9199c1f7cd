//! The versions that a name of NVD means, as stretches of a scheme.
//!
//! Not here: which package a name means, and what stands beside it ([`configurations`](super::configurations)).
//!
//! Invariant: every bound that is given on can be read in the scheme of the software; what NVD does not say is a reason,
//! not a range.

use super::configurations::{Field, Named};
use super::{plain, shown};
use crate::range::cpe::{Name, Value};
use crate::record::{End, Interval};
use crate::version::Scheme;
use model::software::Versions;

/// More portable releases than any version of OpenSSH had.
const PORTABLE_MAX: &str = "p99";

/// A stretch of affected versions.
pub(super) struct Range {
    /// Which.
    pub(super) stretch: Stretch,
    /// Its beginning is not affected itself.
    pub(super) is_after: bool,
    /// Why it is undecided.
    pub(super) doubt: Option<String>,
}

/// Versions between two, or one.
pub(super) enum Stretch {
    /// From one to another.
    Interval(Interval),
    /// One alone.
    Listed(String),
}

impl Range {
    const fn new(stretch: Stretch) -> Self {
        Self { stretch, is_after: false, doubt: None }
    }

    const fn listed(version: String) -> Self {
        Self::new(Stretch::Listed(version))
    }

    const fn between(from: Option<String>, end: End) -> Self {
        Self::new(Stretch::Interval(Interval { from, end }))
    }
}

/// Why the versions of a name cannot be read.
pub(super) struct Unread {
    /// For people.
    pub(super) text: String,
    /// It is a mistake of the record, in contrast to something that is not said.
    pub(super) is_broken: bool,
}

impl Unread {
    fn broken(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_broken: true }
    }
}

/// The versions that a name means.
pub(super) fn ranges(name: &Name, named: &Named, versions: Versions) -> Result<Vec<Range>, Unread> {
    let scheme = Scheme::of_software(versions);
    let bound = |field: &Field<String>| -> Result<Option<String>, Unread> {
        let text = field.get().map_err(|()| Unread::broken("an end of a range is not a text"))?;
        text.map(|text| checked(text, scheme)).transpose()
    };
    let (start, after) = (bound(&named.version_start_including)?, bound(&named.version_start_excluding)?);
    let (last, fixed) = (bound(&named.version_end_including)?, bound(&named.version_end_excluding)?);
    if start.is_none() && after.is_none() && last.is_none() && fixed.is_none() {
        return of_version(name, versions, scheme);
    }
    if start.is_some() && after.is_some() || last.is_some() && fixed.is_some() {
        return Err(Unread::broken("a range has two beginnings or two ends"));
    }
    let is_after = after.is_some();
    let from = start.or(after);
    if let (Some(from), Some(end)) = (&from, last.as_ref().or(fixed.as_ref()))
        && scheme.compare(from, end).is_ok_and(std::cmp::Ordering::is_gt)
    {
        return Err(Unread::broken(format!("a range ends with {} before it begins with {}", shown(end), shown(from))));
    }
    let mut found = Vec::new();
    let end = match (last, fixed) {
        (Some(last), _) => {
            found.extend(patches(&last, versions));
            End::Last(portable(last, versions), None)
        }
        (None, Some(fixed)) => End::Fixed(fixed),
        (None, None) => End::Never,
    };
    found.push(Range { is_after, ..Range::between(from, end) });
    Ok(found)
}

fn checked(text: &str, scheme: Scheme) -> Result<String, Unread> {
    plain("a version", text).map_err(Unread::broken)?;
    scheme.validate(text).map_err(|e| Unread::broken(format!("NVD's range cannot be read: {e}")))?;
    Ok(text.to_owned())
}

/// The versions of a name that has no range.
fn of_version(name: &Name, versions: Versions, scheme: Scheme) -> Result<Vec<Range>, Unread> {
    let not_said = |text: &str| Unread { text: text.to_owned(), is_broken: false };
    let version = match name.version() {
        Value::Any => return Ok(vec![Range::between(None, End::Never)]),
        Value::NotApplicable => return Err(not_said("NVD does not say which versions are affected")),
        Value::Pattern(_) => return Err(not_said("NVD gives a pattern in place of a version")),
        Value::Text(version) => version,
    };
    match name.update() {
        Value::Any => {
            checked(version, scheme)?;
            Ok(with_any_update(version, versions))
        }
        Value::NotApplicable => {
            checked(version, scheme)?;
            Ok(vec![exactly(version.clone(), versions)])
        }
        Value::Pattern(_) => Err(not_said("NVD gives a pattern in place of an update")),
        Value::Text(update) => with_update(version, update, versions, scheme),
    }
}

fn exactly(version: String, versions: Versions) -> Range {
    if versions != Versions::Java {
        return Range::listed(version);
    }
    let rest = version.strip_prefix("1.").unwrap_or(&version);
    let feature: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Range::between(Some(feature), End::Last(version, None))
}

fn with_any_update(version: &str, versions: Versions) -> Vec<Range> {
    match versions {
        Versions::OpenSsh => {
            let last = portable(version.to_owned(), versions);
            vec![Range::between(Some(version.to_owned()), End::Last(last, None))]
        }
        Versions::Patched => {
            patches(version, versions).into_iter().chain([Range::listed(version.to_owned())]).collect()
        }
        // Until Java 8 the version stayed the same and updates were counted beside it.
        Versions::Java if version.starts_with("1.") || matches!(version, "5" | "6" | "7" | "8") => {
            let feature = version.strip_prefix("1.").unwrap_or(version);
            let feature = feature.split_once('.').map_or(feature, |(feature, _)| feature);
            let end = feature.parse::<u32>().map_or(End::Never, |feature| End::Limit((feature + 1).to_string()));
            vec![Range::between(Some(feature.to_owned()), end)]
        }
        Versions::Java | Versions::Plain | Versions::OpenSsl | Versions::Python | Versions::Levelled => {
            vec![exactly(version.to_owned(), versions)]
        }
    }
}

/// A version with its update, in the spelling that programs use.
fn with_update(version: &str, update: &str, versions: Versions, scheme: Scheme) -> Result<Vec<Range>, Unread> {
    let number = |words: &[&str]| {
        let rest = words.iter().find_map(|word| update.strip_prefix(word))?.trim_start_matches('_');
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    };
    let is_letters = |text: &str| text.len() <= 2 && text.bytes().all(|b| b.is_ascii_lowercase());
    let text = match versions {
        Versions::Java => match number(&["update"]) {
            Some(update) if version.starts_with("1.") => format!("{version}_{update}"),
            Some(update) => format!("{version}u{update}"),
            None => {
                return Err(Unread {
                    text: format!("NVD's {} {} is not read", shown(version), shown(update)),
                    is_broken: false,
                });
            }
        },
        Versions::Patched => match number(&["patch", "p"]) {
            Some(patch) => format!("{version}.{patch}"),
            None => format!("{version}{update}"),
        },
        Versions::Levelled if number(&["patch", "p"]).is_some() => {
            checked(version, scheme)?;
            let doubt =
                format!("NVD names {version} with the patch level {}, which the program does not tell", shown(update));
            return Ok(vec![Range { doubt: Some(doubt), ..Range::listed(version.to_owned()) }]);
        }
        Versions::OpenSsl if !is_letters(update) => format!("{version}-{update}"),
        Versions::OpenSsl | Versions::OpenSsh | Versions::Plain | Versions::Python | Versions::Levelled => {
            format!("{version}{update}")
        }
    };
    Ok(vec![exactly(checked(&text, scheme)?, versions)])
}

/// The last portable release of a version of OpenSSH.
fn portable(version: String, versions: Versions) -> String {
    if versions == Versions::OpenSsh && !version.contains('p') { version + PORTABLE_MAX } else { version }
}

/// The patches of a version that is named without: it is not said which are meant.
fn patches(version: &str, versions: Versions) -> Option<Range> {
    let (first, second) = version.split_once('.').filter(|_| versions == Versions::Patched)?;
    let next = second.parse::<u32>().ok()?.checked_add(1)?;
    let doubt = Some(format!("NVD names {version} and does not say which of its patches are affected"));
    Some(Range { doubt, ..Range::between(Some(version.to_owned()), End::Limit(format!("{first}.{next}"))) })
}
