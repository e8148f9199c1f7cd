//! Names of images: what a user types ([`ImageRef`]) and what a worker may read ([`PinnedImage`]).

use crate::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `[registry/]repository[:tag][@digest]`, with Docker's defaults filled in.
///
/// A tag is only where content was found at a moment; the digest is the content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// `host[:port]`; `docker.io` when the text named none.
    pub registry: String,
    /// Path of the repository, such as `library/alpine`.
    pub repository: String,
    /// The tag; `latest` when the text named neither tag nor digest.
    pub tag: Option<String>,
    /// The digest, when the text pins one.
    pub digest: Option<Digest>,
}

/// Why a text does not name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for ImageRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let fail = |reason| ReferenceError { text: text.chars().take(300).collect(), reason };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                (name, Some(digest.parse().map_err(|_| fail("the digest is not sha256:<64 hex digits>"))?))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fail("a tag has 1 to 128 letters, digits, '_', '.' and '-'"));
        }
        let (registry, repository) = split_registry(name);
        if !is_registry(&registry) {
            return Err(fail("the registry is not host[:port]"));
        }
        if !is_repository(&repository) {
            return Err(fail("a repository has lower-case letters, digits and single separators . _ - /"));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// The registry that a bare name means.
pub const DOCKER_HUB: &str = "docker.io";

fn split_registry(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" || host.starts_with('[') => {
            let host = match host {
                "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
                host => host,
            };
            let official = host == DOCKER_HUB && !rest.contains('/');
            (host.to_owned(), if official { format!("library/{rest}") } else { rest.to_owned() })
        }
        Some(_) => (DOCKER_HUB.to_owned(), name.to_owned()),
        None => (DOCKER_HUB.to_owned(), format!("library/{name}")),
    }
}

/// `host`, `host:port`, `[v6]:port`.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    !host.is_empty()
        && text.len() <= 255
        && host.bytes().all(plain)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The grammar of the distribution specification, "Pulling manifests": `<name>`.
pub fn is_repository(text: &str) -> bool {
    let component = |part: &str| {
        let bytes = part.as_bytes();
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
    };
    text.len() <= 255 && text.split('/').all(component)
}

/// The grammar of the distribution specification for `<reference>` as a tag.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// One platform's manifest, by content. After resolution, nothing accepts an [`ImageRef`] any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PinnedImage {
    /// Path of the repository it can be pulled from.
    pub repository: String,
    /// Digest of the image manifest (never of an index).
    pub manifest: Digest,
    /// What it runs on.
    pub platform: Platform,
}

/// `os/architecture[/variant]` in Go's words, as the OCI image index spells them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Does this (what an index offers) serve a request for `wanted`? A request without a variant takes any.
    pub fn serves(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match parts.as_slice() {
            [os, architecture, variant @ ..] if variant.len() <= 1 && parts.iter().all(word) => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: variant.first().map(|v| (*v).to_owned()),
            }),
            _ => Err(format!("{text:?} is not a platform: expected os/architecture or os/architecture/variant")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_take_docker_defaults() {
        let check = |input: &str, expect: &str| {
            assert_eq!(
                input.parse::<ImageRef>().map(|r| r.to_string()).unwrap_or_else(|e| e.reason.to_owned()),
                expect
            );
        };
        check("alpine", "docker.io/library/alpine:latest");
        check("grafana/grafana:9", "docker.io/grafana/grafana:9");
        check("docker.io/alpine", "docker.io/library/alpine:latest");
        check("localhost/a", "localhost/a:latest");
        check("127.0.0.1:5000/team/app:1.0", "127.0.0.1:5000/team/app:1.0");
        check("[::1]:5000/app", "[::1]:5000/app:latest");
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("quay.io/a/b@{digest}"), &format!("quay.io/a/b@{digest}"));
        check(&format!("quay.io/a/b:1@{digest}"), &format!("quay.io/a/b:1@{digest}"));
        check("Alpine", "a repository has lower-case letters, digits and single separators . _ - /");
        check("a:b c", "a tag has 1 to 128 letters, digits, '_', '.' and '-'");
        check("host:99999/a", "the registry is not host[:port]");
        check("", "a repository has lower-case letters, digits and single separators . _ - /");
    }

    #[test]
    fn platform_without_variant_takes_any() {
        let offered: Platform = "linux/arm/v7".parse().unwrap();
        assert!(offered.serves(&"linux/arm".parse().unwrap()));
        assert!(!offered.serves(&"linux/arm/v6".parse().unwrap()));
        assert!("linux".parse::<Platform>().is_err());
    }
}
