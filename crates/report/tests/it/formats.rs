//! Every other format of the golden reports: `fixtures/report/<case>/input.json` becomes `expect.<extension>`.
//!
//! `PRATIQUE_BLESS=1` rewrites the expectations. Documents whose format has a schema are validated against it.

use crate::golden::{Case, cases, compare, everything, report};
use model::{Gap, GapReason};
use report::{Format, RenderOptions, ScanReport, render, render_all};
use serde_json::Value;

const FORMATS: [Format; 9] = [
    Format::CycloneDx,
    Format::Spdx,
    Format::Sarif,
    Format::OpenVex,
    Format::JUnit,
    Format::GitLab,
    Format::Html,
    Format::Markdown,
    Format::Csv,
];

fn schema(format: Format) -> Option<&'static str> {
    match format {
        Format::CycloneDx => Some("cyclonedx-bom-1.6.schema.json"),
        Format::Spdx => Some("spdx-2.3.schema.json"),
        Format::Sarif => Some("sarif-2.1.0.schema.json"),
        Format::OpenVex => Some("openvex.schema.json"),
        Format::Table
        | Format::Json
        | Format::JUnit
        | Format::GitLab
        | Format::Html
        | Format::Markdown
        | Format::Csv => None,
    }
}

fn options() -> RenderOptions {
    RenderOptions { now: Some("2026-11-22T01:02:03Z".parse().unwrap()), ..RenderOptions::default() }
}

fn written(case: &Case, format: Format) -> String {
    render(&report(case), format, &options())
}

fn parsed(case: &Case, format: Format) -> Value {
    serde_json::from_str(&written(case, format)).unwrap()
}

#[test]
fn formats_are_as_expected() {
    for (path, case) in &cases() {
        for format in FORMATS {
            compare(&path.join(format!("expect.{}", format.extension())), &written(case, format));
        }
    }
}

#[test]
fn documents_are_valid_by_their_schemas() {
    for (path, case) in &cases() {
        for format in FORMATS {
            let Some(schema) = schema(format) else { continue };
            let document = parsed(case, format);
            // There is nothing to state about an image without vulnerabilities.
            let nothing = format == Format::OpenVex && document["statements"].as_array().unwrap().is_empty();
            if nothing {
                continue;
            }
            let Some(faults) = testkit::schema::faults(schema, &document) else { return };
            assert_eq!(faults, Vec::<String>::new(), "{} as {}", path.display(), format.as_str());
        }
    }
}

#[test]
fn what_could_not_be_seen_stands_in_every_format() {
    let mut case = everything();
    let detail = "the words of this gap";
    case.inventory.gaps = vec![Gap {
        scope: "layer 7".to_owned(),
        detector: None,
        reason: GapReason::Unreadable,
        detail: detail.to_owned(),
    }];
    case.findings.clear();
    for format in Format::ALL {
        // VEX speaks of vulnerabilities alone.
        if format != Format::OpenVex {
            assert!(written(&case, format).contains(detail), "{}", format.as_str());
        }
    }
    case.statistics.not_run = vec!["secrets".to_owned()];
    for format in Format::ALL {
        if format != Format::OpenVex {
            let text = written(&case, format).to_lowercase();
            assert!(
                text.contains("not run") || text.contains("not-run") || text.contains("not_run"),
                "{}",
                format.as_str()
            );
        }
    }
}

