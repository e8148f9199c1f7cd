//! Promises of `Images`.

use crate::world::*;
use model::discovery::ResolvedContent;
use model::job::{ImageState, JobOutcome};
use model::{ImageInventory, LayerInventory, PackageFormat, PackageKey, Reader, Scope};
use store::ErrorKind;
use store::types::*;

async fn stored(w: &World, image: &str, readers: &[Reader]) -> Option<ImageInventory> {
    w.store.inventory(&Scope::All, &digest(image), readers).await.unwrap().map(|s| s.inventory)
}

async fn states(w: &World, filter: ImageFilter) -> Vec<ImageState> {
    let images = w.store.images(&Scope::All, &filter, &Page::first(99)).await.unwrap();
    images.iter().map(|i| i.state).collect()
}

pub(crate) async fn an_inventory_comes_back_whole(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    // Enough packages for several sets.
    let keys: Vec<PackageKey> = (0..300).map(|n| key(&format!("p{n}"), "1.0-r0")).collect();
    let mut inventory = inventory("app", &keys);
    inventory.packages[7].owner = Some("musl".to_owned());
    inventory.packages[8].key = PackageKey::new(PackageFormat::Npm, "@babel/core", "7.0.0");
    w.commit(&a, "app", Reader::Server, &inventory).await;
    let back = w.store.inventory(&Scope::All, &digest("app"), &[Reader::Server]).await.unwrap().unwrap();
    assert_eq!(back.inventory, inventory);
    assert_eq!((back.reader, back.committed_at), (Reader::Server, at(2)));
    let view = w.image("app").await;
    assert_eq!((view.state, view.scanned_at, view.reader), (ImageState::Scanned, Some(at(2)), Some(Reader::Server)));
    assert_eq!(view.resolved, resolved("app"));
    assert_eq!(stored(w, "app", &[group("g")]).await, None);
    assert_eq!(stored(w, "other", &[Reader::Server]).await, None);
}

pub(crate) async fn a_commit_is_idempotent(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let other = inventory("app", &[key("other", "1")]);
    let before = stored(w, "app", &[Reader::Server]).await;
    w.commit(&a, "app", Reader::Server, &other).await;
    assert_eq!(stored(w, "app", &[Reader::Server]).await, before, "the first stays");
    assert_eq!(w.marked().await, [""; 0]);
    let census = w.store.inventory_census().await.unwrap();
    assert_eq!(census.iter().map(|c| (c.image, c.rows)).collect::<Vec<_>>(), [(digest("app"), 1)]);
}

pub(crate) async fn packages_are_shared(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x", "y"]).await;
    let shared: Vec<PackageKey> = (0..200).map(|n| key(&format!("p{n}"), "1")).collect();
    w.commit(&a, "x", Reader::Server, &inventory("x", &shared)).await;
    w.commit(&a, "y", Reader::Server, &inventory("y", &[&shared[..], &[key("extra", "1")]].concat())).await;
    let distinct = w.store.packages_to_match(1000).await.unwrap();
    assert_eq!(distinct.len(), 201);
    // Equal but for one part of the key is another package.
    let other = PackageKey { architecture: Some("aarch64".to_owned()), ..key("p0", "1") };
    w.images_in(&a, "arm", Reader::Server, &["z"]).await;
    w.commit(&a, "z", Reader::Server, &inventory("z", &[other])).await;
    assert_eq!(w.store.packages_to_match(1000).await.unwrap().len(), 202);
}

pub(crate) async fn newer_detectors_replace_an_inventory(w: &World) {
    let a = w.scanned("a", &["app"]).await;
    let newer = ImageInventory { detectors: versions("2"), ..inventory("app", &[key("new", "1")]) };
    w.commit(&a, "app", Reader::Server, &newer).await;
    assert_eq!(stored(w, "app", &[Reader::Server]).await, Some(newer));
    assert_eq!(w.marked().await, ["a/app"]);
    let census = w.store.inventory_census().await.unwrap();
    assert_eq!(census.len(), 1);
    assert!(census[0].detectors.contains("packages=2"), "{}", census[0].detectors);
}

