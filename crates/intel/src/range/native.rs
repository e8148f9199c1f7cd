//! The range forms that are short enough to stand together: PEP 440 specifiers, `Gem::Requirement`, intervals in
//! brackets (Maven, NuGet), the lists of nginx's and OpenSSL's advisories, and plain comparisons.

use super::npm::increment;
use super::{Comparator, Constraint, Why};

type Sets = Result<Vec<Vec<Constraint>>, Why>;

/// PEP 440, "Version specifiers": all of them hold.
pub(super) fn pypi(text: &str) -> Sets {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(version) = part.strip_prefix("~=") {
            found.extend(compatible(version.trim())?);
            continue;
        }
        let constraint = match part.strip_suffix(".*") {
            Some(prefix) => {
                let constraint = Constraint::parse(prefix)?;
                let upper = next_release(&constraint.version)?;
                let lower = Constraint::new(Comparator::GreaterOrEqual, format!("{}.dev0", constraint.version));
                match constraint.comparator {
                    Comparator::Equal => {
                        found.extend([lower, Constraint::new(Comparator::Less, format!("{upper}.dev0"))]);
                        continue;
                    }
                    _ => return Err("a wildcard is allowed only after =="),
                }
            }
            None => Constraint::parse(part)?,
        };
        found.push(constraint);
    }
    Ok(vec![found])
}

/// `~=2.2.1` is `>=2.2.1` and `==2.2.*`.
fn compatible(version: &str) -> Result<[Constraint; 2], Why> {
    let lower = Constraint::parse(version)?;
    let release: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let (shorter, _) = release.trim_end_matches('.').rsplit_once('.').ok_or("a compatible release has one number")?;
    let upper = format!("{}.dev0", next_release(shorter)?);
    Ok([Constraint::new(Comparator::GreaterOrEqual, lower.version), Constraint::new(Comparator::Less, upper)])
}

/// The last number counted up.
fn next_release(version: &str) -> Result<String, Why> {
    let (head, last) = version.rsplit_once('.').map_or(("", version), |(head, last)| (head, last));
    if last.is_empty() || !last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a part that has to be counted up is not a number");
    }
    Ok(if head.is_empty() { increment(last) } else { format!("{head}.{}", increment(last)) })
}

/// `Gem::Requirement`: all of them hold; `~> 2.0.8` is `>= 2.0.8` and `< 2.1`.
pub(super) fn gem(text: &str) -> Sets {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some(version) = part.strip_prefix("~>") else {
            found.push(Constraint::parse(part)?);
            continue;
        };
        let lower = Constraint::parse(version)?;
        let release: Vec<&str> =
            lower.version.split('.').take_while(|part| part.bytes().all(|b| b.is_ascii_digit())).collect();
        let kept = release.len().saturating_sub(1).max(1).min(release.len());
        if kept == 0 {
            return Err("a part that has to be counted up is not a number");
        }
        let upper = next_release(&release[..kept].join("."))?;
        found.push(Constraint::new(Comparator::GreaterOrEqual, lower.version));
        found.push(Constraint::new(Comparator::Less, upper));
    }
    Ok(vec![found])
}

/// `[1.0,2.0)`, `(,1.0]`, `[1.0]`, several separated by commas. A bare version is the lowest one for NuGet ("Version
/// ranges"), and for Maven, where it is only a recommendation ("Dependency version requirement specification"), itself.
pub(super) fn brackets(text: &str, bare_is_exact: bool) -> Sets {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some(open @ ('[' | '(')) = rest.chars().next() else {
            let comparator = if bare_is_exact { Comparator::Equal } else { Comparator::GreaterOrEqual };
            if !found.is_empty() {
                return Err("an interval does not begin with a bracket");
            }
            return Ok(vec![vec![Constraint { comparator, ..Constraint::parse(rest)? }]]);
        };
        let end = rest.find([']', ')']).ok_or("an interval does not end with a bracket")?;
        found.push(interval(&rest[1..end], open == '[', rest[end..].starts_with(']'))?);
        rest = rest[end + 1..].trim_start().trim_start_matches(',').trim_start();
    }
    if found.is_empty() { Err("it is empty") } else { Ok(found) }
}

fn interval(inside: &str, from_included: bool, to_included: bool) -> Result<Vec<Constraint>, Why> {
    let Some((from, to)) = inside.split_once(',') else {
        if !(from_included && to_included) {
            return Err("a single version does not stand between square brackets");
        }
        return Ok(vec![Constraint { comparator: Comparator::Equal, ..Constraint::parse(inside)? }]);
    };
    let mut found = Vec::new();
    let bound = |text: &str, comparator| Ok::<_, Why>(Constraint { comparator, ..Constraint::parse(text)? });
    if !from.trim().is_empty() {
        found.push(bound(from, if from_included { Comparator::GreaterOrEqual } else { Comparator::Greater })?);
    }
    if !to.trim().is_empty() {
        found.push(bound(to, if to_included { Comparator::LessOrEqual } else { Comparator::Less })?);
    }
    Ok(found)
}

/// The lists of nginx.org's security advisories. `1.4.1+` is every later version of that stable branch (an even second
/// number), `1.5.0+` every later version of all (an odd one).
pub(super) fn nginx(text: &str) -> Sets {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(version) = part.strip_suffix('+') {
            let lower = Constraint { comparator: Comparator::GreaterOrEqual, ..Constraint::parse(version)? };
            let mut numbers = version.split('.');
            let (major, minor) =
                (numbers.next().unwrap_or_default(), numbers.next().ok_or("a version has one number")?);
            let is_stable = minor.bytes().last().is_some_and(|digit| digit.is_ascii_digit() && digit % 2 == 0);
            let upper = format!("{major}.{}.0", next_release(minor)?);
            let upper = is_stable.then(|| Constraint::new(Comparator::Less, upper));
            found.push([lower].into_iter().chain(upper).collect());
        } else if let Some((from, to)) = part.split_once('-') {
            found.push(vec![
                Constraint { comparator: Comparator::GreaterOrEqual, ..Constraint::parse(from)? },
                Constraint { comparator: Comparator::LessOrEqual, ..Constraint::parse(to)? },
            ]);
        } else {
            found.push(vec![Constraint::parse(part)?]);
        }
    }
    if found.is_empty() { Err("it is empty") } else { Ok(found) }
}

/// Versions one by one.
pub(super) fn list(text: &str) -> Sets {
    text.split(',').map(|part| Constraint::parse(part.trim()).map(|constraint| vec![constraint])).collect()
}

/// Comparisons that all hold, separated by commas or spaces; `||` separates alternatives.
pub(super) fn comparisons(text: &str) -> Sets {
    text.split("||").map(conjunction).collect()
}

fn conjunction(text: &str) -> Result<Vec<Constraint>, Why> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(last) if joins => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
        joins = word.bytes().all(|b| b"<>=!".contains(&b));
    }
    if words.is_empty() {
        return Err("it is empty");
    }
    words.iter().map(|word| Constraint::parse(word)).collect()
}
