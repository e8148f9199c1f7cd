//! Caps on every body, and patience: 429, 5xx, Retry-After, budgets.

use crate::{TRANSIENT, client, endpoint, expect_error, layer_of, quick, read_all, registry};
use model::layer::Descriptor;
use remote::oci::RegistryClient;
use remote::{ErrorKind, Limits};
use std::time::{Duration, Instant};
use testkit::Login;

#[tokio::test]
async fn every_small_body_has_a_cap_that_errors_name() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.manifest_bytes = (4 << 20) + 1;
        f.page_bytes = (8 << 20) + 1;
    });
    let client = client(&registry);
    let limit = (4 << 20).to_string();
    expect_error(client.manifest("team/app", "1").await, ErrorKind::LimitExceeded, &["manifest", "team/app:1", &limit]);
    let limit = (8 << 20).to_string();
    expect_error(client.repositories(None).await, ErrorKind::LimitExceeded, &["repositories", &limit]);
    let big = Descriptor { digest: image.config_digest, size: (8 << 20) + 1, ..layer_of(&image) };
    expect_error(client.config("team/app", &big).await, ErrorKind::LimitExceeded, &["configuration", &limit]);
    assert_eq!(registry.count("GET", "/blobs/"), 0, "refused by its descriptor alone");
    // A descriptor that lies about a small size does not help either.
    let limits = Limits { config_bytes_max: 100, ..quick() };
    let tight = RegistryClient::new(endpoint(&registry.url()), limits).unwrap();
    let small = Descriptor { digest: image.config_digest, size: 10, ..layer_of(&image) };
    expect_error(tight.config("team/app", &small).await, ErrorKind::LimitExceeded, &["100"]);
}

#[tokio::test]
async fn too_many_requests_are_waited_out_as_asked() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.too_many = 2;
        f.retry_after = Some("1".into());
    });
    let start = Instant::now();
    assert_eq!(client(&registry).manifest("team/app", "1").await.unwrap().digest, image.digest);
    assert!(start.elapsed() >= Duration::from_secs(2), "two pauses of a second were asked for");
    assert_eq!(registry.requests().len(), 3);
}

#[tokio::test]
async fn long_retry_after_is_handed_to_the_caller() {
    let (registry, _) = registry();
    registry.faults(|f| {
        f.too_many = 100;
        f.retry_after = Some("3600".into());
    });
    let error = client(&registry).head("team/app", "1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient { retry_after: Some(Duration::from_secs(3600)) });
    assert!(error.to_string().contains("limits the rate"), "{error}");
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn failing_registry_is_asked_again_within_the_budget() {
    let (registry, image) = registry();
    for status in [500, 502, 503, 504] {
        registry.faults(|f| {
            f.failing = 3;
            f.failing_status = status;
        });
        assert_eq!(client(&registry).manifest("team/app", "1").await.unwrap().digest, image.digest, "{status}");
    }
    registry.faults(|f| f.failing = 1000);
    registry.clear_requests();
    expect_error(client(&registry).manifest("team/app", "1").await, TRANSIENT, &["504"]);
    assert_eq!(registry.requests().len(), 5);
}

#[tokio::test]
async fn blob_survives_failures_before_and_between() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.only_paths = "/blobs/".into();
        f.failing = 2;
        f.cuts = 1;
        f.cut_after_bytes = 1000;
    });
    let blob = client(&registry).blob("team/app", &layer_of(&image)).await.unwrap();
    registry.faults(|f| f.too_many = 2);
    assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
}

#[tokio::test]
async fn tokens_and_error_texts_are_capped() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.login = Login::Bearer { user: None };
        f.token_bytes = (1 << 20) + 1;
    });
    let limit = (1 << 20).to_string();
    expect_error(client(&registry).manifest("team/app", "1").await, ErrorKind::LimitExceeded, &["token", &limit]);
    registry.faults(|f| {
        f.token_bytes = 1 << 20;
        f.failing = 1;
        f.failing_status = 403;
        f.failing_bytes = 60 << 10;
    });
    let text = expect_error(client(&registry).ping().await, ErrorKind::Denied, &["broken!"]);
    assert!(text.len() < 500, "{} bytes of text", text.len());
    registry.faults(|f| {
        f.failing = 1;
        f.failing_bytes = 64 << 10;
    });
    let text = expect_error(client(&registry).ping().await, ErrorKind::Denied, &["does not let us read"]);
    assert!(!text.contains("broken"), "a text above the cap is not shown");
    assert_eq!(client(&registry).manifest("team/app", "1").await.unwrap().digest, image.digest);
}

#[tokio::test]
async fn small_body_that_stalls_is_asked_for_again() {
    let (registry, image) = registry();
    registry.faults(|f| f.stalls = 1);
    let limits = Limits { request_timeout: Duration::from_millis(300), ..quick() };
    let client = RegistryClient::new(endpoint(&registry.url()), limits).unwrap();
    let config = Descriptor { digest: image.config_digest, size: image.config.len() as u64, ..layer_of(&image) };
    assert_eq!(client.config("team/app", &config).await.unwrap().1, image.config);
    assert_eq!(registry.count("GET", "/blobs/"), 2);
    registry.faults(|f| f.stalls = 1000);
    expect_error(client.config("team/app", &config).await, TRANSIENT, &["did not arrive within 0.3 s"]);
}

#[tokio::test]
async fn resuming_ends_even_when_each_try_makes_progress() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.cuts = 1000;
        f.cut_after_bytes = 100;
    });
    let limits = Limits { resumes_max: 3, ..quick() };
    let client = RegistryClient::new(endpoint(&registry.url()), limits).unwrap();
    let blob = client.blob("team/app", &layer_of(&image)).await.unwrap();
    let error = read_all(blob).await.unwrap_err();
    assert!(error.to_string().contains("broke off after 400 of"), "{error}");
    assert_eq!(registry.count("GET", "/blobs/"), 4);
}

#[tokio::test]
async fn listing_ends_at_the_page_limit() {
    let (registry, image) = registry();
    (0..10).for_each(|n| registry.put("team/app", &format!("t{n}"), &image));
    registry.faults(|f| f.page_entries_max = Some(1));
    let limits = Limits { pages_max: 3, ..quick() };
    let client = RegistryClient::new(endpoint(&registry.url()), limits).unwrap();
    let connector = remote::connector::DockerV2::new(client, Vec::new()).unwrap();
    let listing = remote::connector::all_tags(&connector, "team/app").await;
    expect_error(listing, ErrorKind::LimitExceeded, &["more pages than the limit of 3"]);
}
