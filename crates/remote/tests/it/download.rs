//! Feed documents: conditional, resumed, capped.

use crate::{expect_error, quick};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use remote::ErrorKind;
use remote::download::{DownloadOptions, Downloaded, Downloader, Validators};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DOCUMENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

#[derive(Default)]
struct Feed {
    cuts: AtomicU32,
    ignore_range: AtomicU32,
    ranges: Mutex<Vec<String>>,
}

async fn document(State(feed): State<Arc<Feed>>, headers: HeaderMap) -> Response {
    let get = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if get(header::IF_NONE_MATCH) == "\"one\"" {
        return Response::builder().status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
    }
    feed.ranges.lock().unwrap().push(get(header::RANGE).to_owned());
    let honoured = get(header::IF_RANGE) == "\"one\"" && feed.ignore_range.load(Ordering::SeqCst) == 0;
    let start = get(header::RANGE).strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')?.parse::<usize>().ok());
    let start = start.filter(|_| honoured).unwrap_or(0);
    let mut response = Response::builder().header(header::ETAG, "\"one\"").header(header::LAST_MODIFIED, "yesterday");
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", DOCUMENT.len() - 1, DOCUMENT.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    let body = &DOCUMENT[start..];
    response = response.header(header::CONTENT_LENGTH, body.len());
    let cut = feed.cuts.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
    if !cut {
        return response.body(Body::from(body)).unwrap();
    }
    let pieces = stream::unfold(0, move |n| async move {
        match n {
            0 => Some((Ok(Bytes::from_static(&body[..10])), 1)),
            _ => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(io::Error::other("cut")), 2))
            }
        }
    });
    response.body(Body::from_stream(pieces)).unwrap()
}

async fn feed() -> (String, Arc<Feed>) {
    let feed = Arc::new(Feed::default());
    let router = Router::new().route("/feed.json", get(document)).with_state(Arc::clone(&feed));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/feed.json"), feed)
}

fn downloader() -> Downloader {
    Downloader::new(&DownloadOptions { limits: quick(), ..DownloadOptions::default() }).unwrap()
}

#[tokio::test]
async fn documents_are_fetched_once_and_then_only_when_changed() {
    let (url, _) = feed().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.tmp");
    let first = downloader().fetch(&url, &path, None, 1000).await.unwrap();
    let Downloaded::File { bytes, digest, validators } = first else { panic!("a file") };
    assert_eq!((bytes, digest), (DOCUMENT.len() as u64, testkit::image::sha256(DOCUMENT)));
    assert_eq!(std::fs::read(&path).unwrap(), DOCUMENT);
    let expect = Validators { etag: Some("\"one\"".into()), last_modified: Some("yesterday".into()) };
    assert_eq!(validators, expect);
    let second = downloader().fetch(&url, &path, Some(&validators), 1000).await.unwrap();
    assert_eq!(second, Downloaded::NotModified);
    assert_eq!(std::fs::read(&path).unwrap(), DOCUMENT);
}

#[tokio::test]
async fn cut_documents_are_resumed_or_started_anew() {
    for ignore_range in [0, 1] {
        let (url, feed) = feed().await;
        feed.cuts.store(2, Ordering::SeqCst);
        feed.ignore_range.store(ignore_range, Ordering::SeqCst);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed.tmp");
        let done = downloader().fetch(&url, &path, None, 1000).await.unwrap();
        assert!(matches!(done, Downloaded::File { bytes: 36, .. }), "{done:?}");
        assert_eq!(std::fs::read(&path).unwrap(), DOCUMENT);
        let ranges = feed.ranges.lock().unwrap().clone();
        let expect = if ignore_range == 0 { ["", "bytes=10-", "bytes=20-"] } else { ["", "bytes=10-", "bytes=10-"] };
        assert_eq!(ranges, expect);
    }
}

#[tokio::test]
async fn downloads_are_capped_and_plain_http_stays_on_this_machine() {
    let (url, _) = feed().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.tmp");
    let over = downloader().fetch(&url, &path, None, 10).await;
    expect_error(over, ErrorKind::LimitExceeded, &["feed.json", "10 bytes"]);
    let missing = downloader().fetch(&url.replace("feed.json", "none"), &path, None, 10).await;
    expect_error(missing, ErrorKind::NotFound, &["none"]);
    let plain = downloader().fetch("http://feeds.example/x", &path, None, 10).await;
    expect_error(plain, ErrorKind::Forbidden, &["plain HTTP"]);
    let metadata = downloader().fetch("https://169.254.169.254/x", &path, None, 10).await;
    expect_error(metadata, ErrorKind::Forbidden, &["does not connect"]);
}
