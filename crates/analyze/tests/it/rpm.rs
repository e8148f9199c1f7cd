//! RPM databases in all three forms: real ones against what rpm lists, built ones against each other, broken ones.

pub(crate) mod build;

use crate::support::*;
use analyze::Limits;
use build::{Bdb, Package, Sqlite, Value, headers, ndb, numbers, packages, text};
use model::package::LayerPackage;
use model::{Detector, Gap, GapReason, PackageFormat};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::LayerBuilder;
use testkit::net::has_program;

/// What `Package::line` and [`line`] print.
const FORMAT: &str = "%{NAME} %{EPOCHNUM} %{VERSION} %{RELEASE} %{ARCH} %{SOURCERPM} %{LICENSE}\\n";

/// Every path below which a database is looked for; what it is, its content tells.
const PATHS: [&str; 9] = [
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/share/rpm/Packages",
    "usr/share/rpm/Packages.db",
    "usr/share/rpm/rpmdb.sqlite",
];

/// What was read from one database.
struct Seen {
    packages: Vec<LayerPackage>,
    gaps: Vec<Gap>,
}

impl Seen {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.packages.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn gaps(&self) -> Vec<String> {
        self.gaps.iter().map(|gap| format!("{}: {}", gap.reason, gap.detail)).collect()
    }
}

/// Reads databases, nine in a layer, through the whole pass. What is said about each names its path.
fn read_all(databases: &[Vec<u8>]) -> Vec<Seen> {
    let mut all = Vec::new();
    for chunk in databases.chunks(PATHS.len()) {
        let files = chunk.iter().zip(PATHS);
        let layer = files.clone().fold(LayerBuilder::new(), |layer, (content, path)| layer.file(path, content));
        let reading = read_with(&layer.tar()[..], detectors(), &[Detector::Packages].into());
        let facts = facts(&reading, Detector::Packages);
        let seen = files.map(|(_, path)| Seen {
            packages: facts.packages.iter().filter(|package| package.place.path.to_string() == path).cloned().collect(),
            gaps: facts.gaps.iter().filter(|gap| gap.scope == path).cloned().collect(),
        });
        all.extend(seen);
        assert_eq!(
            facts.packages.len(),
            all.iter().rev().take(chunk.len()).map(|seen| seen.packages.len()).sum::<usize>()
        );
        assert_eq!(facts.gaps.len(), all.iter().rev().take(chunk.len()).map(|seen| seen.gaps.len()).sum::<usize>());
    }
    all
}

fn read_one(database: Vec<u8>) -> Seen {
    read_all(&[database]).remove(0)
}

/// A package as `rpm -qa` prints it with [`FORMAT`].
fn line(package: &LayerPackage) -> String {
    let key = &package.key;
    assert_eq!(key.format, PackageFormat::Rpm);
    let split = |version: &str| {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (version, release) = rest.rsplit_once('-').unwrap();
        (epoch.to_owned(), version.to_owned(), release.to_owned())
    };
    let (epoch, version, release) = split(&key.version);
    let source = key.source.as_ref().unwrap();
    let (source_epoch, source_version, source_release) = split(&source.version);
    assert_eq!(source_epoch, epoch, "{}", key.name);
    let source = format!("{}-{source_version}-{source_release}.src.rpm", source.name);
    let arch = key.architecture.as_deref().unwrap_or("(none)");
    let license = package.licenses.first().map_or("(none)", String::as_str);
    format!("{} {epoch} {version} {release} {arch} {source} {license}", key.name)
}

