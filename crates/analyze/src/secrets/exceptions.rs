//! What an installation says is no secret: its allow lists, in our own form and in gitleaks'.
//!
//! Invariant: an exception never hides a possible secret from the facts; it marks it, with the exception's reason, so
//! that taking the exception back needs no bytes.

use super::rule::Match;
use super::surroundings::Surroundings;
use regex::bytes::Regex;

/// What an exception's patterns are held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Target {
    /// The value.
    #[default]
    Value,
    /// All that the rule's pattern matched.
    Match,
    /// The line, or the lines, of the match.
    Line,
}

/// The farthest that the ends of a line are looked for, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// One entry of an allow list.
#[derive(Debug, Default)]
pub(super) struct Exception {
    /// The rules that it speaks of; all when empty.
    pub rules: Vec<String>,
    /// Whole paths.
    pub paths: Vec<Regex>,
    /// Patterns.
    pub patterns: Vec<Regex>,
    /// What the patterns are held against.
    pub target: Target,
    /// Words that the value holds, in small letters.
    pub words: Vec<String>,
    /// Do all kinds of condition that it has have to hold? Else one is enough.
    pub all: bool,
    /// It has a condition that nothing in an image can meet: a commit.
    pub unmet: bool,
    /// Why, for people.
    pub reason: String,
}

impl Exception {
    /// Does it except this match of the rule?
    pub(super) fn holds(&self, rule: &str, text: &[u8], found: &Match, around: &Surroundings<'_>) -> bool {
        if !self.rules.is_empty() && !self.rules.iter().any(|id| id == rule) {
            return false;
        }
        let value = &text[found.value.clone()];
        let target = match self.target {
            Target::Value => value,
            Target::Match => &text[found.whole.clone()],
            Target::Line => lines_of(text, found),
        };
        let lower = if self.words.is_empty() { Vec::new() } else { value.to_ascii_lowercase() };
        let in_value = |word: &String| memchr::memmem::find(&lower, word.as_bytes()).is_some();
        let conditions = [
            (!self.paths.is_empty(), self.paths.iter().any(|pattern| pattern.is_match(around.path()))),
            (!self.patterns.is_empty(), self.patterns.iter().any(|pattern| pattern.is_match(target))),
            (!self.words.is_empty(), self.words.iter().any(in_value)),
            (self.unmet, false),
        ];
        let mut asked = conditions.iter().filter(|(has, _)| *has).map(|(_, holds)| *holds).peekable();
        if self.all { asked.peek().is_some() && asked.all(|holds| holds) } else { asked.any(|holds| holds) }
    }
}

/// From the beginning of the line on which the match begins to the end of the one on which it ends.
fn lines_of<'t>(text: &'t [u8], found: &Match) -> &'t [u8] {
    let nearest = found.whole.start.saturating_sub(LINE_BYTES_MAX);
    let start = memchr::memrchr(b'\n', &text[nearest..found.whole.start]).map_or(nearest, |at| nearest + at + 1);
    let farthest = text.len().min(found.whole.end + LINE_BYTES_MAX);
    let end = memchr::memchr(b'\n', &text[found.whole.end..farthest]).map_or(farthest, |at| found.whole.end + at);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::LayerPath;

    #[test]
    fn conditions_are_joined_as_asked() {
        let text = b"first\nkey = abcWORDdef # audited\nlast";
        let found = Match { whole: 6..22, value: 12..22 };
        let path = LayerPath::from("srv/app/config.yml");
        let around = Surroundings::of_file(&path);
        let regex = |pattern: &str| Regex::new(pattern).unwrap();
        let check = |exception: Exception, expect: bool| {
            assert_eq!(exception.holds("one", text, &found, &around), expect, "{exception:?}");
        };
        check(Exception::default(), false);
        check(Exception { paths: vec![regex(r"config\.yml$")], ..Exception::default() }, true);
        check(Exception { paths: vec![regex("^etc/")], words: vec!["word".into()], ..Exception::default() }, true);
        let both = Exception { paths: vec![regex("^etc/")], words: vec!["word".into()], ..Exception::default() };
        check(Exception { all: true, ..both }, false);
        let line = || Exception { patterns: vec![regex("audited$")], ..Exception::default() };
        check(line(), false);
        check(Exception { target: Target::Line, ..line() }, true);
        check(Exception { patterns: vec![regex("^key")], target: Target::Match, ..Exception::default() }, true);
        check(Exception { rules: vec!["two".into()], words: vec!["word".into()], ..Exception::default() }, false);
        check(Exception { words: vec!["word".into()], all: true, unmet: true, ..Exception::default() }, false);
        check(Exception { all: true, ..Exception::default() }, false);
    }
}
