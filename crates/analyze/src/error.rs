//! What can go wrong in this crate. Bad bytes are not errors: they become gaps.

use std::fmt;

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input could not be read: the source is its [`std::io::Error`], unchanged.
    Input,
    /// The bytes are not in the form they should have.
    Malformed,
    /// A limit was reached.
    LimitExceeded,
    /// A fault of the program or of the rules that ship with it.
    Internal,
}

/// An error: what happened, to which thing.
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
