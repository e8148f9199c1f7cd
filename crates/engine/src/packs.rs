//! A compiled generation moved as one thing: `feeds pack|unpack` as a file, `feeds push|pull` as an OCI artifact.
//!
//! Not here: the form of a pack and what makes it believed (`store::intel_pack`), the registry's API (`remote::oci`).
//!
//! Invariant: a pack comes into force whole or not at all, and only after its list was believed and every segment was
//! found to be the one that the list names and to open.

use crate::feeds::notes::Notes;
use crate::intelligence::note_changes;
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use intel::Segment;
use model::layer::Descriptor;
use model::{Digest, ImageRef};
use remote::oci::RegistryClient;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use store::intel_folder::IntelFolder;
use store::intel_pack::{LIST_BYTES_MAX, Pack, PackList, PackedFeed, SealedList, SigningKey, Trust};

const MANIFEST_MEDIA: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_MEDIA: &str = "application/vnd.oci.empty.v1+json";
const ARTIFACT_TYPE: &str = "application/vnd.pratique.intelligence.v1";
const LIST_MEDIA: &str = "application/vnd.pratique.intelligence.list.v1+json";
const SEGMENT_MEDIA: &str = "application/vnd.pratique.intelligence.segment.v1+zstd";
const SIGNATURE: &str = "vnd.pratique.intelligence.signature";
const TITLE: &str = "org.opencontainers.image.title";

/// What was packed or pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// How many feeds.
    pub feeds: usize,
    /// Bytes of the packed segments.
    pub bytes: u64,
    /// The digest to pin: of the list in a file, of the manifest in a registry.
    pub digest: Digest,
}

/// What a pack brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The generation that is in force now.
    pub generation: u64,
    /// The feeds that were replaced; others of the pack were the same already.
    pub feeds: Vec<String>,
    /// How many packages changed.
    pub changed_packages: usize,
}

/// Writes the generation in force to a file, beside its place first.
///
/// # Errors
/// `NotFound` when nothing is loaded; when a segment was damaged or the file cannot be written.
pub fn pack(folder: &IntelFolder, file: &Path, key: Option<&SigningKey>) -> Result<Packed> {
    let pack = make(folder, key)?;
    let unwritable = |e| Error::because(ErrorKind::Internal, format!("{} cannot be written", file.display()), e);
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = tempfile::NamedTempFile::new_in(parent).map_err(unwritable)?;
    let mut out = BufWriter::new(partial.as_file());
    pack.write(&mut out).and_then(|()| out.flush()).map_err(unwritable)?;
    drop(out);
    partial.persist(file).map_err(|e| unwritable(e.error))?;
    Ok(Packed { feeds: pack.segments.len(), bytes: bytes_of(&pack), digest: pack.list.digest() })
}

fn make(folder: &IntelFolder, key: Option<&SigningKey>) -> Result<Pack> {
    let mut generation = folder.current()?;
    // What was noted since the import goes with the feeds.
    let notes = Notes::read(folder.notes()?.as_deref());
    for feed in &mut generation.feeds {
        let Ok(mut meta) = serde_json::from_str::<intel::FeedMeta>(&feed.meta_json) else { continue };
        notes.complete(&mut meta);
        feed.meta_json = serde_json::to_string(&meta)
            .map_err(|e| Error::because(ErrorKind::Internal, "the description of a feed cannot be written", e))?;
    }
    if generation.feeds.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "there is no intelligence to pack: import or download feeds first",
        ));
    }
    Ok(Pack::new(&generation, key)?)
}

fn bytes_of(pack: &Pack) -> u64 {
    pack.segments.iter().map(|segment| segment.len() as u64).sum()
}

/// Puts the feeds of a file into force; feeds that it does not hold stay.
///
/// # Errors
/// When it is not believed, was cut short or changed; what was in force stays.
pub fn unpack(folder: &IntelFolder, file: &Path, trust: &Trust) -> Result<Unpacked> {
    let opened = File::open(file)
        .map_err(|e| Error::because(ErrorKind::NotFound, format!("{} cannot be read", file.display()), e))?;
    let mut input = BufReader::new(opened);
    let sealed = SealedList::read(&mut input)?;
    let list = sealed.open(trust)?;
    let mut segments = Vec::with_capacity(list.feeds.len());
    for (id, feed) in &list.feeds {
        segments.push((id.clone(), feed.meta_json.clone(), checked(id, feed, &mut input)?));
    }
    let mut more = [0];
    if input.read(&mut more).map_err(|e| Error::because(ErrorKind::Malformed, "the pack cannot be read", e))? > 0 {
        return Err(Error::new(ErrorKind::Malformed, "the pack goes on after its last feed"));
    }
    install(folder, segments)
}

/// A segment that this program can read.
fn checked(id: &str, feed: &PackedFeed, input: &mut impl Read) -> Result<Vec<u8>> {
    let bytes = Arc::new(feed.unpack(id, input)?);
    serde_json::from_str::<intel::FeedMeta>(&feed.meta_json).map_err(|e| {
        Error::because(ErrorKind::Malformed, format!("the description of the packed feed {id} cannot be read"), e)
    })?;
    Segment::open(Arc::clone(&bytes) as _).map_err(crate::error::from_intel)?;
    Ok(Arc::unwrap_or_clone(bytes))
}

fn install(folder: &IntelFolder, segments: Vec<(String, String, Vec<u8>)>) -> Result<Unpacked> {
    let before = folder.current_number()?;
    let feeds = segments.iter().map(|(id, ..)| id.clone()).collect();
    let generation = folder.install(segments, &[])?;
    let changed = if generation > before { note_changes(folder, generation)?.packages.len() } else { 0 };
    Ok(Unpacked { generation, feeds, changed_packages: changed })
}

