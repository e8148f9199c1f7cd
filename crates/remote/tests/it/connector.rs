//! Listing: pages, links, refusals, names that break the grammar.

use crate::{client, client_with, endpoint, expect_error, image, quick, registry, with_login};
use model::registry::RegistryKind;
use remote::ErrorKind;
use remote::connector::{RepositoryListing, all_repositories, all_tags, connect};
use testkit::{FaultRegistry, Login};

fn many() -> (FaultRegistry, Vec<String>) {
    let registry = FaultRegistry::start();
    let image = image(10);
    let names: Vec<String> = (0..25).map(|n| format!("team-{:02}/app", n)).collect();
    names.iter().for_each(|name| registry.put(name, "1", &image));
    for n in 0..25 {
        registry.put("team-00/app", &format!("t{n:02}"), &image);
    }
    (registry, names)
}

async fn list(registry: &FaultRegistry, explicit: &[&str]) -> remote::Result<RepositoryListing> {
    let explicit = explicit.iter().map(|name| (*name).to_owned()).collect();
    let connector = connect(RegistryKind::DockerV2, endpoint(&registry.url()), explicit, quick())?;
    all_repositories(connector.as_ref()).await
}

#[tokio::test]
async fn catalogue_and_tags_are_read_page_by_page() {
    let (registry, names) = many();
    for absolute in [false, true] {
        registry.faults(|f| {
            f.page_entries_max = Some(4);
            f.absolute_links = absolute;
        });
        registry.clear_requests();
        let listing = list(&registry, &[]).await.unwrap();
        assert_eq!(listing, RepositoryListing { repositories: names.clone(), warning: None });
        assert_eq!(registry.count("GET", "/v2/_catalog"), 7);
    }
    let connector = connect(RegistryKind::DockerV2, endpoint(&registry.url()), Vec::new(), quick()).unwrap();
    let tags = all_tags(connector.as_ref(), "team-00/app").await.unwrap();
    assert_eq!((tags.tags.len(), tags.warning), (26, None));
}

#[tokio::test]
async fn paging_that_loops_or_leaves_the_host_stops_with_a_warning() {
    let (registry, names) = many();
    registry.faults(|f| {
        f.page_entries_max = Some(4);
        f.link_target = Some("/v2/_catalog?last=team-03%2Fapp&n=4".into());
    });
    let listing = list(&registry, &[]).await.unwrap();
    assert!(listing.warning.as_ref().is_some_and(|why| why.contains("loops")), "{listing:?}");
    assert_eq!(listing.repositories, names[..4], "the first page; the second failed on its own link");
    registry.faults(|f| f.link_target = Some("http://127.0.0.1:1/v2/_catalog?last=x".into()));
    let listing = list(&registry, &[]).await.unwrap();
    assert!(listing.warning.as_ref().is_some_and(|why| why.contains("another host")), "{listing:?}");
    let connector = connect(RegistryKind::DockerV2, endpoint(&registry.url()), Vec::new(), quick()).unwrap();
    let tags = all_tags(connector.as_ref(), "team-00/app").await;
    expect_error(tags, ErrorKind::Forbidden, &["another host"]);
}

#[tokio::test]
async fn refused_catalogue_is_a_warning_unless_repositories_are_named() {
    let (registry, _) = registry();
    for status in [401, 403, 404, 405] {
        registry.faults(|f| f.catalogue_status = Some(status));
        let listing = list(&registry, &[]).await.unwrap();
        assert!(listing.repositories.is_empty());
        let warning = listing.warning.unwrap_or_default();
        assert!(warning.contains("refused") && warning.contains("name them explicitly"), "{status}: {warning}");
        let named = list(&registry, &["team/app"]).await.unwrap();
        assert_eq!(named, RepositoryListing { repositories: vec!["team/app".into()], warning: None });
    }
}

#[tokio::test]
async fn empty_catalogue_is_a_warning_and_named_repositories_are_added() {
    let registry = FaultRegistry::start();
    let listing = list(&registry, &[]).await.unwrap();
    assert!(listing.warning.is_some_and(|why| why.contains("no repositories")));
    registry.put("b", "1", &image(10));
    assert_eq!(list(&registry, &["a"]).await.unwrap().repositories, ["a", "b"]);
    let bad = list(&registry, &["../etc"]).await;
    expect_error(bad, ErrorKind::Malformed, &["../etc"]);
}

#[tokio::test]
async fn wrong_password_is_an_error_and_not_a_refused_catalogue() {
    let (registry, _) = registry();
    registry.faults(|f| f.login = Login::Basic { username: "ann".into(), password: "right".into() });
    let endpoint = with_login(&registry.url(), "ann", "wrong-one");
    let connector = connect(RegistryKind::DockerV2, endpoint, Vec::new(), quick()).unwrap();
    let text = expect_error(all_repositories(connector.as_ref()).await, ErrorKind::Denied, &["user ann", "password"]);
    assert!(!text.contains("wrong-one"), "{text}");
}

#[tokio::test]
async fn names_that_break_the_grammar_are_told_and_never_asked_for() {
    let registry = FaultRegistry::start();
    let image = image(10);
    registry.put("good", "1", &image);
    registry.put("Evil/../x", "1", &image);
    registry.put("good", "not a tag", &image);
    let listing = list(&registry, &[]).await.unwrap();
    assert_eq!(listing.repositories, ["good"]);
    assert!(listing.warning.is_some_and(|why| why.contains("Evil/../x")));
    let page = client(&registry).tags("good", None).await.unwrap();
    assert_eq!((page.tags, page.invalid), (vec!["1".to_owned()], vec!["not a tag".to_owned()]));
    let client = client_with(endpoint(&registry.url()));
    expect_error(client.tags("../x", None).await, ErrorKind::Malformed, &["not the name"]);
    expect_error(client.manifest("good", "../x").await, ErrorKind::Malformed, &["neither a tag nor a digest"]);
    expect_error(client.tags("nowhere", None).await, ErrorKind::NotFound, &["nowhere"]);
}

#[tokio::test]
async fn registry_that_refuses_large_pages_is_asked_for_small_ones() {
    let (registry, _) = registry();
    registry.faults(|f| f.page_entries_accepted_max = Some(100));
    assert_eq!(list(&registry, &[]).await.unwrap().repositories, ["team/app"]);
    assert_eq!(client(&registry).tags("team/app", None).await.unwrap().tags, ["1"]);
}
