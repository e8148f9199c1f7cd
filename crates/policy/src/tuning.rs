//! Switches, severities, thresholds and allow-lists of rules and checks, made ready for use; and the rules that such a
//! document must keep.
//!
//! Not here: what the rules are. Invariant: what is dismissed is dismissed for a reason that can be shown, and a
//! document that [`check_tuning`] finds nothing in does what it says.

use crate::Error;
use crate::check::{Check, checks};
use crate::finding::ALTERED;
use crate::glob::{Globs, fault};
use model::base::BaseImage;
use model::layer::ImageConfig;
use model::observation::{Confidence, SecretFact};
use model::tuning::{Allowed, RuleTuning, Tuning};
use model::{Digest, Evidence, Finding, FindingStatus, ImageRef, Severity, Timestamp};
use std::collections::BTreeSet;

/// Rules at most in one document.
const RULES_MAX: usize = 1000;
/// Entries at most in the allow-list.
const ALLOW_MAX: usize = 10_000;
/// Globs at most in one list.
const GLOBS_MAX: usize = 1000;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 2000;

/// Where an image is found: decides which entries of an allow-list speak about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// The image.
    pub digest: Option<Digest>,
    /// `registry/repository` of every place that is looked at now: an entry for some repositories counts when it
    /// speaks about all of these.
    pub repositories: &'a [String],
}

/// Why a finding is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dismissal {
    /// The rule or check is switched off.
    SwitchedOff,
    /// Too little speaks for it.
    BelowConfidence,
    /// The detector knows it to be harmless: an example of documentation, an entry of the rules' own lists.
    Harmless,
    /// An entry of the allow-list fits.
    Allowed,
}

/// A finding that is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Dismissed {
    /// As it would be.
    pub finding: Finding,
    /// Why it is none.
    pub by: Dismissal,
    /// The same, for people.
    pub why: String,
}

impl Dismissed {
    /// A row for lists that show what was looked at and does not hold.
    pub fn into_row(self) -> Finding {
        let because = format!("{}. {}", self.why, self.finding.because);
        Finding { status: FindingStatus::NotAffected, because, ..self.finding }
    }
}

/// A document, compiled once for many images.
#[derive(Debug, Clone, Default)]
pub struct CompiledTuning {
    minimum: Option<Confidence>,
    rules: Vec<(Globs, RuleTuning)>,
    allow: Vec<CompiledAllowed>,
    /// Checks with parameters of their own, by id.
    checks: Vec<Check>,
    /// Repositories whose images count as base images; `None` for all.
    bases: Option<Globs>,
}

#[derive(Debug, Clone)]
struct CompiledAllowed {
    rule: Globs,
    paths: Globs,
    images: Globs,
    entry: Allowed,
}

/// Something that a rule found, as an allow-list looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting<'a> {
    pub(crate) rule: &'a str,
    pub(crate) evidence: &'a Evidence,
    /// Of a secret its fingerprint, of a file its SHA-256.
    pub(crate) fingerprint: Option<&'a str>,
}

impl CompiledTuning {
    /// Compiles a document. What [`check_tuning`] would refuse in it has no effect.
    pub fn new(tuning: &Tuning) -> Self {
        let rules: Vec<(Globs, RuleTuning)> =
            tuning.rules.iter().map(|rule| (Globs::new(&[&rule.id]), rule.clone())).collect();
        let allowed = |entry: &Allowed| CompiledAllowed {
            rule: Globs::new(&[&entry.rule]),
            paths: Globs::new(&entry.paths),
            images: Globs::new(&entry.images),
            entry: entry.clone(),
        };
        let mut out = Self {
            minimum: tuning.minimum_confidence,
            rules,
            allow: tuning.allow.iter().map(allowed).collect(),
            checks: Vec::new(),
            bases: (!tuning.base_images.is_empty()).then(|| Globs::new(&tuning.base_images)),
        };
        out.checks = checks().iter().filter_map(|check| out.with_parameters(check)).collect();
        out
    }

    /// Do only images of some repositories count as base images?
    pub const fn names_bases(&self) -> bool {
        self.bases.is_some()
    }

