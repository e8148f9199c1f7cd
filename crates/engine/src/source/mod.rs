//! Images wherever they lie: a registry, an OCI layout (folder or archive), a `docker save` archive.
//!
//! Not here: reading layers. A source ends where a layer's bytes begin, verified by digest while they are read.

mod docker_archive;
mod oci_layout;
mod registry;
mod sbom;
mod tar_index;

pub use analyze::sbom::SbomLimits;
pub use sbom::{SbomDocument, read_sbom, read_sbom_file, sbom_file};

use crate::task::scan::LayerOpener;
use crate::{Error, ErrorKind, Result};
use analyze::decompress::{Caps, Decompressor};
use model::discovery::ResolvedImage;
use model::layer::{Descriptor, ImageIndex};
use model::registry::Credentials;
use model::{Digest, ImageRef, Platform};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where one or more images lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a registry.
    Registry(ImageRef),
    /// In an OCI image layout folder.
    OciFolder(PathBuf, Option<String>),
    /// In a tar archive of an OCI image layout, plain or gzip.
    OciArchive(PathBuf, Option<String>),
    /// In an archive that `docker save` wrote, plain or gzip.
    DockerArchive(PathBuf, Option<String>),
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        for (scheme, make) in SCHEMES {
            if let Some(rest) = text.strip_prefix(scheme) {
                let (path, tag) = split_tag(rest);
                if path.is_empty() {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        format!("{text:?} names no file: expected {scheme}PATH[:tag]"),
                    ));
                }
                return Ok(make(PathBuf::from(path), tag.map(str::to_owned)));
            }
        }
        text.parse()
            .map(Self::Registry)
            .map_err(|e: model::reference::ReferenceError| Error::new(ErrorKind::Usage, e.to_string()))
    }
}

/// A client of the registry that a reference names, with the login of the options or of the docker credential store.
///
/// # Errors
/// When the login or the certificate cannot be read.
pub async fn registry_client(image: &ImageRef, options: &OpenOptions) -> Result<remote::oci::RegistryClient> {
    registry::client(image, options).await
}

type Make = fn(PathBuf, Option<String>) -> Source;

const SCHEMES: [(&str, Make); 3] =
    [("oci:", Source::OciFolder), ("oci-archive:", Source::OciArchive), ("docker-archive:", Source::DockerArchive)];

/// `PATH[:tag]`: the tag is what follows the last colon, unless that names a file or could not be a tag. A tag of a
/// docker archive may be a whole reference (`alpine:3.10`), so a file's name decides where the path ends.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    if std::path::Path::new(text).exists() {
        return (text, None);
    }
    let mut cuts = text.match_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
    if let Some((path, tag)) = cuts.clone().find(|(path, tag)| !tag.is_empty() && std::path::Path::new(path).exists()) {
        return (path, Some(tag));
    }
    cuts.next_back()
        .filter(|(_, tag)| model::reference::is_tag(tag))
        .map_or((text, None), |(path, tag)| (path, Some(tag)))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, tag) = match self {
            Self::Registry(reference) => return fmt::Display::fmt(reference, f),
            Self::OciFolder(path, tag) => ("oci", path, tag),
            Self::OciArchive(path, tag) => ("oci-archive", path, tag),
            Self::DockerArchive(path, tag) => ("docker-archive", path, tag),
        };
        write!(f, "{scheme}:{}", path.display())?;
        match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

/// Which platforms of an index are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformChoice {
    /// The machine's own.
    Host,
    /// One by name.
    One(Platform),
    /// Every one.
    All,
}

/// How a source is reached.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Which platforms.
    pub platform: PlatformChoice,
    /// Speak HTTP to the registry.
    pub plain_http: bool,
    /// Do not verify the registry's certificate.
    pub skip_tls_verify: bool,
    /// Certificate authority to trust besides the system's, PEM.
    pub ca_certificate: Option<String>,
    /// Login; without one the docker credential store is asked.
    pub credentials: Option<Credentials>,
    /// `pratique/VERSION`.
    pub user_agent: String,
    /// Ceiling for temporary files, in bytes: a compressed archive is unpacked once to be read at random.
    pub spool_bytes_max: u64,
}

/// One image, ready to be read.
pub struct OpenImage {
    /// As the user named it.
    pub reference: String,
    /// Digest of the image manifest; `None` where the source has none (docker archives).
    pub digest: Option<Digest>,
    /// Manifest and configuration.
    pub resolved: ResolvedImage,
    /// Opens its layers.
    pub layers: Arc<dyn LayerOpener>,
}

impl fmt::Debug for OpenImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenImage")
            .field("reference", &self.reference)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Opens a source: manifests and configurations are read, layers are not.
