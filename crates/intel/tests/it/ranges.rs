//! Ranges of versions: VERS and every native form, with the public tables where they are there.

use crate::support::test_data;
use intel::range::{BYTES_MAX, CONSTRAINTS_MAX, Range, Syntax};
use intel::version::Scheme;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn rows(data: &Path, name: &str) -> Vec<csv::StringRecord> {
    let file = std::fs::File::open(data.join("versions").join(name)).expect("the table");
    #[expect(clippy::disallowed_types, reason = "the table is trusted test data")]
    let plain = flate2::read::GzDecoder::new(file);
    csv::Reader::from_reader(plain).records().collect::<Result<_, _>>().expect("a table")
}

fn syntax(name: &str) -> Syntax {
    match name {
        "npm" => Syntax::Npm,
        "conan" => Syntax::Conan,
        "pypi" => Syntax::Pypi,
        "gem" => Syntax::Gem,
        "nuget" => Syntax::NuGet,
        "nginx" => Syntax::Nginx,
        "openssl" => Syntax::OpenSsl,
        other => panic!("unknown scheme {other}"),
    }
}

#[derive(Debug, Deserialize)]
struct Exception {
    scheme: String,
    range: String,
    ours: String,
    native: String,
}

#[derive(Debug, Deserialize)]
struct Exceptions {
    exception: Vec<Exception>,
}

#[test]
fn versions_are_in_the_ranges_of_the_public_table() {
    let Some(data) = test_data() else { return };
    let rows = rows(&data, "version_ranges.csv.gz");
    for row in &rows {
        let (scheme, range, version, options) = (&row[1], &row[2], &row[3], &row[5]);
        let found = if scheme == "vers" {
            Range::vers(range).unwrap().contains(version)
        } else {
            let all = options.contains("includePrerelease: true");
            let syntax = if all { Syntax::NpmWithPreReleases } else { Syntax::Npm };
            Range::native(syntax, &range.replace("\\t", "\t")).unwrap().satisfied_by(version)
        };
        // npm counts what is no version as outside; here nothing is said about it.
        assert_eq!(found.unwrap_or(false), &row[4] == "1", "{row:?}");
    }
    assert!(rows.len() >= 230, "{} rows", rows.len());
    println!("ranges: {} memberships, 0 exceptions", rows.len());
}

