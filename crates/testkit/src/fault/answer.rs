//! The answering half: the reading part of the distribution API, with its faults.

use super::{Faults, Logged, Login, State, lock};
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream;
use model::Digest;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PIECE_BYTES: usize = 64 << 10;

/// An answer before it is sent.
struct Answer {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// What happens while the body is sent.
    trouble: Trouble,
}

#[derive(Default)]
struct Trouble {
    /// Break the connection after so many bytes.
    cut_after: Option<u64>,
    /// Send nothing more after so many bytes.
    stall_after: Option<u64>,
    pause: Option<Duration>,
    /// Leave `Content-Length` out.
    unsized_body: bool,
}

impl Answer {
    fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers: Vec::new(), body: body.into(), trouble: Trouble::default() }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
        Self::new(status, body.to_string()).with("content-type", "application/json")
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Answers one request and logs it.
pub(super) async fn handle(Shared(state): Shared<Arc<Mutex<State>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let header = |name: header::HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let host = header(header::HOST).unwrap_or_default();
    let (answer, head) = {
        let mut state = lock(&state);
        let answer = route(
            &mut state,
            &parts.method,
            &path,
            &query,
            &Incoming { headers: &parts.headers, form: &form, host: &host },
        );
        state.log.push(Logged {
            method: parts.method.to_string(),
            path,
            query,
            user_agent: header(header::USER_AGENT).unwrap_or_default(),
            authorization: header(header::AUTHORIZATION),
            range: header(header::RANGE),
            status: answer.status.as_u16(),
            bytes: answer.body.len() as u64,
        });
        (answer, parts.method == Method::HEAD)
    };
    send(answer, head)
}

struct Incoming<'a> {
    headers: &'a HeaderMap,
    form: &'a [u8],
    host: &'a str,
}

impl Incoming<'_> {
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn send(answer: Answer, head: bool) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    if !answer.trouble.unsized_body {
        response = response.header(header::CONTENT_LENGTH, answer.body.len());
    }
    let body = if head { Body::empty() } else { streamed(answer.body, answer.trouble) };
    response.body(body).expect("the headers are well formed")
}

fn streamed(body: Bytes, trouble: Trouble) -> Body {
    let state = (body, 0_u64, trouble);
    Body::from_stream(stream::unfold(state, |(mut body, sent, trouble)| async move {
        if let Some(pause) = trouble.pause {
            tokio::time::sleep(pause).await;
        }
        if trouble.stall_after.is_some_and(|limit| sent >= limit) {
            std::future::pending::<()>().await;
        }
        if trouble.cut_after.is_some_and(|limit| sent >= limit) {
            // What was handed over must have left before the connection breaks.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Some((Err(io::Error::other("cut")), (Bytes::new(), sent, Trouble::default())));
        }
        if body.is_empty() {
            return None;
        }
        let limit = trouble
            .cut_after
            .or(trouble.stall_after)
            .map_or(usize::MAX, |limit| usize::try_from(limit - sent).unwrap_or(usize::MAX));
        let piece = body.split_to(body.len().min(PIECE_BYTES).min(limit));
        let sent = sent + piece.len() as u64;
        Some((Ok(piece), (body, sent, trouble)))
    }))
}

fn route(state: &mut State, method: &Method, path: &str, query: &str, incoming: &Incoming<'_>) -> Answer {
    if path == "/token" {
        return token(state, method, query, incoming);
    }
    if let Some(answer) = storm(&mut state.faults, path) {
        return answer;
    }
    if let Some(digest) = path.strip_prefix("/storage/") {
        return storage(state, digest, incoming);
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Answer::error(404, "NOT_FOUND", "no such page") };
    if let Some(refusal) = login(state, rest, incoming) {
        return refusal;
    }
    if rest.is_empty() {
        return Answer::new(200, "{}").with("content-type", "application/json");
    }
    if let Some(refusal) = page_refusal(state, rest, query) {
        return refusal;
    }
    if rest == "_catalog" {
        return catalogue(state, query, incoming.host);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return tags(state, repository, query, incoming.host);
    }
    if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
        return manifest(state, method, repository, reference);
    }
    match rest.rsplit_once("/blobs/") {
        Some((_, digest)) => blob(state, digest, query, path, incoming),
        None => Answer::error(404, "NOT_FOUND", "no such page"),
    }
}

fn storm(faults: &mut Faults, path: &str) -> Option<Answer> {
    if !path.contains(&faults.only_paths) {
        return None;
    }
    let answer = if faults.too_many > 0 {
        faults.too_many -= 1;
        Answer::error(429, "TOOMANYREQUESTS", "slow down")
    } else if faults.failing > 0 {
        faults.failing -= 1;
        let text = format!("broken{}", "!".repeat(faults.failing_bytes));
        Answer::new(if faults.failing_status == 0 { 500 } else { faults.failing_status }, text)
    } else {
        return None;
    };
    Some(match &faults.retry_after {
        Some(after) => answer.with("retry-after", after.clone()),
        None => answer,
    })
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{username}:{password}")))
}

