//! `feeds import|changes|pack|unpack|push|pull|verify`: what changed is named exactly, and what travels is believed only
//! for a reason.

use crate::program::{Server, exit_code, run, run_ok};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::DebianRegistry;

/// So many records are changed.
const CHANGED: usize = 1000;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every record of the shared OSV archives, by archive and name.
#[expect(clippy::disallowed_types, reason = "a test reads archives that it trusts")]
fn records(feeds: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(feeds.join("osv")).expect("archives") {
        let path = entry.expect("an entry").path();
        let folder = PathBuf::from(path.file_stem().expect("a name"));
        let mut archive = zip::ZipArchive::new(fs::File::open(&path).expect("an archive")).expect("zip");
        for index in 0..archive.len() {
            let member = archive.by_index(index).expect("a member");
            if member.is_file() {
                let name = member.name().expect("a name").to_string();
                found.push((folder.join(name), serde_json::from_reader(member).expect("JSON")));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// As an archive per ecosystem, the form that they are served in.
fn write_archives(folder: &Path, records: &[(PathBuf, Value)]) {
    fs::create_dir_all(folder).expect("a folder");
    for of_one in records.chunk_by(|(a, _), (b, _)| a.parent() == b.parent()) {
        let name = of_one[0].0.parent().expect("a folder").display().to_string();
        let mut zip = zip::ZipWriter::new(fs::File::create(folder.join(format!("{name}.zip"))).expect("a file"));
        for (path, record) in of_one {
            let options = zip::write::SimpleFileOptions::default().compression_level(Some(1));
            zip.start_file(path.file_name().expect("a name").to_string_lossy(), options).expect("a member");
            zip.write_all(record.to_string().as_bytes()).expect("written");
        }
        zip.finish().expect("written");
    }
}

/// The packages that a record speaks of, as the program names them.
fn packages_of(record: &Value) -> BTreeSet<String> {
    // AlmaLinux's errata for bugs and enhancements are about no vulnerability, so they are left out, and counted.
    let is_security = record["id"].as_str().is_some_and(|id| !id.starts_with("ALBA-") && !id.starts_with("ALEA-"));
    let mut found = BTreeSet::new();
    if !is_security {
        return found;
    }
    for affected in record["affected"].as_array().into_iter().flatten() {
        let package = &affected["package"];
        let (Some(ecosystem), Some(name)) = (package["ecosystem"].as_str(), package["name"].as_str()) else { continue };
        let name = match ecosystem {
            "PyPI" => name.to_lowercase().replace(['_', '.'], "-"),
            "Bitnami" => name.to_lowercase(),
            _ => name.to_owned(),
        };
        found.insert(format!("{ecosystem} {name}"));
    }
    found
}

#[test]
fn an_import_of_a_thousand_changed_records_names_exactly_the_changed_packages() {
    let Some(feeds) = testkit::data::path("feeds") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let intel = home.path().join("intel");
    let import = |from: &Path| run_ok(home.path(), &["feeds", "import", "--from", text(from), "--intel", text(&intel)]);
    import(&feeds);

    let mut all = records(&feeds);
    let step = all.len() / CHANGED;
    let mut expected = BTreeSet::new();
    for (_, record) in all.iter_mut().step_by(step).take(CHANGED) {
        // What a match shows; the date, which changes for all, is no part of that.
        let summary = record["summary"].as_str().unwrap_or_default().to_owned();
        record["summary"] = format!("{summary} (revised)").into();
        record["modified"] = "2026-11-01T00:00:00Z".into();
        expected.extend(packages_of(record));
    }
    for (_, record) in all.iter_mut().skip(1).step_by(step) {
        record["modified"] = "2026-11-02T00:00:00Z".into();
    }
    let changed = home.path().join("changed");
    write_archives(&changed, &all);
    let printed = import(&changed);
    let found: BTreeSet<String> =
        printed.lines().filter_map(|line| line.strip_prefix("changed: ")).map(str::to_owned).collect();
    assert!(expected.len() > 500, "{}", expected.len());
    let differing: Vec<&String> = found.symmetric_difference(&expected).take(20).collect();
    assert!(differing.is_empty(), "printed or expected, not both: {differing:?}");
    println!("{} changed records: {} changed packages, exactly those", CHANGED, found.len());

    let listed =
        run_ok(home.path(), &["feeds", "changes", "--since", "1", "--format", "json", "--intel", text(&intel)]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let packages: BTreeSet<String> =
        listed["packages"].as_array().expect("packages").iter().map(|p| p.as_str().expect("text").to_owned()).collect();
    assert_eq!((listed["generation"].as_u64(), packages), (Some(2), expected));
    assert!(import(&changed).contains("generation 3: 0 packages"), "a new import date alone changes no package");
}

/// A folder with a small feed in force.
fn small(home: &Path, name: &str) -> PathBuf {
    let intel = home.join(name);
    let list = home.join("bad-hashes.csv");
    fs::write(&list, format!("{},Example,test\n", "ab".repeat(32))).expect("a list");
    run_ok(home, &["feeds", "import", "--from", text(&list), "--intel", text(&intel)]);
    intel
}

/// An Ed25519 key pair of openssl, private and public; `None` where that is not installed.
fn keys(home: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (private, public) = (home.join(format!("{name}.key")), home.join(format!("{name}.pub")));
    let openssl =
        |arguments: &[&str]| Command::new("openssl").args(arguments).output().is_ok_and(|o| o.status.success());
    let made = openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&private)])
        && openssl(&["pkey", "-in", text(&private), "-pubout", "-out", text(&public)]);
    if !made {
        testkit::net::say("SKIPPED: there is no openssl to make keys");
    }
    made.then_some((private, public))
}

#[test]
fn a_pack_moves_a_generation_and_is_refused_without_a_reason_to_believe_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path();
    let (from, to) = (small(home, "from"), home.join("to"));
    let Some(((key, public), (_, stranger))) = keys(home, "ours").zip(keys(home, "theirs")) else { return };
    let file = home.join("intelligence.pack");
    let packed = run_ok(home, &["feeds", "pack", text(&file), "--key", text(&key), "--intel", text(&from)]);
    let digest = packed.lines().find_map(|line| line.strip_prefix("digest ")).expect("a digest to pin").to_owned();
    let unpack = |file: &Path, why: &[&str]| {
        let arguments = ["feeds", "unpack", text(file), "--intel", text(&to)];
        exit_code(home, &[&arguments, why].concat())
    };
    assert_eq!(unpack(&file, &[]), 64, "no reason");
    assert_eq!(unpack(&file, &["--trust-key", text(&stranger)]), 1, "another key");
    assert_eq!(unpack(&file, &["--digest", &format!("sha256:{}", "0".repeat(64))]), 1, "another digest");
    assert_eq!(run_ok(home, &["feeds", "status", "--intel", text(&to)]).lines().next(), Some("generation 0, 0 feeds"));
    assert_eq!(unpack(&file, &["--trust-key", text(&stranger), "--trust-key", text(&public)]), 0, "one of the keys");
    assert_eq!(unpack(&file, &["--digest", &digest]), 0, "the digest");
    assert!(run_ok(home, &["feeds", "status", "--intel", text(&to)]).contains("hashes-bad-hashes"));
    assert_eq!(run_ok(home, &["feeds", "verify", "--intel", text(&to)]), "1 feeds are whole\n");

    let bytes = fs::read(&file).expect("the pack");
    let damaged = home.join("damaged.pack");
    for (what, bytes) in [("cut", bytes[..bytes.len() - 1].to_vec()), ("longer", [&bytes[..], b"x"].concat())] {
        fs::write(&damaged, bytes).expect("written");
        assert_eq!(unpack(&damaged, &["--allow-unsigned"]), 1, "{what}");
    }
    run_ok(home, &["feeds", "pack", text(&file), "--intel", text(&from)]);
    assert_eq!(unpack(&file, &["--trust-key", text(&public)]), 1, "not signed");
    assert_eq!(unpack(&file, &["--allow-unsigned"]), 0, "allowed");
}

#[test]
fn an_artifact_goes_through_a_registry() {
    let Some(registry) = DebianRegistry::start_with_login("writer", "pass word") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path();
    let (from, to) = (small(home, "from"), home.join("to"));
    let reference = format!("{}/team/intelligence:today", registry.host());
    let with_login = |arguments: &[&str]| {
        let all = [arguments, &["--plain-http", "--username", "writer"]].concat();
        let mut command = crate::program::pratique(home);
        let output = command.args(all).env("PRATIQUE_PASSWORD", "pass word").output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let refused = run(home, &["feeds", "push", &reference, "--plain-http", "--intel", text(&from)]);
    assert_eq!(refused.status.code(), Some(1), "nobody may write without a login");
    let (code, pushed) = with_login(&["feeds", "push", &reference, "--intel", text(&from)]);
    assert_eq!(code, Some(0), "{pushed}");
    let digest = pushed.lines().find_map(|line| line.strip_prefix("digest ")).expect("a digest to pin").to_owned();
    let mark = registry.mark();
    assert_eq!(with_login(&["feeds", "push", &reference, "--intel", text(&from)]).0, Some(0));
    let uploads = registry.requests_since(mark).into_iter().filter(|line| line.path.contains("/uploads/")).count();
    assert_eq!(uploads, 0, "blobs that are there are not sent again");

    let pull = |reference: &str, why: &[&str]| {
        with_login(&[&["feeds", "pull", reference, "--intel", text(&to)], why].concat())
    };
    assert_eq!(pull(&reference, &[]).0, Some(64), "a tag alone is no reason to believe");
    let pinned = format!("{}/team/intelligence@{digest}", registry.host());
    let (code, pulled) = pull(&pinned, &[]);
    assert_eq!(code, Some(0), "{pulled}");
    assert!(pulled.contains("1 feeds replaced"), "{pulled}");
    let mark = registry.mark();
    let (code, pulled) = pull(&reference, &["--allow-unsigned"]);
    assert_eq!(code, Some(0), "{pulled}");
    assert!(pulled.contains("0 feeds replaced"), "{pulled}");
    let blobs = registry.requests_since(mark).into_iter().filter(|line| line.path.contains("/blobs/")).count();
    assert!(blobs <= 2, "only the list is fetched again, not {blobs} blobs");
    assert_eq!(run_ok(home, &["feeds", "verify", "--intel", text(&to)]), "1 feeds are whole\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_downloads_feeds_by_itself_and_says_when_next() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let list = home.join("bad-hashes.csv");
    fs::write(&list, format!("{},Example,test\n", "ab".repeat(32))).expect("a list");
    let url = format!("ours=file:{}", list.display());
    let more = ["--feeds-every", "6h", "--feeds", "ours", "--feed-url", &url, "--memory-max", "256MiB"];
    let server = Server::start_with(home, &more);
    let patience = std::time::Duration::from_secs(60);
    let holds = |body: &Value| body["feeds"][0]["id"] == "hashes-bad-hashes" && !body["download"]["next_at"].is_null();
    let body = server.until("/intelligence", patience, holds).await;
    let download = &body["download"];
    assert_eq!((&download["running"], &download["wanted"], &download["ended"]), (&false.into(), &1.into(), &1.into()));
    assert_eq!(download["failed"].as_array().map(Vec::len), Some(0), "{body}");
    // Asked for by hand, the same sources are known; one that fails is named.
    fs::remove_file(&list).expect("removed");
    let (status, answer) =
        server.send(reqwest::Method::POST, "/intelligence/sync", &serde_json::json!({ "feeds": ["ours"] })).await;
    assert_eq!((status, &answer["failed"][0]["document"]), (200, &"ours".into()), "{answer}");
    let holds =
        |body: &Value| body["feeds"][0]["error"].is_string() && body["download"]["failed"][0]["document"] == "ours";
    let body = server.until("/intelligence", patience, holds).await;
    assert_eq!((&body["generation"], &body["feeds"][0]["records"]), (&1.into(), &1.into()), "{body}");
    let usage = |arguments: &[&str]| exit_code(home, &[&["serve", "--data", "x"], arguments].concat());
    assert_eq!(usage(&["--feeds-every", "1m"]), 64);
    assert_eq!(usage(&["--feeds", "ours"]), 64);
}
