//! Does a policy, or an exception, speak about a finding?

use super::RepositoryFacts;
use crate::glob::Globs;
use model::exception::Exception;
use model::policy::{Policy, PolicyKind};
use model::{Finding, FindingKind, Timestamp};

/// A policy with its globs compiled.
pub(super) struct CompiledPolicy<'a> {
    /// As written.
    pub(super) policy: &'a Policy,
    registries: Globs,
    repositories: Globs,
    tags: Globs,
    packages: Globs,
    vulnerabilities: Globs,
    paths: Globs,
    rules: Globs,
}

impl<'a> CompiledPolicy<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        let (scope, conditions) = (&policy.scope, &policy.conditions);
        Self {
            policy,
            registries: Globs::new(&scope.registries),
            repositories: Globs::new(&scope.repositories),
            tags: Globs::new(&scope.tags),
            packages: Globs::new(&conditions.packages),
            vulnerabilities: Globs::new(&conditions.vulnerabilities),
            paths: Globs::new(&conditions.paths),
            rules: Globs::new(&conditions.rules),
        }
    }

    /// Does it speak about this repository at all?
    pub(super) fn covers(&self, registry: &str, repository: &str) -> bool {
        self.registries.allows([registry]) && self.repositories.allows([repository])
    }

    /// Does it speak about images under this tag? An image without a tag is only covered by policies that name none.
    pub(super) fn covers_tag(&self, tag: Option<&str>) -> bool {
        self.tags.allows(tag)
    }

    pub(super) fn is_about_trust(&self) -> bool {
        self.policy.kind == PolicyKind::TrustedImages
    }

    /// Is the finding of its kind, and does every condition hold?
    pub(super) fn fits(&self, finding: &Finding) -> bool {
        kind_of(finding.kind) == self.policy.kind && self.numbers_fit(finding) && self.names_fit(finding)
    }

    /// A severity that nobody rated could be anything and counts as met; a CVSS or EPSS score that nobody gave does
    /// not, because a policy that names a score asks for one.
    fn numbers_fit(&self, finding: &Finding) -> bool {
        let conditions = &self.policy.conditions;
        let detail = finding.vulnerability.as_ref();
        let cvss = detail.and_then(|d| d.cvss.iter().map(|c| c.score).reduce(f64::max));
        let epss = detail.and_then(|d| d.epss);
        let exploited = detail.is_some_and(|d| d.kev.is_some());
        conditions.severity_at_least.is_none_or(|least| finding.severity.meets(least))
            && conditions.cvss_at_least.is_none_or(|least| cvss.is_some_and(|score| score >= least))
            && conditions.epss_at_least.is_none_or(|least| epss.is_some_and(|score| score >= least))
            && conditions.kev.is_none_or(|wanted| exploited == wanted)
            && conditions.fix_available.is_none_or(|wanted| finding.fixed_versions.is_empty() != wanted)
    }

    fn names_fit(&self, finding: &Finding) -> bool {
        self.packages.allows(package_names(finding))
            && self.vulnerabilities.allows(ids(finding))
            && self.rules.allows([finding.id.as_str()])
            && (self.paths.is_empty()
                || finding.evidence.iter().filter_map(|e| e.path.as_ref()).any(|p| self.paths.matches(&p.to_string())))
    }
}

/// Which kind of policy decides about a kind of finding.
pub(super) const fn kind_of(kind: FindingKind) -> PolicyKind {
    match kind {
        FindingKind::Vulnerability | FindingKind::EndOfLife => PolicyKind::Vulnerabilities,
        FindingKind::Secret => PolicyKind::Secrets,
        FindingKind::Malware => PolicyKind::Malware,
        FindingKind::Misconfiguration | FindingKind::Compliance => PolicyKind::Misconfigurations,
        FindingKind::UntrustedImage => PolicyKind::TrustedImages,
    }
}

/// The binary package's name, and the source's.
fn package_names(finding: &Finding) -> impl Iterator<Item = &str> {
    finding.package.iter().flat_map(|p| [Some(p.name.as_str()), p.source.as_deref()]).flatten()
}

fn ids(finding: &Finding) -> impl Iterator<Item = &str> {
    std::iter::once(finding.id.as_str()).chain(finding.aliases.iter().map(String::as_str))
}

/// The end of the grace period of a finding; `None` without one: no days, or no date to count from.
pub(super) fn grace_end(policy: &Policy, finding: &Finding) -> Option<Timestamp> {
    let days = policy.grace_days.filter(|days| *days > 0)?;
    let detail = finding.vulnerability.as_ref()?;
    let start = detail.fixed_at.or(detail.published)?;
    start.checked_add(jiff::SignedDuration::from_hours(i64::from(days) * 24)).ok()
}

/// An exception in force for the repository, with its globs compiled.
pub(super) struct CompiledException<'a> {
    exception: &'a Exception,
    packages: Globs,
}

/// The exceptions that speak about this repository and have not ended.
pub(super) fn exceptions<'a>(facts: &RepositoryFacts<'a>) -> Vec<CompiledException<'a>> {
    let place = format!("{}/{}", facts.registry, facts.repository);
    facts
        .exceptions
        .iter()
        .filter(|e| e.expires_at.is_none_or(|end| end > facts.now))
        .filter(|e| Globs::new(&[e.repository.as_str()]).matches(&place))
        .map(|exception| CompiledException { exception, packages: Globs::new(exception.package.as_slice()) })
        .collect()
}

/// Does an exception cover the finding? Then `Some(its end)`: the latest of all that do, `Some(None)` when one of them
/// never ends.
pub(super) fn excepted(exceptions: &[CompiledException<'_>], finding: &Finding) -> Option<Option<Timestamp>> {
    let covers = |e: &&CompiledException<'_>| {
        ids(finding).any(|id| id == e.exception.rule) && e.packages.allows(package_names(finding))
    };
    let ends: Vec<Option<Timestamp>> = exceptions.iter().filter(covers).map(|e| e.exception.expires_at).collect();
    if ends.is_empty() {
        return None;
    }
    Some(if ends.contains(&None) { None } else { ends.into_iter().flatten().max() })
}
