//! Markdown (GitHub Flavored, section 4.10 "Tables"): for comments on merge requests and wikis.
//!
//! Invariant: text from an image is only ever text: no link, no markup, no mention, no new table cell.

use super::subject;
use crate::scan::{ReportFinding, ScanReport};
use crate::text::shortened;
use model::{FindingKind, Severity};
use std::fmt::Write;

/// Rows of one table; the line below says how many more there are.
const ROWS_MAX: usize = 500;

/// Writes one section per image.
pub(super) fn document(reports: &[ScanReport]) -> String {
    reports.iter().map(section).collect::<Vec<_>>().join("\n---\n\n")
}

fn section(report: &ScanReport) -> String {
    let mut out = String::new();
    let image = &report.image;
    let _ = writeln!(out, "# {}\n", escaped(&image.reference, 300));
    let os = report.os.as_ref().map_or_else(|| "unknown".to_owned(), |os| os.name.clone());
    let digest = image.digest.as_deref().unwrap_or("none: there is no manifest");
    let _ = writeln!(out, "| | |\n|---|---|");
    for (name, value) in [
        ("Digest", digest),
        ("Platform", &image.platform),
        ("System", &os),
        ("Layers", &image.layers.len().to_string()),
        ("Packages", &report.packages.len().to_string()),
        ("Built on", &subject::base_text(image).unwrap_or_else(|| "not told".to_owned())),
    ] {
        let _ = writeln!(out, "| {name} | {} |", escaped(value, 300));
    }
    let _ = writeln!(out, "\n{}\n", summary(report));
    for kind in FindingKind::ALL {
        findings(report, kind, &mut out);
    }
    if !subject::looked_for(report, "vulnerabilities") {
        packages(report, &mut out);
    }
    gaps(report, &mut out);
    out
}

fn summary(report: &ScanReport) -> String {
    let open: Vec<&ReportFinding> = report.findings.iter().filter(|f| subject::is_open(f)).collect();
    let counts = Severity::ALL.into_iter().filter_map(|severity| {
        let number = open.iter().filter(|f| f.severity == severity.as_str()).count();
        (number > 0).then(|| format!("**{number} {severity}**"))
    });
    let counts: Vec<String> = counts.collect();
    let mut text = match (open.len(), report.gaps.len()) {
        (0, 0) if report.statistics.not_run.is_empty() => {
            "Nothing found, and everything that was asked for could be seen.".to_owned()
        }
        (0, 0) => "Nothing found by the scanners that ran.".to_owned(),
        (0, gaps) => format!("Nothing found in what could be seen; **{gaps} gaps**, listed below."),
        (n, 0) => format!("{n} findings: {}.", counts.join(", ")),
        (n, gaps) => format!("{n} findings: {}; **{gaps} gaps**, listed below.", counts.join(", ")),
    };
    if !report.statistics.not_run.is_empty() {
        let _ = write!(text, " Not run: {}.", report.statistics.not_run.join(", "));
    }
    text
}

fn findings(report: &ScanReport, kind: FindingKind, out: &mut String) {
    let rows: Vec<&ReportFinding> = report.findings_of(kind).collect();
    if rows.is_empty() {
        return;
    }
    let (title, header) = match kind {
        FindingKind::Vulnerability => {
            ("Vulnerabilities", "| Severity | Vulnerability | Package | Installed | Fixed in | Status |")
        }
        FindingKind::Secret => ("Secrets", PLACES),
        FindingKind::Malware => ("Malware", PLACES),
        FindingKind::Misconfiguration => ("Misconfigurations", PLACES),
        FindingKind::EndOfLife => ("End of life", PLACES),
        FindingKind::UntrustedImage => ("Untrusted image", PLACES),
        FindingKind::Compliance => ("Compliance", PLACES),
    };
    let columns = header.matches('|').count() - 1;
    let _ = writeln!(out, "## {title} ({})\n\n{header}\n{}|", rows.len(), "|---".repeat(columns));
    for finding in rows.iter().take(ROWS_MAX) {
        let line = if kind == FindingKind::Vulnerability { vulnerability(finding) } else { place(finding) };
        let _ = writeln!(out, "{line}");
    }
    more(rows.len(), out);
}

