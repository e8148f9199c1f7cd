//! Archives that `docker save` writes: `manifest.json` names a configuration and layer files (Docker Image
//! Specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
//!
//! Such an archive names no blob digests. A layer's blob is the member as stored; its digest is computed here, so
//! that nothing that is merely claimed ever becomes a cache key.

use super::tar_index::TarIndex;
use super::{OpenImage, Verified};
use crate::task::scan::LayerOpener;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::Digest;
use model::discovery::ResolvedImage;
use model::layer::{ImageConfig, Layer, LayerMedia};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

struct Members {
    archive: Arc<TarIndex>,
    by_blob: BTreeMap<Digest, String>,
}

#[async_trait]
impl LayerOpener for Members {
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        let name = self
            .by_blob
            .get(&layer.blob)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "not a layer of this archive"))?;
        Ok(Box::new(Verified::new(self.archive.open_member(name)?, layer.blob, layer.bytes)))
    }
}

pub(super) fn open(archive: Arc<TarIndex>, tag: Option<&str>, reference: &str) -> Result<Vec<OpenImage>> {
    if !archive.has("manifest.json") {
        let hint =
            if archive.has("index.json") { " (it looks like an OCI layout: write oci-archive:FILE)" } else { "" };
        return Err(Error::new(ErrorKind::Malformed, format!("{reference} has no manifest.json{hint}")));
    }
    let bytes = archive.read_member("manifest.json", DOCUMENT_BYTES_MAX)?;
    let items: Option<Vec<Item>> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::because(ErrorKind::Malformed, format!("manifest.json of {reference} cannot be read"), e))?;
    let items = items.unwrap_or_default();
    let item = pick(&items, tag, reference)?;
    let config = archive.read_member(&item.config, DOCUMENT_BYTES_MAX)?;
    let configuration: ImageConfig = serde_json::from_slice(&config).map_err(|e| {
        Error::because(ErrorKind::Malformed, format!("the image configuration {} cannot be read", item.config), e)
    })?;
    let config_digest = Digest::from_bytes(Sha256::digest(&config).into());
    let (layers, by_blob) = layers(&archive, item, &configuration)?;
    // There is no manifest whose digest could name the image: the configuration's stands for it inside the program.
    let resolved = ResolvedImage {
        digest: config_digest,
        config_digest,
        platform: configuration.platform(),
        configuration,
        layers,
        why_not: None,
    };
    let members = Members { archive, by_blob };
    Ok(vec![OpenImage { reference: reference.to_owned(), digest: None, resolved, layers: Arc::new(members) }])
}

fn pick<'a>(items: &'a [Item], tag: Option<&str>, reference: &str) -> Result<&'a Item> {
    let names = |item: &Item| item.repo_tags.clone().unwrap_or_default();
    let fits = |item: &&Item| match tag {
        Some(tag) => {
            names(item).iter().any(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag))
        }
        None => true,
    };
    let all: Vec<String> =
        items.iter().map(|item| names(item).first().cloned().unwrap_or_else(|| item.config.clone())).collect();
    let found: Vec<&Item> = items.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] if items.is_empty() => Err(Error::new(ErrorKind::NotFound, format!("{reference} holds no image"))),
        [] => {
            Err(Error::new(ErrorKind::NotFound, format!("{reference} holds no such tag; it holds: {}", all.join(", "))))
        }
        _ => Err(Error::new(
            ErrorKind::Usage,
            format!("{reference} holds several images, say which one (:tag): {}", all.join(", ")),
        )),
    }
}

fn layers(
    archive: &TarIndex,
    item: &Item,
    configuration: &ImageConfig,
) -> Result<(Vec<Layer>, BTreeMap<Digest, String>)> {
    let names = item.layers.as_deref().unwrap_or_default();
    let diff_ids = &configuration.rootfs.diff_ids;
    if names.len() != diff_ids.len() {
        let text =
            format!("manifest.json has {} layers and the configuration {} diff_ids", names.len(), diff_ids.len());
        return Err(Error::new(ErrorKind::Malformed, text));
    }
    if names.len() > crate::task::resolve::LAYERS_MAX {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("the image has {} layers", names.len())));
    }
    let mut instructions = configuration.layer_instructions().map(str::to_owned);
    let mut layers = Vec::new();
    let mut by_blob = BTreeMap::new();
    for (at, (name, diff_id)) in names.iter().zip(diff_ids).enumerate() {
        let mut section = archive.open_member(name)?;
        let bytes = section.bytes_left();
        let blob = hash(&mut section)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("layer {at} ({name}) cannot be read"), e))?;
        let index = u32::try_from(at).expect("LAYERS_MAX fits");
        layers.push(Layer {
            index,
            blob,
            diff_id: *diff_id,
            media: LayerMedia::Tar,
            bytes,
            instruction: instructions.next(),
        });
        by_blob.insert(blob, name.clone());
    }
    Ok((layers, by_blob))
}

fn hash(reader: &mut impl Read) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
