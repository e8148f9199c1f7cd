//! Images in a registry, for one-image scans.

use super::{OpenImage, OpenOptions, PlatformChoice, check_platform, choose};
use crate::error::from_remote;
use crate::lazy::{PartOpener, Ztoc};
use crate::task::resolve::resolve_image;
use crate::task::scan::{LayerOpener, RegistryLayers};
use crate::{Error, ErrorKind, Result};
use analyze::lazy::soci;
use async_trait::async_trait;
use model::layer::{Descriptor, ImageManifest, Layer};
use model::{Digest, ImageRef, Platform};
use remote::Limits;
use remote::docker_config::DockerConfig;
use remote::oci::{FetchedManifest, ManifestContent, RegistryClient};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Layers of one image, with a client of their own.
struct Layers {
    client: Arc<RegistryClient>,
    repository: String,
    image: Digest,
    manifest: ImageManifest,
    /// The image's SOCI index, once it was looked for.
    soci: OnceCell<Option<SociIndex>>,
}

/// The ztocs of an image.
struct SociIndex {
    ztocs: Vec<Descriptor>,
    is_of_image: bool,
}

/// The largest ztoc: most of it are windows of 32 KiB.
const ZTOC_BYTES_MAX: u64 = 32 << 20;

#[async_trait]
impl LayerOpener for Layers {
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        RegistryLayers { client: &self.client, repository: &self.repository }.open(layer).await
    }

    fn in_parts(&self) -> Option<&dyn PartOpener> {
        Some(self)
    }
}

impl Layers {
    fn descriptor(&self, layer: &Layer) -> Result<&Descriptor> {
        let found = self.manifest.layers.iter().find(|descriptor| descriptor.digest == layer.blob);
        found.ok_or_else(|| Error::new(ErrorKind::Internal, format!("{} is no layer of the image", layer.blob)))
    }

    /// The index that the manifest names, else one that refers to the image.
    async fn soci(&self) -> Result<Option<SociIndex>> {
        let named = self.manifest.annotations.get(soci::INDEX_DIGEST).and_then(|text| text.parse().ok());
        let (digest, is_of_image): (Digest, bool) = match named {
            Some(digest) => (digest, true),
            None => {
                let kind = soci::ARTIFACT_TYPE_V1;
                let found = self.client.referrers(&self.repository, &self.image, kind).await.map_err(from_remote)?;
                let Some(first) = found.first() else { return Ok(None) };
                (first.digest, false)
            }
        };
        let fetched = self.client.manifest(&self.repository, &digest.to_string()).await.map_err(from_remote)?;
        let bad = |e| Error::because(ErrorKind::Malformed, format!("the SOCI index {digest} cannot be read"), e);
        let index: ImageManifest = serde_json::from_slice(&fetched.bytes).map_err(bad)?;
        Ok(Some(SociIndex { ztocs: index.layers, is_of_image }))
    }
}

#[async_trait]
impl PartOpener for Layers {
    fn annotations(&self, layer: &Layer) -> Option<&BTreeMap<String, String>> {
        self.descriptor(layer).ok().map(|descriptor| &descriptor.annotations)
    }

    async fn part(&self, layer: &Layer, range: Range<u64>) -> Result<Vec<u8>> {
        let blob = self.descriptor(layer)?;
        self.client.blob_range(&self.repository, blob, range).await.map_err(from_remote)
    }

    fn parts(&self, layer: &Layer, ranges: Vec<Range<u64>>) -> Result<Box<dyn Read + Send>> {
        let blob = self.descriptor(layer)?;
        let reader = self.client.blob_ranges(&self.repository, blob, ranges).map_err(from_remote)?;
        Ok(Box::new(reader))
    }

    async fn ztoc(&self, layer: &Layer) -> Result<Option<Ztoc>> {
        let Some(index) = self.soci.get_or_try_init(|| self.soci()).await? else { return Ok(None) };
        let digest = layer.blob.to_string();
        let is_about = |ztoc: &&Descriptor| ztoc.annotations.get(soci::LAYER_DIGEST) == Some(&digest);
        let ztoc = index.ztocs.iter().find(is_about);
        Ok(ztoc.map(|descriptor| Ztoc { descriptor: descriptor.clone(), is_of_image: index.is_of_image }))
    }

