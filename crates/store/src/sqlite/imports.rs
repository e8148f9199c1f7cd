//! Inventories that people hand in, in the place of images that somebody read.
//!
//! Invariant: tag, description and inventory of an import are written together or not at all, and go the same way as
//! those that are read: judged, counted and listed alike.

use super::SqliteStore;
use super::failure::About as _;
use super::fence::Held;
use crate::Result;
use crate::types::{Import, InventoryCommit, ResolvedContent, ResolvedManifest, SeenTag};
use model::job::ImageState;
use model::{Reader, Timestamp};

impl SqliteStore {
    pub(super) async fn import(&self, import: &Import<'_>, by: &str, now: Timestamp) -> Result<()> {
        let image = &import.image.digest;
        let reader = Reader::Server;
        let commit = InventoryCommit {
            image,
            reader: &reader,
            inventory: import.inventory,
            versions: &import.inventory.detectors,
            state: ImageState::Scanned,
        };
        let packed = self.pack(&commit).await?;
        let mut tx = self.write().await?;
        let registry = import.registry.get();
        let mut seen: Vec<SeenTag> = Vec::new();
        for known in super::tags::known(&mut tx, registry, import.repository).await? {
            if known.tag != import.tag {
                let (tag, digest, wanted, why_not) = (known.tag, known.digest, known.wanted, known.why_not);
                seen.push(SeenTag { tag, digest, wanted, why_not });
            }
        }
        seen.push(SeenTag { tag: import.tag.to_owned(), digest: *image, wanted: true, why_not: None });
        super::tags::record(&mut tx, registry, import.repository, &seen, now).await?;
        let manifest = ResolvedManifest {
            digest: *image,
            media_type: import.media_type.to_owned(),
            content: ResolvedContent::Image { image: Box::new(import.image.clone()) },
        };
        // No job and no token: nothing below looks at them, and no lease can be stale where there is none.
        let held = Held { job: 0, token: 0, registry, reader: reader.to_string() };
        super::manifests::record(&mut tx, &held, import.repository, &manifest, now).await?;
        self.write_inventory(&mut tx, &commit, packed, now).await?;
        let detail = format!("{}:{} {image}", import.repository, import.tag);
        super::intents::write_audit(&mut tx, now, by, "sbom.import", &detail).await?;
        tx.commit().await.about("importing an inventory")
    }
}
