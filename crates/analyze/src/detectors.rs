//! The detectors, compiled once and shared.

use crate::limits::Limits;
use crate::malware::MalwareDetector;
use crate::secrets::SecretDetector;
use crate::{Error, packages};
use model::{Detector, DetectorVersion};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What detectors are made from.
#[derive(Debug, Clone)]
pub struct DetectorOptions {
    /// HMAC key of the secrets' fingerprints.
    pub secret_key: [u8; 32],
    /// Limits of every pass.
    pub limits: Limits,
}

/// Compiled rules and limits: made once, shared by every pass.
#[derive(Debug)]
pub struct Detectors {
    limits: Limits,
    secrets: SecretDetector,
    malware: MalwareDetector,
    versions: BTreeMap<Detector, DetectorVersion>,
}

/// Raised when the code of the files detector gives other facts for the same bytes.
const FILES_CODE: &str = "files/2";
/// Raised when the code that is common to the package analyzers gives other facts for the same bytes.
const PACKAGES_CODE: &str = "packages/1";
/// Raised when the code of the secrets pass gives other facts for the same bytes and rules.
const SECRETS_CODE: &str = "secrets/1";
/// Raised when the code of the malware pass gives other facts for the same bytes and rules.
const MALWARE_CODE: &str = "malware/2";
/// Raised when what is read from the configuration changes.
const CONFIGURATION_CODE: &str = "configuration/1";

impl Detectors {
    /// Compiles the rules that ship with the program.
    ///
    /// # Errors
    /// When a rule is unsound.
    pub fn new(options: DetectorOptions) -> Result<Self, Error> {
        let DetectorOptions { secret_key, limits } = options;
        // Side by side: a scan of one image waits for both.
        let (secrets, malware) = std::thread::scope(|scope| {
            let malware = scope.spawn(MalwareDetector::new);
            let secrets = SecretDetector::new(secret_key);
            (secrets, malware.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (secrets, malware) = (secrets?, malware?);
        let version_of = |detector| {
            let (code, rules) = match detector {
                Detector::Files => (FILES_CODE, String::new()),
                Detector::Packages => (PACKAGES_CODE, packages::ids()),
                Detector::Secrets => (SECRETS_CODE, secrets.fingerprint()),
                Detector::Malware => (MALWARE_CODE, malware.fingerprint()),
                Detector::Configuration => (CONFIGURATION_CODE, String::new()),
            };
            let fingerprint = fingerprint(&[code, &rules, &limits.text_for(detector)]);
            (detector, DetectorVersion { detector, fingerprint })
        };
        let versions = Detector::ALL.into_iter().map(version_of).collect();
        Ok(Self { limits, secrets, malware, versions })
    }

    /// The state of every detector, in the order of [`Detector::ALL`].
    pub fn versions(&self) -> Vec<DetectorVersion> {
        self.versions.values().cloned().collect()
    }

    /// The state of one detector.
    pub fn version(&self, detector: Detector) -> DetectorVersion {
        self.versions.get(&detector).cloned().expect("every detector has a version")
    }

    /// The limits of every pass.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) const fn secrets(&self) -> &SecretDetector {
        &self.secrets
    }

    pub(crate) const fn malware(&self) -> &MalwareDetector {
        &self.malware
    }
}

/// Sixteen hexadecimal digits that change when any part does.
fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut hex = model::Digest::from_bytes(hasher.finalize().into()).hex();
    hex.truncate(16);
    hex
}
