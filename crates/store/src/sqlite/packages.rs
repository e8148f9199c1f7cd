//! Interned packages and the sets that images share.
//!
//! Packages of an image are sorted by the hash of their key and cut after each whose hash ends in six zero bits, so
//! that one more package changes one set of about 64 and leaves the others as they are. Evidence is never in a set.

use super::Tx;
use super::columns::{bytes, hexes_json};
use super::failure::About as _;
use crate::Result;
use crate::packed::{json, sha256};
use model::{Digest, Ecosystem, EcosystemRelease, PackageFormat, PackageKey};
use std::collections::BTreeSet;

/// Cut where the last byte of the hash has none of these bits: one in 64.
const CUT_MASK: u8 = 0x3f;

/// No set is larger.
const SET_MAX: usize = 512;

/// A package key ready for its row.
#[derive(Debug, Clone)]
pub(super) struct Interned {
    /// SHA-256 of the key's JSON: everything that a verdict needs is in it.
    pub(super) hash: Digest,
    key: String,
    ecosystem: Option<String>,
    base: Option<String>,
    name: String,
    source: Option<String>,
}

/// A run of packages that images share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageSet {
    hash: Digest,
    members: Vec<Digest>,
}

impl Interned {
    pub(super) fn of(key: &PackageKey) -> Result<Self> {
        let text = json(key)?;
        // Also software whose name has no advisories yet: a later version of the program may know it.
        let unlisted = || (key.format == PackageFormat::Generic).then_some(EcosystemRelease::of(Ecosystem::Generic));
        let ecosystem = key.ecosystem().or_else(unlisted);
        Ok(Self {
            hash: sha256(text.as_bytes()),
            base: ecosystem.as_ref().map(|e| e.ecosystem.to_string()),
            ecosystem: ecosystem.as_ref().map(EcosystemRelease::to_string),
            name: fold(&key.name),
            source: key.source.as_ref().map(|s| fold(&s.name)),
            key: text,
        })
    }
}

/// The hash of a key.
pub(super) fn hash_of(key: &PackageKey) -> Result<Digest> {
    Ok(sha256(json(key)?.as_bytes()))
}

/// The name by which intelligence touches a package: ecosystems disagree about case and about `-`, `_` and `.`
/// (PEP 503), and touching one package too many costs only a comparison.
pub(super) fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Cuts packages that are sorted by hash into sets.
pub(super) fn cut(packages: &[Interned]) -> Vec<PackageSet> {
    let mut sets = Vec::new();
    let mut members: Vec<Digest> = Vec::new();
    for package in packages {
        members.push(package.hash);
        let last = package.hash.as_bytes().last().copied().unwrap_or_default();
        if last & CUT_MASK == 0 || members.len() == SET_MAX {
            sets.push(PackageSet::of(std::mem::take(&mut members)));
        }
    }
    if !members.is_empty() {
        sets.push(PackageSet::of(members));
    }
    sets
}

impl PackageSet {
    fn of(members: Vec<Digest>) -> Self {
        let joined: Vec<u8> = members.iter().flat_map(|m| *m.as_bytes()).collect();
        Self { hash: sha256(&joined), members }
    }
}

/// Makes the rows of packages that have none.
pub(super) async fn intern(tx: &mut Tx, packages: &[Interned]) -> Result<()> {
    let hashes = hexes_json(packages.iter().map(|p| &p.hash))?;
    let known: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT p.hash FROM json_each(?1) j CROSS JOIN packages p ON p.hash = unhex(j.value)")
            .bind(hashes)
            .fetch_all(&mut **tx)
            .await
            .about("interning packages")?;
    let known: BTreeSet<Vec<u8>> = known.into_iter().collect();
    let row = |p: &Interned| {
        (p.hash.hex(), p.key.clone(), p.ecosystem.clone(), p.base.clone(), p.name.clone(), p.source.clone())
    };
    let rows: Vec<_> = packages.iter().filter(|p| !known.contains(bytes(&p.hash))).map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO packages (hash, key, ecosystem, base, name, source)
         SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
         FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(json(&rows)?)
    .execute(&mut **tx)
    .await
    .about("interning packages")?;
    Ok(())
}

