//! Reads one image: every layer that has no stored facts yet, once, for the detectors that lack them.
//!
//! Invariant: a layer is downloaded by one reader at a time ([`Workplace::claim_blob`]); facts are handed in
//! only after the blob's digest was verified; a layer that cannot be read is a gap, named.

use crate::clock::SharedClock;
use crate::lazy::PartOpener;
use crate::workplace::{Assignment, Workplace};
use crate::{Error, ErrorKind, Result};
use analyze::{Detectors, LAYER_BYTES, LayerReading, LayerRequest, MemoryBudget};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::discovery::ResolvedImage;
use model::job::BlobClaim;
use model::layer::{Descriptor, Layer};
use model::ports::{Inspector, Spool};
use model::{Detector, DetectorVersion, Gap, GapReason, LayerInventory};
use remote::oci::RegistryClient;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What reading needs besides the bytes: shared by every worker of a process.
#[derive(Clone)]
pub struct Reading {
    /// Compiled rules.
    pub detectors: Arc<Detectors>,
    /// Temporary files.
    pub spool: Arc<dyn Spool>,
    /// An engine outside the process, if one is configured.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// How many layers are read at once, in the whole process: bounds memory and threads.
    pub layers_at_once: Arc<Semaphore>,
    /// Memory for content that is held whole, in the whole process.
    pub memory: Arc<MemoryBudget>,
}

/// What the program, its rules and the facts of an image take beside the buffers of readers.
const BASE_BYTES: u64 = 96 << 20;

/// The bounds of a process that reads `layers` layers at once, at least one, or as many of them as `memory_bytes_max`
/// has room for; without one, what that many readers need.
pub fn memory_of_layers(layers: usize, memory_bytes_max: Option<u64>) -> (Arc<Semaphore>, Arc<MemoryBudget>) {
    let layers = layers.max(1);
    share_memory(memory_bytes_max.unwrap_or(BASE_BYTES + layers as u64 * 2 * LAYER_BYTES), layers)
}

/// How many layers `memory_bytes_max` has room for, at least one and at most `layers_max`, and what is left for content
/// that is held whole.
pub fn share_memory(memory_bytes_max: u64, layers_max: usize) -> (Arc<Semaphore>, Arc<MemoryBudget>) {
    let buffers = memory_bytes_max.saturating_sub(BASE_BYTES);
    let layers = usize::try_from(buffers / (2 * LAYER_BYTES)).unwrap_or(usize::MAX).clamp(1, layers_max.max(1));
    let held = buffers.saturating_sub(layers as u64 * LAYER_BYTES);
    (Arc::new(Semaphore::new(layers)), Arc::new(MemoryBudget::new(held)))
}

/// Layers of one image that are looked at together; the process-wide bound is [`Reading::layers_at_once`].
const LAYERS_AT_ONCE: usize = 4;

/// How long to wait before asking again for a blob that someone else is reading.
const CLAIM_POLL: Duration = Duration::from_millis(100);

/// Detectors whose facts come from layers.
pub fn layer_detectors(only: &BTreeSet<Detector>) -> BTreeSet<Detector> {
    let mut out: BTreeSet<Detector> = only.iter().copied().filter(|d| *d != Detector::Configuration).collect();
    out.insert(Detector::Files);
    out
}

/// Opens a layer's bytes, verified while they are read.
#[async_trait::async_trait]
pub trait LayerOpener: Send + Sync {
    /// The bytes as stored. The reader fails at its end when they are not what the digest says.
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>>;

    /// The same layers in parts, where they can be had so.
    fn in_parts(&self) -> Option<&dyn PartOpener> {
        None
    }
}

/// Layers that lie in a registry.
pub struct RegistryLayers<'a> {
    /// The client.
    pub client: &'a RegistryClient,
    /// The repository.
    pub repository: &'a str,
}

#[async_trait::async_trait]
impl LayerOpener for RegistryLayers<'_> {
    async fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        let descriptor = Descriptor {
            media_type: String::new(),
            digest: layer.blob,
            size: layer.bytes,
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        };
        let reader = self.client.blob(self.repository, &descriptor).await.map_err(crate::error::from_remote)?;
        Ok(Box::new(reader))
    }
}

