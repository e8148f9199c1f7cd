//! What discovery sees and what resolution finds behind a digest.

use crate::layer::{ImageConfig, Layer};
use crate::{Digest, Platform};
use serde::{Deserialize, Serialize};

/// A tag as a registry shows it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTag {
    /// The tag.
    pub tag: String,
    /// What it points at, as the registry returned it.
    pub digest: Digest,
    /// Does the scan configuration take it?
    pub wanted: bool,
    /// Why not, for people.
    pub why_not: Option<String>,
}

/// A live tag as last recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTag {
    /// The tag.
    pub tag: String,
    /// What it pointed at.
    pub digest: Digest,
    /// Did the scan configuration take it?
    pub wanted: bool,
    /// Why not.
    pub why_not: Option<String>,
}

/// What a discovery changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TagDelta {
    /// Seen for the first time, or again after a deletion.
    pub new: u64,
    /// Pointing at another digest.
    pub moved: u64,
    /// Not there any more.
    pub deleted: u64,
}

/// What a digest turned out to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResolvedManifest {
    /// The digest that the tag points at.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// What it is.
    pub content: ResolvedContent,
}

/// What a digest turned out to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ResolvedContent {
    /// One image.
    Image {
        /// It.
        image: Box<ResolvedImage>,
    },
    /// An index with images.
    Index {
        /// The images, and whether each is wanted.
        images: Vec<ResolvedImage>,
        /// Members that are no images, or of a platform that is not wanted, with the reason.
        skipped: Vec<(Digest, String)>,
    },
    /// Something else: chart, signature, attestation, SBOM.
    Artifact {
        /// What, for people.
        what: String,
    },
    /// It could not be read.
    Unreadable {
        /// Why: becomes a gap.
        reason: String,
    },
}

/// One image as its manifest and configuration describe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// Digest of the image manifest.
    pub digest: Digest,
    /// Digest of its configuration.
    pub config_digest: Digest,
    /// Platform, as index or configuration claim it.
    pub platform: Platform,
    /// The configuration.
    pub configuration: ImageConfig,
    /// The layers, as manifest and configuration claim them.
    pub layers: Vec<Layer>,
    /// Why the scan configuration does not take it (too old); `None` when it does.
    pub why_not: Option<String>,
}