#[test]
fn native_ranges_of_the_public_table_become_vers() {
    let Some(data) = test_data() else { return };
    let text = std::fs::read_to_string(crate::support::fixtures("versions/range-exceptions.toml")).unwrap();
    let listed: Exceptions = toml::from_str(&text).unwrap();
    let mut listed: BTreeMap<(String, String), Exception> =
        listed.exception.into_iter().map(|e| ((e.scheme.clone(), e.range.clone()), e)).collect();
    let rows = rows(&data, "version_native_ranges.csv.gz");
    let mut wrong = BTreeSet::new();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for row in &rows {
        let (scheme, native, expect) = (&row[1], &row[2], &row[3]);
        let found = Range::native(syntax(scheme), native).map_or_else(|e| e.to_string(), |range| range.to_string());
        let count = counts.entry(scheme.to_owned()).or_default();
        count.0 += 1;
        if found != *expect {
            count.1 += 1;
            let known = listed.remove(&(scheme.to_owned(), native.to_owned()));
            match known {
                Some(known) if known.ours == found && !known.native.is_empty() => {}
                _ => drop(wrong.insert(format!("{scheme} {native:?}: {found}, expected {expect}"))),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(listed.is_empty(), "these hold after all: {listed:#?}");
    println!("native ranges: (rows, exceptions) {counts:?}");
}

#[test]
fn every_native_form_is_read() {
    let check = |syntax, text: &str, expect: &str| {
        let found = Range::native(syntax, text).map_or_else(|e| e.why.to_owned(), |range| range.to_string());
        assert_eq!(found, expect, "{syntax:?} {text:?}");
    };
    check(Syntax::Pypi, "~=2.2.1", "vers:pypi/>=2.2.1|<2.3.dev0");
    check(Syntax::Pypi, "==1.*", "vers:pypi/>=1.dev0|<2.dev0");
    check(Syntax::Pypi, ">=1.0, !=1.5, <2", "vers:pypi/>=1.0|!=1.5|<2");
    check(Syntax::Gem, "~> 2", "vers:gem/>=2|<3");
    check(Syntax::Gem, ">= 1.0, < 2", "vers:gem/>=1.0|<2");
    check(Syntax::NuGet, "1.0", "vers:nuget/>=1.0");
    check(Syntax::NuGet, "(,1.0]", "vers:nuget/<=1.0");
    check(Syntax::Maven, "1.0", "vers:maven/1.0");
    check(Syntax::Maven, "(,1.0],[1.2,)", "vers:maven/<=1.0|>=1.2");
    check(Syntax::Maven, "[1.5]", "vers:maven/1.5");
    check(Syntax::Maven, "(1.5)", "a single version does not stand between square brackets");
    check(Syntax::Maven, "[1.0,2.0", "an interval does not end with a bracket");
    check(Syntax::Plain(Scheme::Go), ">= 1.2, < 1.4", "vers:golang/>=1.2|<1.4");
    check(Syntax::Plain(Scheme::Deb), "< 1.2-3 || = 2", "vers:deb/<1.2-3|2");
    check(Syntax::Plain(Scheme::Deb), "", "it is empty");
    check(Syntax::Plain(Scheme::Deb), ">=", "a comparison has no version");
}

#[test]
fn bounds_of_a_cpe_match_hold_at_their_ends() {
    let check = |start, end, version: &str, expect| {
        let range = Range::between(Scheme::Generic, start, end);
        assert_eq!(range.contains(version), Ok(expect), "{range} {version}");
    };
    check(Some(("1.2", true)), Some(("1.4", false)), "1.2", true);
    check(Some(("1.2", false)), Some(("1.4", false)), "1.2.0", false);
    check(Some(("1.2", false)), Some(("1.4", true)), "1.4", true);
    check(None, Some(("1.4", false)), "1.4", false);
    check(None, None, "1.0", true);
    assert!(Range::between(Scheme::Generic, Some(("1.2", true)), None).contains("latest").is_err());
}

#[test]
fn what_cannot_be_compared_is_never_outside() {
    let check = |range: &str, version: &str, expect: Option<bool>| {
        assert_eq!(Range::vers(range).unwrap().contains(version).ok(), expect, "{range} {version}");
    };
    check("vers:pypi/<2.0", "trunk", None);
    check("vers:pypi/*", "trunk", Some(true));
    check("vers:pypi/>=1.0|<=2.0|!=1.5", "1.5.0", Some(false));
    check("vers:pypi/!=1.5", "1.6", Some(true));
    check("vers:deb/>=1%3A1.0|<1%3A2.0", "1:1.5-1", Some(true));
}

#[test]
fn what_is_no_range_is_refused() {
    for text in ["", "vers:", "vers:pypi", "vers:nothing/1.0", "vers:pypi/>=", "vers:pypi/*|1.0", "vers:pypi/x", "1.0"]
    {
        assert!(Range::vers(text).is_err(), "{text:?}");
    }
    assert!(Range::vers(&format!("vers:generic/{}", "1".repeat(BYTES_MAX))).is_err());
    assert!(Range::native(Syntax::Npm, &"1||".repeat(CONSTRAINTS_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_a_range_panic(text in "[0-9a-z.<>=!~^|,()\\[\\] *+%:/-]{0,40}", version in "[0-9a-z.-]{0,8}") {
        let forms = [Syntax::Npm, Syntax::Conan, Syntax::Pypi, Syntax::Gem, Syntax::NuGet, Syntax::Maven,
            Syntax::Nginx, Syntax::OpenSsl, Syntax::Plain(Scheme::Generic)];
        for syntax in forms {
            if let Ok(range) = Range::native(syntax, &text) {
                let _ = range.to_string();
                let _ = range.contains(&version);
                let _ = range.satisfied_by(&version);
            }
        }
        let _ = Range::vers(&text);
        let _ = Range::vers(&format!("vers:pypi/{text}"));
    }

    #[test]
    fn sorted_vers_text_reads_back(a in 0u8..9, b in 0u8..9, c in 0u8..9, version in 0u8..9) {
        let mut bounds = [a, b, c];
        bounds.sort_unstable();
        let [a, b, c] = bounds;
        prop_assume!(a < b && b < c);
        let range = Range::vers(&format!("vers:generic/>={a}|<{b}|{c}")).unwrap();
        let again = Range::vers(&range.to_string()).unwrap();
        let inside = (version >= a && version < b) || version == c;
        prop_assert_eq!(range.contains(&version.to_string()), Ok(inside));
        prop_assert_eq!(again.contains(&version.to_string()), Ok(inside));
    }
}
