//! Large values: small ones stand in the row, larger ones in a file named by the hash of its content.
//!
//! Invariant: a committed row has its content. The file is on disk before the row is, and is removed only under the
//! write lock, in a transaction after the one that removed the row.

use super::Tx;
use super::columns::{bytes, digest, get, number};
use super::failure::About as _;
use crate::packed::sha256;
use crate::{Error, ErrorKind, Result, durable};
use model::Digest;
use sqlx::sqlite::SqliteRow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest content that stands in a row.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The largest content.
const BLOB_BYTES_MAX: u64 = 1 << 30;

/// Files removed per sweep, at most.
const SWEEP_MAX: i64 = 64;

/// The folder of the larger ones.
#[derive(Debug, Clone)]
pub(super) struct BlobFolder {
    folder: Arc<PathBuf>,
    /// Held shared while the store is open.
    _in_use: Arc<File>,
}

/// A content that is ready to get its row: its file, if it has one, is on disk.
pub(super) struct Prepared {
    hash: Digest,
    content: Arc<Vec<u8>>,
}

/// What a row says about where the content is.
pub(super) enum Stored {
    /// In the row.
    Inline(Vec<u8>),
    /// In the file of this name.
    File(Digest),
}

impl BlobFolder {
    /// Opens the folder, and removes what a crash left half-written, unless another process has it open and may be
    /// writing. Only one process at a time may call this.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        durable::make_folder(folder)?;
        let path = folder.join("in-use.lock");
        let lock_error = |e| durable::io_error(e, "cannot lock", &path);
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(lock_error)?;
        if lock.try_lock().is_ok() {
            sweep_partial(folder)?;
            lock.unlock().map_err(lock_error)?;
        }
        lock.lock_shared().map_err(lock_error)?;
        Ok(Self { folder: Arc::new(folder.to_owned()), _in_use: Arc::new(lock) })
    }

    /// Hashes a content and writes its file, when it needs one.
    pub(super) async fn prepare(&self, content: Vec<u8>) -> Result<Prepared> {
        let folder = self.clone();
        let content = Arc::new(content);
        let work = move || {
            let prepared = Prepared { hash: sha256(&content), content };
            folder.write_file(&prepared).map(|()| prepared)
        };
        tokio::task::spawn_blocking(work).await.about("storing a blob")?
    }

    /// As [`Self::prepare`], for contents that are small as a rule: only large ones go to another thread.
    pub(super) async fn prepare_small(&self, content: Vec<u8>) -> Result<Prepared> {
        if content.len() < INLINE_BYTES_MAX {
            return Ok(Prepared { hash: sha256(&content), content: Arc::new(content) });
        }
        self.prepare(content).await
    }

    /// The row of a content.
    pub(super) async fn insert(&self, tx: &mut Tx, prepared: &Prepared) -> Result<i64> {
        let found: Option<i64> = sqlx::query_scalar("SELECT id FROM blobs WHERE hash = ?1")
            .bind(bytes(&prepared.hash))
            .fetch_optional(&mut **tx)
            .await
            .about("storing a blob")?;
        if let Some(id) = found {
            return Ok(id);
        }
        // A sweep may have removed the file of an older row since it was prepared; not any more from here on.
        self.write_file(prepared)?;
        let inline = prepared.is_inline().then(|| prepared.content.as_slice());
        let id = sqlx::query_scalar("INSERT INTO blobs (hash, bytes, content) VALUES (?1, ?2, ?3) RETURNING id")
            .bind(bytes(&prepared.hash))
            .bind(number(prepared.content.len() as u64))
            .bind(inline)
            .fetch_one(&mut **tx)
            .await;
        id.about("storing a blob")
    }

    /// The content of a row with the columns `hash` and `content` of `blobs`.
    pub(super) async fn load(&self, stored: Stored) -> Result<Vec<u8>> {
        match stored {
            Stored::Inline(content) => Ok(content),
            Stored::File(hash) => {
                let folder = self.clone();
                tokio::task::spawn_blocking(move || folder.read_file(&hash)).await.about("reading a blob")?
            }
        }
    }

    /// Removes rows that nothing refers to any more; their files go with a later sweep.
    pub(super) async fn release(&self, tx: &mut Tx, ids: &[i64]) -> Result<()> {
        for id in ids {
            let gone: Option<(Vec<u8>, bool)> = sqlx::query_as(
                "DELETE FROM blobs WHERE id = ?1
                   AND NOT EXISTS (SELECT 1 FROM inventories WHERE blob_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM layer_facts WHERE blob_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM matches WHERE blob_id = ?1)
                 RETURNING hash, content IS NULL",
            )
            .bind(id)
            .fetch_optional(&mut **tx)
            .await
            .about("releasing a blob")?;
            if let Some((hash, true)) = gone {
                sqlx::query("INSERT OR IGNORE INTO blob_trash (hash) VALUES (?1)")
                    .bind(hash)
                    .execute(&mut **tx)
                    .await
                    .about("releasing a blob")?;
            }
        }
        Ok(())
    }

    /// Removes files whose rows went in an earlier transaction.
    pub(super) async fn sweep(&self, tx: &mut Tx) -> Result<()> {
        let trash: Vec<(Vec<u8>, bool)> = sqlx::query_as(
            "SELECT t.hash, EXISTS (SELECT 1 FROM blobs b WHERE b.hash = t.hash) FROM blob_trash t LIMIT ?1",
        )
        .bind(SWEEP_MAX)
        .fetch_all(&mut **tx)
        .await
        .about("sweeping the blobs")?;
        for (hash, in_use) in trash {
            if !in_use {
                durable::remove(&self.path(&digest(&hash)?))?;
            }
            sqlx::query("DELETE FROM blob_trash WHERE hash = ?1")
                .bind(hash)
                .execute(&mut **tx)
                .await
                .about("sweeping the blobs")?;
        }
        Ok(())
    }

    fn path(&self, hash: &Digest) -> PathBuf {
        durable::fan_out(&self.folder, &hash.hex())
    }

    fn write_file(&self, prepared: &Prepared) -> Result<()> {
        if prepared.is_inline() {
            return Ok(());
        }
        let path = self.path(&prepared.hash);
        let bytes = prepared.content.len() as u64;
        if std::fs::metadata(&path).is_ok_and(|m| m.len() == bytes) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        durable::write(&path, &prepared.content)
    }

    fn read_file(&self, hash: &Digest) -> Result<Vec<u8>> {
        let path = self.path(hash);
        // The row was there: either it was replaced since, or someone removed the file.
        let gone = || Error::new(ErrorKind::Transient, format!("blob {hash} is gone; it may have been replaced"));
        let content = durable::read(&path, BLOB_BYTES_MAX)?.ok_or_else(gone)?;
        if sha256(&content) != *hash {
            let text = format!("blob {} was damaged on disk: scan the image again", path.display());
            return Err(Error::new(ErrorKind::Internal, text));
        }
        Ok(content)
    }
}

fn sweep_partial(folder: &Path) -> Result<()> {
    for name in durable::names(folder)?.iter().filter(|n| n.len() == 2) {
        let folder = folder.join(name);
        for name in durable::names(&folder)?.iter().filter(|n| n.starts_with(durable::PARTIAL_PREFIX)) {
            durable::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

impl Prepared {
    fn is_inline(&self) -> bool {
        self.content.len() < INLINE_BYTES_MAX
    }
}

impl Stored {
    /// Of a row with the columns `hash` and `content` of `blobs`.
    pub(super) fn of(row: &SqliteRow) -> Result<Self> {
        match get::<Option<Vec<u8>>>(row, "content")? {
            Some(content) => Ok(Self::Inline(content)),
            None => Ok(Self::File(digest(get::<&[u8]>(row, "hash")?)?)),
        }
    }
}
