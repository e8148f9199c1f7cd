//! Style sheet, scripts and mark: part of the program, served with an address that changes with their content.

use crate::problem::Problem;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const FILES: [(&str, &str, &str); 4] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../../assets/page.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../../assets/live.js")),
    ("mark.svg", "image/svg+xml", include_str!("../../assets/mark.svg")),
];

/// The first digits of the digest of all assets.
pub(crate) fn tag() -> &'static str {
    static TAG: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = Sha256::new();
        for (_, _, content) in FILES {
            hasher.update(content.as_bytes());
        }
        Digest::from_bytes(hasher.finalize().into()).short()
    });
    &TAG
}

/// One asset.
pub(crate) async fn get(Path(name): Path<String>) -> Response {
    let Some((_, kind, content)) = FILES.into_iter().find(|(file, _, _)| *file == name) else {
        return Problem::not_found("there is no such asset").into_response();
    };
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    response
}
