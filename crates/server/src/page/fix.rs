//! What to do first: open issues grouped by the one act that resolves them, most risk first.
//!
//! Pure. An upgrade of one package resolves many vulnerabilities in many repositories; a rule is fixed where it fires.

use super::show::severity_rank;
use intel::version::Scheme;
use model::{EcosystemRelease, FindingKind, Issue, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// One act.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fix {
    /// `Upgrade openssl to 1.1.1k-r0`.
    pub(crate) title: String,
    /// Where it is, and what it is now.
    pub(crate) detail: String,
    /// Issues that it resolves, worst first.
    pub(crate) severities: [u64; 6],
    /// How many issues.
    pub(crate) issues: u64,
    /// Is one of them exploited?
    pub(crate) exploited: bool,
    /// The worst of them.
    pub(crate) worst: i64,
    weight: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Upgrade { release: Option<EcosystemRelease>, name: String },
    Remove { kind: FindingKind, rule: String },
}

#[derive(Default)]
struct Group<'a> {
    issues: Vec<&'a Issue>,
}

/// Groups issues, most risk first.
pub(crate) fn fixes(issues: &[Issue]) -> Vec<Fix> {
    let mut groups: BTreeMap<Act, Group<'_>> = BTreeMap::new();
    for issue in issues {
        groups.entry(act(issue)).or_default().issues.push(issue);
    }
    let mut out: Vec<Fix> = groups.iter().map(|(act, group)| fix(act, group)).collect();
    out.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.title.cmp(&b.title)));
    out
}

fn act(issue: &Issue) -> Act {
    let finding = &issue.desired.finding;
    match (&finding.package, issue.desired.kind) {
        (Some(package), FindingKind::Vulnerability | FindingKind::Malware) => {
            let name = package.source.clone().unwrap_or_else(|| package.name.clone());
            Act::Upgrade { release: package.ecosystem.clone(), name }
        }
        (Some(_) | None, kind) => Act::Remove { kind, rule: finding.id.clone() },
    }
}

fn fix(act: &Act, group: &Group<'_>) -> Fix {
    let mut severities = [0; 6];
    let mut weight = 0;
    let mut exploited = false;
    for issue in &group.issues {
        severities[severity_rank(issue.desired.severity)] += 1;
        let malware = issue.desired.kind == FindingKind::Malware;
        let kev = issue.desired.finding.vulnerability.as_ref().is_some_and(|detail| detail.kev.is_some());
        exploited |= kev;
        weight += risk(issue.desired.severity) * if kev || malware { 3 } else { 1 };
    }
    let worst = group.issues.iter().max_by_key(|issue| (issue.desired.severity, std::cmp::Reverse(issue.id)));
    Fix {
        title: title(act, group),
        detail: detail(act, group),
        severities,
        issues: group.issues.len() as u64,
        exploited,
        worst: worst.map_or(0, |issue| issue.id.get()),
        weight,
    }
}

/// A heap of small issues does not outweigh a critical one. What nobody rated could be anything, and mostly is little.
const fn risk(severity: Severity) -> u64 {
    match severity {
        Severity::Critical => 1000,
        Severity::High => 250,
        Severity::Medium => 40,
        Severity::Low => 8,
        Severity::Unknown => 3,
        Severity::Negligible => 1,
    }
}

fn title(act: &Act, group: &Group<'_>) -> String {
    match act {
        Act::Upgrade { release, name } => match target(release.as_ref(), group) {
            Some(version) => format!("Upgrade {name} to {version}"),
            None if group.issues.iter().any(|issue| issue.desired.kind == FindingKind::Malware) => {
                format!("Remove the malicious package {name}")
            }
            None => format!("Replace {name}: no fixed version is known"),
        },
        Act::Remove { kind: FindingKind::UntrustedImage, .. } if group.issues.len() > 1 => {
            "Replace images that are not trusted, or trust them".to_owned()
        }
        Act::Remove { .. } => {
            let finding = group.issues.first().map(|issue| &issue.desired.finding);
            finding.map(|finding| finding.title.clone()).unwrap_or_default()
        }
    }
}