/// Makes the rows of sets that have none, with their members, which must be interned.
pub(super) async fn store_sets(tx: &mut Tx, sets: &[PackageSet]) -> Result<()> {
    let made: Vec<Vec<u8>> = sqlx::query_scalar(
        "INSERT INTO package_sets (hash) SELECT unhex(value) FROM json_each(?1) WHERE true
         ON CONFLICT DO NOTHING RETURNING hash",
    )
    .bind(hexes_json(sets.iter().map(|s| &s.hash))?)
    .fetch_all(&mut **tx)
    .await
    .about("storing package sets")?;
    let made: BTreeSet<Vec<u8>> = made.into_iter().collect();
    let mut members = Vec::new();
    for set in sets.iter().filter(|s| made.contains(bytes(&s.hash))) {
        members.extend(set.members.iter().map(|m| (set.hash.hex(), m.hex())));
    }
    if members.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO package_set_members (set_id, package_id)
         SELECT s.id, p.id FROM json_each(?1) j
         CROSS JOIN package_sets s ON s.hash = unhex(j.value ->> 0)
         CROSS JOIN packages p ON p.hash = unhex(j.value ->> 1) WHERE true
         ON CONFLICT DO NOTHING",
    )
    .bind(json(&members)?)
    .execute(&mut **tx)
    .await
    .about("storing package sets")?;
    Ok(())
}

/// Lets an inventory refer to its sets, in order.
pub(super) async fn link_sets(tx: &mut Tx, inventory: i64, sets: &[PackageSet]) -> Result<()> {
    sqlx::query(
        "INSERT INTO inventory_sets (inventory_id, position, set_id)
         SELECT ?1, j.key, s.id FROM json_each(?2) j CROSS JOIN package_sets s ON s.hash = unhex(j.value)",
    )
    .bind(inventory)
    .bind(hexes_json(sets.iter().map(|s| &s.hash))?)
    .execute(&mut **tx)
    .await
    .about("storing package sets")?;
    Ok(())
}

/// The JSON of the package keys of an inventory, sorted by hash.
pub(super) async fn keys_of(tx: &mut Tx, inventory: i64) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT p.key FROM inventory_sets s
         JOIN package_set_members m ON m.set_id = s.set_id
         JOIN packages p ON p.id = m.package_id
         WHERE s.inventory_id = ?1 ORDER BY p.hash",
    )
    .bind(inventory)
    .fetch_all(&mut **tx)
    .await
    .about("reading packages")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interned(count: usize, skip: usize) -> Vec<Interned> {
        let key = |n: usize| PackageKey::new(PackageFormat::Npm, format!("p{n}"), "1");
        let mut all: Vec<_> = (0..count).filter(|n| *n != skip).map(|n| Interned::of(&key(n)).unwrap()).collect();
        all.sort_by_key(|p| p.hash);
        all
    }

    #[test]
    fn names_fold_as_ecosystems_do() {
        let check = |name: &str, expect: &str| assert_eq!(fold(name), expect);
        check("Zope.Interface", "zope-interface");
        check("a--b_.c", "a-b-c");
        check("@babel/core", "@babel/core");
        check("libssl1.1", "libssl1-1");
    }

    #[test]
    fn software_is_touched_by_name_before_it_is_listed() {
        let base = |name: &str| Interned::of(&PackageKey::new(PackageFormat::Generic, name, "1")).unwrap().base;
        assert_eq!(base("openssl").as_deref(), Some("Generic"));
        assert_eq!(base("some-tool").as_deref(), Some("Generic"));
    }

    #[test]
    fn sets_are_about_64_and_one_package_changes_one_of_them() {
        let before = cut(&interned(5000, usize::MAX));
        let after = cut(&interned(5000, 7));
        assert!((50..130).contains(&before.len()), "{}", before.len());
        let changed = after.iter().filter(|s| !before.contains(s)).count();
        assert!(changed <= 1, "{changed}");
        assert_eq!(before.iter().map(|s| s.members.len()).sum::<usize>(), 5000);
        assert_eq!(cut(&[]), []);
    }
}
