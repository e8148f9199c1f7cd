//! The scan report as a table, for people.
//!
//! Not here: looking whether there is a terminal, and how wide. Every text that comes from an image or a feed passes
//! through [`crate::text`]. A clean result is only called one when there are no gaps.

use crate::scan::{RenderOptions, ReportEvidence, ReportFinding, ReportGap, ScanReport};
use crate::text::{plain, shortened};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};
use model::{FindingKind, Severity};
use std::fmt::Write;

/// Below this the table is laid out as if the terminal were this wide.
const WIDTH_MIN: u16 = 60;

/// Only a line under the header.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Writes one report, with a newline at its end.
pub(crate) fn render(report: &ScanReport, options: &RenderOptions) -> String {
    let page = Page { options };
    let mut out = String::new();
    page.header(report, &mut out);
    page.summary(report, &mut out);
    if did_not_run(report, "vulnerabilities") {
        page.packages(report, &mut out);
    }
    for kind in FindingKind::ALL {
        page.findings(report, kind, &mut out);
    }
    page.gaps(&report.gaps, &mut out);
    out
}

fn did_not_run(report: &ScanReport, scanner: &str) -> bool {
    report.statistics.not_run.iter().any(|name| name == scanner)
}

struct Page<'a> {
    options: &'a RenderOptions,
}

