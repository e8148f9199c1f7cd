//! The quality gate: labelled rows of `fixtures/quality`, judged with real records.
//!
//! A row says what is true of a package and a vulnerability, and who says so: always a source other than the record
//! that is matched. The gate prints precision, recall and the share of undecided answers per family, and fails when one
//! of them falls below `gate.toml`. It can fall: the last tests here break a comparator and drop status words.

use crate::support::{compile, documents, fixtures, intelligence, key, test_data};
use model::Verdict;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The rows of one family: a distribution or a language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    /// Folders or files of documents below the test data.
    #[serde(default)]
    feeds: Vec<String>,
    /// Folders or files of documents below `fixtures/quality`.
    #[serde(default)]
    records: Vec<String>,
    row: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// A purl, with the qualifiers that an inventory would have.
    package: String,
    vulnerability: String,
    verdict: Label,
    /// The first version without it that the release offers.
    #[serde(default)]
    fixed: Option<String>,
    /// Who says so, and where.
    source: String,
    /// Why the record says otherwise. The row counts in the figures, where the record's mistake is ours too.
    #[serde(default)]
    record: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Label {
    Affected,
    NotAffected,
    Undecided,
}

/// The lowest figures that pass.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    /// Of the rows called affected, the share that is.
    precision_min: f64,
    /// Of the rows that are affected, the share called so.
    recall_min: f64,
    /// Both of these, of the rows whose record is not known to be wrong: what a wrong record costs hides no mistake of
    /// ours.
    sound_min: f64,
    /// Of the rows that can be decided, the share left undecided.
    undecided_max: f64,
    /// Rows in all.
    rows_min: usize,
    /// Rows in all that nobody can decide from the record.
    undecided_rows_min: usize,
    /// Rows of each family.
    family_rows_min: usize,
}

/// The figures of a family, or of all.
#[derive(Debug, Default, Clone, Copy)]
struct Judged {
    all: Figures,
    /// Of the rows whose record is not known to be wrong.
    sound: Figures,
}

impl Judged {
    fn add(&mut self, other: Judged) {
        self.all.add(other.all);
        self.sound.add(other.sound);
    }

    fn passes(&self, gate: &Gate) -> bool {
        self.all.precision() >= gate.precision_min
            && self.all.recall() >= gate.recall_min
            && self.all.undecided() <= gate.undecided_max
            && self.sound.precision() >= gate.sound_min
            && self.sound.recall() >= gate.sound_min
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    rows: usize,
    decidable: usize,
    affected: usize,
    called_affected: usize,
    rightly_called: usize,
    left_undecided: usize,
    wrong: usize,
}

impl Figures {
    fn count(&mut self, expected: Label, found: Label, right: bool) {
        self.rows += 1;
        self.wrong += usize::from(!right);
        if expected != Label::Undecided {
            self.decidable += 1;
            self.left_undecided += usize::from(found == Label::Undecided);
        }
        self.affected += usize::from(expected == Label::Affected);
        self.called_affected += usize::from(found == Label::Affected);
        self.rightly_called += usize::from(expected == Label::Affected && found == Label::Affected);
    }

    fn add(&mut self, other: Figures) {
        self.rows += other.rows;
        self.decidable += other.decidable;
        self.affected += other.affected;
        self.called_affected += other.called_affected;
        self.rightly_called += other.rightly_called;
        self.left_undecided += other.left_undecided;
        self.wrong += other.wrong;
    }

    fn precision(&self) -> f64 {
        share(self.rightly_called, self.called_affected)
    }

    fn recall(&self) -> f64 {
        share(self.rightly_called, self.affected)
    }