/// The refusal, when the request may not be answered.
fn login(state: &State, rest: &str, incoming: &Incoming<'_>) -> Option<Answer> {
    let sent = incoming.header(header::AUTHORIZATION);
    let refuse = |challenge: String| {
        Answer::error(401, "UNAUTHORIZED", "authentication required").with("www-authenticate", challenge)
    };
    match &state.faults.login {
        Login::None => None,
        Login::Basic { username, password } => {
            let good = sent == Some(basic(username, password).as_str());
            (!good).then(|| refuse("Basic realm=\"test registry\"".to_owned()))
        }
        Login::Bearer { .. } | Login::Identity { .. } => {
            let scope = scope_of(rest);
            let good = sent
                .and_then(|text| text.strip_prefix("Bearer "))
                .is_some_and(|token| token.rsplit_once('#').is_some_and(|(granted, _)| granted == scope));
            if good && !state.faults.tokens_worthless {
                return None;
            }
            let realm = state.faults.token_realm.clone();
            let realm = realm.unwrap_or_else(|| format!("http://{}/token", incoming.host));
            let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
            Some(refuse(format!("Bearer realm=\"{realm}\",service=\"test\"{scope}")))
        }
    }
}

fn scope_of(rest: &str) -> String {
    if rest.is_empty() {
        return String::new();
    }
    if rest == "_catalog" {
        return "registry:catalog:*".to_owned();
    }
    let repository = ["/tags/list", "/manifests/", "/blobs/"].iter().find_map(|part| Some(rest.rsplit_once(part)?.0));
    format!("repository:{}:pull", repository.unwrap_or_default())
}

fn token(state: &mut State, method: &Method, query: &str, incoming: &Incoming<'_>) -> Answer {
    let refused = || Answer::new(401, json!({ "details": "incorrect username or password" }).to_string());
    let form = String::from_utf8_lossy(incoming.form).into_owned();
    let fields = if method == Method::POST { pairs(&form) } else { pairs(query) };
    if state.faults.token_by_post_only && method == Method::GET {
        return Answer::new(405, "");
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let good = match &state.faults.login {
        Login::None | Login::Basic { .. } => false,
        Login::Bearer { user: None } => true,
        Login::Bearer { user: Some((username, password)) } if method == Method::POST => {
            field("grant_type") == "password" && field("username") == username && field("password") == password
        }
        Login::Bearer { user: Some((username, password)) } => {
            incoming.header(header::AUTHORIZATION) == Some(basic(username, password).as_str())
        }
        Login::Identity { token } => field("grant_type") == "refresh_token" && field("refresh_token") == token,
    };
    if !good {
        return refused();
    }
    state.tokens_given += 1;
    let mut body = json!({ "token": format!("{}#{}", field("scope"), state.tokens_given) });
    if let Some(lifetime) = state.faults.token_lifetime {
        body["expires_in"] = json!(lifetime);
    }
    let mut body = body.to_string();
    body.extend(std::iter::repeat_n(' ', state.faults.token_bytes.saturating_sub(body.len())));
    Answer::new(200, body).with("content-type", "application/json")
}

/// The fields of a query or form, decoded.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let decode = |part: &str| {
        let mut out = Vec::new();
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                    let digit = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    out.push(digit.unwrap_or(b'?'));
                }
                other => out.push(other),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let split = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
}

