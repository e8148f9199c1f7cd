//! `feeds import` and `scan`: archives, real advisories, exit codes.

use crate::program::{exit_code, run, run_ok};
use crate::secdb;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

const ARCHIVE: &str = "images/docker-save-alpine-3.10.2.tar.gz";

/// The feeds of the shared data, imported once per test.
fn import(home: &Path) -> Option<String> {
    let feeds = testkit::data::path("feeds")?;
    let intel = home.join("intel").to_str().expect("UTF-8").to_owned();
    run_ok(home, &["feeds", "import", "--from", feeds.to_str().expect("UTF-8"), "--intel", &intel]);
    Some(intel)
}

fn gunzip(file: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    #[expect(clippy::disallowed_types, reason = "a test unpacks its own input")]
    let mut reader = flate2::read::MultiGzDecoder::new(File::open(file).expect("the archive"));
    reader.read_to_end(&mut out).expect("gzip");
    out
}

/// The package database inside the one layer of a `docker save` archive.
fn archived_database(archive: &[u8]) -> String {
    let mut outer = tar::Archive::new(archive);
    for entry in outer.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").to_string_lossy().ends_with("layer.tar") || is_blob(&entry) {
            let mut layer = Vec::new();
            entry.read_to_end(&mut layer).expect("a layer");
            return secdb::database_of(unpacked(layer).as_slice());
        }
    }
    panic!("no layer in the archive");
}

fn is_blob(entry: &tar::Entry<'_, &[u8]>) -> bool {
    entry.path().expect("a path").to_string_lossy().ends_with(".tar.gz")
}

fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut out = Vec::new();
    #[expect(clippy::disallowed_types, reason = "a test unpacks its own input")]
    let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
    reader.read_to_end(&mut out).expect("gzip");
    out
}

fn reported(report: &Value) -> BTreeSet<(String, String, String)> {
    let findings = report["findings"].as_array().expect("findings");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    findings
        .iter()
        .filter(|f| f["kind"] == "vulnerability")
        .map(|f| (text(&f["package"]["name"]), text(&f["id"]), text(&f["fixed_versions"][0])))
        .collect()
}

