//! Promises of `Jobs`.

use crate::world::*;
use model::job::{FencingToken, ImageState, JobOutcome, JobWork, Lease};
use model::registry::{Registry, RegistryConfig};
use model::{Id, Reader, Scope, Timestamp};
use std::collections::BTreeSet;
use store::ErrorKind;
use store::types::*;

const KINDS: [&str; 3] = ["discover", "resolve", "scan"];

fn resolve(registry: &Registry, name: &str) -> JobWork {
    JobWork::Resolve { registry: registry.id, repository: "app".to_owned(), digest: digest(name) }
}

fn job(work: JobWork, priority: i32, run_after: Timestamp) -> NewJob {
    NewJob { work, reader: Reader::Server, priority, run_after }
}

async fn take(w: &World, holder: &str, now: Timestamp) -> Option<Lease> {
    w.store.lease(holder, &[Reader::Server], &KINDS, MINUTE_MS, now).await.unwrap()
}

pub(crate) async fn live_jobs_are_unique(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    let scan =
        |registry: &Registry| JobWork::Scan { registry: registry.id, repository: "r".into(), digest: digest("x") };
    let jobs = [job(scan(&a), 0, at(0)), job(scan(&b), 0, at(0)), job(resolve(&a, "x"), 0, at(0))];
    assert_eq!(w.store.enqueue(&jobs, at(0)).await.unwrap(), 2, "one image is read once, wherever it is found");
    assert_eq!(w.enqueue(scan(&a), group("g")).await, 1, "by each reader");
    let lease = w.store.lease("h", &[Reader::Server], &["scan"], MINUTE_MS, at(1)).await.unwrap().unwrap();
    assert_eq!(w.enqueue(scan(&a), Reader::Server).await, 0, "a leased job is live");
    w.done(&lease).await;
    assert_eq!(w.enqueue(scan(&a), Reader::Server).await, 1);
}

pub(crate) async fn jobs_wait_for_their_time(w: &World) {
    let a = w.registry("a").await;
    w.store.enqueue(&[job(resolve(&a, "x"), 0, at(10))], at(0)).await.unwrap();
    assert_eq!(take(w, "h", at(9)).await, None);
    assert!(take(w, "h", at(10)).await.is_some());
}

pub(crate) async fn the_highest_priority_goes_first(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    let jobs = [
        job(resolve(&a, "low"), -1, at(0)),
        job(resolve(&a, "first"), 0, at(0)),
        job(resolve(&a, "second"), 0, at(0)),
        job(resolve(&b, "high"), 5, at(0)),
        job(resolve(&b, "later"), 9, at(50)),
    ];
    w.store.enqueue(&jobs, at(0)).await.unwrap();
    let mut order = Vec::new();
    while let Some(lease) = take(w, "h", at(1)).await {
        order.push(lease.work.clone());
        w.done(&lease).await;
    }
    assert_eq!(order, [resolve(&b, "high"), resolve(&a, "first"), resolve(&a, "second"), resolve(&a, "low")]);
}

