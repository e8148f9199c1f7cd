//! Promises of `Judgements`.

use crate::world::*;
use model::issue::{IssueState, Resolution, Transition};
use model::{FindingKind, Id, Reader, Scope, Severity, Timestamp};
use store::ErrorKind;
use store::types::*;

fn open(rule: &str, severity: Severity) -> Transition {
    Transition::Open(Box::new(desired("a", "app", rule, severity)))
}

fn days(from: Timestamp, days: i64) -> Option<Timestamp> {
    Some(Timestamp::from_microsecond(from.as_microsecond() + days * 86_400_000_000).unwrap())
}

pub(crate) async fn issues_open_keep_resolve_and_reopen(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let delta = w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(10)).await;
    assert_eq!(delta, IssueDelta { opened: 1, ..IssueDelta::default() });
    let (issue, history) = w.only_issue().await;
    assert_eq!(issue.desired, desired("a", "app", "CVE-1", Severity::High));
    assert_eq!((issue.state, issue.opened_at, issue.resolved_at), (IssueState::Open, at(10), None));
    assert_eq!(history, ["pratique opened: new intelligence"]);
    let mut moved = desired("a", "app", "CVE-1", Severity::Critical);
    moved.tags.push("2".to_owned());
    let delta = w.judge(&a, "app", vec![Transition::Keep(issue.id, Box::new(moved.clone()))], at(20)).await;
    assert_eq!(delta, IssueDelta { kept: 1, ..IssueDelta::default() });
    let (kept, history) = w.only_issue().await;
    assert_eq!((&kept.desired, kept.opened_at, history.len()), (&moved, at(10), 1));
    let delta = w.judge(&a, "app", vec![Transition::Resolve(issue.id, Resolution::Fixed)], at(30)).await;
    assert_eq!(delta, IssueDelta { resolved: 1, ..IssueDelta::default() });
    let (resolved, history) = w.only_issue().await;
    assert_eq!((resolved.state, resolved.resolution), (IssueState::Resolved, Some(Resolution::Fixed)));
    assert_eq!(resolved.resolved_at, Some(at(30)));
    assert_eq!(history[1..], ["pratique resolved: fixed: new intelligence"]);
    let again = vec![Transition::Resolve(issue.id, Resolution::Fixed)];
    assert_eq!(w.judge(&a, "app", again, at(31)).await, IssueDelta::default(), "resolved is resolved");
    let delta = w.judge(&a, "app", vec![Transition::Reopen(issue.id, Box::new(moved))], at(40)).await;
    assert_eq!(delta, IssueDelta { reopened: 1, ..IssueDelta::default() });
    let (back, history) = w.only_issue().await;
    assert_eq!((back.state, back.opened_at, back.resolution, back.resolved_at), (IssueState::Open, at(10), None, None));
    assert_eq!(history[2..], ["pratique reopened: new intelligence"]);
    // Wanting to open what is open already keeps it.
    let delta = w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(50)).await;
    assert_eq!(delta, IssueDelta { kept: 1, ..IssueDelta::default() });
    assert_eq!(w.only_issue().await.1.len(), 3);
}

pub(crate) async fn due_dates_follow_the_severity(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(10)).await;
    let (issue, _) = w.only_issue().await;
    assert_eq!(issue.due_at, days(at(10), 7));
    let keep = |severity| vec![Transition::Keep(issue.id, Box::new(desired("a", "app", "CVE-1", severity)))];
    w.judge(&a, "app", keep(Severity::Critical), at(20)).await;
    assert_eq!(w.only_issue().await.0.due_at, days(at(10), 1));
    w.judge(&a, "app", keep(Severity::Low), at(20)).await;
    assert_eq!(w.only_issue().await.0.due_at, None);
    w.judge(&a, "app", vec![Transition::Resolve(issue.id, Resolution::Fixed)], at(30)).await;
    w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(40)).await;
    assert_eq!(w.only_issue().await.0.due_at, days(at(40), 7), "counted from the reopening");
}

