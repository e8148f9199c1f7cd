//! Blobs: verified, resumed, capped, and given up cleanly.

use crate::{TRANSIENT, client, client_with, endpoint, expect_error, layer_of, quick, read_all, registry};
use model::layer::Descriptor;
use remote::oci::{ManifestContent, RegistryClient};
use remote::{Error, ErrorKind, Limits};
use std::io::Read;
use std::time::Duration;
use testkit::{BuiltIndex, FaultRegistry, ImageBuilder, LayerBuilder};

/// The error of this crate in what a reader returned.
fn inner(result: std::io::Result<Vec<u8>>) -> (ErrorKind, String) {
    let error = result.expect_err("this must fail");
    let found = Error::of_io(&error).expect("the reader's errors are ours");
    (found.kind, found.to_string())
}

#[tokio::test]
async fn image_is_read_whole_and_verified() {
    let (registry, image) = registry();
    let client = client(&registry);
    let head = client.head("team/app", "1").await.unwrap();
    assert_eq!((head.digest, head.size), (image.digest, image.manifest.len() as u64));
    let fetched = client.manifest("team/app", "1").await.unwrap();
    assert_eq!((fetched.digest, fetched.bytes.as_slice()), (image.digest, image.manifest.as_ref()));
    let ManifestContent::Image(manifest) = fetched.content else { panic!("an image") };
    let (digest, config) = client.config("team/app", &manifest.config).await.unwrap();
    assert_eq!((digest, config.as_slice()), (image.config_digest, image.config.as_ref()));
    let blob = client.blob("team/app", &manifest.layers[0]).await.unwrap();
    assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
    assert_eq!(registry.count("GET", "/blobs/"), 2);
}

#[tokio::test]
async fn index_and_artifact_are_told_apart() {
    let (registry, image) = registry();
    let client = client(&registry);
    registry.put_index("team/multi", "1", &BuiltIndex::over(vec![image.clone()]));
    let ManifestContent::Index(index) = client.manifest("team/multi", "1").await.unwrap().content else {
        panic!("an index")
    };
    assert_eq!(index.manifests[0].digest, image.digest);
    let chart = ImageBuilder::new().artifact("application/vnd.cncf.helm.config.v1+json", "").build();
    registry.put("team/chart", "1", &chart);
    let content = client.manifest("team/chart", "1").await.unwrap().content;
    assert!(matches!(content, ManifestContent::Artifact { ref what, .. } if what == "Helm chart"), "{content:?}");
}

#[tokio::test]
async fn head_falls_back_to_get() {
    let (registry, image) = registry();
    let client = client(&registry);
    registry.faults(|f| f.no_head = true);
    assert_eq!(client.head("team/app", "1").await.unwrap().digest, image.digest);
    registry.faults(|f| {
        f.no_head = false;
        f.no_digest_header = true;
    });
    assert_eq!(client.head("team/app", "1").await.unwrap().digest, image.digest);
    expect_error(client.head("team/app", "2").await, ErrorKind::NotFound, &["team/app:2"]);
}

#[tokio::test]
async fn wrong_bytes_name_both_digests() {
    let (registry, image) = registry();
    let client = client(&registry);
    registry.faults(|f| f.wrong_blob_bytes = true);
    let layer = layer_of(&image);
    let mut damaged = image.layers[0].blob.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let found = testkit::image::sha256(&damaged).to_string();
    let (kind, text) = inner(read_all(client.blob("team/app", &layer).await.unwrap()).await);
    assert_eq!(kind, ErrorKind::Mismatch);
    assert!(text.contains(&layer.digest.to_string()) && text.contains(&found), "{text}");
    let config = Descriptor { digest: image.config_digest, size: image.config.len() as u64, ..layer };
    expect_error(client.config("team/app", &config).await, ErrorKind::Mismatch, &["configuration"]);
}

#[tokio::test]
async fn wrong_manifest_bytes_are_a_mismatch_by_tag_and_by_digest() {
    let (registry, image) = registry();
    let client = client(&registry);
    registry.faults(|f| f.wrong_manifest_bytes = true);
    expect_error(client.manifest("team/app", "1").await, ErrorKind::Mismatch, &["expected", "got"]);
    registry.faults(|f| f.no_digest_header = true);
    let by_digest = client.manifest("team/app", &image.digest.to_string()).await;
    expect_error(by_digest, ErrorKind::Mismatch, &[&image.digest.to_string()]);
}

#[tokio::test]
async fn cut_blob_is_resumed_where_it_broke() {
    let (registry, image) = registry();
    for ignore_range in [false, true] {
        registry.faults(|f| {
            f.cuts = 3;
            f.cut_after_bytes = 70_000;
            f.ignore_range = ignore_range;
        });
        registry.clear_requests();
        let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
        assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
        let ranges: Vec<_> = registry.requests().into_iter().map(|line| line.range).collect();
        assert_eq!(ranges.len(), 4);
        assert_eq!(ranges[0], None);
        assert_eq!(ranges[1].as_deref(), Some("bytes=70000-"));
        if !ignore_range {
            assert_eq!(ranges[3].as_deref(), Some("bytes=210000-"));
        }
    }
}

