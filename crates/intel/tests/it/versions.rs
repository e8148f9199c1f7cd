//! Version schemes: the hand-made tables of `fixtures/versions`, the large public table where it is there, and the laws
//! of a total order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use intel::version::{BYTES_MAX, Scheme, apk};
use proptest::prelude::*;
use serde::Deserialize;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/versions")
}

/// The folder of real test data, when there is one.
fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PRATIQUE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn holds(found: Ordering, operator: &str) -> bool {
    match operator {
        "<" => found.is_lt(),
        "<=" => found.is_le(),
        "=" => found.is_eq(),
        "!=" => found.is_ne(),
        ">" => found.is_gt(),
        other => panic!("unknown operator {other}"),
    }
}

#[test]
fn versions_of_the_fixtures_are_ordered() {
    for scheme in Scheme::ALL {
        let path = fixtures().join(format!("{scheme}.txt"));
        let text = fs::read_to_string(&path).expect("a fixture for every scheme");
        let facts: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert!(facts.len() >= 15, "{scheme} has too few facts");
        for fact in facts {
            if let Some(broken) = fact.strip_prefix("! ").or((fact == "!").then_some("")) {
                let found = scheme.validate(broken).expect_err(broken);
                assert_eq!((found.version.as_str(), found.scheme), (broken, scheme));
                continue;
            }
            let (a, operator, b) = [" < ", " = "]
                .into_iter()
                .find_map(|o| fact.split_once(o).map(|(a, b)| (a, o.trim(), b)))
                .unwrap_or_else(|| panic!("{scheme}: cannot read {fact:?}"));
            let found = scheme.compare(a, b).unwrap_or_else(|e| panic!("{scheme}: {fact}: {e}"));
            assert!(holds(found, operator), "{scheme}: {fact}: found {found:?}");
            assert_eq!(scheme.compare(b, a), Ok(found.reverse()), "{scheme}: {fact}, turned round");
        }
    }
}

/// A row of the table that does not hold here, and what the ecosystem's own tool says about it.
#[derive(Debug, Deserialize)]
struct Exception {
    scheme: String,
    row: String,
    native: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Exceptions {
    exception: Vec<Exception>,
}

fn exceptions() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(fixtures().join("exceptions.toml")).expect("the list of exceptions");
    let read: Exceptions = toml::from_str(&text).expect("a list of exceptions");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for exception in read.exception {
        assert!(!exception.native.is_empty() && !exception.reason.is_empty(), "{exception:?} does not say why");
        assert!(found.entry(exception.scheme).or_default().insert(exception.row), "an exception is listed twice");
    }
    found
}

/// What came of one scheme's rows.
#[derive(Debug, Default)]
struct Tally {
    ran: usize,
    /// Rows with a version that its own tool refuses today: ordered, but never judged.
    refused: usize,
    /// Rows that do not hold.
    failed: usize,
    failed_rows: BTreeSet<String>,
}

fn tally(rows: &[csv::StringRecord]) -> BTreeMap<String, Tally> {
    let schemes: BTreeMap<&str, Scheme> = Scheme::ALL.into_iter().map(|s| (s.as_str(), s)).collect();
    let mut found: BTreeMap<String, Tally> = BTreeMap::new();
    for row in rows {
        let Some(scheme) = schemes.get(&row[1]) else { continue };
        let tally = found.entry(row[1].to_owned()).or_default();
        tally.ran += 1;
        let (holds, fact) = if &row[3] == "RAW" {
            (apk_line(&row[2]), row[2].to_owned())
        } else {
            let ordering = scheme.compare(&row[2], &row[4]).unwrap_or_else(|_| {
                tally.refused += 1;
                scheme.order(&row[2], &row[4])
            });
            (holds(ordering, &row[3]), format!("{} {} {}", &row[2], &row[3], &row[4]))
        };
        if !holds {
            tally.failed += 1;
            tally.failed_rows.insert(fact);
        }
    }
    found
}

/// A line of apk-tools' own test: `version`, `!version`, `version operator version` or `version !operator version`.
fn apk_line(line: &str) -> bool {
    match *line.split(' ').collect::<Vec<_>>() {
        [version, operator, bound] => apk::satisfies(version, operator, bound).expect("apk-tools decides it"),
        [version] => match version.strip_prefix('!') {
            Some(broken) => !apk::is_valid(broken),
            None => apk::is_valid(version),
        },
        _ => panic!("cannot read {line:?}"),
    }
}