#[test]
fn the_order_of_input_does_not_show_in_any_format() {
    for (_, mut case) in cases() {
        let before: Vec<String> = FORMATS.iter().map(|format| written(&case, *format)).collect();
        case.findings.reverse();
        case.gaps.reverse();
        case.inventory.packages.reverse();
        let after: Vec<String> = FORMATS.iter().map(|format| written(&case, *format)).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn a_bill_of_materials_depends_on_the_image_alone() {
    let case = everything();
    for format in [Format::CycloneDx, Format::Spdx] {
        let mut later = report(&case);
        later.statistics.duration_ms += 1000;
        let options = RenderOptions { now: Some("2030-01-01T00:00:00Z".parse().unwrap()), ..options() };
        assert_eq!(render(&later, format, &options), written(&case, format), "{}", format.as_str());
    }
}

#[test]
fn no_list_of_vulnerabilities_where_none_were_looked_for() {
    let mut case = everything();
    assert!(parsed(&case, Format::CycloneDx)["vulnerabilities"].is_array());
    case.findings.clear();
    assert_eq!(parsed(&case, Format::CycloneDx)["vulnerabilities"], serde_json::json!([]));
    case.statistics.not_run = vec!["vulnerabilities".to_owned()];
    assert!(parsed(&case, Format::CycloneDx).get("vulnerabilities").is_none());
}

#[test]
fn gitlab_rows_have_what_its_schema_asks_for() {
    let document = parsed(&everything(), Format::GitLab);
    assert_eq!(document["version"], "15.0.2");
    let scan = &document["scan"];
    for (pointer, expect) in
        [("/type", "container_scanning"), ("/status", "success"), ("/scanner/vendor/name", "Pratique")]
    {
        assert_eq!(scan.pointer(pointer).unwrap(), expect);
    }
    let time = scan["start_time"].as_str().unwrap();
    assert_eq!((time.len(), time), (19, "2026-11-22T01:02:03"));
    let rows = document["vulnerabilities"].as_array().unwrap();
    assert!(!rows.is_empty());
    let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "every row has an id of its own");
    for row in rows {
        assert!(["Info", "Unknown", "Low", "Medium", "High", "Critical"].contains(&row["severity"].as_str().unwrap()));
        assert!(!row["identifiers"].as_array().unwrap().is_empty());
        assert!(row.pointer("/location/dependency/package/name").unwrap().is_string());
        assert!(row.pointer("/location/dependency/version").unwrap().is_string());
        assert!(!row.pointer("/location/operating_system").unwrap().as_str().unwrap().is_empty());
        assert!(row.pointer("/location/image").unwrap().is_string());
    }
    let messages = scan["messages"].as_array().unwrap();
    assert!(messages.iter().any(|message| message["value"].as_str().unwrap().contains("dump.sql")));
}

#[test]
fn text_from_an_image_is_only_text() {
    let mut case = everything();
    let evil = "<script>alert(1)</script>\"'|=1+1\u{1b}[2J\u{202e}";
    for finding in &mut case.findings {
        finding.title = evil.to_owned();
        finding.because = evil.to_owned();
        finding.remediation = evil.to_owned();
    }
    case.reference = evil.to_owned();
    for gap in &mut case.gaps {
        gap.detail = evil.to_owned();
    }
    for format in [Format::Html, Format::JUnit] {
        let text = written(&case, format);
        assert!(
            !text.contains("<script") && !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{}",
            format.as_str()
        );
        balanced(&text, format);
    }
    let markdown = written(&case, Format::Markdown);
    assert!(!markdown.contains("<script") && !markdown.contains('\u{1b}'));
    for row in written(&case, Format::Csv).lines() {
        assert!(!row.contains(",=") && !row.contains(",\"=") && !row.starts_with('='), "{row}");
    }
}

/// Every element is closed, in order.
fn balanced(text: &str, format: Format) {
    const ALONE: [&str; 2] = ["meta", "hr"];
    let mut open: Vec<&str> = Vec::new();
    for part in text.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        if tag.starts_with(['!', '?']) || tag.ends_with('/') {
            continue;
        }
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{} near {tag}", format.as_str());
        } else if !ALONE.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "{}", format.as_str());
}

#[test]
fn pages_and_suites_are_well_formed() {
    for (_, case) in cases() {
        for format in [Format::Html, Format::JUnit] {
            balanced(&written(&case, format), format);
        }
        let page = written(&case, Format::Html);
        assert!(!page.contains("<script") && !page.contains("src="), "the page needs nothing else");
    }
}

#[test]
fn several_platforms_share_a_document_where_the_format_allows_it() {
    let reports: Vec<ScanReport> = cases().iter().map(|(_, case)| report(case)).collect();
    let text = |format| render_all(&reports, format, &options());
    let sarif: Value = serde_json::from_str(&text(Format::Sarif)).unwrap();
    assert_eq!(sarif["runs"].as_array().unwrap().len(), reports.len());
    balanced(&text(Format::Html), Format::Html);
    balanced(&text(Format::JUnit), Format::JUnit);
    assert_eq!(text(Format::Csv).lines().filter(|line| line.starts_with("image,")).count(), 1);
    for format in [Format::CycloneDx, Format::Spdx, Format::GitLab] {
        assert!(!format.holds_several());
    }
}

#[test]
fn every_row_of_csv_has_every_column() {
    let text = written(&everything(), Format::Csv);
    let columns = |line: &str| {
        let mut quoted = false;
        line.chars()
            .filter(|c| {
                if *c == '"' {
                    quoted = !quoted;
                }
                *c == ',' && !quoted
            })
            .count()
    };
    let header = columns(text.lines().next().unwrap());
    assert!(text.lines().count() > 5);
    for line in text.lines() {
        assert_eq!(columns(line), header, "{line}");
    }
}
