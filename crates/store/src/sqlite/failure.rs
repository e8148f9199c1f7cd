//! Database errors as errors of the store.

use crate::{Error, ErrorKind, Result};
use sqlx::migrate::MigrateError;

/// SQLite's primary result codes (sqlite.org, "Result and Error Codes").
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const IOERR: i32 = 10;
    pub(super) const FULL: i32 = 13;
    pub(super) const TOOBIG: i32 = 18;
}

/// Says what was being done when it failed.
pub(super) trait About<T> {
    /// Turns the error into one of the store's.
    fn about(self, what: &str) -> Result<T>;
}

impl<T> About<T> for std::result::Result<T, sqlx::Error> {
    fn about(self, what: &str) -> Result<T> {
        self.map_err(|e| Error::because(kind_of(&e), format!("the database failed while {what}"), e))
    }
}

impl<T> About<T> for std::result::Result<T, MigrateError> {
    fn about(self, what: &str) -> Result<T> {
        self.map_err(|e| match e {
            MigrateError::VersionMissing(version) => {
                let text = format!("the database has change {version}, which this version of Pratique does not know");
                Error::new(ErrorKind::Malformed, format!("{text}: it was written by a newer one"))
            }
            e => Error::because(ErrorKind::Internal, format!("the database failed while {what}"), e),
        })
    }
}

impl<T> About<T> for std::result::Result<T, tokio::task::JoinError> {
    fn about(self, what: &str) -> Result<T> {
        self.map_err(|e| Error::because(ErrorKind::Internal, format!("a task failed while {what}"), e))
    }
}

fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => ErrorKind::Transient,
        sqlx::Error::RowNotFound => ErrorKind::NotFound,
        sqlx::Error::Database(e) if e.is_unique_violation() => ErrorKind::Conflict,
        sqlx::Error::Database(e) => match e.code().and_then(|c| c.parse::<i32>().ok()).map(|c| c & 0xff) {
            Some(code::BUSY | code::LOCKED | code::IOERR) => ErrorKind::Transient,
            Some(code::FULL | code::TOOBIG) => ErrorKind::LimitExceeded,
            Some(_) | None => ErrorKind::Internal,
        },
        _ => ErrorKind::Internal,
    }
}
