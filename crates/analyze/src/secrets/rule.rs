//! What a secret rule is, and how it is read from its TOML form.
//!
//! Not here: when a rule is tried ([`super::prefilter`]) and what is made of a match ([`super::judge`]).
//! Invariant: a rule reads at most `before` bytes before its keyword and `after` bytes from it on, so a file
//! of any length is searched in linear time.

use crate::secrets::validate::Validator;
use crate::{Error, ErrorKind};
use model::Severity;
use model::observation::Confidence;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::ops::Range;
use std::sync::OnceLock;

/// The most memory that one compiled pattern may take, in bytes: the cost budget of a rule.
pub const PATTERN_BYTES_MAX: usize = 1 << 19;

/// The farthest that a rule may look from its keyword, in bytes.
pub const WINDOW_BYTES_MAX: usize = 32 << 10;

/// Which kind of bytes a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Text files.
    Text,
    /// Files with NUL bytes: only forms that hardly occur by chance.
    Binary,
    /// Environment, labels, commands and history of an image's configuration.
    Configuration,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Text, Self::Binary, Self::Configuration];
}

/// A text that a rule must, or must not, find. Cut in parts, so that the rule's own file holds no whole secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Example {
    /// The parts of the text.
    Parts(Vec<String>),
    /// The same, in a file whose name matters.
    Placed {
        /// The file.
        path: String,
        /// The parts of the text.
        parts: Vec<String>,
    },
}

impl Example {
    /// The whole text.
    pub fn text(&self) -> String {
        match self {
            Self::Parts(parts) | Self::Placed { parts, .. } => parts.concat(),
        }
    }

    /// The file it stands in.
    pub fn path(&self) -> &str {
        match self {
            Self::Parts(_) => "srv/app/main.txt",
            Self::Placed { path, .. } => path,
        }
    }
}

/// The TOML form of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    id: String,
    title: String,
    severity: Severity,
    /// Before validators and surroundings are heard.
    #[serde(default = "medium")]
    confidence: Confidence,
    /// The most that is believed of a file that holds tests, examples or documentation.
    #[serde(default = "low")]
    in_samples: Confidence,
    /// One of these stands in every match.
    keywords: Vec<String>,
    #[serde(default)]
    ignore_case: bool,
    /// Must the match begin a word?
    #[serde(default = "yes")]
    boundary: bool,
    /// Bytes before the keyword in which the match may begin; 0 pins it to `offset`.
    #[serde(default)]
    before: usize,
    /// Bytes from the beginning of the match to its keyword.
    #[serde(default)]
    offset: usize,
    #[serde(default = "default_after")]
    after: usize,
    pattern: String,
    /// Nothing is found when one of these matches the assigned name and the match.
    #[serde(default)]
    unless: Vec<String>,
    /// Least Shannon entropy of the value, in bits per byte.
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    validator: Option<Validator>,
    #[serde(default = "default_sources")]
    sources: Vec<Source>,
    /// When not empty: ends of the names of the only files that are read.
    #[serde(default)]
    file_names: Vec<String>,
    /// A form that fits many things: yields to every other rule that claims the same bytes.
    #[serde(default)]
    generic: bool,
    reference: String,
    examples: Vec<Example>,
    counter_examples: Vec<Example>,
}

const fn medium() -> Confidence {
    Confidence::Medium
}

const fn low() -> Confidence {
    Confidence::Low
}

const fn yes() -> bool {
    true
}

const fn default_after() -> usize {
    256
}

fn default_sources() -> Vec<Source> {
    vec![Source::Text, Source::Configuration]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    rule: Vec<Form>,
}

/// One rule. Its patterns are compiled when one of its keywords is first hit: most runs need few of them.
#[derive(Debug)]
pub struct Rule {
    form: Form,
    patterns: OnceLock<Patterns>,
}

#[derive(Debug)]
struct Patterns {
    pattern: Regex,
    unless: Vec<Regex>,
}

/// Where a rule's pattern matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// All of it.
    pub whole: Range<usize>,
    /// The secret itself.
    pub value: Range<usize>,
}

/// Reads the rules of one TOML file; `file` names it in errors. Patterns are not compiled: see [`Rule::check`].
///
/// # Errors
/// When the file is not of the form, or a rule has no keywords or too large a window: names the rule.
pub(super) fn parse_rules(file: &str, toml: &str) -> Result<Vec<Rule>, Error> {
    let parsed: RuleFile = toml::from_str(toml)
        .map_err(|e| Error::because(ErrorKind::Malformed, format!("secret rules {file} cannot be read"), e))?;
    parsed.rule.into_iter().map(|form| Rule::new(file, form)).collect()
}

impl Patterns {
    fn compile(form: &Form) -> Result<Self, String> {
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .unicode(false)
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|e| format!("the pattern {pattern:?} does not compile: {e}"))
        };
        let pattern = match form.before {
            0 => build(&format!(r"\A(?:{})", form.pattern))?,
            _ => build(&form.pattern)?,
        };
        if !pattern.capture_names().flatten().any(|name| name == "value") {
            return Err("the pattern has no group named value".to_owned());
        }
        let unless = form.unless.iter().map(|p| build(p)).collect::<Result<_, _>>()?;
        Ok(Self { pattern, unless })
    }
}

fn refuse(file: &str, form: &Form, why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("secret rule {} in {file}: {why}", form.id))
}

impl Rule {
    fn new(file: &str, form: Form) -> Result<Self, Error> {
        if form.keywords.iter().any(|k| k.len() < 2) || form.keywords.is_empty() {
            return Err(refuse(file, &form, "needs keywords of at least two bytes"));
        }
        if form.before.max(form.offset).max(form.after) > WINDOW_BYTES_MAX {
            return Err(refuse(file, &form, "looks too far from its keyword"));
        }
        Ok(Self { form, patterns: OnceLock::new() })
    }

