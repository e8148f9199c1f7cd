//! Kill the process that writes, open the store again: everything that was acknowledged is there, nothing is half
//! there.

use crate::sqlite::open;
use crate::world::*;
use model::job::ImageState;
use model::{ImageInventory, PackageKey, Reader, Scope};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use store::traits::{Images as _, Judgements as _};
use store::types::*;

const FOLDER: &str = "PRATIQUE_TEST_CRASH_FOLDER";
const IMAGES: usize = 40;

fn name(n: usize) -> String {
    format!("image {n}")
}

/// Large enough for a file of its own.
fn large(n: usize, round: usize) -> ImageInventory {
    let keys: Vec<PackageKey> = (0..150).map(|p| key(&format!("p{}", (p * 7 + n) % 400), "1")).collect();
    let mut inventory = ImageInventory { detectors: versions(&round.to_string()), ..inventory(&name(n), &keys) };
    inventory.packages.dedup_by(|a, b| a.key == b.key);
    inventory.files = (0..1500).map(|f| file(&format!("bin/{f}"), &format!("{n} {round} {f}"))).collect();
    inventory
}

/// Not a test by itself: the process that is killed. It prints one line per acknowledged commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_killed_writer_loses_nothing_and_leaves_nothing_half_done"]
async fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let world = World::new(Arc::new(open(Path::new(&folder)).await));
    let registry = world.registry("a").await;
    let names: Vec<String> = (0..IMAGES).map(name).collect();
    world.images_in(&registry, "app", Reader::Server, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 0.. {
        for n in 0..IMAGES {
            world.commit(&registry, &name(n), Reader::Server, &large(n, round)).await;
            println!("committed {n} {round}");
        }
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements until `count` came, kills, and returns the last round of each image.
fn run_until(folder: &Path, count: usize) -> Vec<Option<usize>> {
    let mut child = spawn(folder);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = vec![None; IMAGES];
    let mut take = |line: &str| {
        let Some((_, rest)) = line.split_once("committed ") else { return false };
        let (n, round) = rest.split_once(' ').unwrap();
        last[n.parse::<usize>().unwrap()] = Some(round.parse().unwrap());
        true
    };
    let mut seen = 0;
    while seen < count {
        seen += usize::from(take(&lines.next().unwrap().unwrap()));
    }
    child.kill().unwrap();
    lines.map_while(Result::ok).for_each(|line| {
        take(&line);
    });
    child.wait().unwrap();
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_loses_nothing_and_leaves_nothing_half_done() {
    for count in [1, 7, 19, 38, 61] {
        let folder = tempfile::tempdir().unwrap();
        let acknowledged = run_until(folder.path(), count);
        let store = open(folder.path()).await;
        let census = store.inventory_census().await.unwrap();
        assert!(census.iter().all(|c| c.rows == 1));
        for (n, acknowledged) in acknowledged.iter().enumerate() {
            let stored = store.inventory(&Scope::All, &digest(&name(n)), &[Reader::Server]).await.unwrap();
            let round = stored.as_ref().map(|s| s.inventory.detectors[0].fingerprint.parse::<usize>().unwrap());
            // One more commit may have been on its way to the acknowledgement.
            assert!(round >= *acknowledged && round <= acknowledged.map_or(Some(0), |r| Some(r + 1)), "{n}: {round:?}");
            if let Some(stored) = stored {
                assert_eq!(stored.inventory, large(n, round.unwrap()));
            }
        }
        let filter = ImageFilter { state: Some(ImageState::Scanned), ..ImageFilter::default() };
        let scanned = store.images(&Scope::All, &filter, &Page::first(99)).await.unwrap().len();
        // One may be leased by the process that is dead.
        assert!(scanned + 1 >= census.len() && scanned <= census.len(), "{scanned} of {}", census.len());
        assert_eq!(store.repositories_to_judge(9).await.unwrap().len(), 1);
        store.close().await;
    }
}