impl Page<'_> {
    fn header(&self, report: &ScanReport, out: &mut String) {
        let image = &report.image;
        let os = report.os.as_ref().map_or_else(
            || "unknown".to_owned(),
            |os| format!("{} ({} {})", os.name, os.id, if os.version.is_empty() { "rolling" } else { &os.version }),
        );
        let bytes: u64 = image.layers.iter().map(|l| l.bytes).sum();
        let base = crate::format::base_text(image).unwrap_or_else(|| "not told".to_owned());
        let rows = [
            ("Image", image.reference.clone()),
            ("Digest", image.digest.clone().unwrap_or_else(|| "none: there is no manifest".to_owned())),
            ("Platform", image.platform.clone()),
            ("System", os),
            ("Built", image.created.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("Layers", format!("{}, {}", image.layers.len(), bytes_text(bytes))),
            ("Built on", base),
            ("Packages", report.packages.len().to_string()),
        ];
        for (name, value) in rows {
            let label = self.paint(&format!("{name:<9}"), Attribute::Bold);
            let room = usize::from(self.width()).saturating_sub(11).max(20);
            // A digest is never cut: it is what people copy.
            let value = if name == "Digest" || name == "Image" { plain(&value) } else { shortened(&value, room) };
            let _ = writeln!(out, "{label}  {value}");
        }
    }

    fn summary(&self, report: &ScanReport, out: &mut String) {
        let open: Vec<&ReportFinding> = report.findings.iter().filter(|f| is_open(f)).collect();
        let mut parts = Vec::new();
        for severity in Severity::ALL {
            let number = open.iter().filter(|f| f.severity == severity.as_str()).count();
            if number > 0 {
                parts.push(self.colour(&format!("{number} {severity}"), severity));
            }
        }
        let gaps = count(report.gaps.len(), "gap");
        out.push('\n');
        let _ = match (open.len(), report.gaps.len()) {
            (0, 0) if report.statistics.not_run.is_empty() => {
                writeln!(out, "Nothing found, and everything that was asked for could be seen.")
            }
            (0, 0) => writeln!(out, "Nothing found by the scanners that ran."),
            (0, _) => writeln!(out, "Nothing found in what could be seen; {gaps}, listed below."),
            (n, 0) => writeln!(out, "{}: {}", count(n, "finding"), parts.join(", ")),
            (n, _) => writeln!(out, "{}: {}; {gaps}, listed below", count(n, "finding"), parts.join(", ")),
        };
        if !report.statistics.not_run.is_empty() {
            let _ = writeln!(out, "Not run: {}", report.statistics.not_run.join(", "));
        }
        let (read, left) = (report.statistics.bytes_read, report.statistics.bytes_not_read);
        if left > 0 {
            let _ = writeln!(
                out,
                "Downloaded {read} bytes of layers; {left} bytes were not, because files that no scanner wants lie in them"
            );
        }
    }

    fn packages(&self, report: &ScanReport, out: &mut String) {
        self.title("PACKAGES", report.packages.len(), out);
        let mut table = self.table(&["Name", "Version", "From", "Source", "Recorded in"], 4);
        for package in &report.packages {
            let kind = package.purl.strip_prefix("pkg:").and_then(|p| p.split('/').next()).unwrap_or_default();
            let source = package.source.as_ref().map_or("", |s| s.name.as_str());
            let place = package.locations.first().and_then(|l| l.path.as_deref()).unwrap_or("not told");
            let cells =
                [package.name.as_str(), &package.version, package.ecosystem.as_deref().unwrap_or(kind), source, place];
            table.add_row(cells.map(plain));
        }
        finish(&table, out);
    }

    fn findings(&self, report: &ScanReport, kind: FindingKind, out: &mut String) {
        let rows: Vec<&ReportFinding> = report.findings_of(kind).collect();
        if rows.is_empty() {
            return;
        }
        let title = match kind {
            FindingKind::Vulnerability => "VULNERABILITIES",
            FindingKind::Secret => "SECRETS",
            FindingKind::Malware => "MALWARE",
            FindingKind::Misconfiguration => "MISCONFIGURATIONS",
            FindingKind::EndOfLife => "END OF LIFE",
            FindingKind::UntrustedImage => "UNTRUSTED IMAGE",
            FindingKind::Compliance => "COMPLIANCE",
        };
        self.title(title, rows.len(), out);
        match kind {
            FindingKind::Vulnerability => self.vulnerabilities(&rows, out),
            FindingKind::Secret | FindingKind::Malware => self.places(&rows, out),
            FindingKind::Misconfiguration
            | FindingKind::EndOfLife
            | FindingKind::UntrustedImage
            | FindingKind::Compliance => self.reasons(&rows, out),
        }
    }

    fn vulnerabilities(&self, rows: &[&ReportFinding], out: &mut String) {
        let mut table = self.table(&["Severity", "Vulnerability", "Package", "Installed", "Fixed in", "Status"], 6);
        for finding in rows {
            let package = finding.package.as_ref();
            let fixed = finding.fixed_versions.first().map_or("", String::as_str);
            let exploited = finding.vulnerability.as_ref().is_some_and(|v| v.kev.is_some());
            let status = if exploited { format!("{}, exploited", finding.status) } else { finding.status.clone() };
            table.add_row(vec![
                self.severity(finding),
                Cell::new(plain(&finding.id)),
                Cell::new(plain(package.map_or("", |p| &p.name))),
                Cell::new(plain(package.map_or("", |p| &p.version))),
                Cell::new(plain(fixed)),
                Cell::new(plain(&status)),
            ]);
        }
        finish(&table, out);
    }

    fn places(&self, rows: &[&ReportFinding], out: &mut String) {
        let mut table = self.table(&["Severity", "Rule", "What", "Where"], 3);
        for finding in rows {
            let place = match &finding.package {
                Some(package) => format!("{} {}", package.name, package.version),
                None => places(&finding.evidence),
            };
            table.add_row(vec![
                self.severity(finding),
                Cell::new(plain(&finding.id)),
                Cell::new(shortened(&finding.title, 200)),
                Cell::new(shortened(&place, 300)),
            ]);
        }
        finish(&table, out);
    }

    fn reasons(&self, rows: &[&ReportFinding], out: &mut String) {
        let mut table = self.table(&["Severity", "Check", "What", "Why"], 3);
        for finding in rows {
            table.add_row(vec![
                self.severity(finding),
                Cell::new(plain(&finding.id)),
                Cell::new(shortened(&finding.title, 200)),
                Cell::new(shortened(&finding.because, 240)),
            ]);
        }
        finish(&table, out);
    }

    fn gaps(&self, gaps: &[ReportGap], out: &mut String) {
        if gaps.is_empty() {
            return;
        }
        self.title("GAPS: what could not be seen", gaps.len(), out);
        let mut table = self.table(&["Scope", "Reason", "Detail"], 2);
        for gap in gaps {
            table.add_row([shortened(&gap.scope, 200), plain(&gap.reason), shortened(&gap.detail, 400)]);
        }
        finish(&table, out);
    }

    fn title(&self, title: &str, number: usize, out: &mut String) {
        let _ = writeln!(out, "\n{}", self.paint(&format!("{title} ({number})"), Attribute::Bold));
    }

    /// A table whose columns before `wide_from` keep their words whole where there is room.
    fn table(&self, header: &[&str], wide_from: usize) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(self.width());
        if self.options.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let cell = |text: &&str| {
            if self.options.colour { Cell::new(text).add_attribute(Attribute::Bold) } else { Cell::new(text) }
        };
        table.set_header(header.iter().map(cell).collect::<Vec<_>>());
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 0 } else { 1 }, 1));
            if at == 0 && wide_from > 2 {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(11)));
            }
        }
        table
    }

    fn severity(&self, finding: &ReportFinding) -> Cell {
        let cell = Cell::new(plain(&finding.severity));
        match finding.severity.parse().map(colour_of) {
            Ok(Some(colour)) if self.options.colour => cell.fg(colour),
            Ok(_) | Err(_) => cell,
        }
    }

    fn width(&self) -> u16 {
        self.options.width.max(WIDTH_MIN)
    }

    fn paint(&self, text: &str, attribute: Attribute) -> String {
        match attribute {
            Attribute::Bold if self.options.colour => format!("\u{1b}[1m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }

    fn colour(&self, text: &str, severity: Severity) -> String {
        let code = match severity {
            Severity::Critical => "1;31",
            Severity::High => "31",
            Severity::Medium => "33",
            Severity::Low => "36",
            Severity::Negligible | Severity::Unknown => "0",
        };
        if self.options.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

const fn colour_of(severity: Severity) -> Option<Color> {
    match severity {
        Severity::Critical | Severity::High => Some(Color::Red),
        Severity::Medium => Some(Color::Yellow),
        Severity::Low => Some(Color::Cyan),
        Severity::Negligible | Severity::Unknown => None,
    }
}

fn is_open(finding: &ReportFinding) -> bool {
    !matches!(finding.status.as_str(), "not_affected" | "fixed")
}

/// The first place, and how many more there are.
fn places(evidence: &[ReportEvidence]) -> String {
    let Some(first) = evidence.first() else { return String::new() };
    let mut text = match (&first.path, first.line) {
        (Some(path), Some(line)) => format!("{path}:{line}"),
        (Some(path), None) => path.clone(),
        (None, _) => first.history.clone().unwrap_or_else(|| "the configuration".to_owned()),
    };
    if let Some(layer) = first.layer {
        let _ = write!(text, " in layer {layer}");
    }
    if let Some(layer) = first.removed_in {
        let _ = write!(text, ", deleted in layer {layer}");
    }
    if evidence.len() > 1 {
        let _ = write!(text, ", and {} more", evidence.len() - 1);
    }
    text
}

fn finish(table: &Table, out: &mut String) {
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `2.8 MB`, in units of 1000.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut scaled = bytes;
    let mut tenths = 0;
    while scaled >= 1000 && unit + 1 < UNITS.len() {
        tenths = (scaled % 1000) / 100;
        scaled /= 1000;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{scaled}.{tenths} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let check = |bytes: u64, expect: &str| assert_eq!(bytes_text(bytes), expect);
        check(0, "0 B");
        check(999, "999 B");
        check(2_797_541, "2.7 MB");
        check(10_000_000_000, "10.0 GB");
    }
}
