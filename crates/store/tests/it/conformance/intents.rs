//! Promises of `Intents`.

use crate::world::*;
use model::exception::Exception;
use model::extraction::{ExtractionRules, RuleDocument, RuleKind};
use model::observation::Confidence;
use model::policy::{Action, Conditions, Policy, PolicyKind, PolicyScope, PolicySet};
use model::tuning::Tuning;
use model::{Id, Scope};
use store::ErrorKind;
use store::types::Page;

fn set(revision: u64, name: &str) -> PolicySet {
    let policy = Policy {
        id: "p".to_owned(),
        name: name.to_owned(),
        description: String::new(),
        kind: PolicyKind::Secrets,
        enabled: true,
        scope: PolicyScope::default(),
        conditions: Conditions { cvss_at_least: Some(7.5), ..Conditions::default() },
        action: Action::Issue,
        severity: None,
        grace_days: Some(3),
        trusted: None,
    };
    PolicySet { revision, policies: vec![policy] }
}

pub(crate) async fn policies_count_revisions(w: &World) {
    assert_eq!(w.store.policies().await.unwrap(), None);
    assert_eq!(w.store.put_policies(&set(0, "one"), "ann", at(1)).await.unwrap(), set(1, "one"));
    assert_eq!(w.store.policies().await.unwrap(), Some(set(1, "one")));
    let late = w.store.put_policies(&set(0, "two"), "bob", at(2)).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Conflict);
    assert_eq!(w.store.put_policies(&set(1, "two"), "bob", at(2)).await.unwrap(), set(2, "two"));
    let log = w.store.audit_log(&Scope::All, &Page::first(9)).await.unwrap();
    assert_eq!(
        log.iter().map(|e| (&*e.by, &*e.what)).collect::<Vec<_>>(),
        [("bob", "policy.edit"), ("ann", "policy.edit")]
    );
}

pub(crate) async fn exceptions_come_and_go(w: &World) {
    let exception = Exception {
        id: 0,
        reason: "test data".to_owned(),
        author: "ann".to_owned(),
        repository: "a/*".to_owned(),
        rule: "CVE-1".to_owned(),
        package: None,
        expires_at: Some(at(9)),
        created_at: at(1),
    };
    let added = w.store.add_exception(&exception, "ann", at(1)).await.unwrap();
    assert_eq!(added, Exception { id: added.id, ..exception.clone() });
    assert_ne!(added.id, 0);
    assert_eq!(w.store.exceptions().await.unwrap(), std::slice::from_ref(&added));
    let empty = Exception { reason: " ".to_owned(), ..exception };
    assert_eq!(w.store.add_exception(&empty, "ann", at(1)).await.unwrap_err().kind, ErrorKind::Malformed);
    w.store.delete_exception(Id::new(added.id), "bob", at(2)).await.unwrap();
    assert_eq!(w.store.exceptions().await.unwrap(), []);
    let again = w.store.delete_exception(Id::new(added.id), "bob", at(2)).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::NotFound);
}

pub(crate) async fn settings_are_kept(w: &World) {
    assert_eq!(w.store.setting("x").await.unwrap(), None);
    w.store.set_setting("x", "1").await.unwrap();
    w.store.set_setting("x", "2").await.unwrap();
    assert_eq!(w.store.setting("x").await.unwrap().as_deref(), Some("2"));
}

pub(crate) async fn rules_and_tuning_count_revisions(w: &World) {
    assert_eq!(w.store.extraction_rules().await.unwrap(), ExtractionRules::default());
    let document = RuleDocument { kind: RuleKind::Malware, name: "own.yar".to_owned(), text: "rule x {}".to_owned() };
    let rules = ExtractionRules { revision: 0, documents: vec![document] };
    let stored = w.store.put_extraction_rules(&rules, "ann", at(1)).await.unwrap();
    assert_eq!(stored, ExtractionRules { revision: 1, ..rules.clone() });
    assert_eq!(w.store.extraction_rules().await.unwrap(), stored);
    let late = w.store.put_extraction_rules(&rules, "bob", at(2)).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Conflict);

    assert_eq!(w.store.tuning().await.unwrap(), Tuning::default());
    let tuning = Tuning { minimum_confidence: Some(Confidence::High), ..Tuning::default() };
    let stored = w.store.put_tuning(&tuning, "ann", at(3)).await.unwrap();
    assert_eq!((stored.revision, w.store.tuning().await.unwrap()), (1, stored));
    assert_eq!(w.store.put_tuning(&tuning, "bob", at(4)).await.unwrap_err().kind, ErrorKind::Conflict);
    let log = w.store.audit_log(&Scope::All, &Page::first(9)).await.unwrap();
    let log: Vec<_> = log.iter().map(|e| (&*e.by, &*e.what)).collect();
    assert_eq!(log, [("ann", "tuning.edit"), ("ann", "extraction-rules.edit")]);
}

pub(crate) async fn edits_are_causes_until_judged(w: &World) {
    assert_eq!(w.store.causes().await.unwrap(), []);
    w.store.put_policies(&set(0, "one"), "ann", at(1)).await.unwrap();
    w.store.put_policies(&set(0, "late"), "bob", at(1)).await.unwrap_err();
    w.store.put_tuning(&Tuning::default(), "bob", at(2)).await.unwrap();
    let causes = w.store.causes().await.unwrap();
    let texts: Vec<&str> = causes.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["policies edited by ann (revision 1)", "tuning edited by bob (revision 1)"]);
    w.store.causes_judged(causes[0].0).await.unwrap();
    assert_eq!(w.store.causes().await.unwrap(), causes[1..]);
}
