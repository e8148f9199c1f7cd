//! One image, no server: reads its layers, with a cache of facts, and judges it with an intelligence folder.

use crate::intelligence::Library;
use crate::lazy::{Attempt, PartCost, Plan};
use crate::matching::{in_parts, threads};
use crate::source::OpenImage;
use crate::task::evaluate::{bad_hashes, covered, end_of_support};
use crate::task::scan::{Reading, distinct_layers, layer_detectors, missing_detectors, read_one, unreadable_gap};
use crate::{Error, Result};
use analyze::SquashInput;
use futures_util::{StreamExt, stream};
use model::layer::Layer;
use model::{
    Detector, DetectorVersion, Digest, Finding, Gap, ImageInventory, LayerInventory, Match, Package, PackageKey,
    Timestamp,
};
use policy::{CompiledTuning, ImageFacts, Place, Scanners, Show};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::fact_cache::FactCache;

/// What is read, and how.
pub struct SingleScan<'a> {
    /// Rules, temporary files, bounds.
    pub reading: &'a Reading,
    /// Which detectors run.
    pub only: &'a BTreeSet<Detector>,
    /// Facts of layers that were read before.
    pub cache: Option<&'a FactCache>,
    /// Layers with a table of contents are read in part.
    pub lazy: bool,
    /// When the scan began.
    pub now: Timestamp,
    /// Told after each layer.
    pub progress: &'a (dyn Fn(&LayerRead) + Send + Sync),
}

/// A layer that was read, or found in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRead {
    /// Which.
    pub index: u32,
    /// How many layers the image has.
    pub of: usize,
    /// Size of the blob as stored.
    pub bytes: u64,
    /// Found in the cache: not read again.
    pub cached: bool,
    /// How it was read, when layers are read in part.
    pub lazy: Option<LazyRead>,
}

/// How a layer was read that was to be read in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LazyRead {
    /// In part. `None` when its facts were known.
    Part(Option<PartCost>),
    /// As a whole, and why.
    Whole(String),
}

/// What reading cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStatistics {
    /// Layers that were read.
    pub layers_read: u64,
    /// Layers that were found in the cache.
    pub layers_cached: u64,
    /// Bytes that were read, as stored.
    pub bytes_read: u64,
    /// Bytes of the layers that were not downloaded, because they were read in part.
    pub bytes_not_read: u64,
    /// Bytes that came out of decompression.
    pub bytes_uncompressed: u64,
    /// Time from the first byte to the inventory.
    pub duration: Duration,
}

/// Layers looked at together; the bound of [`Reading::layers_at_once`] applies as well.
const LAYERS_AT_ONCE: usize = 4;