pub(crate) async fn gaps_make_way(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    let commit = async |state: ImageState, package: &str| {
        let lease = w.scan(&a, "app", Reader::Server).await;
        let inventory = inventory("app", &[key(package, "1")]);
        let image = digest("app");
        let commit = InventoryCommit {
            image: &image,
            reader: &Reader::Server,
            inventory: &inventory,
            versions: &inventory.detectors,
            state,
        };
        w.store.commit_inventory(&lease, &commit, at(2)).await.unwrap();
        w.done(&lease).await;
        let package = stored(w, "app", &[Reader::Server]).await.unwrap().packages.remove(0);
        (w.image("app").await.state, package.key.name)
    };
    assert_eq!(commit(ImageState::Partial, "one").await, (ImageState::Partial, "one".to_owned()));
    // Facts are kept, so a later reading of a part knows at least as much.
    assert_eq!(commit(ImageState::Partial, "two").await, (ImageState::Partial, "two".to_owned()));
    assert_eq!(commit(ImageState::Scanned, "three").await, (ImageState::Scanned, "three".to_owned()));
    assert_eq!(commit(ImageState::Partial, "four").await, (ImageState::Scanned, "three".to_owned()));
    let lease = w.scan(&a, "app", Reader::Server).await;
    let (image, inventory) = (digest("app"), inventory("app", &[]));
    let odd = InventoryCommit {
        image: &image,
        reader: &Reader::Server,
        inventory: &inventory,
        versions: &inventory.detectors,
        state: ImageState::Failed,
    };
    assert_eq!(w.store.commit_inventory(&lease, &odd, at(2)).await.unwrap_err().kind, ErrorKind::Malformed);
}

pub(crate) async fn a_leased_image_is_scanning(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    let lease = w.scan(&a, "app", Reader::Server).await;
    assert_eq!(w.image("app").await.state, ImageState::Scanning);
    assert_eq!(w.store.registry_counts(&Scope::All, a.id).await.unwrap().scanning, 1);
    let again = JobOutcome::Retry { after: at(9), error: "timeout".to_owned() };
    w.store.finish(&lease, &again, at(2)).await.unwrap();
    assert_eq!(w.image("app").await.state, ImageState::Pending);
    let lease = w.store.lease("h", &[Reader::Server], &["scan"], MINUTE_MS, at(9)).await.unwrap().unwrap();
    assert_eq!(w.image("app").await.state, ImageState::Scanning);
    w.done(&lease).await;
}

pub(crate) async fn failures_say_why(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    w.judge_all().await;
    let lease = w.scan(&a, "app", Reader::Server).await;
    w.store.fail_image(&lease, &digest("app"), "blob is missing", &versions("1"), at(3)).await.unwrap();
    w.store.finish(&lease, &JobOutcome::Failed { error: "blob is missing".to_owned() }, at(3)).await.unwrap();
    let view = w.image("app").await;
    assert_eq!((view.state, view.reason.as_deref()), (ImageState::Failed, Some("blob is missing")));
    assert_eq!(w.marked().await, ["a/app"], "the gap must be shown");
    w.commit(&a, "app", Reader::Server, &inventory("app", &[])).await;
    let view = w.image("app").await;
    assert_eq!((view.state, view.reason), (ImageState::Scanned, None));
}

