//! Promises of `Discovery`.

use crate::world::*;
use model::discovery::{ResolvedContent, ResolvedImage, SeenTag, TagDelta};
use model::job::ImageState;
use model::{Reader, Scope};
use store::types::*;

fn moves(view: &TagView) -> Vec<(model::Digest, model::Timestamp, Option<model::Timestamp>)> {
    view.history.iter().map(|m| (m.digest, m.from, m.to)).collect()
}

pub(crate) async fn tags_have_a_history_of_moves(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let first = w.store.record_tags(&lease, "app", &[seen("1", "one"), seen("2", "two")], at(10)).await.unwrap();
    assert_eq!(first, TagDelta { new: 2, moved: 0, deleted: 0 });
    assert_eq!(w.marked().await, ["a/app"]);
    w.judge_all().await;
    let second = w.store.record_tags(&lease, "app", &[seen("1", "uno"), seen("2", "two")], at(20)).await.unwrap();
    assert_eq!(second, TagDelta { new: 0, moved: 1, deleted: 0 });
    assert_eq!(w.marked().await, ["a/app"]);
    let tags = w.tags(&a).await;
    assert_eq!(tags.iter().map(|t| &*t.0).collect::<Vec<_>>(), ["app:1", "app:2"]);
    let (one, two) = (&tags[0].1, &tags[1].1);
    assert_eq!((one.digest, one.first_seen, one.last_seen), (digest("uno"), at(10), at(20)));
    assert_eq!(moves(one), [(digest("one"), at(10), Some(at(20))), (digest("uno"), at(20), None)]);
    assert_eq!(moves(two), [(digest("two"), at(10), None)]);
    let known = w.store.known_tags(a.id, "app").await.unwrap();
    assert_eq!(
        known.iter().map(|k| (&*k.tag, k.digest)).collect::<Vec<_>>(),
        [("1", digest("uno")), ("2", digest("two"))]
    );
}

pub(crate) async fn deleted_tags_come_back_with_their_history(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_tags(&lease, "app", &[seen("1", "one"), seen("2", "two")], at(10)).await.unwrap();
    w.store.record_tags(&lease, "app", &[seen("1", "one"), seen("2", "two")], at(15)).await.unwrap();
    w.judge_all().await;
    let gone = w.store.record_tags(&lease, "app", &[seen("2", "two")], at(20)).await.unwrap();
    assert_eq!(gone, TagDelta { new: 0, moved: 0, deleted: 1 });
    assert_eq!(w.marked().await, ["a/app"]);
    let (_, view) = w.tags(&a).await.remove(0);
    assert_eq!((view.deleted_at, view.last_seen), (Some(at(20)), at(15)));
    assert_eq!(moves(&view), [(digest("one"), at(10), Some(at(20)))]);
    assert_eq!(w.store.known_tags(a.id, "app").await.unwrap().len(), 1);
    let back = w.store.record_tags(&lease, "app", &[seen("1", "one"), seen("2", "two")], at(30)).await.unwrap();
    assert_eq!(back, TagDelta { new: 1, moved: 0, deleted: 0 });
    let (_, view) = w.tags(&a).await.remove(0);
    assert_eq!((view.deleted_at, view.first_seen, view.last_seen), (None, at(10), at(30)));
    assert_eq!(moves(&view), [(digest("one"), at(10), Some(at(20))), (digest("one"), at(30), None)]);
}

pub(crate) async fn recording_the_same_tags_changes_nothing(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let tags = [seen("1", "one"), seen("1", "one")];
    w.store.record_tags(&lease, "app", &tags, at(10)).await.unwrap();
    w.judge_all().await;
    let delta = w.store.record_tags(&lease, "app", &tags, at(20)).await.unwrap();
    assert_eq!(delta, TagDelta::default());
    assert_eq!(w.marked().await, [""; 0]);
    assert_eq!(w.tags(&a).await[0].1.history.len(), 1);
    // Another verdict of the scan configuration is no move, and is judged.
    let unwanted = SeenTag { wanted: false, why_not: Some("excluded".to_owned()), ..seen("1", "one") };
    assert_eq!(w.store.record_tags(&lease, "app", &[unwanted], at(30)).await.unwrap(), TagDelta::default());
    assert_eq!(w.marked().await, ["a/app"]);
    let (_, view) = w.tags(&a).await.remove(0);
    assert_eq!((view.wanted, view.note.as_deref(), view.history.len()), (false, Some("excluded"), 1));
}

