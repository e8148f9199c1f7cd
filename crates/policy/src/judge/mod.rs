//! What the policies want raised on one repository.
//!
//! Not here: what becomes of stored issues (`transition`). Invariant: the answer does not depend on the order of
//! images, findings, tags or exceptions; only the order of policies means something.

mod fit;
mod trust;

use fit::CompiledPolicy;
use model::exception::Exception;
use model::issue::DesiredIssue;
use model::policy::{Action, PolicySet};
use model::{Digest, Finding, FindingKind, IssueKey, Timestamp};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use trust::UNTRUSTED_RULE;

use crate::tuning::{Dismissal, Dismissed};

/// A repository as found in one registry, with the judgement of its images.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryFacts<'a> {
    /// Name of the registry instance.
    pub registry: &'a str,
    /// The registry's host, `host[:port]`, with or without a scheme.
    pub host: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// The live, wanted images whose bytes were read.
    pub images: &'a [JudgedImage],
    /// What is tolerated.
    pub policies: &'a PolicySet,
    /// Accepted risks.
    pub exceptions: &'a [Exception],
    /// The moment.
    pub now: Timestamp,
}

/// A core image with its findings, as one repository shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedImage {
    /// The core image.
    pub digest: Digest,
    /// The tags that show it.
    pub tags: Vec<String>,
    /// Its layers' verified DiffIDs, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What [`crate::findings`] says.
    pub findings: Arc<[Finding]>,
    /// What [`crate::assess`] dismissed.
    pub dismissed: Arc<[Dismissed]>,
    /// What [`crate::findings_boundary`] says.
    pub next_boundary: Option<Timestamp>,
}

/// What the policies want.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Issues that should be open, by key.
    pub desired: Vec<DesiredIssue>,
    /// Issues that would be open but for an exception.
    pub excepted: BTreeSet<IssueKey>,
    /// Subject and rule of every open finding, whether a policy fits or not.
    pub shown: BTreeSet<(String, String)>,
    /// Subject and rule of what was dismissed, and why.
    pub dismissed: BTreeMap<(String, String), Dismissal>,
    /// The images that were judged.
    pub images: BTreeSet<Digest>,
    /// Untrusted-image findings, by image: they depend on where an image is found, so `findings` cannot know them.
    pub untrusted: BTreeMap<Digest, Vec<Finding>>,
    /// When time alone may change the judgement: a grace period, an exception or a support period ends.
    pub next_boundary: Option<Timestamp>,
}

/// Applies the policies to the findings of a repository's images.
pub fn judge(facts: &RepositoryFacts<'_>) -> Judged {
    let policies: Vec<CompiledPolicy<'_>> = facts
        .policies
        .policies
        .iter()
        .filter(|p| p.enabled)
        .map(CompiledPolicy::new)
        .filter(|p| p.covers(facts.registry, facts.repository))
        .collect();
    let exceptions = fit::exceptions(facts);
    let mut bench = Bench { facts, policies, exceptions, out: Judged::default(), desired: BTreeMap::new() };
    let mut images: Vec<&JudgedImage> = facts.images.iter().collect();
    images.sort_by_key(|image| (image.digest, &image.tags));
    for image in images {
        bench.image(image);
    }
    bench.finish()
}

/// One judgement in the making.
struct Bench<'a> {
    facts: &'a RepositoryFacts<'a>,
    policies: Vec<CompiledPolicy<'a>>,
    exceptions: Vec<fit::CompiledException<'a>>,
    out: Judged,
    desired: BTreeMap<IssueKey, DesiredIssue>,
}

impl<'a> Bench<'a> {
    fn image(&mut self, image: &JudgedImage) {
        self.out.images.insert(image.digest);
        self.boundary(image.next_boundary);
        let mut findings: Vec<&Finding> = image.findings.iter().filter(|f| f.status.is_open()).collect();
        findings.sort_by(|a, b| crate::finding::order(a).cmp(&crate::finding::order(b)));
        for finding in &findings {
            self.out.shown.insert((subject(finding), finding.id.clone()));
        }
        for dismissed in image.dismissed.iter() {
            let what = (subject(&dismissed.finding), dismissed.finding.id.clone());
            self.out.dismissed.insert(what, dismissed.by);
        }
        for (in_scope, tags) in self.tag_groups(image) {
            for finding in &findings {
                self.finding(image, finding, &in_scope, &tags);
            }
            self.trust(image, &in_scope, &tags);
        }
    }

    /// Tags that the same policies speak about are judged together.
    fn tag_groups(&self, image: &JudgedImage) -> BTreeMap<Vec<usize>, BTreeSet<String>> {
        let mut groups: BTreeMap<Vec<usize>, BTreeSet<String>> = BTreeMap::new();
        let fitting = |tag: Option<&str>| -> Vec<usize> {
            self.policies.iter().enumerate().filter(|(_, p)| p.covers_tag(tag)).map(|(at, _)| at).collect()
        };
        for tag in &image.tags {
            groups.entry(fitting(Some(tag))).or_default().insert(tag.clone());
        }
        if image.tags.is_empty() {
            groups.entry(fitting(None)).or_default();
        }
        groups
    }

