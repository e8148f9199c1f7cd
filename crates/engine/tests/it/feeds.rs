//! Imports and synchronisation: what is damaged keeps its old data and says why, the others go on.

use engine::feeds::{self, FeedSource, SourceForm};
use intel::FeedMeta;
use model::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::intel_folder::IntelFolder;

fn now() -> Timestamp {
    "2030-02-15T00:00:00Z".parse().unwrap()
}

fn later() -> Timestamp {
    "2030-02-16T00:00:00Z".parse().unwrap()
}

/// What everybody is told about the feeds in force.
fn metas(folder: &IntelFolder) -> BTreeMap<String, FeedMeta> {
    let library = engine::intelligence::Library::open(folder.path()).unwrap();
    let loaded = library.current();
    loaded.intelligence.feeds().iter().map(|feed| (feed.id.clone(), feed.clone())).collect()
}

/// The documents of the golden cases, apart from those that are damaged on purpose.
fn golden() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/feeds");
    let mut found = Vec::new();
    for case in std::fs::read_dir(root).unwrap().map(|case| case.unwrap().path()) {
        if case.file_name().unwrap() != "damaged" {
            found.extend(std::fs::read_dir(case.join("input")).unwrap().map(|file| file.unwrap().path()));
        }
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

/// Copies documents into a folder under names of their own, changed.
fn write(into: &Path, paths: &[PathBuf], change: impl Fn(&Path, Vec<u8>) -> Vec<u8>) {
    for (index, path) in paths.iter().enumerate() {
        let name = format!("{index:03}-{}", path.file_name().unwrap().to_string_lossy());
        std::fs::write(into.join(name), change(path, std::fs::read(path).unwrap())).unwrap();
    }
}

#[test]
fn damaged_documents_keep_the_data_of_their_feeds_and_others_go_on() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = IntelFolder::open(&temporary.path().join("intel")).unwrap();
    let documents = golden();
    let good = temporary.path().join("good");
    std::fs::create_dir(&good).unwrap();
    write(&good, &documents, |_, bytes| bytes);
    assert!(feeds::import(&folder, &good, now()).unwrap().feeds.len() > 25);
    let before = metas(&folder);

    let bad = temporary.path().join("bad");
    std::fs::create_dir(&bad).unwrap();
    // A list that ends between two of its rows is a smaller list.
    let is_left = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name == "kev.json" || name.contains("hashes")
    };
    write(&bad, &documents, |path, mut bytes| {
        if !is_left(path) {
            bytes.truncate(bytes.trim_ascii_end().len() - 1);
        }
        bytes
    });
    feeds::import(&folder, &bad, later()).unwrap();
    let after = metas(&folder);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let mut failed = 0;
    for (id, old) in &before {
        let new = &after[id];
        assert_eq!(new.records, old.records, "{id}");
        if new.error.is_some() {
            assert_eq!(new.imported_at, now(), "{id}");
            failed += 1;
        }
    }
    assert!(failed > 20, "only {failed} feeds failed");
    assert_eq!((after["cisa-kev"].error.as_deref(), after["cisa-kev"].imported_at), (None, later()));
    assert!(after["redhat-vex"].error.as_deref().is_some_and(|why| why.contains("not a whole CSAF document")));
}

fn record(n: usize) -> (String, String) {
    let text = format!(
        r#"{{"id":"GHSA-{n}","modified":"2030-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"npm","name":"p{n}"}},"versions":["1.0.0"]}}]}}"#
    );
    (format!("all/GHSA-{n}.json"), text)
}

fn tar(records: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in (0..records).map(record) {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn an_archive_that_ends_early_replaces_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = IntelFolder::open(&temporary.path().join("intel")).unwrap();
    let whole = tar(50);
    let import =
        |bytes: &[u8], at| feeds::import_documents(&folder, &[("npm.tar".to_owned(), bytes.to_vec())], at).unwrap();
    assert_eq!(import(&whole, now()).feeds[0].records, 50);
    let cut = import(&whole[..whole.len() / 2 + 100], later());
    assert!(cut.feeds.is_empty() && cut.generation == 1, "{cut:?}");
    assert_eq!(cut.failed[0].feed, "osv-npm");
    let kept = &metas(&folder)["osv-npm"];
    assert_eq!((kept.records, kept.imported_at), (50, now()));
    assert!(kept.error.as_deref().is_some_and(|why| why.contains("tar archive")), "{:?}", kept.error);
    assert_eq!(import(&whole, later()).feeds[0].error, None);
}

#[tokio::test]
async fn sources_on_this_machine_are_read_and_their_failures_are_kept() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = IntelFolder::open(&temporary.path().join("intel")).unwrap();
    let mirror = temporary.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    let (name, text) = record(1);
    let path = mirror.join(name.replace('/', "-"));
    std::fs::write(&path, text).unwrap();
    let source = mirrored(&mirror, &["osv-*"]);
    let imported = feeds::sync_one(&folder, &source, now()).await.unwrap().unwrap();
    assert_eq!(imported.feeds[0].id, "osv-npm");
    // A mirror that answers with a page in place of the document.
    std::fs::write(&path, "<html>Sign in</html>").unwrap();
    let error = feeds::sync_one(&folder, &source, later()).await.unwrap_err();
    assert!(error.full().contains("nothing that is recognised"), "{}", error.full());
    let kept = &metas(&folder)["osv-npm"];
    assert_eq!((kept.records, kept.imported_at), (1, now()));
    assert!(kept.error.is_some());
}

