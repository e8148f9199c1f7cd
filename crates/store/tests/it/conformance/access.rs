//! Promises of `Access`.

use crate::world::*;
use model::job::JobWork;
use model::registry::ScanMode;
use model::{Id, Scope};
use store::ErrorKind;
use store::types::*;

fn token(name: &str) -> NewToken {
    let (hash, role) = (digest(name), Role::Operator);
    NewToken { name: name.to_owned(), hash, role, agent_group: None, once: false, expires_at: None }
}

fn agent(name: &str) -> NewAgent {
    NewAgent {
        name: name.to_owned(),
        group: "g".to_owned(),
        mode: ScanMode::Outpost,
        secret_hash: digest(name),
        version: "0.1".to_owned(),
    }
}

pub(crate) async fn tokens_are_found_by_hash_until_over(w: &World) {
    let add = async |token: NewToken| w.store.add_token(&token, "ann", at(0)).await.unwrap();
    let plain = add(token("plain")).await;
    add(NewToken { expires_at: Some(at(10)), ..token("short") }).await;
    let find = async |name: &str, second: i64| w.store.token(&digest(name), at(second)).await.unwrap().map(|t| t.name);
    let found = w.store.token(&digest("plain"), at(1)).await.unwrap().unwrap();
    assert_eq!((found.id, found.role, found.once), (plain, Role::Operator, false));
    assert_eq!(find("ghost", 1).await, None);
    assert_eq!(find("short", 9).await.as_deref(), Some("short"));
    assert_eq!(find("short", 10).await, None);
    w.store.revoke_token(plain, "bob", at(5)).await.unwrap();
    assert_eq!(find("plain", 6).await, None);
    assert_eq!(w.store.revoke_token(Id::new(77), "bob", at(5)).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(w.store.add_token(&token("plain"), "ann", at(6)).await.unwrap_err().kind, ErrorKind::Conflict);
}

pub(crate) async fn tokens_are_listed_with_what_became_of_them(w: &World) {
    let new = |name: &str, role: Role, group: Option<&str>| NewToken {
        name: name.to_owned(),
        hash: digest(name),
        role,
        agent_group: group.map(str::to_owned),
        once: role == Role::Join,
        expires_at: Some(at(99)),
    };
    let join = w.store.add_token(&new("join", Role::Join, Some("outpost:edge")), "ann", at(1)).await.unwrap();
    let view = w.store.add_token(&new("view", Role::Viewer, None), "ann", at(2)).await.unwrap();
    w.store.spend_token(join, at(3)).await.unwrap();
    w.store.revoke_token(view, "ann", at(4)).await.unwrap();
    let rows = w.store.tokens(&Page::first(9)).await.unwrap();
    let brief: Vec<_> = rows.iter().map(|r| (&*r.name, r.role, r.created_at, r.spent_at, r.revoked_at)).collect();
    let expect = [("view", Role::Viewer, at(2), None, Some(at(4))), ("join", Role::Join, at(1), Some(at(3)), None)];
    assert_eq!(brief, expect);
    assert_eq!(rows[1].agent_group.as_deref(), Some("outpost:edge"));
    assert_eq!(w.store.tokens(&page(9, Some(view.to_string()))).await.unwrap(), rows[1..]);
}

pub(crate) async fn tokens_are_spent_once(w: &World) {
    let join = NewToken { once: true, role: Role::Join, agent_group: Some("g".to_owned()), ..token("join") };
    let id = w.store.add_token(&join, "ann", at(0)).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = w.store.clone();
        tasks.push(tokio::spawn(async move { store.spend_token(id, at(1)).await }));
    }
    let mut spent = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => spent += 1,
            Err(e) => assert_eq!(e.kind, ErrorKind::Conflict),
        }
    }
    assert_eq!(spent, 1);
    assert_eq!(w.store.token(&digest("join"), at(2)).await.unwrap(), None);
    let plain = w.store.add_token(&token("plain"), "ann", at(0)).await.unwrap();
    assert_eq!(w.store.spend_token(plain, at(1)).await.unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(w.store.spend_token(Id::new(77), at(1)).await.unwrap_err().kind, ErrorKind::NotFound);
}

pub(crate) async fn agents_are_seen(w: &World) {
    let b = w.store.add_agent(&agent("b"), at(1)).await.unwrap();
    assert_eq!((b.last_seen, b.leases, b.joined_at), (None, 0, at(1)));
    w.store.add_agent(&agent("a"), at(2)).await.unwrap();
    let found = w.store.agent_by_secret(&digest("b"), at(5)).await.unwrap().unwrap();
    assert_eq!((found.id, found.last_seen), (b.id, Some(at(5))));
    assert_eq!(w.store.agent_by_secret(&digest("ghost"), at(5)).await.unwrap(), None);
    let names: Vec<_> = w.store.agents(&Scope::All).await.unwrap().into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(w.store.add_agent(&agent("a"), at(2)).await.unwrap_err().kind, ErrorKind::Conflict, "the same secret");
}

pub(crate) async fn a_removed_agent_gives_its_leases_back(w: &World) {
    let registry = w.brokered("a", "g").await;
    let (one, two) =
        (w.store.add_agent(&agent("1"), at(0)).await.unwrap(), w.store.add_agent(&agent("2"), at(0)).await.unwrap());
    w.enqueue(JobWork::Discover { registry: registry.id }, group("g")).await;
    let take = async |holder: &AgentView| {
        let holder = agent_holder(holder.id);
        w.store.lease(&holder, &[group("g")], &["discover"], MINUTE_MS, at(1)).await.unwrap()
    };
    let lease = take(&one).await.unwrap();
    assert_eq!(w.store.agents(&Scope::All).await.unwrap()[0].leases, 1);
    w.store.delete_agent(one.id, "ann", at(2)).await.unwrap();
    assert_eq!(w.store.agent_by_secret(&digest("1"), at(2)).await.unwrap(), None);
    assert_eq!(w.store.heartbeat(&lease, MINUTE_MS, at(2)).await.unwrap_err().kind, ErrorKind::StaleLease);
    assert!(take(&two).await.is_some());
    assert_eq!(w.store.delete_agent(one.id, "ann", at(2)).await.unwrap_err().kind, ErrorKind::NotFound);
}

pub(crate) async fn the_audit_log_reads_backwards(w: &World) {
    for n in 0..5 {
        let (by, what) = ("ann".to_owned(), "test.do".to_owned());
        let entry = AuditEntry { id: 0, at: at(n), by, what, detail: n.to_string() };
        w.store.audit(&entry).await.unwrap();
    }
    let first = w.store.audit_log(&Scope::All, &Page::first(3)).await.unwrap();
    assert_eq!(first.iter().map(|e| &*e.detail).collect::<Vec<_>>(), ["4", "3", "2"]);
    assert_eq!(first[0].at, at(4));
    let next = page(3, first.last().map(|e| e.id.to_string()));
    let rest = w.store.audit_log(&Scope::All, &next).await.unwrap();
    assert_eq!(rest.iter().map(|e| &*e.detail).collect::<Vec<_>>(), ["1", "0"]);
}