/// How a layer ended up.
enum LayerOutcome {
    Known,
    Unreadable(Gap),
}

/// Reads what is missing of an image, and hands it in.
///
/// # Errors
/// `Transient` when a layer could not be fetched and another try may help; the layers that were read are kept.
pub async fn run(
    place: &dyn Workplace,
    assignment: &Assignment,
    client: &RegistryClient,
    reading: &Reading,
    clock: &SharedClock,
) -> Result<()> {
    let image =
        assignment.image.as_deref().ok_or_else(|| Error::new(ErrorKind::Internal, "a scan without an image"))?;
    let repository = match &assignment.lease.work {
        model::job::JobWork::Scan { repository, .. } => repository,
        model::job::JobWork::Discover { .. } | model::job::JobWork::Resolve { .. } => {
            return Err(Error::new(ErrorKind::Internal, "not a scan"));
        }
    };
    let opener = RegistryLayers { client, repository };
    let visit = Visit { place, assignment, opener: &opener, reading, clock };
    let gaps = visit.layers(image).await?;
    place.complete_scan(&assignment.lease, &gaps).await
}

struct Visit<'a> {
    place: &'a dyn Workplace,
    assignment: &'a Assignment,
    opener: &'a dyn LayerOpener,
    reading: &'a Reading,
    clock: &'a SharedClock,
}

/// After this many tries a layer that cannot be fetched becomes a gap instead of another try.
pub const ATTEMPTS_MAX: u32 = 5;

impl Visit<'_> {
    async fn layers(&self, image: &ResolvedImage) -> Result<Vec<Gap>> {
        let outcomes: Vec<LayerOutcome> = stream::iter(distinct_layers(&image.layers))
            .map(|layer| async move { self.layer(&layer).await })
            .buffered(LAYERS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(outcomes
            .into_iter()
            .filter_map(|outcome| match outcome {
                LayerOutcome::Known => None,
                LayerOutcome::Unreadable(gap) => Some(gap),
            })
            .collect())
    }

    async fn layer(&self, layer: &Layer) -> Result<LayerOutcome> {
        let lease = &self.assignment.lease;
        loop {
            let missing = self.missing(layer).await?;
            if missing.is_empty() {
                return Ok(LayerOutcome::Known);
            }
            match self.place.claim_blob(lease, &layer.blob).await? {
                BlobClaim::Claimed => {}
                BlobClaim::HeldUntil { .. } => {
                    tokio::time::sleep(CLAIM_POLL).await;
                    continue;
                }
            }
            // Someone may have finished between the look and the claim.
            let missing = self.missing(layer).await?;
            if missing.is_empty() {
                return Ok(LayerOutcome::Known);
            }
            return self.read(layer, &missing).await;
        }
    }

    async fn missing(&self, layer: &Layer) -> Result<BTreeSet<Detector>> {
        let known = self.place.facts(&self.assignment.lease, &layer.blob).await?;
        Ok(missing_detectors(known.as_ref(), &self.assignment.versions))
    }

    async fn read(&self, layer: &Layer, missing: &BTreeSet<Detector>) -> Result<LayerOutcome> {
        match read_one(self.opener, layer, missing, self.reading).await {
            // The facts would stand until the detectors change: as long as there are tries, wait for the engine.
            Ok(LayerRead { uninspected: Some(why), .. }) if self.assignment.lease.attempts + 1 < ATTEMPTS_MAX => {
                Err(Error::new(ErrorKind::Transient, format!("layer {} ({}): {why}", layer.index, layer.blob)))
            }
            Ok(LayerRead { inventory, .. }) => {
                self.place.put_facts(&self.assignment.lease, &inventory).await?;
                Ok(LayerOutcome::Known)
            }
            Err(error) if error.kind == ErrorKind::Transient && self.assignment.lease.attempts + 1 < ATTEMPTS_MAX => {
                Err(error.during(format_args!("layer {} ({})", layer.index, layer.blob)))
            }
            Err(error) if matches!(error.kind, ErrorKind::StaleLease | ErrorKind::Internal) => Err(error),
            Err(error) => {
                tracing::warn!(layer = %layer.blob, at = %self.clock.now(), "a layer cannot be read: {error}");
                Ok(LayerOutcome::Unreadable(unreadable_gap(layer, &error)))
            }
        }
    }
}