    /// Does an image that is found at one of these places (`registry/repository`) count as a base image?
    pub fn counts_as_base<'a>(&self, places: impl IntoIterator<Item = &'a str>) -> bool {
        self.bases.as_ref().is_none_or(|bases| places.into_iter().any(|place| bases.matches(place)))
    }

    /// What an image tells of its base, if that counts: with rules its name has to fit.
    pub fn told_base(&self, configuration: &ImageConfig) -> Option<BaseImage> {
        let told = BaseImage::told_by(configuration)?;
        if !self.names_bases() {
            return Some(told);
        }
        let name: ImageRef = told.name.as_deref()?.parse().ok()?;
        self.counts_as_base([format!("{}/{}", name.registry, name.repository).as_str()]).then_some(told)
    }

    fn with_parameters(&self, check: &Check) -> Option<Check> {
        let rule = self.rule(&check.id).filter(|rule| !rule.parameters.is_empty())?;
        check.with_parameters(&rule.parameters).ok()
    }

    /// What is set for a rule or check, if anything is.
    fn rule(&self, id: &str) -> Option<&RuleTuning> {
        self.rules.iter().find(|(ids, _)| ids.matches(id)).map(|(_, rule)| rule)
    }

    /// Every check, with the parameters that are set.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        checks().iter().map(|check| self.checks.iter().find(|own| own.id == check.id).unwrap_or(check))
    }

    /// Makes a rule findings?
    pub fn is_enabled(&self, id: &str) -> bool {
        self.rule(id).is_none_or(|rule| rule.enabled)
    }

    /// The severity of a rule whose own is `severity`.
    pub fn severity(&self, id: &str, severity: Severity) -> Severity {
        self.rule(id).and_then(|rule| rule.severity).unwrap_or(severity)
    }

    /// The least confidence with which a secret rule makes findings.
    pub fn minimum_confidence(&self, id: &str) -> Option<Confidence> {
        self.rule(id).and_then(|rule| rule.minimum_confidence).or(self.minimum)
    }

    /// Why what a rule found is no finding, if it is none.
    pub(crate) fn dismisses(
        &self,
        seen: Sighting<'_>,
        place: Place<'_>,
        now: Timestamp,
    ) -> Option<(Dismissal, String)> {
        if !self.is_enabled(seen.rule) {
            return Some((Dismissal::SwitchedOff, format!("{} is switched off", seen.rule)));
        }
        let allowed = self.allow.iter().find(|allowed| allowed.fits(seen, place, now))?;
        Some((Dismissal::Allowed, allowed.entry.words()))
    }

    /// The same for a secret, whose confidence counts too.
    pub(crate) fn dismisses_secret(
        &self,
        secret: &SecretFact,
        evidence: &Evidence,
        place: Place<'_>,
        now: Timestamp,
    ) -> Option<(Dismissal, String)> {
        let seen = Sighting { rule: &secret.rule, evidence, fingerprint: Some(&secret.fingerprint) };
        let harmless = || secret.dismissed.as_ref().map(|why| (Dismissal::Harmless, why.clone()));
        let doubtful = || {
            let least = self.minimum_confidence(&secret.rule).filter(|least| secret.confidence < *least)?;
            let why = format!("the confidence is {}, {} is asked for", secret.confidence.as_str(), least.as_str());
            Some((Dismissal::BelowConfidence, why))
        };
        self.dismisses(seen, place, now).or_else(harmless).or_else(doubtful)
    }

    /// When the next entry ends that speaks about an image at this place.
    pub(crate) fn boundary(&self, place: Place<'_>, now: Timestamp) -> Option<Timestamp> {
        let ends = self.allow.iter().filter(|allowed| allowed.covers(place)).filter_map(|a| a.entry.expires_at);
        ends.filter(|end| *end > now).min()
    }
}

impl CompiledAllowed {
    fn fits(&self, seen: Sighting<'_>, place: Place<'_>, now: Timestamp) -> bool {
        self.entry.expires_at.is_none_or(|end| now < end)
            && self.rule.matches(seen.rule)
            && self.entry.fingerprint.as_deref().is_none_or(|wanted| seen.fingerprint == Some(wanted))
            && (self.paths.is_empty() || self.paths.matches(&spot(seen.evidence)))
            && self.covers(place)
    }

    fn covers(&self, place: Place<'_>) -> bool {
        let everywhere = !place.repositories.is_empty() && place.repositories.iter().all(|r| self.images.matches(r));
        self.images.is_empty() || everywhere || place.digest.is_some_and(|d| self.images.matches(&d.to_string()))
    }
}

/// The path, or the place in the configuration.
fn spot(evidence: &Evidence) -> String {
    match &evidence.path {
        Some(path) => path.to_string(),
        None => evidence.history.clone().unwrap_or_default(),
    }
}

trait Words {
    fn words(&self) -> String;
}

