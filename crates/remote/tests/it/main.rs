//! The client against a registry that misbehaves on command, and against Debian's own.
#![cfg(test)]

mod agent;
mod blob;
mod clamd;
mod connector;
mod debian;
mod docker_config;
mod download;
mod limits;
mod login;
mod network;
mod part;

use model::registry::Credentials;
use remote::oci::RegistryClient;
use remote::{Endpoint, ErrorKind, Limits};
use std::io::Read;
use std::time::Duration;
use testkit::{BuiltImage, FaultRegistry, ImageBuilder, LayerBuilder, Packing};

/// Limits whose waits suit a test.
fn quick() -> Limits {
    Limits {
        backoff: Duration::from_millis(5),
        backoff_max: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url).expect("the test's address is good")
}

fn with_login(url: &str, username: &str, password: &str) -> Endpoint {
    let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
    Endpoint { credentials: Some(credentials), ..endpoint(url) }
}

fn client(registry: &FaultRegistry) -> RegistryClient {
    RegistryClient::new(endpoint(&registry.url()), quick()).expect("a client can be made")
}

fn client_with(endpoint: Endpoint) -> RegistryClient {
    RegistryClient::new(endpoint, quick()).expect("a client can be made")
}

/// An image with one layer of about `bytes` bytes that do not compress.
fn image(bytes: usize) -> BuiltImage {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    let layer = LayerBuilder::new().file("data", noise).packing(Packing::Plain).build();
    ImageBuilder::new().layer(layer).build()
}

/// A registry with `team/app:1`, whose layer has about 300 KB.
fn registry() -> (FaultRegistry, BuiltImage) {
    let registry = FaultRegistry::start();
    let image = image(300_000);
    registry.put("team/app", "1", &image);
    (registry, image)
}

/// The descriptor of an image's first layer.
fn layer_of(image: &BuiltImage) -> model::layer::Descriptor {
    let manifest: model::layer::ImageManifest = serde_json::from_slice(&image.manifest).expect("a manifest");
    manifest.layers[0].clone()
}

/// Reads a blob to its end on a blocking thread.
async fn read_all(mut reader: impl Read + Send + 'static) -> std::io::Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    })
    .await
    .expect("the reading thread does not panic")
}

/// Asserts kind and words of an error; returns its text.
fn expect_error<T: std::fmt::Debug>(result: remote::Result<T>, kind: ErrorKind, words: &[&str]) -> String {
    let error = result.expect_err("this must fail");
    assert_eq!(error.kind, kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in {text:?}");
    }
    text
}

const TRANSIENT: ErrorKind = ErrorKind::Transient { retry_after: None };
