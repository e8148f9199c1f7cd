//! Raw facts of interest: nothing is judged here.

use crate::checksum::Checksum;
use crate::evidence::{Evidence, Place};
use crate::{Detector, Digest, LayerPath, Severity};
use serde::{Deserialize, Serialize};

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ObservationKind {
    /// A possible secret. Its value is in no type that can be stored or printed.
    Secret(SecretFact),
    /// A malware signature that matched.
    Malware(MalwareFact),
    /// A file whose digest may become known bad: executables, libraries, scripts.
    FileHash(FileHashFact),
    /// A file whose mode or owner is of interest.
    FileMode(FileModeFact),
    /// A folder of the flattened image that everybody may write to.
    FolderMode(FileModeFact),
    /// What a package manager keeps in a folder of the flattened image, and nobody needs at run time.
    Cache(CacheFact),
    /// A line of passwd(5) or shadow(5).
    Account(AccountFact),
    /// A program of the flattened image that is not the one that its package brought.
    AlteredFile(AlteredFileFact),
}

/// A possible secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretFact {
    /// The rule's id.
    pub rule: String,
    /// What it is, for people: "AWS access key id".
    pub title: String,
    /// The rule's severity.
    pub severity: Severity,
    /// The value with its middle masked; never enough to use it.
    pub preview: String,
    /// Keyed hash of the value: equal secrets have equal fingerprints within one installation.
    pub fingerprint: String,
    /// How sure the detector is.
    pub confidence: Confidence,
    /// What the value looks like: enough to judge it again by another threshold.
    #[serde(default)]
    pub shape: SecretShape,
    /// What the confidence is made of.
    #[serde(default)]
    pub reasons: ConfidenceReasons,
    /// Why it is no secret after all: a value of public documentation, an entry of an allow list, a threshold. It is kept
    /// so that taking the reason back needs no bytes.
    #[serde(default)]
    pub dismissed: Option<String>,
}

/// What a secret's value looks like, without telling it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SecretShape {
    /// Its length, in bytes.
    pub bytes: u32,
    /// The smallest of the known alphabets that it is written in.
    pub alphabet: Alphabet,
    /// What its issuer writes in front of every such value: `ghp_`, `sk_live_`; empty when there is nothing of the kind.
    pub prefix: String,
    /// Shannon entropy, in thousandths of a bit per byte: at most 8000.
    pub entropy_millibits: u32,
}

/// A set of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// `0-9`.
    Decimal,
    /// `0-9` with `a-f`, or with `A-F`.
    Hexadecimal,
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `-`, `_`.
    Base64Url,
    /// Letters, digits, `+`, `/`, `=`.
    Base64,
    /// Other characters of ASCII that have a picture.
    Printable,
    /// Anything else: blanks, control characters, other scripts.
    #[default]
    Other,
}

/// What speaks for and against a possible secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ConfidenceReasons {
    /// What the rule alone says.
    pub rule: Confidence,
    /// What the form's own proof says: checksum, structure, a key that parses.
    pub proof: FormProof,
    /// It stands in a test, an example or documentation, or in a comment.
    pub sample: bool,
    /// It looks typed by hand rather than drawn.
    pub typed: bool,
}

/// What the proof says that a form carries in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormProof {
    /// The form has none.
    #[default]
    None,
    /// It holds.
    Proven,
    /// It does not: made up, or mistyped.
    Failed,
}

/// How sure a detector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    #[default]
    /// The form fits, little else speaks for it.
    Low,
    /// The form and its surroundings fit.
    Medium,
    /// The form proves itself (checksum, structure).
    High,
}

impl Confidence {
    /// The word of documents and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A malware signature that matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MalwareFact {
    /// The signature: YARA rule name, ClamAV signature.
    pub signature: String,
    /// What it is, for people.
    pub title: String,
    /// The rule's severity.
    pub severity: Severity,
    /// Which engine: `yara`, `clamav`.
    pub engine: String,
    /// Digest of the file.
    pub sha256: Digest,
}

/// A file that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileHashFact {
    /// Digest of the content.
    pub sha256: Digest,
    /// Size in bytes.
    pub bytes: u64,
}

/// A file whose mode or owner is of interest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileModeFact {
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

/// What a cache holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CacheFact {
    /// Files in it, at any depth.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// An account, as one file tells of it. A password, or its hash, is in no type that can be stored or printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountFact {
    /// Its name.
    pub name: String,
    /// Its number; shadow(5) tells none.
    pub uid: Option<u64>,
    /// Its shell; shadow(5) tells none.
    pub shell: Option<String>,
    /// What the field for the password holds.
    pub password: PasswordState,
}

/// What a field for a password holds (passwd(5), shadow(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PasswordState {
    /// Nothing: no password is asked for.
    Empty,
    /// `x`: it stands in the other file.
    Elsewhere,
    /// Something that no password gives (`!`, `*`).
    Locked,
    /// A hash.
    Set,
}

/// A file that differs from what a package database records of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlteredFileFact {
    /// The package that brought the file.
    pub package: String,
    /// The database file that records it.
    pub recorded_in: LayerPath,
    /// What it records.
    pub recorded: Checksum,
    /// What the content has.
    pub found: Checksum,
    /// Digest of the content; `None` when it is empty.
    pub sha256: Option<Digest>,
}

/// An observation as one layer shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerObservation {
    /// What was observed.
    pub kind: ObservationKind,
    /// Where.
    pub place: Place,
}

/// An observation in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// Who observed it.
    pub detector: Detector,
    /// What was observed.
    pub kind: ObservationKind,
    /// Where.
    pub evidence: Evidence,
}