/// A source that is a folder of this machine.
fn mirrored(mirror: &Path, feeds: &[&str]) -> FeedSource {
    FeedSource {
        name: "ours".to_owned(),
        feeds: feeds.iter().map(|feed| (*feed).to_owned()).collect(),
        url: format!("file:{}", mirror.display()),
        form: SourceForm::Document,
        on_demand: false,
    }
}

fn generation(folder: &IntelFolder) -> u64 {
    folder.current_number().unwrap()
}

/// Also when its folder is copied anew: only what is in the files counts.
#[tokio::test]
async fn files_that_did_not_change_make_no_generation_and_count_as_fresh() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = IntelFolder::open(&temporary.path().join("intel")).unwrap();
    let mirror = temporary.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    let put = |n: usize, text: &str| std::fs::write(mirror.join(format!("{n}.json")), text).unwrap();
    put(1, &record(1).1);
    let source = mirrored(&mirror, &["osv-*"]);
    let sync = async |at| feeds::sync_one(&folder, &source, at).await.unwrap().map(|imported| imported.generation);
    assert_eq!(sync(now()).await, Some(1));
    put(1, &record(1).1);
    assert_eq!(sync(later()).await, None);
    assert_eq!((generation(&folder), metas(&folder)["osv-npm"].imported_at), (1, later()));
    // Another content of the same length, and a file more.
    put(1, &record(1).1.replace("1.0.0", "1.0.1"));
    assert_eq!(sync(later()).await, Some(2));
    put(2, &record(2).1);
    assert_eq!(sync(later()).await, Some(3));
    assert_eq!(sync(later()).await, None);
    // What is no longer there, or cannot be read, is taken from the same files again.
    feeds::remove(&folder, "osv-npm").unwrap();
    assert_eq!(sync(later()).await, Some(5));
    assert_eq!(age_segments(&folder.path().join("segments")), 1);
    assert!(metas(&folder).is_empty());
    assert!(sync(later()).await.is_some());
    assert_eq!(metas(&folder)["osv-npm"].records, 2);
}

#[tokio::test]
async fn a_broken_document_stays_broken_while_its_source_does_not_change() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = IntelFolder::open(&temporary.path().join("intel")).unwrap();
    let mirror = temporary.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    std::fs::write(mirror.join("a.json"), record(1).1).unwrap();
    std::fs::write(mirror.join("npm.tar"), tar(50)).unwrap();
    let kev = r#"{"title":"CISA Catalog","catalogVersion":"2030.02.14","dateReleased":"2030-02-14T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2030-1","vendorProject":"x","product":"y","vulnerabilityName":"z","dateAdded":"2030-02-14","shortDescription":"","requiredAction":"","dueDate":"2030-03-01"}]}"#;
    std::fs::write(mirror.join("kev.json"), kev).unwrap();
    let source = mirrored(&mirror, &["*"]);
    assert_eq!(feeds::sync_one(&folder, &source, now()).await.unwrap().map(|done| done.feeds.len()), Some(2));
    std::fs::remove_file(mirror.join("a.json")).unwrap();
    std::fs::write(mirror.join("npm.tar"), &tar(50)[..20_000]).unwrap();
    let imported = feeds::sync_one(&folder, &source, later()).await.unwrap().unwrap();
    assert_eq!(imported.failed[0].feed, "osv-npm");
    assert!(feeds::sync_one(&folder, &source, later()).await.unwrap().is_none());
    let known = metas(&folder);
    assert!(known["osv-npm"].error.is_some() && known["osv-npm"].imported_at == now(), "{:?}", known["osv-npm"]);
    assert!(known["cisa-kev"].error.is_none() && known["cisa-kev"].imported_at == later());
}

/// Makes every segment below a folder one of an earlier format.
fn age_segments(folder: &Path) -> usize {
    let mut aged = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            aged += age_segments(&entry);
            continue;
        }
        let mut bytes = std::fs::read(&entry).unwrap();
        if bytes.starts_with(b"PRATIQSG") {
            bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
            std::fs::write(&entry, bytes).unwrap();
            aged += 1;
        }
    }
    aged
}

#[test]
fn feeds_of_an_earlier_format_are_left_out_until_they_are_imported_again() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("intel");
    let folder = IntelFolder::open(&path).unwrap();
    let documents = golden();
    let good = temporary.path().join("good");
    std::fs::create_dir(&good).unwrap();
    write(&good, &documents, |_, bytes| bytes);
    let imported = feeds::import(&folder, &good, now()).unwrap().feeds.len();
    let known = || engine::intelligence::Library::open(&path).unwrap().current().intelligence.feeds().len();
    assert_eq!(known(), imported);
    assert_eq!(age_segments(&path), imported);
    assert_eq!(known(), 0, "what cannot be read has no answers");
    assert_eq!(feeds::import(&folder, &good, later()).unwrap().feeds.len(), imported);
    assert_eq!(known(), imported);
}