/// The layers of an image, each blob once, lowest first.
pub fn distinct_layers(layers: &[Layer]) -> Vec<Layer> {
    let mut seen = BTreeSet::new();
    layers.iter().filter(|layer| seen.insert(layer.blob)).cloned().collect()
}

/// The gap of a layer that could not be read.
pub fn unreadable_gap(layer: &Layer, error: &Error) -> Gap {
    Gap {
        scope: format!("layer {}", layer.index),
        detector: None,
        reason: GapReason::Unreadable,
        detail: format!("layer {} ({}) could not be read: {error}", layer.index, layer.blob),
    }
}

/// Which of the wanted detectors have no facts about a layer. The files detector is read along with any other.
pub fn missing_detectors(known: Option<&LayerInventory>, wanted: &[DetectorVersion]) -> BTreeSet<Detector> {
    let has = |version: &DetectorVersion| {
        known.is_some_and(|k| k.detectors.get(&version.detector).is_some_and(|facts| facts.version == *version))
    };
    wanted
        .iter()
        .filter(|version| version.detector != Detector::Configuration && !has(version))
        .map(|version| version.detector)
        .collect()
}

/// A layer that was read.
#[derive(Debug)]
pub struct LayerRead {
    /// The facts.
    pub inventory: LayerInventory,
    /// Why the engine outside the process did not see all that it should have, if so. A gap says it too.
    pub uninspected: Option<String>,
}

/// Reads one layer on a thread of its own.
///
/// # Errors
/// When the bytes cannot be fetched or are not what the digest says. Broken archives are gaps, not errors.
pub async fn read_one(
    opener: &dyn LayerOpener,
    layer: &Layer,
    only: &BTreeSet<Detector>,
    reading: &Reading,
) -> Result<LayerRead> {
    let permit = Arc::clone(&reading.layers_at_once)
        .acquire_owned()
        .await
        .map_err(|_| Error::new(ErrorKind::Internal, "the reader is shutting down"))?;
    let input = opener.open(layer).await?;
    let reading = reading.clone();
    let only = only.clone();
    let media = layer.media;
    let read = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let request = LayerRequest {
            media,
            detectors: &reading.detectors,
            only: &only,
            memory: &reading.memory,
            spool: &*reading.spool,
            inspector: reading.inspector.as_deref(),
            in_part: false,
        };
        analyze::read_layer(input, &request)
    });
    let done = read.await.map_err(|e| Error::because(ErrorKind::Internal, "reading a layer was cut off", e))?;
    let LayerReading { diff_id, bytes_uncompressed, facts, uninspected, .. } = done.map_err(from_analyze)?;
    let inventory =
        LayerInventory { blob: layer.blob, diff_id, bytes: layer.bytes, bytes_uncompressed, detectors: facts };
    Ok(LayerRead { inventory, uninspected })
}

/// An analysis fails only when its input does: the cause decides whether to try again.
fn from_analyze(error: analyze::Error) -> Error {
    crate::error::from_analyze(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_for_memory_bounds_how_many_layers_are_read_at_once() {
        let readers = |layers, bytes_max| memory_of_layers(layers, bytes_max).0.available_permits();
        assert_eq!(readers(4, None), 4);
        assert_eq!(readers(0, None), 1);
        assert_eq!(readers(4, Some(BASE_BYTES + 4 * 2 * LAYER_BYTES)), 4);
        assert_eq!(readers(4, Some(BASE_BYTES + 2 * 2 * LAYER_BYTES)), 2);
        assert_eq!(readers(4, Some(1 << 40)), 4, "never more than were asked for");
        assert_eq!(readers(4, Some(0)), 1, "at least one, or nothing would ever be read");
    }
}