const PLACES: &str = "| Severity | Rule | What | Where | What to do |";

fn vulnerability(finding: &ReportFinding) -> String {
    let package = finding.package.as_ref();
    let id = escaped(&finding.id, 100);
    let id = subject::page(finding).map_or_else(|| id.clone(), |url| format!("[{id}](<{url}>)"));
    let exploited = finding.vulnerability.as_ref().is_some_and(|v| v.kev.is_some());
    let exploited = if exploited { ", exploited" } else { "" };
    format!(
        "| {} | {id} | {} | {} | {} | {}{exploited} |",
        escaped(&finding.severity, 20),
        escaped(package.map_or("", |p| &p.name), 200),
        escaped(package.map_or("", |p| &p.version), 100),
        escaped(finding.fixed_versions.first().map_or("", String::as_str), 100),
        escaped(&finding.status.replace('_', " "), 20),
    )
}

fn place(finding: &ReportFinding) -> String {
    let place = match &finding.package {
        Some(package) => format!("{} {}", package.name, package.version),
        None => subject::places_text(finding),
    };
    format!(
        "| {} | {} | {} | {} | {} |",
        escaped(&finding.severity, 20),
        escaped(&finding.id, 100),
        escaped(&finding.title, 200),
        escaped(&place, 300),
        escaped(&finding.remediation, 300),
    )
}

fn packages(report: &ScanReport, out: &mut String) {
    let _ = writeln!(out, "## Packages ({})\n\n| Name | Version | Package URL |\n|---|---|---|", report.packages.len());
    for package in report.packages.iter().take(ROWS_MAX) {
        let (name, version) = (escaped(&package.name, 200), escaped(&package.version, 100));
        let _ = writeln!(out, "| {name} | {version} | {} |", escaped(&package.purl, 300));
    }
    more(report.packages.len(), out);
}

fn gaps(report: &ScanReport, out: &mut String) {
    if report.gaps.is_empty() {
        return;
    }
    let number = report.gaps.len();
    let _ = writeln!(out, "## What could not be seen ({number})\n\n| Scope | Reason | Detail |\n|---|---|---|");
    for gap in report.gaps.iter().take(ROWS_MAX) {
        let (scope, detail) = (escaped(&gap.scope, 200), escaped(&gap.detail, 400));
        let _ = writeln!(out, "| {scope} | {} | {detail} |", escaped(&gap.reason, 40));
    }
    more(number, out);
}

fn more(rows: usize, out: &mut String) {
    match rows.checked_sub(ROWS_MAX) {
        None | Some(0) => {}
        Some(rest) => {
            let _ = writeln!(out, "\n{rest} more rows are in the other formats.");
        }
    }
    out.push('\n');
}

/// Text that Markdown takes for text (CommonMark, section 2.4 "Backslash escapes"); `@` and `#` become entities, so that
/// no name is a mention.
fn escaped(text: &str, chars_max: usize) -> String {
    let text = shortened(text, chars_max);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // GFM, section 6.9 "Autolinks": these alone make a link.
    out.replace("www.", "www&#46;").replace("://", "&#58;//").replace("mailto:", "mailto&#58;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_markup() {
        let check = |text: &str, expect: &str| assert_eq!(escaped(text, 100), expect);
        check("libssl1.1", "libssl1.1");
        check("a|b", "a\\|b");
        check("[x](javascript:1)", "\\[x\\]\\(javascript:1\\)");
        check("<img src=x>", "&lt;img src=x&gt;");
        check("@everyone #1", "&#64;everyone &#35;1");
        check("a\nb", "a b");
        check("www.example.org", "www&#46;example.org");
        check("https://example.org", "https&#58;//example.org");
    }
}
