//! What a scan of a registry would take, without scanning: repositories, tags, images, bytes.
//!
//! Invariant: bounded requests and time; what was not looked at is said.

use crate::problem::{Answer, Problem};
use crate::state::Shared;
use engine::selection::{Selection, TagSighting};
use model::layer::ImageConfig;
use model::registry::{Registry, ScanMode};
use model::{Digest, Timestamp};
use remote::connector::Connector;
use remote::oci::ManifestContent;
use report::api::{PreviewResult, PreviewTag};
use std::collections::BTreeMap;
use std::time::Duration;
use store::types::trusted_readers;
use tokio::time::Instant;

/// Repositories listed at most.
const REPOSITORIES_MAX: usize = 500;
/// Tags listed at most.
const TAGS_MAX: usize = 5000;
/// Tags whose manifests are looked at.
const MANIFESTS_MAX: usize = 60;
/// Tags shown.
const SAMPLE: usize = 25;
/// Time for all of it.
const TIME_MAX: Duration = Duration::from_secs(40);

/// Looks at a registry as its scan configuration would.
///
/// # Errors
/// 409 for a brokered registry, which only its agents reach; 422 when the registry cannot be listed.
pub(crate) async fn preview(state: &Shared, registry: &Registry) -> Answer<PreviewResult> {
    if registry.config.scan_mode == ScanMode::Broker {
        return Err(Problem::conflict(
            "only the agents of its group reach this registry: its discovery shows what is there",
        ));
    }
    let credentials = state.store().credentials(registry.id).await?;
    let mut look = Look {
        state,
        registry,
        connector: state.engine.probe(&registry.config, credentials)?,
        selection: Selection::new(&registry.config)?,
        until: Instant::now() + TIME_MAX,
        layers: BTreeMap::new(),
        images: 0,
        result: PreviewResult {
            repositories: 0,
            tags: 0,
            images: 0,
            bytes: 0,
            pulls: 0,
            complete: true,
            note: None,
            sample: Vec::new(),
        },
    };
    look.run().await?;
    Ok(look.result)
}

struct Look<'a> {
    state: &'a Shared,
    registry: &'a Registry,
    connector: Box<dyn Connector>,
    selection: Selection,
    until: Instant,
    /// Compressed size of each distinct layer.
    layers: BTreeMap<Digest, u64>,
    /// Tags whose manifests were looked at.
    images: usize,
    result: PreviewResult,
}

impl Look<'_> {
    async fn run(&mut self) -> Answer<()> {
        for repository in self.repositories().await? {
            if !self.selection.may_want_repository(&repository) {
                continue;
            }
            let wanted = self.tags(&repository).await;
            self.result.repositories += u64::from(wanted > 0);
            if self.is_over() {
                self.cut("there is more than a preview looks at");
                break;
            }
        }
        self.weigh().await
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.result.tags >= TAGS_MAX as u64
    }

    fn cut(&mut self, why: &str) {
        self.result.complete = false;
        self.result.note.get_or_insert_with(|| why.to_owned());
    }

    async fn repositories(&mut self) -> Answer<Vec<String>> {
        if !self.registry.config.repositories.is_empty() {
            return Ok(self.registry.config.repositories.clone());
        }
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.connector.repositories(cursor.as_ref()).await;
            let page = page.map_err(|error| Problem::refused(format!("the registry cannot be listed: {error}")))?;
            names.extend(page.repositories);
            cursor = page.next;
            if names.len() > REPOSITORIES_MAX {
                names.truncate(REPOSITORIES_MAX);
                self.cut("the catalogue is longer than a preview looks at");
            }
            if cursor.is_none() || names.len() >= REPOSITORIES_MAX || self.is_over() {
                return Ok(names);
            }
        }
    }

    /// Returns how many tags of a repository would be taken.
    async fn tags(&mut self, repository: &str) -> u64 {
        let mut wanted = 0;
        let mut cursor = None;
        loop {
            let page = match self.connector.tags(repository, cursor.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    self.cut(&format!("{repository}: {error}"));
                    return wanted;
                }
            };
            for tag in page.tags {
                wanted += u64::from(self.tag(repository, tag).await);
                if self.is_over() {
                    return wanted;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return wanted;
            }
        }
    }

    async fn tag(&mut self, repository: &str, tag: String) -> bool {
        let mut decision = self.decide(repository, &tag, None);
        if decision.is_ok() && self.images < MANIFESTS_MAX {
            self.images += 1;
            match self.image(repository, &tag).await {
                Ok(created) => decision = self.decide(repository, &tag, created),
                Err(error) => self.cut(&format!("{repository}:{tag}: {error}")),
            }
        } else if decision.is_ok() {
            self.cut("images and bytes are those of the first tags only");
        }
        let wanted = decision.is_ok();
        self.result.tags += u64::from(wanted);
        if self.result.sample.len() < SAMPLE {
            let why_not = decision.err();
            self.result.sample.push(PreviewTag { repository: repository.to_owned(), tag, wanted, why_not });
        }
        wanted
    }

    fn decide(&self, repository: &str, tag: &str, created: Option<Timestamp>) -> Result<(), String> {
        let digest = Digest::from_bytes([0; 32]);
        let sighting = TagSighting { repository, tag, digest, known: None, first_discovery: true, created };
        self.selection.decide(&sighting, self.state.now())
    }

    /// Notes the layers behind a tag. Returns when the image was created, where that matters.
    async fn image(&mut self, repository: &str, tag: &str) -> Result<Option<Timestamp>, remote::Error> {
        let fetched = self.connector.client().manifest(repository, tag).await?;
        let mut members = match fetched.content {
            ManifestContent::Image(image) => vec![image],
            ManifestContent::Artifact { .. } => Vec::new(),
            ManifestContent::Index(index) => {
                let mut images = Vec::new();
                for member in index.manifests {
                    let platform = member.platform.as_ref();
                    if platform.is_some_and(|p| p.os != "unknown" && self.selection.wants_platform(p))
                        && let ManifestContent::Image(image) =
                            self.connector.client().manifest(repository, &member.digest.to_string()).await?.content
                    {
                        images.push(image);
                    }
                }
                images
            }
        };
        self.result.images += members.len() as u64;
        for layer in members.iter().flat_map(|image| &image.layers) {
            self.layers.insert(layer.digest, layer.size);
        }
        if !self.selection.needs_creation_time() || members.is_empty() {
            return Ok(None);
        }
        let (_, bytes) = self.connector.client().config(repository, &members.remove(0).config).await?;
        Ok(serde_json::from_slice::<ImageConfig>(&bytes).ok().and_then(|config| config.created))
    }

    /// Layers whose facts are stored would not be pulled again.
    async fn weigh(&mut self) -> Answer<()> {
        let versions = self.state.engine.office.tools.current().versions();
        let readers = trusted_readers(&self.registry.config);
        for (layer, bytes) in std::mem::take(&mut self.layers) {
            if self.state.store().facts(&layer, &readers, &versions).await?.is_none() {
                self.result.bytes += bytes;
                self.result.pulls += 1;
            }
        }
        Ok(())
    }
}
