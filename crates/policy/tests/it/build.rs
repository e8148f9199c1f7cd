//! Findings, images and issues for the tests.

use model::advisory::KevEntry;
use model::finding::{FindingPackage, VulnerabilityDetail};
use model::policy::PolicySet;
use model::purl::Purl;
use model::{
    Digest, Evidence, Finding, FindingKind, FindingStatus, LayerPath, PackageFormat, PackageKey, Severity, Timestamp,
};
use policy::JudgedImage;
use std::sync::Arc;

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

pub(crate) fn policies(toml: &str) -> PolicySet {
    policy::parse_policies(toml).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn evidence(path: &str) -> Evidence {
    Evidence { layer: Some(0), path: Some(LayerPath::from(path)), line: None, removed_in: None, history: None }
}

pub(crate) fn finding(kind: FindingKind, id: &str, severity: Severity) -> Finding {
    Finding {
        kind,
        id: id.to_owned(),
        aliases: Vec::new(),
        title: id.to_owned(),
        severity,
        severity_source: "test".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        evidence: Vec::new(),
        because: String::new(),
        remediation: String::new(),
        vulnerability: None,
    }
}

fn package(name: &str) -> FindingPackage {
    let key = PackageKey::new(PackageFormat::Npm, name, "1.0.0");
    let purl: Purl = key.purl();
    FindingPackage { purl, name: name.to_owned(), version: "1.0.0".to_owned(), ecosystem: None, source: None }
}

/// A vulnerability in an npm package, published and fixed on 1 January 2026.
pub(crate) fn vulnerability(id: &str, name: &str, severity: Severity) -> Finding {
    Finding {
        package: Some(package(name)),
        fixed_versions: vec!["2.0.0".to_owned()],
        evidence: vec![evidence("app/package.json")],
        vulnerability: Some(VulnerabilityDetail {
            advisories: Vec::new(),
            cvss: Vec::new(),
            kev: None,
            epss: None,
            published: Some(time("2025-12-01T00:00:00Z")),
            fixed_at: Some(time("2026-01-01T00:00:00Z")),
        }),
        ..finding(FindingKind::Vulnerability, id, severity)
    }
}

pub(crate) fn exploited(mut finding: Finding) -> Finding {
    if let Some(detail) = &mut finding.vulnerability {
        detail.kev = Some(KevEntry { added: time("2026-01-01T00:00:00Z"), due: None, ransomware: false });
    }
    finding
}

pub(crate) fn secret(rule: &str, path: &str, severity: Severity) -> Finding {
    Finding { evidence: vec![evidence(path)], ..finding(FindingKind::Secret, rule, severity) }
}

pub(crate) fn image(n: u8, tags: &[&str], findings: Vec<Finding>) -> JudgedImage {
    JudgedImage {
        digest: digest(n),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        diff_ids: vec![digest(100), digest(n)],
        findings: Arc::from(findings),
        dismissed: Arc::default(),
        next_boundary: None,
    }
}
