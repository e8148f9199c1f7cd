//! What can go wrong while conducting: the errors of all parts, with the kind that decides about a retry.

use std::fmt;

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

/// What decides about a retry, an exit code or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// May succeed when tried again.
    Transient,
    /// There is no such thing.
    NotFound,
    /// Refused: credentials, permissions.
    Denied,
    /// The bytes are not what they should be.
    Malformed,
    /// A limit was reached.
    LimitExceeded,
    /// Exists already, or changed meanwhile.
    Conflict,
    /// The lease is no longer held.
    StaleLease,
    /// A form that is not supported.
    Unsupported,
    /// Wrong usage: the caller asked for something that cannot be.
    Usage,
    /// A fault of the program.
    Internal,
}

/// An engine error: what happened, to which thing, what to do.
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

    /// Says what was being done when it happened.
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.context = format!("{what}: {}", self.context);
        self
    }

    /// The whole chain on one line.
    pub fn full(&self) -> String {
        self.to_string()
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
        let kind = match error.kind {
            store::ErrorKind::Transient => ErrorKind::Transient,
            store::ErrorKind::NotFound => ErrorKind::NotFound,
            store::ErrorKind::Conflict => ErrorKind::Conflict,
            store::ErrorKind::StaleLease => ErrorKind::StaleLease,
            store::ErrorKind::Malformed => ErrorKind::Malformed,
            store::ErrorKind::LimitExceeded => ErrorKind::LimitExceeded,
            store::ErrorKind::Internal => ErrorKind::Internal,
        };
        Self { kind, context: error.to_string(), source: None }
    }
}

/// A failure to talk to a registry or server, with the kind that decides about a retry. Unknown hosts and refused
/// connections may be back in a minute; a wrong password will not.
pub(crate) fn from_remote(error: remote::Error) -> Error {
    use remote::ErrorKind as Remote;
    let kind = match error.kind {
        Remote::Transient { .. } | Remote::Unreachable | Remote::Mismatch => ErrorKind::Transient,
        Remote::NotFound => ErrorKind::NotFound,
        Remote::Denied | Remote::Untrusted | Remote::Forbidden => ErrorKind::Denied,
        Remote::Conflict => ErrorKind::Conflict,
        Remote::Malformed => ErrorKind::Malformed,
        Remote::LimitExceeded => ErrorKind::LimitExceeded,
        Remote::Unsupported => ErrorKind::Unsupported,
        Remote::Internal => ErrorKind::Internal,
    };
    Error { kind, context: error.to_string(), source: None }
}

/// An analysis fails only when its input does: the cause decides whether to try again.
pub(crate) fn from_analyze(error: analyze::Error) -> Error {
    Error { kind: ErrorKind::Transient, context: error.to_string(), source: None }
}

/// Damaged intelligence is a fault of the stored data, never a result.
pub(crate) fn from_intel(error: intel::Error) -> Error {
    Error { kind: ErrorKind::Malformed, context: error.to_string(), source: None }
}