pub(crate) async fn repositories_missing_from_a_complete_list_are_gone(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    w.store.record_repositories(&lease, &names(&["x", "y"]), true, at(10)).await.unwrap();
    for name in ["x", "y"] {
        w.store.record_tags(&lease, name, &[seen("1", name)], at(10)).await.unwrap();
    }
    w.judge_all().await;
    w.store.record_repositories(&lease, &names(&["x"]), false, at(20)).await.unwrap();
    assert_eq!(w.marked().await, [""; 0], "a part of a list tells nothing about the rest");
    w.store.record_repositories(&lease, &names(&["x"]), true, at(30)).await.unwrap();
    assert_eq!(w.marked().await, ["a/y"]);
    let repositories = w.store.repositories(&Scope::All, a.id, &Page::first(10)).await.unwrap();
    let gone: Vec<_> = repositories.iter().map(|r| (&*r.name, r.gone, r.tags, r.last_seen)).collect();
    assert_eq!(gone, [("x", false, 1, at(30)), ("y", true, 0, at(10))]);
    assert_eq!(w.tags(&a).await[1].1.deleted_at, Some(at(30)));
    w.store.record_repositories(&lease, &names(&["x", "y"]), true, at(40)).await.unwrap();
    let repositories = w.store.repositories(&Scope::All, a.id, &Page::first(10)).await.unwrap();
    assert!(!repositories[1].gone);
}

pub(crate) async fn unresolved_are_wanted_live_digests(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let unwanted = SeenTag { wanted: false, ..seen("old", "old") };
    w.store.record_tags(&lease, "b", &[seen("1", "one"), seen("2", "two"), unwanted], at(1)).await.unwrap();
    w.store.record_tags(&lease, "a", &[seen("1", "one"), seen("3", "three")], at(1)).await.unwrap();
    w.store.record_tags(&lease, "a", &[seen("1", "one")], at(2)).await.unwrap();
    let expect = [("a".to_owned(), digest("one")), ("b".to_owned(), digest("two"))];
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), expect);
    w.store.record_manifest(&lease, "a", &manifest("one"), at(3)).await.unwrap();
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), expect[1..]);
}

pub(crate) async fn a_manifest_makes_images_of_each_member(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_tags(&lease, "app", &[seen("1", "index"), seen("latest", "index")], at(1)).await.unwrap();
    w.judge_all().await;
    w.store.record_manifest(&lease, "app", &index("index", &[("x", "amd64"), ("y", "arm64")]), at(2)).await.unwrap();
    assert_eq!(w.marked().await, ["a/app"]);
    for (name, architecture) in [("x", "amd64"), ("y", "arm64")] {
        let image = w.image(name).await;
        assert_eq!(image.state, ImageState::Pending);
        assert_eq!(image.resolved.platform, platform(architecture));
        assert_eq!(image.references.iter().map(|r| &*r.tag).collect::<Vec<_>>(), ["1", "latest"]);
    }
    let (_, tag) = w.tags(&a).await.remove(0);
    let images: Vec<_> = tag.images.iter().map(|i| (i.platform.clone(), i.digest, i.state)).collect();
    let pending = ImageState::Pending;
    assert_eq!(images, [(platform("amd64"), digest("x"), pending), (platform("arm64"), digest("y"), pending)]);
    // A tag that comes later and points at the same digest shows the same images at once.
    let tags = [seen("1", "index"), seen("2", "index")];
    w.store.record_tags(&lease, "app", &tags, at(3)).await.unwrap();
    assert_eq!(w.image("x").await.references.iter().map(|r| &*r.tag).collect::<Vec<_>>(), ["1", "2"]);
}

pub(crate) async fn recording_the_same_manifest_changes_nothing(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_manifest(&lease, "app", &manifest("app"), at(9)).await.unwrap();
    assert_eq!(w.marked().await, [""; 0]);
    assert_eq!(w.image("app").await.state, ImageState::Scanned);
}