/// Uploads the generation in force as an OCI artifact; blobs that the registry has are not sent again.
///
/// # Errors
/// When there is nothing to send, or the registry refuses.
pub async fn push(
    folder: &IntelFolder,
    client: &RegistryClient,
    image: &ImageRef,
    key: Option<&SigningKey>,
) -> Result<Packed> {
    let tag = match (&image.tag, &image.digest) {
        (Some(tag), None) => tag.clone(),
        (_, Some(_)) | (None, None) => {
            return Err(Error::new(ErrorKind::Usage, format!("{image} has to name a tag, and no digest, to push to")));
        }
    };
    let pack = make(folder, key)?;
    let list: PackList = pack.list.open(&Trust::Anyone)?;
    let (feeds, bytes) = (pack.segments.len(), bytes_of(&pack));
    let manifest = manifest(&pack.list, &list).to_string();
    let repository = &image.repository;
    let text = Bytes::from(pack.list.text);
    for blob in [Bytes::from_static(b"{}"), text].into_iter().chain(pack.segments.into_iter().map(Bytes::from)) {
        client.push_blob(repository, blob).await.map_err(crate::error::from_remote)?;
    }
    let digest = client
        .push_manifest(repository, &tag, MANIFEST_MEDIA, Bytes::from(manifest))
        .await
        .map_err(crate::error::from_remote)?;
    Ok(Packed { feeds, bytes, digest })
}

/// OCI image specification 1.1, "Guidelines for Artifact Usage".
fn manifest(sealed: &SealedList, list: &PackList) -> Value {
    let empty = descriptor(EMPTY_MEDIA, sha256(b"{}"), 2, None);
    let mut layers = vec![descriptor(LIST_MEDIA, sealed.digest(), sealed.text.len() as u64, Some("list.json"))];
    layers.extend(
        list.feeds.iter().map(|(id, feed)| descriptor(SEGMENT_MEDIA, feed.packed_digest, feed.packed_bytes, Some(id))),
    );
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_MEDIA, "artifactType": ARTIFACT_TYPE, "config": empty,
        "layers": layers,
    });
    if let Some(signature) = &sealed.signature {
        manifest["annotations"] = json!({ SIGNATURE: hex(signature) });
    }
    manifest
}

fn descriptor(media: &str, digest: Digest, size: u64, title: Option<&str>) -> Value {
    let mut out = json!({ "mediaType": media, "digest": digest, "size": size });
    if let Some(title) = title {
        out["annotations"] = json!({ TITLE: title });
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    text.len().is_multiple_of(2).then(|| (0..text.len()).step_by(2).map(pair).collect()).flatten()
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::{Digest as _, Sha256};
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Downloads an artifact and puts its feeds into force; segments that are in force already are not downloaded. A
/// reference with a digest pins the whole artifact, so [`Trust::Anyone`] is enough for it.
///
/// # Errors
/// When it is not believed, or not what it should be; what was in force stays.
pub async fn pull(folder: &IntelFolder, client: &RegistryClient, image: &ImageRef, trust: &Trust) -> Result<Unpacked> {
    let reference = match (&image.digest, &image.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    let fetched = client.manifest(&image.repository, &reference).await.map_err(crate::error::from_remote)?;
    let not_ours = || Error::new(ErrorKind::Malformed, format!("{image} holds no intelligence"));
    let manifest: Value = serde_json::from_slice(&fetched.bytes).map_err(|_| not_ours())?;
    if manifest["artifactType"] != ARTIFACT_TYPE {
        return Err(not_ours());
    }
    let mut blobs = Vec::new();
    for layer in manifest["layers"].as_array().ok_or_else(not_ours)? {
        blobs.push(serde_json::from_value::<Descriptor>(layer.clone()).map_err(|_| not_ours())?);
    }
    let list = blobs.iter().find(|blob| blob.media_type == LIST_MEDIA).ok_or_else(not_ours)?;
    let text = download(client, image, list, LIST_BYTES_MAX).await?;
    let signature = manifest["annotations"][SIGNATURE].as_str().and_then(unhex);
    let list = SealedList { text, signature }.open(trust)?;
    let current = folder.current()?;
    let mut segments = Vec::new();
    for (id, feed) in list.feeds {
        let is_same =
            current.feeds.iter().any(|f| f.id == id && f.digest == feed.digest && f.meta_json == feed.meta_json);
        if is_same {
            continue;
        }
        let blob = blobs.iter().find(|blob| blob.digest == feed.packed_digest).ok_or_else(not_ours)?;
        let packed = download(client, image, blob, feed.packed_bytes).await?;
        segments.push((id.clone(), feed.meta_json.clone(), checked(&id, &feed, &mut packed.as_slice())?));
    }
    install(folder, segments)
}

async fn download(client: &RegistryClient, image: &ImageRef, blob: &Descriptor, bytes_max: u64) -> Result<Vec<u8>> {
    if blob.size > bytes_max {
        let text =
            format!("blob {} of {image} has {} bytes, more than the {bytes_max} expected", blob.digest, blob.size);
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let mut reader = client.blob(&image.repository, blob).await.map_err(crate::error::from_remote)?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = read.await.map_err(|e| Error::because(ErrorKind::Internal, "a download was cut off", e))?;
    read.map_err(|e| Error::because(ErrorKind::Malformed, format!("blob {} of {image} cannot be read", blob.digest), e))
}
