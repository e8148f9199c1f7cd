//! What can go wrong with intelligence.

use std::fmt;

/// Result of a call into this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes are not a segment, were cut short, or were changed after they were written.
    Malformed,
    /// A segment of a format version that this program does not read.
    Unsupported,
}

/// An error: what happened, to which thing, what to do.
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
    pub(crate) fn malformed(context: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Malformed, context: context.into(), source: None }
    }

    pub(crate) fn unsupported(context: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unsupported, context: context.into(), source: None }
    }

    /// Names the feed that the error is about.
    pub(crate) fn of_feed(mut self, feed: &str) -> Self {
        self.context = format!("feed {feed}: {}; import it again", self.context);
        self
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