fn expected(case: &str) -> Vec<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/packages/rpm").join(case).join("expect.txt");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// What rpm itself lists of a database in a form that it reads (`sqlite`, `bdb_ro`), if it is installed.
fn listed_by_rpm(form: &str, content: &[u8]) -> Option<Vec<String>> {
    if !has_program("rpm", "rpm") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = if form == "sqlite" { "rpmdb.sqlite" } else { "Packages" };
    std::fs::write(folder.path().join(name), content).unwrap();
    let mut command = Command::new("rpm");
    command.args(["--define", &format!("_db_backend {form}"), "--dbpath"]).arg(folder.path());
    if form == "sqlite" {
        // Adds the tables and indexes that a file with only `Packages` lacks.
        let mut command = Command::new("rpm");
        command.args(["--define", &format!("_db_backend {form}"), "--dbpath"]).arg(folder.path()).arg("--initdb");
        assert!(command.output().unwrap().status.success());
    }
    let output = command.args(["-qa", "--qf", FORMAT]).stderr(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !errors.contains("error:"), "rpm: {errors}");
    let mut lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

fn shared(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(testkit::data::path(&format!("rpmdb/{name}"))?).unwrap())
}

/// The real databases: file, expectation, count, and the form under which Debian's rpm reads it.
const REAL: [(&str, &str, usize, Option<&str>); 4] = [
    ("cbl-mariner-2.0-rpmdb.sqlite", "cbl-mariner-2.0", 129, Some("sqlite")),
    ("sle15-bci-Packages.db", "sle15-bci", 35, None),
    ("libuuid-Packages", "libuuid", 1, Some("bdb_ro")),
    ("packages-epoch-bdb", "packages-epoch", 1, Some("bdb_ro")),
];

#[test]
fn rpm_real_databases_hold_what_rpm_lists() {
    for (file, case, count, form) in REAL {
        let Some(content) = shared(file) else { continue };
        let seen = read_one(content.clone());
        assert_eq!(seen.gaps(), [""; 0], "{file}");
        assert_eq!(seen.lines(), expected(case), "{file}");
        assert_eq!(seen.packages.len(), count, "{file}");
        if let Some(listed) = form.and_then(|form| listed_by_rpm(form, &content)) {
            assert_eq!(seen.lines(), listed, "{file}");
        }
    }
}

/// The NDB file of SLE 15 holds 35 packages, not 36: its slots name 35 blobs, every blob is there and is a package, and
/// none is a public key. SUSE's own `rpm -qa` of the image that the file is from lists the same 35
/// (knqyf263/go-rpmdb, `pkg/rpmdb_testcase_test.go`, `SLE15WithNDB`).
#[test]
fn rpm_ndb_of_sle_15_has_35_blobs() {
    let Some(content) = shared("sle15-bci-Packages.db") else {
        println!("rpm: SKIPPED, no test data (set PRATIQUE_TEST_DATA)");
        return;
    };
    let count = |mark: &[u8]| content.windows(4).step_by(4).filter(|window| *window == mark).count();
    assert_eq!(count(b"BlbS"), 35);
    // A slot's magic is followed by its number; that of an unused slot is zero.
    let is_used = |slot: &[u8]| slot.starts_with(b"Slot") && slot[4..8] != [0; 4];
    assert_eq!(content.chunks_exact(16).filter(|slot| is_used(slot)).count(), 35);
    assert_eq!(read_one(content).packages.len(), 35);
}

#[test]
fn rpm_packages_have_purls() {
    let purls = |file: &str| {
        let mut purls: Vec<_> =
            read_one(shared(file)?).packages.iter().map(|package| package.key.purl().to_string()).collect();
        purls.sort();
        Some(purls)
    };
    if let Some(purls) = purls("packages-epoch-bdb") {
        assert_eq!(purls, ["pkg:rpm/hello@0.0.1-rls?arch=x86_64&epoch=1"]);
    }
    if let Some(purls) = purls("libuuid-Packages") {
        assert_eq!(purls, ["pkg:rpm/libuuid@2.32.1-42.el8_8?arch=x86_64&upstream=util-linux"]);
    }
}

