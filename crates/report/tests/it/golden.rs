//! Golden reports: `fixtures/report/<case>/input.json` becomes `expect.json` and `expect.txt`.
//!
//! `PRATIQUE_BLESS=1` rewrites the expectations. Every JSON form is validated against `docs/report-v1.schema.json`.

use model::{Digest, Finding, Gap, ImageInventory};
use report::{Format, RenderOptions, ScanInput, ScanReport, Statistics, render, render_all};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) reference: String,
    pub(crate) digest: Option<Digest>,
    pub(crate) config_digest: Option<Digest>,
    pub(crate) inventory: ImageInventory,
    pub(crate) findings: Vec<Finding>,
    pub(crate) gaps: Vec<Gap>,
    #[serde(default)]
    pub(crate) statistics: Statistics,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn cases() -> Vec<(PathBuf, Case)> {
    let folder = root().join("fixtures/report");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path.join("input.json")).unwrap();
        let case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, case)
    };
    paths.into_iter().map(read).collect()
}

pub(crate) fn everything() -> Case {
    let (_, case) = cases().into_iter().find(|(path, _)| path.ends_with("everything")).unwrap();
    case
}

pub(crate) fn report(case: &Case) -> ScanReport {
    ScanReport::new(ScanInput {
        reference: &case.reference,
        digest: case.digest.as_ref(),
        config_digest: case.config_digest.as_ref(),
        inventory: &case.inventory,
        findings: &case.findings,
        gaps: &case.gaps,
        statistics: case.statistics.clone(),
    })
}

fn schema() -> jsonschema::Validator {
    let text = fs::read_to_string(root().join("docs/report-v1.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

pub(crate) fn compare(path: &Path, found: &str) {
    if std::env::var_os("PRATIQUE_BLESS").is_some() {
        fs::write(path, found).unwrap();
    }
    let expect = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expect, "{} (PRATIQUE_BLESS=1 rewrites it)", path.display());
}

#[test]
fn reports_are_as_expected_and_valid() {
    let schema = schema();
    let cases = cases();
    assert!(cases.len() >= 3);
    for (path, case) in &cases {
        let report = report(case);
        let json = render(&report, Format::Json, &RenderOptions::default());
        let value = serde_json::from_str(&json).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
        compare(&path.join("expect.json"), &json);
        compare(&path.join("expect.txt"), &render(&report, Format::Table, &RenderOptions::default()));
        let narrow = RenderOptions { width: 80, ..RenderOptions::default() };
        let text = render(&report, Format::Table, &narrow);
        let long: Vec<&str> = text
            .lines()
            .filter(|l| l.chars().count() > 80 && !l.starts_with("Digest") && !l.starts_with("Image"))
            .collect();
        assert_eq!(long, Vec::<&str>::new(), "{}", path.display());
    }
}

#[test]
fn reports_of_several_platforms_are_one_document() {
    let schema = schema();
    let reports: Vec<ScanReport> = cases().iter().map(|(_, case)| report(case)).collect();
    let json = render_all(&reports, Format::Json, &RenderOptions { pretty: false, ..RenderOptions::default() });
    assert!(json.starts_with(r#"{"version":1,"reports":[{"version":1,"image":{"reference":"#), "{}", &json[..80]);
    let value = serde_json::from_str(&json).unwrap();
    assert!(schema.is_valid(&value));
}

#[test]
fn fields_come_in_the_promised_order_with_nulls() {
    let case = &everything();
    let mut case_without = report(case);
    case_without.os = None;
    case_without.image.digest = None;
    let json = render(&case_without, Format::Json, &RenderOptions { pretty: false, ..RenderOptions::default() });
    assert!(json.contains(r#""os":null"#) && json.contains(r#""digest":null"#));
    let positions: Vec<usize> = [
        r#""version":1"#,
        r#""image":"#,
        r#""os":"#,
        r#""packages":"#,
        r#""findings":"#,
        r#""gaps":"#,
        r#""statistics":"#,
    ]
    .iter()
    .map(|key| json.find(key).unwrap())
    .collect();
    assert!(positions.is_sorted());
}

#[test]
fn the_order_of_input_does_not_show() {
    for (_, mut case) in cases() {
        let expect = render(&report(&case), Format::Json, &RenderOptions::default());
        case.findings.reverse();
        case.gaps.reverse();
        case.inventory.packages.reverse();
        case.inventory.gaps.reverse();
        assert_eq!(render(&report(&case), Format::Json, &RenderOptions::default()), expect);
    }
}

#[test]
fn the_schema_refuses_what_is_not_a_report() {
    let schema = schema();
    let case = &everything();
    let good: serde_json::Value = serde_json::to_value(report(case)).unwrap();
    assert!(schema.is_valid(&good));
    for (pointer, bad) in [
        ("/version", serde_json::json!(2)),
        ("/findings/0/kind", serde_json::json!("virus")),
        ("/findings/0/severity", serde_json::json!("HIGH")),
        ("/findings/0/status", serde_json::json!("open")),
        ("/image/layers", serde_json::json!(null)),
        ("/image/digest", serde_json::json!("sha256:12")),
        ("/gaps", serde_json::json!([{"scope": "image"}])),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        assert!(!schema.is_valid(&value), "{pointer}");
    }
    let mut value = good;
    value["packages"][0].as_object_mut().unwrap().remove("source");
    assert!(!schema.is_valid(&value), "a missing key is not null");
}

#[test]
fn colours_only_when_asked_for() {
    let case = &everything();
    let plain = render(&report(case), Format::Table, &RenderOptions::default());
    let coloured = render(&report(case), Format::Table, &RenderOptions { colour: true, ..RenderOptions::default() });
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
}
