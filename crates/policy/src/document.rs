//! Policy documents: the TOML that people write, the defaults that ship, and the rules that both must keep.
//!
//! Invariant: a document that [`check_policies`] finds nothing in never surprises `judge` (every glob compiles, every id
//! is unique, every list that a kind does not know is empty).

use crate::Error;
use crate::glob;
use model::policy::{Action, Conditions, Policy, PolicyKind, PolicySet};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// Policies at most in one document.
const POLICIES_MAX: usize = 1000;
/// Globs, digests or layers at most in one list.
const LIST_MAX: usize = 10_000;
/// The longest grace period in days: ten years.
const GRACE_DAYS_MAX: u32 = 3650;

/// Id of the trusted-images policy of the default set. It ships switched off, because on a first start nothing is
/// listed and it would flag every image: list what is trusted, then enable it.
pub const TRUSTED_IMAGES_POLICY: &str = "trusted-images";

const DEFAULT: &str = include_str!("../../../rules/policies/default.toml");

/// What breaks a rule in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// Position of the policy in the document, from 0.
    pub index: usize,
    /// Its id.
    pub policy: String,
    /// The key, with dots: `scope.tags`.
    pub key: String,
    /// What is wrong, for people.
    pub what: String,
}

impl std::fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy {} ({:?}), {}: {}", self.index + 1, self.policy, self.key, self.what)
    }
}

/// The policies in force before anybody wrote any: `rules/policies/default.toml`.
pub fn default_policies() -> PolicySet {
    parse_policies(DEFAULT).expect("the default policies are checked by a test")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    policies: Vec<Spanned<Policy>>,
}

/// Reads a policy document.
///
/// # Errors
/// When it is not TOML of that form, or [`check_policies`] finds a problem: the text names line and key.
pub fn parse_policies(toml: &str) -> Result<PolicySet, Error> {
    let document: Document = toml::from_str(toml).map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| format!("line {}: ", line_of(toml, span.start)));
        let key = error.span().and_then(|span| key_at(toml, span.start)).unwrap_or_default();
        Error::malformed(format!("{place}{key}{}", error.message()))
    })?;
    let starts: Vec<usize> = document.policies.iter().map(|p| p.span().start).collect();
    let policies = document.policies.into_iter().map(Spanned::into_inner).collect();
    let set = PolicySet { revision: document.revision, policies };
    match check_policies(&set).into_iter().next() {
        None => Ok(set),
        Some(problem) => {
            let start = starts.get(problem.index).copied().unwrap_or_default();
            let line = line_of_key(toml, start, &problem.key);
            Err(Error::malformed(format!("line {line}: {problem}")))
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count()
}

/// `key: ` when the offset stands on a line `key = …` and behind the key: then the message does not say which.
fn key_at(text: &str, offset: usize) -> Option<String> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let before = text.get(start..offset)?;
    let (key, _) = before.split_once('=')?;
    Some(format!("{}: ", key.trim()))
}

/// The line of `a.b` in the policy that starts at `start`: the first line that begins with `b`, else the start.
fn line_of_key(text: &str, start: usize, key: &str) -> usize {
    let name = key.rsplit('.').next().unwrap_or(key);
    let body = text.get(start..).unwrap_or_default();
    let lines = body.lines().enumerate().take_while(|(at, line)| *at == 0 || line.trim() != "[[policies]]");
    let is_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let found = lines.into_iter().find(|(_, line)| is_key(line)).map_or(0, |(at, _)| at);
    line_of(text, start) + found
}

/// What breaks a rule, by policy and key. Empty: the document may be stored.
pub fn check_policies(set: &PolicySet) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    for (index, policy) in set.policies.iter().enumerate() {
        let mut check = Check { index, policy, problems: &mut problems };
        if index >= POLICIES_MAX {
            check.problem("id", format!("a document has at most {POLICIES_MAX} policies"));
            break;
        }
        if !ids.insert(policy.id.as_str()) {
            check.problem("id", "another policy has this id".to_owned());
        }
        check.run();
    }
    problems
}

