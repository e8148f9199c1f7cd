//! Takes bills of materials that people hand in, in the place of images that a worker reads.
//!
//! Not here: understanding documents (`analyze::sbom`), transport. Invariant: an import is judged like an image, and its
//! gaps say what no document can tell; its facts never serve an image that a registry has, because the digest is the
//! document's own.

use crate::source::SbomDocument;
use crate::workplace::local::Office;
use crate::{Error, ErrorKind, Result};
use model::discovery::ResolvedImage;
use model::id::kind;
use model::reference::{is_repository, is_tag};
use model::registry::{InitialScan, RegistryConfig, RegistryKind, RegistryStatus, ScanMode, ScopeGlobs};
use model::{Detector, Digest, Id, Scope};
use store::types::Import;

/// The registry instance that holds imports: switched off, so that nothing is discovered or pulled.
pub const REGISTRY_NAME: &str = "bills-of-materials";

/// Its address leads nowhere (RFC 6761, section 6.4).
const REGISTRY_URL: &str = "bills-of-materials.invalid";

/// A document and the name that it gets.
#[derive(Debug, Clone, Copy)]
pub struct SbomImport<'a> {
    /// What was handed in.
    pub document: &'a SbomDocument,
    /// The repository that it is shown under.
    pub repository: &'a str,
    /// The tag; it moves when it was there.
    pub tag: &'a str,
    /// Who hands it in.
    pub by: &'a str,
}

/// Stores a document's inventory, and wakes the evaluation. Returns the digest that it is shown under.
///
/// # Errors
/// `Malformed` when the name is none; else when the store fails.
pub async fn sbom(office: &Office, import: &SbomImport<'_>) -> Result<Digest> {
    if !is_repository(import.repository) {
        let rule = "lower-case letters, digits and single separators . _ - /";
        return Err(Error::new(ErrorKind::Malformed, format!("repository {:?}: expected {rule}", import.repository)));
    }
    if !is_tag(import.tag) {
        let rule = "1 to 128 letters, digits, '_', '.' and '-'";
        return Err(Error::new(ErrorKind::Malformed, format!("tag {:?}: expected {rule}", import.tag)));
    }
    let registry = registry(office, import.by).await?;
    let SbomDocument { sbom, digest } = import.document;
    let inventory = analyze::sbom::inventory(sbom, office.tools.current().version(Detector::Packages));
    let image = ResolvedImage {
        digest: *digest,
        config_digest: *digest,
        platform: inventory.configuration.platform(),
        configuration: inventory.configuration.clone(),
        layers: Vec::new(),
        why_not: None,
    };
    let media_type = format!("{} {}", sbom.format, sbom.version);
    let row = Import {
        registry,
        repository: import.repository,
        tag: import.tag,
        image: &image,
        media_type: &media_type,
        inventory: &inventory,
    };
    office.store.import_inventory(&row, import.by, office.clock.now()).await?;
    office.evaluation_wanted.notify_one();
    Ok(*digest)
}

/// The registry instance of imports, made on first use.
async fn registry(office: &Office, by: &str) -> Result<Id<kind::Registry>> {
    let known = office.store.registries(&Scope::All).await?;
    if let Some(found) = known.iter().find(|registry| registry.config.name == REGISTRY_NAME) {
        if found.config.url != REGISTRY_URL {
            let text = format!("a registry is called {REGISTRY_NAME}, the name that imports are kept under: rename it");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        return Ok(found.id);
    }
    let config = RegistryConfig {
        name: REGISTRY_NAME.to_owned(),
        kind: RegistryKind::DockerV2,
        url: REGISTRY_URL.to_owned(),
        ca_certificate: None,
        plain_http: false,
        skip_tls_verify: false,
        repositories: Vec::new(),
        scan_mode: ScanMode::Cloud,
        agent_group: None,
        initial_scan: InitialScan::All,
        scope: ScopeGlobs::default(),
        platforms: Vec::new(),
        newest_per_repository: None,
        schedule_seconds: 3600,
        enabled: false,
    };
    let added = office.store.add_registry(&config, None, by, office.clock.now()).await?;
    let reason = "holds bills of materials that were handed in; nothing is discovered";
    office.store.set_registry_status(added.id, RegistryStatus::Disabled, reason, None).await?;
    Ok(added.id)
}
