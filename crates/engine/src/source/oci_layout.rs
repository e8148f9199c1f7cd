//! OCI image layouts (image-layout.md): `index.json` and `blobs/ALGORITHM/HEX`, in a folder or in an archive.

use super::tar_index::TarIndex;
use super::{OpenImage, OpenOptions, Verified, check_platform, choose};
use crate::task::resolve::resolve_image;
use crate::task::scan::LayerOpener;
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::layer::{Descriptor, ImageIndex, ImageManifest, Layer};
use model::{Digest, Platform};
use remote::oci::{ManifestContent, parse_manifest};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest manifest, index or configuration.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Opens files of a layout by their path in it.
pub(super) trait LayoutFiles: Send + Sync {
    /// The bytes and how many there are.
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64)>;
}

/// A layout in a folder.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl LayoutFiles for Folder {
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64)> {
        let full = self.root.join(path);
        let fail = |e: std::io::Error| {
            let kind =
                if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Transient };
            Error::because(kind, format!("{} cannot be read", full.display()), e)
        };
        let file = File::open(&full).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        Ok((Box::new(file), bytes))
    }
}

impl LayoutFiles for TarIndex {
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64)> {
        let section = self.open_member(path)?;
        let bytes = section.bytes_left();
        Ok((Box::new(section), bytes))
    }
}

struct Layout {
    files: Arc<dyn LayoutFiles>,
}

#[async_trait]
impl LayerOpener for Layout {
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        let (reader, bytes) = self.files.open(&blob_path(&layer.blob))?;
        Ok(Box::new(Verified::new(reader, layer.blob, bytes)))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl Layout {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let (reader, bytes) = self.files.open(path)?;
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("{path} has {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are read"),
            ));
        }
        let mut out = Vec::new();
        reader
            .take(DOCUMENT_BYTES_MAX)
            .read_to_end(&mut out)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{path} cannot be read"), e))?;
        Ok(out)
    }

    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let (reader, bytes) = self.files.open(&blob_path(digest))?;
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("{digest} has {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are read"),
            ));
        }
        let mut out = Vec::new();
        Verified::new(reader, *digest, bytes)
            .read_to_end(&mut out)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{digest} cannot be read"), e))?;
        Ok(out)
    }

    fn image(
        self: &Arc<Self>,
        digest: Digest,
        manifest: &ImageManifest,
        platform: Option<&Platform>,
        reference: &str,
    ) -> Result<OpenImage> {
        let config = self.document(&manifest.config.digest)?;
        let resolved =
            resolve_image(digest, manifest, &config, platform).map_err(|e| Error::new(ErrorKind::Malformed, e))?;
        Ok(OpenImage { reference: reference.to_owned(), digest: Some(digest), resolved, layers: Arc::clone(self) as _ })
    }

    fn descend(self: &Arc<Self>, entry: &Descriptor, reference: &str, options: &OpenOptions) -> Result<Vec<OpenImage>> {
        match parse(&self.document(&entry.digest)?, &entry.media_type)? {
            ManifestContent::Image(manifest) => {
                let opened = self.image(entry.digest, &manifest, entry.platform.as_ref(), reference)?;
                check_platform(&opened.resolved, &options.platform, reference)?;
                Ok(vec![opened])
            }
            ManifestContent::Index(index) => {
                let mut out = Vec::new();
                for member in choose(&index, &options.platform, reference)? {
                    if let ManifestContent::Image(manifest) =
                        parse(&self.document(&member.digest)?, &member.media_type)?
                    {
                        out.push(self.image(member.digest, &manifest, member.platform.as_ref(), reference)?);
                    }
                }
                Ok(out)
            }
            ManifestContent::Artifact { what, .. } => {
                Err(Error::new(ErrorKind::Unsupported, format!("{reference} is {what}, not an image")))
            }
        }
    }
}

fn parse(bytes: &[u8], media_type: &str) -> Result<ManifestContent> {
    let hint = Some(media_type).filter(|text| !text.is_empty());
    parse_manifest(bytes, hint).map(|parsed| parsed.content).map_err(crate::error::from_remote)
}

pub(super) fn open(
    files: Arc<dyn LayoutFiles>,
    tag: Option<&str>,
    reference: &str,
    options: &OpenOptions,
) -> Result<Vec<OpenImage>> {
    let layout = Arc::new(Layout { files });
    let index: ImageIndex = serde_json::from_slice(&layout.read("index.json")?)
        .map_err(|e| Error::because(ErrorKind::Malformed, format!("index.json of {reference} cannot be read"), e))?;
    let entry = entry(&index, tag, reference)?;
    layout.descend(entry, reference, options)
}

/// The entry that a tag names, or the only one.
fn entry<'a>(index: &'a ImageIndex, tag: Option<&str>, reference: &str) -> Result<&'a Descriptor> {
    let name =
        |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned().unwrap_or_else(|| entry.digest.to_string());
    let fits = |entry: &&Descriptor| match tag {
        Some(tag) => {
            let name = name(entry);
            name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag)
        }
        None => true,
    };
    let found: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
    let all: Vec<String> = index.manifests.iter().map(name).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] if index.manifests.is_empty() => Err(Error::new(ErrorKind::NotFound, format!("{reference} holds no image"))),
        [] => {
            Err(Error::new(ErrorKind::NotFound, format!("{reference} holds no such tag; it holds: {}", all.join(", "))))
        }
        _ => Err(Error::new(
            ErrorKind::Usage,
            format!("{reference} holds several images, say which one (:tag): {}", all.join(", ")),
        )),
    }
}
