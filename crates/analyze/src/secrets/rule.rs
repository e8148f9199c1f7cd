//! What a secret rule is, and how it is read from its TOML form.
//!
//! Not here: when a rule is tried ([`super::prefilter`]) and what is made of a match ([`super::judge`]).
//! Invariant: a rule reads at most `before` bytes before its keyword and `after` bytes from it on, so a file
//! of any length is searched in linear time. A rule without keywords walks the whole text once, which is linear too.

use super::opening::{Bytes, Opening};
use crate::secrets::validate::Validator;
use crate::{Error, ErrorKind};
use model::Severity;
use model::observation::Confidence;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::ops::Range;
use std::sync::OnceLock;
use toml::Spanned;

/// The most memory that one compiled pattern may take, in bytes: the cost budget of a rule.
pub const PATTERN_BYTES_MAX: usize = 1 << 19;

/// The most memory that one compiled pattern of an installation's rule may take, in bytes.
pub const OWN_PATTERN_BYTES_MAX: usize = 8 << 20;

/// The most memory that the lazily built automaton of one pattern may take, in bytes.
const DFA_BYTES_MAX: usize = 2 << 20;

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

/// Ends of a word that a value of base64url ends with.
const VALUE_END: &str = r"(?:[^A-Za-z0-9_-]|\z)";

/// Between a name and its value: `=`, `:`, `=>`, a comma of a call, blanks, the `value` of a list of pairs.
const ASSIGNS: &str =
    r#"["'\])]{0,2}(?:[ \t]{0,8}(?:=>|:=|[=:,>])[ \t]{0,8}|[ \t]{1,8}|,?\s{1,40}["']?value["']?\s?[:=]\s?)["'`]?"#;

/// The TOML form of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    id: String,
    title: String,
    severity: Severity,
    /// Before validators and surroundings are heard.
    #[serde(default = "medium")]
    confidence: Confidence,
    /// The most that is believed of a file that holds tests, examples or documentation.
    #[serde(default = "low")]
    in_samples: Confidence,
    /// One of these stands in every match. Without any, the whole text is walked: only for rules that name their
    /// files, and for rules of an installation.
    #[serde(default)]
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
    /// What matches, with a group named `value`.
    #[serde(default)]
    pattern: Option<Spanned<String>>,
    /// Instead of `pattern`: the names, in any case, that such a value is assigned to.
    #[serde(default)]
    assigned_to: Option<Spanned<String>>,
    /// With `assigned_to`: the value.
    #[serde(default)]
    value: Option<String>,
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
    #[serde(default)]
    reference: String,
    #[serde(default)]
    examples: Vec<Example>,
    #[serde(default)]
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

/// How far a rule looks.
#[derive(Debug)]
pub(super) enum Reach {
    /// Around each of its keywords.
    Keyword,
    /// Over the whole text, where one of its keywords stands anywhere in it; over every text when it has none.
    Whole,
    /// Not at the text at all: the file's path is what is found.
    Path,
}

/// What a rule of an installation adds to the form.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Only files whose path this matches are read.
    pub path: Option<Regex>,
    /// The number of the group that is the value; without it the first that took part in the match, or all of it.
    pub group: Option<usize>,
}

/// One rule. Its patterns are compiled when one of its keywords is first hit: most runs need few of them.
#[derive(Debug)]
pub struct Rule {
    form: Form,
    reach: Reach,
    extras: Extras,
    patterns: OnceLock<Patterns>,
    opening: OnceLock<Opening>,
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
/// When the file is not of the form, or a rule has too large a window: names the rule.
pub(super) fn parse_rules(file: &str, toml: &str) -> Result<Vec<Rule>, Error> {
    let parsed: RuleFile = toml::from_str(toml)
        .map_err(|e| Error::because(ErrorKind::Malformed, format!("secret rules {file} cannot be read"), e))?;
    let named = |(id, why): (String, String)| refuse(file, &format!("{id}: {why}"));
    parse_forms(parsed.rule).into_iter().map(|rule| rule.map_err(named)).collect()
}

/// Makes rules of forms; those that cannot be rules are named, with the reason.
pub(super) fn parse_forms(forms: Vec<Form>) -> Vec<Result<Rule, (String, String)>> {
    forms.into_iter().map(Rule::new).collect()
}

/// Compiles a pattern on bytes within a budget of memory, which is also a bound on the time it takes per byte.
///
/// # Errors
/// When it is no regular expression, or needs more memory: says which.
pub(super) fn compile(pattern: &str, bytes_max: usize) -> Result<Regex, String> {
    RegexBuilder::new(pattern).unicode(false).size_limit(bytes_max).dfa_size_limit(DFA_BYTES_MAX).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!(
                    "the pattern needs more than {bytes_max} bytes of memory once compiled; shorten its repetitions"
                )
            }
            other => format!("the pattern does not compile: {other}"),
        },
    )
}

