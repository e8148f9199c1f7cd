//! Committing the inventory of an image, and putting a stored one together again.
//!
//! A stored inventory is two parts: the package keys, interned and shared through sets, and a blob with everything
//! else, in which a package is its place in the list of keys sorted by hash. Invariant: (image, reader) has one
//! inventory, the one committed last; packages, sets and file hashes are only ever added.

use super::blobs::Prepared;
use super::columns::{bytes, detectors_key, get, micros, state_rank};
use super::failure::About as _;
use super::images::Reached;
use super::packages::{self, Interned, PackageSet};
use super::{SqliteStore, Tx};
use crate::packed::{from_json, json, pack, sha256, unpack};
use crate::types::InventoryCommit;
use crate::{Error, ErrorKind, Result};
use model::evidence::Evidence;
use model::job::{ImageState, Lease};
use model::{DetectorVersion, Digest, ImageInventory, Package, PackageKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of a file's digest is searchable.
pub(super) const PREFIX_BYTES: usize = 16;

/// Everything of an inventory but the keys of its packages.
#[derive(Serialize, Deserialize)]
struct Body {
    /// With no packages.
    inventory: ImageInventory,
    /// In the order of the inventory.
    packages: Vec<PackageBody>,
}

#[derive(Serialize, Deserialize)]
struct PackageBody {
    /// Place of the key in the list sorted by hash.
    key: usize,
    evidence: Vec<Evidence>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

/// What is to be written, worked out before the write lock is taken.
struct Plan {
    detectors: String,
    body: Vec<u8>,
    packages: Vec<Interned>,
    sets: Vec<PackageSet>,
    layers: Vec<LayerPlan>,
}

/// A [`Plan`] with the blob that holds its body.
pub(super) struct Packed {
    plan: Plan,
    body: Prepared,
}

struct LayerPlan {
    blob: Digest,
    /// Prefixes of the digests of its files, hexadecimal, sorted.
    prefixes: Vec<String>,
    /// Hash over them.
    hash: Digest,
}

impl SqliteStore {
    pub(super) async fn commit(&self, lease: &Lease, commit: &InventoryCommit<'_>, now: Timestamp) -> Result<()> {
        let packed = self.pack(commit).await?;
        let (mut tx, held) = self.fenced(lease).await?;
        held.must_be(commit.reader)?;
        self.write_inventory(&mut tx, commit, packed, now).await?;
        tx.commit().await.about("storing an inventory")
    }

    /// Works out what is to be written, before the write lock is taken.
    pub(super) async fn pack(&self, commit: &InventoryCommit<'_>) -> Result<Packed> {
        match commit.state {
            ImageState::Scanned | ImageState::Partial => {}
            ImageState::Pending | ImageState::Scanning | ImageState::Failed => {
                let text = format!("an inventory cannot leave an image {}", commit.state.as_str());
                return Err(Error::new(ErrorKind::Malformed, text));
            }
        }
        let (inventory, detectors) = (commit.inventory.clone(), detectors_key(commit.versions));
        let plan =
            tokio::task::spawn_blocking(move || plan(inventory, detectors)).await.about("packing an inventory")??;
        let body = self.blobs.prepare(plan.body.clone()).await?;
        Ok(Packed { plan, body })
    }

    /// Writes it for an image that is recorded.
    pub(super) async fn write_inventory(
        &self,
        tx: &mut Tx,
        commit: &InventoryCommit<'_>,
        packed: Packed,
        now: Timestamp,
    ) -> Result<()> {
        let Packed { plan, body } = packed;
        let reader = commit.reader.to_string();
        let image = super::images::find(tx, commit.image).await?;
        let reached = Reached { state: commit.state, reason: None, detectors: &plan.detectors };
        if let Some(settled) = settled(tx, image, &reader, (&plan, commit.state)).await? {
            if settled == ImageState::Partial {
                super::images::set_state(tx, image, &reader, &reached, now).await?;
            }
            return Ok(());
        }
        self.blobs.sweep(tx).await?;
        packages::intern(tx, &plan.packages).await?;
        packages::store_sets(tx, &plan.sets).await?;
        let body = self.blobs.insert(tx, &body).await?;
        self.drop_older(tx, image, &reader).await?;
        let id = insert(tx, (image, &reader, &plan.detectors, body), now).await?;
        packages::link_sets(tx, id, &plan.sets).await?;
        link_layers(tx, id, &plan.layers).await?;
        super::images::set_state(tx, image, &reader, &reached, now).await?;
        if commit.state == ImageState::Scanned {
            self.drop_old_facts(tx, &reader, &plan, commit.versions).await?;
        }
        super::judgements::mark_image(tx, image, &reader).await?;
        Ok(())
    }

    /// Removes facts of the image's layers that the same reader made with other detector versions: nobody asks for
    /// them any more. A layer of an image that is not read again yet is read again for that image all the same.
    async fn drop_old_facts(&self, tx: &mut Tx, reader: &str, plan: &Plan, versions: &[DetectorVersion]) -> Result<()> {
        let blobs: Vec<String> = plan.layers.iter().map(|layer| layer.blob.hex()).collect();
        let versions: Vec<(&str, &str)> = versions.iter().map(|v| (v.detector.as_str(), &*v.fingerprint)).collect();
        let old: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM layer_facts WHERE reader = ?2 AND blob IN (SELECT unhex(value) FROM json_each(?1))
               AND detector IN (SELECT value ->> 0 FROM json_each(?3))
               AND NOT EXISTS (SELECT 1 FROM json_each(?3) v
                               WHERE v.value ->> 0 = detector AND v.value ->> 1 = fingerprint)
             RETURNING blob_id",
        )
        .bind(json(&blobs)?)
        .bind(reader)
        .bind(json(&versions)?)
        .fetch_all(&mut **tx)
        .await
        .about("removing old facts")?;
        self.blobs.release(tx, &old).await
    }

    /// Removes what the same reader committed before, with its blob.
    async fn drop_older(&self, tx: &mut Tx, image: i64, reader: &str) -> Result<()> {
        let blobs: Vec<i64> =
            sqlx::query_scalar("DELETE FROM inventories WHERE image_id = ?1 AND reader = ?2 RETURNING blob_id")
                .bind(image)
                .bind(reader)
                .fetch_all(&mut **tx)
                .await
                .about("replacing an inventory")?;
        self.blobs.release(tx, &blobs).await
    }
}

/// Puts a stored inventory together. `keys` are the JSON of its package keys, sorted by hash.
pub(super) async fn assemble(packed: Vec<u8>, keys: Vec<String>) -> Result<ImageInventory> {
    let work = move || {
        let body: Body = unpack(&packed)?;
        let keys: Vec<PackageKey> = keys.iter().map(|text| from_json(text)).collect::<Result<_>>()?;
        let mut inventory = body.inventory;
        inventory.packages = body.packages.into_iter().map(|p| join(p, &keys)).collect::<Result<_>>()?;
        Ok(inventory)
    };
    tokio::task::spawn_blocking(work).await.about("unpacking an inventory")?
}

fn join(body: PackageBody, keys: &[PackageKey]) -> Result<Package> {
    let damaged = || Error::new(ErrorKind::Internal, "a stored inventory names a package that is not stored");
    let key = keys.get(body.key).ok_or_else(damaged)?.clone();
    Ok(Package { key, evidence: body.evidence, licenses: body.licenses, owner: body.owner })
}

fn plan(mut inventory: ImageInventory, detectors: String) -> Result<Plan> {
    let layers = plan_layers(&inventory);
    let found = std::mem::take(&mut inventory.packages);
    let mut by_hash = BTreeMap::new();
    let mut hashes = Vec::with_capacity(found.len());
    for package in &found {
        let interned = Interned::of(&package.key)?;
        hashes.push(interned.hash);
        by_hash.insert(interned.hash, interned);
    }
    let packages: Vec<Interned> = by_hash.into_values().collect();
    let place = |hash: &Digest| packages.binary_search_by(|p| p.hash.cmp(hash)).expect("every hash is in the list");
    let bodies = found.into_iter().zip(&hashes).map(|(p, hash)| PackageBody {
        key: place(hash),
        evidence: p.evidence,
        licenses: p.licenses,
        owner: p.owner,
    });
    let body = Body { packages: bodies.collect(), inventory };
    let sets = packages::cut(&packages);
    Ok(Plan { detectors, body: pack(&body)?, packages, sets, layers })
}

fn plan_layers(inventory: &ImageInventory) -> Vec<LayerPlan> {
    let mut prefixes: Vec<Vec<String>> = vec![Vec::new(); inventory.layers.len()];
    for file in &inventory.files {
        let layer = usize::try_from(file.layer).ok().and_then(|at| prefixes.get_mut(at));
        if let Some(layer) = layer {
            layer.extend(file.keys().map(|key| prefix(&key)));
        }
    }
    let plan = |(layer, mut prefixes): (&model::Layer, Vec<String>)| {
        prefixes.sort();
        prefixes.dedup();
        let hash = sha256(prefixes.concat().as_bytes());
        LayerPlan { blob: layer.blob, prefixes, hash }
    };
    inventory.layers.iter().zip(prefixes).map(plan).collect()
}

/// The searchable part of a digest, hexadecimal.
pub(super) fn prefix(digest: &Digest) -> String {
    let mut hex = digest.hex();
    hex.truncate(2 * PREFIX_BYTES);
    hex
}

/// The state of the stored inventory, when it says as much as this one. One that was read in part makes way for one
/// that was read whole, or in other parts.
async fn settled(tx: &mut Tx, image: i64, reader: &str, commit: (&Plan, ImageState)) -> Result<Option<ImageState>> {
    let (plan, state) = commit;
    let stored: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT s.state, b.hash FROM inventories v
         JOIN image_states s ON s.image_id = v.image_id AND s.reader = v.reader
         JOIN blobs b ON b.id = v.blob_id
         WHERE v.image_id = ?1 AND v.reader = ?2 AND v.detectors = ?3",
    )
    .bind(image)
    .bind(reader)
    .bind(&plan.detectors)
    .fetch_optional(&mut **tx)
    .await
    .about("reading inventories")?;
    let Some((rank, hash)) = stored else { return Ok(None) };
    let same = hash == bytes(&sha256(&plan.body));
    let says_as_much = rank < state_rank(state) || rank == state_rank(state) && (same || state == ImageState::Scanned);
    Ok(says_as_much.then_some(super::columns::state(rank)?))
}

