//! A registry in this process that misbehaves on command.
//!
//! It holds images in memory, speaks the reading half of the distribution API, logs every request, and runs on a
//! thread of its own, so that blocking and async tests can use it alike.

mod answer;
mod serve;

use crate::image::{BuiltImage, BuiltIndex};
use crate::tls::{Certificate, Tls, certificate};
use bytes::Bytes;
use model::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Login {
    /// Everyone.
    #[default]
    None,
    /// One user by Basic.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// One user by the token dance.
    Bearer {
        /// The user; `None` gives tokens to everyone.
        user: Option<(String, String)>,
    },
    /// By the token dance, with an identity token posted to the token service.
    Identity {
        /// The identity token.
        token: String,
    },
}

/// What goes wrong. Everything is off at first; counters count down as they are used.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Who may read.
    pub login: Login,
    /// `expires_in` of tokens, seconds.
    pub token_lifetime: Option<u64>,
    /// The realm of the challenge, instead of this registry's own `/token`.
    pub token_realm: Option<String>,
    /// Answers of the token service are padded with white space to this size.
    pub token_bytes: usize,
    /// The token service refuses `GET`.
    pub token_by_post_only: bool,
    /// Requests with a token are refused still.
    pub tokens_worthless: bool,
    /// The catalogue answers with this status.
    pub catalogue_status: Option<u16>,
    /// Entries per page at most, whatever was asked for.
    pub page_entries_max: Option<usize>,
    /// Larger pages than this are refused with 400.
    pub page_entries_accepted_max: Option<usize>,
    /// The target of every `Link` header, instead of the right one.
    pub link_target: Option<String>,
    /// `Link` headers hold a whole address.
    pub absolute_links: bool,
    /// This many next requests are answered with 429.
    pub too_many: u32,
    /// Only paths that contain this text are answered with 429 or 500; empty for all.
    pub only_paths: String,
    /// The `Retry-After` of 429 and 503 answers.
    pub retry_after: Option<String>,
    /// This many next requests are answered with this status.
    pub failing: u32,
    /// Answers of `failing` have a text of this size.
    pub failing_bytes: usize,
    /// The status of `failing`, 500 when 0.
    pub failing_status: u16,
    /// This many next blob answers are cut by closing the connection after `cut_after_bytes` of the body.
    pub cuts: u32,
    /// See `cuts`.
    pub cut_after_bytes: u64,
    /// `Range` is ignored.
    pub ignore_range: bool,
    /// Ranges begin so many bytes later than asked for.
    pub shift_range_by: usize,
    /// Blobs end (properly) this many bytes too early, with the right `Content-Length` left out.
    pub truncate_blobs_by: usize,
    /// Blobs have another last byte.
    pub wrong_blob_bytes: bool,
    /// Blobs have this many bytes more at the end, with `Content-Length` left out.
    pub extra_blob_bytes: usize,
    /// This many next blob answers stop sending in the middle and keep the connection open.
    pub stalls: u32,
    /// Wait before each piece of 64 KiB.
    pub pause_per_piece: Option<Duration>,
    /// Blobs are answered with a redirect to `{this}/storage/{digest}?signature=…`.
    pub redirect_blobs: Option<String>,
    /// This many redirects before a blob is given.
    pub redirect_chain: u32,
    /// Manifests are padded with white space to this size.
    pub manifest_bytes: usize,
    /// Manifests have another last byte than their digest says.
    pub wrong_manifest_bytes: bool,
    /// No `Docker-Content-Digest`.
    pub no_digest_header: bool,
    /// `HEAD` is answered with 405.
    pub no_head: bool,
    /// The catalogue is padded with white space to this size.
    pub page_bytes: usize,
    /// `/storage/` gives 400 to requests with an `Authorization` header, as object stores do.
    pub strict_storage: bool,
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path without query.
    pub path: String,
    /// The query, empty when there is none.
    pub query: String,
    /// The `User-Agent`, empty when there is none.
    pub user_agent: String,
    /// The `Authorization` header, as it came.
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The length of the body that was meant to be sent.
    pub bytes: u64,
}

