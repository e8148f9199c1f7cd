//! Layers of a registry, read in part: the table of contents first, then the files that the analyzers want.
//!
//! Not here: the forms of tables ([`analyze::lazy`]), requests ([`remote::oci`]). Invariant: facts that were read in part
//! carry a gap that says so, and are kept under a key that names the table they come from, never under the layer's own.

use crate::task::scan::Reading;
use crate::{Error, ErrorKind, Result};
use analyze::lazy::{Choice, Offer, Refused, RefusedKind, Table, Tape, estargz, soci, zstd_chunked};
use analyze::{LayerRequest, read_layer};
use async_trait::async_trait;
use model::layer::{Descriptor, Layer, LayerMedia};
use model::{Detector, DetectorVersion, Digest, LayerInventory};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Tables are large while they are read: one at a time.
static TABLES: Semaphore = Semaphore::const_new(1);

/// Layers that can be asked for in parts.
#[async_trait]
pub trait PartOpener: Send + Sync {
    /// The annotations of a layer's descriptor in the verified manifest.
    fn annotations(&self, layer: &Layer) -> Option<&BTreeMap<String, String>>;

    /// A part of a layer as stored. Its bytes are not verified.
    async fn part(&self, layer: &Layer, range: Range<u64>) -> Result<Vec<u8>>;

    /// Parts of a layer as stored, one after the other. Their bytes are not verified.
    fn parts(&self, layer: &Layer, ranges: Vec<Range<u64>>) -> Result<Box<dyn Read + Send>>;

    /// What the image's SOCI index says of a layer, if there is one.
    async fn ztoc(&self, layer: &Layer) -> Result<Option<Ztoc>>;

    /// The bytes of a ztoc, verified.
    async fn ztoc_bytes(&self, ztoc: &Ztoc) -> Result<Vec<u8>>;
}

/// A layer's entry in a SOCI index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ztoc {
    /// Where it lies.
    pub descriptor: Descriptor,
    /// The image's own manifest names the index. If not, whoever may write to the repository can have made it.
    pub is_of_image: bool,
}

/// How a layer can be read in part.
#[derive(Debug)]
pub enum Plan {
    /// By a table of contents in the blob.
    Table(Offer),
    /// By a SOCI index.
    Ztoc(Ztoc),
}

/// What a layer that was read in part cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartCost {
    /// Bytes that were downloaded for it.
    pub bytes_read: u64,
    /// Bytes of the blob that were not.
    pub bytes_left: u64,
    /// Files that were not looked into.
    pub members_left: u64,
}

/// How the attempt ended.
#[derive(Debug)]
pub enum Attempt {
    /// It was read in part.
    Read(Box<LayerInventory>, PartCost),
    /// It has to be read as a whole, and why.
    Whole(String),
}

impl Plan {
    /// Looks for a table of contents.
    ///
    /// # Errors
    /// The reason why the layer has to be read as a whole, as text.
    pub async fn of(parts: Option<&dyn PartOpener>, layer: &Layer) -> std::result::Result<Self, String> {
        let parts = parts.ok_or("it does not lie in a registry")?;
        let none = BTreeMap::new();
        let annotations = parts.annotations(layer).unwrap_or(&none);
        if let Some(offer) = Offer::of(annotations, layer.bytes).map_err(|refused| refused.text)? {
            return Ok(Self::Table(offer));
        }
        match parts.ztoc(layer).await {
            Ok(Some(ztoc)) => Ok(Self::Ztoc(ztoc)),
            Ok(None) => Err("it has no table of contents".to_owned()),
            Err(error) => Err(format!("it has no table of contents, and no SOCI index can be looked for: {error}")),
        }
    }

    /// The version under which facts are kept that were read by this plan: facts depend on the table, and another
    /// manifest may name another table for the same blob.
    pub fn version(&self, version: &DetectorVersion) -> DetectorVersion {
        let table = match self {
            Self::Table(Offer::Estargz { table }) => *table,
            Self::Table(Offer::ZstdChunked(position)) => position.digest(),
            Self::Ztoc(ztoc) => ztoc.descriptor.digest,
        };
        let kind = match self {
            Self::Table(_) => "",
            Self::Ztoc(Ztoc { is_of_image: true, .. }) => " of the image",
            Self::Ztoc(Ztoc { is_of_image: false, .. }) => " of others",
        };
        let fingerprint = format!("{} in part by {table}{kind}", version.fingerprint);
        DetectorVersion { detector: version.detector, fingerprint }
    }