#[tokio::test]
async fn stalled_blob_is_resumed() {
    let (registry, image) = registry();
    registry.faults(|f| f.stalls = 1);
    let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
    assert_eq!(registry.count("GET", "/blobs/"), 2);
}

#[tokio::test]
async fn blob_that_stays_cut_is_given_up_with_an_error() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.cuts = 1000;
        f.cut_after_bytes = 0;
    });
    let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    let (kind, text) = inner(read_all(blob).await);
    assert_eq!(kind, TRANSIENT);
    assert!(text.contains("broke off after 0 of"), "{text}");
    assert_eq!(registry.count("GET", "/blobs/"), usize::try_from(Limits::default().attempts_max).unwrap());
}

#[tokio::test]
async fn truncated_blob_is_an_error_and_never_an_end() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.truncate_blobs_by = 1000;
        f.ignore_range = true;
    });
    let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    let (kind, text) = inner(read_all(blob).await);
    assert_eq!(kind, TRANSIENT);
    assert!(text.contains("broke off"), "{text}");
}

#[tokio::test]
async fn blob_longer_than_its_manifest_says_is_refused() {
    let (registry, image) = registry();
    registry.faults(|f| f.extra_blob_bytes = 10);
    let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    let (kind, text) = inner(read_all(blob).await);
    assert_eq!(kind, ErrorKind::Mismatch);
    assert!(text.contains("longer than"), "{text}");
    // Announced, it is refused before a byte is read.
    registry.faults(|f| f.extra_blob_bytes = 0);
    let small = Descriptor { size: 10, ..layer_of(&image) };
    expect_error(client(&registry).blob("team/app", &small).await, ErrorKind::Mismatch, &["its manifest says 10"]);
}

#[tokio::test]
async fn error_stays_an_error_when_read_again() {
    let (registry, image) = registry();
    registry.faults(|f| f.wrong_blob_bytes = true);
    let mut blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        assert!(blob.read_to_end(&mut bytes).is_err());
        let again = blob.read(&mut [0; 16]).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::InvalidData);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn dropped_reader_ends_the_transfer() {
    let registry = FaultRegistry::start();
    let image = crate::image(4_000_000);
    registry.put("team/app", "1", &image);
    registry.faults(|f| f.pause_per_piece = Some(Duration::from_millis(20)));
    let mut blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    let read = tokio::task::spawn_blocking(move || blob.read(&mut [0; 100])).await.unwrap();
    assert!(read.unwrap() > 0);
    // The runtime would wait for a task that does not end; a resumed transfer would ask again.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(registry.count("GET", "/blobs/"), 1);
}

#[tokio::test]
async fn slow_reader_holds_the_transfer_back() {
    let registry = FaultRegistry::start();
    let image = crate::image(3_000_000);
    registry.put("team/app", "1", &image);
    let mut blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    // Longer than the stall limit: waiting for the reader is no stall of the registry.
    tokio::time::sleep(quick().stall_timeout * 3).await;
    let bytes = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes).map(|_| bytes)
    });
    assert_eq!(bytes.await.unwrap().unwrap(), image.layers[0].blob);
}

#[tokio::test]
async fn caps_and_foreign_layers_are_named() {
    let (registry, image) = registry();
    let limits = Limits { blob_bytes_max: 1000, ..quick() };
    let client = RegistryClient::new(endpoint(&registry.url()), limits).unwrap();
    let text = expect_error(client.blob("team/app", &layer_of(&image)).await, ErrorKind::LimitExceeded, &["1000"]);
    assert!(text.contains(&image.layers[0].digest.to_string()), "{text}");
    let foreign = Descriptor {
        media_type: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into(),
        digest: testkit::image::sha256(b"elsewhere"),
        ..layer_of(&image)
    };
    let client = client_with(endpoint(&registry.url()));
    expect_error(client.blob("team/app", &foreign).await, ErrorKind::Unsupported, &["foreign layer"]);
    let missing = Descriptor { digest: testkit::image::sha256(b"nowhere"), ..layer_of(&image) };
    expect_error(client.blob("team/app", &missing).await, ErrorKind::NotFound, &["does not exist"]);
}

#[tokio::test]
async fn empty_blob_is_verified_too() {
    let registry = FaultRegistry::start();
    let image = ImageBuilder::new().layer(LayerBuilder::new().build()).build();
    registry.put("team/app", "1", &image);
    let digest = registry.put_blob(bytes::Bytes::new());
    let empty = Descriptor { digest, size: 0, ..layer_of(&image) };
    let client = client(&registry);
    assert_eq!(read_all(client.blob("team/app", &empty).await.unwrap()).await.unwrap(), b"");
    let wrong = Descriptor { size: 0, ..layer_of(&image) };
    expect_error(client.blob("team/app", &wrong).await, ErrorKind::Mismatch, &["says 0"]);
}