impl Patterns {
    fn compile(form: &Form, reach: &Reach, extras: &Extras) -> Result<Self, String> {
        let build = |pattern: &str| compile(pattern, PATTERN_BYTES_MAX);
        let text = form.text();
        let pattern = match (reach, form.before) {
            (Reach::Whole, _) => compile(&text, OWN_PATTERN_BYTES_MAX)?,
            (Reach::Keyword | Reach::Path, 0) => build(&format!(r"\A(?:{text})"))?,
            (Reach::Keyword | Reach::Path, _) => build(&text)?,
        };
        let named = pattern.capture_names().flatten().any(|name| name == "value");
        match extras.group {
            Some(group) if group >= pattern.captures_len() => return Err(format!("the pattern has no group {group}")),
            None if !named && matches!(reach, Reach::Keyword) => {
                return Err("the pattern has no group named value".to_owned());
            }
            Some(_) | None => {}
        }
        let unless = form.unless.iter().map(|p| build(p)).collect::<Result<_, _>>()?;
        Ok(Self { pattern, unless })
    }
}

impl Form {
    /// A rule that finds what `pattern` matches in whole texts.
    pub(super) fn of_pattern(id: String, title: String, pattern: Option<Spanned<String>>) -> Self {
        Self {
            id,
            title,
            severity: Severity::High,
            confidence: Confidence::Medium,
            in_samples: Confidence::Low,
            keywords: Vec::new(),
            ignore_case: true,
            boundary: false,
            before: 0,
            offset: 0,
            after: default_after(),
            pattern,
            assigned_to: None,
            value: None,
            unless: Vec::new(),
            entropy: 0.0,
            validator: None,
            sources: default_sources(),
            file_names: Vec::new(),
            generic: false,
            reference: String::new(),
            examples: Vec::new(),
            counter_examples: Vec::new(),
        }
    }

    /// With keywords and a least entropy.
    pub(super) fn narrowed(mut self, keywords: Vec<String>, entropy: f64) -> Self {
        self.keywords = keywords;
        self.entropy = entropy;
        self
    }

    /// The whole pattern, in one or the other spelling.
    fn text(&self) -> String {
        match (&self.pattern, &self.assigned_to, &self.value) {
            (Some(pattern), _, _) => pattern.get_ref().clone(),
            (None, Some(names), Some(value)) => {
                format!("(?i:{}){ASSIGNS}(?P<value>{value}){VALUE_END}", names.get_ref())
            }
            (None, _, _) => String::new(),
        }
    }

    /// Where the pattern stands in its document, in bytes.
    fn pattern_at(&self) -> Option<usize> {
        self.pattern.as_ref().or(self.assigned_to.as_ref()).map(|text| text.span().start)
    }

    fn check(&self) -> Result<(), String> {
        let is_assignment = self.assigned_to.is_some() && self.value.is_some();
        let why = if self.pattern.is_some() == is_assignment || self.assigned_to.is_some() != self.value.is_some() {
            "needs either `pattern`, or `assigned_to` and `value`"
        } else if self.keywords.iter().any(|k| k.len() < 2) || self.keywords.is_empty() && self.file_names.is_empty() {
            "needs keywords of at least two bytes, or the names of its files"
        } else if self.before.max(self.offset).max(self.after) > WINDOW_BYTES_MAX {
            "looks too far from its keyword"
        } else {
            return Ok(());
        };
        Err(why.to_owned())
    }
}

/// `3:14`: line and column, both from one, of an offset into a document.
pub(super) fn place(document: &str, offset: usize) -> String {
    let before = document.get(..offset).unwrap_or(document);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    format!("line {line}, column {column}")
}

fn refuse(file: &str, why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("secret rule {why} (in {file})"))
}

impl Rule {
    fn new(form: Form) -> Result<Self, (String, String)> {
        form.check().map_err(|why| (form.id.clone(), why))?;
        let reach = if form.keywords.is_empty() { Reach::Whole } else { Reach::Keyword };
        Ok(Self { form, reach, extras: Extras::default(), patterns: OnceLock::new(), opening: OnceLock::new() })
    }