///
/// # Errors
/// `Usage` when an archive holds several images and no tag says which; else what went wrong, with the thing.
pub async fn open(source: &Source, options: &OpenOptions) -> Result<Vec<OpenImage>> {
    let reference = source.to_string();
    match source {
        Source::Registry(image) => registry::open(image, options).await,
        Source::OciFolder(path, tag) => {
            let blobs = oci_layout::Folder::new(path.clone());
            oci_layout::open(Arc::new(blobs), tag.as_deref(), &reference, options)
        }
        Source::OciArchive(path, tag) => {
            let archive = open_archive(path, options).await?;
            oci_layout::open(Arc::new(archive), tag.as_deref(), &reference, options)
        }
        Source::DockerArchive(path, tag) => {
            let archive = open_archive(path, options).await?;
            let tag = tag.clone();
            tokio::task::spawn_blocking(move || docker_archive::open(Arc::new(archive), tag.as_deref(), &reference))
                .await
                .map_err(|e| Error::because(ErrorKind::Internal, "opening the archive was cut off", e))?
        }
    }
}

async fn open_archive(path: &std::path::Path, options: &OpenOptions) -> Result<tar_index::TarIndex> {
    let (path, max) = (path.to_path_buf(), options.spool_bytes_max);
    tokio::task::spawn_blocking(move || tar_index::TarIndex::open(&path, max))
        .await
        .map_err(|e| Error::because(ErrorKind::Internal, "opening the archive was cut off", e))?
}

/// Reads bytes that may be packed with gzip or zstd; at most `bytes_max` come out.
pub(crate) fn unpacked<R: Read>(input: R, bytes_max: u64) -> io::Result<impl Read> {
    let caps = Caps { bytes_max, ..Caps::archive(&analyze::Limits::default()) };
    Decompressor::new(input, caps).map_err(|(stop, _)| io::Error::from(stop))
}

/// The platform of the machine, in the words of an index.
pub fn host_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
}

/// Which members of an index are opened.
fn choose<'a>(index: &'a ImageIndex, choice: &PlatformChoice, reference: &str) -> Result<Vec<&'a Descriptor>> {
    let images = index.manifests.iter().filter(|m| remote::oci::index_member_artifact(m).is_none());
    let images: Vec<&Descriptor> = images.collect();
    let wanted = match choice {
        PlatformChoice::All => return Ok(images),
        PlatformChoice::Host => host_platform(),
        PlatformChoice::One(platform) => platform.clone(),
    };
    let fits = |member: &&&Descriptor| member.platform.as_ref().is_some_and(|p| p.serves(&wanted));
    match images.iter().find(fits) {
        Some(member) => Ok(vec![*member]),
        None => {
            let offered: Vec<String> =
                images.iter().filter_map(|m| m.platform.as_ref()).map(ToString::to_string).collect();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            Err(Error::new(
                ErrorKind::NotFound,
                format!("{reference} has no image for {wanted}; it offers: {offered} (choose with --platform)"),
            ))
        }
    }
}

/// A single image does not offer a choice, but must not be taken for another platform's.
fn check_platform(resolved: &ResolvedImage, choice: &PlatformChoice, reference: &str) -> Result<()> {
    match choice {
        PlatformChoice::One(wanted)
            if !resolved.platform.architecture.is_empty() && !resolved.platform.serves(wanted) =>
        {
            Err(Error::new(
                ErrorKind::NotFound,
                format!("{reference} is an image for {}, not for {wanted}", resolved.platform),
            ))
        }
        PlatformChoice::One(_) | PlatformChoice::Host | PlatformChoice::All => Ok(()),
    }
}

/// Fails at its end when the bytes are not what digest and size say.
struct Verified<R> {
    inner: R,
    hasher: Sha256,
    digest: Digest,
    left: u64,
}

impl<R: Read> Verified<R> {
    fn new(inner: R, digest: Digest, bytes: u64) -> Self {
        Self { inner, hasher: Sha256::new(), digest, left: bytes }
    }

    fn finish(&mut self) -> io::Result<usize> {
        let actual = Digest::from_bytes(self.hasher.clone().finalize().into());
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if self.left != 0 {
            return wrong(format!("the blob {} ends {} bytes too early", self.digest, self.left));
        }
        if actual != self.digest {
            return wrong(format!("the blob {} has the digest {actual}", self.digest));
        }
        Ok(0)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.left == 0 {
            return if buffer.is_empty() { Ok(0) } else { self.finish() };
        }
        let read = self.inner.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            return self.finish();
        }
        self.hasher.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_from_text() {
        let check = |text: &str, expect: &str| {
            assert_eq!(text.parse::<Source>().map(|s| format!("{s:?}")).unwrap_or_else(|e| e.to_string()), expect);
        };
        check("oci:/no/such:v1", "OciFolder(\"/no/such\", Some(\"v1\"))");
        check("docker-archive:/no/such.tar", "DockerArchive(\"/no/such.tar\", None)");
        check("oci:", "\"oci:\" names no file: expected oci:PATH[:tag]");
        assert!(matches!("alpine:3.10".parse(), Ok(Source::Registry(_))));
    }

    #[test]
    fn verified_reader_fails_on_other_bytes() {
        let bytes = b"layer".to_vec();
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let read = |content: &[u8], size| {
            let mut out = Vec::new();
            Verified::new(content, digest, size).read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(read(&bytes, 5).unwrap(), bytes);
        assert!(read(b"layeR", 5).unwrap_err().to_string().contains("has the digest"));
        assert!(read(b"lay", 5).unwrap_err().to_string().contains("too early"));
    }
}