    /// Compiles the patterns, to learn whether they are sound. The rules that ship with the program are checked
    /// by its tests, and so not again when it runs.
    ///
    /// # Errors
    /// When a pattern does not compile, needs more than [`PATTERN_BYTES_MAX`], or has no group named `value`.
    pub fn check(&self) -> Result<(), Error> {
        Patterns::compile(&self.form).map(drop).map_err(|why| refuse("its file", &self.form, &why))
    }

    fn patterns(&self) -> &Patterns {
        let compile = || Patterns::compile(&self.form).expect("a rule's patterns are checked before they are used");
        self.patterns.get_or_init(compile)
    }

    /// Names the rule in findings, policies and reports; never changes.
    pub fn id(&self) -> &str {
        &self.form.id
    }

    /// What it finds, for people.
    pub fn title(&self) -> &str {
        &self.form.title
    }

    /// How bad it is when the secret is real.
    pub fn severity(&self) -> Severity {
        self.form.severity
    }

    /// Where the issuer, or the format's specification, describes the form.
    pub fn reference(&self) -> &str {
        &self.form.reference
    }

    /// Texts that the rule finds.
    pub fn examples(&self) -> &[Example] {
        &self.form.examples
    }

    /// Texts that the rule must not find.
    pub fn counter_examples(&self) -> &[Example] {
        &self.form.counter_examples
    }

    /// What the rule reads.
    pub fn sources(&self) -> &[Source] {
        &self.form.sources
    }

    pub(super) fn keywords(&self) -> &[String] {
        &self.form.keywords
    }

    pub(super) fn ignore_case(&self) -> bool {
        self.form.ignore_case
    }

    pub(super) fn confidence(&self) -> Confidence {
        self.form.confidence
    }

    pub(super) fn in_samples(&self) -> Confidence {
        self.form.in_samples
    }

    pub(super) fn entropy(&self) -> f64 {
        self.form.entropy
    }

    pub(super) fn validator(&self) -> Option<Validator> {
        self.form.validator
    }

    pub(super) fn generic(&self) -> bool {
        self.form.generic
    }

    /// The most that one attempt looks at, in bytes.
    pub(super) fn window_bytes(&self) -> usize {
        (self.form.before + self.form.offset + self.form.after).max(1)
    }

    /// Does the rule read a file of this name?
    pub(super) fn reads_file(&self, name: &[u8]) -> bool {
        self.form.file_names.is_empty() || self.form.file_names.iter().any(|end| name.ends_with(end.as_bytes()))
    }

    /// Tries the rule at one hit of one of its keywords.
    pub(super) fn find(&self, text: &[u8], hit: usize) -> Option<Match> {
        let start = hit.checked_sub(self.form.offset)?;
        if self.form.boundary && !begins_word(text, start) {
            return None;
        }
        let end = text.len().min(hit.saturating_add(self.form.after));
        let (base, haystack, from) = match self.form.before {
            0 => (start, &text[start..end], 0),
            before => (0, &text[..end], hit.saturating_sub(before)),
        };
        let pattern = &self.patterns().pattern;
        if !pattern.is_match_at(haystack, from) {
            return None;
        }
        let captures = pattern.captures_at(haystack, from)?;
        let whole = captures.get(0)?.range();
        let value = unquoted(haystack, captures.name("value")?.range());
        Some(Match { whole: base + whole.start..base + whole.end, value: base + value.start..base + value.end })
    }

    /// Is a match something else after all? `context` is the match with the name that stands before it.
    pub(super) fn excused(&self, context: &[u8]) -> bool {
        self.patterns().unless.iter().any(|pattern| pattern.is_match(context))
    }
}

/// The value without quotes around it.
fn unquoted(text: &[u8], value: Range<usize>) -> Range<usize> {
    match &text[value.clone()] {
        [b'"', _, .., b'"'] | [b'\'', _, .., b'\''] => value.start + 1..value.end - 1,
        _ => value,
    }
}

/// Does a word begin here? `\n`, `\t` and `\r` spelled as escapes, and `%3D`, end the word before.
fn begins_word(text: &[u8], at: usize) -> bool {
    let before = &text[..at];
    match before {
        [] => true,
        [.., b'\\', b'n' | b't' | b'r'] => true,
        [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => true,
        [.., last] => !(last.is_ascii_alphanumeric() || *last == b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_after_escapes() {
        let check = |text: &str, expect: bool| assert_eq!(begins_word(text.as_bytes(), text.len()), expect, "{text}");
        check("", true);
        check("token=", true);
        check("a", false);
        check("_", false);
        check(r"key\n", true);
        check("key%3D", true);
        check("key%3", false);
    }

    #[test]
    fn unsound_rules_are_refused_by_name() {
        let check = |extra: &str, expect: &str| {
            let toml = format!(
                "[[rule]]\nid = \"x\"\ntitle = \"x\"\nseverity = \"low\"\nreference = \"\"\nexamples = []\n\
                 counter_examples = []\n{extra}"
            );
            let checked = parse_rules("a.toml", &toml).and_then(|rules| rules.iter().try_for_each(Rule::check));
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("keywords = [\"ab\"]\npattern = \"(\"", "rule x");
        check("keywords = [\"ab\"]\npattern = \"ab\"", "no group named value");
        check("keywords = []\npattern = \"(?P<value>ab)\"", "needs keywords");
        check("keywords = [\"ab\"]\npattern = \"(?P<value>ab)\"\nafter = 1000000", "looks too far");
        check("keywords = [\"ab\"]\npattern = \"(?P<value>[a-z]{1,60000})\"", "does not compile");
        check("keywords = [\"ab\"]\nsurprise = 1", "cannot be read");
    }
}