pub(crate) async fn registries_take_turns(w: &World) {
    let (a, b, c) = (w.registry("a").await, w.registry("b").await, w.registry("c").await);
    let many: Vec<NewJob> = (0..20).map(|n| job(resolve(&a, &n.to_string()), 0, at(0))).collect();
    w.store.enqueue(&many, at(0)).await.unwrap();
    let few: Vec<NewJob> = (0..2).flat_map(|n| [&b, &c].map(|r| job(resolve(r, &n.to_string()), 0, at(0)))).collect();
    w.store.enqueue(&few, at(0)).await.unwrap();
    // While leases are held: whoever holds the fewest.
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(take(w, "h", at(1)).await.unwrap().work.registry());
    }
    assert_eq!(turns[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{turns:?}");
    assert_eq!(turns[3..].iter().collect::<BTreeSet<_>>().len(), 3, "{turns:?}");
    assert_eq!(take(w, "h", at(1)).await.unwrap().work.registry(), a.id);
    // One worker that holds nothing in between: whoever waited longest.
    w.store.enqueue(&[job(resolve(&b, "again"), 0, at(0))], at(1)).await.unwrap();
    let now = at(200);
    let first = take(w, "h", now).await.unwrap();
    w.done(&first).await;
    let second = take(w, "h", now).await.unwrap();
    w.done(&second).await;
    assert_ne!(first.work.registry(), second.work.registry());
}

pub(crate) async fn readers_and_kinds_are_kept_apart(w: &World) {
    let a = w.brokered("a", "g").await;
    w.enqueue(resolve(&a, "x"), group("g")).await;
    let lease =
        async |reader: Reader, kind: &str| w.store.lease("h", &[reader], &[kind], MINUTE_MS, at(1)).await.unwrap();
    assert_eq!(lease(Reader::Server, "resolve").await, None);
    assert_eq!(lease(group("other"), "resolve").await, None);
    assert_eq!(lease(group("g"), "scan").await, None);
    assert!(lease(group("g"), "resolve").await.is_some());
    assert_eq!(w.store.lease("h", &[], &KINDS, MINUTE_MS, at(1)).await.unwrap(), None);
}

pub(crate) async fn an_expired_lease_is_given_to_another(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(resolve(&a, "x"), Reader::Server).await;
    let first = take(w, "one", at(1)).await.unwrap();
    assert_eq!((first.deadline, first.attempts), (at(61), 0));
    assert_eq!(take(w, "two", at(60)).await, None);
    let second = take(w, "two", at(61)).await.unwrap();
    assert_eq!((second.job, second.attempts), (first.job, 1));
    assert!(second.token > first.token);
    let jobs = w.store.jobs(&Scope::All, &JobFilter::default(), &Page::first(9)).await.unwrap();
    assert_eq!((jobs[0].holder.as_deref(), jobs[0].attempts, &*jobs[0].state), (Some("two"), 2, "leased"));
}

pub(crate) async fn a_stale_holder_can_write_nothing(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    w.judge_all().await;
    let work = JobWork::Scan { registry: a.id, repository: "app".to_owned(), digest: digest("x") };
    w.enqueue(work, Reader::Server).await;
    let stale = take(w, "one", at(1)).await.unwrap();
    let current = take(w, "two", at(100)).await.unwrap();
    assert_eq!(w.store.stale_writes().await.unwrap(), 0);
    let (x, inventory, reader) = (digest("x"), inventory("x", &[]), Reader::Server);
    let commit = InventoryCommit {
        image: &x,
        reader: &reader,
        inventory: &inventory,
        versions: &inventory.detectors,
        state: ImageState::Scanned,
    };
    let facts = super::facts::layer("x", &versions("1"));
    let now = at(101);
    let refused = [
        w.store.record_repositories(&stale, &[], true, now).await.unwrap_err().kind,
        w.store.record_tags(&stale, "app", &[], now).await.unwrap_err().kind,
        w.store.record_manifest(&stale, "app", &manifest("y"), now).await.unwrap_err().kind,
        w.store.claim_blob(&stale, &x, &reader, now).await.unwrap_err().kind,
        w.store.put_facts(&stale, &reader, &facts, now).await.unwrap_err().kind,
        w.store.commit_inventory(&stale, &commit, now).await.unwrap_err().kind,
        w.store.fail_image(&stale, &x, "no", &versions("1"), now).await.unwrap_err().kind,
        w.store.heartbeat(&stale, MINUTE_MS, now).await.unwrap_err().kind,
        w.store.finish(&stale, &JobOutcome::Done, now).await.unwrap_err().kind,
    ];
    assert_eq!(refused, [ErrorKind::StaleLease; 9]);
    assert_eq!(w.store.stale_writes().await.unwrap(), 9);
    // Nothing was written.
    assert_eq!(w.tags(&a).await[0].1.deleted_at, None);
    assert_eq!(w.store.facts(&facts.blob, &[Reader::Server], &versions("1")).await.unwrap(), None);
    assert_eq!(w.store.inventory_census().await.unwrap(), []);
    assert_eq!(w.image("x").await.state, ImageState::Scanning);
    assert_eq!(w.marked().await, [""; 0]);
    w.store.commit_inventory(&current, &commit, now).await.unwrap();
    w.done(&current).await;
    assert_eq!(w.store.finish(&current, &JobOutcome::Done, now).await.unwrap_err().kind, ErrorKind::StaleLease);
}

pub(crate) async fn a_late_holder_may_write_while_nobody_took_over(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(JobWork::Discover { registry: a.id }, Reader::Server).await;
    let late = take(w, "one", at(1)).await.unwrap();
    // Someone looks for other work meanwhile.
    assert_eq!(w.store.lease("two", &[Reader::Server], &["scan"], MINUTE_MS, at(500)).await.unwrap(), None);
    w.store.record_tags(&late, "app", &[seen("1", "x")], at(500)).await.unwrap();
    let extended = w.store.heartbeat(&late, MINUTE_MS, at(500)).await.unwrap();
    assert_eq!(extended.deadline, at(560));
    assert_eq!(take(w, "two", at(559)).await, None);
    assert_eq!(w.store.stale_writes().await.unwrap(), 0);
}

pub(crate) async fn a_forged_lease_is_refused(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    let lease = w.discovery(&a, Reader::Server).await;
    let forged = [
        Lease { token: FencingToken(lease.token.0 + 1), ..lease.clone() },
        Lease { token: FencingToken(0), ..lease.clone() },
        Lease { job: Id::new(lease.job.get() + 1), ..lease.clone() },
        Lease { work: JobWork::Discover { registry: b.id }, ..lease.clone() },
    ];
    for forged in forged {
        let error = w.store.record_tags(&forged, "app", &[seen("1", "x")], at(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::StaleLease, "{forged:?}");
    }
    assert_eq!(w.tags(&b).await.len() + w.tags(&a).await.len(), 0);
}

pub(crate) async fn heartbeats_extend_leases(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(resolve(&a, "x"), Reader::Server).await;
    let lease = take(w, "one", at(1)).await.unwrap();
    let longer = w.store.heartbeat(&lease, MINUTE_MS, at(50)).await.unwrap();
    assert_eq!(longer, Lease { deadline: at(110), ..lease.clone() });
    assert_eq!(take(w, "two", at(109)).await, None);
    assert!(take(w, "two", at(110)).await.is_some());
    assert_eq!(w.store.heartbeat(&longer, MINUTE_MS, at(111)).await.unwrap_err().kind, ErrorKind::StaleLease);
}

pub(crate) async fn retries_come_back_with_their_error(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(resolve(&a, "x"), Reader::Server).await;
    let first = take(w, "one", at(1)).await.unwrap();
    let again = JobOutcome::Retry { after: at(30), error: "timeout".to_owned() };
    w.store.finish(&first, &again, at(2)).await.unwrap();
    let view = w.store.jobs(&Scope::All, &JobFilter::default(), &Page::first(1)).await.unwrap().remove(0);
    assert_eq!(
        (&*view.state, view.holder, view.error.as_deref(), view.due_at),
        ("queued", None, Some("timeout"), at(30))
    );
    assert_eq!(w.store.heartbeat(&first, MINUTE_MS, at(3)).await.unwrap_err().kind, ErrorKind::StaleLease);
    assert_eq!(take(w, "one", at(29)).await, None);
    assert_eq!(take(w, "one", at(30)).await.unwrap().attempts, 1);
}

pub(crate) async fn over_jobs_stay_for_people(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    for (registry, name, outcome) in [
        (&a, "x", Some(JobOutcome::Done)),
        (&b, "y", Some(JobOutcome::Failed { error: "denied".to_owned() })),
        (&b, "z", None),
    ] {
        w.enqueue(resolve(registry, name), Reader::Server).await;
        if let Some(outcome) = outcome {
            let lease = take(w, "h", at(1)).await.unwrap();
            w.store.finish(&lease, &outcome, at(2)).await.unwrap();
        }
    }
    let list = async |filter: JobFilter, page: Page| {
        let jobs = w.store.jobs(&Scope::All, &filter, &page).await.unwrap();
        jobs.iter().map(|j| format!("{} {}", j.state, j.error.as_deref().unwrap_or("-"))).collect::<Vec<_>>()
    };
    assert_eq!(list(JobFilter::default(), Page::first(9)).await, ["queued -", "failed denied", "done -"]);
    assert_eq!(
        list(JobFilter { registry: Some(b.id), live: false }, Page::first(9)).await,
        ["queued -", "failed denied"]
    );
    assert_eq!(list(JobFilter { registry: None, live: true }, Page::first(9)).await, ["queued -"]);
    let first = w.store.jobs(&Scope::All, &JobFilter::default(), &Page::first(2)).await.unwrap();
    let next = page(2, first.last().map(|j| j.id.to_string()));
    assert_eq!(list(JobFilter::default(), next).await, ["done -"]);
}

pub(crate) async fn next_due_is_the_earliest(w: &World) {
    let a = w.registry("a").await;
    let server = [Reader::Server];
    assert_eq!(w.store.next_due(&server).await.unwrap(), None);
    w.store.enqueue(&[job(resolve(&a, "x"), 0, at(10)), job(resolve(&a, "y"), 0, at(90))], at(0)).await.unwrap();
    assert_eq!(w.store.next_due(&server).await.unwrap(), Some(at(10)));
    assert_eq!(w.store.next_due(&[group("g")]).await.unwrap(), None);
    assert_eq!(w.store.next_due(&[group("g"), Reader::Server]).await.unwrap(), Some(at(10)));
    let lease = take(w, "h", at(10)).await.unwrap();
    assert_eq!(w.store.next_due(&server).await.unwrap(), Some(at(70)), "the end of the lease");
    w.done(&lease).await;
    assert_eq!(w.store.next_due(&server).await.unwrap(), Some(at(90)));
}

pub(crate) async fn many_tasks_get_each_job_once(w: &World) {
    let registries = [w.registry("a").await, w.registry("b").await];
    let jobs: Vec<NewJob> = (0..120).map(|n| job(resolve(&registries[n % 2], &n.to_string()), 0, at(0))).collect();
    w.store.enqueue(&jobs, at(0)).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let store = w.store.clone();
        tasks.push(tokio::spawn(async move {
            let mut got = Vec::new();
            let holder = format!("worker {n}");
            while let Some(lease) = store.lease(&holder, &[Reader::Server], &KINDS, MINUTE_MS, at(1)).await.unwrap() {
                assert_eq!(store.holder(&lease).await.unwrap().as_deref(), Some(&*holder));
                store.finish(&lease, &JobOutcome::Done, at(1)).await.unwrap();
                got.push(lease);
            }
            got
        }));
    }
    let mut leases = Vec::new();
    for task in tasks {
        leases.extend(task.await.unwrap());
    }
    assert_eq!(leases.len(), 120);
    assert_eq!(leases.iter().map(|l| l.job).collect::<BTreeSet<_>>().len(), 120);
    assert_eq!(leases.iter().map(|l| l.token).collect::<BTreeSet<_>>().len(), 120);
    assert_eq!(w.store.stale_writes().await.unwrap(), 0);
}

pub(crate) async fn jobs_of_disabled_registries_rest(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(resolve(&a, "x"), Reader::Server).await;
    let set = async |enabled: bool| {
        let config = RegistryConfig { enabled, ..config("a") };
        w.store.update_registry(a.id, &config, CredentialsChange::Keep, "ann", at(1)).await.unwrap();
    };
    set(false).await;
    assert_eq!(take(w, "h", at(2)).await, None);
    assert_eq!(w.store.next_due(&[Reader::Server]).await.unwrap(), None);
    set(true).await;
    assert!(take(w, "h", at(2)).await.is_some());
}

pub(crate) async fn holders_are_told_apart(w: &World) {
    let a = w.registry("a").await;
    w.enqueue(resolve(&a, "x"), Reader::Server).await;
    let first = take(w, "agent:1", at(1)).await.unwrap();
    assert_eq!(w.store.holder(&first).await.unwrap().as_deref(), Some("agent:1"));
    let second = take(w, "agent:2", at(100)).await.unwrap();
    assert_eq!(w.store.holder(&first).await.unwrap(), None);
    assert_eq!(w.store.holder(&second).await.unwrap().as_deref(), Some("agent:2"));
    w.done(&second).await;
    assert_eq!(w.store.holder(&second).await.unwrap(), None);
    assert_eq!(w.store.stale_writes().await.unwrap(), 0, "asking is no write");
}

pub(crate) async fn jobs_of_unknown_registries_are_left_out(w: &World) {
    let a = w.registry("a").await;
    let gone = JobWork::Discover { registry: Id::new(77) };
    let jobs = [job(gone, 0, at(0)), job(resolve(&a, "x"), 0, at(0))];
    assert_eq!(w.store.enqueue(&jobs, at(0)).await.unwrap(), 1);
    assert_eq!(w.store.enqueue(&[], at(0)).await.unwrap(), 0);
}

pub(crate) async fn tokens_only_grow(w: &World) {
    let a = w.registry("a").await;
    let mut last = FencingToken(0);
    for n in 0..5 {
        w.enqueue(resolve(&a, &n.to_string()), Reader::Server).await;
        let lease = take(w, "h", at(1)).await.unwrap();
        assert!(lease.token > last);
        last = lease.token;
        w.done(&lease).await;
    }
}

pub(crate) async fn a_holder_that_starts_anew_gives_back(w: &World) {
    let a = w.registry("a").await;
    for name in ["x", "y", "z"] {
        w.enqueue(resolve(&a, name), Reader::Server).await;
    }
    let (one, two) = (take(w, "me", at(1)).await.unwrap(), take(w, "me", at(1)).await.unwrap());
    let other = take(w, "other", at(1)).await.unwrap();
    w.store.claim_blob(&one, &digest("blob"), &Reader::Server, at(1)).await.unwrap();
    assert_eq!(w.store.give_back("me", at(2)).await.unwrap(), 2);
    assert_eq!(w.store.give_back("me", at(2)).await.unwrap(), 0);
    for lease in [&one, &two] {
        assert_eq!(w.store.heartbeat(lease, MINUTE_MS, at(2)).await.unwrap_err().kind, ErrorKind::StaleLease);
    }
    w.store.heartbeat(&other, MINUTE_MS, at(2)).await.unwrap();
    let again = take(w, "new", at(2)).await.unwrap();
    assert_eq!((again.job, again.attempts), (one.job, 1));
}
