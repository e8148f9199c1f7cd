//! The facts about one layer and about one image. They never change for given bytes and detector versions.

use crate::checksum::Checksum;
use crate::layer::{ImageConfig, Layer};
use crate::observation::{LayerObservation, Observation};
use crate::package::{Distro, LayerPackage, Package, PackageFormat};
use crate::{Detector, DetectorVersion, Digest, Gap, LayerPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one detector found in one layer: the unit that is stored, keyed by
/// (verified blob digest, reader, detector, fingerprint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectorFacts {
    /// Which detector, in which state.
    pub version: DetectorVersion,
    /// Files detector: every entry of the archive, sorted by path; of duplicate entries the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRecord>,
    /// Packages detector: what the layer's databases and manifests record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<LayerPackage>,
    /// Packages detector: which language-package manifests an operating-system package owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<OwnedFiles>,
    /// Malware detector: digests of executables, libraries and scripts, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<FileDigest>,
    /// Packages detector: which checksums package databases record for files that can be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<RecordedFiles>,
    /// Malware detector: checksums besides SHA-256, of files that packages bring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<FileChecksums>,
    /// Secrets, malware and files detectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<LayerObservation>,
    /// Packages detector: small files that are only understood with the whole image in view (os-release, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raw_inputs: Vec<RawInput>,
    /// What could not be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

impl DetectorFacts {
    /// No facts yet.
    pub const fn new(version: DetectorVersion) -> Self {
        Self {
            version,
            files: Vec::new(),
            packages: Vec::new(),
            owned: Vec::new(),
            digests: Vec::new(),
            recorded: Vec::new(),
            checksums: Vec::new(),
            observations: Vec::new(),
            raw_inputs: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Sorts every list and drops duplicates, so that equal bytes give equal facts.
    pub fn normalise(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.packages.sort();
        self.packages.dedup();
        self.owned.sort();
        self.owned.dedup();
        self.digests.sort();
        self.digests.dedup();
        self.recorded.sort();
        self.recorded.dedup();
        self.checksums.sort();
        self.checksums.dedup();
        self.observations.sort();
        self.observations.dedup();
        self.raw_inputs.sort();
        self.raw_inputs.dedup();
        self.gaps.sort();
        self.gaps.dedup();
    }
}

/// The union of the facts that detectors found in one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInventory {
    /// Digest of the blob, verified while reading.
    pub blob: Digest,
    /// Digest of the uncompressed archive, computed while reading.
    pub diff_id: Digest,
    /// Size of the blob as stored.
    pub bytes: u64,
    /// Size of the uncompressed archive.
    pub bytes_uncompressed: u64,
    /// One entry per detector that was run.
    pub detectors: BTreeMap<Detector, DetectorFacts>,
}

/// One entry of a layer's archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where. For a whiteout the path that it removes, for an opaque mark the folder.
    pub path: LayerPath,
    /// What.
    pub kind: FileKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Size of the content in bytes.
    pub bytes: u64,
}

/// The digest of a file's content: of what a list of bad files can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileDigest {
    /// Where.
    pub path: LayerPath,
    /// Of the content.
    pub sha256: Digest,
}

/// What kind of entry it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A file with content.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link and the text it holds.
    Symlink(#[serde(with = "crate::inventory::link_text")] Vec<u8>),
    /// Another name for a file of the same layer (or of a lower one).
    HardLink(LayerPath),
    /// A device, pipe or socket.
    Special,
    /// The path is removed from the layers below (OCI `layer.md`, "Whiteouts").
    Whiteout,
    /// The folder hides everything that layers below put into it (OCI `layer.md`, "Opaque Whiteout").
    Opaque,
}

/// Serde form of a symbolic link's text: a string; bytes that are not UTF-8 are replaced, because the
/// text is only ever followed inside the image and shown.
mod link_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}

/// A package's claim on files: only those that language-package analyzers read are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwnedFiles {
    /// The owner's format.
    pub format: PackageFormat,
    /// The owner's name.
    pub package: String,
    /// The database file that says so.
    pub recorded_in: LayerPath,
    /// The files, sorted.
    pub paths: Vec<LayerPath>,
}

/// What a package database records of a package's files: only of those that can be run or loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedFiles {
    /// The package's format.
    pub format: PackageFormat,
    /// The package's name.
    pub package: String,
    /// The database file that says so.
    pub recorded_in: LayerPath,
    /// The files as the database names them, sorted, each with the checksum of its content.
    pub files: Vec<(LayerPath, Checksum)>,
}

/// Checksums of one file besides its SHA-256 digest, as far as a package database may need them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileChecksums {
    /// The file.
    pub path: LayerPath,
    /// One per algorithm.
    pub checksums: Vec<Checksum>,
}

/// A small file kept whole for an assembler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RawInput {
    /// Where it lies.
    pub path: LayerPath,
    /// Its content, capped.
    pub content: Vec<u8>,
}

/// The operating system of an image, from os-release or an older release file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OsRelease {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`; empty when absent. Of openEuler with the service pack, `22.03-LTS-SP3`.
    pub version: String,
    /// `PRETTY_NAME` or `NAME`.
    pub name: String,
}

impl OsRelease {
    /// The part of it that packages carry.
    pub fn distro(&self) -> Distro {
        Distro { id: self.id.clone(), version: self.version.clone() }
    }
}

/// A file of the flattened image that a check, a hash list or a person may ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where it lies.
    pub path: LayerPath,
    /// The layer that brought it in.
    pub layer: u32,
    /// The layer that deleted or replaced it, if one did.
    pub removed_in: Option<u32>,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest of the content, of executables, libraries and scripts.
    pub sha256: Option<Digest>,
    /// Its other checksums, as far as they were computed for the comparison with package databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<Checksum>,
}

impl ImageFile {
    /// Everything that a list of bad files can name its content by.
    pub fn keys(&self) -> impl Iterator<Item = Digest> + '_ {
        self.sha256.into_iter().chain(self.checksums.iter().map(Checksum::key))
    }
}

/// The facts about one core image: its layers squashed in order, with its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInventory {
    /// The layers, lowest first, with the digests that were *verified*.
    pub layers: Vec<Layer>,
    /// The configuration as published.
    pub configuration: ImageConfig,
    /// The operating system, when one could be told.
    pub os: Option<OsRelease>,
    /// One per key, sorted by purl.
    pub packages: Vec<Package>,
    /// Sorted.
    pub observations: Vec<Observation>,
    /// Executables, libraries, scripts, setuid and world-writable files, sorted by path.
    pub files: Vec<ImageFile>,
    /// Sorted.
    pub gaps: Vec<Gap>,
    /// Which detectors these facts come from. What is not here was not run.
    pub detectors: Vec<DetectorVersion>,
}
