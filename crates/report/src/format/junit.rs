//! JUnit XML, in the form that CI systems read (the Jenkins xUnit schema): findings are failed tests.
//!
//! Invariant: a scanner that ran and found nothing is a passed test; one that was not asked for, and everything that
//! could not be seen, is a skipped one, so that green never stands for "did not look".

use super::RenderOptions;
use super::subject;
use super::xml::escaped;
use crate::scan::{ReportFinding, ScanReport};
use model::FindingKind;
use std::fmt::Write;

/// Scanners, and the kinds of finding that come from each.
const SCANNERS: [(&str, &[FindingKind]); 4] = [
    ("vulnerabilities", &[FindingKind::Vulnerability, FindingKind::EndOfLife]),
    ("secrets", &[FindingKind::Secret]),
    ("malware", &[FindingKind::Malware]),
    ("configuration", &[FindingKind::Misconfiguration, FindingKind::Compliance, FindingKind::UntrustedImage]),
];

/// Writes one suite per image and scanner, and one for what could not be seen.
pub(super) fn document(reports: &[ScanReport], options: &RenderOptions) -> String {
    let suites: Vec<Suite> = reports.iter().flat_map(|report| suites(report, options)).collect();
    let tests: usize = suites.iter().map(|suite| suite.tests).sum();
    let failures: usize = suites.iter().map(|suite| suite.failures).sum();
    let skipped: usize = suites.iter().map(|suite| suite.skipped).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"pratique\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\" errors=\"0\">"
    );
    for suite in &suites {
        suite.write(&mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

struct Suite {
    name: String,
    time: String,
    tests: usize,
    failures: usize,
    skipped: usize,
    cases: String,
}

fn suites(report: &ScanReport, options: &RenderOptions) -> Vec<Suite> {
    let image = format!("{} {}", report.image.reference, report.image.platform);
    let time = subject::judged(report, options).trim_end_matches('Z').to_owned();
    let new = |what: &str| Suite {
        name: format!("{image}: {what}"),
        time: time.clone(),
        tests: 0,
        failures: 0,
        skipped: 0,
        cases: String::new(),
    };
    let mut suites = Vec::new();
    for (scanner, kinds) in SCANNERS {
        let mut suite = new(scanner);
        let open = report.findings.iter().filter(|finding| subject::is_open(finding));
        for finding in open.filter(|finding| kinds.iter().any(|kind| kind.as_str() == finding.kind)) {
            suite.failed(finding);
        }
        if !subject::looked_for(report, scanner) {
            suite.skipped(scanner, "was not run", &subject::not_run_text(scanner));
        } else if suite.tests == 0 {
            suite.passed(scanner);
        }
        suites.push(suite);
    }
    let mut unseen = new("what could not be seen");
    for gap in &report.gaps {
        unseen.skipped(&gap.scope, &gap.reason, &subject::gap_text(gap));
    }
    if unseen.tests == 0 {
        unseen.passed("everything that was asked for could be seen");
    }
    suites.push(unseen);
    suites
}

impl Suite {
    fn write(&self, out: &mut String) {
        let Self { name, time, tests, failures, skipped, cases } = self;
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\" errors=\"0\" \
             timestamp=\"{}\">\n{cases}  </testsuite>",
            escaped(name),
            escaped(time)
        );
    }

    fn passed(&mut self, name: &str) {
        self.tests += 1;
        let _ = writeln!(self.cases, "    <testcase classname=\"pratique\" name=\"{}\"/>", escaped(name));
    }

    fn skipped(&mut self, class: &str, name: &str, why: &str) {
        self.tests += 1;
        self.skipped += 1;
        let _ = writeln!(
            self.cases,
            "    <testcase classname=\"{}\" name=\"{}\"><skipped message=\"{}\"/></testcase>",
            escaped(class),
            escaped(name),
            escaped(why)
        );
    }

    fn failed(&mut self, finding: &ReportFinding) {
        self.tests += 1;
        self.failures += 1;
        let class =
            finding.package.as_ref().map_or_else(|| finding.kind.clone(), |p| format!("{} {}", p.name, p.version));
        let message = format!("{}: {}", finding.severity, finding.title);
        let _ = writeln!(
            self.cases,
            "    <testcase classname=\"{}\" name=\"[{}] {}\">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    \
             </testcase>",
            escaped(&class),
            escaped(&finding.severity),
            escaped(&finding.id),
            escaped(&finding.kind),
            escaped(&message),
            escaped(&body(finding))
        );
    }
}

fn body(finding: &ReportFinding) -> String {
    let places = subject::places_text(finding);
    let places = if places.is_empty() { String::new() } else { format!(" Where: {places}.") };
    format!(
        "{} ({}). {}.{places} {}",
        finding.id,
        finding.status.replace('_', " "),
        finding.because,
        finding.remediation
    )
}
