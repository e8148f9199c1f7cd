//! The conformance suite on SQLite, and what only SQLite promises.

use crate::conformance::{Backend, every_promise};
use crate::world::{World, at, config};
use std::path::Path;
use std::sync::Arc;
use store::traits::{Registries as _, SharedStore};
use store::{ErrorKind, MasterKey, SqliteStore};

/// A store in a folder of its own.
pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
}

impl Backend for Sqlite {
    async fn start() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn store(&self) -> SharedStore {
        Arc::new(open(self.folder.path()).await)
    }
}

pub(crate) fn master_key() -> MasterKey {
    MasterKey::from_text(&"5a".repeat(32)).unwrap()
}

pub(crate) async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, master_key()).await.unwrap()
}

mod suite {
    use super::*;
    every_promise!(Sqlite);
}

fn secret() -> model::registry::Credentials {
    model::registry::Credentials { username: "robot".to_owned(), password: ["correct", "horse", "77"].join("-") }
}

#[tokio::test]
async fn credentials_are_on_disk_only_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let added = store.add_registry(&config("a"), Some(&secret()), "ann", at(0)).await.unwrap();
    assert_eq!(store.credentials(added.id).await.unwrap(), Some(secret()));
    store.close().await;
    let mut bytes = Vec::new();
    for name in ["pratique.db", "pratique.db-wal"] {
        bytes.extend(std::fs::read(folder.path().join(name)).unwrap_or_default());
    }
    let shows = |needle: &str| bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
    assert!(shows("https://a.example"), "the search must be able to find something");
    assert!(!shows("horse"));
    assert!(!shows("robot"));
}

#[tokio::test]
async fn another_master_key_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let added = store.add_registry(&config("a"), Some(&secret()), "ann", at(0)).await.unwrap();
    store.close().await;
    let other = SqliteStore::open(folder.path(), MasterKey::generate().unwrap()).await.unwrap();
    let error = other.credentials(added.id).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    assert!(error.to_string().contains("another master key"), "{error}");
    // Entering them again heals it.
    let again = store::types::CredentialsChange::Replace(secret());
    other.update_registry(added.id, &added.config, again, "ann", at(1)).await.unwrap();
    assert_eq!(other.credentials(added.id).await.unwrap(), Some(secret()));
}

#[tokio::test]
async fn sealed_credentials_open_in_no_other_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let a = store.add_registry(&config("a"), Some(&secret()), "ann", at(0)).await.unwrap();
    let b = store.add_registry(&config("b"), None, "ann", at(0)).await.unwrap();
    store.close().await;
    sql(folder.path(), "UPDATE registries SET credentials = (SELECT credentials FROM registries WHERE name = 'a')")
        .await;
    let store = open(folder.path()).await;
    assert_eq!(store.credentials(a.id).await.unwrap(), Some(secret()));
    assert_eq!(store.credentials(b.id).await.unwrap_err().kind, ErrorKind::Internal);
}

#[tokio::test]
async fn a_store_opens_again_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    World::new(Arc::new(store.clone())).scanned("a", &["app"]).await;
    store.close().await;
    let (one, two) = tokio::join!(open(folder.path()), open(folder.path()));
    for store in [one, two] {
        let world = World::new(Arc::new(store));
        assert_eq!(world.image("app").await.references.len(), 1);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pratique.db"), "not a database, and long enough to look at").unwrap();
    assert!(SqliteStore::open(folder.path(), master_key()).await.is_err());
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    sql(
        folder.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .await;
    let error = SqliteStore::open(folder.path(), master_key()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    assert!(error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn software_that_was_stored_without_advisories_is_matched_once_more() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    sql(
        folder.path(),
        r#"INSERT INTO packages (hash, key, name, stale)
           VALUES (x'01', '{"format":"generic","name":"redis","version":"7.0.0"}', 'redis', 0),
                  (x'02', '{"format":"luarocks","name":"redis","version":"7.0.0"}', 'redis', 0)"#,
    )
    .await;
    sql(folder.path(), "DELETE FROM _sqlx_migrations WHERE version = 20").await;
    open(folder.path()).await.close().await;
    let count = |what: &'static str| number(folder.path(), what);
    assert_eq!(count("SELECT count(*) FROM packages WHERE stale = 1").await, 1);
    assert_eq!(count("SELECT count(*) FROM packages WHERE base = 'Generic' AND hash = x'01'").await, 1);
}

#[tokio::test]
async fn partial_files_go_when_nobody_else_has_the_store_open() {
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("blobs/ab/.partial-x");
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    let first = open(folder.path()).await;
    std::fs::write(&partial, "half").unwrap();
    let second = open(folder.path()).await;
    assert!(partial.exists(), "the first may be writing it");
    drop((first, second));
    // Connections end in the background; a lock that is still held only delays the sweep.
    for _ in 0..100 {
        open(folder.path()).await.close().await;
        if !partial.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the partial file stays");
}

/// The number that a query gives on the database of a closed store.
async fn number(folder: &Path, query: &'static str) -> i64 {
    use sqlx::Connection as _;
    let url = format!("sqlite://{}", folder.join("pratique.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

/// Runs one statement on the database of a closed store.
pub(crate) async fn sql(folder: &Path, statement: &'static str) {
    use sqlx::Connection as _;
    let url = format!("sqlite://{}", folder.join("pratique.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
