//! Facts that configuration checks ask for: accounts, folders open to everybody, caches.

use crate::support::*;
use model::observation::{ObservationKind, PasswordState};
use model::{ImageInventory, LayerPath};
use testkit::image::LayerBuilder;

fn squashed(layers: &[LayerBuilder]) -> ImageInventory {
    let blobs: Vec<Vec<u8>> = layers.iter().map(|layer| layer.build().blob.to_vec()).collect();
    image(&blobs)
}

/// `path name uid password` of every account, in the order of the inventory.
fn accounts(image: &ImageInventory) -> Vec<String> {
    let seen = image.observations.iter().filter_map(|seen| {
        let ObservationKind::Account(fact) = &seen.kind else { return None };
        assert_eq!(seen.evidence.removed_in, None, "only what is there now");
        let path = seen.evidence.path.as_ref().map(LayerPath::to_string).unwrap_or_default();
        let uid = fact.uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
        Some(format!("{path} {} {uid} {:?}", fact.name, fact.password))
    });
    let mut all: Vec<String> = seen.collect();
    all.sort();
    all
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/ash\napp:x:1000:1000::/app:/bin/sh\n";

#[test]
fn accounts_are_those_of_the_last_layer_that_writes_them() {
    let open = LayerBuilder::files(&[("etc/passwd", PASSWD), ("etc/shadow", "root:::0:::::\n")]);
    let expect = ["etc/passwd app 1000 Elsewhere", "etc/passwd root 0 Elsewhere", "etc/shadow root - Empty"];
    assert_eq!(accounts(&squashed(std::slice::from_ref(&open))), expect);
    let locked = LayerBuilder::files(&[("etc/shadow", "root:!::0:::::\n")]);
    let expect = ["etc/passwd app 1000 Elsewhere", "etc/passwd root 0 Elsewhere", "etc/shadow root - Locked"];
    assert_eq!(accounts(&squashed(&[open.clone(), locked])), expect);
    let gone = LayerBuilder::new().whiteout("etc/passwd").whiteout("etc/shadow");
    assert_eq!(accounts(&squashed(&[open, gone])), [""; 0]);
    assert_eq!(format!("{:?}", PasswordState::Empty), "Empty");
}

#[test]
fn accounts_that_are_too_many_to_read_are_a_gap() {
    let huge = "#".repeat((1 << 20) + 1);
    let image = squashed(&[LayerBuilder::files(&[("etc/passwd", &huge)])]);
    let gap = image.gaps.iter().find(|gap| gap.scope == "etc/passwd").expect("a gap");
    assert_eq!(gap.reason, model::GapReason::FileTooLarge);
}

/// `path what` of folders and caches.
fn folders(image: &ImageInventory) -> Vec<String> {
    let seen = image.observations.iter().filter_map(|seen| {
        let path = seen.evidence.path.as_ref().map(LayerPath::to_string).unwrap_or_default();
        match &seen.kind {
            ObservationKind::FolderMode(fact) => Some(format!("{path} {:o}", fact.mode & 0o7777)),
            ObservationKind::Cache(fact) => Some(format!("{path} {} files {} bytes", fact.files, fact.bytes)),
            _ => None,
        }
    });
    let mut all: Vec<String> = seen.collect();
    all.sort();
    all
}

#[test]
fn caches_count_what_is_left_in_the_end() {
    let below =
        LayerBuilder::files(&[("var/cache/apk/a", "12345"), ("var/cache/apk/deep/b", "1"), ("var/cached", "x")]);
    assert_eq!(folders(&squashed(std::slice::from_ref(&below))), ["var/cache/apk 2 files 6 bytes"]);
    let cleaned = LayerBuilder::new().whiteout("var/cache/apk/a");
    assert_eq!(folders(&squashed(&[below.clone(), cleaned])), ["var/cache/apk 1 files 1 bytes"]);
    let all = LayerBuilder::new().opaque("var/cache");
    assert_eq!(folders(&squashed(&[below, all])), [""; 0]);
}

#[test]
fn folders_open_to_everybody_are_named_unless_they_are_sticky() {
    let entries = [("srv/open", 0o777), ("tmp/sticky", 0o1777), ("etc/closed", 0o755)];
    let tar = |entries: &[(&str, u32)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            header.set_size(0);
            builder.append_data(&mut header, path, std::io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    };
    assert_eq!(folders(&image(&[tar(&entries)])), ["srv/open 777"]);
    let closed = tar(&[("srv/open", 0o755)]);
    assert_eq!(folders(&image(&[tar(&entries), closed])), [""; 0], "closed by a later layer");
}