struct Check<'a> {
    index: usize,
    policy: &'a Policy,
    problems: &'a mut Vec<PolicyProblem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, what: String) {
        let (index, policy) = (self.index, self.policy.id.clone());
        self.problems.push(PolicyProblem { index, policy, key: key.to_owned(), what });
    }

    fn run(&mut self) {
        let policy = self.policy;
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if policy.id.is_empty() || policy.id.len() > 64 || !policy.id.bytes().all(word) {
            self.problem("id", "an id has 1 to 64 lower-case letters, digits and dashes".to_owned());
        }
        if policy.name.trim().is_empty() {
            self.problem("name", "the name is empty".to_owned());
        }
        if policy.grace_days.is_some_and(|days| days > GRACE_DAYS_MAX) {
            self.problem("grace_days", format!("a grace period has at most {GRACE_DAYS_MAX} days"));
        }
        if policy.grace_days.is_some() && policy.kind != PolicyKind::Vulnerabilities {
            self.problem("grace_days", format!("{} have no date that a grace period could count from", policy.kind));
        }
        self.globs();
        self.numbers();
        self.kind();
    }

    fn globs(&mut self) {
        let policy = self.policy;
        let (scope, conditions) = (&policy.scope, &policy.conditions);
        let lists = [
            ("scope.registries", &scope.registries),
            ("scope.repositories", &scope.repositories),
            ("scope.tags", &scope.tags),
            ("conditions.packages", &conditions.packages),
            ("conditions.vulnerabilities", &conditions.vulnerabilities),
            ("conditions.paths", &conditions.paths),
            ("conditions.rules", &conditions.rules),
        ];
        for (key, list) in lists {
            self.list(key, list);
        }
    }

    fn list(&mut self, key: &str, list: &[String]) {
        if list.len() > LIST_MAX {
            self.problem(key, format!("a list has at most {LIST_MAX} entries"));
            return;
        }
        for fault in list.iter().filter_map(|pattern| glob::fault(pattern)) {
            self.problem(key, fault);
        }
    }

    fn numbers(&mut self) {
        let conditions = &self.policy.conditions;
        let (cvss, epss) = (conditions.cvss_at_least, conditions.epss_at_least);
        if cvss.is_some_and(|score| !(0.0..=10.0).contains(&score)) {
            self.problem("conditions.cvss_at_least", "a CVSS score lies between 0 and 10".to_owned());
        }
        if epss.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            self.problem("conditions.epss_at_least", "an EPSS score lies between 0 and 1".to_owned());
        }
    }

    /// Conditions that no finding of the kind can have would make a policy that never fits.
    fn kind(&mut self) {
        let policy = self.policy;
        let conditions = &policy.conditions;
        let kind = policy.kind;
        let vulnerability_only = [
            ("conditions.cvss_at_least", conditions.cvss_at_least.is_some()),
            ("conditions.epss_at_least", conditions.epss_at_least.is_some()),
            ("conditions.kev", conditions.kev.is_some()),
            ("conditions.fix_available", conditions.fix_available.is_some()),
        ];
        for (key, given) in vulnerability_only {
            if given && !matches!(kind, PolicyKind::Vulnerabilities | PolicyKind::Malware) {
                self.problem(key, format!("{kind} have no such condition"));
            }
        }
        if kind == PolicyKind::TrustedImages {
            self.trust(conditions);
        } else if policy.trusted.is_some() {
            self.problem("trusted", "only policies of kind trusted-images have it".to_owned());
        }
    }

    fn trust(&mut self, conditions: &Conditions) {
        let policy = self.policy;
        if *conditions != Conditions::default() {
            self.problem("conditions", "trusted-images policies have a scope and no conditions".to_owned());
        }
        let Some(trusted) = &policy.trusted else {
            if policy.action != Action::Ignore {
                self.problem("trusted", "it says nothing about what is trusted".to_owned());
            }
            return;
        };
        self.list("trusted.repositories", &trusted.repositories);
        if trusted.digests.len() > LIST_MAX {
            self.problem("trusted.digests", format!("a list has at most {LIST_MAX} entries"));
        }
        if trusted.base_layers.len() > LIST_MAX || trusted.base_layers.iter().any(Vec::is_empty) {
            self.problem(
                "trusted.base_layers",
                "a base has at least one layer; an empty one would fit every image".to_owned(),
            );
        }
    }
}
