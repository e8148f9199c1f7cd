//! Layers, images and indexes, built in memory. The same parts give the same bytes.

use bytes::Bytes;
use model::Digest;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Write;

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As it is.
    Plain,
    /// One gzip member.
    #[default]
    Gzip,
    /// One Zstandard frame.
    Zstd,
}

impl Packing {
    /// The OCI media type of a layer packed so.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Packs bytes.
    ///
    /// # Panics
    /// Never: memory is written to.
    pub fn pack(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => plain.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).expect("memory takes every byte");
                encoder.finish().expect("memory takes every byte")
            }
            Self::Zstd => zstd::encode_all(plain, 1).expect("memory takes every byte"),
        }
    }
}

/// One layer as stored, with what its image's configuration says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// The packed archive.
    pub blob: Bytes,
    /// SHA-256 of `blob`.
    pub digest: Digest,
    /// SHA-256 of the unpacked archive.
    pub diff_id: Digest,
    /// Media type in the manifest.
    pub media_type: String,
    /// The history line that made it.
    pub instruction: String,
    /// Annotations of its descriptor.
    pub annotations: BTreeMap<String, String>,
}

impl BuiltLayer {
    /// Packs an archive.
    pub fn from_tar(tar: &[u8], packing: Packing, instruction: &str) -> Self {
        Self::from_blob(packing.pack(tar).into(), sha256(tar), packing.media_type(), instruction)
    }

    /// Takes a blob as it is, whatever it is: for hostile layers too.
    pub fn from_blob(blob: Bytes, diff_id: Digest, media_type: &str, instruction: &str) -> Self {
        let digest = sha256(&blob);
        let (media_type, instruction) = (media_type.to_owned(), instruction.to_owned());
        Self { blob, digest, diff_id, media_type, instruction, annotations: BTreeMap::new() }
    }

    /// Takes a gzip file as it is; its DiffID is computed by unpacking it.
    ///
    /// # Panics
    /// When it is no gzip file.
    #[expect(clippy::disallowed_types, reason = "test data that the test itself chose")]
    pub fn from_gzip(blob: Bytes, instruction: &str) -> Self {
        let mut plain = Sha256::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(blob.as_ref());
        std::io::copy(&mut decoder, &mut HashWriter(&mut plain)).expect("the file is gzip");
        let diff_id = Digest::from_bytes(plain.finalize().into());
        Self::from_blob(blob, diff_id, Packing::Gzip.media_type(), instruction)
    }

    /// With an annotation in its descriptor.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    fn descriptor(&self) -> Value {
        let mut descriptor =
            json!({ "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.blob.len() });
        if !self.annotations.is_empty() {
            descriptor["annotations"] = json!(self.annotations);
        }
        descriptor
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One entry of a layer's archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: tar::EntryType,
    pub(crate) content: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    /// Written into the header when it lies about the content's length.
    claimed_bytes: Option<u64>,
}

/// Builds a layer entry by entry, in the given order.
#[derive(Debug, Clone, Default)]
pub struct LayerBuilder {
    entries: Vec<Entry>,
    packing: Packing,
    instruction: String,
}

impl LayerBuilder {
    /// An empty layer, packed with gzip.
    pub fn new() -> Self {
        Self { instruction: "COPY . /".to_owned(), ..Self::default() }
    }

    /// A layer with these files (path, content), mode 0644.
    pub fn files(files: &[(&str, &str)]) -> Self {
        files.iter().fold(Self::new(), |layer, (path, content)| layer.file(path, content))
    }

    /// How it is packed.
    #[must_use]
    pub fn packing(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    /// The history line that made it.
    #[must_use]
    pub fn instruction(mut self, instruction: &str) -> Self {
        instruction.clone_into(&mut self.instruction);
        self
    }

    /// A regular file, mode 0644, owned by root.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with(path, content, 0o644, (0, 0))
    }

    /// An executable file, mode 0755, owned by root.
    #[must_use]
    pub fn executable(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with(path, content, 0o755, (0, 0))
    }

    /// A regular file with a mode (setuid bits too) and an owner (user, group).
    #[must_use]
    pub fn file_with(self, path: &str, content: impl AsRef<[u8]>, mode: u32, owner: (u64, u64)) -> Self {
        self.entry(path.as_bytes(), tar::EntryType::Regular, content.as_ref(), b"", mode).owned(owner)
    }

    /// A folder, mode 0755.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(format!("{}/", path.trim_end_matches('/')).as_bytes(), tar::EntryType::Directory, b"", b"", 0o755)
    }

    /// A symbolic link. Hostile targets are taken as they are.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), tar::EntryType::Symlink, b"", target.as_bytes(), 0o777)
    }