    /// A rule with a reach of its own.
    pub(super) const fn reaching(form: Form, reach: Reach, extras: Extras) -> Self {
        Self { form, reach, extras, patterns: OnceLock::new(), opening: OnceLock::new() }
    }

    /// Compiles the patterns, to learn whether they are sound. The rules that ship with the program are checked
    /// by its tests, and so not again when it runs.
    ///
    /// # Errors
    /// When a pattern does not compile, needs more than [`PATTERN_BYTES_MAX`], or has no group named `value`.
    pub fn check(&self) -> Result<(), Error> {
        self.check_patterns().map_err(|why| refuse("its file", &format!("{}: {why}", self.form.id)))
    }

    /// The same, as text without the rule's name.
    pub(super) fn check_patterns(&self) -> Result<(), String> {
        if matches!(self.reach, Reach::Path) {
            return Ok(());
        }
        Patterns::compile(&self.form, &self.reach, &self.extras).map(drop)
    }

    /// Where the rule's pattern stands in its document, in bytes.
    pub(super) fn pattern_at(&self) -> Option<usize> {
        self.form.pattern_at()
    }

    fn patterns(&self) -> &Patterns {
        let compile = || Patterns::compile(&self.form, &self.reach, &self.extras);
        self.patterns.get_or_init(|| compile().expect("a rule's patterns are checked before they are used"))
    }

    /// How a match begins that is pinned to its keyword; other rules tell nothing.
    fn opening(&self) -> &Opening {
        let is_pinned = matches!(self.reach, Reach::Keyword) && self.form.before == 0;
        self.opening.get_or_init(|| if is_pinned { Opening::of(&self.form.text()) } else { Opening::default() })
    }

    /// The bytes that may follow one of the rule's keywords, the first and the second.
    pub(super) fn follows(&self, keyword: &str) -> [Bytes; 2] {
        let end = self.form.offset + keyword.len();
        [end, end + 1].map(|place| self.opening().at(place))
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

    /// Texts of which one stands in every match.
    pub fn keywords(&self) -> &[String] {
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

    /// Does the rule read this file? `path` is empty for an image's configuration.
    pub(super) fn reads_file(&self, path: &[u8]) -> bool {
        let ends = |end: &String| path.ends_with(end.as_bytes());
        (self.form.file_names.is_empty() || self.form.file_names.iter().any(ends))
            && self.extras.path.as_ref().is_none_or(|pattern| pattern.is_match(path))
    }

    /// How far it looks.
    pub(super) const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Every match in a whole text, for rules that reach over one.
    pub(super) fn find_all<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Match> + 't {
        let pattern = &self.patterns().pattern;
        pattern.captures_iter(text).filter_map(move |captures| {
            let whole = captures.get(0)?;
            let group = match self.extras.group {
                Some(group) => captures.get(group)?,
                None => captures.name("value").or_else(|| captures.iter().skip(1).flatten().next()).unwrap_or(whole),
            };
            Some(Match { whole: whole.range(), value: unquoted(text, group.range()) })
        })
    }

    /// Does every hit of a keyword at which a match [may begin](Self::may_begin) begin a word?
    pub(super) const fn keyword_begins_word(&self) -> bool {
        matches!(self.reach, Reach::Keyword) && self.form.boundary && self.form.offset == 0
    }

    /// May a match begin where this hit of a keyword says? Costs next to nothing, whatever the text.
    pub(super) fn may_begin(&self, text: &[u8], hit: usize) -> bool {
        let Some(start) = hit.checked_sub(self.form.offset) else { return false };
        let end = text.len().min(hit.saturating_add(self.form.after));
        (!self.form.boundary || begins_word(text, start)) && self.opening().admits(&text[start..end])
    }

    /// Tries the rule at one hit of one of its keywords at which a match [may begin](Self::may_begin).
    pub(super) fn find(&self, text: &[u8], hit: usize) -> Option<Match> {
        let start = hit.checked_sub(self.form.offset)?;
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
pub(super) fn begins_word(text: &[u8], at: usize) -> bool {
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
        check("keywords = [\"ab\"]\nassigned_to = \"ab\"", "`assigned_to` and `value`");
        check("keywords = [\"ab\"]\npattern = \"(?P<value>ab)\"\nassigned_to = \"ab\"\nvalue = \"c\"", "needs either");
        check("keywords = [\"ab\"]\npattern = \"(?P<value>ab)\"\nafter = 1000000", "looks too far");
        check("keywords = [\"ab\"]\npattern = \"(?P<value>[a-z]{1,60000})\"", "bytes of memory");
        check("keywords = [\"ab\"]\nsurprise = 1", "cannot be read");
    }
}