/// The refusal of a page size that is too large.
fn page_refusal(state: &State, rest: &str, query: &str) -> Option<Answer> {
    let limit = state.faults.page_entries_accepted_max?;
    let asked: usize = pairs(query).get("n")?.parse().ok()?;
    let listing = rest == "_catalog" || rest.ends_with("/tags/list");
    (listing && asked > limit).then(|| Answer::error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results"))
}

/// One page of sorted names, and the `Link` behind it.
fn page(names: Vec<String>, path: &str, query: &str, faults: &Faults, host: &str) -> (Vec<String>, Option<String>) {
    let query = pairs(query);
    let last = query.get("last").cloned().unwrap_or_default();
    let asked = query.get("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let count = asked.min(faults.page_entries_max.unwrap_or(usize::MAX));
    let mut rest: Vec<String> = names.into_iter().filter(|name| last.is_empty() || *name > last).collect();
    let more = rest.len() > count;
    rest.truncate(count);
    let prefix = if faults.absolute_links { format!("http://{host}") } else { String::new() };
    let target = rest.last().map(|last| format!("{prefix}{path}?last={}&n={count}", last.replace('/', "%2F")));
    let link = match &faults.link_target {
        Some(target) => Some(target.clone()),
        None => target.filter(|_| more),
    };
    (rest, link.map(|target| format!("<{target}>; rel=\"next\"")))
}

fn listing(body: String, link: Option<String>) -> Answer {
    let answer = Answer::new(200, body).with("content-type", "application/json");
    match link {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

fn catalogue(state: &State, query: &str, host: &str) -> Answer {
    if let Some(status) = state.faults.catalogue_status {
        return Answer::error(status, "DENIED", "requested access to the resource is denied");
    }
    let (names, link) = page(state.tags.keys().cloned().collect(), "/v2/_catalog", query, &state.faults, host);
    let mut body = json!({ "repositories": names }).to_string();
    body.extend(std::iter::repeat_n(' ', state.faults.page_bytes.saturating_sub(body.len())));
    listing(body, link)
}

fn tags(state: &State, repository: &str, query: &str, host: &str) -> Answer {
    let Some(tags) = state.tags.get(repository) else {
        return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let path = format!("/v2/{repository}/tags/list");
    let (names, link) = page(tags.keys().cloned().collect(), &path, query, &state.faults, host);
    listing(json!({ "name": repository, "tags": names }).to_string(), link)
}

fn manifest(state: &State, method: &Method, repository: &str, reference: &str) -> Answer {
    if state.faults.no_head && method == Method::HEAD {
        return Answer::new(405, "");
    }
    let unknown = || Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let digest = match reference.parse::<Digest>() {
        Ok(digest) => digest,
        Err(_) => match state.tags.get(repository).and_then(|tags| tags.get(reference)) {
            Some(digest) => *digest,
            None => return unknown(),
        },
    };
    let held = state.held.get(repository).is_some_and(|held| held.contains(&digest));
    let Some((bytes, media_type)) = state.manifests.get(&digest).filter(|_| held) else { return unknown() };
    let mut body = bytes.to_vec();
    body.resize(body.len().max(state.faults.manifest_bytes), b' ');
    if state.faults.wrong_manifest_bytes {
        body.push(b'\n');
    }
    let answer = Answer::new(200, body).with("content-type", media_type.clone());
    if state.faults.no_digest_header { answer } else { answer.with("docker-content-digest", digest.to_string()) }
}

fn blob(state: &mut State, digest: &str, query: &str, path: &str, incoming: &Incoming<'_>) -> Answer {
    let hops: u32 = pairs(query).get("hop").and_then(|hop| hop.parse().ok()).unwrap_or(0);
    if hops < state.faults.redirect_chain {
        return Answer::new(307, "").with("location", format!("{path}?hop={}", hops + 1));
    }
    if let Some(base) = &state.faults.redirect_blobs {
        return Answer::new(307, "").with("location", format!("{base}/storage/{digest}?signature=s3cr3t"));
    }
    content(state, digest, incoming)
}

fn storage(state: &mut State, digest: &str, incoming: &Incoming<'_>) -> Answer {
    if state.faults.strict_storage && incoming.header(header::AUTHORIZATION).is_some() {
        return Answer::new(400, "<Error>Only one auth mechanism allowed</Error>");
    }
    content(state, digest, incoming)
}

fn content(state: &mut State, digest: &str, incoming: &Incoming<'_>) -> Answer {
    let found = digest.parse::<Digest>().ok().and_then(|digest| state.blobs.get(&digest).cloned());
    let Some(bytes) = found else { return Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry") };
    let faults = &mut state.faults;
    let mut trouble = Trouble { pause: faults.pause_per_piece, ..Trouble::default() };
    let mut body = bytes.to_vec();
    if faults.wrong_blob_bytes
        && let Some(last) = body.last_mut()
    {
        *last ^= 1;
    }
    trouble.unsized_body = faults.truncate_blobs_by > 0 || faults.extra_blob_bytes > 0;
    body.truncate(body.len().saturating_sub(faults.truncate_blobs_by));
    body.resize(body.len() + faults.extra_blob_bytes, 0);
    if faults.cuts > 0 {
        faults.cuts -= 1;
        trouble.cut_after = Some(faults.cut_after_bytes);
    } else if faults.stalls > 0 {
        faults.stalls -= 1;
        trouble.stall_after = Some(body.len() as u64 / 2);
    }
    let length = body.len();
    let asked = incoming.header(header::RANGE).and_then(|text| {
        let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let end = if last.is_empty() { length } else { length.min(last.parse::<usize>().ok()? + 1) };
        Some(start.parse::<usize>().ok()?.saturating_add(faults.shift_range_by)..end)
    });
    let mut answer = match asked.filter(|asked| !faults.ignore_range && !asked.is_empty()) {
        None => Answer::new(200, body),
        Some(range) => {
            let sent = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            body.truncate(range.end);
            Answer::new(206, body.split_off(range.start)).with("content-range", sent)
        }
    };
    answer.trouble = trouble;
    answer.with("content-type", "application/octet-stream").with("accept-ranges", "bytes")
}
