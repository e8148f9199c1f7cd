//! What becomes of stored issues when the policies have spoken.
//!
//! Not here: storing it. Invariant: applying the result and asking again gives only [`Transition::Keep`]; a decision
//! of a person is never undone; an issue is only called fixed when the images that showed it were looked at again.

use crate::{Dismissal, Judged};
use model::issue::{IssueState, Resolution, Transition};
use model::policy::PolicySet;
use model::{Issue, IssueKey};
use std::collections::{BTreeMap, BTreeSet};

/// What is needed to say why an issue is wanted no more.
#[derive(Debug, Clone, Copy)]
pub struct Gone<'a> {
    /// The policies that were applied.
    pub policies: &'a PolicySet,
    /// Does the repository show images whose bytes were not read, or could not be? Then an issue stays open until the
    /// images that showed it, or all images, are known not to.
    pub unread: bool,
}

/// What happens to the issues of one repository, by key.
pub fn transition(existing: &[Issue], judged: &Judged, gone: Gone<'_>) -> Vec<Transition> {
    let mut known: BTreeMap<&IssueKey, &Issue> = BTreeMap::new();
    for issue in existing {
        let slot = known.entry(&issue.desired.key).or_insert(issue);
        if (issue.state, issue.id) < (slot.state, slot.id) {
            *slot = issue;
        }
    }
    let wanted: BTreeMap<&IssueKey, _> = judged.desired.iter().map(|d| (&d.key, d)).collect();
    let keys: BTreeSet<&IssueKey> = known.keys().chain(wanted.keys()).copied().collect();
    let step = |key: &&IssueKey| match (known.get(*key), wanted.get(*key)) {
        (None, Some(desired)) => Some(Transition::Open(Box::new((*desired).clone()))),
        (Some(issue), Some(desired)) => again(issue, desired),
        (Some(issue), None) => ended(issue, judged, gone),
        (None, None) => None,
    };
    keys.iter().filter_map(step).collect()
}

/// A stored issue is wanted.
fn again(issue: &Issue, desired: &model::issue::DesiredIssue) -> Option<Transition> {
    match (issue.state, issue.resolution) {
        (IssueState::Open, _) => Some(Transition::Keep(issue.id, Box::new(desired.clone()))),
        (IssueState::Resolved, Some(resolution)) if resolution.is_by_person() => None,
        (IssueState::Resolved, _) => Some(Transition::Reopen(issue.id, Box::new(desired.clone()))),
    }
}

/// A stored issue is not wanted.
fn ended(issue: &Issue, judged: &Judged, gone: Gone<'_>) -> Option<Transition> {
    if issue.state == IssueState::Resolved {
        return None;
    }
    let key = &issue.desired.key;
    let in_force = gone.policies.policies.iter().any(|p| p.enabled && p.id == key.policy);
    let still_shown = judged.shown.contains(&(key.subject.clone(), key.rule.clone()));
    let dismissed = judged.dismissed.get(&(key.subject.clone(), key.rule.clone()));
    let looked_again = !gone.unread || issue.desired.digests.iter().all(|d| judged.images.contains(d));
    let resolution = if judged.excepted.contains(key) {
        Resolution::Excepted
    } else if !in_force {
        Resolution::PolicyChanged
    } else if judged.images.is_empty() && !gone.unread {
        Resolution::ImageGone
    } else if still_shown {
        Resolution::PolicyChanged
    } else if !looked_again {
        return None;
    } else {
        match dismissed {
            Some(Dismissal::Allowed) => Resolution::Excepted,
            Some(Dismissal::SwitchedOff | Dismissal::BelowConfidence | Dismissal::Harmless) => {
                Resolution::PolicyChanged
            }
            None => Resolution::Fixed,
        }
    };
    Some(Transition::Resolve(issue.id, resolution))
}
