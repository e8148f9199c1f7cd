//! Possible secrets in files and in the image configuration.
//!
//! Not here: whether a secret is still valid (nobody is asked), and what is done about it (policies). Rules are
//! data in `rules/secrets`; a keyword search over all rules runs first, and only around its hits are patterns
//! tried.
//!
//! Invariant: no value leaves this module; what leaves is the rule, the place, a masked preview, a keyed
//! fingerprint and a confidence.

mod allow;
mod assigned;
mod config;
mod content;
mod embedded;
mod judge;
mod prefilter;
mod rule;
mod scan;
mod shape;
mod surroundings;
mod validate;

pub use rule::{Example, PATTERN_BYTES_MAX, Rule, Source, WINDOW_BYTES_MAX};
pub use scan::{FINDINGS_PER_FILE_MAX, FINDINGS_PER_RULE_MAX};

use crate::Error;
use allow::AllowList;
use content::Content;
use model::evidence::Place;
use model::layer::ImageConfig;
use model::observation::{LayerObservation, ObservationKind, SecretFact};
use model::{Detector, Gap, GapReason, LayerPath};
use scan::{Found, Scanner, Subject};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use surroundings::Surroundings;

/// Changes when this module's code would find something else in the same bytes.
const CODE_VERSION: &str = "secrets 1";

/// The shortest file that can hold a secret, in bytes.
const FILE_BYTES_MIN: u64 = 8;

/// Compiled rules and the key of their fingerprints.
pub struct SecretDetector {
    key: [u8; 32],
    scanner: Scanner,
    fingerprint: String,
}

impl fmt::Debug for SecretDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretDetector").field("rules", &self.rules().len()).finish_non_exhaustive()
    }
}

impl SecretDetector {
    /// Compiles the rules that ship with the program. `key` is the HMAC key of secret fingerprints.
    ///
    /// # Errors
    /// When a rule is unsound: names it.
    pub fn new(key: [u8; 32]) -> Result<Self, Error> {
        let mut rules = Vec::new();
        let mut hash = Sha256::new();
        hash.update(CODE_VERSION);
        hash.update(FINDINGS_PER_RULE_MAX.to_le_bytes());
        hash.update(FINDINGS_PER_FILE_MAX.to_le_bytes());
        hash.update(embedded::ALLOW);
        for (file, toml) in embedded::RULES {
            hash.update(toml);
            rules.extend(rule::parse_rules(file, toml)?);
        }
        let mut fingerprint = model::Digest::from_bytes(hash.finalize().into()).hex();
        fingerprint.truncate(32);
        let scanner = Scanner::new(rules, AllowList::parse(embedded::ALLOW)?)?;
        Ok(Self { key, scanner, fingerprint })
    }

    /// Changes whenever the same bytes could give other facts. Not with the key: equal bytes then give the same
    /// facts, named otherwise.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// The rules, in the order in which they are preferred.
    pub fn rules(&self) -> &[Rule] {
        self.scanner.rules()
    }

    /// Is a file of this name and size worth searching? Not when its name says that its bytes are compressed.
    pub fn wants(&self, path: &LayerPath, bytes: u64) -> bool {
        bytes >= FILE_BYTES_MIN && !content::is_opaque_name(path.file_name())
    }

    /// Searches one whole file. Each value is reported once, at its first line; the gap, when there is one, says
    /// that the file holds more than the limits allow.
    pub fn scan_file(&self, path: &LayerPath, bytes: &[u8], out: &mut Vec<LayerObservation>) -> Option<Gap> {
        let (text, source) = match Content::of(bytes) {
            Content::Text(text) => (text, Source::Text),
            Content::Binary(bytes) => (bytes.into(), Source::Binary),
            Content::Opaque => return None,
        };
        let findings = self.scanner.scan(&Subject { text: &text, source, around: Surroundings::of_file(path) });
        let mut lines = Lines { text: &text, at: 0, line: 1 };
        let mut seen = BTreeSet::new();
        for found in findings.all {
            let fact = self.fact(&found, &text);
            let line = (source == Source::Text).then(|| lines.of(found.value.start));
            if seen.insert((found.rule, fact.fingerprint.clone())) {
                out.push(LayerObservation {
                    kind: ObservationKind::Secret(fact),
                    place: Place { path: path.clone(), line },
                });
            }
        }
        findings.cut.then(|| Gap {
            scope: path.to_string(),
            detector: Some(Detector::Secrets),
            reason: GapReason::TooMany,
            detail: format!(
                "{path} holds more than {FINDINGS_PER_RULE_MAX} possible secrets of one rule, or more than \
                 {FINDINGS_PER_FILE_MAX} together; the rest is not listed"
            ),
        })
    }

    /// Searches environment, labels, commands and history. The text names the place: `ENV NAME`, `LABEL key`,
    /// `ENTRYPOINT`, `CMD`, `HEALTHCHECK`, `history step N` (counted from 1).
    pub fn scan_config(&self, configuration: &ImageConfig) -> Vec<(SecretFact, String)> {
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        for (place, text) in config::texts(configuration) {
            let around = Surroundings::of_configuration();
            let subject = Subject { text: text.as_bytes(), source: Source::Configuration, around };
            for found in self.scanner.scan(&subject).all {
                let fact = self.fact(&found, text.as_bytes());
                // What stands in the environment stands in the history as well: the first place is enough.
                if seen.insert((fact.rule.clone(), fact.fingerprint.clone())) {
                    out.push((fact, place.clone()));
                }
            }
        }
        out
    }

    fn fact(&self, found: &Found, text: &[u8]) -> SecretFact {
        let rule = &self.rules()[found.rule];
        let value = &text[found.value.clone()];
        let canonical = rule.validator().map_or(value.into(), |validator| validator.canonical(value));
        SecretFact {
            rule: rule.id().to_owned(),
            title: rule.title().to_owned(),
            severity: rule.severity(),
            preview: shape::preview(&canonical),
            fingerprint: shape::fingerprint(&self.key, &canonical),
            confidence: found.confidence,
        }
    }
}

/// Counts lines up to offsets that only grow.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl Lines<'_> {
    fn of(&mut self, offset: usize) -> u32 {
        let more = memchr::memchr_iter(b'\n', &self.text[self.at..offset]).count();
        self.line = self.line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.at = offset;
        self.line
    }
}
