//! Leased work: what workers and agents take, and the token that fences late writers out.

use crate::id::kind;
use crate::{Digest, Id, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is to be done. `(kind, key)` is unique among live jobs, so asking twice does nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobWork {
    /// List a registry's repositories and tags.
    Discover {
        /// The registry.
        registry: Id<kind::Registry>,
    },
    /// Fetch what a tag points at: index, manifests and configurations.
    Resolve {
        /// The registry.
        registry: Id<kind::Registry>,
        /// Where to pull from.
        repository: String,
        /// What the tag pointed at.
        digest: Digest,
    },
    /// Read one image's layers.
    Scan {
        /// The registry.
        registry: Id<kind::Registry>,
        /// Where to pull from.
        repository: String,
        /// The image manifest.
        digest: Digest,
    },
}

impl JobWork {
    /// The kind's name in tables.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Discover { .. } => "discover",
            Self::Resolve { .. } => "resolve",
            Self::Scan { .. } => "scan",
        }
    }

    /// What makes two jobs the same.
    pub fn key(&self) -> String {
        match self {
            Self::Discover { registry } => registry.to_string(),
            Self::Resolve { registry, repository, digest } => format!("{registry}/{repository}@{digest}"),
            // A core image is read once per reader, wherever it is found: the queue adds the reader.
            Self::Scan { digest, .. } => digest.to_string(),
        }
    }

    /// The registry that it is about.
    pub const fn registry(&self) -> Id<kind::Registry> {
        match self {
            Self::Discover { registry } | Self::Resolve { registry, .. } | Self::Scan { registry, .. } => *registry,
        }
    }
}

/// A job that one holder may work on until the deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub job: Id<kind::Job>,
    /// What is to be done.
    pub work: JobWork,
    /// Grows with every lease of the job: a write with an older token is refused and counted.
    pub token: FencingToken,
    /// Until then, unless extended.
    pub deadline: Timestamp,
    /// How often it was tried before.
    pub attempts: u32,
}

/// Proof of holding a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub i64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How far a core image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// Known, not read.
    Pending,
    /// Being read.
    Scanning,
    /// Read, every detector.
    Scanned,
    /// Read, with gaps that a retry may close.
    Partial,
    /// Could not be read; the reason stands beside it.
    Failed,
}

impl ImageState {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scanning => "scanning",
            Self::Scanned => "scanned",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// How the work on a lease ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum JobOutcome {
    /// Done.
    Done,
    /// Try again.
    Retry {
        /// Not before.
        after: Timestamp,
        /// Why, for people.
        error: String,
    },
    /// Given up.
    Failed {
        /// Why, for people.
        error: String,
    },
}

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "claim", rename_all = "kebab-case")]
pub enum BlobClaim {
    /// Ours until the job's lease ends: read it.
    Claimed,
    /// Someone else is reading it; ask again after this moment at the latest.
    HeldUntil {
        /// The end of the holder's lease.
        until: Timestamp,
    },
}