pub(crate) async fn a_mark_set_meanwhile_stays(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let target = w.target(&a, "app").await;
    // While it is being judged, an input moves.
    w.store.touch_hashes(&[digest("app sh")]).await.unwrap();
    w.store.apply_judgement(&judgement(target.clone(), Vec::new()), at(5)).await.unwrap();
    assert_eq!(w.marked().await, ["a/app"]);
    let newer = w.store.repositories_to_judge(1).await.unwrap().remove(0);
    assert!(newer.mark > target.mark);
    w.store.apply_judgement(&judgement(newer, Vec::new()), at(6)).await.unwrap();
    assert_eq!(w.marked().await, [""; 0]);
}

pub(crate) async fn boundaries_mark_when_they_pass(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    w.images_in(&a, "other", Reader::Server, &["x"]).await;
    w.judge_all().await;
    assert_eq!(w.store.next_boundary().await.unwrap(), None);
    for (repository, second) in [("app", 100), ("other", 50)] {
        let target = w.target(&a, repository).await;
        let judged = Judgement { next_boundary: Some(at(second)), ..judgement(target, Vec::new()) };
        w.store.apply_judgement(&judged, at(10)).await.unwrap();
    }
    assert_eq!(w.store.next_boundary().await.unwrap(), Some(at(50)));
    assert_eq!(w.store.touch_repositories(Touch::Due, at(49)).await.unwrap(), 0);
    assert_eq!(w.store.touch_repositories(Touch::Due, at(50)).await.unwrap(), 1);
    assert_eq!(w.marked().await, ["a/other"]);
    assert_eq!(w.store.next_boundary().await.unwrap(), Some(at(100)), "the other is about to be judged");
    w.judge_all().await;
    assert_eq!(w.store.touch_repositories(Touch::Due, at(60)).await.unwrap(), 0);
    assert_eq!(w.store.touch_repositories(Touch::All, at(60)).await.unwrap(), 2);
}

pub(crate) async fn a_persons_decision_stands(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(10)).await;
    let id = w.only_issue().await.0.id;
    // The judgement was worked out before a person was faster.
    let target = w.target(&a, "app").await;
    let edit = IssueEdit { resolution: Some(Some(Resolution::FalsePositive)), ..IssueEdit::default() };
    w.store.edit_issue(id, &edit, "bob", at(11)).await.unwrap();
    let wanted = || Box::new(desired("a", "app", "CVE-1", Severity::Critical));
    for transition in
        [Transition::Keep(id, wanted()), Transition::Resolve(id, Resolution::Fixed), Transition::Open(wanted())]
    {
        let judged = judgement(target.clone(), vec![transition.clone()]);
        let delta = w.store.apply_judgement(&judged, at(12)).await.unwrap();
        assert_eq!(delta, IssueDelta::default(), "{transition:?}");
        let (issue, history) = w.only_issue().await;
        assert_eq!((issue.state, issue.resolution), (IssueState::Resolved, Some(Resolution::FalsePositive)));
        assert_eq!(history.len(), 2);
    }
}

pub(crate) async fn edits_leave_history(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    w.judge(&a, "app", vec![open("CVE-1", Severity::High)], at(10)).await;
    let id = w.only_issue().await.0.id;
    let edit = async |edit: IssueEdit| w.store.edit_issue(id, &edit, "bob", at(20)).await.unwrap();
    let assigned = edit(IssueEdit {
        assignee: Some(Some("eve".to_owned())),
        comment: Some("look".to_owned()),
        ..IssueEdit::default()
    })
    .await;
    assert_eq!(assigned.assignee.as_deref(), Some("eve"));
    let accepted = edit(IssueEdit { resolution: Some(Some(Resolution::RiskAccepted)), ..IssueEdit::default() }).await;
    assert_eq!((accepted.resolution, accepted.resolved_at), (Some(Resolution::RiskAccepted), Some(at(20))));
    w.judge_all().await;
    let back = edit(IssueEdit { resolution: Some(None), assignee: Some(None), ..IssueEdit::default() }).await;
    assert_eq!((back.state, back.resolution, back.assignee), (IssueState::Open, None, None));
    assert_eq!(w.marked().await, ["a/app"], "what a person reopens is judged");
    edit(IssueEdit { resolution: Some(None), ..IssueEdit::default() }).await;
    assert_eq!(
        w.only_issue().await.1,
        [
            "pratique opened: new intelligence",
            "bob assigned: eve",
            "bob commented: look",
            "bob resolved: risk-accepted",
            "bob assigned: nobody",
            "bob reopened: by hand",
        ]
    );
    let ghost = w.store.edit_issue(Id::new(77), &IssueEdit::default(), "bob", at(1)).await.unwrap_err();
    assert_eq!(ghost.kind, ErrorKind::NotFound);
    assert_eq!(w.store.issue(&Scope::All, Id::new(77)).await.unwrap_err().kind, ErrorKind::NotFound);
}

