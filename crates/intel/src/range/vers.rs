//! VERS, the range notation of package-url (package-url/vers-spec, `VERSION-RANGE-SPEC.rst`), in and out.

use super::{Comparator, Constraint, Syntax, Why};
use crate::version::Scheme;
use std::fmt;

/// Reads a VERS range into sets of constraints that all have to hold.
pub(super) fn parse(text: &str) -> Result<(Syntax, Vec<Vec<Constraint>>), Why> {
    let rest = text.trim().strip_prefix("vers:").ok_or("it does not begin with vers:")?;
    let (name, rest) = rest.split_once('/').ok_or("it has no slash after the scheme")?;
    let syntax = syntax(name)?;
    if rest == "*" {
        return Ok((syntax, vec![Vec::new()]));
    }
    let mut constraints = Vec::new();
    for part in rest.trim_matches('|').split('|') {
        let constraint = Constraint::parse(&decode(part)?)?;
        if constraint.version == "*" {
            return Err("an asterisk stands beside other constraints");
        }
        constraints.push(constraint);
    }
    let scheme = syntax.scheme();
    for constraint in &constraints {
        scheme.validate(&constraint.version).map_err(|_| "a version is none of the scheme")?;
    }
    constraints.sort_by(|a, b| scheme.order(&a.version, &b.version));
    Ok((syntax, sets(&constraints)))
}

/// The scheme's names in VERS (vers-spec, "Some of the known versioning schemes"), which are mostly purl types.
fn syntax(name: &str) -> Result<Syntax, Why> {
    Ok(match name {
        "npm" => Syntax::Npm,
        "conan" => Syntax::Conan,
        "pypi" => Syntax::Pypi,
        "gem" => Syntax::Gem,
        "nuget" => Syntax::NuGet,
        "maven" => Syntax::Maven,
        "nginx" => Syntax::Nginx,
        "openssl" => Syntax::OpenSsl,
        "apk" | "alpine" => Syntax::Plain(Scheme::Apk),
        "deb" => Syntax::Plain(Scheme::Deb),
        "rpm" => Syntax::Plain(Scheme::Rpm),
        "semver" | "cargo" | "github" | "swift" | "mattermost" => Syntax::Plain(Scheme::Semver),
        "golang" | "go" => Syntax::Plain(Scheme::Go),
        "bitnami" => Syntax::Plain(Scheme::Bitnami),
        "composer" => Syntax::Plain(Scheme::Composer),
        "hex" => Syntax::Plain(Scheme::Hex),
        "pub" => Syntax::Plain(Scheme::Pub),
        "cran" => Syntax::Plain(Scheme::Cran),
        "hackage" => Syntax::Plain(Scheme::Hackage),
        "alpm" | "arch" => Syntax::Plain(Scheme::Alpm),
        "generic" | "intdot" | "all" => Syntax::Plain(Scheme::Generic),
        _ => return Err("its scheme is unknown"),
    })
}

/// Percent decoding of a version, which the specification asks for where it has one of its own signs.
fn decode(text: &str) -> Result<String, Why> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.trim().as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .and_then(|two| u8::from_str_radix(two, 16).ok())
            .ok_or("a percent sign is not followed by two digits")?;
        out.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(out).map_err(|_| "a version is not UTF-8")
}

/// From sorted constraints to sets, after the specification's rule for "is this version in the range": equal versions
/// stand for themselves, a lower bound and the upper bound that follows it enclose a stretch, excluded versions are
/// outside everywhere.
fn sets(sorted: &[Constraint]) -> Vec<Vec<Constraint>> {
    let of = |comparator| sorted.iter().filter(move |c| c.comparator == comparator).cloned();
    let excluded: Vec<Constraint> = of(Comparator::NotEqual).collect();
    let mut found: Vec<Vec<Constraint>> = of(Comparator::Equal).map(|equal| vec![equal]).collect();
    let bounds: Vec<&Constraint> = sorted.iter().filter(|c| is_lower(c) || is_upper(c)).collect();
    let mut open: Option<&Constraint> = None;
    for bound in bounds.iter().copied() {
        match (is_lower(bound), open) {
            (true, None) => open = Some(bound),
            (true, Some(_)) => {}
            (false, lower) => {
                found.push(lower.into_iter().chain([bound]).chain(&excluded).cloned().collect());
                open = None;
            }
        }
    }
    if let Some(lower) = open {
        found.push([lower].into_iter().chain(&excluded).cloned().collect());
    }
    if bounds.is_empty() && !excluded.is_empty() {
        found.push(excluded);
    }
    found
}

const fn is_lower(constraint: &Constraint) -> bool {
    matches!(constraint.comparator, Comparator::Greater | Comparator::GreaterOrEqual)
}

const fn is_upper(constraint: &Constraint) -> bool {
    matches!(constraint.comparator, Comparator::Less | Comparator::LessOrEqual)
}

/// Writes every constraint, sorted by version. VERS knows no rule about pre-releases, so the lowest pre-release that npm
/// and Conan put at the end of a bound is left out where it stands for that rule.
pub(super) fn write(f: &mut fmt::Formatter<'_>, syntax: Syntax, sets: &[Vec<Constraint>]) -> fmt::Result {
    write!(f, "vers:{}/", syntax.vers_name())?;
    let mut all: Vec<Constraint> = sets.iter().flatten().cloned().collect();
    for constraint in &mut all {
        let suffix = match syntax {
            Syntax::Npm | Syntax::NpmWithPreReleases => "-0",
            Syntax::Conan if is_lower(constraint) => "-",
            _ => continue,
        };
        if let Some(plain) = constraint.version.strip_suffix(suffix) {
            constraint.version = plain.to_owned();
        }
    }
    if all.is_empty() {
        return f.write_str(if syntax == Syntax::Conan { "" } else { "*" });
    }
    let scheme = syntax.scheme();
    all.sort_by(|a, b| scheme.order(&a.version, &b.version).then(is_lower(a).cmp(&is_lower(b))));
    for (at, Constraint { comparator, version }) in all.iter().enumerate() {
        let separator = if at == 0 { "" } else { "|" };
        write!(f, "{separator}{}{version}", comparator.as_str())?;
    }
    Ok(())
}