pub(crate) async fn what_a_group_read_stays_in_the_group(w: &World) {
    let (cloud, broker) = (w.registry("cloud").await, w.brokered("broker", "g").await);
    // The agent forges the description and the inventory of an image that the server found as well.
    let lease = w.discovery(&broker, group("g")).await;
    let mut forged = resolved("app");
    forged.layers.truncate(1);
    let content = ResolvedContent::Image { image: Box::new(forged.clone()) };
    w.store.record_tags(&lease, "app", &[seen("app", "app")], at(1)).await.unwrap();
    w.store.record_manifest(&lease, "app", &manifest_of("app", content), at(1)).await.unwrap();
    w.commit(&broker, "app", group("g"), &inventory("app", &[])).await;
    w.images_in(&cloud, "app", Reader::Server, &["app"]).await;
    w.judge_all().await;
    let (server, both) = ([Reader::Server], [Reader::Server, group("g")]);
    assert_eq!(w.store.unscanned(cloud.id, &server, &versions("1"), at(5)).await.unwrap().len(), 1);
    assert_eq!(w.store.unscanned(broker.id, &both, &versions("1"), at(5)).await.unwrap(), []);
    let in_cloud = ImageFilter { registry: Some(cloud.id), ..ImageFilter::default() };
    let view = w.store.images(&Scope::All, &in_cloud, &Page::first(9)).await.unwrap().remove(0);
    assert_eq!((view.state, view.resolved.layers.len(), view.reader), (ImageState::Pending, 2, None));
    let images = w.store.registry_images(cloud.id, "app").await.unwrap();
    assert_eq!((images[0].state, images[0].resolved.layers.len()), (ImageState::Pending, 2));
    assert_eq!(w.tags(&cloud).await[0].1.images[0].state, ImageState::Pending);
    assert_eq!(w.store.registry_counts(&Scope::All, cloud.id).await.unwrap().pending, 1);
    assert_eq!(stored(w, "app", &server).await, None);
    assert_eq!(w.store.manifest(&digest("app"), &[group("g")]).await.unwrap(), ManifestView::Image(Box::new(forged)));
    let ours = ManifestView::Image(Box::new(resolved("app")));
    assert_eq!(w.store.manifest(&digest("app"), &both).await.unwrap(), ours);
    // A later write of the group marks its own repositories only.
    let newer = ImageInventory { detectors: versions("2"), ..inventory("app", &[]) };
    w.commit(&broker, "app", group("g"), &newer).await;
    assert_eq!(w.marked().await, ["broker/app"]);
    // What the server reads serves both, and comes first.
    w.commit(&cloud, "app", Reader::Server, &inventory("app", &[key("real", "1")])).await;
    assert_eq!(stored(w, "app", &both).await.unwrap().packages.len(), 1);
    assert_eq!(w.image("app").await.reader, Some(Reader::Server));
}

pub(crate) async fn images_are_filtered_and_paged(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    w.images_in(&a, "app", Reader::Server, &["x", "y", "z"]).await;
    w.images_in(&b, "base", Reader::Server, &["y"]).await;
    w.commit(&b, "y", Reader::Server, &inventory("y", &[])).await;
    let all = ImageFilter::default();
    assert_eq!(states(w, all.clone()).await.len(), 3);
    assert_eq!(states(w, ImageFilter { registry: Some(b.id), ..all.clone() }).await, [ImageState::Scanned]);
    assert_eq!(states(w, ImageFilter { repository: Some("base".into()), ..all.clone() }).await, [ImageState::Scanned]);
    assert_eq!(states(w, ImageFilter { tag: Some("z".into()), ..all.clone() }).await, [ImageState::Pending]);
    assert_eq!(states(w, ImageFilter { state: Some(ImageState::Scanned), ..all.clone() }).await.len(), 1);
    let other = ImageFilter { registry: Some(b.id), tag: Some("x".into()), ..all.clone() };
    assert_eq!(states(w, other).await, []);
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..3 {
        let rows = w.store.images(&Scope::All, &all, &page(1, cursor)).await.unwrap();
        found.push(rows[0].digest);
        cursor = Some(rows[0].digest.to_string());
    }
    let mut expect = [digest("x"), digest("y"), digest("z")];
    expect.sort();
    assert_eq!(found, expect);
    assert_eq!(w.store.images(&Scope::All, &all, &page(1, cursor)).await.unwrap(), []);
    let references = w.image("y").await.references;
    let places: Vec<_> = references.iter().map(|r| (&*r.registry_name, &*r.repository, &*r.tag)).collect();
    assert_eq!(places, [("a", "app", "y"), ("b", "base", "y")]);
    assert_eq!(w.store.image(&Scope::All, &digest("no")).await.unwrap_err().kind, ErrorKind::NotFound);
}