impl SingleScan<'_> {
    /// Reads an image. A layer that cannot be read is a gap.
    ///
    /// # Errors
    /// When no layer at all could be read.
    pub async fn read(&self, image: &OpenImage) -> Result<(ImageInventory, ReadStatistics)> {
        let started = Instant::now();
        let layers = &image.resolved.layers;
        let outcomes: Vec<(Digest, Result<Outcome>)> = stream::iter(distinct_layers(layers))
            .map(|layer| async move { (layer.blob, self.layer(image, &layer).await) })
            .buffered(LAYERS_AT_ONCE)
            .collect()
            .await;
        let mut statistics = ReadStatistics::default();
        let mut known: BTreeMap<Digest, LayerInventory> = BTreeMap::new();
        let mut failed: BTreeMap<Digest, Error> = BTreeMap::new();
        for (blob, outcome) in outcomes {
            match outcome {
                Ok(outcome) => {
                    statistics.count(&outcome);
                    known.insert(blob, outcome.inventory);
                }
                Err(error) => {
                    failed.insert(blob, error);
                }
            }
        }
        if known.is_empty()
            && let Some((_, error)) = failed.pop_first()
        {
            return Err(error);
        }
        let inventory = self.squash(image, known, &failed);
        statistics.duration = started.elapsed();
        Ok((inventory, statistics))
    }

    fn squash(
        &self,
        image: &OpenImage,
        mut known: BTreeMap<Digest, LayerInventory>,
        failed: &BTreeMap<Digest, Error>,
    ) -> ImageInventory {
        let layers = &image.resolved.layers;
        // Only a blob that comes again is copied.
        let mut take = |at: usize, layer: &Layer| {
            let again = layers[at + 1..].iter().any(|later| later.blob == layer.blob);
            if again { known.get(&layer.blob).cloned() } else { known.remove(&layer.blob) }
        };
        let inventories: Vec<Option<LayerInventory>> =
            layers.iter().enumerate().map(|(at, layer)| take(at, layer)).collect();
        let gaps: Vec<Gap> = layers
            .iter()
            .filter_map(|layer| failed.get(&layer.blob).map(|error| unreadable_gap(layer, error)))
            .collect();
        analyze::squash(&SquashInput {
            layers,
            configuration: &image.resolved.configuration,
            inventories: &inventories,
            gaps: &gaps,
            detectors: &self.reading.detectors,
            only: self.only,
        })
    }

    async fn layer(&self, image: &OpenImage, layer: &Layer) -> Result<Outcome> {
        let wanted = layer_detectors(self.only);
        let versions: Vec<DetectorVersion> = wanted.iter().map(|d| self.reading.detectors.version(*d)).collect();
        let cached = self.cache.and_then(|cache| cache.get(&layer.blob, &versions, self.now));
        let missing = missing_detectors(cached.as_ref(), &versions);
        let outcome = match cached {
            Some(cached) if missing.is_empty() => Outcome { inventory: cached, cached: true, lazy: None },
            cached => match self.in_part(image, layer, &versions).await? {
                Ok(outcome) => outcome,
                Err(why) => {
                    let inventory = self.whole(image, layer, cached, &missing).await?;
                    Outcome { inventory, cached: false, lazy: why.map(LazyRead::Whole) }
                }
            },
        };
        let of = image.resolved.layers.len();
        let (index, bytes, lazy) = (layer.index, layer.bytes, outcome.lazy.clone());
        let read = LayerRead { index, of, bytes, cached: outcome.cached, lazy };
        (self.progress)(&read);
        Ok(outcome)
    }

    /// Reads what is missing of a layer from its whole blob.
    async fn whole(
        &self,
        image: &OpenImage,
        layer: &Layer,
        cached: Option<LayerInventory>,
        missing: &BTreeSet<Detector>,
    ) -> Result<LayerInventory> {
        let read = read_one(&*image.layers, layer, missing, self.reading).await?;
        let mut fresh = read.inventory;
        let mut kept = Cow::Borrowed(&fresh);
        // What the engine outside did not see is asked again next time.
        if read.uninspected.is_some() {
            kept.to_mut().detectors.remove(&Detector::Malware);
        }
        self.keep(&kept);
        for (detector, facts) in cached.into_iter().flat_map(|c| c.detectors) {
            fresh.detectors.entry(detector).or_insert(facts);
        }
        Ok(fresh)
    }

    /// Reads a layer in part, if that is asked for; `Err` inside when it has to be read as a whole, and why.
    async fn in_part(
        &self,
        image: &OpenImage,
        layer: &Layer,
        versions: &[DetectorVersion],
    ) -> Result<std::result::Result<Outcome, Option<String>>> {
        if !self.lazy {
            return Ok(Err(None));
        }
        let parts = image.layers.in_parts();
        let (plan, parts) = match (Plan::of(parts, layer).await, parts) {
            (Ok(plan), Some(parts)) => (plan, parts),
            (Ok(_), None) => return Ok(Err(None)),
            (Err(why), _) => return Ok(Err(Some(why))),
        };
        let kept_as: Vec<DetectorVersion> = versions.iter().map(|version| plan.version(version)).collect();
        let known = self.cache.and_then(|cache| cache.get(&layer.blob, &kept_as, self.now));
        if let Some(mut known) = known.filter(|known| missing_detectors(Some(known), &kept_as).is_empty()) {
            rename(&mut known, versions);
            return Ok(Ok(Outcome { inventory: known, cached: true, lazy: Some(LazyRead::Part(None)) }));
        }
        let only: BTreeSet<Detector> = versions.iter().map(|version| version.detector).collect();
        match plan.read(parts, layer, &only, self.reading).await? {
            Attempt::Read(mut inventory, cost) => {
                rename(&mut inventory, &kept_as);
                self.keep(&inventory);
                rename(&mut inventory, versions);
                Ok(Ok(Outcome { inventory: *inventory, cached: false, lazy: Some(LazyRead::Part(Some(cost))) }))
            }
            Attempt::Whole(why) => Ok(Err(Some(why))),
        }
    }

    /// A cache that cannot be written costs time, not facts.
    fn keep(&self, facts: &LayerInventory) {
        if let Some(cache) = self.cache
            && let Err(error) = cache.put(facts, self.now)
        {
            tracing::warn!("the cache cannot be written: {error}");
        }
    }
}