#[test]
fn scan_reports_exactly_what_secdb_implies() {
    let Some(archive) = testkit::data::path(ARCHIVE) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let plain = home.path().join("plain.tar");
    let content = gunzip(&archive);
    File::create(&plain).expect("a file").write_all(&content).expect("written");

    let secdb = testkit::data::path("feeds/alpine-secdb/v3.10").expect("secdb beside the feeds");
    let documents: Vec<Value> = ["main.json", "community.json"]
        .iter()
        .map(|name| serde_json::from_slice(&std::fs::read(secdb.join(name)).expect("secdb")).expect("JSON"))
        .collect();
    let installed = secdb::installed(&archived_database(&content));
    let expected = secdb::implied(&documents, &installed);
    assert!(!expected.is_empty(), "the data implies findings");

    for file in [&archive, &plain] {
        let reference = format!("docker-archive:{}", file.display());
        let text = run_ok(home.path(), &["scan", &reference, "--intel", &intel, "--format", "json"]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(reported(&report), expected, "{reference}");
        assert_eq!(report["packages"].as_array().map(Vec::len), Some(installed.len()));
        assert_eq!(report["os"]["version"], "3.10.2");
    }
    println!("scan: {} rows from {} packages agree with secdb v3.10", expected.len(), installed.len());
}

#[test]
fn a_release_without_advisories_is_a_gap_and_not_clean() {
    let Some(alpine) = testkit::image::alpine("3.20.3", "x86_64") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let folder = home.path().join("layout");
    testkit::layout::write_oci_layout(&folder, &[("3.20", testkit::layout::Stored::Image(&alpine.build()))]);
    let reference = format!("oci:{}:3.20", folder.display());
    let scan = ["scan", reference.as_str(), "--intel", &intel, "--format", "json"];
    let report: Value = serde_json::from_str(&run_ok(home.path(), &scan)).expect("JSON");
    let gaps = report["gaps"].as_array().expect("gaps");
    let said =
        gaps.iter().any(|gap| gap["detail"].as_str().is_some_and(|d| d.contains("no advisories for alpine 3.20")));
    assert!(said, "{gaps:?}");
    assert_eq!(exit_code(home.path(), &[&scan[..], &["--fail-on-gap"]].concat()), 2);
}

#[test]
fn exit_codes_are_the_contract() {
    let Some(archive) = testkit::data::path(ARCHIVE) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let reference = format!("docker-archive:{}", archive.display());
    let code = |arguments: &[&str]| exit_code(home.path(), arguments);
    let scan = ["scan", reference.as_str(), "--intel", intel.as_str()];
    assert_eq!(code(&scan), 0, "findings alone never change the exit code");
    assert_eq!(code(&[&scan[..], &["--fail-on", "low"]].concat()), 2);
    assert_eq!(code(&["scan", "docker-archive:/no/such/file.tar", "--intel", &intel]), 1);
    assert_eq!(code(&[&scan[..], &["--no-such-flag"]].concat()), 64);
    assert_eq!(code(&[&scan[..], &["--fail-on", "terrible"]].concat()), 64);
    assert_eq!(code(&["scan", "NOT A REFERENCE", "--intel", &intel]), 64);
    assert_eq!(code(&[&scan[..], &["--output", "/no/such/folder/report.json"]].concat()), 1);
    assert_eq!(code(&["--version"]), 0);
}

#[test]
fn no_intelligence_is_said_and_fails_only_when_asked_for_by_name() {
    let Some(archive) = testkit::data::path(ARCHIVE) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("docker-archive:{}", archive.display());
    let text = run_ok(home.path(), &["scan", &reference, "--format", "json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert!(report["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()), "{text}");
    let named = run(home.path(), &["scan", &reference, "--scanners", "vulnerabilities"]);
    assert_eq!(named.status.code(), Some(1), "{}", String::from_utf8_lossy(&named.stderr));
}

#[test]
fn packages_alone_do_not_pretend_to_have_matched() {
    let Some(archive) = testkit::data::path(ARCHIVE) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let reference = format!("docker-archive:{}", archive.display());
    let text = run_ok(home.path(), &["scan", &reference, "--scanners", "packages", "--format", "json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(0));
    let not_run: Vec<&str> =
        report["statistics"]["not_run"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(not_run, ["configuration", "malware", "secrets", "vulnerabilities"]);
}

#[test]
fn two_runs_differ_only_in_statistics() {
    let Some(archive) = testkit::data::path(ARCHIVE) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let Some(intel) = import(home.path()) else { return };
    let reference = format!("docker-archive:{}", archive.display());
    let scan = || {
        let text = run_ok(home.path(), &["scan", &reference, "--intel", &intel, "--format", "json"]);
        let mut report: Value = serde_json::from_str(&text).expect("JSON");
        let statistics = report["statistics"].take();
        (serde_json::to_string(&report).expect("JSON"), statistics)
    };
    let (first, cold) = scan();
    let (second, warm) = scan();
    assert_eq!(first, second);
    assert_eq!(
        (cold["layers_cached"].as_u64(), warm["layers_cached"].as_u64()),
        (Some(0), Some(1)),
        "the second run uses the cache"
    );
}

#[test]
fn archives_with_several_images_ask_which_one() {
    let home = tempfile::tempdir().expect("a folder");
    let image = |text: &str| {
        let layer = testkit::image::LayerBuilder::files(&[("etc/motd", text)]).build();
        testkit::image::ImageBuilder::new().layer(layer).build()
    };
    let (one, two) = (image("one"), image("two"));
    let file = home.path().join("several.tar");
    testkit::layout::write_docker_archive(&file, &[(&["app:1"], &one), (&["app:2"], &two)]);
    let reference = format!("docker-archive:{}", file.display());
    let output = run(home.path(), &["scan", &reference]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("app:1") && said.contains("app:2"), "{said}");
    assert_eq!(exit_code(home.path(), &["scan", &format!("{reference}:app:2")]), 0);
}
