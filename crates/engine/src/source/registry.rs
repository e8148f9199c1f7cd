//! Images in a registry, for one-image scans.

use super::{OpenImage, OpenOptions, PlatformChoice, check_platform, choose};
use crate::error::from_remote;
use crate::task::resolve::resolve_image;
use crate::task::scan::{LayerOpener, RegistryLayers};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::layer::{Descriptor, ImageManifest, Layer};
use model::{Digest, ImageRef, Platform};
use remote::Limits;
use remote::docker_config::DockerConfig;
use remote::oci::{FetchedManifest, ManifestContent, RegistryClient};
use std::io::Read;
use std::sync::Arc;

/// Layers of one repository, with a client of their own.
struct Layers {
    client: Arc<RegistryClient>,
    repository: String,
}

#[async_trait]
impl LayerOpener for Layers {
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        RegistryLayers { client: &self.client, repository: &self.repository }.open(layer).await
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
        let layers = Layers { client: Arc::clone(&self.client), repository: self.image.repository.clone() };
        Ok(OpenImage { reference: self.image.to_string(), digest: Some(digest), resolved, layers: Arc::new(layers) })
    }
}
