//! From a match of a rule to a possible secret: dismissals, proofs, confidence.
//!
//! Invariant: what is dismissed is dismissed for a reason that the rules' data or the form gives; a doubt
//! only lowers the confidence.

use super::allow::AllowList;
use super::assigned;
use super::rule::{Match, Rule};
use super::shape::entropy;
use super::surroundings::{Style, Surroundings};
use super::validate::{Proof, Validator};
use model::observation::Confidence;

/// The farthest that the name before a match is looked for, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The farthest that the beginning of a line is looked for, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// How sure it is that a match is a secret; `None` when it is something else.
pub(super) fn judge(
    rule: &Rule,
    text: &[u8],
    found: &Match,
    around: &Surroundings<'_>,
    allow: &AllowList,
) -> Option<Confidence> {
    let value = &text[found.value.clone()];
    if value.is_empty() || allow.dismisses(value) || entropy(value) < rule.entropy() {
        return None;
    }
    if rule.excused(&text[name_start(text, found.whole.start)..found.whole.end]) {
        return None;
    }
    let confidence = match rule.validator() {
        None => rule.confidence(),
        Some(Validator::Assigned) => assigned::judge(value, around.style(), allow)?,
        Some(Validator::Stored) => assigned::judge(value, Style::Environment, allow)?,
        Some(Validator::UrlPassword) if allow.dismisses_generic(value) => return None,
        Some(Validator::UrlPassword) if allow.is_weak(value) => Confidence::Low,
        Some(validator) => match validator.prove(value) {
            Proof::Proven => Confidence::High,
            Proof::Silent => rule.confidence(),
            Proof::Failed => Confidence::Low,
            Proof::Refuted => return None,
        },
    };
    if allow.doubts(value) {
        return Some(Confidence::Low);
    }
    let only_shown = around.sample() || is_doubtful(rule) && around.style() == Style::Other && in_comment(text, found);
    Some(if only_shown { confidence.min(rule.in_samples()) } else { confidence })
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
