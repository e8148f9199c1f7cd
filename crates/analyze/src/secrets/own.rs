//! Rules and allow lists of an installation, from text: our own TOML form, or gitleaks'.
//!
//! Not here: where the texts come from. Invariant: what is wrong with one rule leaves out that rule and names it, with
//! the line and the column of its pattern; what makes a document unreadable leaves out the document.

use super::exceptions::{Exception, Target};
use super::gitleaks;
use super::rule::{Form, OWN_PATTERN_BYTES_MAX, Rule, compile, parse_forms, place};
use model::extraction::{RuleDocument, RuleKind, RuleProblem};
use regex::bytes::Regex;
use serde::Deserialize;
use toml::Spanned;

/// Rules of one document.
pub const OWN_RULES_MAX: usize = 2000;

/// Bytes of one document.
pub const OWN_DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// What documents of an installation say.
#[derive(Debug, Default)]
pub(super) struct OwnRules {
    /// Sound rules, in the order of the documents.
    pub rules: Vec<Rule>,
    /// Their allow lists.
    pub exceptions: Vec<Exception>,
    /// Rules that are not wanted.
    pub disabled: Vec<String>,
    /// What was left out, and why.
    pub problems: Vec<RuleProblem>,
}

/// Our own form of a document: what ships with the program has only rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFile {
    #[serde(default)]
    rule: Vec<Form>,
    #[serde(default)]
    allow: Vec<Allow>,
    /// Ids of rules that are not wanted.
    #[serde(default)]
    disabled: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    paths: Vec<Spanned<String>>,
    #[serde(default)]
    values: Vec<Spanned<String>>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    all: bool,
    reason: String,
}

impl OwnRules {
    /// Reads every document; `shipped` are the ids that are taken.
    pub(super) fn read(documents: &[RuleDocument], shipped: &[Rule]) -> Self {
        let mut own = Self::default();
        for document in documents {
            if let Err(what) = own.document(document, shipped) {
                own.problem(document, None, what);
            }
        }
        own
    }

    fn document(&mut self, document: &RuleDocument, shipped: &[Rule]) -> Result<(), String> {
        if document.text.len() > OWN_DOCUMENT_BYTES_MAX {
            return Err(format!("is larger than {OWN_DOCUMENT_BYTES_MAX} bytes"));
        }
        let table: toml::Table = toml::from_str(&document.text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let rules = if gitleaks::is_gitleaks(&table) {
            gitleaks::read(document, self)?
        } else {
            let file: OwnFile = toml::from_str(&document.text).map_err(|e| e.to_string().trim_end().to_owned())?;
            self.disabled.extend(file.disabled);
            for allow in file.allow {
                let exception = allow.exception(&document.text)?;
                self.exceptions.push(exception);
            }
            parse_forms(file.rule)
        };
        if rules.len() > OWN_RULES_MAX {
            return Err(format!("has more than {OWN_RULES_MAX} rules"));
        }
        for rule in rules {
            self.rule(document, rule, shipped);
        }
        Ok(())
    }

    fn rule(&mut self, document: &RuleDocument, rule: Result<Rule, (String, String)>, shipped: &[Rule]) {
        let rule = match rule {
            Ok(rule) => rule,
            Err((id, what)) => return self.problem(document, Some(id), what),
        };
        let id = rule.id().to_owned();
        let at = rule.pattern_at().map_or_else(String::new, |at| format!("{}: ", place(&document.text, at)));
        if shipped.iter().chain(&self.rules).any(|other| other.id() == id) {
            return self.problem(document, Some(id), format!("{at}another rule has this id"));
        }
        match rule.check_patterns() {
            Ok(()) => self.rules.push(rule),
            Err(what) => self.problem(document, Some(id), format!("{at}{what}")),
        }
    }

    /// Notes what was left out.
    pub(super) fn problem(&mut self, document: &RuleDocument, rule: Option<String>, what: String) {
        self.problems.push(RuleProblem { kind: RuleKind::Secrets, document: document.name.clone(), rule, what });
    }
}

impl Allow {
    fn exception(self, document: &str) -> Result<Exception, String> {
        let all = |patterns: &[Spanned<String>]| -> Result<Vec<Regex>, String> {
            patterns.iter().map(|p| compiled(p, document)).collect()
        };
        Ok(Exception {
            paths: all(&self.paths)?,
            patterns: all(&self.values)?,
            target: Target::Value,
            words: self.words.iter().map(|word| word.to_lowercase()).collect(),
            rules: self.rules,
            all: self.all,
            unmet: false,
            reason: self.reason,
        })
    }
}

/// A pattern of an allow list.
pub(super) fn compiled(pattern: &Spanned<String>, document: &str) -> Result<Regex, String> {
    compile(pattern.get_ref(), OWN_PATTERN_BYTES_MAX)
        .map_err(|why| format!("{}: an allow list: {why}", place(document, pattern.span().start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OwnRules {
        let document = RuleDocument { kind: RuleKind::Secrets, name: "own.toml".to_owned(), text: text.to_owned() };
        OwnRules::read(&[document], &[])
    }

    #[test]
    fn one_unsound_rule_leaves_the_others() {
        let own = read(
            "[[rule]]\nid = \"good\"\ntitle = \"Good\"\nseverity = \"low\"\nkeywords = [\"ab\"]\npattern = '(?P<value>ab)'\n\
             [[rule]]\nid = \"bad\"\ntitle = \"Bad\"\nseverity = \"low\"\nkeywords = [\"ab\"]\n  pattern = '(?P<value>ab'\n\
             [[rule]]\nid = \"huge\"\ntitle = \"Huge\"\nseverity = \"low\"\nkeywords = [\"ab\"]\npattern = '(?P<value>(?:a{1,500}){1,500})'\n",
        );
        let ids: Vec<&str> = own.rules.iter().map(Rule::id).collect();
        assert_eq!(ids, ["good"]);
        let [bad, huge] = &own.problems[..] else { panic!("{:?}", own.problems) };
        assert_eq!((bad.rule.as_deref(), huge.rule.as_deref()), (Some("bad"), Some("huge")));
        assert!(bad.what.starts_with("line 12, column 13: the pattern does not compile"), "{bad}");
        assert!(huge.what.contains("line 18, column 11") && huge.what.contains("bytes of memory"), "{huge}");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let own = read("[[rule]]\nid = \"x\"\nsurprise = 1\n");
        let [problem] = &own.problems[..] else { panic!("{:?}", own.problems) };
        assert!(problem.rule.is_none() && problem.what.contains("line 3"), "{problem}");
        let own = read("[[allow]]\nreason = \"r\"\nvalues = [\"ok\", \"(\"]\n");
        let [problem] = &own.problems[..] else { panic!("{:?}", own.problems) };
        assert!(problem.what.contains("line 3, column 17"), "{problem}");
    }
}