pub(crate) async fn issues_are_filtered_and_paged(w: &World) {
    let (a, b) = (w.scanned("a", &["app"]).await, w.scanned("b", &["other"]).await);
    for (n, severity) in [Severity::Low, Severity::Critical, Severity::High, Severity::Critical].into_iter().enumerate()
    {
        w.judge(&a, "app", vec![open(&format!("CVE-{n}"), severity)], at(10)).await;
    }
    let mut other = desired("b", "app", "secret", Severity::Unknown);
    (other.kind, other.key.policy, other.digests) = (FindingKind::Secret, "q".to_owned(), vec![digest("other")]);
    w.judge(&b, "app", vec![Transition::Open(Box::new(other))], at(5)).await;
    let first = w.store.issues_of(a.id, "app").await.unwrap();
    assert_eq!(first.len(), 4);
    w.judge(&a, "app", vec![Transition::Resolve(first[3].id, Resolution::Fixed)], at(20)).await;
    let list = async |filter: IssueFilter| {
        let rows = w.store.issues(&Scope::All, &filter, &Page::first(99)).await.unwrap();
        rows.iter().map(|i| i.desired.key.rule.clone()).collect::<Vec<_>>()
    };
    let all = IssueFilter::default();
    let order = ["CVE-1", "CVE-2", "CVE-0", "secret", "CVE-3"];
    assert_eq!(list(all.clone()).await, order);
    assert_eq!(list(IssueFilter { state: Some(IssueState::Resolved), ..all.clone() }).await, ["CVE-3"]);
    assert_eq!(list(IssueFilter { severity: Some(Severity::Critical), ..all.clone() }).await, ["CVE-1", "CVE-3"]);
    assert_eq!(list(IssueFilter { kind: Some(FindingKind::Secret), ..all.clone() }).await, ["secret"]);
    assert_eq!(list(IssueFilter { policy: Some("q".into()), ..all.clone() }).await, ["secret"]);
    assert_eq!(list(IssueFilter { registry: Some(b.id), ..all.clone() }).await, ["secret"]);
    assert_eq!(list(IssueFilter { digest: Some(digest("other")), ..all.clone() }).await, ["secret"]);
    assert_eq!(list(IssueFilter { digest: Some(digest("app")), ..all.clone() }).await.len(), 4);
    assert_eq!(list(IssueFilter { repository: Some("x".into()), ..all.clone() }).await, [""; 0]);
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let rows = w.store.issues(&Scope::All, &all, &page(2, cursor)).await.unwrap();
        found.extend(rows.iter().map(|i| i.desired.key.rule.clone()));
        if rows.len() < 2 {
            break;
        }
        cursor = rows.last().map(issue_cursor);
    }
    assert_eq!(found, order);
    let odd = w.store.issues(&Scope::All, &all, &page(2, Some("x.y".to_owned()))).await.unwrap_err();
    assert_eq!(odd.kind, ErrorKind::Malformed);
}

pub(crate) async fn counters_are_shown(w: &World) {
    let a = w.scanned("a", &["app", "gone"]).await;
    let counters =
        |packages| ImageCounters { packages, vulnerabilities: [1, 2, 3, 4, 5, 6], ..ImageCounters::default() };
    let judge = async |rows: &[(&str, u64)]| {
        let rows = rows.iter().map(|(name, packages)| (digest(name), counters(*packages))).collect();
        let target = w.target(&a, "app").await;
        let judged = Judgement { counters: rows, ..judgement(target, Vec::new()) };
        w.store.apply_judgement(&judged, at(5)).await.unwrap();
    };
    judge(&[("app", 7), ("gone", 9), ("ghost", 1)]).await;
    assert_eq!((w.image("app").await.counters, w.image("gone").await.counters), (counters(7), counters(9)));
    judge(&[("app", 8)]).await;
    assert_eq!(w.image("app").await.counters, counters(8));
    assert_eq!(w.image("gone").await.counters, ImageCounters::default());
}

