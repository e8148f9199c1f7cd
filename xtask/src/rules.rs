//! `docs/rules.md`: every rule that ships with the program, for people; written from the rules' own files.
//!
//! Not here: whether the rules are sound, which the tests of `analyze` and `policy` say. Invariant: equal files give equal
//! text, so that a page that is out of date is found by comparing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::process::root;

/// The page, from the root.
pub(crate) const PAGE: &str = "docs/rules.md";

/// One rule of a group.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: String,
    title: String,
    severity: String,
    more: String,
}

/// Writes the page anew; says whether it changed.
pub(crate) fn write() -> Result<()> {
    let text = page(&root())?;
    let path = root().join(PAGE);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        println!("{PAGE} is up to date");
        return Ok(());
    }
    fs::write(&path, text).with_context(|| format!("cannot write {PAGE}"))?;
    println!("{PAGE} written");
    Ok(())
}

/// Fails when the page does not say what the rules say.
pub(crate) fn check() -> Result<()> {
    let kept = fs::read_to_string(root().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    if kept != page(&root())? {
        bail!("{PAGE} is out of date: run `cargo xtask rules`");
    }
    Ok(())
}

fn page(root: &Path) -> Result<String> {
    let secrets = groups(&root.join("rules/secrets"), "toml", |text| toml_rows(text, "rule", "reference"))?;
    let malware = groups(&root.join("rules/malware"), "yar", |text| Ok(yara_rows(text)))?;
    let checks = groups(&root.join("rules/checks"), "toml", |text| toml_rows(text, "check", "remediation"))?;
    let mut out = String::from(
        "# Rules\n\nWritten by `cargo xtask rules` from the files in `rules/`. Ids are what findings, policies and settings name.\n",
    );
    section(&mut out, "Secrets", ("Form described at", "secrets"), &secrets)?;
    section(&mut out, "Malware", ("Looks at", "malware"), &malware)?;
    section(&mut out, "Configuration", ("Remedy", "checks"), &checks)?;
    Ok(out)
}

type Groups = BTreeMap<String, Vec<Row>>;

fn section(out: &mut String, title: &str, (more, folder): (&str, &str), groups: &Groups) -> Result<()> {
    let count: usize = groups.values().map(Vec::len).sum();
    write!(out, "\n## {title}: {count} rules\n")?;
    for (file, rows) in groups.iter().filter(|(_, rows)| !rows.is_empty()) {
        write!(out, "\n### `rules/{folder}/{file}`\n\n| id | what | severity | {more} |\n|---|---|---|---|\n")?;
        for row in rows {
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
            writeln!(out, "| `{}` | {} | {} | {} |", row.id, cell(&row.title), row.severity, cell(&row.more))?;
        }
    }
    Ok(())
}

/// The rows of each file of the folder.
fn groups(folder: &Path, extension: &str, read: impl Fn(&str) -> Result<Vec<Row>>) -> Result<Groups> {
    let mut groups = Groups::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|found| found == extension) && !name.ends_with(".examples.toml") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            groups.insert(name, read(&text).with_context(|| format!("in {}", path.display()))?);
        }
    }
    Ok(groups)
}

fn toml_rows(text: &str, array: &str, more: &str) -> Result<Vec<Row>> {
    let table: Table = toml::from_str(text)?;
    let Some(Value::Array(rules)) = table.get(array) else { return Ok(Vec::new()) };
    let row = |rule: &Value| -> Result<Row> {
        let word = |key: &str| rule.get(key).and_then(Value::as_str).with_context(|| format!("a rule has no {key}"));
        Ok(Row {
            id: word("id")?.to_owned(),
            title: word("title")?.to_owned(),
            severity: word("severity")?.to_owned(),
            more: word(more)?.to_owned(),
        })
    };
    let mut rows: Vec<Row> = rules.iter().map(row).collect::<Result<_>>()?;
    rows.sort();
    Ok(rows)
}

/// The `meta` of each rule: lines `key = "value"`.
fn yara_rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in text.split("meta:").skip(1) {
        let word = |key: &str| {
            let line = part.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix("= \""));
            line.and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
        };
        rows.push(Row { id: word("id"), title: word("title"), severity: word("severity"), more: word("kinds") });
    }
    rows.sort();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_rows() {
        let toml = "[[rule]]\nid = \"b\"\ntitle = \"B | b\"\nseverity = \"low\"\nreference = \"x\"\n\
                    [[rule]]\nid = \"a\"\ntitle = \"A\"\nseverity = \"high\"\nreference = \"y\"\n";
        let rows = toml_rows(toml, "rule", "reference").expect("rules");
        assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let mut out = String::new();
        section(&mut out, "T", ("R", "t"), &Groups::from([("f.toml".to_owned(), rows)])).expect("text");
        assert!(out.contains("| `b` | B \\| b | low | x |\n"), "{out}");
        let yara = "rule one {\n meta:\n  id = \"one\"\n  title = \"One\"\n  severity = \"high\"\n  kinds = \"elf\"\n}";
        assert_eq!(yara_rows(yara)[0].title, "One");
        assert!(toml_rows("[[rule]]\nid = \"b\"\n", "rule", "reference").is_err());
    }

    #[test]
    fn the_page_is_up_to_date() {
        check().expect("docs/rules.md");
    }
}
