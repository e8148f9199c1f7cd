//! What can go wrong in the store.

use std::fmt;

/// Result of a store call.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again later: the database is busy, the disk did not answer.
    Transient,
    /// There is no such row.
    NotFound,
    /// It exists already, or was changed meanwhile.
    Conflict,
    /// The lease is no longer held: another holder has it, or the job is over.
    StaleLease,
    /// The input breaks a rule.
    Malformed,
    /// A limit was reached (disk full, value too large).
    LimitExceeded,
    /// A fault of the program or of the stored data.
    Internal,
}

/// A store error: what happened, to which thing.
#[derive(Debug)]
pub struct Error {
    /// For branching.
    pub kind: ErrorKind,
    /// For people.
    pub context: String,
    /// The cause.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// An error with its cause.
    pub fn because(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}