    fn undecided(&self) -> f64 {
        if self.decidable == 0 { 0.0 } else { share(self.left_undecided, self.decidable) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn families() -> Vec<(String, Family)> {
    let mut found = Vec::new();
    for (name, bytes) in crate::support::files(&fixtures("quality")) {
        let Some(family) = name.strip_suffix(".toml").filter(|name| *name != "gate" && !name.contains('/')) else {
            continue;
        };
        let text = String::from_utf8(bytes).unwrap();
        found.push((family.to_owned(), toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))));
    }
    found
}

fn gate() -> Gate {
    toml::from_str(&std::fs::read_to_string(fixtures("quality").join("gate.toml")).unwrap()).unwrap()
}

/// Documents below a folder, or one file.
fn under(folder: &Path, names: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names {
        let path = folder.join(name);
        assert!(path.exists(), "{} is missing", path.display());
        if path.is_dir() {
            all.extend(documents(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let is_zip = path.extension().is_some_and(|e| e == "zip");
            all.extend(if is_zip { crate::support::unzip(name, &bytes) } else { vec![(name.clone(), bytes)] });
        }
    }
    all
}

/// Reads text that a feed or a purl is written in, and gives it back, changed or not.
type Rewrite = fn(&str) -> String;

fn as_it_is(text: &str) -> String {
    text.to_owned()
}

/// Judges the rows of a family with its records, both passed through a rewrite.
fn judge(data: &Path, family: &Family, rewrite: Rewrite) -> (Judged, Vec<String>) {
    let mut all = under(data, &family.feeds);
    all.extend(under(&fixtures("quality"), &family.records));
    let all: Vec<(String, Vec<u8>)> = all.into_iter().map(|(name, bytes)| (name, rewritten(bytes, rewrite))).collect();
    let feeds = compile(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let known = intelligence(&feeds);
    let (mut judged, mut wrong) = (Judged::default(), Vec::new());
    for row in &family.row {
        let matches = known.matches(&key(&rewrite(&row.package))).unwrap();
        let found = matches.iter().find(|m| m.vulnerability == row.vulnerability);
        let verdict = found.map(|m| &m.verdict);
        let right = agrees(row, verdict);
        judged.all.count(row.verdict, label(verdict), right);
        if row.record.is_none() {
            judged.sound.count(row.verdict, label(verdict), right);
        }
        if right && row.record.is_some() {
            let (package, id) = (&row.package, &row.vulnerability);
            wrong.push(format!("{package} {id}: the record agrees, so that `record` explains nothing"));
        }
        if !right && row.record.is_none() {
            wrong.push(format!(
                "{} {}: expected {:?} {:?} ({}), found {verdict:?}",
                row.package, row.vulnerability, row.verdict, row.fixed, row.source
            ));
        }
    }
    (judged, wrong)
}

fn rewritten(bytes: Vec<u8>, rewrite: Rewrite) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => rewrite(&text).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

fn label(verdict: Option<&Verdict>) -> Label {
    match verdict {
        Some(Verdict::Affected { .. }) => Label::Affected,
        Some(Verdict::Undecided { .. }) => Label::Undecided,
        Some(Verdict::NotAffected { .. }) | None => Label::NotAffected,
    }
}

fn agrees(row: &Row, verdict: Option<&Verdict>) -> bool {
    let fix_agrees = match (&row.fixed, verdict) {
        (Some(expected), Some(Verdict::Affected { fixed, .. })) => fixed.first() == Some(expected),
        (Some(_), _) => false,
        (None, _) => true,
    };
    label(verdict) == row.verdict && fix_agrees
}

/// The figures of every family whose documents are here, and what went wrong. Without the test data these are the
/// families that bring their records.
fn judge_all(rewrite: Rewrite) -> BTreeMap<String, (Judged, Vec<String>)> {
    let data = test_data();
    let here = |family: &Family| data.is_some() || family.feeds.is_empty();
    let folder = data.clone().unwrap_or_default();
    let families = families().into_iter().filter(|(_, family)| here(family));
    families.map(|(name, family)| (name, judge(&folder, &family, rewrite))).collect()
}

#[test]
fn quality_gate_holds() {
    let (gate, mut all) = (gate(), Judged::default());
    let mut failed = Vec::new();
    let families_here = judge_all(as_it_is);
    let every_family = families_here.len() == families().len();
    println!("{:<16} {:>5} {:>10} {:>10} {:>10}", "family", "rows", "precision", "recall", "undecided");
    for (name, (judged, wrong)) in families_here {
        print_figures(&name, &judged.all);
        if judged.all.rows < gate.family_rows_min {
            failed.push(format!("{name} has {} rows, not {}", judged.all.rows, gate.family_rows_min));
        }
        failed.extend(wrong);
        all.add(judged);
    }
    print_figures("all", &all.all);
    print_figures("sound records", &all.sound);
    assert!(failed.is_empty(), "{all:?}:\n{}", failed.join("\n"));
    if every_family {
        let rows = all.all.rows;
        assert!(rows >= gate.rows_min, "{rows} rows, not {}", gate.rows_min);
        let undecided = rows - all.all.decidable;
        assert!(undecided >= gate.undecided_rows_min, "{undecided} undecided rows, not {}", gate.undecided_rows_min);
        assert!(all.passes(&gate), "{all:?} does not pass {gate:?}");
    }
}

fn print_figures(name: &str, figures: &Figures) {
    println!(
        "{name:<16} {:>5} {:>10.3} {:>10.3} {:>10.3}",
        figures.rows,
        figures.precision(),
        figures.recall(),
        figures.undecided()
    );
}

#[test]
fn quality_rows_cite_their_sources() {
    for (name, family) in families() {
        assert!(!family.feeds.is_empty() || !family.records.is_empty(), "{name} has no records");
        for row in family.row {
            assert!(row.source.len() >= 8, "{name}: {} {} cites nobody", row.package, row.vulnerability);
            let has_fix = row.fixed.is_some();
            assert!(!has_fix || row.verdict == Label::Affected, "{name}: {} names a fix", row.package);
        }
    }
}

/// A record that no feed reads, or a row about a vulnerability that no record names, would pass as "not affected".
#[test]
fn quality_records_are_read_and_name_what_is_judged() {
    for (name, family) in families() {
        let records = under(&fixtures("quality"), &family.records);
        let mut compiler = intel::Compiler::new(crate::support::now());
        let mut text = String::new();
        for (document, bytes) in &records {
            let intake = compiler.document(document, bytes);
            assert!(matches!(intake, intel::Intake::Recognised(_)), "{name}: {document}: {intake:?}");
            text.push_str(&String::from_utf8_lossy(bytes));
        }
        for feed in compiler.finish() {
            let unread = feed.meta.error.is_some() || feed.meta.broken_records > 0;
            assert!(!unread, "{name}: {:?}", feed.meta);
        }
        for row in family.row.iter().filter(|_| family.feeds.is_empty()) {
            assert!(text.contains(&row.vulnerability), "{name}: no record names {}", row.vulnerability);
        }
    }
}

/// Versions of crates, ordered as if they were Debian's: `1.0.0-rc.1` is then newer than `1.0.0`.
fn rust_as_debian(text: &str) -> String {
    text.replace("\"ecosystem\": \"crates.io\"", "\"ecosystem\": \"Debian:12\"")
        .replace("pkg:cargo/", "pkg:deb/debian/")
        .replace("?", "?distro=debian-12&")
}

/// A tracker whose word for "this version has the fix" is not known.
fn without_resolved(text: &str) -> String {
    text.replace("\"status\":\"resolved\"", "\"status\":\"undetermined\"")
}

/// A family by its name, which passes as it is.
fn passing(name: &str, data: &Path) -> Family {
    let family = families().into_iter().find(|(found, _)| found == name).expect("rows of the family").1;
    let (judged, wrong) = judge(data, &family, as_it_is);
    assert!(judged.passes(&gate()) && wrong.is_empty(), "{name}: {judged:?}");
    family
}

#[test]
fn quality_falls_when_status_words_are_dropped() {
    let Some(data) = test_data() else { return };
    let (judged, _) = judge(&data, &passing("debian", &data), without_resolved);
    assert!(!judged.passes(&gate()), "{judged:?} passes without status words");
}

#[test]
fn quality_falls_when_a_comparator_is_broken() {
    let data = Path::new("");
    let mut family = passing("rust", data);
    for row in &mut family.row {
        row.package.push('?');
    }
    let (judged, _) = judge(data, &family, rust_as_debian);
    assert!(!judged.passes(&gate()), "{judged:?} passes with the comparator of another ecosystem");
}
