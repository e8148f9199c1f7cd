//! Figures, printed: `cargo test --release -p store -- --ignored --nocapture performance`.

use crate::sqlite::open;
use crate::world::*;
use model::job::{ImageState, JobOutcome, JobWork};
use model::{Digest, ImageInventory, PackageKey, Reader, Scope};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::traits::SharedStore;
use store::types::*;

fn large(image: usize, shared: usize) -> ImageInventory {
    let name = format!("image {image}");
    let own = |n: usize| if n < shared { format!("p{n}") } else { format!("{image}-p{n}") };
    let keys: Vec<PackageKey> = (0..2000).map(|n| key(&own(n), "1.2.3-r4")).collect();
    let mut inventory = inventory(&name, &keys);
    inventory.files =
        (0..10_000).map(|n| file(&format!("usr/lib/python3/dist/{n}"), &format!("{image} {n}"))).collect();
    inventory
}

async fn time_commit(world: &World, registry: &model::registry::Registry, image: usize, shared: usize) -> Duration {
    let name = format!("image {image}");
    let inventory = large(image, shared);
    let lease = world.scan(registry, &name, Reader::Server).await;
    let digest: Digest = digest(&name);
    let commit = InventoryCommit {
        image: &digest,
        reader: &Reader::Server,
        inventory: &inventory,
        versions: &inventory.detectors,
        state: ImageState::Scanned,
    };
    let begin = Instant::now();
    world.store.commit_inventory(&lease, &commit, at(2)).await.unwrap();
    let took = begin.elapsed();
    world.done(&lease).await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; run with --release"]
async fn performance() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let store: SharedStore = Arc::new(open(folder.path()).await);
    let world = World::new(store.clone());
    let registry = world.registry("a").await;
    let names: Vec<String> = (0..20).map(|n| format!("image {n}")).collect();
    world.images_in(&registry, "app", Reader::Server, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (image, shared) in [(0, 2000), (1, 0), (2, 0), (3, 2000), (4, 2000), (5, 1900)] {
        let took = time_commit(&world, &registry, image, shared).await;
        println!("commit of 2,000 packages ({shared} shared) and 10,000 new file hashes: {took:?}");
    }
    let begin = Instant::now();
    let back = store.inventory(&Scope::All, &digest("image 0"), &[Reader::Server]).await.unwrap().unwrap();
    println!("reading it back: {:?} ({} packages)", begin.elapsed(), back.inventory.packages.len());
    let begin = Instant::now();
    let hashes: Vec<Digest> = (0..20_000).map(|n| digest(&format!("0 {n}"))).collect();
    let images = store.touch_hashes(&hashes).await.unwrap();
    println!("touching 20,000 hashes: {:?} ({images} images)", begin.elapsed());
    leases(&store, &registry).await;
    tags(&world, &registry).await;
}

async fn leases(store: &SharedStore, registry: &model::registry::Registry) {
    let job = |n: usize| NewJob {
        work: JobWork::Resolve { registry: registry.id, repository: "app".into(), digest: digest(&n.to_string()) },
        reader: Reader::Server,
        priority: 0,
        run_after: at(0),
    };
    let jobs: Vec<NewJob> = (0..100_000).map(job).collect();
    let begin = Instant::now();
    store.enqueue(&jobs, at(0)).await.unwrap();
    println!("adding 100,000 jobs: {:?}", begin.elapsed());
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..250 {
                let holder = format!("w{n}");
                let lease =
                    store.lease(&holder, &[Reader::Server], &["resolve"], MINUTE_MS, at(1)).await.unwrap().unwrap();
                store.finish(&lease, &JobOutcome::Done, at(1)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let each = begin.elapsed() / 2000;
    println!("leasing and finishing, 8 tasks, 100,000 jobs in the queue: {each:?} per pair");
}

async fn tags(world: &World, registry: &model::registry::Registry) {
    let lease = world.discovery(registry, Reader::Server).await;
    let tags: Vec<_> = (0..100_000).map(|n| seen(&format!("v{n}"), &format!("t{n}"))).collect();
    for what in ["new", "unchanged"] {
        let begin = Instant::now();
        world.store.record_tags(&lease, "many", &tags, at(5)).await.unwrap();
        println!("recording 100,000 {what} tags: {:?}", begin.elapsed());
    }
    let begin = Instant::now();
    let unresolved = world.store.unresolved(registry.id).await.unwrap();
    println!("listing {} unresolved digests: {:?}", unresolved.len(), begin.elapsed());
}
