//! CSV (RFC 4180): one row per finding and gap, for spreadsheets; packages too when nothing was matched.
//!
//! Invariant: no cell starts like a formula (OWASP, "CSV Injection"): a file name from an image must not run in the
//! spreadsheet of whoever looks at it.

use super::subject;
use crate::scan::{ReportFinding, ScanReport};
use crate::text::plain;

const HEADER: [&str; 14] = [
    "image",
    "digest",
    "platform",
    "kind",
    "id",
    "severity",
    "status",
    "package",
    "version",
    "fixed_versions",
    "purl",
    "where",
    "title",
    "because",
];

/// Writes a header and the rows of every image.
pub(super) fn document(reports: &[ScanReport]) -> String {
    let mut out = line(&HEADER.map(str::to_owned));
    for report in reports {
        for finding in &report.findings {
            out.push_str(&row(report, finding_cells(finding)));
        }
        if !subject::looked_for(report, "vulnerabilities") {
            for package in &report.packages {
                let places: Vec<String> = package.locations.iter().map(subject::location_text).collect();
                let mut cells = cells("package", "");
                cells[4].clone_from(&package.name);
                cells[5].clone_from(&package.version);
                cells[7].clone_from(&package.purl);
                cells[8] = places.join("; ");
                out.push_str(&row(report, cells));
            }
        }
        for gap in &report.gaps {
            let mut cells = cells("gap", &gap.reason);
            cells[8].clone_from(&gap.scope);
            cells[10].clone_from(&gap.detail);
            out.push_str(&row(report, cells));
        }
        for scanner in &report.statistics.not_run {
            let mut cells = cells("not-run", scanner);
            cells[10] = subject::not_run_text(scanner);
            out.push_str(&row(report, cells));
        }
    }
    out
}

/// The cells after the image's: kind, id, severity, status, package, version, fixed versions, purl, where, title, because.
type Cells = [String; 11];

fn cells(kind: &str, id: &str) -> Cells {
    let mut cells = Cells::default();
    cells[0] = kind.to_owned();
    cells[1] = id.to_owned();
    cells
}

fn finding_cells(finding: &ReportFinding) -> Cells {
    let package = finding.package.as_ref();
    let of = |part: fn(&crate::scan::ReportFindingPackage) -> &String| package.map(part).cloned().unwrap_or_default();
    [
        finding.kind.clone(),
        finding.id.clone(),
        finding.severity.clone(),
        finding.status.clone(),
        of(|p| &p.name),
        of(|p| &p.version),
        finding.fixed_versions.join(" "),
        of(|p| &p.purl),
        subject::places_text(finding),
        finding.title.clone(),
        finding.because.clone(),
    ]
}

fn row(report: &ScanReport, cells: Cells) -> String {
    let image = &report.image;
    let digest = image.digest.clone().unwrap_or_default();
    let all: Vec<String> = [image.reference.clone(), digest, image.platform.clone()].into_iter().chain(cells).collect();
    line(&all)
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// One cell: an apostrophe goes in front of what a spreadsheet would take for a formula, quotes around what holds a
/// separator.
fn cell(text: &str) -> String {
    let mut text = plain(text);
    if text.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠']) {
        text.insert(0, '\'');
    }
    if text.contains(['"', ',', '\'', ' ', ';']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_never_formulas() {
        let check = |text: &str, expect: &str| assert_eq!(cell(text), expect);
        check("lib/apk", "lib/apk");
        check("=cmd|'/c calc'!A0", "\"'=cmd|'/c calc'!A0\"");
        check(" +1+1", "\"' +1+1\"");
        check("\t=1", "\"' =1\"");
        check("-2+3", "\"'-2+3\"");
        check("@SUM(A1)", "\"'@SUM(A1)\"");
        check("a,\"b\"", "\"a,\"\"b\"\"\"");
        check("a\r\nb", "\"a  b\"");
    }
}
