//! Promises of `Registries`.

use crate::world::*;
use model::discovery::SeenTag;
use model::issue::{IssueState, Resolution, Transition};
use model::registry::{Credentials, RegistryConfig, RegistryStatus, ScanMode};
use model::{Id, Reader, Scope, Severity};
use store::ErrorKind;
use store::types::*;

fn login(password: &str) -> Credentials {
    Credentials { username: "u".to_owned(), password: password.to_owned() }
}

pub(crate) async fn an_added_registry_comes_back(w: &World) {
    let added = w.store.add_registry(&config("b"), Some(&login("x")), "ann", at(5)).await.unwrap();
    assert_eq!((added.status, added.has_credentials, added.created_at), (RegistryStatus::Pending, true, at(5)));
    assert_eq!(added.config, config("b"));
    assert_eq!(w.store.registry(&Scope::All, added.id).await.unwrap(), added);
    let other = w.registry("a").await;
    assert!(!other.has_credentials);
    assert_eq!(w.store.registries(&Scope::All).await.unwrap(), [other, added.clone()]);
    assert_eq!(w.store.credentials(added.id).await.unwrap(), Some(login("x")));
}

pub(crate) async fn names_are_unique(w: &World) {
    let a = w.registry("a").await;
    let error = w.store.add_registry(&config("a"), None, "ann", at(0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let b = w.registry("b").await;
    let taken = w.store.update_registry(b.id, &config("a"), CredentialsChange::Keep, "ann", at(0)).await.unwrap_err();
    assert_eq!(taken.kind, ErrorKind::Conflict);
    w.store.update_registry(a.id, &config("a"), CredentialsChange::Keep, "ann", at(0)).await.unwrap();
}

pub(crate) async fn edits_replace_what_they_name(w: &World) {
    let a = w.registry("a").await;
    let edited = RegistryConfig { enabled: false, plain_http: true, ..config("a") };
    let back = w.store.update_registry(a.id, &edited, CredentialsChange::Keep, "bob", at(1)).await.unwrap();
    assert_eq!((&back.config, back.status), (&edited, RegistryStatus::Disabled));
    let log = w.store.audit_log(&Scope::All, &Page::first(1)).await.unwrap();
    assert_eq!((&*log[0].by, &*log[0].what), ("bob", "registry.edit"));
    assert!(log[0].detail.contains("plain_http") && log[0].detail.contains("enabled"), "{}", log[0].detail);
    let on = w.store.update_registry(a.id, &config("a"), CredentialsChange::Keep, "bob", at(1)).await.unwrap();
    assert_eq!(on.status, RegistryStatus::Pending);
}

pub(crate) async fn credentials_can_be_kept_replaced_and_removed(w: &World) {
    let a = w.store.add_registry(&config("a"), Some(&login("one")), "ann", at(0)).await.unwrap();
    let check = async |change: CredentialsChange, expect: Option<Credentials>| {
        let back = w.store.update_registry(a.id, &config("a"), change, "ann", at(1)).await.unwrap();
        assert_eq!(back.has_credentials, expect.is_some());
        assert_eq!(w.store.credentials(a.id).await.unwrap(), expect);
    };
    check(CredentialsChange::Keep, Some(login("one"))).await;
    check(CredentialsChange::Replace(login("two")), Some(login("two"))).await;
    check(CredentialsChange::Remove, None).await;
    for entry in w.store.audit_log(&Scope::All, &Page::first(10)).await.unwrap() {
        assert!(!entry.detail.contains("two"), "{}", entry.detail);
    }
}

pub(crate) async fn a_deleted_registry_takes_its_rows_and_resolves_its_issues(w: &World) {
    let (a, b) = (w.scanned("a", &["app"]).await, w.registry("b").await);
    w.images_in(&b, "app", Reader::Server, &["app"]).await;
    let wanted = desired("a", "app", "CVE-1", Severity::High);
    w.judge(&a, "app", vec![Transition::Open(Box::new(wanted))], at(4)).await;
    let late = w.scan(&a, "app", Reader::Server).await;
    w.store.delete_registry(a.id, "bob", at(9)).await.unwrap();
    assert_eq!(w.store.registry(&Scope::All, a.id).await.unwrap_err().kind, ErrorKind::NotFound);
    let (issue, history) = w.only_issue().await;
    assert_eq!((issue.state, issue.resolution), (IssueState::Resolved, Some(Resolution::ImageGone)));
    assert_eq!(issue.resolved_at, Some(at(9)));
    assert_eq!(history.last().unwrap(), "bob resolved: image-gone: registry a was deleted");
    // The holder of a job that went can write nothing.
    assert_eq!(w.store.heartbeat(&late, 1, at(9)).await.unwrap_err().kind, ErrorKind::StaleLease);
    // What was read stays, for the other registry.
    let image = w.image("app").await;
    assert_eq!(image.references.iter().map(|r| &*r.registry_name).collect::<Vec<_>>(), ["b"]);
    assert!(image.scanned_at.is_some());
    assert_eq!(w.store.delete_registry(a.id, "bob", at(9)).await.unwrap_err().kind, ErrorKind::NotFound);
    let again = w.registry("a").await;
    assert_ne!(again.id, a.id, "numbers are not used twice");
}

pub(crate) async fn status_is_kept_until_set(w: &World) {
    let a = w.registry("a").await;
    w.store.set_registry_status(a.id, RegistryStatus::Connected, "fine", Some(at(5))).await.unwrap();
    w.store.set_registry_status(a.id, RegistryStatus::Error, "no route", None).await.unwrap();
    let back = w.store.registry(&Scope::All, a.id).await.unwrap();
    assert_eq!((back.status, &*back.reason, back.discovered_at), (RegistryStatus::Error, "no route", Some(at(5))));
}

pub(crate) async fn counts_follow_the_tags(w: &World) {
    let a = w.registry("a").await;
    assert_eq!(w.store.registry_counts(&Scope::All, a.id).await.unwrap(), RegistryCounts::default());
    let lease = w.discovery(&a, Reader::Server).await;
    let unwanted = SeenTag { wanted: false, why_not: Some("too old".to_owned()), ..seen("old", "old") };
    let tags = [seen("1", "one"), seen("latest", "one"), seen("2", "two"), seen("3", "three"), unwanted];
    w.store.record_tags(&lease, "app", &tags, at(1)).await.unwrap();
    for name in ["one", "two"] {
        w.store.record_manifest(&lease, "app", &manifest(name), at(1)).await.unwrap();
    }
    w.commit(&a, "one", Reader::Server, &inventory("one", &[])).await;
    let counts = w.store.registry_counts(&Scope::All, a.id).await.unwrap();
    let expect = RegistryCounts {
        repositories: 1,
        tags: 5,
        tags_wanted: 4,
        tags_unresolved: 1,
        images: 2,
        pending: 1,
        scanned: 1,
        ..RegistryCounts::default()
    };
    assert_eq!(counts, expect);
}

pub(crate) async fn a_renamed_registry_keeps_its_issues(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    w.judge(&a, "app", vec![Transition::Open(Box::new(desired("a", "app", "CVE-1", Severity::High)))], at(4)).await;
    w.store.update_registry(a.id, &config("z"), CredentialsChange::Keep, "ann", at(5)).await.unwrap();
    assert_eq!(w.marked().await, ["z/app"]);
    let issues = w.store.issues_of(a.id, "app").await.unwrap();
    assert_eq!(issues[0].desired.key, desired("z", "app", "CVE-1", Severity::High).key);
    let wanted = desired("z", "app", "CVE-1", Severity::High);
    let delta = w.judge(&a, "app", vec![Transition::Keep(issues[0].id, Box::new(wanted))], at(6)).await;
    assert_eq!(delta, IssueDelta { kept: 1, ..IssueDelta::default() });
}

pub(crate) async fn a_new_registry_of_an_old_name_goes_on_with_its_issues(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let wanted = || Box::new(desired("a", "app", "CVE-1", Severity::High));
    w.judge(&a, "app", vec![Transition::Open(wanted())], at(4)).await;
    w.store.delete_registry(a.id, "ann", at(5)).await.unwrap();
    let again = w.registry("a").await;
    w.images_in(&again, "app", Reader::Server, &["app"]).await;
    let known = w.store.issues_of(again.id, "app").await.unwrap();
    assert_eq!(known.len(), 1);
    let delta = w.judge(&again, "app", vec![Transition::Reopen(known[0].id, wanted())], at(6)).await;
    assert_eq!(delta.reopened, 1);
    let (issue, history) = w.only_issue().await;
    assert_eq!((issue.state, issue.opened_at, history.len()), (IssueState::Open, at(4), 3));
}

pub(crate) async fn unknown_registries_are_not_found(w: &World) {
    let nobody = Id::new(77);
    let kinds = [
        w.store.registry(&Scope::All, nobody).await.unwrap_err().kind,
        w.store.credentials(nobody).await.unwrap_err().kind,
        w.store.registry_counts(&Scope::All, nobody).await.unwrap_err().kind,
        w.store.delete_registry(nobody, "ann", at(0)).await.unwrap_err().kind,
        w.store.set_registry_status(nobody, RegistryStatus::Error, "", None).await.unwrap_err().kind,
        w.store.update_registry(nobody, &config("x"), CredentialsChange::Keep, "", at(0)).await.unwrap_err().kind,
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 6]);
}

pub(crate) async fn other_platforms_are_resolved_again(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), []);
    let edit = async |config: RegistryConfig| {
        w.store.update_registry(a.id, &config, CredentialsChange::Keep, "ann", at(5)).await.unwrap();
        w.store.unresolved(a.id).await.unwrap()
    };
    let all = config("a");
    let one = RegistryConfig { platforms: vec![platform("arm64")], ..config("a") };
    assert_eq!(edit(RegistryConfig { schedule_seconds: 60, ..all }).await, []);
    assert_eq!(edit(one.clone()).await, [("app".to_owned(), digest("app"))]);
    // Until then the old answer holds, and the new one may be the same.
    assert_eq!(w.image("app").await.references.len(), 1);
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_manifest(&lease, "app", &manifest("app"), at(6)).await.unwrap();
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), []);
    // With another group of agents, what the old one resolved counts no more.
    let brokered = RegistryConfig { scan_mode: ScanMode::Broker, agent_group: Some("g".to_owned()), ..one };
    assert_eq!(edit(brokered).await, [], "the server's word counts in every mode");
}
