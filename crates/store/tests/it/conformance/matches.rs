//! Promises of `Matches`.

use crate::world::*;
use model::checksum::Checksum;
use model::ecosystem::{Ecosystem, EcosystemRelease};
use model::id::kind;
use model::inventory::ImageFile;
use model::package::{Distro, SourcePackage};
use model::{Id, ImageInventory, Match, PackageFormat, PackageKey, Reader};
use store::types::*;

type Rows = Vec<(Id<kind::Package>, Vec<Match>)>;

async fn to_match(w: &World) -> Vec<String> {
    let mut names: Vec<_> = w.store.packages_to_match(1000).await.unwrap().into_iter().map(|(_, k)| k.name).collect();
    names.sort();
    names
}

/// Gives every waiting package matches by its name.
async fn match_all(w: &World, generation: u64, affected: &[&str]) -> u64 {
    let rows: Rows = w
        .store
        .packages_to_match(1000)
        .await
        .unwrap()
        .into_iter()
        .map(|(id, key)| (id, if affected.contains(&&*key.name) { vec![matched("CVE-1")] } else { Vec::new() }))
        .collect();
    w.store.put_matches(generation, &rows).await.unwrap()
}

async fn touch(w: &World, names: &[(&str, &str)]) -> u64 {
    let change = |(at, name): &(&str, &str)| (EcosystemRelease::from_name(at).unwrap(), (*name).to_owned());
    let changes = PackageChanges::Names(names.iter().map(change).collect());
    w.store.touch_packages(&changes).await.unwrap()
}

pub(crate) async fn new_packages_are_to_be_matched(w: &World) {
    w.scanned("a", &["x", "y"]).await;
    assert_eq!(to_match(w).await, ["musl", "only-in-x", "only-in-y"]);
    assert_eq!(w.store.packages_to_match(2).await.unwrap().len(), 2);
    assert_eq!(match_all(w, 1, &["musl"]).await, 1);
    assert_eq!(to_match(w).await, [""; 0]);
    let found = w.store.matches(&[key("only-in-x", "1"), key("ghost", "1"), key("musl", "1.1")]).await.unwrap();
    let counts: Vec<_> = found.iter().map(|(key, matches)| (&*key.name, matches.to_vec())).collect();
    assert_eq!(counts, [("musl", vec![matched("CVE-1")]), ("only-in-x", vec![])]);
}

pub(crate) async fn matches_that_differ_mark_repositories(w: &World) {
    let a = w.scanned("a", &["x"]).await;
    w.scanned("b", &["y"]).await;
    assert_eq!(match_all(w, 1, &[]).await, 0);
    assert_eq!(w.marked().await, [""; 0], "nothing known before, nothing found now");
    w.store.touch_packages(&PackageChanges::All).await.unwrap();
    assert_eq!(match_all(w, 2, &["only-in-x"]).await, 1);
    assert_eq!(w.marked().await, ["a/app"]);
    w.judge_all().await;
    w.store.touch_packages(&PackageChanges::All).await.unwrap();
    assert_eq!(match_all(w, 3, &["only-in-x"]).await, 0, "the same again");
    assert_eq!(w.marked().await, [""; 0]);
    w.store.touch_packages(&PackageChanges::All).await.unwrap();
    assert_eq!(match_all(w, 4, &["musl"]).await, 2);
    assert_eq!(w.marked().await, ["a/app", "b/app"]);
    w.judge_all().await;
    // A tag that went shows nothing any more.
    let lease = w.discovery(&a, Reader::Server).await;
    w.store.record_tags(&lease, "app", &[], at(9)).await.unwrap();
    w.judge_all().await;
    w.store.touch_packages(&PackageChanges::All).await.unwrap();
    match_all(w, 5, &[]).await;
    assert_eq!(w.marked().await, ["b/app"]);
}

pub(crate) async fn touched_names_become_stale(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    let source = |name: &str| Some(SourcePackage { name: name.to_owned(), version: "1".to_owned() });
    let keys = [
        PackageKey { source: source("openssl"), ..key("libssl1.1", "1") },
        PackageKey { source: source("openssl"), ..key("libcrypto1.1", "1") },
        key("openssl", "1"),
        key("zlib", "1"),
        PackageKey::new(PackageFormat::PyPi, "Zope.Interface", "1"),
        PackageKey::new(PackageFormat::Npm, "openssl", "1"),
    ];
    w.commit(&a, "x", Reader::Server, &inventory("x", &keys)).await;
    match_all(w, 1, &[]).await;
    let check = async |names: &[(&str, &str)], expect: &[&str]| {
        assert_eq!(touch(w, names).await, expect.len() as u64, "{names:?}");
        assert_eq!(to_match(w).await, expect, "{names:?}");
        match_all(w, 1, &[]).await;
    };
    check(&[("Alpine:v3.10", "openssl")], &["libcrypto1.1", "libssl1.1", "openssl"]).await;
    check(&[("Alpine:v3.10", "zlib"), ("npm", "openssl")], &["openssl", "zlib"]).await;
    check(&[("PyPI", "zope-interface")], &["Zope.Interface"]).await;
    check(&[("Alpine:v3.10", "libssl1.1")], &["libssl1.1"]).await;
    check(&[("Debian:12", "openssl"), ("npm", "zlib")], &[]).await;
    check(&[], &[]).await;
}