    async fn ztoc_bytes(&self, ztoc: &Ztoc) -> Result<Vec<u8>> {
        let fetched = self.client.whole_blob(&self.repository, &ztoc.descriptor, ZTOC_BYTES_MAX).await;
        fetched.map_err(from_remote)
    }
}

pub(super) async fn open(image: &ImageRef, options: &OpenOptions) -> Result<Vec<OpenImage>> {
    let opener = Opener { client: Arc::new(client(image, options).await?), image, options };
    let reference = match (&image.digest, &image.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
    };
    let fetched = opener.client.manifest(&image.repository, &reference).await.map_err(from_remote)?;
    let FetchedManifest { digest, content, .. } = fetched;
    match content {
        ManifestContent::Image(manifest) => {
            let opened = opener.image(digest, &manifest, None).await?;
            check_platform(&opened.resolved, &options.platform, &opened.reference)?;
            Ok(vec![opened])
        }
        ManifestContent::Index(index) => {
            let mut out = Vec::new();
            for member in choose(&index, &options.platform, &image.to_string())? {
                out.extend(opener.member(member).await?);
            }
            Ok(out)
        }
        ManifestContent::Artifact { what, .. } => {
            Err(Error::new(ErrorKind::Unsupported, format!("{image} is {what}, not an image")))
        }
    }
}

/// A client of the registry that a reference names.
pub(super) async fn client(image: &ImageRef, options: &OpenOptions) -> Result<RegistryClient> {
    let credentials = match &options.credentials {
        Some(given) => Some(given.clone()),
        None => {
            let stored = DockerConfig::load().map_err(from_remote)?;
            stored.credentials(&image.registry).await.map_err(from_remote)?
        }
    };
    let endpoint = remote::Endpoint {
        host: image.registry.clone(),
        plain_http: options.plain_http,
        skip_tls_verify: options.skip_tls_verify,
        ca_certificate: options.ca_certificate.clone(),
        user_agent: options.user_agent.clone(),
        credentials,
        deny_private: false,
    };
    RegistryClient::new(endpoint, Limits::default()).map_err(from_remote)
}

struct Opener<'a> {
    client: Arc<RegistryClient>,
    image: &'a ImageRef,
    options: &'a OpenOptions,
}

impl Opener<'_> {
    /// One member of an index; with every platform asked for, what is no image is passed over.
    async fn member(&self, member: &Descriptor) -> Result<Option<OpenImage>> {
        let fetched =
            self.client.manifest(&self.image.repository, &member.digest.to_string()).await.map_err(from_remote)?;
        match &fetched.content {
            ManifestContent::Image(manifest) => {
                self.image(member.digest, manifest, member.platform.as_ref()).await.map(Some)
            }
            ManifestContent::Artifact { .. } if self.options.platform == PlatformChoice::All => Ok(None),
            ManifestContent::Artifact { what, .. } => {
                Err(Error::new(ErrorKind::Unsupported, format!("{} is {what}, not an image", member.digest)))
            }
            ManifestContent::Index(_) => {
                Err(Error::new(ErrorKind::Unsupported, format!("{} is an index inside an index", member.digest)))
            }
        }
    }

    async fn image(&self, digest: Digest, manifest: &ImageManifest, platform: Option<&Platform>) -> Result<OpenImage> {
        let (_, config) = self.client.config(&self.image.repository, &manifest.config).await.map_err(from_remote)?;
        let resolved =
            resolve_image(digest, manifest, &config, platform).map_err(|e| Error::new(ErrorKind::Malformed, e))?;
        let layers = Layers {
            client: Arc::clone(&self.client),
            repository: self.image.repository.clone(),
            image: digest,
            manifest: manifest.clone(),
            soci: OnceCell::new(),
        };
        Ok(OpenImage { reference: self.image.to_string(), digest: Some(digest), resolved, layers: Arc::new(layers) })
    }
}
