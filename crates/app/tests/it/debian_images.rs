//! Debian images without the security suite: the reported rows equal those that the security tracker implies when
//! versions are compared by `dpkg --compare-versions`, read here without the program.

use crate::program::run_ok;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::layout::{Stored, write_oci_layout};
use testkit::{BuiltLayer, ImageBuilder, Packing};

/// (binary package, CVE, fixed version).
type Row = (String, String, String);

/// Packages beside the minimal ones, so that there is something to find.
const INCLUDE: &str = "--include=ca-certificates,curl,git,openssl";

/// The root file system of a release, made once and kept beside the build; `None`, said aloud, when it cannot be made.
fn rootfs(suite: &str) -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{suite}-1.tar"));
    if kept.is_file() {
        return Some(kept);
    }
    let partial = kept.with_extension("partial.tar");
    let made = Command::new("mmdebstrap")
        .args(["--variant=minbase", "--quiet", INCLUDE, suite])
        .arg(&partial)
        .arg(format!("deb {} {suite} main", archive().unwrap_or_default()))
        .stdin(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        let mut out = std::io::stderr();
        writeln!(out, "debian_images: SKIPPED {suite}: mmdebstrap cannot make it here").expect("standard error");
        return None;
    }
    std::fs::rename(&partial, &kept).expect("the image is kept");
    Some(kept)
}

/// Where this machine gets Debian's packages from, apart from security updates.
fn archive() -> Option<String> {
    let listed = Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]).output().ok()?;
    let listed = String::from_utf8(listed.stdout).ok()?;
    listed.lines().find(|address| !address.contains("security") && address.contains("debian")).map(str::to_owned)
}

/// `var/lib/dpkg/status` of a root file system.
fn status(tar: &[u8]) -> String {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").to_string_lossy().trim_start_matches("./") == "var/lib/dpkg/status" {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("UTF-8");
            return text;
        }
    }
    panic!("no package database");
}

/// Installed packages: binary name, source name, source version (deb-src-control(5): `Source: name (version)`).
fn installed(status: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for stanza in status.split("\n\n").filter(|stanza| stanza.contains("\nStatus: install ok installed")) {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (name, version) = (field("Package:").expect("a name"), field("Version:").expect("a version"));
        let source = field("Source:").unwrap_or(name);
        let (source, version) = match source.split_once(" (") {
            Some((source, rest)) => (source, rest.trim_end_matches(')')),
            None => (source, version),
        };
        found.push((name.to_owned(), source.to_owned(), version.to_owned()));
    }
    found
}

/// dpkg's own word on whether a version is older.
fn is_older(a: &str, b: &str) -> bool {
    let status = Command::new("dpkg").args(["--compare-versions", a, "lt", b]).status().expect("dpkg runs");
    status.success()
}

fn implied(tracker: &Value, suite: &str, installed: &[(String, String, String)]) -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    let mut asked: BTreeMap<(String, String), bool> = BTreeMap::new();
    for (binary, source, version) in installed {
        for (cve, entry) in tracker[source].as_object().into_iter().flatten() {
            let release = &entry["releases"][suite];
            let Some(fixed) = release["fixed_version"].as_str() else { continue };
            assert_eq!(release["status"], "resolved", "this test reads only resolved entries: {source} {cve}");
            let key = (version.clone(), fixed.to_owned());
            if fixed != "0" && *asked.entry(key).or_insert_with(|| is_older(version, fixed)) {
                rows.insert((binary.clone(), cve.clone(), fixed.to_owned()));
            }
        }
    }
    rows
}

fn check(suite: &str) {
    let Some(feeds) = testkit::data::path("feeds/debian-tracker") else { return };
    let Some(rootfs) = rootfs(suite) else { return };
    let home = tempfile::tempdir().expect("a folder");
    let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let intel = path("intel");
    run_ok(home.path(), &["feeds", "import", "--from", feeds.to_str().expect("UTF-8"), "--intel", &intel]);

    let tar = std::fs::read(&rootfs).expect("the image");
    let packages = installed(&status(&tar));
    let tracker = serde_json::from_slice(&std::fs::read(feeds.join("data.json")).expect("the tracker")).expect("JSON");
    let expected = implied(&tracker, suite, &packages);

    let image = ImageBuilder::new().layer(BuiltLayer::from_tar(&tar, Packing::Plain, "mmdebstrap")).build();
    write_oci_layout(Path::new(&path("image")), &[("it", Stored::Image(&image))]);
    let reference = format!("oci:{}:it", path("image"));
    let scan = ["scan", &reference, "--intel", &intel, "--format", "json", "--scanners", "vulnerabilities"];
    let report: Value = serde_json::from_str(&run_ok(home.path(), &scan)).expect("JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_else(|| panic!("no text: {value}"));
    let found: BTreeSet<Row> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["kind"] == "vulnerability")
        .map(|f| (text(&f["package"]["name"]), text(&f["id"]), text(&f["fixed_versions"][0])))
        .collect();
    let names: BTreeSet<&str> = packages.iter().map(|(name, ..)| name.as_str()).collect();
    let listed: BTreeSet<String> =
        report["packages"].as_array().expect("packages").iter().map(|p| text(&p["name"])).collect();
    assert!(names.iter().all(|name| listed.contains(*name)), "{names:?} {listed:?}");
    assert_eq!(found, expected, "{suite}");
    testkit::net::say(&format!(
        "debian {suite}: {} packages, {} rows, all that the tracker implies and no other",
        packages.len(),
        found.len()
    ));
}

#[test]
fn bookworm_has_exactly_the_rows_that_the_tracker_implies() {
    check("bookworm");
}

#[test]
fn bullseye_has_exactly_the_rows_that_the_tracker_implies() {
    check("bullseye");
}

#[test]
fn trixie_has_exactly_the_rows_that_the_tracker_implies() {
    check("trixie");
}
