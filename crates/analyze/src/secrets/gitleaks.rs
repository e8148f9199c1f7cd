//! The TOML form of gitleaks' configuration, as far as it speaks of what an image can hold.
//!
//! Facts of the form: gitleaks, `README.md`, section "Configuration", and `config/config.go`. A rule's keywords stand
//! anywhere in the text, in any case; its pattern walks the whole text; the value is the group `secretGroup`, else the
//! first group, else the match. Left out and said so: `commits`, `extend.path`, `extend.url`.
//!
//! Invariant: a rule that cannot be used is named; it never silently becomes another rule.

use super::exceptions::{Exception, Target};
use super::own::{OwnRules, compiled};
use super::rule::{Extras, Form, Reach, Rule, place};
use model::extraction::RuleDocument;
use regex::bytes::Regex;
use serde::Deserialize;
use toml::Spanned;

/// A rule, or its id and why it cannot be used.
type Read = Result<Rule, (String, String)>;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rules: Vec<FileRule>,
    #[serde(default)]
    allowlist: Option<AllowList>,
    #[serde(default)]
    allowlists: Vec<AllowList>,
    #[serde(default)]
    extend: Option<Extend>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extend {
    path: Option<String>,
    url: Option<String>,
    #[serde(default)]
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRule {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    #[serde(default)]
    secret_group: usize,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    allowlist: Option<AllowList>,
    #[serde(default)]
    allowlists: Vec<AllowList>,
    #[serde(default)]
    skip_report: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AllowList {
    #[serde(default)]
    description: String,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    paths: Vec<Spanned<String>>,
    #[serde(default)]
    regex_target: String,
    #[serde(default)]
    regexes: Vec<Spanned<String>>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    target_rules: Vec<String>,
}

/// Has the document a key that only gitleaks' form has?
pub(super) fn is_gitleaks(document: &toml::Table) -> bool {
    ["rules", "allowlist", "allowlists", "extend"].iter().any(|key| document.contains_key(*key))
}

/// Reads the document's rules, and puts its allow lists and what it disables into `own`.
///
/// # Errors
/// When the document is not of the form, or a pattern of an allow list does not compile: says where.
pub(super) fn read(document: &RuleDocument, own: &mut OwnRules) -> Result<Vec<Read>, String> {
    let file: File = toml::from_str(&document.text).map_err(|e| e.to_string().trim_end().to_owned())?;
    if let Some(extend) = file.extend {
        if extend.path.is_some() || extend.url.is_some() {
            own.problem(document, None, "`extend.path` and `extend.url` are not followed".to_owned());
        }
        own.disabled.extend(extend.disabled_rules);
    }
    for allow in file.allowlist.into_iter().chain(file.allowlists) {
        let rules = allow.target_rules.clone();
        own.exceptions.push(allow.exception(rules, &document.text)?);
    }
    let mut rules = Vec::new();
    for mut rule in file.rules {
        let lists: Vec<AllowList> = rule.allowlist.take().into_iter().chain(rule.allowlists.drain(..)).collect();
        for allow in lists {
            own.exceptions.push(allow.exception(vec![rule.id.clone()], &document.text)?);
        }
        if !rule.skip_report {
            rules.push(rule.into_rule(&document.text));
        }
    }
    Ok(rules)
}

impl FileRule {
    fn into_rule(self, document: &str) -> Read {
        let id = self.id.clone();
        let refuse = |what: String| (id.clone(), what);
        let path = self.path.as_ref().map(|pattern| compiled(pattern, document)).transpose().map_err(refuse)?;
        let reach = match (&self.regex, &path) {
            (Some(_), _) => Reach::Whole,
            (None, Some(_)) => Reach::Path,
            (None, None) => return Err((id, "has neither `regex` nor `path`".to_owned())),
        };
        if self.keywords.iter().any(|keyword| keyword.len() < 2) {
            let at = self.regex.as_ref().map_or_else(String::new, |r| format!("{}: ", place(document, r.span().start)));
            return Err((id, format!("{at}a keyword has fewer than two bytes")));
        }
        let title = if self.description.is_empty() { self.id.clone() } else { self.description };
        let group = (self.secret_group > 0).then_some(self.secret_group);
        let form = Form::of_pattern(self.id, title, self.regex).narrowed(self.keywords, self.entropy);
        Ok(Rule::reaching(form, reach, Extras { path, group }))
    }
}

impl AllowList {
    fn exception(self, rules: Vec<String>, document: &str) -> Result<Exception, String> {
        let all = self.condition.eq_ignore_ascii_case("and") || self.condition == "&&";
        let compile = |patterns: &[Spanned<String>]| -> Result<Vec<Regex>, String> {
            patterns.iter().map(|p| compiled(p, document)).collect()
        };
        Ok(Exception {
            rules,
            paths: compile(&self.paths)?,
            patterns: compile(&self.regexes)?,
            target: match self.regex_target.as_str() {
                "match" => Target::Match,
                "line" => Target::Line,
                _ => Target::Value,
            },
            words: self.stopwords.iter().map(|word| word.to_lowercase()).collect(),
            all,
            unmet: !self.commits.is_empty(),
            reason: if self.description.is_empty() { "an allow list".to_owned() } else { self.description },
        })
    }
}