pub(crate) async fn artifacts_are_no_images(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_tags(&lease, "app", &[seen("chart", "chart"), seen("huge", "huge")], at(1)).await.unwrap();
    let chart = ResolvedContent::Artifact { what: "Helm chart".to_owned() };
    w.store.record_manifest(&lease, "app", &manifest_of("chart", chart), at(1)).await.unwrap();
    let huge = ResolvedContent::Unreadable { reason: "over 4 MiB".to_owned() };
    w.store.record_manifest(&lease, "app", &manifest_of("huge", huge), at(1)).await.unwrap();
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), []);
    assert_eq!(w.store.unscanned(a.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap(), []);
    let notes: Vec<_> = w.tags(&a).await.into_iter().map(|(_, t)| t.note.unwrap_or_default()).collect();
    assert_eq!(notes, ["Helm chart", "over 4 MiB"]);
    // What could not be read once may be readable later.
    w.store.record_manifest(&lease, "app", &manifest("huge"), at(2)).await.unwrap();
    assert_eq!(w.image("huge").await.references.len(), 1);
}

fn unread(repository: &str, name: &str) -> Unscanned {
    Unscanned { repository: repository.to_owned(), digest: digest(name), again: false }
}

pub(crate) async fn unscanned_names_each_image_once(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "zoo", Reader::Server, &["x", "y"]).await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    let mut expect = [unread("app", "x"), unread("zoo", "y")];
    expect.sort_by_key(|e| e.digest);
    assert_eq!(w.store.unscanned(a.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap(), expect);
}

pub(crate) async fn unscanned_leaves_out_what_is_read_or_failed_in_these_versions(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["read", "broken"]).await;
    w.commit(&a, "read", Reader::Server, &inventory("read", &[])).await;
    let lease = w.scan(&a, "broken", Reader::Server).await;
    w.store.fail_image(&lease, &digest("broken"), "no such blob", &versions("1"), at(3)).await.unwrap();
    w.done(&lease).await;
    let unscanned = async |readers: &[Reader], fingerprint: &str| {
        w.store.unscanned(a.id, readers, &versions(fingerprint), at(5)).await.unwrap().len()
    };
    let server = [Reader::Server];
    assert_eq!(unscanned(&server, "1").await, 0);
    assert_eq!(unscanned(&server, "2").await, 2);
    assert_eq!(unscanned(&[group("g")], "1").await, 2);
    assert_eq!(unscanned(&[group("g"), Reader::Server], "1").await, 0);
    let mut shuffled = versions("1");
    shuffled.reverse();
    assert_eq!(w.store.unscanned(a.id, &server, &shuffled, at(5)).await.unwrap(), []);
    assert_eq!(w.store.unscanned(a.id, &server, &shuffled[1..], at(5)).await.unwrap().len(), 2);
}

/// Images to read at a moment, with whether they were read before.
async fn due(w: &World, a: &model::registry::Registry, fingerprint: &str, second: i64) -> Vec<bool> {
    let unread = w.store.unscanned(a.id, &[Reader::Server], &versions(fingerprint), at(second)).await.unwrap();
    unread.into_iter().map(|image| image.again).collect()
}

pub(crate) async fn failures_are_due_again_later_and_later(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    let mut second = 10;
    for (tries, wait) in (1..).zip(RETRY_AFTER_SECONDS) {
        let lease = w.scan(&a, "x", Reader::Server).await;
        w.store.fail_image(&lease, &digest("x"), "gone", &versions("1"), at(second)).await.unwrap();
        w.done(&lease).await;
        let view = w.image("x").await;
        let due_at = second + i64::from(wait);
        assert_eq!((view.tries, view.retry_at), (tries, Some(at(due_at))));
        assert_eq!(w.store.next_retry(at(second)).await.unwrap(), Some(at(due_at)));
        assert_eq!(due(w, &a, "1", due_at - 1).await, [false; 0]);
        assert_eq!(due(w, &a, "1", due_at).await, [false]);
        assert_eq!(due(w, &a, "2", second).await, [false], "other detectors may do better at once");
        second = due_at;
    }
    let lease = w.scan(&a, "x", Reader::Server).await;
    w.store.fail_image(&lease, &digest("x"), "gone", &versions("1"), at(second)).await.unwrap();
    w.done(&lease).await;
    assert_eq!(w.image("x").await.retry_at, None, "not for ever");
    assert_eq!((w.store.next_retry(at(0)).await.unwrap(), due(w, &a, "1", second * 9).await), (None, vec![]));
    w.commit(&a, "x", Reader::Server, &inventory("x", &[])).await;
    assert_eq!((w.image("x").await.tries, w.image("x").await.state), (0, ImageState::Scanned));
}