    /// A hard link to another entry of the image.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), tar::EntryType::Link, b"", target.as_bytes(), 0o644)
    }

    /// A whiteout: `path` of the layers below is deleted (OCI `layer.md`, "Whiteouts").
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let marker = match path.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/.wh.{name}"),
            None => format!(".wh.{path}"),
        };
        self.entry(marker.as_bytes(), tar::EntryType::Regular, b"", b"", 0)
    }

    /// An opaque folder: nothing of the layers below shows in it.
    #[must_use]
    pub fn opaque(self, folder: &str) -> Self {
        let marker = format!("{}/.wh..wh..opq", folder.trim_end_matches('/'));
        self.entry(marker.as_bytes(), tar::EntryType::Regular, b"", b"", 0)
    }

    /// A file under a name that no honest tool writes: absolute, with `..`, or not UTF-8. At most 100 bytes.
    #[must_use]
    pub fn hostile_file(self, path: &[u8], content: impl AsRef<[u8]>) -> Self {
        self.entry(path, tar::EntryType::Regular, content.as_ref(), b"", 0o644)
    }

    /// A file whose header claims another length than its content has.
    #[must_use]
    pub fn lying_file(self, path: &str, content: impl AsRef<[u8]>, claimed_bytes: u64) -> Self {
        let mut layer = self.file(path, content);
        if let Some(entry) = layer.entries.last_mut() {
            entry.claimed_bytes = Some(claimed_bytes);
        }
        layer
    }

    fn entry(mut self, path: &[u8], kind: tar::EntryType, content: &[u8], link: &[u8], mode: u32) -> Self {
        self.entries.push(Entry {
            path: path.to_vec(),
            kind,
            content: content.to_vec(),
            link: link.to_vec(),
            mode,
            owner: (0, 0),
            claimed_bytes: None,
        });
        self
    }

    fn owned(mut self, owner: (u64, u64)) -> Self {
        if let Some(entry) = self.entries.last_mut() {
            entry.owner = owner;
        }
        self
    }

    /// The unpacked archive.
    ///
    /// # Panics
    /// Never: memory is written to.
    pub fn tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in &self.entries {
            entry.write_headers(&mut out);
            write_padded(&mut out, &entry.content);
        }
        out.extend_from_slice(&[0; 1024]);
        out
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn history(&self) -> &str {
        &self.instruction
    }

    /// The packed layer.
    pub fn build(&self) -> BuiltLayer {
        BuiltLayer::from_tar(&self.tar(), self.packing, &self.instruction)
    }
}

impl Entry {
    /// A file as an archive has it.
    pub(crate) fn file(path: &str, content: Vec<u8>) -> Self {
        let (path, kind) = (path.as_bytes().to_vec(), tar::EntryType::Regular);
        Self { path, kind, content, link: Vec::new(), mode: 0o444, owner: (0, 0), claimed_bytes: None }
    }

    /// Everything before its content.
    pub(crate) fn write_headers(&self, out: &mut Vec<u8>) {
        write_long(out, b'L', &self.path);
        write_long(out, b'K', &self.link);
        write_header(out, self, self.claimed_bytes.unwrap_or(self.content.len() as u64));
    }
}

/// Names over 100 bytes stand in an entry of their own before (GNU's form).
fn write_long(out: &mut Vec<u8>, kind: u8, name: &[u8]) {
    if name.len() <= 100 {
        return;
    }
    let mut content = name.to_vec();
    content.push(0);
    let entry = Entry {
        path: b"././@LongLink".to_vec(),
        kind: tar::EntryType::new(kind),
        link: Vec::new(),
        mode: 0o644,
        owner: (0, 0),
        claimed_bytes: None,
        content,
    };
    write_header(out, &entry, entry.content.len() as u64);
    write_padded(out, &entry.content);
}

fn write_header(out: &mut Vec<u8>, entry: &Entry, length: u64) {
    let mut header = tar::Header::new_gnu();
    {
        let old = header.as_old_mut();
        let name = &entry.path[..entry.path.len().min(100)];
        old.name[..name.len()].copy_from_slice(name);
        let link = &entry.link[..entry.link.len().min(100)];
        old.linkname[..link.len()].copy_from_slice(link);
    }
    header.set_entry_type(entry.kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(0);
    header.set_size(length);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
}

pub(crate) fn write_padded(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(content);
    let padding = content.len().next_multiple_of(512) - content.len();
    out.extend(std::iter::repeat_n(0, padding));
}

/// An image, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The manifest.
    pub manifest: Bytes,
    /// SHA-256 of `manifest`: the image's identity.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration.
    pub config: Bytes,
    /// SHA-256 of `config`.
    pub config_digest: Digest,
    /// The layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// `os/architecture[/variant]`.
    pub platform: String,
}