impl Words for Allowed {
    fn words(&self) -> String {
        let by = if self.author.is_empty() { String::new() } else { format!(" by {}", self.author) };
        let until = self.expires_at.map_or_else(String::new, |end| format!(", until {end}"));
        format!("allowed{by}{until}: {}", self.reason)
    }
}

/// What breaks a rule in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TuningProblem {
    /// The key, with dots: `rules[2].parameters.ports`.
    pub key: String,
    /// What is wrong, for people.
    pub what: String,
}

impl std::fmt::Display for TuningProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Reads a document as people write it.
///
/// # Errors
/// When it is not TOML of that form: the text names line and column.
pub fn parse_tuning(toml: &str) -> Result<Tuning, Error> {
    toml::from_str(toml).map_err(|error| Error::malformed(error.to_string()))
}

/// The document as people write it, without its revision.
///
/// # Errors
/// Never for what [`check_tuning`] finds nothing in.
pub fn tuning_text(tuning: &Tuning) -> Result<String, Error> {
    let mut table = toml::Table::try_from(tuning).map_err(|error| Error::malformed(error.to_string()))?;
    table.remove("revision");
    toml::to_string_pretty(&table).map_err(|error| Error::malformed(error.to_string()))
}

/// Everything that is wrong with a document. `known` are the ids of the rules that are in force besides the checks.
pub fn check_tuning(tuning: &Tuning, known: &BTreeSet<String>) -> Vec<TuningProblem> {
    let mut out = Vec::new();
    let mut say = |key: String, what: String| out.push(TuningProblem { key, what });
    if tuning.rules.len() > RULES_MAX {
        say("rules".to_owned(), format!("more than {RULES_MAX}"));
    }
    if tuning.allow.len() > ALLOW_MAX {
        say("allow".to_owned(), format!("more than {ALLOW_MAX}"));
    }
    for (at, rule) in tuning.rules.iter().enumerate().take(RULES_MAX) {
        let key = |name: &str| format!("rules[{at}].{name}");
        match fault(&rule.id) {
            Some(why) => say(key("id"), why),
            None => check_rule(rule, known, &mut |name, what| say(key(name), what)),
        }
    }
    if tuning.base_images.len() > GLOBS_MAX {
        say("base_images".to_owned(), format!("more than {GLOBS_MAX}"));
    }
    for why in tuning.base_images.iter().take(GLOBS_MAX).filter_map(|glob| fault(glob)) {
        say("base_images".to_owned(), why);
    }
    for (at, entry) in tuning.allow.iter().enumerate().take(ALLOW_MAX) {
        check_allowed(entry, &mut |name, what| say(format!("allow[{at}].{name}"), what));
    }
    out
}

fn check_rule(rule: &RuleTuning, known: &BTreeSet<String>, say: &mut dyn FnMut(&str, String)) {
    let ids = Globs::new(&[&rule.id]);
    let check = checks().iter().find(|check| check.id == rule.id);
    let is_of_rule = || ids.matches(ALTERED) || known.iter().any(|id| ids.matches(id));
    if check.is_none() && !is_of_rule() && !checks().iter().any(|c| ids.matches(&c.id)) {
        say("id", format!("no rule and no check is named {}", rule.id));
    }
    if rule.parameters.is_empty() {
        return;
    }
    match check.map(|check| check.with_parameters(&rule.parameters)) {
        None => say("parameters", format!("{} is not the id of one check", rule.id)),
        Some(Err(why)) => say("parameters", why),
        Some(Ok(_)) => {}
    }
}

fn check_allowed(entry: &Allowed, say: &mut dyn FnMut(&str, String)) {
    if entry.reason.trim().is_empty() || entry.reason.chars().count() > REASON_CHARS_MAX {
        say("reason", format!("expected 1 to {REASON_CHARS_MAX} characters"));
    }
    if let Some(why) = fault(&entry.rule) {
        say("rule", why);
    }
    for (name, globs) in [("paths", &entry.paths), ("images", &entry.images)] {
        if globs.len() > GLOBS_MAX {
            say(name, format!("more than {GLOBS_MAX}"));
        }
        for why in globs.iter().take(GLOBS_MAX).filter_map(|glob| fault(glob)) {
            say(name, why);
        }
    }
    let narrow =
        entry.rule != "*" || !entry.paths.is_empty() || entry.fingerprint.is_some() || !entry.images.is_empty();
    if !narrow {
        say("rule", "this would allow everything: name a rule, paths, a fingerprint or images".to_owned());
    }
}
