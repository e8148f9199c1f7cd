//! Feeds that a server downloads by itself: on time, no more than is needed, and with a word about what fails.

use crate::office::{Office, PATIENCE, until};
use engine::event::Event;
use engine::feeds::{FeedOptions, Jitter, Progress};
use engine::service::Engine;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HOUR: Duration = Duration::from_secs(3600);

/// A publisher of one document on this machine.
#[derive(Clone)]
struct Publisher {
    address: String,
    document: Arc<Mutex<String>>,
    is_down: Arc<AtomicBool>,
    /// Status codes of the answers so far.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Publisher {
    async fn start(document: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let publisher = Self {
            address: listener.local_addr().unwrap().to_string(),
            document: Arc::new(Mutex::new(document.to_owned())),
            is_down: Arc::default(),
            answers: Arc::default(),
        };
        let served = publisher.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(served.clone().answer(socket));
            }
        });
        publisher
    }

    async fn answer(self, mut socket: TcpStream) {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let document = self.document.lock().unwrap().clone();
        let tag = format!("\"{}\"", testkit::image::sha256(document.as_bytes()).hex());
        let head = String::from_utf8_lossy(&head).into_owned();
        let (status, body) = match () {
            () if self.is_down.load(Ordering::SeqCst) => (404, String::new()),
            () if head.contains(&tag) => (304, String::new()),
            () => (200, document),
        };
        self.answers.lock().unwrap().push(status);
        let length = if status == 304 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let answer = format!("HTTP/1.1 {status} X\r\netag: {tag}\r\n{length}connection: close\r\n\r\n{body}");
        let _ = socket.write_all(answer.as_bytes()).await;
    }

    fn publish(&self, document: &str) {
        document.clone_into(&mut self.document.lock().unwrap());
    }

    fn answers(&self) -> Vec<u16> {
        self.answers.lock().unwrap().clone()
    }
}

fn list(digit: char) -> String {
    format!("sha256,name\n{},Test.{digit}\n", digit.to_string().repeat(64))
}

/// Downloads one list of digests every six hours.
fn options(publisher: &Publisher, more: &[(&str, &str)]) -> FeedOptions {
    let ours = ("ours".to_owned(), format!("http://{}/bad-hashes.csv", publisher.address));
    let urls: Vec<(String, String)> = more.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect();
    FeedOptions {
        every: Some(6 * HOUR),
        wanted: urls.iter().map(|(name, _)| name.clone()).chain(["ours".to_owned()]).collect(),
        file: None,
        urls: urls.into_iter().chain([ours]).collect(),
        jitter: Jitter::fixed(0.0),
    }
}

/// Waits until this many rounds have ended, and nothing is under way.
async fn ended(engine: &Engine, answers: impl Fn() -> bool) -> Progress {
    until("a round ends", || {
        let progress = engine.feed_rounds.progress();
        let done = answers() && !progress.running && progress.ended == progress.wanted && progress.ended > 0;
        std::future::ready(done)
    })
    .await;
    // What was installed is opened within a second, and the next moment is told after the round.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    engine.feed_rounds.progress()
}