/// 320 packages in every form.
fn forms(headers: &[(u32, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![("ndb".to_owned(), ndb(headers))];
    for page_bytes in [512, 1024, 4096, 65_536] {
        forms.push((format!("sqlite {page_bytes}"), Sqlite::build(headers, page_bytes)));
        for (buckets, big) in [(1, false), (2, true), (37, false), (64, true)] {
            let name = format!("bdb {page_bytes}, {buckets} buckets, {}", if big { "big" } else { "little" });
            forms.push((name, Bdb::build(headers, page_bytes, buckets, big)));
        }
    }
    forms
}

#[test]
fn rpm_forms_give_one_list() {
    let packages = packages(320);
    let mut expect: Vec<_> = packages.iter().map(|package| (package.line(), package.module.is_some())).collect();
    expect.sort();
    let forms = forms(&headers(&packages));
    let contents: Vec<_> = forms.iter().map(|(_, content)| content.clone()).collect();
    for ((name, _), seen) in forms.iter().zip(read_all(&contents)) {
        assert_eq!(seen.gaps(), [""; 0], "{name}");
        let mut lines: Vec<_> =
            seen.packages.iter().map(|package| (line(package), package.key.module.is_some())).collect();
        lines.sort();
        assert_eq!(lines, expect, "{name}");
    }
}

#[test]
fn rpm_reads_the_built_databases_too() {
    let packages = packages(320);
    let headers = headers(&packages);
    let mut expect: Vec<_> = packages.iter().map(Package::line).collect();
    expect.sort();
    for page_bytes in [512, 4096, 65_536] {
        let sqlite = listed_by_rpm("sqlite", &Sqlite::build(&headers, page_bytes));
        assert!(sqlite.is_none_or(|listed| listed == expect), "sqlite {page_bytes}");
    }
    for buckets in [1, 37] {
        let bdb = listed_by_rpm("bdb_ro", &Bdb::build(&headers, 4096, buckets, false));
        assert!(bdb.is_none_or(|listed| listed == expect), "bdb {buckets}");
    }
}

/// Runs SQL with the command line of SQLite, if it is installed.
fn sqlite3(database: &Path, sql: &str) -> Option<String> {
    use std::io::Write;
    if !has_program("sqlite3", "sqlite3") {
        return None;
    }
    let mut command = Command::new("sqlite3");
    let mut child = command.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn sqlite_checks_what_we_write_and_we_read_what_it_writes() {
    let packages = packages(320);
    let headers = headers(&packages);
    let folder = tempfile::tempdir().unwrap();
    for page_bytes in [512, 4096, 65_536] {
        let path = folder.path().join(format!("ours-{page_bytes}"));
        std::fs::write(&path, Sqlite::build(&headers, page_bytes)).unwrap();
        if let Some(said) = sqlite3(&path, "PRAGMA integrity_check; SELECT count(*) FROM Packages;\n") {
            assert_eq!(said, "ok\n320\n");
        }
    }
    // With pages on the list of free ones, another table and indexes, and a part of every page reserved.
    let path = folder.path().join("theirs");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut sql = "PRAGMA page_size=1024;\n.filectrl reserve_bytes 16\nCREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER);\n\
                   CREATE INDEX 'Name_key_idx' ON 'Name'(key ASC);\nCREATE TABLE junk (blob BLOB);\n\
                   CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL);\nBEGIN;\n"
        .to_owned();
    for (number, header) in &headers {
        sql += &format!(
            "INSERT INTO junk VALUES (zeroblob(3000));\nINSERT INTO Packages VALUES ({number}, x'{}');\n",
            hex(header)
        );
        sql += &format!("INSERT INTO Name VALUES ('package', {number});\n");
    }
    sql += "COMMIT;\nDROP TABLE junk;\n";
    if sqlite3(&path, &sql).is_some() {
        let content = std::fs::read(&path).unwrap();
        let seen = read_one(content);
        assert_eq!(seen.gaps(), [""; 0]);
        let mut expect: Vec<_> = packages.iter().map(Package::line).collect();
        expect.sort();
        assert_eq!(seen.lines(), expect);
    }
}

fn small() -> Vec<Package> {
    let package = |name: &str| Package {
        name: name.to_owned(),
        version: "1".to_owned(),
        release: "2".to_owned(),
        arch: Some("noarch"),
        source: Some(format!("{name}-1-2.src.rpm")),
        ..Package::default()
    };
    vec![package("a"), Package { filler: 3000, ..package("b") }, package("c")]
}

#[test]
fn rpm_public_keys_are_no_packages() {
    let key = Package {
        name: "gpg-pubkey".to_owned(),
        version: "3abb34f8".to_owned(),
        release: "5098ab6e".to_owned(),
        ..Package::default()
    };
    let packages = [small(), vec![key]].concat();
    for (name, content) in forms(&headers(&packages)) {
        let seen = read_one(content);
        assert_eq!(seen.lines(), small().iter().map(Package::line).collect::<Vec<_>>(), "{name}");
        assert_eq!(seen.gaps(), [""; 0]);
    }
    assert_eq!(listed_by_rpm("sqlite", &Sqlite::build(&headers(&packages), 4096)).map_or(4, |listed| listed.len()), 4);
}

#[test]
fn rpm_packages_own_language_packages() {
    let six = Package {
        name: "python3-six".to_owned(),
        files: vec![
            ("/usr/lib/python3.9/site-packages/", "six.py"),
            ("/usr/lib/python3.9/site-packages/six-1.16.0.dist-info/", "METADATA"),
            ("/usr/lib/python3.9/site-packages/six-1.16.0.dist-info/", "RECORD"),
        ],
        ..small()[0].clone()
    };
    let metadata = "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n";
    for (name, content) in forms(&headers(&[six])) {
        let layer = LayerBuilder::new()
            .file("etc/os-release", "ID=rocky\nVERSION_ID=9.2\n")
            .file("usr/lib/python3.9/site-packages/six-1.16.0.dist-info/METADATA", metadata)
            .symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
            .file("usr/lib/sysimage/rpm/Packages.db", content);
        let image = image(&[layer.build().blob.to_vec()]);
        assert_eq!(
            image_packages(&image),
            [
                "pkg:pypi/six@1.16.0 0:usr/lib/python3.9/site-packages/six-1.16.0.dist-info/METADATA owned by python3-six",
                "pkg:rpm/rocky/python3-six@1-2?arch=noarch&distro=rocky-9.2&upstream=a 0:usr/lib/sysimage/rpm/Packages.db",
            ],
            "{name}"
        );
        assert_eq!(image.gaps, [], "{name}");
    }
}

#[test]
fn file_names_above_the_limit_are_named() {
    let owner = Package { files: vec![("/usr/share/", "a-name-of-twenty-two-b"); 10], ..small()[0].clone() };
    let owner = headers(&[owner, small()[1].clone()]);
    let detectors = detectors_with(Limits { names_bytes_max: 200, ..Limits::default() });
    let layer = LayerBuilder::new().file(PATHS[0], ndb(&owner));
    let reading = read_with(&layer.tar()[..], &detectors, &[Detector::Packages].into());
    assert_eq!(facts(&reading, Detector::Packages).packages.len(), 2);
    let what = "the names of its files, with those of the packages before, are above the limit";
    assert_eq!(gaps(&reading), [format!("{} too-many: rpm database (NDB), package 1: {what}", PATHS[0])]);
}

#[test]
fn values_that_are_wrong_cost_what_depends_on_them() {
    let check = |more: (u32, Value), names: &[&str], gap: &str| {
        let owner = Package { files: vec![("/usr/bin/", "a")], more: vec![more], ..small()[0].clone() };
        let seen = read_one(ndb(&headers(&[owner, small()[1].clone()])));
        assert_eq!(seen.packages.iter().map(|package| package.key.name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(seen.gaps(), [format!("malformed: rpm database (NDB), package 1: {gap}")]);
    };
    // Without its files a package is still a package.
    let files = "the list of its files does not fit together";
    check((1116, numbers(&[1])), &["a", "b"], files);
    check((1116, numbers(&[0, 0])), &["a", "b"], files);
    check((1116, numbers(&[u32::MAX])), &["a", "b"], files);
    check((1118, (8, (1 << 20) + 1, vec![0; (1 << 20) + 1])), &["a", "b"], files);
    check((1117, (8, 1 << 30, b"a".to_vec())), &["a", "b"], "a text without an end");
    // With another epoch it would be another package.
    check((1003, numbers(&[])), &["b"], "an epoch without a number");
    check((1003, text("1")), &["b"], "a number that is of another type");
    check((1000, numbers(&[1])), &["b"], "a text that is of another type");
    check((1044, (7, 1, vec![0])), &["b"], "a text that is of another type");
}

#[test]
fn a_log_beside_the_database_is_a_gap_while_it_is_in_use() {
    let check = |log: &[u8], expect: &[&str]| {
        let database = Sqlite::build(&headers(&small()), 4096);
        let layer =
            LayerBuilder::new().file("var/lib/rpm/rpmdb.sqlite", database).file("var/lib/rpm/rpmdb.sqlite-wal", log);
        let reading = read_with(&layer.tar()[..], detectors(), &[Detector::Packages].into());
        assert_eq!(facts(&reading, Detector::Packages).packages.len(), 3);
        assert_eq!(gaps(&reading), expect);
    };
    let mut log = vec![0; 32 + 24 + 4096];
    check(b"", &[]);
    check(&log, &[]);
    log[..4].copy_from_slice(&[0x37, 0x7f, 0x06, 0x82]);
    check(
        &log,
        &[
            "var/lib/rpm/rpmdb.sqlite-wal unsupported: a write-ahead log beside the rpm database: changes in it that the database \
         does not have yet are not read",
        ],
    );
}

#[test]
fn an_rpm_database_above_the_limit_is_named() {
    let detectors = detectors_with(Limits { database_bytes_max: 1000, ..Limits::default() });
    for path in PATHS {
        let layer = LayerBuilder::new().file(path, ndb(&headers(&small())));
        let reading = read_with(&layer.tar()[..], &detectors, &[Detector::Packages].into());
        let gaps = gaps(&reading);
        assert_eq!(gaps.len(), 1);
        assert!(
            gaps[0].starts_with(&format!("{path} file-too-large: ")) && gaps[0].ends_with("the limit is 1000"),
            "{gaps:?}"
        );
    }
}

#[test]
fn what_rpm_databases_may_be_and_are_not_read_is_named() {
    let check = |content: &[u8], (at, value): (usize, u8), expect: &str| {
        let mut content = content.to_vec();
        content[at] = value;
        let seen = read_one(content);
        assert_eq!(seen.gaps(), [expect]);
        assert_eq!(seen.lines(), [""; 0]);
    };
    let headers = headers(&small());
    let sqlite = Sqlite::build(&headers, 4096);
    check(&sqlite, (19, 3), "unsupported: rpm database (SQLite): a version of the file format that is not supported");
    check(&sqlite, (59, 2), "unsupported: rpm database (SQLite): texts that are not in UTF-8, which is not supported");
    check(&sqlite, (16, 3), "malformed: rpm database (SQLite): a page size that SQLite does not have");
    check(
        &ndb(&headers),
        (4, 1),
        "unsupported: rpm database (NDB): a version of the file format that is not supported",
    );
    let bdb = Bdb::build(&headers, 512, 4, false);
    check(&bdb, (16, 7), "unsupported: rpm database (Berkeley DB): a version of the file format that is not supported");
    check(&bdb, (24, 1), "unsupported: rpm database (Berkeley DB): encryption or checksums, which are not supported");
    check(&bdb, (26, 1), "unsupported: rpm database (Berkeley DB): encryption or checksums, which are not supported");
    check(&bdb, (25, 9), "malformed: rpm database (Berkeley DB): a first page that describes no hash");
    let mut btree = bdb;
    btree[12..16].copy_from_slice(&0x0005_3162_u32.to_le_bytes());
    check(&btree, (0, 0), "unsupported: rpm database (Berkeley DB): a b-tree, which is not supported");
}

/// What a broken copy of a database may at most say: some of the packages, and that something is missing.
fn assert_partial(seen: &Seen, whole: &BTreeSet<String>, what: &str) {
    assert!(seen.lines().iter().all(|line| whole.contains(line)), "{what}");
    let gaps = seen.gaps();
    assert!(gaps.len() == 1 && gaps[0].starts_with("malformed: rpm database"), "{what}: {gaps:?}");
}

fn assert_cuts_are_seen(name: &str, content: &[u8], ends: &[usize]) {
    let whole: BTreeSet<_> = read_one(content.to_vec()).lines().into_iter().collect();
    for part in ends.chunks(PATHS.len()) {
        let cut: Vec<_> = part.iter().map(|end| content[..*end].to_vec()).collect();
        for (end, seen) in part.iter().zip(read_all(&cut)) {
            assert_partial(&seen, &whole, &format!("{name} cut at {end}"));
        }
    }
}

#[test]
fn an_rpm_database_cut_at_any_byte_is_seen_and_keeps_what_is_whole() {
    let headers = headers(&small());
    let mut databases = vec![
        ("built sqlite", Sqlite::build(&headers, 512)),
        ("built ndb", ndb(&headers)),
        ("built bdb", Bdb::build(&headers, 512, 3, true)),
    ];
    databases.extend(shared("packages-epoch-bdb").map(|content| ("packages-epoch-bdb", content)));
    for (name, content) in databases {
        assert_cuts_are_seen(name, &content, &(0..content.len()).collect::<Vec<_>>());
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below
    }
}

#[test]
fn real_rpm_databases_cut_at_many_places_are_seen() {
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    for (file, cuts) in
        [("cbl-mariner-2.0-rpmdb.sqlite", 90), ("sle15-bci-Packages.db", 180), ("libuuid-Packages", 1800)]
    {
        let Some(content) = shared(file) else { continue };
        let ends: Vec<_> = (0..cuts).map(|_| dice.roll(content.len())).chain([0, 1, 16, 100, 512, 4096]).collect();
        assert_cuts_are_seen(file, &content, &ends);
    }
}

/// Reads broken copies. None may take long, whatever it says.
fn assert_bounded(name: &str, copies: impl Iterator<Item = Vec<u8>>) {
    let mut copies = copies.peekable();
    while copies.peek().is_some() {
        let some: Vec<_> = copies.by_ref().take(PATHS.len()).collect();
        let started = Instant::now();
        read_all(&some);
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn rpm_databases_with_flipped_bits_are_read_without_a_panic() {
    let mut dice = Dice(0xfeed_beef_dead_cafe);
    let headers = headers(&small());
    let mut databases = vec![
        ("built sqlite", Sqlite::build(&headers, 512), 1800),
        ("built ndb", ndb(&headers), 900),
        ("built bdb", Bdb::build(&headers, 512, 3, false), 1800),
    ];
    for (file, rounds) in [
        ("cbl-mariner-2.0-rpmdb.sqlite", 45),
        ("sle15-bci-Packages.db", 90),
        ("libuuid-Packages", 270),
        ("packages-epoch-bdb", 900),
    ] {
        databases.extend(shared(file).map(|content| (file, content, rounds)));
    }
    for (name, content, rounds) in databases {
        let copies = (0..rounds).map(|_| {
            let mut copy = content.clone();
            for _ in 0..=dice.roll(8) {
                // Half of them where the structure is.
                let below = if dice.roll(2) == 0 { copy.len() } else { copy.len().min(5000) };
                let at = dice.roll(below);
                copy[at] ^= 1 << dice.roll(8);
            }
            copy
        });
        assert_bounded(name, copies);
    }
}

#[test]
fn rpm_databases_with_numbers_near_the_limits_are_read_without_a_panic() {
    const NUMBERS: [u32; 6] = [u32::MAX, 0xffff_fff0, 0x8000_0000, 0x7fff_ffff, 0x0fff_ffff, 0];
    let mut dice = Dice(0x0bad_5eed_0bad_5eed);
    let headers = headers(&small());
    for (name, content) in [
        ("sqlite", Sqlite::build(&headers, 512)),
        ("ndb", ndb(&headers)),
        ("bdb little", Bdb::build(&headers, 512, 3, false)),
        ("bdb big", Bdb::build(&headers, 512, 3, true)),
    ] {
        // Free slots are all alike.
        let places = (0..content.len() - 4).step_by(2).filter(|at| name != "ndb" || *at < 128 || *at >= 4096);
        let copies = places.flat_map(|at| [at; 2]).map(|at| {
            let mut copy = content.clone();
            let number = NUMBERS[dice.roll(NUMBERS.len())];
            let bytes = if dice.roll(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
            copy[at..at + 4].copy_from_slice(&bytes);
            copy
        });
        assert_bounded(name, copies);
    }
}

/// Changes a database and says what must come of it.
fn check_broken(mut content: Vec<u8>, change: impl FnOnce(&mut [u8]), names: &[&str], gap: &str) {
    change(&mut content);
    let seen = read_one(content);
    let found: Vec<_> = seen.packages.iter().map(|package| package.key.name.as_str()).collect();
    assert_eq!(found, names);
    assert_eq!(seen.gaps(), [gap]);
    assert_eq!(seen.gaps[0].reason, GapReason::Malformed);
}

#[test]
fn sqlite_cycles_end() {
    // Pages of 512 bytes: from 3 on the rest of b, then leaves, and the root last.
    let content = Sqlite::build(&headers(&small()), 512);
    let page = |number: usize| (number - 1) * 512;
    let root = content.len() / 512;
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    assert_eq!((content[page(root)], content[page(root - 1)]), (5, 13));
    let last = page(root) + 8;
    let gap = format!("malformed: rpm database (SQLite), page {root}: a page that is used twice");
    check_broken(content.clone(), |bytes| bytes[last..last + 4].copy_from_slice(&number(root)), &["a", "b"], &gap);
    let gap = "malformed: rpm database (SQLite), page 1: a page that is used twice";
    check_broken(content.clone(), |bytes| bytes[last..last + 4].copy_from_slice(&number(1)), &["a", "b"], gap);
    let gap = "malformed: rpm database (SQLite), page 4294967295: a page that the file does not have";
    check_broken(content.clone(), |bytes| bytes[last..last + 4].fill(0xff), &["a", "b"], gap);
    let gap = "malformed: rpm database (SQLite), page 0: a page that the file does not have";
    check_broken(content.clone(), |bytes| bytes[last..last + 4].fill(0), &["a", "b"], gap);
    let gap = "malformed: rpm database (SQLite), page 3: a page that is used twice";
    check_broken(content.clone(), |bytes| bytes[page(3)..page(3) + 4].copy_from_slice(&number(3)), &["a", "c"], gap);
    let gap = "malformed: rpm database (SQLite), page 0: a page that the file does not have";
    check_broken(content.clone(), |bytes| bytes[page(5)..page(5) + 4].fill(0), &["a", "c"], gap);
}

#[test]
fn sqlite_cells_that_are_all_the_same_end() {
    let mut content = Sqlite::build(&headers(&small()[..1]), 65_536);
    // The only leaf is page 3: its list of cells says 20,000 times where the one cell is.
    let leaf = 2 * 65_536;
    let cell: [u8; 2] = content[leaf + 8..leaf + 10].try_into().unwrap();
    content[leaf + 3..leaf + 5].copy_from_slice(&20_000_u16.to_be_bytes());
    for at in 0..20_000 {
        content[leaf + 8 + 2 * at..][..2].copy_from_slice(&cell);
    }
    let seen = read_one(content);
    assert_eq!(seen.gaps(), ["malformed: rpm database (SQLite), page 3: cells that overlap"]);
    assert_eq!(seen.packages.len(), 1);
}

#[test]
fn bdb_cycles_end() {
    let content = Bdb::build(&headers(&small()), 512, 1, false);
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let page = |number: u32| usize::try_from(number).unwrap() * 512;
    let is_followed = |at: u32| content[page(at) + 25] == 7 && number(&content, page(at) + 16) != 0;
    let overflow = (1..).find(|at| is_followed(*at)).unwrap();
    let next = page(overflow) + 16;
    assert_eq!(number(&content, next), overflow + 1);
    let gap = format!("malformed: rpm database (Berkeley DB), page {overflow}: a page that is used twice");
    check_broken(
        content.clone(),
        |bytes| bytes[next..next + 4].copy_from_slice(&overflow.to_le_bytes()),
        &["a", "c"],
        &gap,
    );
    let gap = "malformed: rpm database (Berkeley DB), package 2: a value of another length than it says";
    check_broken(content.clone(), |bytes| bytes[next..next + 4].fill(0), &["a", "c"], gap);
    // The page of the only bucket is followed by itself.
    let gap = "malformed: rpm database (Berkeley DB), page 1: a page that is used twice";
    check_broken(content.clone(), |bytes| bytes[512 + 16] = 1, &["a", "b", "c"], gap);
    // The file has a page for each of 12 buckets: 1 to 10 lead to pages that are in use, 11 to the blank one.
    let faults = content.len() / 512 - 1;
    let gap = format!("malformed: rpm database (Berkeley DB): more buckets than pages ({faults} faults in all)");
    check_broken(content, |bytes| bytes[72..76].fill(0xff), &["a", "b", "c"], &gap);
}

#[test]
fn ndb_blobs_that_overlap_end() {
    let content = ndb(&headers(&small()));
    // Every slot points to the largest blob.
    let largest: [u8; 16] = content[64..80].try_into().unwrap();
    let seen = {
        let mut content = content.clone();
        (2..256).for_each(|at| content[at * 16..][..16].copy_from_slice(&largest));
        read_one(content)
    };
    assert_eq!(seen.gaps(), ["malformed: rpm database (NDB), slot 4: blobs that overlap"]);
    let slot = |at: usize| at * 16;
    assert_eq!(&content[slot(3)..slot(3) + 8], b"Slot\x01\0\0\0");
    let gap = "malformed: rpm database (NDB), slot 3: blocks that the file does not have";
    check_broken(content.clone(), |bytes| bytes[slot(3) + 8..slot(3) + 16].fill(0xff), &["b", "c"], gap);
    let gap = "malformed: rpm database (NDB), slot 3: blocks that are none";
    check_broken(
        content.clone(),
        |bytes| bytes[slot(3) + 8..slot(3) + 12].copy_from_slice(&[1, 0, 0, 0]),
        &["b", "c"],
        gap,
    );
    let gap = "malformed: rpm database (NDB), slot 3: not a slot";
    check_broken(content.clone(), |bytes| bytes[slot(3)] = 0, &["b", "c"], gap);
    let gap = "malformed: rpm database (NDB), package 1: a blob with a wrong checksum";
    check_broken(content.clone(), |bytes| bytes[4096 + 100] ^= 1, &["b", "c"], gap);
    let gap = "malformed: rpm database (NDB), package 1: a blob whose head and tail do not agree";
    check_broken(content, |bytes| bytes[4096 + 12] ^= 1, &["b", "c"], gap);
}

#[test]
fn one_broken_header_does_not_hide_the_others() {
    let check = |change: &dyn Fn(&mut Package), cut: usize, gap: &str| {
        let mut packages = small();
        change(&mut packages[0]);
        let mut headers = headers(&packages);
        let length = headers[0].1.len();
        headers[0].1.truncate(length - cut);
        let forms: Vec<_> = forms(&headers).into_iter().map(|(_, content)| content).collect();
        for seen in read_all(&forms) {
            assert_eq!(seen.packages.iter().map(|package| package.key.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
            assert!(seen.gaps.len() == 1 && seen.gaps()[0].ends_with(gap), "{:?}", seen.gaps());
        }
    };
    check(&|_| (), 1, ", package 1: a header that is cut off");
    check(&|package| package.name.clear(), 0, ", package 1: a header without a name");
    check(&|package| package.version.clear(), 0, ", package 1: a header without a version");
    check(&|package| package.release = "r".repeat(2000), 0, ", package 1: a header without a release");
}
