//! One HTML page that needs nothing else: no script, no address to load from, readable in a mail or an archive.
//!
//! Invariant: every text passes [`escaped`]; links only lead to web addresses; the page's own policy forbids everything
//! but its style, so that even a mistake here could not run anything.

use super::RenderOptions;
use super::subject;
use super::xml::escaped;
use crate::scan::{ReportFinding, ReportGap, ReportLayer, ScanReport};
use model::{FindingKind, Severity};
use std::fmt::Write;

const STYLE: &str = include_str!("html.css");

/// Rows of one table; the line below says how many more there are.
const ROWS_MAX: usize = 5_000;

/// Writes one page with a section per image.
pub(super) fn document(reports: &[ScanReport], options: &RenderOptions) -> String {
    let first = super::only(reports);
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n",
    );
    let _ = writeln!(out, "<title>{} – Pratique</title>", escaped(&first.image.reference));
    let _ = write!(out, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n");
    for (at, report) in reports.iter().enumerate() {
        if at > 0 {
            out.push_str("<hr>\n");
        }
        image(report, &mut out);
    }
    let _ = write!(
        out,
        "<footer>Made by pratique {} on {}. A gap is not a clean result.</footer>\n</main>\n</body>\n</html>\n",
        escaped(subject::version(first)),
        escaped(&subject::judged(first, options))
    );
    out
}

fn image(report: &ScanReport, out: &mut String) {
    let _ =
        write!(out, "<p class=\"eyebrow\">Container image report</p>\n<h1>{}</h1>\n", escaped(&report.image.reference));
    counts(report, out);
    notices(report, out);
    facts(report, out);
    for kind in FindingKind::ALL {
        findings(report, kind, out);
    }
    gaps(&report.gaps, out);
    layers(&report.image.layers, out);
    packages(report, out);
}

fn counts(report: &ScanReport, out: &mut String) {
    let open: Vec<&ReportFinding> = report.findings.iter().filter(|f| subject::is_open(f)).collect();
    let of = |severity: Severity| open.iter().filter(|f| f.severity == severity.as_str()).count();
    out.push_str("<div class=\"counts\">\n");
    let mut count = |class: &str, number: usize, what: &str| {
        let none = if number == 0 { " none" } else { "" };
        let _ = writeln!(out, "<div class=\"count {class}{none}\"><b>{number}</b><span>{what}</span></div>");
    };
    for severity in Severity::ALL {
        count(severity.as_str(), of(severity), severity.as_str());
    }
    count("gaps", report.gaps.len(), "not seen");
    out.push_str("</div>\n");
    if !open.is_empty() {
        out.push_str("<div class=\"bar\" role=\"presentation\">");
        for severity in Severity::ALL {
            if of(severity) > 0 {
                let _ = write!(out, "<i class=\"{severity}\" style=\"flex:{}\"></i>", of(severity));
            }
        }
        out.push_str("</div>\n");
    }
}

fn notices(report: &ScanReport, out: &mut String) {
    let open = report.findings.iter().any(subject::is_open);
    let not_run = &report.statistics.not_run;
    if !report.gaps.is_empty() {
        let _ = writeln!(
            out,
            "<div class=\"notice\"><b>Not everything could be seen.</b> {} below: what was not looked at is not clean.</div>",
            if report.gaps.len() == 1 {
                "One gap is listed".to_owned()
            } else {
                format!("{} gaps are listed", report.gaps.len())
            }
        );
    }
    if !not_run.is_empty() {
        let list = escaped(&not_run.join(", "));
        let _ = writeln!(out, "<div class=\"notice\"><b>Not run:</b> {list}. Nothing is said about them.</div>");
    }
    if !open && report.gaps.is_empty() && not_run.is_empty() {
        out.push_str(
            "<div class=\"notice good\"><b>Nothing found</b>, and everything that was asked for could be seen.</div>\n",
        );
    }
}

