//! The image that another one was built on, and what a newer tag of it would fix.
//!
//! Not here: which image has which layers (`store`), what the image's own labels and history tell (`model::base`).
//! Invariant: a base is only called fixed by what was read of its newer tag; a tag that nobody has read promises nothing.

use crate::facts::{self, ImageFacts};
use crate::problem::Answer;
use crate::state::Shared;
use model::base::{BaseImage, BaseSource};
use model::id::kind;
use model::{Digest, Finding, FindingKind, Id, ImageInventory, Reader, Scope};
use policy::{CompiledTuning, Show};
use report::api::{BaseImageBody, NewerBaseBody};
use std::collections::{BTreeMap, BTreeSet};
use store::types::{ImageReference, RegistryImage};

/// What is known about the base of an image.
pub(crate) struct Base {
    /// Which image, and how many layers are its.
    pub(crate) image: BaseImage,
    /// Where it is found.
    pub(crate) reference: Option<ImageReference>,
    /// A newer tag of the same repository.
    pub(crate) newer: Option<Newer>,
}

/// A newer tag of a base image.
pub(crate) struct Newer {
    /// `repository:tag`.
    pub(crate) name: String,
    /// The image behind it.
    pub(crate) digest: Digest,
    /// Open vulnerabilities in it, as (vulnerability, package); `None` while nobody has read it.
    pub(crate) open: Option<BTreeSet<(String, String)>>,
}

/// Vulnerabilities that come from the base, and those among them that its newer tag has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gain {
    /// How many come from the base.
    pub(crate) of: usize,
    /// How many of them the newer tag has not.
    pub(crate) fixes: usize,
}

/// The base of an image that was read; `None` when nobody can tell it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn of(state: &Shared, facts: &ImageFacts) -> Answer<Option<Base>> {
    let Some(stored) = &facts.stored else { return Ok(None) };
    let readers = facts::readers(state, &facts.view).await?;
    let tuning = CompiledTuning::new(&state.store().tuning().await?);
    let known = known(state, &stored.inventory, &readers, &tuning).await?;
    let Some(Known { digest, layers, reference }) = known else {
        let told = tuning.told_base(&stored.inventory.configuration);
        return Ok(told.map(|image| Base { image, reference: None, newer: None }));
    };
    let name = reference.as_ref().map(|at| format!("{}:{}", at.repository, at.tag));
    let image = BaseImage { name, digest: Some(digest), layers, source: BaseSource::Layers };
    let newer = match &reference {
        Some(at) => newer(state, at, &digest).await?,
        None => None,
    };
    Ok(Some(Base { image, reference, newer }))
}

/// A known image that another one begins with.
struct Known {
    digest: Digest,
    /// How many layers.
    layers: u32,
    reference: Option<ImageReference>,
}

/// Images that are looked at for one that an operator's rules name.
const CANDIDATES_MAX: usize = 200;

/// The longest known beginning, of those that count as base images.
async fn known(
    state: &Shared,
    inventory: &ImageInventory,
    readers: &[Reader],
    tuning: &CompiledTuning,
) -> Answer<Option<Known>> {
    let blobs: Vec<Digest> = inventory.layers.iter().map(|layer| layer.blob).collect();
    let limit = if tuning.names_bases() { CANDIDATES_MAX } else { 1 };
    let hosts = if tuning.names_bases() { hosts(state).await? } else { BTreeMap::new() };
    for (digest, layers) in state.store().bases_of(&blobs, readers, limit).await? {
        let view = state.store().image(&Scope::All, &digest).await?;
        let counts = |at: &&ImageReference| {
            let host = hosts.get(&at.registry).map(|host| format!("{host}/{}", at.repository));
            let named = format!("{}/{}", at.registry_name, at.repository);
            tuning.counts_as_base([Some(named.as_str()), host.as_deref()].into_iter().flatten())
        };
        // Of a base that is named, the place that the rules name; an image that no registry shows is none of them.
        let reference = view.references.iter().find(counts).cloned();
        if reference.is_some() || !tuning.names_bases() {
            return Ok(Some(Known { digest, layers, reference }));
        }
    }
    Ok(None)
}

/// The hosts of all registries.
async fn hosts(state: &Shared) -> Answer<BTreeMap<Id<kind::Registry>, String>> {
    let all = state.store().registries(&Scope::All).await?;
    Ok(all.into_iter().map(|registry| (registry.id, host_of(&registry.config.url).to_owned())).collect())
}

