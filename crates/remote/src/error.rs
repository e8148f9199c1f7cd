//! What can go wrong on the way to another host.

use std::fmt;
use std::io;
use std::time::Duration;

/// Result of a call to another host.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again later: overloaded (429), failing (5xx), cut or stalled connection.
    Transient {
        /// How long the other side asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The other side says that there is no such thing.
    NotFound,
    /// The other side refused us: wrong password, no permission, no listing.
    Denied,
    /// It was changed meanwhile, or our claim to it is over (409, 410, 412).
    Conflict,
    /// The answer, or our own input, breaks a rule.
    Malformed,
    /// A limit of ours was reached; the text names the thing and the limit.
    LimitExceeded,
    /// The bytes are not the ones that were asked for: digest or size differ.
    Mismatch,
    /// Understood, but not something that Pratique reads.
    Unsupported,
    /// No connection: unknown host, refused, unreachable network.
    Unreachable,
    /// The certificate of the other side is not trusted: expired, unknown issuer, another name.
    Untrusted,
    /// Pratique itself does not go there: metadata address, credentials over plain HTTP, foreign redirect.
    Forbidden,
    /// A fault of the program or of its surroundings.
    Internal,
}

/// A remote error: what happened, to which thing, what to do. Never holds a credential or a signed URL.
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

    /// Is it worth trying again later? True for [`ErrorKind::Transient`] and [`ErrorKind::Unreachable`].
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ErrorKind::Transient { .. } | ErrorKind::Unreachable => true,
            ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Conflict
            | ErrorKind::Malformed
            | ErrorKind::LimitExceeded
            | ErrorKind::Mismatch
            | ErrorKind::Unsupported
            | ErrorKind::Untrusted
            | ErrorKind::Forbidden
            | ErrorKind::Internal => false,
        }
    }

    /// How long the other side asked us to wait, when it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::Transient { retry_after } => retry_after,
            ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Conflict
            | ErrorKind::Malformed
            | ErrorKind::LimitExceeded
            | ErrorKind::Mismatch
            | ErrorKind::Unsupported
            | ErrorKind::Unreachable
            | ErrorKind::Untrusted
            | ErrorKind::Forbidden
            | ErrorKind::Internal => None,
        }
    }

    /// The error of this crate inside an I/O error that a [`crate::oci::BlobReader`] returned, however many
    /// readers it came through.
    pub fn of_io(error: &io::Error) -> Option<&Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
        while let Some(inner) = next {
            if let Some(found) = inner.downcast_ref::<Self>() {
                return Some(found);
            }
            next = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped as _),
                None => inner.source(),
            };
        }
        None
    }

    /// Wraps itself for `std::io::Read`: a mismatch becomes `InvalidData`, a cut connection `ConnectionAborted`.
    pub fn into_io(self) -> io::Error {
        let kind = match self.kind {
            ErrorKind::Mismatch | ErrorKind::Malformed | ErrorKind::LimitExceeded => io::ErrorKind::InvalidData,
            ErrorKind::Transient { .. } | ErrorKind::Unreachable => io::ErrorKind::ConnectionAborted,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Denied | ErrorKind::Forbidden | ErrorKind::Untrusted => io::ErrorKind::PermissionDenied,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Conflict | ErrorKind::Internal => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_found_inside_wrapped_io_errors() {
        let inner = Error::new(ErrorKind::Mismatch, "blob a is not b").into_io();
        assert_eq!(inner.kind(), io::ErrorKind::InvalidData);
        let wrapped = io::Error::other(inner);
        assert_eq!(Error::of_io(&wrapped).map(|e| e.kind), Some(ErrorKind::Mismatch));
        assert!(Error::of_io(&io::Error::other("something else")).is_none());
    }
}