fn facts(report: &ScanReport, out: &mut String) {
    let image = &report.image;
    let os = report.os.as_ref().map_or_else(|| "unknown".to_owned(), |os| os.name.clone());
    let bytes: u64 = image.layers.iter().map(|layer| layer.bytes).sum();
    let facts = [
        ("Platform", image.platform.clone()),
        ("System", os),
        ("Built", subject::built(report).unwrap_or_else(|| "not told".to_owned())),
        ("Layers", format!("{}, {}", image.layers.len(), crate::table::bytes_text(bytes))),
        ("Packages", report.packages.len().to_string()),
    ];
    out.push_str("<dl class=\"facts card\">\n");
    for (name, value) in facts {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    if let Some(base) = subject::base_text(image) {
        let _ = writeln!(out, "<div class=\"wide\"><dt>Built on</dt><dd>{}</dd></div>", escaped(&base));
    }
    let digest = image.digest.as_deref().unwrap_or("none: there is no manifest");
    let _ = write!(out, "<div class=\"wide\"><dt>Digest</dt><dd><code>{}</code></dd></div>\n</dl>\n", escaped(digest));
}

fn findings(report: &ScanReport, kind: FindingKind, out: &mut String) {
    let rows: Vec<&ReportFinding> = report.findings_of(kind).collect();
    if rows.is_empty() {
        return;
    }
    let title = match kind {
        FindingKind::Vulnerability => "Vulnerabilities",
        FindingKind::Secret => "Secrets",
        FindingKind::Malware => "Malware",
        FindingKind::Misconfiguration => "Misconfigurations",
        FindingKind::EndOfLife => "End of life",
        FindingKind::UntrustedImage => "Untrusted image",
        FindingKind::Compliance => "Compliance",
    };
    let vulnerable = kind == FindingKind::Vulnerability;
    let header: &[&str] = if vulnerable {
        &["Severity", "Vulnerability", "Package", "Fixed in", "Why and what to do"]
    } else {
        &["Severity", "What", "Where", "Why and what to do"]
    };
    open_table(title, rows.len(), header, out);
    for finding in rows.iter().take(ROWS_MAX) {
        let _ = write!(out, "<tr><td><span class=\"sev {0}\">{0}</span></td>", escaped(&finding.severity));
        if vulnerable {
            vulnerability(finding, out)
        } else {
            place(finding, out)
        }
        let _ = writeln!(
            out,
            "<td class=\"text\">{}<details><summary>why</summary><p>{}</p></details></td></tr>",
            escaped(&finding.remediation),
            escaped(&finding.because)
        );
    }
    close_table(rows.len(), out);
}

fn vulnerability(finding: &ReportFinding, out: &mut String) {
    let id = escaped(&finding.id);
    let id = subject::page(finding)
        .map_or_else(|| id.clone(), |url| format!("<a href=\"{}\" rel=\"noreferrer\">{id}</a>", escaped(&url)));
    let exploited = finding.vulnerability.as_ref().is_some_and(|detail| detail.kev.is_some());
    let exploited = if exploited { " <span class=\"tag\">exploited</span>" } else { "" };
    let score = finding.vulnerability.as_ref().and_then(|detail| detail.cvss.first());
    let score = score.map(|cvss| format!("CVSS {:.1}, {}", cvss.score, finding.severity_source)).unwrap_or_default();
    let _ = write!(
        out,
        "<td><b>{id}</b>{exploited}<span class=\"sub\">{}</span><span class=\"sub\">{}</span></td>",
        escaped(Some(finding.title.as_str()).filter(|title| *title != finding.id).unwrap_or_default()),
        escaped(&score)
    );
    let (name, version) = finding.package.as_ref().map_or(("", ""), |p| (p.name.as_str(), p.version.as_str()));
    let _ = write!(out, "<td>{}<span class=\"sub mono\">{}</span></td>", escaped(name), escaped(version));
    let fixed = finding.fixed_versions.first();
    let fixed = fixed.map_or_else(
        || "<span class=\"quiet\">no fix known</span>".to_owned(),
        |version| format!("<span class=\"fix mono\">{}</span>", escaped(version)),
    );
    let status = if finding.status == "affected" { String::new() } else { finding.status.replace('_', " ") };
    let _ = write!(out, "<td>{fixed}<span class=\"sub\">{}</span></td>", escaped(&status));
}

fn place(finding: &ReportFinding, out: &mut String) {
    let what = format!("<b>{}</b><span class=\"sub\">{}</span>", escaped(&finding.title), escaped(&finding.id));
    let _ = write!(out, "<td class=\"text\">{what}</td><td class=\"text\">");
    if let Some(package) = &finding.package {
        let _ = write!(out, "{} {}", escaped(&package.name), escaped(&package.version));
    }
    for evidence in finding.evidence.iter().take(20) {
        let _ = write!(out, "<div class=\"mono\">{}</div>", escaped(&subject::place_text(evidence)));
    }
    match finding.evidence.len() {
        0 if finding.package.is_none() => out.push_str("<span class=\"quiet\">the image as a whole</span>"),
        0..=20 => {}
        n => {
            let _ = write!(out, "<span class=\"quiet\">and {} more places</span>", n - 20);
        }
    }
    out.push_str("</td>");
}

fn gaps(gaps: &[ReportGap], out: &mut String) {
    if gaps.is_empty() {
        return;
    }
    open_table("What could not be seen", gaps.len(), &["Why", "What", "Detail"], out);
    for gap in gaps.iter().take(ROWS_MAX) {
        let _ = writeln!(
            out,
            "<tr><td><span class=\"sev gaps\">{}</span></td><td class=\"mono\">{}</td><td class=\"text\">{}</td></tr>",
            escaped(&gap.reason),
            escaped(&gap.scope),
            escaped(&gap.detail)
        );
    }
    close_table(gaps.len(), out);
}

fn layers(layers: &[ReportLayer], out: &mut String) {
    if layers.is_empty() {
        return;
    }
    open_table("Layers", layers.len(), &["Layer", "Instruction", "Size", "DiffID"], out);
    for layer in layers {
        let told = layer.instruction.as_deref().unwrap_or("not told");
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"text mono\">{}</td><td>{}</td><td class=\"mono\">{}</td></tr>",
            layer.index,
            escaped(told),
            crate::table::bytes_text(layer.bytes),
            escaped(&layer.diff_id)
        );
    }
    close_table(layers.len(), out);
}

