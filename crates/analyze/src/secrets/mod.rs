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
mod exceptions;
mod gitleaks;
mod grams;
mod judge;
mod opening;
mod own;
mod prefilter;
mod rule;
mod scan;
mod shape;
mod surroundings;
mod validate;

pub use own::{OWN_DOCUMENT_BYTES_MAX, OWN_RULES_MAX};
pub use rule::{Example, OWN_PATTERN_BYTES_MAX, PATTERN_BYTES_MAX, Rule, Source, WINDOW_BYTES_MAX};
pub use scan::{
    ATTEMPTS_MIN, DISMISSED_PER_FILE_MAX, FINDINGS_PER_FILE_MAX, FINDINGS_PER_RULE_MAX, WINDOWS_OVER_FILE_MAX,
};

use crate::Error;
use allow::AllowList;
use content::Content;
pub(crate) use content::ContentKind;
use judge::Known;
use model::evidence::Place;
use model::extraction::{RuleDocument, RuleProblem};
use model::layer::ImageConfig;
use model::observation::{LayerObservation, ObservationKind, SecretFact};
use model::{Detector, Gap, GapReason, LayerPath};
use own::OwnRules;
use scan::{Found, Scanner, Subject};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use surroundings::Surroundings;

/// Changes when this module's code would find something else in the same bytes.
const CODE_VERSION: &str = "secrets 4";

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
    /// Reads the rules that ship with the program. `key` is the HMAC key of secret fingerprints.
    ///
    /// # Errors
    /// When the rules cannot be read: names the file or the rule.
    pub fn new(key: [u8; 32]) -> Result<Self, Error> {
        Self::with_rules(key, &[]).map(|(detector, _)| detector)
    }

    /// The same, with the rules and allow lists of an installation as well: documents in our own TOML form or in
    /// gitleaks'. What is wrong with a rule or a document of theirs leaves it out and is named.
    ///
    /// # Errors
    /// When the rules that ship with the program cannot be read.
    pub fn with_rules(key: [u8; 32], documents: &[RuleDocument]) -> Result<(Self, Vec<RuleProblem>), Error> {
        let mut rules = Vec::new();
        let mut hash = Sha256::new();
        hash.update(CODE_VERSION);
        for limit in
            [FINDINGS_PER_RULE_MAX, FINDINGS_PER_FILE_MAX, DISMISSED_PER_FILE_MAX, ATTEMPTS_MIN, WINDOWS_OVER_FILE_MAX]
        {
            hash.update(limit.to_le_bytes());
        }
        hash.update(embedded::ALLOW);
        for (file, toml) in embedded::RULES {
            hash.update(toml);
            rules.extend(rule::parse_rules(file, toml)?);
        }
        for document in documents {
            hash.update(&document.name);
            hash.update(&document.text);
        }
        let OwnRules { rules: own, exceptions, disabled, problems } = OwnRules::read(documents, &rules);
        rules.extend(own);
        rules.retain(|rule| !disabled.iter().any(|id| id == rule.id()));
        let mut fingerprint = model::Digest::from_bytes(hash.finalize().into()).hex();
        fingerprint.truncate(32);
        let scanner = Scanner::new(rules, Known { allow: AllowList::parse(embedded::ALLOW)?, exceptions });
        Ok((Self { key, scanner, fingerprint }, problems))
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
        self.scan_part(path, bytes, ContentKind::of(bytes), out)
    }

    /// The same for a part of a file of this kind; lines are counted from the beginning of the part.
    pub(crate) fn scan_part(
        &self,
        path: &LayerPath,
        bytes: &[u8],
        kind: ContentKind,
        out: &mut Vec<LayerObservation>,
    ) -> Option<Gap> {
        let (text, source) = match kind.read(bytes) {
            Content::Text(text) => (text, Source::Text),
            Content::Binary(bytes) => (bytes.into(), Source::Binary),
            Content::Opaque => return None,
        };
        let findings = self.scanner.scan(&Subject { text: &text, source, around: Surroundings::of_file(path) });
        let mut lines = Lines { text: &text, at: 0, line: 1 };
        let mut seen = BTreeSet::new();
        for found in findings.all {
            let fact = self.fact(&found, &text, path.as_bytes());
            let line = (source == Source::Text).then(|| lines.of(found.value.start));
            if seen.insert((found.rule, fact.fingerprint.clone())) {
                out.push(LayerObservation {
                    kind: ObservationKind::Secret(fact),
                    place: Place { path: path.clone(), line },
                });
            }
        }
        findings.cut.map(|rule| Gap {
            scope: path.to_string(),
            detector: Some(Detector::Secrets),
            reason: GapReason::TooMany,
            detail: format!(
                "{path} holds more than {FINDINGS_PER_RULE_MAX} possible secrets of one rule, more than \
                 {FINDINGS_PER_FILE_MAX} together, or too many words that speak of secrets; the rest is not listed. \
                 The first rule that stopped is {}",
                self.rules()[rule].id()
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
                let fact = self.fact(&found, text.as_bytes(), &[]);
                // What stands in the environment stands in the history as well: the first place is enough.
                if seen.insert((fact.rule.clone(), fact.fingerprint.clone())) {
                    out.push((fact, place.clone()));
                }
            }
        }
        out
    }

    fn fact(&self, found: &Found, text: &[u8], path: &[u8]) -> SecretFact {
        let rule = &self.scanner.rules()[found.rule];
        // A rule that finds whole files has no value but the file's path.
        let value = if found.value.is_empty() { path } else { &text[found.value.clone()] };
        let canonical = rule.validator().map_or(value.into(), |validator| validator.canonical(value));
        SecretFact {
            rule: rule.id().to_owned(),
            title: rule.title().to_owned(),
            severity: rule.severity(),
            preview: shape::preview(&canonical),
            fingerprint: shape::fingerprint(&self.key, &canonical),
            confidence: found.judged.confidence,
            shape: shape::shape(&canonical, !rule.generic() && rule.validator().is_none()),
            reasons: found.judged.reasons,
            dismissed: found.judged.dismissed.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer::{HistoryEntry, RuntimeConfig};
    use model::observation::Confidence;

    fn detector() -> SecretDetector {
        SecretDetector::new([1; 32]).unwrap()
    }

    fn token(random: &str) -> String {
        ["gh", "p_", random].concat()
    }

    const PROVEN: &str = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17";
    const MADE_UP: &str = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq99";

    fn scan(path: &str, bytes: &[u8]) -> Vec<(String, Confidence, Option<u32>)> {
        let mut out = Vec::new();
        assert_eq!(detector().scan_file(&LayerPath::from(path), bytes, &mut out), None);
        let brief = |o: LayerObservation| match o.kind {
            ObservationKind::Secret(fact) => (fact.rule, fact.confidence, o.place.line),
            other => panic!("{other:?}"),
        };
        out.into_iter().map(brief).collect()
    }

    #[test]
    fn secrets_are_found_with_their_lines() {
        let text = format!("one\r\ntwo {}\n\nfour {}\n", token(PROVEN), token(MADE_UP));
        let rule = "github-token".to_owned();
        let expect = [(rule.clone(), Confidence::High, Some(2)), (rule, Confidence::Low, Some(4))];
        assert_eq!(scan("srv/x.txt", text.as_bytes()), expect);
    }

    #[test]
    fn one_value_is_reported_once_in_a_file() {
        let text = format!("{0}\n{0}\n{0}\n", token(PROVEN));
        assert_eq!(scan("srv/x.txt", text.as_bytes()).len(), 1);
    }

    #[test]
    fn one_long_line_and_other_encodings_are_read() {
        let json = format!("{}{{\"a\":\"{}\"}}", "{\"k\":1},".repeat(200_000), token(PROVEN));
        assert_eq!(scan("srv/x.json", json.as_bytes())[0].2, Some(1));
        let wide: Vec<u8> =
            format!("\u{feff}a\n{}\n", token(PROVEN)).encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(scan("srv/x.reg", &wide)[0].2, Some(2));
        let binary = [b"\x7fELF\0\0\0", token(PROVEN).as_bytes(), b"\0\xff"].concat();
        assert_eq!(scan("usr/bin/x", &binary), [("github-token".to_owned(), Confidence::High, None)]);
    }

    #[test]
    fn what_exceeds_the_limits_is_a_gap() {
        let many: String = (0..2 * FINDINGS_PER_RULE_MAX)
            .map(|n| format!("{}\n", token(&format!("aB3dE5gH7jK9mN{n:04}pQ2rS4tU6vW8xYz1Lm")[..36])))
            .collect();
        let mut out = Vec::new();
        let gap = detector().scan_file(&LayerPath::from("srv/x.txt"), many.as_bytes(), &mut out).unwrap();
        assert_eq!(out.len(), FINDINGS_PER_RULE_MAX);
        assert_eq!(
            (gap.detector, gap.reason, gap.scope.as_str()),
            (Some(Detector::Secrets), GapReason::TooMany, "srv/x.txt")
        );
    }

    #[test]
    fn a_file_made_to_waste_time_is_a_gap() {
        let text = "secret=".repeat(30 * ATTEMPTS_MIN);
        let gap = detector().scan_file(&LayerPath::from("srv/x.txt"), text.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(gap.reason, GapReason::TooMany);
    }

    #[test]
    fn words_at_which_no_match_can_begin_do_not_use_up_the_tries() {
        // As the mappings of a source map look: thousands of words that only begin like a token of Facebook.
        let text = "EAAA,CAAC;".repeat(3 * ATTEMPTS_MIN);
        assert_eq!(detector().scan_file(&LayerPath::from("srv/x.js.map"), text.as_bytes(), &mut Vec::new()), None);
    }

    #[test]
    fn no_output_holds_the_value() {
        let detector = detector();
        let mut out = Vec::new();
        let value = token(PROVEN);
        detector.scan_file(&LayerPath::from("srv/x.txt"), value.as_bytes(), &mut out);
        let shown = format!("{out:?} {detector:?} {}", serde_json::to_string(&out).unwrap());
        assert!(!shown.contains(&PROVEN[2..12]) && shown.contains("ghp_********17"), "{shown}");
    }

    #[test]
    fn specific_rules_come_before_generic_ones() {
        let text = format!("GITHUB_TOKEN={}\n", token(PROVEN));
        assert_eq!(scan("srv/.env", text.as_bytes()), [("github-token".to_owned(), Confidence::High, Some(1))]);
    }

    #[test]
    fn names_and_places_speak_for_or_against() {
        let check = |path: &str, text: &str, expect: &[(&str, Confidence)]| {
            let found = scan(path, text.as_bytes());
            let brief: Vec<_> = found.iter().map(|(rule, confidence, _)| (rule.as_str(), *confidence)).collect();
            assert_eq!(brief, expect, "{path}: {text}");
        };
        let password = ["pass", "word"].concat();
        check("srv/.env", &format!("DB_{password}=hunter2x\n"), &[("settings-credential", Confidence::Medium)]);
        check(
            "srv/app.py",
            &format!("{password} = 'k3J9-xQ2p-77Zk-m0Qx'\n"),
            &[("assigned-credential", Confidence::Medium)],
        );
        check(
            "srv/app.py",
            &format!("# {password} = 'k3J9-xQ2p-77Zk-m0Qx'\n"),
            &[("assigned-credential", Confidence::Low)],
        );
        check(
            "srv/tests/app.py",
            &format!("{password} = 'k3J9-xQ2p-77Zk-m0Qx'\n"),
            &[("assigned-credential", Confidence::Low)],
        );
        check("srv/app.js", &format!("{password}: form.{password}.value1,\n"), &[]);
        check(
            "srv/de.json",
            &format!("{{\"{password}\": \"Kennwort1\"}}"),
            &[("assigned-credential", Confidence::Low)],
        );
        check("srv/app.yml", &format!("{password}: changeme123\n"), &[]);
        let url = "postgres://shop:Zk7-Qm2x@db/shop";
        check("srv/app.yml", &format!("url: {url}\n"), &[("database-url-password", Confidence::Medium)]);
        check("srv/app.rs", &format!("    /// {url}\n"), &[("database-url-password", Confidence::Low)]);
    }

    #[test]
    fn the_configuration_is_searched() {
        let env = ["PATH=/bin".to_owned(), ["DB_PASS", "WORD=hunter2x"].concat(), format!("A={}", token(PROVEN))];
        let step = |created_by: String| HistoryEntry { created_by, ..HistoryEntry::default() };
        let history = vec![
            step("/bin/sh -c #(nop) ADD file:abc in /".to_owned()),
            step(["/bin/sh -c #(nop)  ENV DB_PASS", "WORD=hunter2x"].concat()),
            step(["|1 NPM_TOK", "EN=c0a8f1d2e3b4a59687 /bin/sh -c npm ci"].concat()),
        ];
        let labels = [("vcs".to_owned(), ["https://robot:", "Zk7-Qm2x@git.internal.net/x"].concat())].into();
        let runtime = RuntimeConfig { env: env.to_vec(), labels, ..RuntimeConfig::default() };
        let found = detector().scan_config(&ImageConfig { config: runtime, history, ..ImageConfig::default() });
        let brief: Vec<_> = found.iter().map(|(fact, place)| (fact.rule.as_str(), place.as_str())).collect();
        let expect = [
            ("configuration-credential", "ENV DB_PASSWORD"),
            ("github-token", "ENV A"),
            ("http-url-password", "LABEL vcs"),
            ("configuration-credential", "history step 3"),
        ];
        assert_eq!(brief, expect);
    }

    #[test]
    fn the_configurations_of_well_known_images_are_clean() {
        let env = [
            "GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305",
            "GPG_KEYS=AFD8691FDAEDF03BDF6E460563F15A9B715376CA 9D7F99A0CB8F05C8A6958D6256A97AF7600A39A6",
            "PYTHON_SHA256=8c5c28b5e8a0e7b3ba8d1b5c1e5a2d6ac11a6e61e5f5e9d8b7b4a4a0a3c9d1e2",
            "RABBITMQ_PGP_KEY_ID=0x0A9AF2115F4687BD29803A206B73A36E6026DFCA",
            "NODE_VERSION=20.11.1",
            "APACHE_CONFDIR=/etc/apache2",
            "KEY_SHA512=09dc3cd1f6f9a1b1c7f0c4b8d6e2a3f4",
            "MYSQL_ALLOW_EMPTY_PASSWORD=yes",
            "POSTGRES_PASSWORD_FILE=/run/secrets/postgres",
            "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStorePassword=changeit",
            "TOKENIZERS_PARALLELISM=false",
        ];
        let runtime = RuntimeConfig { env: env.map(str::to_owned).to_vec(), ..RuntimeConfig::default() };
        let step = |text: &str| HistoryEntry { created_by: text.to_owned(), ..HistoryEntry::default() };
        let history = vec![
            step("/bin/sh -c set -x && apt-key adv --keyserver keyserver.ubuntu.com --recv-keys $GPG_KEYS"),
            step("RUN /bin/sh -c echo \"user=${DB_USER} password=${DB_PASSWORD}\" > /etc/app.conf # buildkit"),
        ];
        let found = detector().scan_config(&ImageConfig { config: runtime, history, ..ImageConfig::default() });
        assert!(found.is_empty(), "{found:#?}");
    }
}
