//! Matches per distinct package, and what a change of intelligence touches.

use super::blobs::{Prepared, Stored};
use super::columns::{bytes, digest_at, get, hexes_json, json_at, number};
use super::failure::About as _;
use super::inventory::prefix;
use super::judgements::{Marked, mark};
use super::packages::{fold, hash_of};
use super::{SqliteStore, Tx};
use crate::Result;
use crate::packed::{json, pack, sha256, unpack};
use crate::traits::Matches;
use crate::types::PackageChanges;
use async_trait::async_trait;
use model::id::kind;
use model::{Digest, EcosystemRelease, Id, Match, PackageKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Changed names per statement.
const NAMES_PER_STATEMENT: usize = 5_000;

/// Digests per statement.
const DIGESTS_PER_STATEMENT: usize = 20_000;

#[async_trait]
impl Matches for SqliteStore {
    async fn packages_to_match(&self, limit: u32) -> Result<Vec<(Id<kind::Package>, PackageKey)>> {
        let rows = sqlx::query("SELECT id, key FROM packages WHERE stale = 1 ORDER BY id LIMIT ?1")
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .about("listing packages to match")?;
        rows.iter().map(|row| Ok((Id::new(get(row, "id")?), json_at(row, "key")?))).collect()
    }

    async fn put_matches(&self, generation: u64, rows: &[(Id<kind::Package>, Vec<Match>)]) -> Result<u64> {
        let mut prepared = Vec::with_capacity(rows.len());
        for (id, found) in rows {
            let hash = sha256(json(found)?.as_bytes());
            let blob = if found.is_empty() { None } else { Some(self.blobs.prepare_small(pack(found)?).await?) };
            prepared.push(NewMatches { package: id.get(), hash, count: found.len(), blob });
        }
        let mut tx = self.write().await?;
        let known = known(&mut tx, &prepared).await?;
        let mut differ = Vec::new();
        for new in &prepared {
            if self.put_one(&mut tx, number(generation), new, known.get(&new.package)).await? {
                differ.push(new.package);
            }
        }
        mark(&mut tx, &Marked::Packages(&differ)).await?;
        tx.commit().await.about("storing matches")?;
        Ok(differ.len() as u64)
    }

    async fn touch_packages(&self, changes: &PackageChanges) -> Result<u64> {
        let mut tx = self.write().await?;
        let touched = match changes {
            PackageChanges::All => {
                let done = sqlx::query("UPDATE packages SET stale = 1").execute(&mut *tx).await;
                done.about("touching packages")?.rows_affected()
            }
            PackageChanges::Names(names) => {
                let mut touched = 0;
                for names in names.chunks(NAMES_PER_STATEMENT) {
                    touched += touch_names(&mut tx, names).await?;
                }
                touched
            }
        };
        tx.commit().await.about("touching packages")?;
        Ok(touched)
    }

    async fn touch_hashes(&self, digests: &[Digest]) -> Result<u64> {
        let mut tx = self.write().await?;
        let mut images = Vec::new();
        for digests in digests.chunks(DIGESTS_PER_STATEMENT) {
            images.extend(images_with(&mut tx, digests).await?);
        }
        images.sort_unstable();
        images.dedup();
        mark(&mut tx, &Marked::Images(&images)).await?;
        tx.commit().await.about("touching images")?;
        let mut distinct: Vec<i64> = images.into_iter().map(|(image, _)| image).collect();
        distinct.dedup();
        Ok(distinct.len() as u64)
    }

    async fn matches(&self, keys: &[PackageKey]) -> Result<Vec<(PackageKey, Arc<[Match]>)>> {
        let mut by_hash = BTreeMap::new();
        for key in keys {
            by_hash.insert(hash_of(key)?, key);
        }
        let rows = sqlx::query(
            "SELECT p.hash AS package, m.count, b.hash, b.content FROM json_each(?1) j
             CROSS JOIN packages p ON p.hash = unhex(j.value)
             JOIN matches m ON m.package_id = p.id
             LEFT JOIN blobs b ON b.id = m.blob_id",
        )
        .bind(hexes_json(by_hash.keys())?)
        .fetch_all(&self.readers)
        .await
        .about("reading matches")?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(key) = by_hash.get(&digest_at(row, "package")?) else { continue };
            let matches: Vec<Match> = if get::<i64>(row, "count")? == 0 {
                Vec::new()
            } else {
                unpack(&self.blobs.load(Stored::of(row)?).await?)?
            };
            found.push(((*key).clone(), Arc::from(matches)));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    async fn judged_generation(&self) -> Result<Option<u64>> {
        let found: Option<i64> = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'judged_generation'")
            .fetch_optional(&self.readers)
            .await
            .about("reading the generation")?;
        found.map(super::columns::count).transpose()
    }

    async fn set_judged_generation(&self, generation: u64) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO counters (name, value) VALUES ('judged_generation', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(number(generation))
        .execute(&mut *tx)
        .await
        .about("recording the generation")?;
        tx.commit().await.about("recording the generation")
    }
}

struct NewMatches {
    package: i64,
    hash: Digest,
    count: usize,
    /// `None` for no matches.
    blob: Option<Prepared>,
}

struct KnownMatches {
    generation: i64,
    hash: Digest,
    blob: Option<i64>,
}

impl SqliteStore {
    /// Stores the matches of one package unless newer ones are there. Returns whether they differ; a package that
    /// had none and gets none does not.
    async fn put_one(
        &self,
        tx: &mut Tx,
        generation: i64,
        new: &NewMatches,
        known: Option<&KnownMatches>,
    ) -> Result<bool> {
        if known.is_some_and(|k| k.generation > generation) {
            return Ok(false);
        }
        let same = known.filter(|k| k.hash == new.hash);
        let blob = match (&new.blob, same) {
            (None, _) => None,
            (Some(_), Some(known)) => known.blob,
            (Some(prepared), None) => Some(self.blobs.insert(tx, prepared).await?),
        };
        sqlx::query(
            "INSERT INTO matches (package_id, generation, hash, count, blob_id) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (package_id) DO UPDATE SET generation = excluded.generation, hash = excluded.hash,
                 count = excluded.count, blob_id = excluded.blob_id",
        )
        .bind(new.package)
        .bind(generation)
        .bind(bytes(&new.hash))
        .bind(number(new.count as u64))
        .bind(blob)
        .execute(&mut **tx)
        .await
        .about("storing matches")?;
        sqlx::query("UPDATE packages SET stale = 0 WHERE id = ?1")
            .bind(new.package)
            .execute(&mut **tx)
            .await
            .about("storing matches")?;
        if same.is_some() {
            return Ok(false);
        }
        let old: Vec<i64> = known.and_then(|k| k.blob).into_iter().collect();
        self.blobs.release(tx, &old).await?;
        Ok(known.is_some() || new.count > 0)
    }
}

async fn known(tx: &mut Tx, rows: &[NewMatches]) -> Result<BTreeMap<i64, KnownMatches>> {
    let ids: Vec<i64> = rows.iter().map(|r| r.package).collect();
    let rows = sqlx::query(
        "SELECT package_id, generation, hash, blob_id FROM matches
         WHERE package_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&ids)?)
    .fetch_all(&mut **tx)
    .await
    .about("storing matches")?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let known = KnownMatches {
            generation: get(row, "generation")?,
            hash: digest_at(row, "hash")?,
            blob: get(row, "blob_id")?,
        };
        found.insert(get(row, "package_id")?, known);
    }
    Ok(found)
}