/// Builds an image.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    layers: Vec<BuiltLayer>,
    runtime: Map<String, Value>,
    empty_steps: Vec<String>,
    platform: String,
    created: String,
    claimed_diff_ids: BTreeMap<usize, Digest>,
    artifact: Option<(String, String)>,
    docker: bool,
    annotations: BTreeMap<String, String>,
    subject: Option<Value>,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// No layers, `linux/amd64`, made on the first day of 2024.
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            runtime: Map::new(),
            empty_steps: Vec::new(),
            platform: "linux/amd64".to_owned(),
            created: "2024-01-01T00:00:00Z".to_owned(),
            claimed_diff_ids: BTreeMap::new(),
            artifact: None,
            docker: false,
            annotations: BTreeMap::new(),
            subject: None,
        }
    }

    /// One more layer on top.
    #[must_use]
    pub fn layer(mut self, layer: BuiltLayer) -> Self {
        self.layers.push(layer);
        self
    }

    /// `os/architecture[/variant]`.
    #[must_use]
    pub fn platform(mut self, platform: &str) -> Self {
        platform.clone_into(&mut self.platform);
        self
    }

    /// When it was made, RFC 3339.
    #[must_use]
    pub fn created(mut self, created: &str) -> Self {
        created.clone_into(&mut self.created);
        self
    }

    /// One `NAME=value` of the environment.
    #[must_use]
    pub fn env(mut self, line: &str) -> Self {
        let env = self.runtime.entry("Env").or_insert_with(|| json!([]));
        if let Value::Array(lines) = env {
            lines.push(json!(line));
        }
        self
    }

    /// One label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        let labels = self.runtime.entry("Labels").or_insert_with(|| json!({}));
        labels[name] = json!(value);
        self
    }

    /// The user of the first process.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.runtime("User", json!(user))
    }

    /// Any field of the runtime configuration, such as `ExposedPorts`, `Healthcheck`, `Entrypoint`.
    #[must_use]
    pub fn runtime(mut self, field: &str, value: Value) -> Self {
        self.runtime.insert(field.to_owned(), value);
        self
    }

    /// A history line without a layer, such as `ENV TOKEN=…`; stands after the layers' lines.
    #[must_use]
    pub fn empty_step(mut self, instruction: &str) -> Self {
        self.empty_steps.push(instruction.to_owned());
        self
    }

    /// Lets the configuration claim another DiffID for the layer at `index`.
    #[must_use]
    pub fn claim_diff_id(mut self, index: usize, diff_id: Digest) -> Self {
        self.claimed_diff_ids.insert(index, diff_id);
        self
    }

    /// Makes it an artifact: the configuration's media type, and the `artifactType` (empty for none).
    #[must_use]
    pub fn artifact(mut self, config_media_type: &str, artifact_type: &str) -> Self {
        self.artifact = Some((config_media_type.to_owned(), artifact_type.to_owned()));
        self
    }

    /// An annotation of the manifest.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Says that it is about another image.
    #[must_use]
    pub fn subject(mut self, image: &BuiltImage) -> Self {
        self.subject = Some(json!({
            "mediaType": image.media_type,
            "digest": image.digest.to_string(),
            "size": image.manifest.len(),
        }));
        self
    }

    /// Writes Docker's media types instead of OCI's.
    #[must_use]
    pub fn docker_types(mut self) -> Self {
        self.docker = true;
        self
    }

    /// The image.
    pub fn build(&self) -> BuiltImage {
        let config = Bytes::from(self.configuration().to_string());
        let config_digest = sha256(&config);
        let (config_type, artifact_type) = match &self.artifact {
            Some((config_type, artifact_type)) => (config_type.as_str(), artifact_type.as_str()),
            None if self.docker => ("application/vnd.docker.container.image.v1+json", ""),
            None => ("application/vnd.oci.image.config.v1+json", ""),
        };
        let media_type = if self.docker {
            "application/vnd.docker.distribution.manifest.v2+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": { "mediaType": config_type, "digest": config_digest.to_string(), "size": config.len() },
            "layers": self.layers.iter().map(|layer| self.layer_descriptor(layer)).collect::<Vec<_>>(),
        });
        if !artifact_type.is_empty() {
            manifest["artifactType"] = json!(artifact_type);
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = json!(self.annotations);
        }
        if let Some(subject) = &self.subject {
            manifest["subject"] = subject.clone();
        }
        let manifest = Bytes::from(manifest.to_string());
        BuiltImage {
            digest: sha256(&manifest),
            manifest,
            media_type: media_type.to_owned(),
            config,
            config_digest,
            layers: self.layers.clone(),
            platform: self.platform.clone(),
        }
    }

    fn layer_descriptor(&self, layer: &BuiltLayer) -> Value {
        let mut descriptor = layer.descriptor();
        if self.docker && layer.media_type == Packing::Gzip.media_type() {
            descriptor["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
        }
        descriptor
    }

    fn configuration(&self) -> Value {
        let (os, rest) = self.platform.split_once('/').unwrap_or((&self.platform, ""));
        let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
        let diff_id = |(index, layer): (usize, &BuiltLayer)| {
            self.claimed_diff_ids.get(&index).unwrap_or(&layer.diff_id).to_string()
        };
        let steps = self.layers.iter().map(|layer| json!({ "created": self.created, "created_by": layer.instruction }));
        let empty = self
            .empty_steps
            .iter()
            .map(|step| json!({ "created": self.created, "created_by": step, "empty_layer": true }));
        let mut configuration = json!({
            "created": self.created,
            "os": os,
            "architecture": architecture,
            "config": self.runtime,
            "rootfs": { "type": "layers", "diff_ids": self.layers.iter().enumerate().map(diff_id).collect::<Vec<_>>() },
            "history": steps.chain(empty).collect::<Vec<_>>(),
        });
        if !variant.is_empty() {
            configuration["variant"] = json!(variant);
        }
        configuration
    }
}

