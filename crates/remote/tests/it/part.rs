//! Parts of blobs: exactly what was asked for, resumed, through redirects, or refused.

use crate::{client, expect_error, layer_of, read_all, registry};
use model::layer::Descriptor;
use remote::ErrorKind;
use remote::oci::RegistryClient;
use std::ops::Range;
use testkit::{FaultRegistry, ImageBuilder, LayerBuilder, Packing};

/// A blob of 3 MiB, in a registry.
fn large(registry: &FaultRegistry) -> (Descriptor, Vec<u8>) {
    let content: Vec<u8> = (0..3_u32 << 20).map(|at| (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]).collect();
    let layer = LayerBuilder::new().file("large", content).packing(Packing::Plain).build();
    let image = ImageBuilder::new().layer(layer).build();
    registry.put("team/large", "1", &image);
    (layer_of(&image), image.layers[0].blob.to_vec())
}

async fn ranges(client: &RegistryClient, blob: &Descriptor, ranges: &[Range<u64>]) -> std::io::Result<Vec<u8>> {
    let reader = client.blob_ranges("team/large", blob, ranges.to_vec()).expect("a repository");
    read_all(reader).await
}

#[tokio::test]
async fn ranges_come_one_after_the_other_and_nothing_else_is_sent() {
    let (registry, _) = registry();
    let client = client(&registry);
    let (blob, bytes) = large(&registry);
    let wanted = [10..20, 700_000..2_900_000, 5..6];
    let expect = [&bytes[10..20], &bytes[700_000..2_900_000], &bytes[5..6]].concat();
    registry.clear_requests();
    assert_eq!(ranges(&client, &blob, &wanted).await.unwrap(), expect);
    let sent: u64 =
        registry.requests().iter().filter(|line| line.path.contains("/blobs/")).map(|line| line.bytes).sum();
    assert_eq!(sent, expect.len() as u64);
    assert!(registry.requests().iter().all(|line| !line.path.contains("/blobs/") || line.status == 206));
    assert_eq!(client.blob_range("team/large", &blob, 10..20).await.unwrap(), &bytes[10..20]);
    let end = bytes.len() as u64;
    let beyond = client.blob_range("team/large", &blob, end - 1..end + 1).await;
    expect_error(beyond, ErrorKind::Malformed, &["has no bytes"]);
    let nothing = client.blob_range("team/large", &blob, Range { start: 7, end: 7 }).await;
    assert_eq!(nothing.unwrap(), [0_u8; 0]);
}

#[tokio::test]
async fn a_cut_or_an_overload_is_tried_again() {
    let (registry, _) = registry();
    let client = client(&registry);
    let (blob, bytes) = large(&registry);
    registry.faults(|f| {
        f.cuts = 2;
        f.cut_after_bytes = 1000;
        f.too_many = 1;
        f.only_paths = "/blobs/".to_owned();
    });
    assert_eq!(ranges(&client, &blob, &[0..2_000_000, 2_000_000..2_500_000]).await.unwrap(), &bytes[..2_500_000]);
}

#[tokio::test]
async fn a_registry_without_ranges_is_told_before_its_body_is_read() {
    let (registry, _) = registry();
    let client = client(&registry);
    let (blob, _) = large(&registry);
    registry.faults(|f| f.ignore_range = true);
    let answer = client.blob_range("team/large", &blob, 10..20).await;
    expect_error(answer, ErrorKind::Unsupported, &["with the whole of blob"]);
    assert!(ranges(&client, &blob, &[10..20, 30..40]).await.is_err());
}

#[tokio::test]
async fn another_range_than_asked_for_is_refused() {
    let (registry, _) = registry();
    let client = client(&registry);
    let (blob, _) = large(&registry);
    registry.faults(|f| f.shift_range_by = 3);
    let answer = client.blob_range("team/large", &blob, 10..20).await;
    expect_error(answer, ErrorKind::Malformed, &["another range than asked for"]);
}

#[tokio::test]
async fn referrers_are_found_by_their_tag_where_there_is_no_list() {
    let (registry, image) = registry();
    let client = client(&registry);
    let kind = "application/vnd.example.index.v1+json";
    assert_eq!(client.referrers("team/app", &image.digest, kind).await.unwrap(), []);
    let about = ImageBuilder::new().artifact(kind, kind).subject(&image).build();
    registry.put_untagged("team/app", &about);
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            { "mediaType": about.media_type, "digest": about.digest.to_string(), "size": about.manifest.len(), "artifactType": kind },
            { "mediaType": about.media_type, "digest": image.digest.to_string(), "size": 1, "artifactType": "other" },
        ],
    });
    let digest = registry.put_manifest("team/app", index.to_string().into(), "application/vnd.oci.image.index.v1+json");
    registry.point("team/app", &format!("sha256-{}", image.digest.hex()), digest);
    let found = client.referrers("team/app", &image.digest, kind).await.unwrap();
    assert_eq!(found.iter().map(|member| member.digest).collect::<Vec<_>>(), [about.digest]);
}