/// Gives facts the versions under which they are kept, or those that they are asked for by.
fn rename(inventory: &mut LayerInventory, versions: &[DetectorVersion]) {
    for version in versions {
        if let Some(facts) = inventory.detectors.get_mut(&version.detector) {
            facts.version.clone_from(version);
        }
    }
}

/// What became of a layer.
struct Outcome {
    inventory: LayerInventory,
    cached: bool,
    lazy: Option<LazyRead>,
}

impl ReadStatistics {
    fn count(&mut self, outcome: &Outcome) {
        let Outcome { inventory, cached, lazy } = outcome;
        if *cached {
            self.layers_cached += 1;
            return;
        }
        self.layers_read += 1;
        self.bytes_uncompressed += inventory.bytes_uncompressed;
        match lazy {
            Some(LazyRead::Part(Some(cost))) => {
                self.bytes_read += cost.bytes_read;
                self.bytes_not_read += cost.bytes_left;
            }
            Some(LazyRead::Part(None) | LazyRead::Whole(_)) | None => self.bytes_read += inventory.bytes,
        }
    }
}

/// What is judged of an image.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// Sorted.
    pub findings: Vec<Finding>,
    /// Gaps of the inventory and of the intelligence, sorted.
    pub gaps: Vec<Gap>,
}

/// How an inventory is judged.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// What was asked for.
    pub scanners: Scanners,
    /// What is shown.
    pub show: Show,
    /// Switches, severities, thresholds, the allow-list.
    pub tuning: &'a CompiledTuning,
    /// Where the image is found.
    pub place: Place<'a>,
    /// When.
    pub now: Timestamp,
}

/// Judges an inventory with the intelligence in force.
///
/// # Errors
/// When a segment of the intelligence is damaged.
pub fn judge(inventory: &ImageInventory, library: &Library, judging: &Judging<'_>) -> Result<Judged> {
    let Judging { scanners, show, tuning, place, now } = *judging;
    let loaded = library.current();
    let intelligence = &loaded.intelligence;
    let mut matches: BTreeMap<PackageKey, Arc<[Match]>> = BTreeMap::new();
    if scanners.vulnerabilities || scanners.malware {
        let parts = in_parts(intelligence, &inventory.packages, threads(), |matcher, part| {
            let find = |package: &Package| match show {
                Show::All => matcher.matches(&package.key),
                Show::Open => matcher.possible(&package.key),
            };
            part.iter().map(find).collect::<intel::Result<Vec<_>>>()
        });
        let found = parts.map_err(crate::error::from_intel)?.into_iter().flatten();
        for (package, mut found) in inventory.packages.iter().zip(found) {
            found.retain(|m| if m.malicious { scanners.malware } else { scanners.vulnerabilities });
            if !found.is_empty() {
                matches.insert(package.key.clone(), found.into());
            }
        }
    }
    let bad_hashes = if scanners.malware { bad_hashes(inventory, intelligence)? } else { BTreeMap::new() };
    let covered = covered(inventory, intelligence);
    let end_of_support = end_of_support(inventory, intelligence)?;
    let facts = ImageFacts {
        inventory,
        matches: &matches,
        bad_hashes: &bad_hashes,
        covered: &covered,
        end_of_support: end_of_support.as_ref(),
        scanners,
        now,
        tuning,
        place,
    };
    let findings = policy::findings(&facts, show);
    let mut gaps = inventory.gaps.clone();
    if scanners.vulnerabilities {
        gaps.extend(intelligence.gaps(&inventory.packages, inventory.os.as_ref(), now));
    }
    gaps.extend(policy::gaps(&facts));
    gaps.sort();
    gaps.dedup();
    Ok(Judged { findings, gaps })
}

/// Is there any intelligence at all? Without, a scan for vulnerabilities sees nothing.
pub fn has_intelligence(library: &Library) -> bool {
    !library.current().intelligence.feeds().is_empty()
}
