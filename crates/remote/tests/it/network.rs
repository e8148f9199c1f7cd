//! Names, connections, certificates, and addresses that are never reached.

use crate::{client_with, endpoint, expect_error, layer_of, registry};
use remote::oci::RegistryClient;
use remote::{Endpoint, ErrorKind, Limits};
use testkit::tls::Certificate;
use testkit::{FaultRegistry, free_port};

#[tokio::test]
async fn unknown_host_and_closed_port_are_told_apart() {
    let nowhere = client_with(endpoint("registry.invalid"));
    let text = expect_error(nowhere.ping().await, ErrorKind::Unreachable, &["registry.invalid"]);
    assert!(text.contains("unknown host") || text.contains("looked up"), "{text}");
    let closed = client_with(endpoint(&format!("http://127.0.0.1:{}", free_port())));
    expect_error(closed.ping().await, ErrorKind::Unreachable, &["refuses connections"]);
}

#[tokio::test]
async fn certificates_are_verified_and_the_reason_is_told() {
    let check = async |kind, words: &str| {
        let registry = FaultRegistry::start_tls(kind);
        let trusting = Endpoint { ca_certificate: Some(registry.ca_pem()), ..endpoint(&registry.url()) };
        let error = client_with(trusting).ping().await.map_err(|e| (e.kind, e.to_string()));
        match error {
            Ok(()) => assert_eq!(words, "trusted"),
            Err((kind, text)) => {
                assert_eq!(kind, ErrorKind::Untrusted, "{text}");
                assert!(text.contains(words), "{words:?} is missing in {text:?}");
            }
        }
    };
    check(Certificate::Good, "trusted").await;
    check(Certificate::Expired, "has expired").await;
    check(Certificate::NotYet, "is not valid yet").await;
    check(Certificate::OtherName, "is for another name").await;
    let registry = FaultRegistry::start_tls(Certificate::Good);
    let stranger = client_with(endpoint(&registry.url())).ping().await;
    expect_error(stranger, ErrorKind::Untrusted, &["not signed by a trusted authority", "CA certificate"]);
}

#[tokio::test]
async fn verification_can_be_switched_off() {
    let registry = FaultRegistry::start_tls(Certificate::Expired);
    let careless = Endpoint { skip_tls_verify: true, ..endpoint(&registry.url()) };
    client_with(careless).ping().await.unwrap();
}

#[tokio::test]
async fn plain_registry_behind_https_is_explained() {
    let (registry, _) = registry();
    let https = endpoint(&format!("https://{}", registry.host()));
    expect_error(client_with(https).ping().await, ErrorKind::Untrusted, &["does not speak TLS"]);
}

#[tokio::test]
async fn bad_ca_certificate_is_refused_at_once() {
    let bad = Endpoint { ca_certificate: Some("not PEM".into()), ..endpoint("x") };
    expect_error(RegistryClient::new(bad, Limits::default()), ErrorKind::Malformed, &["CA certificate"]);
}

#[tokio::test]
async fn metadata_addresses_are_never_asked() {
    for host in ["http://169.254.169.254", "http://[fe80::1]", "http://[::ffff:169.254.169.254]", "100.100.100.200"] {
        let started = std::time::Instant::now();
        expect_error(client_with(endpoint(host)).ping().await, ErrorKind::Forbidden, &["does not connect"]);
        assert!(started.elapsed().as_millis() < 500, "{host} was refused without a connection attempt");
    }
}

#[tokio::test]
async fn redirects_to_metadata_addresses_are_not_followed() {
    let (registry, image) = registry();
    registry.faults(|f| f.redirect_blobs = Some("http://169.254.169.254".into()));
    let client = client_with(endpoint(&registry.url()));
    let blob = client.blob("team/app", &layer_of(&image)).await;
    expect_error(blob, ErrorKind::Forbidden, &["169.254.169.254"]);
    registry.faults(|f| f.redirect_blobs = Some("file:///etc".into()));
    let blob = client.blob("team/app", &layer_of(&image)).await;
    expect_error(blob, ErrorKind::Malformed, &["redirects to nowhere"]);
}

#[tokio::test]
async fn token_service_on_a_metadata_address_is_not_asked() {
    let (registry, _) = registry();
    registry.faults(|f| {
        f.login = testkit::Login::Bearer { user: None };
        f.token_realm = Some("http://169.254.169.254/token".into());
    });
    let client = client_with(endpoint(&registry.url()));
    expect_error(client.manifest("team/app", "1").await, ErrorKind::Forbidden, &["169.254.169.254"]);
}

#[tokio::test]
async fn private_addresses_are_allowed_unless_denied() {
    let (registry, _) = registry();
    client_with(endpoint(&registry.url())).ping().await.unwrap();
    let by_name = format!("http://localhost:{}", registry.host().rsplit_once(':').unwrap().1);
    client_with(endpoint(&by_name)).ping().await.unwrap();
    for url in [registry.url(), by_name] {
        let strict = Endpoint { deny_private: true, ..endpoint(&url) };
        expect_error(client_with(strict).ping().await, ErrorKind::Forbidden, &["private addresses are denied"]);
    }
}

#[tokio::test]
async fn https_registry_does_not_redirect_to_plain_http() {
    let registry = FaultRegistry::start_tls(Certificate::Good);
    let (storage, image) = crate::registry();
    registry.put("team/app", "1", &image);
    registry.faults(|f| f.redirect_blobs = Some(storage.url()));
    let trusting = Endpoint { ca_certificate: Some(registry.ca_pem()), ..endpoint(&registry.url()) };
    let blob = client_with(trusting).blob("team/app", &layer_of(&image)).await;
    expect_error(blob, ErrorKind::Forbidden, &["plain HTTP"]);
    assert_eq!(storage.requests(), []);
}

#[tokio::test]
async fn server_without_registry_is_told_so() {
    let (registry, _) = registry();
    registry.faults(|f| {
        f.failing = 10;
        f.failing_status = 404;
    });
    let client = client_with(endpoint(&registry.url()));
    expect_error(client.ping().await, ErrorKind::Unsupported, &["not as a registry"]);
}
