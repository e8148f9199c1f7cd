//! From a digest to images: fetches index, manifests and configurations, and says what they are.
//!
//! Two halves: [`fetch`] talks to the registry and only collects documents; [`assemble`] verifies every
//! document against its digest and makes sense of them. The second half runs where the store is, so an agent
//! cannot make a digest stand for content that it does not have.

use crate::selection::Selection;
use crate::{Error, ErrorKind, Result};
use model::discovery::{ResolvedContent, ResolvedImage, ResolvedManifest};
use model::layer::{Descriptor, ImageConfig, ImageIndex, ImageManifest, Layer, LayerMedia};
use model::{Digest, Platform};
use remote::oci::{ManifestContent, RegistryClient, index_member_artifact, parse_manifest};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The documents behind one digest: the manifest or index itself, member manifests, configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestDocuments {
    /// What the tag points at.
    pub digest: Option<Digest>,
    /// Its media type, as the registry served it.
    pub media_type: String,
    /// Documents by digest.
    pub documents: BTreeMap<Digest, Vec<u8>>,
    /// Documents that could not be fetched, with the reason.
    pub unreadable: BTreeMap<Digest, String>,
}

/// More members than this are not followed; the rest is skipped, and said so.
pub const INDEX_MEMBERS_MAX: usize = 200;

/// The most layers of an image.
pub const LAYERS_MAX: usize = 1000;

/// Fetches what is behind a digest. Platforms that are not wanted are not fetched.
///
/// # Errors
/// When the manifest itself cannot be fetched; members that fail are recorded as unreadable instead, unless the
/// failure may pass.
pub async fn fetch(
    client: &RegistryClient,
    repository: &str,
    digest: Digest,
    selection: &Selection,
) -> Result<ManifestDocuments> {
    let mut out = ManifestDocuments { digest: Some(digest), ..ManifestDocuments::default() };
    let root = client.manifest(repository, &digest.to_string()).await.map_err(from_remote)?;
    out.media_type.clone_from(&root.media_type);
    out.documents.insert(digest, root.bytes);
    match root.content {
        ManifestContent::Image(manifest) => fetch_config(client, repository, &manifest, &mut out).await?,
        ManifestContent::Index(index) => {
            for member in wanted_members(&index, selection) {
                fetch_member(client, repository, member, &mut out).await?;
            }
        }
        ManifestContent::Artifact { .. } => {}
    }
    Ok(out)
}

async fn fetch_member(
    client: &RegistryClient,
    repository: &str,
    member: &Descriptor,
    out: &mut ManifestDocuments,
) -> Result<()> {
    match client.manifest(repository, &member.digest.to_string()).await {
        Ok(fetched) => {
            out.documents.insert(member.digest, fetched.bytes);
            if let ManifestContent::Image(manifest) = &fetched.content {
                fetch_config(client, repository, manifest, out).await?;
            }
            Ok(())
        }
        Err(error) => keep_final(from_remote(error), member.digest, out),
    }
}

async fn fetch_config(
    client: &RegistryClient,
    repository: &str,
    manifest: &ImageManifest,
    out: &mut ManifestDocuments,
) -> Result<()> {
    if out.documents.contains_key(&manifest.config.digest) {
        return Ok(());
    }
    match client.config(repository, &manifest.config).await {
        Ok((digest, bytes)) => {
            out.documents.insert(digest, bytes);
            Ok(())
        }
        Err(error) => keep_final(from_remote(error), manifest.config.digest, out),
    }
}

/// A failure that may pass is an error; one that will not is kept as the reason of a gap.
fn keep_final(error: Error, digest: Digest, out: &mut ManifestDocuments) -> Result<()> {
    if error.kind == ErrorKind::Transient {
        return Err(error);
    }
    out.unreadable.insert(digest, error.full());
    Ok(())
}

fn wanted_members<'a>(index: &'a ImageIndex, selection: &'a Selection) -> impl Iterator<Item = &'a Descriptor> {
    index.manifests.iter().take(INDEX_MEMBERS_MAX).filter(|member| {
        member_is_image(member) && member.platform.as_ref().is_none_or(|p| selection.wants_platform(p))
    })
}

fn member_is_image(member: &Descriptor) -> bool {
    index_member_artifact(member).is_none()
}

fn media_hint(media_type: &str) -> Option<&str> {
    Some(media_type).filter(|text| !text.is_empty())
}

/// Verifies the documents and makes sense of them.
///
/// # Errors
/// `Malformed` when a document is not what its digest says: the worker that handed it in is at fault.
pub fn assemble(documents: &ManifestDocuments, selection: &Selection) -> Result<ResolvedManifest> {
    for (digest, bytes) in &documents.documents {
        verify(digest, bytes)?;
    }
    let digest = documents.digest.ok_or_else(|| Error::new(ErrorKind::Malformed, "no digest was named"))?;
    let content = match documents.documents.get(&digest) {
        None => ResolvedContent::Unreadable { reason: unreadable(documents, &digest, "the manifest") },
        Some(bytes) => match parse_manifest(bytes, media_hint(&documents.media_type)).map(|parsed| parsed.content) {
            Err(error) => ResolvedContent::Unreadable { reason: error.to_string() },
            Ok(ManifestContent::Artifact { what, .. }) => ResolvedContent::Artifact { what },
            Ok(ManifestContent::Image(manifest)) => match image(documents, digest, &manifest, None) {
                Ok(image) => ResolvedContent::Image { image: Box::new(image) },
                Err(reason) => ResolvedContent::Unreadable { reason },
            },
            Ok(ManifestContent::Index(index)) => index_content(documents, &index, selection),
        },
    };
    Ok(ResolvedManifest { digest, media_type: documents.media_type.clone(), content })
}