pub(crate) async fn manifests_that_could_not_be_read_are_due_again(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_tags(&lease, "app", &[seen("1", "x")], at(1)).await.unwrap();
    let broken = || manifest_of("x", ResolvedContent::Unreadable { reason: "cut short".to_owned() });
    let unresolved = async || w.store.unresolved(a.id).await.unwrap().len();
    let mut second = 10;
    for wait in RETRY_AFTER_SECONDS {
        w.store.record_manifest(&lease, "app", &broken(), at(second)).await.unwrap();
        let due = second + i64::from(wait);
        assert_eq!(w.store.next_retry(at(second)).await.unwrap(), Some(at(due)));
        assert_eq!((w.store.retry_unreadable(at(due - 1)).await.unwrap(), unresolved().await), (0, 0));
        assert_eq!((w.store.retry_unreadable(at(due)).await.unwrap(), unresolved().await), (1, 1));
        second = due;
    }
    w.store.record_manifest(&lease, "app", &broken(), at(second)).await.unwrap();
    assert_eq!((w.store.next_retry(at(second)).await.unwrap(), unresolved().await), (None, 0), "not for ever");
    w.store.record_manifest(&lease, "app", &manifest("x"), at(second)).await.unwrap();
    assert_eq!(w.image("x").await.references.len(), 1);
}

pub(crate) async fn a_held_image_keeps_its_inventory(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    w.commit(&a, "x", Reader::Server, &inventory("x", &[])).await;
    w.judge_all().await;
    assert_eq!(due(w, &a, "2", 5).await, [true], "read before");
    let lease = w.scan(&a, "x", Reader::Server).await;
    w.store.hold_image(&lease, &digest("x"), "layer 1 is gone", &versions("2"), at(10)).await.unwrap();
    w.done(&lease).await;
    let view = w.image("x").await;
    assert_eq!((view.state, view.reason.as_deref()), (ImageState::Partial, Some("layer 1 is gone")));
    let kept = w.store.inventory(&Scope::All, &digest("x"), &[Reader::Server]).await.unwrap().unwrap();
    assert_eq!(kept.inventory.detectors, versions("1"));
    assert_eq!(w.marked().await, ["a/app"], "the gap must be shown");
    let wait = i64::from(RETRY_AFTER_SECONDS[0]);
    assert_eq!((due(w, &a, "2", 9 + wait).await, due(w, &a, "2", 10 + wait).await), (vec![], vec![true]));
    assert_eq!(due(w, &a, "1", 10 + wait).await, [false; 0], "what is stored is of these versions");
}

