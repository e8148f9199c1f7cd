//! Any registry that speaks the distribution API and lists its repositories at `/v2/_catalog`.

use super::Connector;
use crate::oci::{Cursor, RegistryClient, RepositoryPage, TagPage};
use crate::{Error, ErrorKind, Result};
use async_trait::async_trait;
use model::reference::is_repository;

/// The connector of Docker V2 compliant registries.
#[derive(Debug)]
pub struct DockerV2 {
    client: RegistryClient,
    explicit: Vec<String>,
}

impl DockerV2 {
    /// For one registry; `explicit` are repositories named by hand, added to what the catalogue lists.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for an explicit name that is none.
    pub fn new(client: RegistryClient, explicit: Vec<String>) -> Result<Self> {
        match explicit.iter().find(|name| !is_repository(name)) {
            Some(bad) => Err(Error::new(ErrorKind::Malformed, format!("{bad:?} is not the name of a repository"))),
            None => Ok(Self { client, explicit }),
        }
    }
}

#[async_trait]
impl Connector for DockerV2 {
    fn client(&self) -> &RegistryClient {
        &self.client
    }

    fn explicit(&self) -> &[String] {
        &self.explicit
    }

    async fn repositories(&self, cursor: Option<&Cursor>) -> Result<RepositoryPage> {
        self.client.repositories(cursor).await
    }

    async fn tags(&self, repository: &str, cursor: Option<&Cursor>) -> Result<TagPage> {
        self.client.tags(repository, cursor).await
    }
}
