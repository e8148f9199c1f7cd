//! The store on one machine: a SQLite database and a folder of blobs.
//!
//! One connection writes, in transactions that take the write lock at once; a few read, each call on one snapshot.
//! Commits wait for the disk (`synchronous = FULL`), for the price of one sync per write: were a lease forgotten in a
//! power failure, its fencing token would be given out again while an agent elsewhere still holds the first, and a
//! token for one use could be used twice.
//!
//! Not here: what the rows mean to judgement. Invariant: a method of the traits is one transaction, so a crash
//! leaves all of it or nothing.

mod access;
mod blobs;
mod columns;
mod discovery;
mod evaluations;
mod facts;
mod failure;
mod fence;
mod images;
mod imports;
mod intents;
mod inventory;
mod issues;
mod jobs;
mod judgements;
mod manifests;
mod matches;
mod packages;
mod registries;
mod repositories;
mod tags;

use crate::{MasterKey, Result, durable};
use blobs::BlobFolder;
use failure::About as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;

/// A transaction. Dropped without a commit, it is rolled back.
type Tx = Transaction<'static, Sqlite>;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that read.
const READERS: u32 = 4;

/// How long a call waits for its turn, or for another process to end its transaction.
const WAIT: Duration = Duration::from_secs(60);

/// The store in a folder. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    blobs: BlobFolder,
    key: MasterKey,
}

impl SqliteStore {
    /// Opens `data/pratique.db` and `data/blobs/`, making and migrating them as needed.
    ///
    /// # Errors
    /// When the folder cannot be written, or the database is not one of ours or is of a newer version.
    pub async fn open(data: &Path, key: MasterKey) -> Result<Self> {
        durable::make_folder(data)?;
        let lock_path = data.join("open.lock");
        // Processes that open at the same time migrate and sweep one after the other.
        let lock =
            tokio::task::spawn_blocking(move || durable::lock(&lock_path)).await.about("opening the store")??;
        let blobs = BlobFolder::open(&data.join("blobs"))?;
        let options = options(&data.join("pratique.db"));
        let writer = pool(options.clone(), 1).await?;
        MIGRATIONS.run(&writer).await.about("bringing the database to this version")?;
        let readers = pool(options.pragma("query_only", "1"), READERS).await?;
        let store = Self { writer, readers, blobs, key };
        store.sweep().await?;
        drop(lock);
        Ok(store)
    }

    /// Ends every connection; calls on any clone fail from then on.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A snapshot to read from.
    async fn read(&self) -> Result<Tx> {
        self.readers.begin().await.about("reading the database")
    }

    /// The write lock.
    async fn write(&self) -> Result<Tx> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.about("writing to the database")
    }

    async fn sweep(&self) -> Result<()> {
        let mut tx = self.write().await?;
        self.blobs.sweep(&mut tx).await?;
        tx.commit().await.about("sweeping the blobs")
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(true)
        .statement_cache_capacity(256)
        // Of each connection, in KiB.
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "memory")
        .pragma("journal_size_limit", "67108864")
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .about("opening the database")
}
