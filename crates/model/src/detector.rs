//! The kinds of fact that are read from bytes, each with a life of its own.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A detector: its facts are stored, and re-read, apart from the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// What lies where: paths, modes, owners, whiteouts, digests of executables and scripts.
    Files,
    /// Packages and the operating system's release.
    Packages,
    /// Possible secrets.
    Secrets,
    /// Malware signatures.
    Malware,
    /// Facts of the image's configuration. Reads no layer.
    Configuration,
}

impl Detector {
    /// Every detector, in the order they are listed.
    pub const ALL: [Self; 5] = [Self::Files, Self::Packages, Self::Secrets, Self::Malware, Self::Configuration];

    /// The word used in reports and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Packages => "packages",
            Self::Secrets => "secrets",
            Self::Malware => "malware",
            Self::Configuration => "configuration",
        }
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A detector at one state of its code, extraction rules and limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DetectorVersion {
    /// Which detector.
    pub detector: Detector,
    /// Changes whenever the same bytes could give other facts.
    pub fingerprint: String,
}