pub(crate) async fn images_that_are_not_wanted_are_not_scanned(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let unwanted = SeenTag { wanted: false, ..seen("old", "old") };
    w.store.record_tags(&lease, "app", &[seen("1", "aged"), seen("2", "young"), unwanted], at(1)).await.unwrap();
    let aged = ResolvedImage { why_not: Some("older than 30 days".to_owned()), ..resolved("aged") };
    let aged = manifest_of("aged", ResolvedContent::Image { image: Box::new(aged) });
    for manifest in [aged, manifest("young"), manifest("old")] {
        w.store.record_manifest(&lease, "app", &manifest, at(1)).await.unwrap();
    }
    let unscanned = w.store.unscanned(a.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap();
    assert_eq!(unscanned, [unread("app", "young")]);
    assert_eq!(w.tags(&a).await[0].1.note.as_deref(), Some("older than 30 days"));
    // Another registry may want it.
    let b = w.registry("b").await;
    w.images_in(&b, "app", Reader::Server, &["aged"]).await;
    assert_eq!(w.store.unscanned(b.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap().len(), 1);
    assert_eq!(w.store.unscanned(a.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap().len(), 1);
}

pub(crate) async fn lists_page_stably(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    for name in ["c", "a/b", "a", "b"] {
        w.store.record_tags(&lease, name, &[seen("1", "x"), seen("v2", "x")], at(1)).await.unwrap();
    }
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let rows = w.store.repositories(&Scope::All, a.id, &page(3, cursor)).await.unwrap();
        names.extend(rows.iter().map(|r| r.name.clone()));
        if rows.len() < 3 {
            break;
        }
        // A row that comes in between neither repeats nor hides another.
        w.store.record_tags(&lease, "a0", &[], at(2)).await.unwrap();
        cursor = rows.last().map(|r| r.name.clone());
    }
    assert_eq!(names, ["a", "a/b", "b", "c"]);
    let (mut tags, mut cursor) = (Vec::new(), None);
    loop {
        let rows = w.store.tags(&Scope::All, a.id, &TagFilter::default(), &page(3, cursor)).await.unwrap();
        tags.extend(rows.iter().map(TagView::cursor));
        if rows.len() < 3 {
            break;
        }
        cursor = rows.last().map(TagView::cursor);
    }
    assert_eq!(tags, ["a:1", "a:v2", "a/b:1", "a/b:v2", "b:1", "b:v2", "c:1", "c:v2"]);
    let one = TagFilter { repository: Some("b".to_owned()), tag: Some("v2".to_owned()) };
    assert_eq!(w.store.tags(&Scope::All, a.id, &one, &Page::first(9)).await.unwrap().len(), 1);
    assert!(w.store.tags(&Scope::All, a.id, &one, &page(9, Some("x".to_owned()))).await.is_err());
}

pub(crate) async fn repositories_show_counts(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x", "y"]).await;
    w.images_in(&a, "base", Reader::Server, &["x"]).await;
    w.commit(&a, "x", Reader::Server, &inventory("x", &[])).await;
    for (rule, severity) in [("1", model::Severity::Critical), ("2", model::Severity::Low)] {
        let open = model::issue::Transition::Open(Box::new(desired("a", "app", rule, severity)));
        w.judge(&a, "app", vec![open], at(4)).await;
    }
    let rows = w.store.repositories(&Scope::All, a.id, &Page::first(9)).await.unwrap();
    let counts: Vec<_> = rows.iter().map(|r| (&*r.name, r.tags, r.images, r.scanned, r.issues)).collect();
    assert_eq!(counts, [("app", 2, 2, 1, [1, 0, 0, 1, 0, 0]), ("base", 1, 1, 1, [0; 6])]);
}

pub(crate) async fn two_registries_see_the_same_index_each_in_its_way(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    for (registry, members) in [(&a, &[("x", "amd64")][..]), (&b, &[("x", "amd64"), ("y", "arm64")])] {
        let lease = w.discovery(registry, Reader::Server).await;
        w.store.record_tags(&lease, "app", &[seen("1", "index")], at(1)).await.unwrap();
        w.store.record_manifest(&lease, "app", &index("index", members), at(1)).await.unwrap();
    }
    let unscanned = async |registry: &model::registry::Registry| {
        w.store.unscanned(registry.id, &[Reader::Server], &versions("1"), at(5)).await.unwrap().len()
    };
    assert_eq!((unscanned(&a).await, unscanned(&b).await), (1, 2));
}

pub(crate) async fn the_servers_word_about_a_manifest_comes_first(w: &World) {
    let a = w.brokered("a", "g").await;
    let (server, agent) = (w.discovery(&a, Reader::Server).await, w.discovery(&a, group("g")).await);
    w.store.record_tags(&server, "app", &[seen("1", "index"), seen("2", "later")], at(1)).await.unwrap();
    let (honest, forged) = (index("index", &[("x", "amd64")]), index("index", &[("y", "amd64")]));
    let shown = async || w.tags(&a).await[0].1.images.iter().map(|i| i.digest).collect::<Vec<_>>();
    w.store.record_manifest(&agent, "app", &forged, at(1)).await.unwrap();
    assert_eq!(shown().await, [digest("y")]);
    w.store.record_manifest(&server, "app", &honest, at(2)).await.unwrap();
    assert_eq!(shown().await, [digest("x")]);
    w.store.record_manifest(&agent, "app", &forged, at(3)).await.unwrap();
    assert_eq!(shown().await, [digest("x")]);
    // In another mode the group's word counts no more.
    w.store.record_manifest(&agent, "app", &manifest("later"), at(3)).await.unwrap();
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), []);
    w.store.update_registry(a.id, &config("a"), CredentialsChange::Keep, "ann", at(4)).await.unwrap();
    assert_eq!(w.store.unresolved(a.id).await.unwrap(), [("app".to_owned(), digest("later"))]);
    assert_eq!(shown().await, [digest("x")]);
}
