//! What can go wrong while a server starts or stops. Failures of single requests are [`crate::problem::Problem`]s.

use std::fmt;

/// Result of a server call.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The address cannot be listened on.
    Listen,
    /// A certificate, key or token cannot be used.
    Malformed,
    /// The store or the operating system failed.
    Internal,
}

/// A server error: what happened, to which thing, what to do.
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

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::because(ErrorKind::Internal, "the store failed", error)
    }
}
