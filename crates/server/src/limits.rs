//! Every limit of the server, with its name.

use std::time::Duration;

/// Body of an ordinary API request or form, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// Body of a policy document, in bytes.
pub(crate) const POLICY_BYTES_MAX: usize = 8 << 20;

/// Body of the installation's own rules, in bytes: a large public set of YARA rules, with room for JSON's escapes.
pub(crate) const RULES_BYTES_MAX: usize = 48 << 20;

/// Texts of all documents of rules together, in bytes. Agents fetch them in one answer.
pub(crate) const RULES_TEXT_BYTES_MAX: usize = 24 << 20;

/// Documents of rules.
pub(crate) const RULE_DOCUMENTS_MAX: usize = 10_000;

/// The longest name of a document of rules, in characters.
pub(crate) const RULE_NAME_CHARS_MAX: usize = 200;

/// Body of a bill of materials, in bytes.
pub(crate) const SBOM_BYTES_MAX: usize = 64 << 20;

/// Upload of intelligence, in bytes. It goes to a temporary file, not to memory.
pub(crate) const IMPORT_BYTES_MAX: u64 = 2 << 30;

/// How long an ordinary request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request that talks to a registry may take.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an agent's call may take: its body may be large, and asking for work waits.
pub(crate) const AGENT_TIMEOUT: Duration = Duration::from_secs(180);

/// How long an import may take.
pub(crate) const IMPORT_TIMEOUT: Duration = Duration::from_secs(1800);

/// How long a client may take to send its headers.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections open at once; more wait in the operating system's queue.
pub(crate) const CONNECTIONS_MAX: usize = 2048;

/// How long open requests may go on after the server was told to stop.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Life of a session.
pub(crate) const SESSION_HOURS: i64 = 12;

/// Sessions at once; the oldest gives way.
pub(crate) const SESSIONS_MAX: usize = 10_000;

/// Failed logins of one address within [`LOGIN_WINDOW_SECONDS`].
pub(crate) const LOGIN_FAILURES_MAX: u32 = 10;

/// See [`LOGIN_FAILURES_MAX`].
pub(crate) const LOGIN_WINDOW_SECONDS: i64 = 300;

/// Addresses whose failed logins are remembered.
pub(crate) const LOGIN_ADDRESSES_MAX: usize = 10_000;

/// Rows of one page of a list at most.
pub(crate) const PAGE_ROWS_MAX: u32 = 500;

/// Rows of one page of a list unless asked otherwise.
pub(crate) const PAGE_ROWS: u32 = 100;

/// Shortest bootstrap token, in characters.
pub(crate) const BOOTSTRAP_CHARS_MIN: usize = 8;

/// Time between two comments on a silent event stream: keeps proxies from closing it.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