/// The generation in force and the one feed: whether it has a record of a digit, its age in hours, its error.
fn known(engine: &Engine, office: &Office, digit: char) -> (u64, bool, i64, Option<String>) {
    let loaded = engine.library.current();
    let digest = model::Digest::from_hex(&digit.to_string().repeat(64)).unwrap();
    let listed = !loaded.intelligence.bad_hashes(&digest).unwrap().is_empty();
    let feeds = loaded.intelligence.feeds();
    let feed = feeds.first().expect("a feed");
    let age = office.now().duration_since(feed.imported_at).as_hours();
    (loaded.intelligence.generation(), listed, age, feed.error.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_are_downloaded_on_time_and_only_when_they_changed() {
    let publisher = Publisher::start(&list('a')).await;
    let office = Office::open("2030-01-01T00:00:00Z").await;
    let engine = office.start_with_feeds(options(&publisher, &[])).await;
    let mut events = engine.office.events.subscribe();
    let first = ended(&engine, || publisher.answers() == [200]).await;
    assert_eq!((first.failed.len(), first.next_at.map(|at| at.to_string())), (0, Some("2030-01-01T06:00:00Z".into())));
    assert_eq!(known(&engine, &office, 'a'), (1, true, 0, None));

    office.clock.advance(5 * HOUR);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(publisher.answers(), [200], "not before its time");
    office.clock.advance(HOUR);
    ended(&engine, || publisher.answers() == [200, 304]).await;
    assert_eq!(known(&engine, &office, 'a'), (1, true, 0, None), "as fresh as if it had been fetched, no generation");

    publisher.publish(&list('b'));
    office.clock.advance(6 * HOUR);
    ended(&engine, || publisher.answers() == [200, 304, 200]).await;
    assert_eq!(known(&engine, &office, 'b'), (2, true, 0, None));
    assert!(!known(&engine, &office, 'a').1);
    until("the new generation is judged", || async { office.store().judged_generation().await.unwrap() == Some(2) })
        .await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event);
    }
    assert!(seen.contains(&Event::Intelligence { generation: 2 }), "{seen:?}");
    assert!(seen.contains(&Event::Feeds { running: false, failed: 0 }), "{seen:?}");
    engine.stop().await;

    // A restart neither skips a round nor begins one early.
    let engine = office.start_with_feeds(options(&publisher, &[])).await;
    until("the schedule looked", || std::future::ready(engine.feed_rounds.progress().next_at.is_some())).await;
    assert_eq!(engine.feed_rounds.progress().next_at.map(|at| at.to_string()), Some("2030-01-01T18:00:00Z".into()));
    assert_eq!(publisher.answers().len(), 3);
    office.clock.advance(7 * HOUR);
    ended(&engine, || publisher.answers().len() == 4).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_keeps_its_records_says_why_and_is_asked_again_soon() {
    let publisher = Publisher::start(&list('a')).await;
    let other = Publisher::start(&list('c')).await;
    let office = Office::open("2030-01-01T00:00:00Z").await;
    let more = format!("http://{}/more-hashes.csv", other.address);
    let engine = office.start_with_feeds(options(&publisher, &[("more", &more)])).await;
    ended(&engine, || publisher.answers() == [200] && other.answers() == [200]).await;
    let generation = engine.library.current().intelligence.generation();

    // A page in the place of the document.
    publisher.publish("<html>Sign in</html>");
    office.clock.advance(6 * HOUR);
    let failed = ended(&engine, || publisher.answers().len() == 2).await;
    assert_eq!(failed.failed.len(), 1, "{failed:?}");
    assert!(failed.failed[0].name == "ours" && failed.failed[0].reason.contains("nothing that is recognised"));
    assert_eq!(failed.next_at.map(|at| at.to_string()), Some("2030-01-01T06:05:00Z".into()));
    let (now, listed, age, error) = known(&engine, &office, 'a');
    assert_eq!((now, listed, age), (generation, true, 6), "the old generation stays");
    assert!(error.is_some_and(|why| why.contains("nothing that is recognised")));
    let log = office.store().audit_log(&model::Scope::All, &store::types::Page::first(10)).await.unwrap();
    let row = log.iter().find(|row| row.detail.contains("ours was not refreshed")).expect("a row of the audit log");
    assert_eq!((row.by.as_str(), row.what.as_str()), ("schedule", "intelligence.sync"));

    // The one that failed is asked again, the other is not; ever more seldom.
    publisher.is_down.store(true, Ordering::SeqCst);
    office.clock.advance(5 * Duration::from_secs(60));
    let failed = ended(&engine, || publisher.answers().len() == 3).await;
    assert_eq!(other.answers(), [200, 304]);
    assert_eq!(failed.next_at.map(|at| at.to_string()), Some("2030-01-01T06:15:00Z".into()));
    publisher.is_down.store(false, Ordering::SeqCst);
    publisher.publish(&list('b'));
    office.clock.advance(10 * Duration::from_secs(60));
    let healed = ended(&engine, || publisher.answers().len() == 4).await;
    assert_eq!(
        (healed.failed.len(), healed.next_at.map(|at| at.to_string())),
        (0, Some("2030-01-01T12:00:00Z".into()))
    );
    assert_eq!(known(&engine, &office, 'b'), (generation + 1, true, 0, None));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_knows_how_the_last_download_ended_and_so_do_other_processes() {
    let publisher = Publisher::start(&list('a')).await;
    let office = Office::open("2030-01-01T00:00:00Z").await;
    publisher.is_down.store(true, Ordering::SeqCst);
    let engine = office.start_with_feeds(options(&publisher, &[])).await;
    assert_eq!(engine.feed_rounds.progress().ended_at, None, "nothing was downloaded yet");
    let first = ended(&engine, || publisher.answers().len() == 1).await;
    assert_eq!((first.ended_at.map(|at| at.to_string()), first.failed.len()), (Some("2030-01-01T00:00:00Z".into()), 1));
    engine.stop().await;

    office.clock.advance(Duration::from_secs(60));
    let engine = office.start_with_feeds(FeedOptions::default()).await;
    let restarted = engine.feed_rounds.progress();
    assert_eq!((restarted.ended_at, &restarted.failed, restarted.running), (first.ended_at, &first.failed, false));
    // `feeds sync` beside the server.
    office.clock.advance(Duration::from_secs(60));
    let folder = store::intel_folder::IntelFolder::open(&office.intel()).unwrap();
    engine::feeds::keep_last_round(&folder, office.now(), Vec::new()).unwrap();
    let other = engine.feed_rounds.progress();
    assert_eq!((other.ended_at, other.failed.len()), (Some(office.now()), 0));
    // A clock that was wrong, and a file that is damaged.
    let ahead = office.now() + Duration::from_secs(3600);
    engine::feeds::keep_last_round(&folder, ahead, Vec::new()).unwrap();
    assert_eq!(engine.feed_rounds.progress().ended_at, other.ended_at);
    folder.put_last_round(b"damaged").unwrap();
    assert_eq!(engine.feed_rounds.progress().ended_at, other.ended_at);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_downloads_at_a_time_whoever_asks() {
    let publisher = Publisher::start(&list('a')).await;
    let office = Office::open("2030-01-01T00:00:00Z").await;
    let folder = store::intel_folder::IntelFolder::open(&office.intel()).unwrap();
    let turn = folder.download_turn().unwrap().expect("nobody else");
    let engine = office.start_with_feeds(options(&publisher, &[])).await;
    until("the schedule stood back", || std::future::ready(engine.feed_rounds.progress().next_at.is_some())).await;
    assert_eq!((publisher.answers().len(), engine.feed_rounds.progress().failed.len()), (0, 0));
    let sources = engine.feed_sources(&["ours".to_owned()]).unwrap();
    let refused = engine.feed_rounds.begin(sources.clone()).err().expect("refused");
    assert_eq!(refused.kind, engine::ErrorKind::Conflict);
    drop(turn);
    // A round that is dropped has ended.
    drop(engine.feed_rounds.begin(sources).unwrap());
    assert!(!engine.feed_rounds.progress().running);
    office.clock.advance(Duration::from_secs(60));
    let started = std::time::Instant::now();
    ended(&engine, || publisher.answers() == [200]).await;
    assert!(started.elapsed() < PATIENCE);
    engine.stop().await;
}