fn packages(report: &ScanReport, out: &mut String) {
    let number = report.packages.len();
    if number == 0 {
        return;
    }
    let open = if subject::looked_for(report, "vulnerabilities") { "" } else { " open" };
    let _ = write!(
        out,
        "<section><details{open}><summary>Packages <span class=\"quiet\">{number}</span></summary>\n\
         <div class=\"card scroll\"><table><thead><tr><th>Package</th><th>Version</th><th>Licence</th><th>Recorded in</th>\
         </tr></thead><tbody>\n"
    );
    for package in report.packages.iter().take(ROWS_MAX) {
        let places: Vec<String> = package.locations.iter().take(5).map(subject::location_text).collect();
        let _ = writeln!(
            out,
            "<tr><td title=\"{}\">{}</td><td class=\"mono\">{}</td><td>{}</td><td class=\"mono\">{}</td></tr>",
            escaped(&package.purl),
            escaped(&package.name),
            escaped(&package.version),
            escaped(&package.licenses.join(", ")),
            escaped(&places.join("; "))
        );
    }
    out.push_str("</tbody></table></div></details>");
    rest(number, out);
    out.push_str("</section>\n");
}

fn open_table(title: &str, number: usize, header: &[&str], out: &mut String) {
    let _ = write!(
        out,
        "<section><h2>{title}<span class=\"n\">{number}</span></h2>\n<div class=\"card scroll\"><table><thead><tr>"
    );
    for name in header {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn close_table(number: usize, out: &mut String) {
    out.push_str("</tbody></table></div>");
    rest(number, out);
    out.push_str("</section>\n");
}

fn rest(number: usize, out: &mut String) {
    if let Some(more) = number.checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = write!(out, "<p class=\"quiet\">{more} more rows are in the other formats.</p>");
    }
}
