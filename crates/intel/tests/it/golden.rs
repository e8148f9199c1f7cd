//! Golden results per feed: `fixtures/feeds/<case>/input/*` are documents, `packages.txt`, `digests.txt` and
//! `releases.txt` what is asked, `expect.json` what became of each document, what the feeds hold, and the answers. `PRATIQUE_BLESS=1` rewrites
//! the expectations.

use crate::support::{files, fixtures, intelligence, key, now};
use intel::{Compiler, Intake};
use model::Digest;
use model::checksum::Checksum;
use model::inventory::OsRelease;
use serde_json::{Map, Value, json};
use std::path::Path;

#[test]
fn feeds_give_their_golden_results() {
    let mut failed = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(fixtures("feeds")).unwrap() {
        let case = entry.unwrap().path();
        let found = serde_json::to_string_pretty(&run(&case)).unwrap() + "\n";
        let path = case.join("expect.json");
        cases += 1;
        if std::env::var_os("PRATIQUE_BLESS").is_some() {
            std::fs::write(&path, found).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != found {
            failed.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(cases >= 6, "only {cases} cases were found");
    assert!(failed.is_empty(), "PRATIQUE_BLESS=1 rewrites these:\n{}", failed.join("\n"));
}

fn run(case: &Path) -> Value {
    let mut compiler = Compiler::new(now());
    let mut documents = Map::new();
    for (name, bytes) in files(&case.join("input")) {
        let became = match compiler.document(&name, &bytes) {
            Intake::Recognised(feed) => format!("recognised: {feed}"),
            Intake::Unrecognised => "unrecognised".to_owned(),
            Intake::Failed { feed, reason } => format!("failed: {feed}: {reason}"),
        };
        documents.insert(name, Value::String(became));
    }
    let feeds = compiler.finish();
    let metas: Vec<_> = feeds.iter().map(|feed| serde_json::to_value(&feed.meta).unwrap()).collect();
    let intelligence = intelligence(&feeds);
    let mut packages = Map::new();
    for purl in lines(&case.join("packages.txt")) {
        let matches = intelligence.matches(&key(&purl)).unwrap();
        packages.insert(purl, serde_json::to_value(matches).unwrap());
    }
    let mut digests = Map::new();
    for hex in lines(&case.join("digests.txt")) {
        let key = match hex.parse::<Checksum>() {
            Ok(checksum) => checksum.key(),
            Err(_) => Digest::from_hex(&hex).unwrap(),
        };
        let listed = intelligence.bad_hashes(&key).unwrap();
        digests.insert(hex, serde_json::to_value(listed).unwrap());
    }
    let mut releases = Map::new();
    for line in lines(&case.join("releases.txt")) {
        let (id, version) = line.split_once(' ').unwrap();
        let os = OsRelease { id: id.to_owned(), version: version.to_owned(), name: String::new() };
        let found = intelligence.end_of_life(&os).unwrap();
        releases.insert(line.clone(), serde_json::to_value(found).unwrap());
    }
    let mut out = json!({ "documents": documents, "feeds": metas, "packages": packages, "digests": digests });
    if !releases.is_empty() {
        out["releases"] = Value::Object(releases);
    }
    out
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