    fn remark(&self) -> Option<&'static str> {
        match self {
            Self::Ztoc(Ztoc { is_of_image: false, .. }) => {
                Some("the SOCI index is not part of the image: whoever may write to its repository can have made it")
            }
            Self::Ztoc(_) | Self::Table(_) => None,
        }
    }

    /// Reads a layer by this plan.
    ///
    /// # Errors
    /// When bytes cannot be fetched, or are not those that the manifest and the table promise.
    pub async fn read(
        &self,
        parts: &dyn PartOpener,
        layer: &Layer,
        only: &BTreeSet<Detector>,
        reading: &Reading,
    ) -> Result<Attempt> {
        let permit = Arc::clone(&reading.layers_at_once).acquire_owned().await;
        let permit = permit.map_err(|_| Error::new(ErrorKind::Internal, "the reader is shutting down"))?;
        let choice = match self.choice(parts, layer, reading).await? {
            Ok(choice) => choice,
            Err(why) => return Ok(Attempt::Whole(why)),
        };
        let (fetched, left) = (choice.bytes_fetched(), choice.bytes_left());
        // What saves little is better verified as a whole.
        if left < layer.bytes / 10 {
            return Ok(Attempt::Whole(format!("{fetched} of its {} bytes would be needed", layer.bytes)));
        }
        // A ztoc lies beside the blob.
        let beside = if let Self::Ztoc(ztoc) = self { ztoc.descriptor.size } else { 0 };
        let members_left = choice.members_left();
        let cost = PartCost { bytes_read: fetched.saturating_add(beside), bytes_left: left, members_left };
        let input = parts.parts(layer, choice.ranges().to_vec())?;
        let (reading, only, remark) = (reading.clone(), only.clone(), self.remark());
        let (blob, diff_id, bytes) = (layer.blob, layer.diff_id, layer.bytes);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let request = LayerRequest {
                media: LayerMedia::Tar,
                detectors: &reading.detectors,
                only: &only,
                memory: &reading.memory,
                spool: &*reading.spool,
                inspector: None,
                in_part: true,
            };
            let mut read = read_layer(Tape::new(&choice, input, reading.detectors.limits()), &request)?;
            choice.note(&mut read, remark);
            Ok(read)
        });
        let read = read.await.map_err(|e| Error::because(ErrorKind::Internal, "reading a layer was cut off", e))?;
        let read = read.map_err(crate::error::from_analyze)?;
        let (bytes_uncompressed, detectors) = (read.bytes_uncompressed, read.facts);
        let inventory = LayerInventory { blob, diff_id, bytes, bytes_uncompressed, detectors };
        Ok(Attempt::Read(Box::new(inventory), cost))
    }

    /// Fetches the table of contents and chooses what is read; `Err` inside says why the whole has to be.
    async fn choice(
        &self,
        parts: &dyn PartOpener,
        layer: &Layer,
        reading: &Reading,
    ) -> Result<std::result::Result<Choice, String>> {
        let one = TABLES.acquire().await;
        let _one = one.map_err(|_| Error::new(ErrorKind::Internal, "the reader is shutting down"))?;
        let fetched = match self.table_bytes(parts, layer).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(refused)) => return as_attempt(refused),
            // What the registry cannot give in parts it may give as a whole.
            Err(error) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Malformed) => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let (detectors, bytes) = (Arc::clone(&reading.detectors), layer.bytes);
        let parsed = tokio::task::spawn_blocking(move || {
            let limits = detectors.limits();
            let table: Table = match &fetched {
                Fetched::Estargz { packed, at, digest } => estargz::table(packed, at, digest, bytes, limits),
                Fetched::ZstdChunked { packed, position } => zstd_chunked::table(packed, position, bytes, limits),
                Fetched::Ztoc { ztoc } => soci::table(ztoc, bytes),
            }?;
            Choice::new(table, limits)
        });
        match parsed.await.map_err(|e| Error::because(ErrorKind::Internal, "reading a table was cut off", e))? {
            Ok(choice) => Ok(Ok(choice)),
            Err(refused) => as_attempt(refused),
        }
    }

    async fn table_bytes(
        &self,
        parts: &dyn PartOpener,
        layer: &Layer,
    ) -> Result<std::result::Result<Fetched, Refused>> {
        Ok(Ok(match self {
            Self::Table(Offer::Estargz { table }) => {
                let start = layer.bytes.saturating_sub(estargz::FOOTER_BYTES);
                let footer = parts.part(layer, start..layer.bytes).await?;
                let at = match estargz::table_range(&footer, layer.bytes) {
                    Ok(at) => at,
                    Err(refused) => return Ok(Err(refused)),
                };
                Fetched::Estargz { packed: parts.part(layer, at.clone()).await?, at, digest: *table }
            }
            Self::Table(Offer::ZstdChunked(position)) => {
                let packed = parts.part(layer, position.range.clone()).await?;
                Fetched::ZstdChunked { packed, position: position.clone() }
            }
            Self::Ztoc(ztoc) => Fetched::Ztoc { ztoc: parts.ztoc_bytes(ztoc).await? },
        }))
    }
}

/// What was fetched of a table.
enum Fetched {
    Estargz { packed: Vec<u8>, at: Range<u64>, digest: Digest },
    ZstdChunked { packed: Vec<u8>, position: zstd_chunked::Position },
    Ztoc { ztoc: Vec<u8> },
}

/// A table that cannot be used leads to the whole; one with another digest than promised is an error.
fn as_attempt<T>(refused: Refused) -> Result<std::result::Result<T, String>> {
    match refused.kind {
        RefusedKind::Unusable => Ok(Err(refused.text)),
        RefusedKind::Mismatch => Err(Error::new(ErrorKind::Malformed, refused.text)),
    }
}
