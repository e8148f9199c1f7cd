//! Images as files: OCI layout folders and archives, and `docker save` archives.

use crate::image::{BuiltImage, BuiltIndex};
use bytes::Bytes;
use model::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Something that a layout holds under a tag.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// One image.
    Image(&'a BuiltImage),
    /// An index over several.
    Index(&'a BuiltIndex),
}

impl Stored<'_> {
    fn blobs(&self, into: &mut BTreeMap<Digest, Bytes>) {
        let image_blobs = |image: &BuiltImage, into: &mut BTreeMap<Digest, Bytes>| {
            into.insert(image.digest, image.manifest.clone());
            into.insert(image.config_digest, image.config.clone());
            into.extend(image.layers.iter().map(|layer| (layer.digest, layer.blob.clone())));
        };
        match self {
            Self::Image(image) => image_blobs(image, into),
            Self::Index(index) => {
                into.insert(index.digest, index.manifest.clone());
                index.images.iter().for_each(|image| image_blobs(image, into));
            }
        }
    }

    fn descriptor(&self, tag: &str) -> Value {
        let (media_type, digest, size) = match self {
            Self::Image(image) => (&image.media_type, image.digest, image.manifest.len()),
            Self::Index(index) => (&index.media_type, index.digest, index.manifest.len()),
        };
        json!({
            "mediaType": media_type,
            "digest": digest.to_string(),
            "size": size,
            "annotations": { "org.opencontainers.image.ref.name": tag },
        })
    }
}

/// The files of an OCI layout (`image-layout.md`), by path.
fn layout_files(tagged: &[(&str, Stored<'_>)]) -> BTreeMap<String, Bytes> {
    let mut blobs = BTreeMap::new();
    tagged.iter().for_each(|(_, stored)| stored.blobs(&mut blobs));
    let index = json!({
        "schemaVersion": 2,
        "manifests": tagged.iter().map(|(tag, stored)| stored.descriptor(tag)).collect::<Vec<_>>(),
    });
    let mut files: BTreeMap<String, Bytes> =
        blobs.into_iter().map(|(digest, blob)| (format!("blobs/sha256/{}", digest.hex()), blob)).collect();
    files.insert("index.json".to_owned(), index.to_string().into());
    files.insert("oci-layout".to_owned(), Bytes::from_static(br#"{"imageLayoutVersion":"1.0.0"}"#));
    files
}

/// Writes an OCI layout into a folder, which is created.
///
/// # Panics
/// When the folder cannot be written.
pub fn write_oci_layout(folder: &Path, tagged: &[(&str, Stored<'_>)]) {
    for (path, content) in layout_files(tagged) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("the path has a folder")).expect("the folder can be made");
        fs::write(path, content).expect("the file can be written");
    }
}

/// Writes an OCI layout as one archive.
///
/// # Panics
/// When the file cannot be written.
pub fn write_oci_archive(file: &Path, tagged: &[(&str, Stored<'_>)]) {
    fs::write(file, archive(layout_files(tagged))).expect("the file can be written");
}

/// Writes what `docker save` writes (before Docker 25): `manifest.json`, configurations, `HASH/layer.tar` unpacked.
/// Each image comes with its names, such as `alpine:3.10.2`. Layers must be gzip or plain.
///
/// # Panics
/// When the file cannot be written or a layer is not gzip or plain.
pub fn write_docker_archive(file: &Path, images: &[(&[&str], &BuiltImage)]) {
    let mut files = BTreeMap::new();
    let mut manifest = Vec::new();
    for (names, image) in images {
        let config = format!("{}.json", image.config_digest.hex());
        let mut layers = Vec::new();
        for layer in &image.layers {
            let path = format!("{}/layer.tar", layer.digest.hex());
            files.insert(path.clone(), unpacked(&layer.blob));
            layers.push(path);
        }
        files.insert(config.clone(), image.config.clone());
        manifest.push(json!({ "Config": config, "RepoTags": names, "Layers": layers }));
    }
    files.insert("manifest.json".to_owned(), Value::Array(manifest).to_string().into());
    fs::write(file, archive(files)).expect("the file can be written");
}

/// The bytes without their gzip wrapping, if they have one.
///
/// # Panics
/// When they are damaged.
#[expect(clippy::disallowed_types, reason = "test data that the test itself built")]
pub(crate) fn unpacked(blob: &Bytes) -> Bytes {
    if !blob.starts_with(&[0x1f, 0x8b]) {
        return blob.clone();
    }
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(blob.as_ref()), &mut plain).expect("the layer is gzip");
    plain.into()
}

fn archive(files: BTreeMap<String, Bytes>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_ref()).expect("memory takes every byte");
    }
    builder.into_inner().expect("memory takes every byte")
}