pub(crate) async fn a_release_is_told_apart(w: &World) {
    let a = w.registry("a").await;
    w.images_in(&a, "app", Reader::Server, &["x"]).await;
    let of = |format, id: &str, version: &str| PackageKey {
        distro: Some(Distro { id: id.to_owned(), version: version.to_owned() }),
        ..PackageKey::new(format, "openssl", version)
    };
    let (apk, deb) = (PackageFormat::Apk, PackageFormat::Deb);
    let keys = [of(apk, "alpine", "3.10.2"), of(apk, "alpine", "3.20.3"), of(deb, "ubuntu", "22.04")];
    w.commit(&a, "x", Reader::Server, &inventory("x", &keys)).await;
    match_all(w, 1, &[]).await;
    assert_eq!(touch(w, &[("Alpine:v3.20", "openssl")]).await, 1);
    assert_eq!(touch(w, &[("Alpine", "openssl")]).await, 2);
    assert_eq!(touch(w, &[("Ubuntu:22.04:LTS", "openssl")]).await, 1);
    assert_eq!(touch(w, &[("Ubuntu:24.04", "openssl")]).await, 0);
    let all = EcosystemRelease::of(Ecosystem::Ubuntu);
    let changes = PackageChanges::Names(vec![(all, "openssl".to_owned())]);
    assert_eq!(w.store.touch_packages(&changes).await.unwrap(), 1);
}

pub(crate) async fn touching_all_touches_all(w: &World) {
    w.scanned("a", &["x"]).await;
    match_all(w, 1, &[]).await;
    assert_eq!(w.store.touch_packages(&PackageChanges::All).await.unwrap(), 2);
    assert_eq!(to_match(w).await, ["musl", "only-in-x"]);
}

pub(crate) async fn hashes_touch_the_images_that_show_them(w: &World) {
    let a = w.scanned("a", &["x", "y"]).await;
    w.images_in(&a, "copy", Reader::Server, &["x"]).await;
    w.judge_all().await;
    assert_eq!(w.store.touch_hashes(&[digest("unknown")]).await.unwrap(), 0);
    assert_eq!(w.marked().await, [""; 0]);
    assert_eq!(w.store.touch_hashes(&[digest("x sh"), digest("x sh")]).await.unwrap(), 1);
    assert_eq!(w.marked().await, ["a/app", "a/copy"]);
    w.judge_all().await;
    assert_eq!(w.store.touch_hashes(&[digest("x sh"), digest("y sh")]).await.unwrap(), 2);
    // An image that is read again with more in it shows more.
    let mut newer = ImageInventory { detectors: versions("2"), ..inventory("y", &[]) };
    newer.files.push(file("bin/new", "new"));
    w.commit(&a, "y", Reader::Server, &newer).await;
    assert_eq!(w.store.touch_hashes(&[digest("new")]).await.unwrap(), 1);
    // What a list may name a file by besides its digest.
    let md5: Checksum = "md5:0123456789abcdef0123456789abcdef".parse().unwrap();
    assert_eq!(w.store.touch_hashes(&[md5.key()]).await.unwrap(), 0);
    newer.detectors = versions("3");
    newer.files.push(ImageFile { checksums: vec![md5.clone()], ..file("bin/old", "old") });
    w.commit(&a, "y", Reader::Server, &newer).await;
    assert_eq!(w.store.touch_hashes(&[md5.key()]).await.unwrap(), 1);
    assert_eq!(w.store.touch_hashes(&[]).await.unwrap(), 0);
}

pub(crate) async fn older_generations_change_nothing(w: &World) {
    w.scanned("a", &["x"]).await;
    match_all(w, 5, &["musl"]).await;
    w.judge_all().await;
    w.store.touch_packages(&PackageChanges::All).await.unwrap();
    assert_eq!(match_all(w, 4, &[]).await, 0);
    assert_eq!(w.marked().await, [""; 0]);
    assert_eq!(to_match(w).await.len(), 2, "they are still to be matched");
    let found = w.store.matches(&[key("musl", "1.1")]).await.unwrap();
    assert_eq!(found[0].1.len(), 1);
}

pub(crate) async fn the_judged_generation_is_kept(w: &World) {
    assert_eq!(w.store.judged_generation().await.unwrap(), None);
    w.store.set_judged_generation(7).await.unwrap();
    w.store.set_judged_generation(8).await.unwrap();
    assert_eq!(w.store.judged_generation().await.unwrap(), Some(8));
}
