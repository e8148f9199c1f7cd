//! From a match of a rule to a possible secret: dismissals, proofs, confidence.
//!
//! Invariant: what is dismissed is dismissed for a reason that the rules' data or the form gives; a doubt
//! only lowers the confidence. What a particular rule found and something dismissed is kept with the reason; a match of
//! a generic rule is dropped, since most of them are no secrets at all.

use super::allow::AllowList;
use super::assigned;
use super::exceptions::Exception;
use super::rule::{Match, Rule};
use super::shape::entropy;
use super::surroundings::{Style, Surroundings};
use super::validate::{Proof, Validator};
use model::observation::{Confidence, ConfidenceReasons, FormProof};

/// The farthest that the name before a match is looked for, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The farthest that the beginning of a line is looked for, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// What is known about values and matches that are no secrets.
#[derive(Debug)]
pub(super) struct Known {
    /// What ships with the program.
    pub allow: AllowList,
    /// What the installation adds.
    pub exceptions: Vec<Exception>,
}

/// One match, and where it stands.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub rule: &'a Rule,
    pub text: &'a [u8],
    pub found: &'a Match,
    pub around: &'a Surroundings<'a>,
}

/// What is made of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// How sure it is that it is a secret.
    pub confidence: Confidence,
    /// What the confidence is made of.
    pub reasons: ConfidenceReasons,
    /// Why it is none after all.
    pub dismissed: Option<String>,
}

/// How sure it is that a match is a secret; `None` when it is something else.
pub(super) fn judge(case: &Case<'_>, known: &Known) -> Option<Judged> {
    let Case { rule, text, found, around } = case;
    let (value, allow) = (&text[found.value.clone()], &known.allow);
    if value.is_empty() || rule.excused(&text[name_start(text, found.whole.start)..found.whole.end]) {
        return None;
    }
    let dismissed = dismissal(case, known);
    let keeps = !rule.generic() && !matches!(rule.validator(), Some(Validator::Assigned | Validator::Stored));
    if dismissed.is_some() && !keeps {
        return None;
    }
    let (confidence, proof) = match rule.validator() {
        None => (rule.confidence(), FormProof::None),
        Some(Validator::Assigned) => (assigned::judge(value, around.style(), allow)?, FormProof::None),
        Some(Validator::Stored) => (assigned::judge(value, Style::Environment, allow)?, FormProof::None),
        Some(Validator::UrlPassword) if allow.dismisses_generic(value) => return None,
        Some(Validator::UrlPassword) if allow.is_weak(value) => (Confidence::Low, FormProof::None),
        Some(validator) => match validator.prove(value) {
            Proof::Proven => (Confidence::High, FormProof::Proven),
            Proof::Silent => (rule.confidence(), FormProof::None),
            Proof::Failed => (Confidence::Low, FormProof::Failed),
            Proof::Refuted => return None,
        },
    };
    let comment = is_doubtful(rule) && around.style() == Style::Other && in_comment(text, found);
    let (sample, typed) = (around.sample() || comment, allow.doubts(value));
    let confidence = match (typed, sample) {
        (true, _) => Confidence::Low,
        (false, true) => confidence.min(rule.in_samples()),
        (false, false) => confidence,
    };
    let reasons = ConfidenceReasons { rule: rule.confidence(), proof, sample, typed };
    Some(Judged { confidence, reasons, dismissed })
}

/// Why the match of a particular rule is no secret, for people.
fn dismissal(case: &Case<'_>, known: &Known) -> Option<String> {
    let Case { rule, text, found, around } = case;
    let value = &text[found.value.clone()];
    if let Some(reason) = known.allow.reason(value) {
        return Some(reason);
    }
    let bits = entropy(value);
    if bits < rule.entropy() {
        return Some(format!("its entropy of {bits:.1} bits per byte is below the rule's {:.1}", rule.entropy()));
    }
    let excepts = |exception: &&Exception| exception.holds(rule.id(), text, found, around);
    known.exceptions.iter().find(excepts).map(|exception| format!("allowed: {}", exception.reason))
}

/// Is the rule one that a comment's made-up example fits as well as a secret?
fn is_doubtful(rule: &Rule) -> bool {
    matches!(rule.validator(), Some(Validator::Assigned | Validator::UrlPassword))
}

/// Does the line of the match begin as a comment of source code does?
fn in_comment(text: &[u8], found: &Match) -> bool {
    let nearest = found.value.start.saturating_sub(LINE_BYTES_MAX);
    let before = &text[nearest..found.value.start];
    let line = memchr::memrchr(b'\n', before).map_or(before, |at| &before[at + 1..]).trim_ascii_start();
    [&b"#"[..], b"//", b"/*", b"*", b"--", b";", b">>>", b"..", b"<!--", b"%"].iter().any(|mark| line.starts_with(mark))
}

/// Where the name begins that runs up to the match: `DB_` of `DB_PASSWORD=…`.
fn name_start(text: &[u8], start: usize) -> usize {
    let nearest = start.saturating_sub(NAME_BYTES_MAX);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    text[nearest..start].iter().rposition(|b| !is_name(b)).map_or(nearest, |at| nearest + at + 1)
}