/// An index over images, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltIndex {
    /// The index itself.
    pub manifest: Bytes,
    /// SHA-256 of `manifest`.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The members.
    pub images: Vec<BuiltImage>,
}

impl BuiltIndex {
    /// An index over images, each under its own platform.
    pub fn over(images: Vec<BuiltImage>) -> Self {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": images.iter().map(member).collect::<Vec<_>>(),
        });
        let manifest = Bytes::from(manifest.to_string());
        Self { digest: sha256(&manifest), manifest, media_type: media_type.to_owned(), images }
    }
}

fn member(image: &BuiltImage) -> Value {
    let parts: Vec<_> = image.platform.split('/').collect();
    let mut platform = json!({ "os": parts.first(), "architecture": parts.get(1) });
    if let Some(variant) = parts.get(2) {
        platform["variant"] = json!(variant);
    }
    json!({
        "mediaType": image.media_type,
        "digest": image.digest.to_string(),
        "size": image.manifest.len(),
        "platform": platform,
    })
}

/// An image whose one layer is an Alpine root file system of the shared data, as it is.
/// `None` (said visibly) when the data is absent. Example: `alpine("3.20.3", "aarch64")`.
///
/// # Panics
/// When the file cannot be read.
pub fn alpine(version: &str, architecture: &str) -> Option<ImageBuilder> {
    let path = crate::data::path(&format!("images/alpine-minirootfs-{version}-{architecture}.tar.gz"))?;
    let blob = std::fs::read(path).expect("the shared data can be read");
    let instruction = format!("ADD alpine-minirootfs-{version}-{architecture}.tar.gz / # buildkit");
    let platform = if architecture == "aarch64" { "linux/arm64/v8" } else { "linux/amd64" };
    Some(
        ImageBuilder::new()
            .layer(BuiltLayer::from_gzip(blob.into(), &instruction))
            .platform(platform)
            .runtime("Cmd", json!(["/bin/sh"])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn layers_are_archives_that_tar_reads() {
        let long = format!("usr/{}/file", "x".repeat(150));
        let layer = LayerBuilder::new()
            .directory("etc")
            .file("etc/passwd", "root")
            .file(&long, "long")
            .symlink("bin", "usr/bin")
            .whiteout("etc/shadow")
            .opaque("var/cache")
            .hostile_file(b"../../etc/passwd", "evil");
        let tar = layer.tar();
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            found.push((String::from_utf8_lossy(&entry.path_bytes()).into_owned(), content));
        }
        let expect = [
            ("etc/", ""),
            ("etc/passwd", "root"),
            (&long, "long"),
            ("bin", ""),
            ("etc/.wh.shadow", ""),
            ("var/cache/.wh..wh..opq", ""),
            ("../../etc/passwd", "evil"),
        ];
        let found: Vec<_> = found.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn same_parts_give_the_same_image() {
        let build = || {
            let layer = LayerBuilder::files(&[("a", "1")]).packing(Packing::Zstd).build();
            ImageBuilder::new().layer(layer).env("A=1").label("l", "v").user("nobody").build()
        };
        assert_eq!(build(), build());
        let plain = LayerBuilder::files(&[("a", "1")]).packing(Packing::Plain).build();
        assert_eq!(plain.digest, plain.diff_id);
        assert_eq!(BuiltLayer::from_gzip(LayerBuilder::files(&[("a", "1")]).build().blob, "x").diff_id, plain.diff_id);
    }
}