/// The host in an address as for `docker login`, with its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The image of the same repository and platform that was built last, when that is another one.
async fn newer(state: &Shared, at: &ImageReference, digest: &Digest) -> Answer<Option<Newer>> {
    let images = state.store().registry_images(at.registry, &at.repository).await?;
    let Some(base) = images.iter().find(|image| image.digest == *digest) else { return Ok(None) };
    let built = |image: &RegistryImage| image.resolved.configuration.created;
    let same_platform = images.iter().filter(|image| image.resolved.platform == base.resolved.platform);
    let Some(newest) = same_platform.max_by_key(|image| (built(image), image.digest)) else { return Ok(None) };
    if built(newest) <= built(base) {
        return Ok(None);
    }
    let tag = newest.tags.first().cloned().unwrap_or_default();
    let facts = facts::image(state, &newest.digest, Show::Open).await?;
    let open = facts.stored.is_some().then(|| facts.judged.findings.iter().filter_map(subject).collect());
    Ok(Some(Newer { name: format!("{}:{tag}", at.repository), digest: newest.digest, open }))
}

/// What tells two vulnerabilities apart, whatever the versions.
fn subject(finding: &Finding) -> Option<(String, String)> {
    let is_open = finding.kind == FindingKind::Vulnerability && finding.status.is_open();
    let package = finding.package.as_ref().filter(|_| is_open)?;
    Some((finding.id.clone(), package.name.clone()))
}

impl Base {
    /// Does the finding come from the base alone?
    pub(crate) fn brought_in(&self, finding: &Finding) -> bool {
        let layers = finding.evidence.iter().map(|evidence| evidence.layer);
        !finding.evidence.is_empty() && layers.into_iter().all(|layer| layer.is_some_and(|at| self.image.has_layer(at)))
    }

    /// What the newer tag would fix of these findings; `None` when that is not known.
    pub(crate) fn gain(&self, findings: &[Finding]) -> Option<Gain> {
        let open = self.newer.as_ref()?.open.as_ref()?;
        let mine: BTreeSet<_> =
            findings.iter().filter(|finding| self.brought_in(finding)).filter_map(subject).collect();
        Some(Gain { of: mine.len(), fixes: mine.difference(open).count() })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        let digest = || self.image.digest.map(|digest| digest.short());
        self.image.name.clone().or_else(digest).unwrap_or_else(|| "an image that is not named".to_owned())
    }

    /// `layers 0 to 3`.
    pub(crate) fn layers(&self) -> String {
        match self.image.layers {
            0 => "its layers are not told".to_owned(),
            1 => "layer 0".to_owned(),
            n => format!("layers 0 to {}", n - 1),
        }
    }

    /// Who says so, for people.
    pub(crate) const fn source(&self) -> &'static str {
        match self.image.source {
            BaseSource::Layers => "the layers are the same",
            BaseSource::Labels => "by the image's labels",
            BaseSource::History => "by the image's history",
        }
    }

    /// What to do about a finding that comes from the base, beside what the finding itself says.
    pub(crate) fn advice(&self, finding: &Finding) -> Option<String> {
        if !self.brought_in(finding) {
            return None;
        }
        let from = format!("It comes from the base image {} ({}).", self.name(), self.layers());
        let Some(newer) = &self.newer else { return Some(from) };
        let name = &newer.name;
        Some(match (&newer.open, subject(finding)) {
            (Some(open), Some(subject)) if open.contains(&subject) => {
                format!("{from} Its newest tag {name} has it too.")
            }
            (Some(_), Some(_)) => format!("{from} Its newest tag {name} does not have it: build on that one."),
            (None, _) | (_, None) => format!("{from} There is a newer tag, {name}."),
        })
    }

    /// The public form.
    pub(crate) fn body(&self, findings: &[Finding]) -> BaseImageBody {
        let gain = self.gain(findings);
        BaseImageBody {
            name: self.image.name.clone(),
            digest: self.image.digest.map(|digest| digest.to_string()),
            layers: self.image.layers,
            source: self.image.source.as_str().to_owned(),
            newer: self.newer.as_ref().map(|newer| NewerBaseBody {
                name: newer.name.clone(),
                digest: newer.digest.to_string(),
                fixes: gain.map(|gain| gain.fixes as u64),
                of: gain.map(|gain| gain.of as u64),
            }),
        }
    }
}
