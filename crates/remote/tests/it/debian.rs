//! End to end against Debian's docker-registry.

use crate::{client_with, endpoint, expect_error, layer_of, quick, read_all, with_login};
use model::registry::RegistryKind;
use remote::ErrorKind;
use remote::connector::{all_repositories, all_tags, connect};
use remote::oci::ManifestContent;
use std::time::Duration;
use testkit::image::alpine;
use testkit::{BuiltIndex, DebianRegistry, ImageBuilder, LayerBuilder, data};

#[tokio::test(flavor = "multi_thread")]
async fn private_registry_is_listed_and_read_with_the_right_password_only() {
    let Some(registry) = DebianRegistry::start_with_login("ann", "right password") else { return };
    let image = ImageBuilder::new().layer(LayerBuilder::files(&[("etc/motd", "hello")]).build()).build();
    for n in 0..7 {
        registry.push(&format!("team/app-{n}"), "1", &image);
    }
    let limits = remote::Limits { page_entries: 3, ..quick() };
    let good = with_login(&registry.url(), "ann", "right password");
    let connector = connect(RegistryKind::DockerV2, good.clone(), Vec::new(), limits).unwrap();
    let mark = registry.mark();
    let listing = all_repositories(connector.as_ref()).await.unwrap();
    assert_eq!((listing.repositories.len(), listing.warning), (7, None));
    let log = registry.requests_since(mark);
    let pages = log.iter().filter(|line| line.path.starts_with("/v2/_catalog") && line.status == 200).count();
    assert!(pages >= 3, "{log:?}");
    assert!(log.iter().all(|line| line.user_agent == remote::server_user_agent()), "{log:?}");

    let client = connector.client();
    let fetched = client.manifest("team/app-3", "1").await.unwrap();
    assert_eq!(fetched.digest, image.digest);
    let layer = layer_of(&image);
    assert_eq!(read_all(client.blob("team/app-3", &layer).await.unwrap()).await.unwrap(), image.layers[0].blob);
    expect_error(client.head("team/app-3", "2").await, ErrorKind::NotFound, &["team/app-3:2"]);
    expect_error(client.tags("team/none", None).await, ErrorKind::NotFound, &["team/none"]);

    let wrong = client_with(with_login(&registry.url(), "ann", "wrong"));
    expect_error(wrong.ping().await, ErrorKind::Denied, &["user ann", "check username and password"]);
    expect_error(client_with(endpoint(&registry.url())).ping().await, ErrorKind::Denied, &["give a username"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_images_are_read_as_pushed() {
    let (Some(amd64), Some(arm64)) = (alpine("3.20.3", "x86_64"), alpine("3.20.3", "aarch64")) else { return };
    let Some(archive) = data::path("images/docker-save-alpine-3.10.2.tar.gz") else { return };
    let Some(registry) = DebianRegistry::start() else { return };
    let index = BuiltIndex::over(vec![amd64.build(), arm64.build()]);
    registry.push_index("os/alpine", "3.20", &index);
    registry.push_docker_archive(&archive, "os/alpine", "3.10");
    let connector = connect(RegistryKind::DockerV2, endpoint(&registry.url()), Vec::new(), quick()).unwrap();
    assert_eq!(all_tags(connector.as_ref(), "os/alpine").await.unwrap().tags, ["3.10", "3.20"]);
    let client = connector.client();
    let fetched = client.manifest("os/alpine", "3.20").await.unwrap();
    assert_eq!(fetched.digest, index.digest);
    let ManifestContent::Index(members) = fetched.content else { panic!("an index") };
    for (member, image) in members.manifests.iter().zip(&index.images) {
        let fetched = client.manifest("os/alpine", &member.digest.to_string()).await.unwrap();
        let ManifestContent::Image(manifest) = fetched.content else { panic!("an image") };
        let (_, config) = client.config("os/alpine", &manifest.config).await.unwrap();
        assert_eq!(config, image.config);
        let bytes = read_all(client.blob("os/alpine", &manifest.layers[0]).await.unwrap()).await.unwrap();
        assert_eq!(bytes, image.layers[0].blob);
    }
    let docker = client.manifest("os/alpine", "3.10").await.unwrap();
    assert!(matches!(docker.content, ManifestContent::Image(_)), "{}", docker.media_type);
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_tags_and_restarts_are_survived() {
    let Some(mut registry) = DebianRegistry::start() else { return };
    let build = |text| ImageBuilder::new().layer(LayerBuilder::files(&[("v", text)]).build()).build();
    let (one, two) = (build("1"), build("2"));
    let client = client_with(endpoint(&registry.url()));
    registry.push("app", "latest", &one);
    assert_eq!(client.head("app", "latest").await.unwrap().digest, one.digest);
    registry.push("app", "latest", &two);
    assert_eq!(client.head("app", "latest").await.unwrap().digest, two.digest);
    registry.kill();
    let down = client.head("app", "latest").await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    registry.restart();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.head("app", "latest").await.unwrap().digest, two.digest);
}
