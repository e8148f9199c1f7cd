//! Connectors: how the repositories and tags of one kind of registry are listed.
//!
//! To add one: a file here, a variant of [`RegistryKind`], a line in [`connect`].

mod docker_v2;

pub use docker_v2::DockerV2;

use crate::oci::{Cursor, RegistryClient, RepositoryPage, TagPage};
use crate::{Endpoint, Error, ErrorKind, Limits, Result};
use async_trait::async_trait;
use model::registry::RegistryKind;
use std::collections::BTreeSet;

/// Lists what is in a registry, page by page.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The client that pulls from it.
    fn client(&self) -> &RegistryClient;

    /// Repositories that were named by hand, for registries that do not list theirs.
    fn explicit(&self) -> &[String];

    /// One page of repositories, from the start or from `cursor`.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] or [`ErrorKind::Unsupported`] when there is no listing.
    async fn repositories(&self, cursor: Option<&Cursor>) -> Result<RepositoryPage>;

    /// One page of a repository's tags.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such repository.
    async fn tags(&self, repository: &str, cursor: Option<&Cursor>) -> Result<TagPage>;
}

/// Makes the connector of a kind. `explicit` are the repositories that were named by hand.
///
/// # Errors
/// Those of [`RegistryClient::new`]; [`ErrorKind::Malformed`] for an explicit name that is none.
pub fn connect(
    kind: RegistryKind,
    endpoint: Endpoint,
    explicit: Vec<String>,
    limits: Limits,
) -> Result<Box<dyn Connector>> {
    let client = RegistryClient::new(endpoint, limits)?;
    match kind {
        RegistryKind::DockerV2 => Ok(Box::new(DockerV2::new(client, explicit)?)),
    }
}

/// All repositories of a registry, as far as it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryListing {
    /// Sorted, each once: what was listed and what was named by hand.
    pub repositories: Vec<String>,
    /// Why the listing may not be everything; `None` when it is. Status `Warning`, never `Connected`.
    pub warning: Option<String>,
}

/// All tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagListing {
    /// Sorted, each once.
    pub tags: Vec<String>,
    /// Why the listing may not be everything.
    pub warning: Option<String>,
}

/// Lists every repository. A listing that is refused, empty, or stops half way is no error but a warning, unless
/// repositories were named by hand; being unable to reach the registry or to log in is an error.
///
/// # Errors
/// Those of the connection and the login; transient ones too, after the client's own retries.
pub async fn all_repositories(connector: &dyn Connector) -> Result<RepositoryListing> {
    let explicit = connector.explicit();
    let mut found: BTreeSet<String> = explicit.iter().cloned().collect();
    let (mut listed, mut invalid) = (0_usize, Vec::new());
    let mut warning = None;
    let mut cursor = None;
    loop {
        let page = match connector.repositories(cursor.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                warning = Some(refused_listing(connector, error, listed).await?);
                break;
            }
        };
        listed += page.repositories.len();
        found.extend(page.repositories);
        invalid.extend(page.invalid);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let host = connector.client().host();
    if warning.is_none() && listed == 0 {
        warning = Some(format!("{host} lists no repositories: name them explicitly if there are any"));
    }
    if !explicit.is_empty() && listed == 0 {
        // The list by hand is there for just that.
        warning = None;
    }
    if let Some(first) = invalid.first() {
        let more = format!("{} repositories have names that break the specification, such as {first:?}", invalid.len());
        warning = Some(join(warning, more));
    }
    Ok(RepositoryListing { repositories: found.into_iter().collect(), warning })
}

/// A refusal becomes a warning when the login itself is good; everything else stays an error.
async fn refused_listing(connector: &dyn Connector, error: Error, listed: usize) -> Result<String> {
    match error.kind {
        ErrorKind::Denied | ErrorKind::Unsupported | ErrorKind::NotFound if listed == 0 => {
            connector.client().ping().await?;
            Ok(format!("the list of repositories is refused ({error}): name them explicitly"))
        }
        ErrorKind::Denied
        | ErrorKind::Unsupported
        | ErrorKind::NotFound
        | ErrorKind::Malformed
        | ErrorKind::LimitExceeded
        | ErrorKind::Forbidden => Ok(format!("the list of repositories is incomplete after {listed}: {error}")),
        ErrorKind::Transient { .. }
        | ErrorKind::Conflict
        | ErrorKind::Mismatch
        | ErrorKind::Unreachable
        | ErrorKind::Untrusted
        | ErrorKind::Internal => Err(error),
    }
}

/// Lists every tag of a repository. Unlike repositories, a listing that stops half way is an error: a tag that is
/// missing from it would look deleted.
///
/// # Errors
/// Those of the connector.
pub async fn all_tags(connector: &dyn Connector, repository: &str) -> Result<TagListing> {
    let mut found = BTreeSet::new();
    let mut invalid = Vec::new();
    let mut cursor = None;
    loop {
        let page = connector.tags(repository, cursor.as_ref()).await?;
        found.extend(page.tags);
        invalid.extend(page.invalid);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let warning = invalid
        .first()
        .map(|first| format!("{} tags of {repository} break the specification, such as {first:?}", invalid.len()));
    Ok(TagListing { tags: found.into_iter().collect(), warning })
}

fn join(first: Option<String>, second: String) -> String {
    match first {
        Some(first) => format!("{first}; {second}"),
        None => second,
    }
}