#[test]
fn comparisons_of_the_public_table_hold() {
    let Some(data) = test_data() else {
        println!("versions: SKIPPED, no test data (set PRATIQUE_TEST_DATA)");
        return;
    };
    let file = fs::File::open(data.join("versions/version_compare.csv.gz")).expect("the table of comparisons");
    #[expect(clippy::disallowed_types, reason = "the table is trusted test data")]
    let plain = flate2::read::GzDecoder::new(file);
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(plain).records().collect::<Result<_, _>>().expect("a table");
    let listed = exceptions();
    let found = tally(&rows);
    for (scheme, tally) in &found {
        println!(
            "versions: {scheme} {} comparisons, {} exceptions ({} rows hold a version that the tool itself refuses)",
            tally.ran, tally.failed, tally.refused
        );
        let none = BTreeSet::new();
        assert_eq!(&tally.failed_rows, listed.get(scheme).unwrap_or(&none), "{scheme}: failed rows, listed rows");
        // Two tables follow another order than today's tools: Packagist rows that of raw strings in PHP, which Composer
        // normalises first, and Maven rows that of older releases. The list names each row and the tool's own answer.
        let failed_max = match scheme.as_str() {
            "composer" | "maven" => tally.ran * 3 / 1000,
            _ => tally.ran / 1000,
        };
        assert!(tally.failed <= failed_max, "{scheme}: {} exceptions in {}", tally.failed, tally.ran);
    }
    let rows_of = |ecosystem: &str| rows.iter().filter(|row| &row[1] == ecosystem).count();
    let ecosystems: BTreeSet<&str> = rows.iter().map(|row| &row[1]).collect();
    for ecosystem in ecosystems.into_iter().filter(|e| !["gentoo", "datetime", "lexicographic"].contains(e)) {
        assert!(
            rows_of(ecosystem) > 0 && found.get(ecosystem).is_some_and(|t| t.ran == rows_of(ecosystem)),
            "{ecosystem} was not checked"
        );
    }
}

#[test]
fn another_reader_of_pep440_agrees() {
    let agree = |a: &str, b: &str| {
        let parse = |text: &str| text.parse::<pep440_rs::Version>();
        if let (Ok(x), Ok(y)) = (parse(a), parse(b)) {
            assert_eq!(Scheme::Pep440.compare(a, b), Ok(x.cmp(&y)), "{a} {b}");
        }
    };
    let text = fs::read_to_string(fixtures().join("pep440.txt")).expect("the fixture");
    let versions: Vec<&str> = text.lines().filter(|l| !l.starts_with(['#', '!'])).flat_map(|l| l.split(' ')).collect();
    for a in &versions {
        for b in &versions {
            agree(a, b);
        }
    }
}

/// Strings that look like versions: digits, separators and the words that some scheme knows.
fn version() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,3}",
        4 => Just(".".to_owned()),
        2 => prop::sample::select(vec!["-", "_", "~", "+", "^", ":", "!", "-r"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "a", "b", "p", "alpha", "beta", "rc", "pre", "post", "dev", "_p", "_git", "sp", "final", "snapshot", "x",
        ])
        .prop_map(str::to_owned),
    ];
    ("[0-3]", prop::collection::vec(piece, 0..7)).prop_map(|(first, rest)| first + &rest.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn versions_have_a_total_order(a in version(), b in version(), c in version()) {
        for scheme in Scheme::ALL {
            // vercmp(8) has an order only among versions that all have a release, or all have none.
            let releases = [&a, &b, &c].iter().filter(|v| v.contains('-')).count();
            if scheme == Scheme::Alpm && !matches!(releases, 0 | 3) {
                continue;
            }
            let (Ok(ab), Ok(bc), Ok(ac)) = (scheme.compare(&a, &b), scheme.compare(&b, &c), scheme.compare(&a, &c)) else {
                continue;
            };
            prop_assert_eq!(scheme.compare(&a, &a), Ok(Ordering::Equal), "{} reflexive", scheme);
            prop_assert_eq!(scheme.compare(&b, &a), Ok(ab.reverse()), "{} antisymmetric", scheme);
            if ab.is_le() && bc.is_le() {
                prop_assert!(ac.is_le(), "{}: {} <= {} <= {}", scheme, a, b, c);
            }
            if ab.is_eq() {
                prop_assert_eq!(ac, bc, "{}: {} = {}, {}", scheme, a, b, c);
            }
        }
    }

    #[test]
    fn lists_of_anything_have_a_total_order(a in "[0-9a.é-]{0,5}", b in "[0-9a.é-]{0,5}", c in "[0-9a.é-]{0,5}") {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.order(&a, &b), scheme.order(&b, &a).reverse());
            if scheme.order(&a, &b).is_le() && scheme.order(&b, &c).is_le() {
                prop_assert!(scheme.order(&a, &c).is_le(), "{}: {} {} {}", scheme, a, b, c);
            }
        }
    }

    #[test]
    fn no_string_makes_a_scheme_panic(a in "\\PC{0,40}", b in "[0-9.~^:!+_a-zé-]{0,40}") {
        for scheme in Scheme::ALL {
            for (x, y) in [(&a, &b), (&b, &a), (&a, &a)] {
                let valid = scheme.validate(x).is_ok() && scheme.validate(y).is_ok();
                prop_assert_eq!(scheme.compare(x, y).is_ok(), valid);
                let _ = scheme.order(x, y);
            }
            let _ = apk::satisfies(&a, "~", &b);
            let _ = apk::is_valid(&a);
        }
    }
}

#[test]
fn the_longest_versions_are_quick() {
    let started = Instant::now();
    let repeated = |piece: &str| piece.repeat(BYTES_MAX / piece.len());
    for piece in ["1", "1.", "1-", "a1", "1a.", "~", "0", "1_p", "-", "é"] {
        let long = format!("1{}", repeated(piece).get(..BYTES_MAX - 2).expect("the pieces have whole characters"));
        for scheme in Scheme::ALL {
            let _ = scheme.compare(&long, &long);
            let _ = scheme.order(&long, &format!("{long}2"));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
}
