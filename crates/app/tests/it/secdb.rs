//! What an Alpine secdb implies, computed without the program: an own reader of the package database and an own,
//! deliberately plain comparison of apk versions (apk-tools, `src/version.c`), enough for the versions in the data.

use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Binary package, origin, version.
pub fn installed(database: &str) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    for stanza in database.split("\n\n") {
        let field = |letter: &str| stanza.lines().find_map(|line| line.strip_prefix(letter)).map(str::to_owned);
        if let (Some(name), Some(version)) = (field("P:"), field("V:")) {
            let origin = field("o:").unwrap_or_else(|| name.clone());
            out.push((name, origin, version));
        }
    }
    out
}

/// `lib/apk/db/installed` of a root file system archive.
pub fn database_of(tar: impl Read) -> String {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").to_string_lossy().trim_start_matches("./") == "lib/apk/db/installed" {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("UTF-8");
            return text;
        }
    }
    panic!("no package database");
}

/// The rows (binary package, CVE, fixed version) that secdb documents imply for installed packages.
pub fn implied(documents: &[Value], installed: &[(String, String, String)]) -> BTreeSet<(String, String, String)> {
    let mut fixes: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for package in documents.iter().flat_map(|d| d["packages"].as_array().expect("packages")) {
        let origin = package["pkg"]["name"].as_str().expect("a name");
        for (version, ids) in package["pkg"]["secfixes"].as_object().expect("secfixes") {
            for id in ids.as_array().into_iter().flatten().filter_map(Value::as_str) {
                let id = id.split_whitespace().next().unwrap_or_default().to_owned();
                fixes.entry((origin.to_owned(), id)).or_default().push(version.clone());
            }
        }
    }
    let mut rows = BTreeSet::new();
    for (name, origin, version) in installed {
        for ((_, id), versions) in fixes.iter().filter(|((package, _), _)| package == origin) {
            let open = versions.iter().filter(|fixed| *fixed != "0" && compare(version, fixed) == Ordering::Less);
            if let Some(first) = open.min_by(|a, b| compare(a, b)) {
                rows.insert((name.clone(), id.clone(), first.clone()));
            }
        }
    }
    rows
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: Vec<u64>,
    letter: char,
    suffixes: Vec<(i32, u64)>,
    revision: u64,
}

fn parse(text: &str) -> Version {
    let (text, revision) = text.rsplit_once("-r").map_or((text, 0), |(t, r)| (t, r.parse().expect("a revision")));
    let mut parts = text.split('_');
    let main = parts.next().expect("a version");
    let letter = main.chars().last().filter(char::is_ascii_lowercase).unwrap_or('\0');
    let numbers = main.trim_end_matches(|c: char| c.is_ascii_lowercase()).split('.');
    let numbers = numbers.map(|n| n.parse().expect("a number")).collect();
    let order = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"];
    let suffix = |part: &str| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let at = order.iter().position(|o| *o == word).expect("a known suffix");
        (i32::try_from(at).expect("small") - 4, part[word.len()..].parse().unwrap_or(0))
    };
    let mut suffixes: Vec<(i32, u64)> = parts.map(suffix).collect();
    suffixes.push((0, 0));
    Version { numbers, letter, suffixes, revision }
}

fn compare(a: &str, b: &str) -> Ordering {
    parse(a).cmp(&parse(b))
}

#[test]
fn the_plain_comparison_orders_what_the_data_holds() {
    for (a, b) in [
        ("1.1.1c-r0", "1.1.1d-r0"),
        ("1.1.22-r2", "1.1.22-r3"),
        ("2.9-r0", "2.10-r0"),
        ("1.0_rc1-r0", "1.0-r0"),
        ("1.0-r0", "1.0_p1-r0"),
    ] {
        assert_eq!(compare(a, b), Ordering::Less, "{a} < {b}");
    }
}