pub(crate) async fn a_whole_reading_drops_the_facts_of_old_versions(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    let blob = resolved("app").layers[0].blob;
    let lease = w.scan(&a, "app", Reader::Server).await;
    let facts = |fingerprint: &str| LayerInventory {
        blob,
        diff_id: digest("diff"),
        bytes: 1,
        bytes_uncompressed: 1,
        detectors: versions(fingerprint)
            .into_iter()
            .map(|version| (version.detector, model::inventory::DetectorFacts::new(version)))
            .collect(),
    };
    for fingerprint in ["1", "2"] {
        w.store.put_facts(&lease, &Reader::Server, &facts(fingerprint), at(1)).await.unwrap();
    }
    w.done(&lease).await;
    let known = async |fingerprint: &str| {
        w.store.facts(&blob, &[Reader::Server], &versions(fingerprint)).await.unwrap().is_some()
    };
    let newer = ImageInventory { detectors: versions("2"), ..inventory("app", &[]) };
    w.commit(&a, "app", Reader::Server, &newer).await;
    assert_eq!((known("1").await, known("2").await), (false, true));
}

pub(crate) async fn an_unknown_image_is_refused(w: &World) {
    let a = w.registry("a").await;
    let lease = w.scan(&a, "ghost", Reader::Server).await;
    let (image, inventory) = (digest("ghost"), inventory("ghost", &[]));
    let commit = InventoryCommit {
        image: &image,
        reader: &Reader::Server,
        inventory: &inventory,
        versions: &inventory.detectors,
        state: ImageState::Scanned,
    };
    assert_eq!(w.store.commit_inventory(&lease, &commit, at(1)).await.unwrap_err().kind, ErrorKind::NotFound);
    let failed = w.store.fail_image(&lease, &image, "x", &versions("1"), at(1)).await;
    assert_eq!(failed.unwrap_err().kind, ErrorKind::NotFound);
}

pub(crate) async fn manifests_tell_image_index_and_other(w: &World) {
    let a = w.registry("a").await;
    let lease = w.discovery(&a, Reader::Server).await;
    let chart = manifest_of("chart", ResolvedContent::Artifact { what: "Helm chart".to_owned() });
    for manifest in [manifest("app"), index("index", &[("x", "amd64"), ("y", "arm64")]), chart] {
        w.store.record_manifest(&lease, "app", &manifest, at(1)).await.unwrap();
    }
    let view = async |name: &str| w.store.manifest(&digest(name), &[Reader::Server]).await.unwrap();
    assert_eq!(view("app").await, ManifestView::Image(Box::new(resolved("app"))));
    let members = vec![(platform("amd64"), digest("x")), (platform("arm64"), digest("y"))];
    assert_eq!(view("index").await, ManifestView::Index(members));
    assert_eq!(view("chart").await, ManifestView::Other("Helm chart".to_owned()));
    assert_eq!(view("ghost").await, ManifestView::Unknown);
    assert!(matches!(view("x").await, ManifestView::Image(_)));
    assert_eq!(w.store.manifest(&digest("index"), &[group("g")]).await.unwrap(), ManifestView::Unknown);
}

pub(crate) async fn a_commit_marks_for_judgement(w: &World) {
    let (a, b) = (w.registry("a").await, w.registry("b").await);
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    w.images_in(&b, "copy", Reader::Server, &["x", "y"]).await;
    w.images_in(&b, "other", Reader::Server, &["y"]).await;
    w.judge_all().await;
    w.commit(&a, "x", Reader::Server, &inventory("x", &[])).await;
    assert_eq!(w.marked().await, ["a/app", "b/copy"]);
}

