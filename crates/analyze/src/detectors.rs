//! The detectors, compiled once and shared.

use crate::limits::Limits;
use crate::malware::MalwareDetector;
use crate::secrets::SecretDetector;
use crate::{Error, packages};
use model::extraction::{ExtractionRules, RuleKind, RuleProblem};
use model::{Detector, DetectorVersion, Severity};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What detectors are made from.
#[derive(Debug, Clone)]
pub struct DetectorOptions {
    /// HMAC key of the secrets' fingerprints.
    pub secret_key: [u8; 32],
    /// Limits of every pass.
    pub limits: Limits,
    /// Rules of the installation, besides those that ship with the program.
    pub rules: ExtractionRules,
}

/// Compiled rules and limits: made once, shared by every pass.
#[derive(Debug)]
pub struct Detectors {
    limits: Limits,
    secrets: SecretDetector,
    malware: MalwareDetector,
    versions: BTreeMap<Detector, DetectorVersion>,
    revision: u64,
    problems: Vec<RuleProblem>,
}

/// What a rule says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CataloguedRule {
    /// What it looks for.
    pub kind: RuleKind,
    /// Names it in findings and policies.
    pub id: String,
    /// For people.
    pub title: String,
    /// How bad what it finds is.
    pub severity: Severity,
}

/// Raised when the code of the files detector gives other facts for the same bytes.
const FILES_CODE: &str = "files/2";
/// Raised when the code that is common to the package analyzers gives other facts for the same bytes.
const PACKAGES_CODE: &str = "packages/1";
/// Raised when the code of the secrets pass gives other facts for the same bytes and rules.
const SECRETS_CODE: &str = "secrets/2";
/// Raised when the code of the malware pass gives other facts for the same bytes and rules.
const MALWARE_CODE: &str = "malware/2";
/// Raised when what is read from the configuration changes.
const CONFIGURATION_CODE: &str = "configuration/1";

impl Detectors {
    /// Compiles the rules that ship with the program, and those of the installation. What is wrong with the latter
    /// is no error: see [`Self::problems`].
    ///
    /// # Errors
    /// When a rule that ships with the program is unsound.
    pub fn new(options: DetectorOptions) -> Result<Self, Error> {
        let DetectorOptions { secret_key, limits, rules } = options;
        // Side by side: a scan of one image waits for both.
        let (secrets, malware) = std::thread::scope(|scope| {
            let malware = scope.spawn(|| MalwareDetector::with_rules(&rules.of(RuleKind::Malware)));
            let secrets = SecretDetector::with_rules(secret_key, &rules.of(RuleKind::Secrets));
            (secrets, malware.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let ((secrets, mut problems), (malware, more)) = (secrets?, malware?);
        problems.extend(more);
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
        Ok(Self { limits, secrets, malware, versions, revision: rules.revision, problems })
    }

    /// The same with an engine outside the process, which sees what malware signatures see: facts that were read
    /// without it are not taken for facts that were read with it.
    #[must_use]
    pub fn inspected(mut self) -> Self {
        if let Some(version) = self.versions.get_mut(&Detector::Malware) {
            version.fingerprint = fingerprint(&[&version.fingerprint, "inspected"]);
        }
        self
    }

    /// The revision of the installation's rules that these are made from; 0 when it has none.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Every rule that looks for something in bytes, by kind and id.
    pub fn catalogue(&self) -> Vec<CataloguedRule> {
        let secrets = self.secrets.rules().iter().map(|rule| CataloguedRule {
            kind: RuleKind::Secrets,
            id: rule.id().to_owned(),
            title: rule.title().to_owned(),
            severity: rule.severity(),
        });
        let malware = self.malware.signatures().map(|signature| CataloguedRule {
            kind: RuleKind::Malware,
            id: signature.id.clone(),
            title: signature.title.clone(),
            severity: signature.severity,
        });
        let mut all: Vec<CataloguedRule> = secrets.chain(malware).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Documents and rules of the installation that were left out, and why.
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::extraction::RuleDocument;

    fn detectors(rules: ExtractionRules) -> Detectors {
        Detectors::new(DetectorOptions { secret_key: [1; 32], limits: Limits::default(), rules }).unwrap()
    }

    fn document(kind: RuleKind, text: &str) -> ExtractionRules {
        ExtractionRules {
            revision: 3,
            documents: vec![RuleDocument { kind, name: "own".to_owned(), text: text.to_owned() }],
        }
    }

    #[test]
    fn own_rules_change_the_version_of_their_detector_alone() {
        let plain = detectors(ExtractionRules::default());
        let check = |rules: ExtractionRules, expect: &[Detector]| {
            let own = detectors(rules);
            let differs = |d: &Detector| own.version(*d) != plain.version(*d);
            let changed: Vec<Detector> = Detector::ALL.into_iter().filter(differs).collect();
            assert_eq!(changed, expect, "{:?}", own.problems());
        };
        check(ExtractionRules { revision: 9, documents: Vec::new() }, &[]);
        check(document(RuleKind::Malware, "rule mine { condition: false }"), &[Detector::Malware]);
        let secret = "[[rule]]\nid = \"mine\"\ntitle = \"Mine\"\nseverity = \"high\"\nkeywords = [\"mine_\"]\n\
             pattern = '(?<value>mine_[0-9]{8})'\nreference = \"x\"\nexamples = [[\"mine_12345678\"]]\ncounter_examples = [[\"mine_\"]]\n";
        check(document(RuleKind::Secrets, secret), &[Detector::Secrets]);
    }

    #[test]
    fn a_broken_document_is_named_and_the_rest_counts() {
        let own = detectors(document(RuleKind::Malware, "rule mine { condition: nonsense }"));
        let [problem] = own.problems() else { panic!("{:?}", own.problems()) };
        assert_eq!((problem.kind, problem.document.as_str()), (RuleKind::Malware, "own"));
        assert!(problem.what.contains("nonsense"), "{problem}");
        assert_eq!(own.revision(), 3);
    }
}
