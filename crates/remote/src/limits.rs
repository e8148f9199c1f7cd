//! The limits of every conversation, with their defaults.

use std::time::Duration;

/// Caps and patience of a client. Everything that another host sends is capped by one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest manifest or index, in bytes. The distribution specification asks registries for 4 MiB.
    pub manifest_bytes_max: u64,
    /// Largest image configuration, in bytes.
    pub config_bytes_max: u64,
    /// Largest page of a catalogue or tag list, in bytes.
    pub page_bytes_max: u64,
    /// Largest answer of a token service, in bytes.
    pub token_bytes_max: u64,
    /// How much of an error's body is read, in bytes.
    pub error_bytes_max: u64,
    /// Largest layer blob, in bytes.
    pub blob_bytes_max: u64,
    /// Entries asked for per page.
    pub page_entries: u32,
    /// Pages followed of one listing.
    pub pages_max: u32,
    /// Requests made for one thing, the first included.
    pub attempts_max: u32,
    /// First wait between two attempts; doubles each time, with jitter.
    pub backoff: Duration,
    /// Longest wait between two attempts. A longer `Retry-After` ends the call with a transient error instead.
    pub backoff_max: Duration,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time until an answer's headers, and for a small body to arrive whole.
    pub request_timeout: Duration,
    /// Longest silence in the middle of a blob.
    pub stall_timeout: Duration,
    /// How often one blob is resumed after a cut, while each try makes progress.
    pub resumes_max: u32,
    /// Redirects followed for one request.
    pub redirects_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes_max: 4 << 20,
            config_bytes_max: 8 << 20,
            page_bytes_max: 8 << 20,
            token_bytes_max: 1 << 20,
            error_bytes_max: 64 << 10,
            blob_bytes_max: 64 << 30,
            page_entries: 1000,
            pages_max: 100_000,
            attempts_max: 5,
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            resumes_max: 20,
            redirects_max: 5,
        }
    }
}
