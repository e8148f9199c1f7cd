//! Issues open, stay, are resolved and come back.

use crate::build::{digest, image, policies, time, vulnerability};
use model::issue::{DesiredIssue, IssueState, Resolution, Transition};
use model::policy::PolicySet;
use model::{Finding, Id, Issue, Severity};
use policy::{Gone, Judged, JudgedImage, RepositoryFacts, judge, transition};
use proptest::prelude::*;

const ALL: &str = "[[policies]]\nid='all'\nname='All'\nkind='vulnerabilities'\naction='issue'\n";

pub(crate) fn judged(images: &[JudgedImage], policies: &PolicySet) -> Judged {
    judge(&RepositoryFacts {
        registry: "r",
        host: "h",
        repository: "a",
        images,
        policies,
        exceptions: &[],
        now: time("2026-01-05T00:00:00Z"),
    })
}

fn cve(n: u8) -> Finding {
    vulnerability(&format!("CVE-{n}"), "x", Severity::High)
}

/// Stores what the transitions say.
fn apply(issues: &mut Vec<Issue>, transitions: &[Transition]) {
    let now = time("2026-01-05T00:00:00Z");
    for transition in transitions {
        match transition {
            Transition::Open(desired) => issues.push(open(i64::try_from(issues.len()).unwrap() + 1, desired)),
            Transition::Keep(id, desired) => find(issues, *id).desired = (**desired).clone(),
            Transition::Reopen(id, desired) => {
                let issue = find(issues, *id);
                issue.desired = (**desired).clone();
                (issue.state, issue.resolution, issue.resolved_at) = (IssueState::Open, None, None);
            }
            Transition::Resolve(id, resolution) => resolve(find(issues, *id), *resolution, now),
        }
    }
}

fn resolve(issue: &mut Issue, resolution: Resolution, now: model::Timestamp) {
    (issue.state, issue.resolution, issue.resolved_at) = (IssueState::Resolved, Some(resolution), Some(now));
}

fn find(issues: &mut [Issue], id: Id<model::id::kind::Issue>) -> &mut Issue {
    issues.iter_mut().find(|i| i.id == id).unwrap()
}

pub(crate) fn open(id: i64, desired: &DesiredIssue) -> Issue {
    Issue {
        id: Id::new(id),
        state: IssueState::Open,
        desired: desired.clone(),
        opened_at: time("2026-01-01T00:00:00Z"),
        due_at: None,
        resolved_at: None,
        resolution: None,
        assignee: None,
    }
}

fn shape(transitions: &[Transition]) -> Vec<String> {
    let line = |t: &Transition| match t {
        Transition::Open(d) => format!("open {}", d.key.rule),
        Transition::Keep(id, _) => format!("keep {id}"),
        Transition::Reopen(id, _) => format!("reopen {id}"),
        Transition::Resolve(id, why) => format!("resolve {id} {why:?}"),
    };
    transitions.iter().map(line).collect()
}

/// Issues of one image with CVE-1 and CVE-2, as rows 1 and 2.
fn two_issues() -> Vec<Issue> {
    let images = [image(1, &["a"], vec![cve(1), cve(2)])];
    judged(&images, &policies(ALL)).desired.iter().zip(1..).map(|(d, id)| open(id, d)).collect()
}

fn check(issues: &[Issue], images: &[JudgedImage], toml: &str, unread: bool, expect: &[&str]) {
    let policies = policies(toml);
    let found = transition(issues, &judged(images, &policies), Gone { policies: &policies, unread });
    assert_eq!(shape(&found), expect);
}

#[test]
fn issues_open_stay_and_are_fixed() {
    check(&[], &[image(1, &["a"], vec![cve(1), cve(2)])], ALL, false, &["open CVE-1", "open CVE-2"]);
    check(
        &two_issues(),
        &[image(1, &["a"], vec![cve(2), cve(3)])],
        ALL,
        false,
        &["resolve 1 Fixed", "keep 2", "open CVE-3"],
    );
}

#[test]
fn a_resolved_issue_comes_back_unless_a_person_decided() {
    let images = [image(1, &["a"], vec![cve(1), cve(2)])];
    let check = |why: Resolution, expect: &[&str]| {
        let mut issues = two_issues();
        resolve(&mut issues[0], why, time("2026-01-02T00:00:00Z"));
        check(&issues, &images, ALL, false, expect);
    };
    for machine in [Resolution::Fixed, Resolution::ImageGone, Resolution::PolicyChanged, Resolution::Excepted] {
        check(machine, &["reopen 1", "keep 2"]);
    }
    for person in [Resolution::FalsePositive, Resolution::RiskAccepted, Resolution::Known, Resolution::Duplicate] {
        check(person, &["keep 2"]);
    }
}

