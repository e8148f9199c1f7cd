//! Bills of materials: golden documents, and bad ones.
//!
//! `fixtures/sbom/<case>/input.*` becomes `expect.txt`; `PRATIQUE_BLESS=1` rewrites it.

use analyze::ErrorKind;
use analyze::sbom::{Sbom, SbomLimits, inventory, read};
use model::{Detector, DetectorVersion};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn cases() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sbom");
    let mut folders: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let input = |folder: &Path| {
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_stem().is_some_and(|stem| stem == "input")).unwrap()
    };
    folders.into_iter().map(|folder| (folder.clone(), fs::read(input(&folder)).unwrap())).collect()
}

fn version() -> DetectorVersion {
    DetectorVersion { detector: Detector::Packages, fingerprint: "f".to_owned() }
}

fn text(sbom: &Sbom) -> String {
    let mut out = format!("{} {}, of {}\n", sbom.format, sbom.version, sbom.name.as_deref().unwrap_or("nothing named"));
    let inventory = inventory(sbom, version());
    match &inventory.os {
        Some(os) => writeln!(out, "os {:?} {:?} {:?}", os.id, os.version, os.name).unwrap(),
        None => out.push_str("os unknown\n"),
    }
    writeln!(out, "platform {}", inventory.configuration.platform()).unwrap();
    for package in &inventory.packages {
        let key = &package.key;
        let source = key.source.as_ref().map(|source| format!(" source {} {}", source.name, source.version));
        let ecosystem = key.ecosystem().map_or_else(|| "no advisories known".to_owned(), |e| e.to_string());
        let paths: Vec<String> = package.evidence.iter().filter_map(|e| Some(e.path.as_ref()?.to_string())).collect();
        let licenses = package.licenses.join(" + ");
        writeln!(out, "{}{} [{ecosystem}] {licenses} {}", key.purl(), source.unwrap_or_default(), paths.join(", "))
            .unwrap();
    }
    for gap in &inventory.gaps {
        let detector = gap.detector.map_or("all", Detector::as_str);
        writeln!(out, "gap {} {detector} {}: {}", gap.reason, gap.scope, gap.detail).unwrap();
    }
    out
}

#[test]
fn documents_are_read_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 6);
    for (folder, bytes) in &cases {
        let sbom = read(bytes, &SbomLimits::default()).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let found = text(&sbom);
        let path = folder.join("expect.txt");
        if std::env::var_os("PRATIQUE_BLESS").is_some() {
            fs::write(&path, &found).unwrap();
        }
        assert_eq!(
            found,
            fs::read_to_string(&path).unwrap_or_default(),
            "{} (PRATIQUE_BLESS=1 rewrites it)",
            path.display()
        );
    }
}

#[test]
fn documents_cut_at_any_byte_are_refused_or_read() {
    for (folder, bytes) in cases() {
        for end in 0..bytes.len() {
            let outcome = read(&bytes[..end], &SbomLimits::default());
            // A JSON document that is cut is no document; tag-value has no end of its own.
            if bytes[..end].trim_ascii_end().len() < bytes.trim_ascii_end().len() && bytes.starts_with(b"{") {
                assert!(outcome.is_err(), "{} cut at {end}", folder.display());
            }
        }
    }
}

#[test]
fn documents_with_any_byte_changed_never_panic() {
    for (_, bytes) in cases() {
        for at in 0..bytes.len() {
            for byte in [0, b'"', b'{', b'[', 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                let _ = read(&changed, &SbomLimits::default());
            }
        }
    }
}

fn refused(bytes: &[u8], kind: ErrorKind, word: &str) {
    let error = read(bytes, &SbomLimits::default()).unwrap_err();
    assert_eq!(error.kind, kind);
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn what_is_no_bill_of_materials_is_refused_with_the_reason() {
    refused(b"", ErrorKind::Malformed, "neither JSON");
    refused(
        b"<?xml version=\"1.0\"?><bom xmlns=\"http://cyclonedx.org/schema/bom/1.6\"/>",
        ErrorKind::Malformed,
        "XML",
    );
    refused(b"{}", ErrorKind::Malformed, "bomFormat");
    refused(
        br#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[]}"#,
        ErrorKind::Malformed,
        "SPDX 3",
    );
    refused(br#"{"bomFormat":"CycloneDX","components":{}}"#, ErrorKind::Malformed, "JSON");
    refused(b"SPDXVersion: SPDX-3.0\nPackageName: a\n", ErrorKind::Malformed, "other than 2");
    let small = SbomLimits { bytes_max: 10, ..SbomLimits::default() };
    assert_eq!(read(b"{\"a\":\"0123456789\"}", &small).unwrap_err().kind, ErrorKind::LimitExceeded);
}

#[test]
fn deep_nesting_is_refused() {
    let mut document = String::from(r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":["#);
    document.push_str(&r#"{"components":["#.repeat(100_000));
    refused(document.as_bytes(), ErrorKind::Malformed, "recursion");
}

#[test]
fn components_beyond_the_limit_are_a_gap_that_counts_them() {
    let limits = SbomLimits { components_max: 10, ..SbomLimits::default() };
    let component = |at: u32| format!(r#"{{"type":"library","name":"p{at}","purl":"pkg:npm/p{at}@1"}}"#);
    let list: Vec<String> = (0..25).map(component).collect();
    let flat = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{}]}}"#, list.join(","));
    let sbom = read(flat.as_bytes(), &limits).unwrap();
    assert_eq!(sbom.packages.len(), 10);
    assert!(
        sbom.gaps.iter().any(|gap| gap.detail.contains("25 components, more than the limit of 10")),
        "{:?}",
        sbom.gaps
    );
    // The limit counts nested components too.
    let nested = format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"type":"file","components":[{0}]}},{{"components":[{0}]}}]}}"#,
        list[..9].join(",")
    );
    let sbom = read(nested.as_bytes(), &limits).unwrap();
    assert_eq!(sbom.packages.len(), 9);
    assert!(sbom.gaps.iter().any(|gap| gap.detail.contains("more than the limit")), "{:?}", sbom.gaps);
    let exact = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{}]}}"#, list[..10].join(","));
    assert_eq!(read(exact.as_bytes(), &limits).unwrap().gaps, Vec::new());
}

#[test]
fn a_million_empty_components_cost_little() {
    let list = vec!["{}"; 1_000_000].join(",");
    let document = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{list}]}}"#);
    let sbom = read(document.as_bytes(), &SbomLimits::default()).unwrap();
    assert_eq!(sbom.packages, Vec::new());
    assert_eq!(sbom.gaps.len(), 2, "one for those without a package URL, one for the limit: {:?}", sbom.gaps);
}

#[test]
fn an_inventory_without_bytes_says_what_was_not_looked_at() {
    let (_, bytes) = cases().swap_remove(0);
    let inventory = inventory(&read(&bytes, &SbomLimits::default()).unwrap(), version());
    for detector in [Detector::Secrets, Detector::Malware, Detector::Configuration] {
        assert!(inventory.gaps.iter().any(|gap| gap.detector == Some(detector)), "{detector}");
    }
    assert_eq!(inventory.detectors, [version()]);
    assert!(inventory.layers.is_empty());
}
