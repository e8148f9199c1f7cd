//! `pratique demo --once`: the first thing that anybody runs.

use crate::program::run_ok;

/// The number at the end of the line that begins with `name`, below the heading `section`.
fn number(text: &str, section: &str, name: &str) -> u64 {
    let below = text.split(section).nth(1).unwrap_or_else(|| panic!("no section {section:?} in\n{text}"));
    let line = below
        .lines()
        .find(|line| line.trim_start().starts_with(name))
        .unwrap_or_else(|| panic!("no {name:?} in\n{text}"));
    line.split_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[test]
fn demo_shows_every_kind_of_finding_and_an_issue_of_every_policy() {
    let home = tempfile::tempdir().expect("a folder");
    let text = run_ok(home.path(), &["demo", "--once"]);
    assert!(text.contains("4 repositories, 5 tags, 5 images"), "{text}");
    for kind in
        ["vulnerability", "secret", "malware", "misconfiguration", "end-of-life", "untrusted-image", "compliance"]
    {
        assert!(number(&text, "Findings", kind) > 0, "{kind}\n{text}");
    }
    for policy in ["vulnerabilities", "secrets", "malware", "misconfigurations", "trusted-images"] {
        assert!(number(&text, "Open issues", policy) > 0, "{policy}\n{text}");
    }
    assert!(text.contains("1 new issue, 0 requests to the registry"), "{text}");
}