#[test]
fn the_reason_for_the_end_is_told() {
    let shown = [image(1, &["a"], vec![cve(1), cve(2)])];
    check(&two_issues(), &[], ALL, false, &["resolve 1 ImageGone", "resolve 2 ImageGone"]);
    check(&two_issues(), &shown, "", false, &["resolve 1 PolicyChanged", "resolve 2 PolicyChanged"]);
    let off = format!("{ALL}enabled=false");
    check(&two_issues(), &shown, &off, false, &["resolve 1 PolicyChanged", "resolve 2 PolicyChanged"]);
    let narrower = format!("{ALL}conditions={{vulnerabilities=['CVE-2']}}");
    check(&two_issues(), &shown, &narrower, false, &["resolve 1 PolicyChanged", "keep 2"]);
}

#[test]
fn an_exception_resolves_and_its_end_reopens() {
    let policies = policies(ALL);
    let mut verdict = judged(&[image(1, &["a"], vec![cve(1), cve(2)])], &policies);
    let first = verdict.desired.remove(0);
    verdict.excepted.insert(first.key);
    let gone = Gone { policies: &policies, unread: false };
    let mut issues = two_issues();
    let found = transition(&issues, &verdict, gone);
    assert_eq!(shape(&found), ["resolve 1 Excepted", "keep 2"]);
    apply(&mut issues, &found);
    check(&issues, &[image(1, &["a"], vec![cve(1), cve(2)])], ALL, false, &["reopen 1", "keep 2"]);
}

#[test]
fn what_could_not_be_read_fixes_nothing() {
    // The tag moved to an image that is not read yet: the old one is not shown any more.
    check(&two_issues(), &[], ALL, true, &[]);
    check(&two_issues(), &[image(9, &["b"], vec![])], ALL, true, &[]);
    // The image that showed it was looked at again: it is fixed, whatever another image may hold.
    check(&two_issues(), &[image(1, &["a"], vec![cve(2)])], ALL, true, &["resolve 1 Fixed", "keep 2"]);
}

#[test]
fn every_image_that_showed_it_must_be_looked_at() {
    let mut issues = two_issues();
    issues[0].desired.digests.push(digest(2));
    check(&issues, &[image(1, &["a"], vec![])], ALL, true, &["resolve 2 Fixed"]);
    check(&issues, &[image(1, &["a"], vec![])], ALL, false, &["resolve 1 Fixed", "resolve 2 Fixed"]);
}

fn any_state() -> impl Strategy<Value = (Vec<Issue>, Judged, bool, bool)> {
    let resolutions = prop_oneof![
        Just(None),
        Just(Some(Resolution::Fixed)),
        Just(Some(Resolution::Excepted)),
        Just(Some(Resolution::FalsePositive)),
        Just(Some(Resolution::ImageGone)),
    ];
    let stored = proptest::collection::btree_map(0..8u8, resolutions, 0..8);
    let wanted = proptest::collection::btree_set(0..8u8, 0..8);
    let excepted = proptest::collection::btree_set(0..8u8, 0..4);
    (stored, wanted, excepted, any::<bool>(), any::<bool>()).prop_map(|(stored, wanted, excepted, unread, in_force)| {
        let all = judged(&[image(1, &["a"], (0..8).map(cve).collect())], &policies(ALL));
        let mut issues: Vec<Issue> = Vec::new();
        for (n, resolution) in stored {
            let mut issue = open(i64::from(n) + 1, &all.desired[usize::from(n)]);
            if let Some(resolution) = resolution {
                resolve(&mut issue, resolution, time("2026-01-02T00:00:00Z"));
            }
            issues.push(issue);
        }
        let mut verdict = judged(&[image(1, &["a"], wanted.iter().copied().map(cve).collect())], &policies(ALL));
        for n in excepted {
            let key = all.desired[usize::from(n)].key.clone();
            verdict.desired.retain(|d| d.key != key);
            verdict.excepted.insert(key);
        }
        (issues, verdict, unread, in_force)
    })
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing_more((issues, verdict, unread, in_force) in any_state()) {
        let policies = policies(if in_force { ALL } else { "" });
        let gone = Gone { policies: &policies, unread };
        let first = transition(&issues, &verdict, gone);
        let mut reversed = issues.clone();
        reversed.reverse();
        prop_assert_eq!(&transition(&reversed, &verdict, gone), &first, "the order of stored issues means nothing");
        let mut stored = issues.clone();
        apply(&mut stored, &first);
        let again = transition(&stored, &verdict, gone);
        prop_assert!(again.iter().all(|t| matches!(t, Transition::Keep(..))), "{:?}", shape(&again));
        for (before, after) in issues.iter().zip(&stored) {
            if before.resolution.is_some_and(Resolution::is_by_person) {
                prop_assert_eq!(before, after, "a person's decision stays");
            }
        }
        for desired in &verdict.desired {
            let of_key = stored.iter().filter(|i| i.desired.key == desired.key);
            prop_assert_eq!(of_key.count(), 1, "one issue per key");
        }
    }
}