fn index_content(documents: &ManifestDocuments, index: &ImageIndex, selection: &Selection) -> ResolvedContent {
    let mut images: Vec<ResolvedImage> = Vec::new();
    let mut skipped = Vec::new();
    for (at, member) in index.manifests.iter().enumerate() {
        match member_image(documents, at, member, selection) {
            Ok(image) if images.iter().any(|known| known.digest == image.digest) => {}
            Ok(image) => images.push(image),
            Err(why) => skipped.push((member.digest, why)),
        }
    }
    ResolvedContent::Index { images, skipped }
}

fn member_image(
    documents: &ManifestDocuments,
    at: usize,
    member: &Descriptor,
    selection: &Selection,
) -> std::result::Result<ResolvedImage, String> {
    if at >= INDEX_MEMBERS_MAX {
        return Err(format!("the index has more than {INDEX_MEMBERS_MAX} members; this one was not followed"));
    }
    if let Some(what) = index_member_artifact(member) {
        return Err(format!("{what}, not an image"));
    }
    if let Some(platform) = member.platform.as_ref().filter(|p| !selection.wants_platform(p)) {
        return Err(format!("the platform {platform} is not selected"));
    }
    let bytes = documents
        .documents
        .get(&member.digest)
        .ok_or_else(|| unreadable(documents, &member.digest, "the member manifest"))?;
    match parse_manifest(bytes, media_hint(&member.media_type)).map_err(|e| e.to_string())?.content {
        ManifestContent::Image(manifest) => image(documents, member.digest, &manifest, member.platform.as_ref()),
        ManifestContent::Index(_) => Err("an index inside an index is not followed".to_owned()),
        ManifestContent::Artifact { what, .. } => Err(format!("{what}, not an image")),
    }
}

fn image(
    documents: &ManifestDocuments,
    digest: Digest,
    manifest: &ImageManifest,
    platform: Option<&Platform>,
) -> std::result::Result<ResolvedImage, String> {
    let config = manifest.config.digest;
    let bytes = documents.documents.get(&config).ok_or_else(|| unreadable(documents, &config, "the configuration"))?;
    resolve_image(digest, manifest, bytes, platform)
}

/// Makes sense of one image manifest and its configuration's bytes. Shared with the readers of archives.
///
/// # Errors
/// A sentence that says what is wrong with them.
pub fn resolve_image(
    digest: Digest,
    manifest: &ImageManifest,
    config: &[u8],
    platform: Option<&Platform>,
) -> std::result::Result<ResolvedImage, String> {
    let mut configuration: ImageConfig = serde_json::from_slice(config)
        .map_err(|e| format!("the image configuration {} cannot be read: {e}", manifest.config.digest))?;
    configuration.annotations = model::base::of_manifest(&manifest.annotations);
    if manifest.layers.len() > LAYERS_MAX {
        return Err(format!("the image has {} layers; at most {LAYERS_MAX} are read", manifest.layers.len()));
    }
    let claimed = &configuration.rootfs.diff_ids;
    if claimed.len() != manifest.layers.len() {
        return Err(format!(
            "the manifest has {} layers and the configuration {} diff_ids: they do not belong together",
            manifest.layers.len(),
            claimed.len()
        ));
    }
    let mut instructions = configuration.layer_instructions();
    let mut layers = Vec::with_capacity(manifest.layers.len());
    for (at, (descriptor, diff_id)) in manifest.layers.iter().zip(claimed).enumerate() {
        let media = LayerMedia::from_media_type(&descriptor.media_type).ok_or_else(|| {
            format!("layer {at} has the media type {:?}, which is not a layer", descriptor.media_type)
        })?;
        let index = u32::try_from(at).expect("LAYERS_MAX fits");
        layers.push(Layer {
            index,
            blob: descriptor.digest,
            diff_id: *diff_id,
            media,
            bytes: descriptor.size,
            instruction: instructions.next().map(str::to_owned),
        });
    }
    drop(instructions);
    let platform = platform.filter(|p| !p.architecture.is_empty()).cloned().unwrap_or_else(|| configuration.platform());
    Ok(ResolvedImage { digest, config_digest: manifest.config.digest, platform, configuration, layers, why_not: None })
}

fn unreadable(documents: &ManifestDocuments, digest: &Digest, what: &str) -> String {
    match documents.unreadable.get(digest) {
        Some(reason) => format!("{what} {digest} could not be read: {reason}"),
        None => format!("{what} {digest} was not handed in"),
    }
}

fn verify(digest: &Digest, bytes: &[u8]) -> Result<()> {
    let actual = Digest::from_bytes(Sha256::digest(bytes).into());
    if actual == *digest {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Malformed, format!("a document claims the digest {digest} but has {actual}")))
}

/// A registry error, with the kind that decides about a retry.
pub(crate) fn from_remote(error: remote::Error) -> Error {
    crate::error::from_remote(error)
}
