//! Lists a registry: repositories, tags, and what each tag points at.
//!
//! Invariant: what could not be listed is said in the registry's status, and nothing is marked as gone because
//! a request failed.

use crate::selection::{Selection, TagSighting};
use crate::task::resolve::from_remote;
use crate::workplace::{Assignment, Workplace};
use crate::{Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::discovery::{KnownTag, SeenTag};
use model::job::Lease;
use model::layer::ImageConfig;
use model::registry::RegistryStatus;
use model::{Digest, Timestamp};
use remote::connector::{Connector, all_repositories, all_tags};
use remote::oci::{ManifestContent, RegistryClient};
use std::collections::BTreeMap;

/// Requests under way at once, per registry.
const REQUESTS_AT_ONCE: usize = 16;

/// How a discovery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// `Connected`, or `Warning` when something could not be seen.
    pub status: RegistryStatus,
    /// Why, for people.
    pub reason: String,
}

/// Runs one discovery to its end.
///
/// # Errors
/// When nothing could be listed at all, or the lease was lost.
pub async fn run(
    place: &dyn Workplace,
    assignment: &Assignment,
    connector: &dyn Connector,
    now: Timestamp,
) -> Result<Discovered> {
    let selection = Selection::new(&assignment.registry)?;
    let listed = all_repositories(connector).await.map_err(from_remote)?;
    let names = listed.repositories;
    place.record_repositories(&assignment.lease, &names, listed.warning.is_none()).await?;
    let walk = Walk { place, assignment, connector, selection: &selection, now };
    let mut troubles: Vec<String> = listed.warning.into_iter().collect();
    let mut tags = 0;
    for name in names.iter().filter(|name| selection.may_want_repository(name)) {
        match walk.repository(name).await {
            Ok(seen) => tags += seen,
            Err(error) if matches!(error.kind, ErrorKind::StaleLease | ErrorKind::Internal) => return Err(error),
            Err(error) => troubles.push(format!("{name}: {error}")),
        }
    }
    Ok(conclude(names.len(), tags, troubles))
}

fn conclude(repositories: usize, tags: usize, troubles: Vec<String>) -> Discovered {
    let seen = format!("{repositories} repositories, {tags} tags");
    if troubles.is_empty() {
        return Discovered { status: RegistryStatus::Connected, reason: seen };
    }
    let shown = troubles.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    let more = troubles.len().saturating_sub(3);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Discovered { status: RegistryStatus::Warning, reason: format!("{seen}; could not see everything: {shown}{more}") }
}

struct Walk<'a> {
    place: &'a dyn Workplace,
    assignment: &'a Assignment,
    connector: &'a dyn Connector,
    selection: &'a Selection,
    now: Timestamp,
}

impl Walk<'_> {
    fn lease(&self) -> &Lease {
        &self.assignment.lease
    }

    /// Lists one repository's tags and records them all at once.
    async fn repository(&self, repository: &str) -> Result<usize> {
        let listed = all_tags(self.connector, repository).await.map_err(from_remote)?;
        let known = self.place.known_tags(self.lease(), repository).await?;
        let known: BTreeMap<&str, &KnownTag> = known.iter().map(|tag| (tag.tag.as_str(), tag)).collect();
        let first = self.assignment.first_discovery;
        let mut seen: Vec<(SeenTag, Option<Timestamp>)> = stream::iter(listed.tags)
            .map(|tag| {
                let known = known.get(tag.as_str()).copied();
                async move { self.tag(repository, tag, known, first).await }
            })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_filter_map(|seen| async move { Ok(seen) })
            .try_collect()
            .await?;
        seen.sort_by(|a, b| a.0.tag.cmp(&b.0.tag));
        self.keep_newest(&mut seen);
        let seen: Vec<SeenTag> = seen.into_iter().map(|(tag, _)| tag).collect();
        self.place.record_tags(self.lease(), repository, &seen).await?;
        match listed.warning {
            Some(warning) => Err(Error::new(ErrorKind::Malformed, warning)),
            None => Ok(seen.len()),
        }
    }

    fn client(&self) -> &RegistryClient {
        self.connector.client()
    }

    /// One tag; `None` when it was deleted between the listing and the look.
    async fn tag(
        &self,
        repository: &str,
        tag: String,
        known: Option<&KnownTag>,
        first_discovery: bool,
    ) -> Result<Option<(SeenTag, Option<Timestamp>)>> {
        let digest = match self.client().head(repository, &tag).await.map_err(from_remote) {
            Ok(descriptor) => descriptor.digest,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.during(format_args!("tag {tag}"))),
        };
        let moved = known.is_none_or(|known| known.digest != digest);
        let wants_age = self.assignment.registry.newest_per_repository.is_some()
            || (first_discovery && moved && self.selection.needs_creation_time());
        let created = if wants_age { self.created(repository, &digest).await } else { None };
        let sighting = TagSighting { repository, tag: &tag, digest, known, first_discovery, created };
        let decision = self.selection.decide(&sighting, self.now);
        let seen = SeenTag { tag: tag.clone(), digest, wanted: decision.is_ok(), why_not: decision.err() };
        Ok(Some((seen, created)))
    }

    /// When the image behind a digest was created: for an index, its first image. Unknown when it cannot be told.
    async fn created(&self, repository: &str, digest: &Digest) -> Option<Timestamp> {
        let mut fetched = self.client().manifest(repository, &digest.to_string()).await.ok()?;
        if let ManifestContent::Index(index) = &fetched.content {
            let member = index.manifests.first()?.digest;
            fetched = self.client().manifest(repository, &member.to_string()).await.ok()?;
        }
        let ManifestContent::Image(manifest) = &fetched.content else { return None };
        let (_, bytes) = self.client().config(repository, &manifest.config).await.ok()?;
        serde_json::from_slice::<ImageConfig>(&bytes).ok()?.created
    }

    /// Applies "only the newest N tags of a repository": by creation time, then by name.
    fn keep_newest(&self, seen: &mut [(SeenTag, Option<Timestamp>)]) {
        let Some(newest) = self.assignment.registry.newest_per_repository else { return };
        let newest = usize::try_from(newest).unwrap_or(usize::MAX);
        let mut order: Vec<usize> = (0..seen.len()).filter(|&at| seen[at].0.wanted).collect();
        order.sort_by(|&a, &b| (seen[b].1, &seen[b].0.tag).cmp(&(seen[a].1, &seen[a].0.tag)));
        for at in order.into_iter().skip(newest) {
            seen[at].0.wanted = false;
            seen[at].0.why_not = Some(format!("not among the newest {newest} tags of the repository"));
        }
    }
}