pub(crate) async fn oldest_marks_are_judged_first(w: &World) {
    let a = w.registry("a").await;
    for name in ["x", "y", "z"] {
        w.images_in(&a, name, Reader::Server, &[name]).await;
    }
    w.judge_all().await;
    let touch =
        async |name: &str| w.store.touch_repositories(Touch::Repository(a.id, name.to_owned()), at(5)).await.unwrap();
    for name in ["z", "x", "y"] {
        assert_eq!(touch(name).await, 1);
    }
    touch("z").await;
    assert_eq!(w.marked().await, ["a/z", "a/x", "a/y"], "a second mark does not send it back in the line");
    assert_eq!(w.store.repositories_to_judge(2).await.unwrap().len(), 2);
    assert_eq!(touch("ghost").await, 0);
}

pub(crate) async fn evaluations_are_recorded(w: &World) {
    let first = w.store.begin_evaluation("feed", at(1)).await.unwrap();
    let second = w.store.begin_evaluation("clock", at(2)).await.unwrap();
    let summary = EvaluationSummary { generation: Some(3), repositories: 4, ..EvaluationSummary::default() };
    w.store.finish_evaluation(first, &summary, at(9)).await.unwrap();
    let runs = w.store.evaluations(&Page::first(9)).await.unwrap();
    assert_eq!(
        runs.iter().map(|r| (r.id, &*r.reason, r.finished_at)).collect::<Vec<_>>(),
        [(second, "clock", None), (first, "feed", Some(at(9)))]
    );
    assert_eq!((&runs[1].summary, runs[1].started_at), (&summary, at(1)));
    let rest = w.store.evaluations(&page(9, Some(second.to_string()))).await.unwrap();
    assert_eq!(rest.len(), 1);
    let ghost = w.store.finish_evaluation(Id::new(77), &summary, at(9)).await.unwrap_err();
    assert_eq!(ghost.kind, ErrorKind::NotFound);
}

pub(crate) async fn registry_images_have_their_tags(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let tags = [seen("v2", "x"), seen("latest", "x"), seen("old", "y")];
    w.store.record_tags(&lease, "app", &tags, at(1)).await.unwrap();
    for name in ["x", "y"] {
        w.store.record_manifest(&lease, "app", &manifest(name), at(1)).await.unwrap();
    }
    w.store.record_tags(&lease, "app", &tags[..2], at(2)).await.unwrap();
    let images = w.store.registry_images(a.id, "app").await.unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!((images[0].digest, &images[0].resolved), (digest("x"), &resolved("x")));
    assert_eq!(images[0].tags, ["latest", "v2"]);
    assert_eq!(w.store.registry_images(a.id, "ghost").await.unwrap(), []);
}

pub(crate) async fn issue_counts_add_up(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    for n in 0..3 {
        w.judge(&a, "app", vec![open(&format!("CVE-{n}"), Severity::High)], at(10)).await;
    }
    let id = w.store.issues_of(a.id, "app").await.unwrap()[0].id;
    w.judge(&a, "app", vec![Transition::Resolve(id, Resolution::Fixed)], at(20)).await;
    let counts = w.store.issue_counts(&Scope::All).await.unwrap();
    let row = |state, count| IssueCount {
        state,
        kind: FindingKind::Vulnerability,
        severity: Severity::High,
        policy: "p".to_owned(),
        count,
    };
    assert_eq!(counts, [row(IssueState::Open, 2), row(IssueState::Resolved, 1)]);
    assert_eq!(w.store.registry_counts(&Scope::All, a.id).await.unwrap().issues_open, 2);
}

pub(crate) async fn a_repository_that_went_cannot_be_judged(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let target = w.target(&a, "app").await;
    w.store.delete_registry(a.id, "ann", at(4)).await.unwrap();
    let judged = judgement(target, vec![open("CVE-1", Severity::High)]);
    assert_eq!(w.store.apply_judgement(&judged, at(5)).await.unwrap_err().kind, ErrorKind::NotFound);
    let issues = w.store.issues(&Scope::All, &IssueFilter::default(), &Page::first(9)).await.unwrap();
    assert_eq!(issues, []);
}
