//! `pratique serve`: the server, until it is told to stop.

use crate::arguments::ServeArguments;
use crate::exit::Exit;
use anyhow::{Context, Result};
use engine::clock::{SharedClock, SystemClock};
use engine::feeds::{FeedOptions, Jitter};
use engine::service::{Engine, EngineOptions};
use remote::clamd::ClamdAddress;
use secrecy::SecretString;
use server::{Server, ServerOptions, TlsFiles};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{DiskSpool, MasterKey, SqliteStore};
use tokio_util::sync::CancellationToken;

/// Layers read at once, per processor: each has a thread for unpacking and one for reading.
const LAYERS_PER_PROCESSOR: usize = 1;

pub(crate) async fn run(arguments: ServeArguments) -> Result<Exit> {
    let engine = Engine::start(engine_options(&arguments).await?).await?;
    let options = ServerOptions {
        listen: arguments.listen,
        tls: tls(&arguments),
        admin_token: std::env::var("PRATIQUE_ADMIN_TOKEN").ok().filter(|t| !t.is_empty()).map(SecretString::from),
        data: arguments.data.clone(),
        deny_private: arguments.deny_private_addresses,
    };
    let server = Server::bind(options, Arc::clone(&engine)).await?;
    let scheme = if arguments.tls_certificate.is_some() { "https" } else { "http" };
    anstream::println!("listening on {scheme}://{}", server.address());
    if let Some(link) = server.setup_link() {
        anstream::println!("no administrator yet; open this link once: {link}");
    }
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        signal.cancel();
    });
    server.run(stop).await?;
    engine.stop().await;
    Ok(Exit::Done)
}

/// What `serve` and `demo` start their engine with.
pub(crate) struct EngineSetup<'a> {
    pub(crate) data: &'a Path,
    pub(crate) workers: usize,
    pub(crate) spool_max: u64,
    pub(crate) deny_private: bool,
    pub(crate) clamd: Option<ClamdAddress>,
    pub(crate) memory_max: Option<u64>,
    pub(crate) feeds: FeedOptions,
}

/// The master key: `PRATIQUE_MASTER_KEY`, or a file beside the data.
fn master_key(data: &Path) -> Result<MasterKey> {
    match std::env::var("PRATIQUE_MASTER_KEY") {
        Ok(text) if !text.is_empty() => Ok(MasterKey::from_text(&text)?),
        Ok(_) | Err(_) => Ok(MasterKey::load_or_create(&data.join("master.key"))?),
    }
}

pub(crate) async fn engine_setup(setup: EngineSetup<'_>) -> Result<EngineOptions> {
    let data = setup.data;
    std::fs::create_dir_all(data).with_context(|| format!("the data folder {} cannot be made", data.display()))?;
    let key = master_key(data)?;
    let secret_key = key.derive("secret fingerprints");
    let store = SqliteStore::open(data, key).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    Ok(EngineOptions {
        store: Arc::new(store),
        intelligence: data.join("intel"),
        clock,
        secret_key,
        spool: Arc::new(DiskSpool::new(&data.join("spool"), setup.spool_max)?),
        inspector: setup.clamd.map(super::scan::inspector),
        workers: setup.workers,
        layers_at_once: processors() * LAYERS_PER_PROCESSOR,
        memory_bytes_max: setup.memory_max,
        feeds: setup.feeds,
        holder: "server".to_owned(),
        user_agent: remote::server_user_agent(),
        deny_private: setup.deny_private,
    })
}

async fn engine_options(arguments: &ServeArguments) -> Result<EngineOptions> {
    engine_setup(EngineSetup {
        data: &arguments.data,
        workers: arguments.workers.unwrap_or_else(|| processors() * 2),
        spool_max: arguments.spool_max,
        deny_private: arguments.deny_private_addresses,
        clamd: arguments.clamd.clone(),
        memory_max: arguments.memory_max,
        feeds: FeedOptions {
            every: arguments.feeds.feeds_every,
            wanted: arguments.feeds.feeds.clone(),
            file: arguments.feeds.feed_sources.clone(),
            urls: arguments.feeds.feed_urls.clone(),
            jitter: Jitter::random(),
        },
    })
    .await
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn tls(arguments: &ServeArguments) -> Option<TlsFiles> {
    let owned = |path: &Option<PathBuf>| path.clone();
    Some(TlsFiles { certificate: owned(&arguments.tls_certificate)?, key: owned(&arguments.tls_key)? })
}

/// Ctrl-C, or the signal that service managers send.
pub(crate) async fn wait_for_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