#[derive(Default)]
struct State {
    /// Manifests and their media types.
    manifests: BTreeMap<Digest, (Bytes, String)>,
    /// Repository → tag → digest.
    tags: BTreeMap<String, BTreeMap<String, Digest>>,
    /// Repository → manifests that it holds.
    held: BTreeMap<String, Vec<Digest>>,
    blobs: BTreeMap<Digest, Bytes>,
    faults: Faults,
    log: Vec<Logged>,
    tokens_given: u64,
}

/// The registry. Ends when dropped.
pub struct FaultRegistry {
    state: Arc<Mutex<State>>,
    port: u16,
    tls: Option<Tls>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FaultRegistry {
    /// Starts one that speaks plain HTTP.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start() -> Self {
        Self::launch(None)
    }

    /// Starts one that speaks HTTPS with such a certificate; see [`Self::ca_pem`].
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start_tls(kind: Certificate) -> Self {
        Self::launch(Some(certificate(kind)))
    }

    fn launch(tls: Option<Tls>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (port, thread) = serve::spawn(Arc::clone(&state), tls.as_ref().map(|tls| Arc::clone(&tls.config)), stopped);
        Self { state, port, tls, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host())
    }

    /// The authority that signed its certificate, PEM; empty without TLS.
    pub fn ca_pem(&self) -> String {
        self.tls.as_ref().map(|tls| tls.ca_pem.clone()).unwrap_or_default()
    }

    /// Stores an image under a tag, moving the tag if it exists.
    pub fn put(&self, repository: &str, tag: &str, image: &BuiltImage) {
        self.put_untagged(repository, image);
        self.point(repository, tag, image.digest);
    }

    /// Stores an index and its images under a tag.
    pub fn put_index(&self, repository: &str, tag: &str, index: &BuiltIndex) {
        index.images.iter().for_each(|image| self.put_untagged(repository, image));
        self.put_manifest(repository, index.manifest.clone(), &index.media_type);
        self.point(repository, tag, index.digest);
    }

    /// Stores an image without a tag.
    pub fn put_untagged(&self, repository: &str, image: &BuiltImage) {
        self.put_manifest(repository, image.manifest.clone(), &image.media_type);
        let mut state = self.lock();
        state.blobs.insert(image.config_digest, image.config.clone());
        for layer in &image.layers {
            state.blobs.insert(layer.digest, layer.blob.clone());
        }
    }

    /// Stores any bytes as a manifest and returns their digest.
    pub fn put_manifest(&self, repository: &str, bytes: Bytes, media_type: &str) -> Digest {
        let digest = crate::image::sha256(&bytes);
        let mut state = self.lock();
        state.manifests.insert(digest, (bytes, media_type.to_owned()));
        state.held.entry(repository.to_owned()).or_default().push(digest);
        state.tags.entry(repository.to_owned()).or_default();
        digest
    }

    /// Points a tag at a digest, whether there is such a manifest or not.
    pub fn point(&self, repository: &str, tag: &str, digest: Digest) {
        self.lock().tags.entry(repository.to_owned()).or_default().insert(tag.to_owned(), digest);
    }

    /// Deletes a tag.
    pub fn delete_tag(&self, repository: &str, tag: &str) {
        if let Some(tags) = self.lock().tags.get_mut(repository) {
            tags.remove(tag);
        }
    }

    /// Stores a blob of its own and returns its digest.
    pub fn put_blob(&self, bytes: Bytes) -> Digest {
        let digest = crate::image::sha256(&bytes);
        self.lock().blobs.insert(digest, bytes);
        digest
    }

    /// Forgets a blob.
    pub fn delete_blob(&self, digest: Digest) {
        self.lock().blobs.remove(&digest);
    }

    /// Switches faults.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    /// Every request so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Logged> {
        self.lock().log.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.lock().log.clear();
    }

    /// How many requests so far have this method and a path that contains this text.
    pub fn count(&self, method: &str, path_part: &str) -> usize {
        self.lock().log.iter().filter(|line| line.method == method && line.path.contains(path_part)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for FaultRegistry {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may be gone already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