    fn finding(&mut self, image: &JudgedImage, finding: &Finding, in_scope: &[usize], tags: &BTreeSet<String>) {
        let decider = in_scope.iter().copied().find(|&at| self.policies[at].fits(finding));
        if let Some(at) = decider {
            self.raise(at, image, finding, tags);
        }
    }

    fn trust(&mut self, image: &JudgedImage, in_scope: &[usize], tags: &BTreeSet<String>) {
        let decider = in_scope.iter().copied().find(|&at| self.policies[at].is_about_trust());
        let Some(at) = decider else { return };
        let policy = self.policies[at].policy;
        if policy.action == Action::Ignore || trust::trusts(policy, self.facts, image) {
            return;
        }
        let finding = trust::untrusted(policy, self.facts, image, tags);
        self.out.shown.insert((subject(&finding), finding.id.clone()));
        self.raise(at, image, &finding, tags);
        let known = self.out.untrusted.entry(image.digest).or_default();
        if !known.contains(&finding) {
            known.push(finding);
        }
    }

    fn raise(&mut self, at: usize, image: &JudgedImage, finding: &Finding, tags: &BTreeSet<String>) {
        let policy = self.policies[at].policy;
        if policy.action == Action::Ignore {
            return;
        }
        if let Some(end) = fit::grace_end(policy, finding)
            && self.facts.now < end
        {
            self.boundary(Some(end));
            return;
        }
        let key = IssueKey {
            policy: policy.id.clone(),
            registry: self.facts.registry.to_owned(),
            repository: self.facts.repository.to_owned(),
            subject: subject(finding),
            rule: finding.id.clone(),
        };
        if let Some(ends) = fit::excepted(&self.exceptions, finding) {
            self.boundary(ends);
            self.out.excepted.insert(key);
            return;
        }
        let severity = policy.severity.unwrap_or(finding.severity);
        let fails = matches!(policy.action, Action::Fail | Action::Block);
        match self.desired.entry(key) {
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                entry.insert(DesiredIssue {
                    key,
                    kind: finding.kind,
                    severity,
                    finding: finding.clone(),
                    tags: tags.iter().cloned().collect(),
                    digests: vec![image.digest],
                    fails,
                });
            }
            Entry::Occupied(entry) => join(entry.into_mut(), image.digest, finding, tags, severity),
        }
    }

    fn boundary(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at.filter(|at| *at > self.facts.now) {
            self.out.next_boundary = Some(self.out.next_boundary.map_or(at, |known| known.min(at)));
        }
    }

    fn finish(mut self) -> Judged {
        for key in self.desired.keys() {
            self.out.excepted.remove(key);
        }
        self.out.desired = self.desired.into_values().collect();
        for findings in self.out.untrusted.values_mut() {
            findings.sort_by(|a, b| crate::finding::order(a).cmp(&crate::finding::order(b)));
        }
        self.out
    }
}

/// Adds another sighting to an issue: images come by digest, so the first one keeps its evidence.
fn join(
    issue: &mut DesiredIssue,
    digest: Digest,
    finding: &Finding,
    tags: &BTreeSet<String>,
    severity: model::Severity,
) {
    issue.severity = issue.severity.max(severity);
    if issue.digests.first() == Some(&digest) {
        issue.finding.evidence.extend(finding.evidence.iter().cloned());
        issue.finding.evidence.sort();
        issue.finding.evidence.dedup();
    }
    if !issue.digests.contains(&digest) {
        issue.digests.push(digest);
    }
    let mut all: BTreeSet<String> = std::mem::take(&mut issue.tags).into_iter().collect();
    all.extend(tags.iter().cloned());
    issue.tags = all.into_iter().collect();
}

/// What a finding speaks about, the same across rebuilds: `format/name` of a package, the path or configuration entry
/// of a secret or malware, nothing for what concerns the image as a whole.
pub(crate) fn subject(finding: &Finding) -> String {
    match finding.kind {
        FindingKind::Vulnerability => package_subject(finding).unwrap_or_default(),
        FindingKind::Malware => package_subject(finding).unwrap_or_else(|| place_subject(finding)),
        FindingKind::Secret => place_subject(finding),
        FindingKind::Misconfiguration
        | FindingKind::EndOfLife
        | FindingKind::UntrustedImage
        | FindingKind::Compliance => String::new(),
    }
}

fn package_subject(finding: &Finding) -> Option<String> {
    let package = finding.package.as_ref()?;
    let format = package.purl.as_str().strip_prefix("pkg:")?.split('/').next()?;
    Some(format!("{format}/{}", package.name))
}

fn place_subject(finding: &Finding) -> String {
    let Some(first) = finding.evidence.first() else { return String::new() };
    match (&first.path, &first.history) {
        (Some(path), _) => path.to_string(),
        (None, Some(entry)) => entry.chars().take(200).collect(),
        (None, None) => String::new(),
    }
}