/// The version that resolves every issue of the group that has a fix at all.
fn target(release: Option<&EcosystemRelease>, group: &Group<'_>) -> Option<String> {
    let mut versions: Vec<&String> =
        group.issues.iter().filter_map(|issue| issue.desired.finding.fixed_versions.first()).collect();
    match release {
        Some(release) => {
            let package = group.issues.iter().find_map(|issue| issue.desired.finding.package.as_ref());
            let name = package.map_or("", |package| package.name.as_str());
            let scheme = Scheme::of_package(release.ecosystem, name);
            versions.sort_by(|a, b| scheme.order(a, b));
        }
        None => versions.sort(),
    }
    versions.last().map(|version| (*version).clone())
}

fn detail(act: &Act, group: &Group<'_>) -> String {
    let places: BTreeSet<String> = group
        .issues
        .iter()
        .map(|issue| format!("{}/{}", issue.desired.key.registry, issue.desired.key.repository))
        .collect();
    let place = match (places.first(), places.len()) {
        (Some(place), 1) => place.clone(),
        (Some(place), more) => format!("{place} and {} more", more - 1),
        (None, _) => String::new(),
    };
    let what = match act {
        Act::Upgrade { release, .. } => {
            let installed: BTreeSet<&str> = group
                .issues
                .iter()
                .filter_map(|issue| issue.desired.finding.package.as_ref())
                .map(|package| package.version.as_str())
                .collect();
            let now = match (installed.first(), installed.len()) {
                (Some(version), 1) => format!("installed {version}"),
                (_, several) => format!("{several} versions installed"),
            };
            release.as_ref().map_or_else(|| now.clone(), |release| format!("{} · {now}", release.plain()))
        }
        Act::Remove { kind, .. } => super::show::kind_label(*kind).to_owned(),
    };
    format!("{what} · {place}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::finding::FindingPackage;
    use model::issue::{DesiredIssue, IssueState};
    use model::{Ecosystem, Finding, FindingStatus, Id, IssueKey, PackageFormat, PackageKey};

    fn issue(id: i64, package: Option<(&str, &str)>, severity: Severity, rule: &str) -> Issue {
        let finding = Finding {
            kind: if package.is_some() { FindingKind::Vulnerability } else { FindingKind::Secret },
            id: rule.to_owned(),
            aliases: vec![],
            title: format!("title of {rule}"),
            severity,
            severity_source: "none".to_owned(),
            status: FindingStatus::Affected,
            package: package.map(|(name, _)| FindingPackage {
                purl: PackageKey::new(PackageFormat::Apk, name, "1.0-r0").purl(),
                name: name.to_owned(),
                version: "1.0-r0".to_owned(),
                ecosystem: Some(EcosystemRelease { ecosystem: Ecosystem::Alpine, release: Some("v3.10".to_owned()) }),
                source: Some("openssl".to_owned()),
            }),
            fixed_versions: package.map(|(_, fixed)| fixed.to_owned()).into_iter().collect(),
            evidence: vec![],
            because: String::new(),
            remediation: String::new(),
            vulnerability: None,
        };
        let key = IssueKey {
            policy: "p".to_owned(),
            registry: "r".to_owned(),
            repository: format!("app{}", id % 2),
            subject: String::new(),
            rule: rule.to_owned(),
        };
        let kind = finding.kind;
        let desired = DesiredIssue { key, kind, severity, finding, tags: vec![], digests: vec![], fails: false };
        let opened_at = "2026-01-01T00:00:00Z".parse().unwrap();
        Issue {
            id: Id::new(id),
            state: IssueState::Open,
            desired,
            opened_at,
            due_at: None,
            resolved_at: None,
            resolution: None,
            assignee: None,
        }
    }

    #[test]
    fn one_upgrade_resolves_many_issues() {
        let issues = [
            issue(1, Some(("libssl1.1", "1.9-r0")), Severity::High, "CVE-1"),
            issue(2, Some(("libcrypto1.1", "1.10-r0")), Severity::High, "CVE-2"),
            issue(3, None, Severity::Medium, "aws-key"),
        ];
        let found = fixes(&issues);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].title, "Upgrade openssl to 1.10-r0", "1.10 is newer than 1.9");
        assert_eq!(found[0].issues, 2);
        assert!(found[0].detail.contains("alpine 3.10"), "{}", found[0].detail);
        assert!(found[0].detail.contains("and 1 more"), "{}", found[0].detail);
        assert_eq!(found[1].title, "title of aws-key");
    }
}
