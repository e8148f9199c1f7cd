//! Manifests, configurations and layers: the nouns of the OCI image specification and of Docker's
//! image manifest version 2, schema 2. Parsed from JSON by their readers; every field is a claim of the
//! publisher until a digest was verified.

use crate::{Digest, Platform, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One layer of one image, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Position in the image, 0 at the bottom.
    pub index: u32,
    /// Digest of the blob as stored (usually compressed).
    pub blob: Digest,
    /// Digest of the uncompressed archive, as the configuration *claims* it.
    pub diff_id: Digest,
    /// How the blob is packed.
    pub media: LayerMedia,
    /// Size of the blob as stored, as the manifest claims it.
    pub bytes: u64,
    /// The history line that made it, when the configuration tells.
    pub instruction: Option<String>,
}

/// How a layer's blob is packed, by its media type. Readers sniff the magic bytes as well: media types lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerMedia {
    /// Uncompressed tar.
    Tar,
    /// gzip, perhaps of several members (eStargz).
    TarGzip,
    /// Zstandard.
    TarZstd,
}

impl LayerMedia {
    /// The packing that a media type names; `None` for what is not a layer (Helm chart, signature, wasm, …).
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Self::Tar,
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Self::TarGzip,
            "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                Self::TarZstd
            }
            _ => return None,
        })
    }
}

/// A reference to a blob or manifest by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// In an index: what the manifest runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form notes of the publisher.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Set on artifacts (signatures, attestations, charts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// An image manifest: configuration and layers of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// `application/vnd.oci.image.manifest.v1+json` or Docker's; may be absent in OCI.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Set on artifacts.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Set on referrers: what this speaks about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Notes of the publisher; those that are no text are left out.
    #[serde(default, deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index (OCI) or manifest list (Docker): one manifest per platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// `application/vnd.oci.image.index.v1+json` or Docker's; may be absent in OCI.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The members.
    pub manifests: Vec<Descriptor>,
}

/// The image configuration (OCI `config.md`): what runs, and how it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was built, by its publisher's clock.
    #[serde(default, deserialize_with = "lenient_time")]
    pub created: Option<Timestamp>,
    /// `linux`, …; empty when absent.
    #[serde(default)]
    pub os: String,
    /// `amd64`, …; empty when absent.
    #[serde(default)]
    pub architecture: String,
    /// `v8`, …
    #[serde(default)]
    pub variant: Option<String>,
    /// What a container gets at start.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RuntimeConfig,
    /// The layers' uncompressed digests.
    #[serde(default)]
    pub rootfs: RootFs,
    /// One entry per build step.
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<HistoryEntry>,
    /// What the manifest's annotations say of the base image ([`crate::base::of_manifest`]). Not of the configuration:
    /// whoever reads the manifest sets it, whatever stands here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// `rootfs` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RootFs {
    /// Digests of the uncompressed archives, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// `config` of the configuration: what a container gets at start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeConfig {
    /// User (and group) of the first process; empty means root.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: String,
    /// `NAME=value` lines.
    #[serde(default, deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// Program and first arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// `80/tcp`, …; the values are empty objects.
    #[serde(default, deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Mount points; the values are empty objects.
    #[serde(default, deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the first process starts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// Key-value labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Docker's health check.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
}

/// The empty object that stands as value in `ExposedPorts` and `Volumes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Docker's `Healthcheck`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]` or `["NONE"]`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub test: Vec<String>,
}

/// One build step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The instruction as the builder wrote it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub created_by: String,
    /// True when the step made no layer.
    #[serde(default)]
    pub empty_layer: bool,
    /// When it ran.
    #[serde(default, deserialize_with = "lenient_time")]
    pub created: Option<Timestamp>,
    /// Free text.
    #[serde(default)]
    pub comment: Option<String>,
}

impl ImageConfig {
    /// What the image runs on, as its configuration claims.
    pub fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.architecture.clone(), variant: self.variant.clone() }
    }

    /// The history line of each layer, in layer order: the steps that are not `empty_layer`.
    pub fn layer_instructions(&self) -> impl Iterator<Item = &str> {
        self.history.iter().filter(|step| !step.empty_layer).map(|step| step.created_by.as_str())
    }
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    let all = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |(name, value)| match value {
        Value::Text(text) => Some((name, text)),
        Value::Other(_) => None,
    };
    Ok(all.into_iter().filter_map(text).collect())
}

/// Publishers write odd times (`0001-01-01T00:00:00Z`, empty): such a time is unknown, not an error.
fn lenient_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let zero = |t: &Timestamp| t.as_second() > 0;
    Ok(text.and_then(|text| text.parse().ok()).filter(zero))
}
