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

#[cfg(test)]
mod tests {
    use crate::secrets::SecretDetector;
    use model::LayerPath;
    use model::extraction::{RuleDocument, RuleKind};
    use model::observation::ObservationKind;

    fn detector(text: &str) -> (SecretDetector, Vec<String>) {
        let document = RuleDocument { kind: RuleKind::Secrets, name: "g.toml".to_owned(), text: text.to_owned() };
        let (detector, problems) = SecretDetector::with_rules([1; 32], &[document]).unwrap();
        (detector, problems.iter().map(ToString::to_string).collect())
    }

    /// Rule and reason of dismissal of everything that is found.
    fn found(detector: &SecretDetector, path: &str, text: &str) -> Vec<(String, Option<String>)> {
        let mut out = Vec::new();
        assert_eq!(detector.scan_file(&LayerPath::from(path), text.as_bytes(), &mut out), None);
        let brief = |kind| match kind {
            ObservationKind::Secret(fact) => (fact.rule, fact.dismissed),
            other => panic!("{other:?}"),
        };
        out.into_iter().map(|observation| brief(observation.kind)).collect()
    }

    const CONFIGURATION: &str = r#"
title = "shop"
[extend]
useDefault = true
disabledRules = ["npm-token"]
[[rules]]
id = "shop-key"
description = "Key of the shop"
regex = '''(?i)shop[_-]?key\s*[=:]\s*(k-([a-z0-9]{12}))'''
secretGroup = 2
entropy = 2
keywords = ["SHOP"]
  [[rules.allowlists]]
  description = "the key of the tests"
  regexes = ["^test"]
  stopwords = ["sample"]
[[rules]]
id = "shop-file"
path = '''\.shopkey$'''
[allowlist]
paths = ['''^srv/vendor/''']
"#;

    #[test]
    fn rules_and_allow_lists_of_gitleaks_work() {
        let (detector, problems) = detector(CONFIGURATION);
        assert!(problems.is_empty(), "{problems:?}");
        let check = |path: &str, text: &str, expect: &[(&str, Option<&str>)]| {
            let found = found(&detector, path, text);
            let brief: Vec<(&str, Option<&str>)> =
                found.iter().map(|(id, why)| (id.as_str(), why.as_deref())).collect();
            assert_eq!(brief, expect, "{path}: {text}");
        };
        check("srv/a.txt", "Shop_Key = k-a1b2c3d4e5f6\n", &[("shop-key", None)]);
        check(
            "srv/a.txt",
            "shop_key = k-aaaaaaaaaaab\n",
            &[("shop-key", Some("a placeholder: it holds 8 equal characters in a row"))],
        );
        check("srv/a.txt", "shop_key = k-test1b2c3d4e\n", &[("shop-key", Some("allowed: the key of the tests"))]);
        check("srv/a.txt", "shop_key = k-a1sample2b3c\n", &[("shop-key", Some("allowed: the key of the tests"))]);
        check("srv/vendor/a.txt", "shop_key = k-a1b2c3d4e5f6\n", &[("shop-key", Some("allowed: an allow list"))]);
        check("srv/a.txt", "no word of it = k-a1b2c3d4e5f6\n", &[]);
        check("srv/my.shopkey", "anything at all\n", &[("shop-file", None)]);
        let npm = ["np", "m_qkJaB6MffYVzZXWqmcoF49yrUxP3wf", "0LsakP"].concat();
        check("srv/a.txt", &npm, &[]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (_, problems) = detector(
            "[[rules]]\nid = \"a\"\nregex = \"(\"\n[[rules]]\nid = \"b\"\n[[rules]]\nid = \"c\"\nregex = \"x\"\nsecretGroup = 4\n[extend]\npath = \"other.toml\"\n",
        );
        for part in [
            "rule a: line 3, column 9",
            "rule b: has neither",
            "rule c: line 8, column 9: the pattern has no group 4",
            "not followed",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
    }
}
