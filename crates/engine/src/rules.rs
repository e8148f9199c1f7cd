//! The detectors in force: compiled from what ships and from the installation's own rules, swapped as a whole when
//! these are edited.
//!
//! Not here: storing the rules, and reading images again; [`crate::task::plan`] sees that the versions are others and
//! asks for what is missing.

use crate::{Error, ErrorKind, Result};
use analyze::{DetectorOptions, Detectors, Limits};
use model::extraction::{ExtractionRules, RuleProblem};
use model::{Detector, DetectorVersion, Gap, GapReason, ImageInventory};
use std::sync::{Arc, RwLock};

/// Detectors that follow the rules of an installation. Clones share them.
#[derive(Debug, Clone)]
pub struct Toolbox {
    secret_key: [u8; 32],
    /// Whether an engine outside the process sees files too.
    inspected: bool,
    current: Arc<RwLock<Arc<Detectors>>>,
}

impl Toolbox {
    /// Compiles what ships together with `rules`. With `inspected` an engine outside the process sees files too.
    ///
    /// # Errors
    /// When a rule that ships cannot be compiled. What is wrong with `rules` is left out: see [`Detectors::problems`].
    pub fn new(secret_key: [u8; 32], rules: ExtractionRules, inspected: bool) -> Result<Self> {
        let detectors = compile(secret_key, rules, inspected)?;
        Ok(Self { secret_key, inspected, current: Arc::new(RwLock::new(Arc::new(detectors))) })
    }

    /// The detectors in force.
    pub fn current(&self) -> Arc<Detectors> {
        Arc::clone(&self.current.read().expect("no panic while the lock is held"))
    }

    /// The key of secret fingerprints that they were made with.
    pub const fn secret_key(&self) -> &[u8; 32] {
        &self.secret_key
    }

    /// Puts other rules in force, for everything that begins from now on.
    ///
    /// # Errors
    /// When a rule that ships cannot be compiled.
    pub async fn adopt(&self, rules: ExtractionRules) -> Result<()> {
        let detectors = compile_apart(self.secret_key, rules, self.inspected).await?;
        *self.current.write().expect("no panic while the lock is held") = Arc::new(detectors);
        Ok(())
    }
}

fn compile(secret_key: [u8; 32], rules: ExtractionRules, inspected: bool) -> Result<Detectors> {
    let options = DetectorOptions { secret_key, limits: Limits::default(), rules };
    let detectors = Detectors::new(options).map_err(crate::error::from_analyze)?;
    Ok(if inspected { detectors.inspected() } else { detectors })
}

/// Thousands of rules take a second: not on a thread that others wait for.
async fn compile_apart(secret_key: [u8; 32], rules: ExtractionRules, inspected: bool) -> Result<Detectors> {
    let compiled = tokio::task::spawn_blocking(move || compile(secret_key, rules, inspected)).await;
    compiled.map_err(|e| Error::because(ErrorKind::Internal, "compiling rules was cut off", e))?
}

/// What would be left out of these rules, and why.
///
/// # Errors
/// When a rule that ships cannot be compiled.
pub async fn problems(rules: ExtractionRules) -> Result<Vec<RuleProblem>> {
    Ok(compile_apart([0; 32], rules, false).await?.problems().to_vec())
}

/// What facts should be of: the detectors that the server wants, and the revision of its own rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// One per detector.
    pub versions: Vec<DetectorVersion>,
    /// Names the rule set for people.
    pub rule_set: u64,
}

impl Wanted {
    /// What these detectors make.
    pub fn of(detectors: &Detectors) -> Self {
        Self { versions: detectors.versions(), rule_set: detectors.revision() }
    }

    /// Adds a gap for every detector whose facts are of another version than what is wanted. `outlook` says what
    /// becomes of it.
    pub fn note_old_facts(&self, inventory: &mut ImageInventory, outlook: &str) {
        for wanted in &self.versions {
            if inventory.detectors.contains(wanted) {
                continue;
            }
            let stored = inventory.detectors.iter().find(|version| version.detector == wanted.detector);
            let detail = self.detail(wanted, stored, outlook);
            let (scope, detector) = ("image".to_owned(), Some(wanted.detector));
            inventory.gaps.push(Gap { scope, detector, reason: GapReason::NotYetRead, detail });
        }
        inventory.gaps.sort();
        inventory.gaps.dedup();
    }

    fn detail(&self, wanted: &DetectorVersion, stored: Option<&DetectorVersion>, outlook: &str) -> String {
        let set = match wanted.detector {
            Detector::Secrets | Detector::Malware => format!("rule set {} ({})", self.rule_set, wanted.fingerprint),
            Detector::Files | Detector::Packages | Detector::Configuration => wanted.fingerprint.clone(),
        };
        let known = match stored {
            Some(stored) => format!("its facts are of {}", stored.fingerprint),
            None => "there are no facts of it".to_owned(),
        };
        format!("not yet read with {set} of the {} detector; {known}; {outlook}", wanted.detector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer::ImageConfig;

    fn version(detector: Detector, fingerprint: &str) -> DetectorVersion {
        DetectorVersion { detector, fingerprint: fingerprint.to_owned() }
    }

    #[test]
    fn facts_of_another_version_are_a_gap_of_their_detector_alone() {
        let wanted =
            Wanted { versions: vec![version(Detector::Files, "f"), version(Detector::Secrets, "new")], rule_set: 4 };
        let mut inventory = ImageInventory {
            layers: Vec::new(),
            configuration: ImageConfig::default(),
            os: None,
            packages: Vec::new(),
            observations: Vec::new(),
            files: Vec::new(),
            gaps: Vec::new(),
            detectors: vec![version(Detector::Files, "f"), version(Detector::Secrets, "old")],
        };
        wanted.note_old_facts(&mut inventory, "it is queued");
        wanted.note_old_facts(&mut inventory, "it is queued");
        let [gap] = &inventory.gaps[..] else { panic!("{:?}", inventory.gaps) };
        assert_eq!((gap.detector, gap.reason), (Some(Detector::Secrets), GapReason::NotYetRead));
        let expect = "not yet read with rule set 4 (new) of the secrets detector; its facts are of old; it is queued";
        assert_eq!(gap.detail, expect);
    }
}