/// A release with a suffix (`22.04:LTS`) is no release that packages carry: the whole ecosystem's packages of that
/// name are touched.
fn plain_release(release: &EcosystemRelease) -> Option<String> {
    release.release.as_ref().filter(|r| !r.contains(':')).map(|_| release.to_string())
}

async fn touch_names(tx: &mut Tx, names: &[(EcosystemRelease, String)]) -> Result<u64> {
    let row = |(at, name): &(EcosystemRelease, String)| (at.ecosystem.to_string(), plain_release(at), fold(name));
    let rows: Vec<_> = names.iter().map(row).collect();
    let done = sqlx::query(
        "WITH changed (base, ecosystem, name) AS MATERIALIZED (
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
         UPDATE packages SET stale = 1 WHERE id IN (
             SELECT p.id FROM changed c CROSS JOIN packages p ON p.base = c.base AND p.name = c.name
             WHERE c.ecosystem IS NULL OR c.ecosystem = p.ecosystem
             UNION
             SELECT p.id FROM changed c CROSS JOIN packages p ON p.base = c.base AND p.source = c.name
             WHERE p.source IS NOT NULL AND (c.ecosystem IS NULL OR c.ecosystem = p.ecosystem))",
    )
    .bind(json(&rows)?)
    .execute(&mut **tx)
    .await
    .about("touching packages")?;
    Ok(done.rows_affected())
}

/// The (image, reader) pairs whose layers have a file with one of these digests.
async fn images_with(tx: &mut Tx, digests: &[Digest]) -> Result<Vec<(i64, String)>> {
    let prefixes: Vec<String> = digests.iter().map(prefix).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT v.image_id, v.reader FROM json_each(?1) j
         CROSS JOIN file_hashes h ON h.prefix = unhex(j.value)
         CROSS JOIN image_layers l ON l.layer_id = h.layer_id
         CROSS JOIN inventories v ON v.id = l.inventory_id",
    )
    .bind(json(&prefixes)?)
    .fetch_all(&mut **tx)
    .await
    .about("looking for file hashes")?;
    rows.iter().map(|row| Ok((get(row, "image_id")?, get(row, "reader")?))).collect()
}
