//! Ranges of Conan 2 (conan-io/conan, `conan/internal/model/version_range.py`; Conan's manual, "Version ranges").
//!
//! `||` separates sets; `~` and `^` are short for a pair whose upper end, marked by a final hyphen, leaves out the
//! pre-releases too. Options after a comma (`include_prerelease`) and a final hyphen, which allow pre-releases, do not
//! change the bounds.

use super::npm::increment;
use super::{Comparator, Constraint, Why};

pub(super) fn parse(text: &str) -> Result<Vec<Vec<Constraint>>, Why> {
    let text = text.split_once(',').map_or(text, |(range, _)| range);
    text.split("||")
        .map(|set| set.split_whitespace().map(expression).collect::<Result<Vec<_>, _>>().map(|s| s.concat()))
        .collect()
}

fn expression(word: &str) -> Result<Vec<Constraint>, Why> {
    if matches!(word, "*" | "*-") {
        return Ok(vec![Constraint::new(Comparator::GreaterOrEqual, "0.0.0")]);
    }
    if let Some(version) = word.strip_prefix('~') {
        return pair(version, |parts| usize::from(parts > 1));
    }
    if let Some(version) = word.strip_prefix('^') {
        let zeros = version.split('.').take_while(|part| *part == "0").count();
        return pair(version, |parts| zeros.min(parts - 1));
    }
    Constraint::parse(word).map(|constraint| vec![constraint])
}

/// From the version to the next one at a place, without its pre-releases.
fn pair(version: &str, place: impl FnOnce(usize) -> usize) -> Result<Vec<Constraint>, Why> {
    let lower = Constraint::parse(version.strip_prefix('=').unwrap_or(version).trim_end_matches('-'))?;
    let main = lower.version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = main.split('.').collect();
    let place = place(parts.len());
    let number = parts[place];
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a part that has to be counted up is not a number");
    }
    let raised = increment(number);
    let upper: Vec<&str> = parts[..place].iter().copied().chain([raised.as_str()]).collect();
    let upper = format!("{}-", upper.join("."));
    Ok(vec![Constraint::new(Comparator::GreaterOrEqual, lower.version), Constraint::new(Comparator::Less, upper)])
}