async fn insert(tx: &mut Tx, row: (i64, &str, &str, i64), now: Timestamp) -> Result<i64> {
    let (image, reader, detectors, body) = row;
    sqlx::query_scalar(
        "INSERT INTO inventories (image_id, reader, detectors, blob_id, committed_at) VALUES (?1, ?2, ?3, ?4, ?5)
         RETURNING id",
    )
    .bind(image)
    .bind(reader)
    .bind(detectors)
    .bind(body)
    .bind(micros(now))
    .fetch_one(&mut **tx)
    .await
    .about("storing an inventory")
}

async fn link_layers(tx: &mut Tx, inventory: i64, layers: &[LayerPlan]) -> Result<()> {
    for (position, layer) in layers.iter().enumerate() {
        let row = sqlx::query(
            "INSERT INTO layers (blob) VALUES (?1) ON CONFLICT (blob) DO UPDATE SET blob = excluded.blob
             RETURNING id, hashes_hash",
        )
        .bind(bytes(&layer.blob))
        .fetch_one(&mut **tx)
        .await
        .about("storing layers")?;
        let id: i64 = get(&row, "id")?;
        sqlx::query("INSERT INTO image_layers (inventory_id, position, layer_id) VALUES (?1, ?2, ?3)")
            .bind(inventory)
            .bind(super::columns::number(position as u64))
            .bind(id)
            .execute(&mut **tx)
            .await
            .about("storing layers")?;
        if get::<Option<&[u8]>>(&row, "hashes_hash")? != Some(bytes(&layer.hash)) {
            store_hashes(tx, id, layer).await?;
        }
    }
    Ok(())
}

async fn store_hashes(tx: &mut Tx, layer_id: i64, layer: &LayerPlan) -> Result<()> {
    sqlx::query(
        "INSERT INTO file_hashes (prefix, layer_id) SELECT unhex(value), ?1 FROM json_each(?2) WHERE true
         ON CONFLICT DO NOTHING",
    )
    .bind(layer_id)
    .bind(json(&layer.prefixes)?)
    .execute(&mut **tx)
    .await
    .about("storing file hashes")?;
    sqlx::query("UPDATE layers SET hashes_hash = ?2 WHERE id = ?1")
        .bind(layer_id)
        .bind(bytes(&layer.hash))
        .execute(&mut **tx)
        .await
        .about("storing file hashes")?;
    Ok(())
}
