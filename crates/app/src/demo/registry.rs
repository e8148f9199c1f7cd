//! The demo's registry: a small read-only implementation of the OCI distribution specification, in this process.
//!
//! It counts requests, so that the demo can show that a re-evaluation makes none.

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Repositories in memory.
#[derive(Default)]
pub(crate) struct Content {
    /// Tags of each repository.
    pub(crate) tags: BTreeMap<String, BTreeMap<String, Digest>>,
    /// Manifests and indexes, with their media types.
    pub(crate) manifests: BTreeMap<Digest, (&'static str, Vec<u8>)>,
    /// Configurations and layers.
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Content {
    /// Stores a blob under its digest.
    pub(crate) fn blob(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = digest(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    /// Stores a manifest under its digest.
    pub(crate) fn manifest(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Digest {
        let digest = digest(&bytes);
        self.manifests.insert(digest, (media_type, bytes));
        digest
    }

    /// Points a tag at a manifest.
    pub(crate) fn tag(&mut self, repository: &str, tag: &str, digest: Digest) {
        self.tags.entry(repository.to_owned()).or_default().insert(tag.to_owned(), digest);
    }
}

/// The SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// A running sample registry.
pub(crate) struct SampleRegistry {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

struct Shared {
    content: Content,
    requests: Arc<AtomicU64>,
}

impl SampleRegistry {
    /// Starts it on a free loopback port.
    pub(crate) async fn start(content: Content) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no loopback port is free")?;
        let address = listener.local_addr().context("the sample registry has no address")?;
        let requests = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared { content, requests: Arc::clone(&requests) });
        let router = Router::new().route("/v2/", get(root)).route("/v2/{*path}", get(answer)).with_state(shared);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the sample registry stopped: {error}");
            }
        });
        Ok(Self { address, requests })
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn root(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

async fn answer(State(shared): State<Arc<Shared>>, Path(path): Path<String>) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let content = &shared.content;
    let found = if path == "_catalog" {
        let names: Vec<&String> = content.tags.keys().collect();
        Some(axum::Json(serde_json::json!({ "repositories": names })).into_response())
    } else if let Some(repository) = path.strip_suffix("/tags/list") {
        content.tags.get(repository).map(|tags| {
            let tags: Vec<&String> = tags.keys().collect();
            axum::Json(serde_json::json!({ "name": repository, "tags": tags })).into_response()
        })
    } else if let Some((repository, reference)) = path.split_once("/manifests/") {
        manifest(content, repository, reference)
    } else if let Some((_, reference)) = path.split_once("/blobs/") {
        reference
            .parse()
            .ok()
            .and_then(|digest: Digest| content.blobs.get(&digest))
            .map(|bytes| bytes.clone().into_response())
    } else {
        None
    };
    found.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn manifest(content: &Content, repository: &str, reference: &str) -> Option<Response> {
    let digest = match reference.parse::<Digest>() {
        Ok(digest) => digest,
        Err(_) => *content.tags.get(repository)?.get(reference)?,
    };
    let (media_type, bytes) = content.manifests.get(&digest)?;
    let mut response = bytes.clone().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let value = HeaderValue::from_str(&digest.to_string()).ok()?;
    response.headers_mut().insert("docker-content-digest", value);
    Some(response)
}
