//! The steps that led to a verdict, for people.

use crate::record::{Level, Statement};
use model::advisory::Outlook;
use model::purl::Purl;
use model::{EcosystemRelease, Match, PackageFormat, PackageKey, Verdict};
use std::fmt;

/// Why a package has, or has not, a vulnerability. Its `Display` is the text of `pratique explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The package.
    pub purl: Purl,
    /// What was asked for.
    pub vulnerability: String,
    /// Where its advisories are kept; `None` when its distribution is unknown or not supported.
    pub release: Option<EcosystemRelease>,
    /// Some feed has records for that release.
    pub is_covered: bool,
    /// What was looked up.
    pub lookups: Vec<Lookup>,
    /// The comparison of each advisory about the vulnerability.
    pub steps: Vec<String>,
    /// Advisories about the vulnerability that are kept under the package's name and are about something else.
    pub passed_over: Vec<String>,
    /// The merged verdict; `None` when no advisory of that id mentions the package.
    pub found: Option<Match>,
}

/// One look into one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The feed.
    pub feed: String,
    /// The name that was looked up: the source package's for most distributions.
    pub name: String,
    /// The version that was compared.
    pub version: String,
    /// How many statements about that name the feed has.
    pub records: usize,
}

impl Explanation {
    pub(crate) fn unsupported(key: &PackageKey, vulnerability: &str) -> Self {
        Self {
            purl: key.purl(),
            vulnerability: vulnerability.to_owned(),
            release: None,
            is_covered: false,
            lookups: Vec::new(),
            steps: Vec::new(),
            passed_over: Vec::new(),
            found: None,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "package        {}", self.purl)?;
        writeln!(f, "vulnerability  {}", self.vulnerability)?;
        let Some(release) = &self.release else {
            let kind = self.purl.as_str().trim_start_matches("pkg:").split('/').next().unwrap_or_default();
            if PackageFormat::from_purl_type(kind).is_some_and(|format| !format.is_os()) {
                return writeln!(
                    f,
                    "verdict        not checked: no feed has advisories for packages of that kind and name"
                );
            }
            return writeln!(
                f,
                "verdict        not checked: the package's distribution is unknown or not supported; \
                 name it, as in ?distro=alpine-3.10"
            );
        };
        writeln!(f, "advisories of  {}", release.plain())?;
        if !self.is_covered {
            return writeln!(
                f,
                "verdict        not checked: no advisories for {} are loaded; import a feed that has them",
                release.plain()
            );
        }
        for lookup in &self.lookups {
            let Lookup { feed, name, version, records } = lookup;
            writeln!(f, "looked up      {name} {version} in {feed}: {}", counted(*records))?;
        }
        for step in &self.steps {
            writeln!(f, "compared       {step}")?;
        }
        for advisory in &self.passed_over {
            writeln!(f, "passed over    {advisory}")?;
        }
        match &self.found {
            Some(found) => write_match(f, found),
            None => writeln!(
                f,
                "verdict        not listed: no loaded advisory of that id mentions the package; \
                 that is no statement that it is not affected"
            ),
        }
    }
}

/// Why a statement under a package's name does not speak of it.
pub(crate) fn silence(statement: &Statement<&str>, key: &PackageKey) -> String {
    let of_package =
        key.module.as_ref().map_or_else(|| "of no module".to_owned(), |module| format!("of module {module}"));
    match (&statement.module, &statement.stream, statement.level) {
        (Some(module), _, _) => format!("it is about module {module}, and the package is {of_package}"),
        (None, Some(stream), _) => format!("it only says which builds of {} have the fix", stream.name),
        (None, None, Level::Source) => "it is about the source package of that name".to_owned(),
        (None, None, Level::Binary) => "it is about the binary package of that name".to_owned(),
        (None, None, Level::Either) => format!("it is about packages of another kind, and this one is {of_package}"),
    }
}

fn counted(records: usize) -> String {
    match records {
        0 => "no records".to_owned(),
        1 => "1 record".to_owned(),
        n => format!("{n} records"),
    }
}

fn write_match(f: &mut fmt::Formatter<'_>, found: &Match) -> fmt::Result {
    match &found.verdict {
        Verdict::Affected { fixed, outlook } if fixed.is_empty() => {
            let outlook = match outlook {
                Outlook::Open => "without a fix",
                Outlook::WillNotFix => "and it will not be fixed for this release",
                Outlook::Deferred => "and the fix is put off",
            };
            writeln!(f, "verdict        affected, {outlook}")?;
        }
        Verdict::Affected { fixed, outlook: _ } => {
            writeln!(f, "verdict        affected; fixed in {}", fixed.join(", "))?;
        }
        Verdict::NotAffected { why } => {
            let why = match why {
                model::advisory::NotAffected::Fixed => "the installed version has the fix",
                model::advisory::NotAffected::OutOfRange => "the installed version was never in an affected range",
                model::advisory::NotAffected::Declared => "the advisory says that this package is not affected",
                model::advisory::NotAffected::Withdrawn => "the advisory was withdrawn",
            };
            writeln!(f, "verdict        not affected: {why}")?;
        }
        Verdict::Undecided { why } => writeln!(f, "verdict        undecided: {why}")?,
    }
    if !found.aliases.is_empty() {
        writeln!(f, "also known as  {}", found.aliases.join(", "))?;
    }
    writeln!(f, "severity       {} (by {})", found.severity, found.severity_source)?;
    if let Some(kev) = &found.kev {
        writeln!(f, "exploited      known since {}", kev.added.strftime("%Y-%m-%d"))?;
    }
    writeln!(f, "because        {}", found.because)
}