pub(crate) async fn large_inventories_are_replaced(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["app"]).await;
    for round in 0..4 {
        let mut large = ImageInventory { detectors: versions(&round.to_string()), ..inventory("app", &[]) };
        large.files = (0..4000).map(|n| file(&format!("usr/bin/{n}"), &format!("{round} {n}"))).collect();
        w.commit(&a, "app", Reader::Server, &large).await;
        assert_eq!(stored(w, "app", &[Reader::Server]).await, Some(large));
    }
}

pub(crate) async fn the_longest_known_beginning_is_the_base(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["small", "large", "app", "other"]).await;
    let layers_of = |names: &[&str]| -> Vec<model::Layer> {
        let layer = |(at, name): (usize, &&str)| model::Layer {
            index: u32::try_from(at).unwrap(),
            blob: digest(name),
            ..resolved("x").layers.swap_remove(0)
        };
        names.iter().enumerate().map(layer).collect()
    };
    let images: [(&str, &[&str]); 4] =
        [("small", &["l0"]), ("large", &["l0", "l1"]), ("app", &["l0", "l1", "l2"]), ("other", &["l1", "l0"])];
    for (image, layers) in images {
        let inventory = ImageInventory { layers: layers_of(layers), files: Vec::new(), ..inventory(image, &[]) };
        w.commit(&a, image, Reader::Server, &inventory).await;
    }
    let base = async |names: &[&str], readers: &[Reader]| {
        let layers: Vec<_> = names.iter().map(|name| digest(name)).collect();
        w.store.bases_of(&layers, readers, 1).await.unwrap().into_iter().next()
    };
    let server = [Reader::Server];
    assert_eq!(base(&["l0", "l1", "l2"], &server).await, Some((digest("large"), 2)), "not the image itself");
    assert_eq!(base(&["l0", "l1"], &server).await, Some((digest("small"), 1)));
    assert_eq!(base(&["l0", "l9", "l2"], &server).await, Some((digest("small"), 1)), "layers in between count");
    assert_eq!(base(&["l1", "l0", "l2"], &server).await, Some((digest("other"), 2)), "the order counts");
    assert_eq!(base(&["l0"], &server).await, None);
    assert_eq!(base(&[], &server).await, None);
    assert_eq!(base(&["l2", "l1"], &server).await, None);
    assert_eq!(base(&["l0", "l1", "l2"], &[group("g")]).await, None, "what others read does not count");
    let layers = ["l0", "l1", "l2"].map(digest);
    let all = w.store.bases_of(&layers, &server, 9).await.unwrap();
    assert_eq!(all, [(digest("large"), 2), (digest("small"), 1)], "the longest first");
    assert_eq!(w.store.bases_of(&layers, &server, 0).await.unwrap(), []);
}

pub(crate) async fn an_import_is_found_like_an_image(w: &World) {
    let a = w.registry("a").await;
    let import = async |tag: &str, name: &str| {
        let (image, inventory) = (resolved(name), inventory(name, &[key("p", "1")]));
        let registry = a.id;
        let import =
            Import { registry, repository: "sboms", tag, image: &image, media_type: "x", inventory: &inventory };
        w.store.import_inventory(&import, "somebody", at(3)).await.unwrap();
    };
    import("1", "first").await;
    import("2", "first").await;
    import("1", "second").await;
    import("1", "second").await;
    assert_eq!(stored(w, "second", &[Reader::Server]).await, Some(inventory("second", &[key("p", "1")])));
    let filter = TagFilter { repository: Some("sboms".to_owned()), tag: None };
    let tags = w.store.tags(&Scope::All, a.id, &filter, &Page::first(9)).await.unwrap();
    let shown: Vec<_> = tags.iter().map(|tag| (tag.tag.as_str(), tag.digest, tag.history.len())).collect();
    assert_eq!(shown, [("1", digest("second"), 2), ("2", digest("first"), 1)]);
    assert_eq!(tags[0].images[0].state, ImageState::Scanned);
    assert_eq!(w.store.packages_to_match(9).await.unwrap().len(), 1);
    let log = w.store.audit_log(&Scope::All, &Page::first(9)).await.unwrap();
    assert_eq!(log.iter().filter(|entry| entry.what == "sbom.import").count(), 4);
}
