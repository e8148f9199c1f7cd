//! `pratique feeds …`: what the program knows of the world.

mod pack;

use crate::arguments::{FeedsAction, FeedsArguments, IntelArgument, StatusFormat};
use crate::exit::Exit;
use crate::folders;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use engine::clock::{Clock, SystemClock};
use engine::feeds::{self, FailedSource, FeedSource, Imported, SourceOptions};
use engine::intelligence::Library;
use intel::FeedMeta;
use model::checksum::Checksum;
use serde_json::json;
use std::path::Path;
use store::intel_folder::IntelFolder;

/// Names of documents that are printed before the rest is only counted.
const NAMED_MAX: usize = 20;

pub(crate) async fn run(arguments: FeedsArguments) -> Result<Exit> {
    match arguments.action {
        FeedsAction::Import { from, intel } => import(&from, intel).await,
        FeedsAction::Sync { feeds, sources, urls, list, intel } => {
            let folder = folder(intel)?;
            let sources = sources_of(&folder, &feeds, sources.as_deref(), urls)?;
            if list { list_sources(&sources) } else { sync(&folder, sources).await }
        }
        FeedsAction::Status { format, intel } => status(format, intel),
        FeedsAction::Changes { since, format, intel } => changes(since, format, intel),
        FeedsAction::Remove { feed, intel } => remove(&feed, intel),
        FeedsAction::Verify { intel } => verify(intel),
        FeedsAction::Pack { file, key, intel } => pack::pack(&folder(intel)?, &file, key.as_deref()),
        FeedsAction::Unpack { file, trust, digest, intel } => pack::unpack(&folder(intel)?, &file, &trust, digest),
        FeedsAction::Push { reference, key, transport, intel } => {
            pack::push(&folder(intel)?, &reference, key.as_deref(), &transport).await
        }
        FeedsAction::Pull { reference, trust, transport, intel } => {
            pack::pull(&folder(intel)?, &reference, &trust, &transport).await
        }
    }
}

fn folder(intel: IntelArgument) -> Result<IntelFolder> {
    Ok(IntelFolder::open(&folders::intelligence(intel.intel)?)?)
}

async fn import(from: &str, intel: IntelArgument) -> Result<Exit> {
    let folder = folder(intel)?;
    let now = SystemClock.now();
    let imported = if from.starts_with("https://") || from.starts_with("http://") {
        let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
        let file = feeds::download(from, temporary.path()).await?;
        feeds::import(&folder, &file, now)?
    } else {
        let path = from.strip_prefix("file:").map_or(from, |path| path.strip_prefix("//").unwrap_or(path));
        feeds::import(&folder, Path::new(path), now)?
    };
    tell(&imported);
    if imported.feeds.is_empty() {
        bail!("nothing in {from} was recognised");
    }
    Ok(Exit::Done)
}

fn tell(imported: &Imported) {
    for feed in &imported.feeds {
        let broken =
            if feed.broken_records > 0 { format!(", {} records broken", feed.broken_records) } else { String::new() };
        anstream::println!("{:<36} {:>8} records{broken}", feed.id, feed.records);
        for line in &feed.broken {
            anstream::eprintln!("  broken: {line}");
        }
    }
    named("not recognised", imported.unrecognised.iter().cloned());
    named(
        "broken, its feed keeps the old data",
        imported.failed.iter().map(|f| format!("{} ({}): {}", f.path, f.feed, f.reason)),
    );
    // Everything is new in the first generation; later, the changes are what one wants to see.
    if imported.is_first {
        named("changed", imported.changed_packages.iter().cloned());
    } else {
        imported.changed_packages.iter().for_each(|line| anstream::println!("changed: {line}"));
    }
    anstream::println!(
        "generation {}: {} packages, {} file hashes and {} vulnerabilities changed",
        imported.generation,
        imported.changed_packages.len(),
        imported.changed_hashes,
        imported.changed_vulnerabilities
    );
}

fn named(what: &str, all: impl ExactSizeIterator<Item = String>) {
    let more = all.len().saturating_sub(NAMED_MAX);
    for line in all.take(NAMED_MAX) {
        anstream::println!("{what}: {line}");
    }
    if more > 0 {
        anstream::println!("{what}: and {more} more");
    }
}

fn sources_of(
    folder: &IntelFolder,
    wanted: &[String],
    file: Option<&Path>,
    urls: Vec<(String, String)>,
) -> Result<Vec<FeedSource>> {
    let mut options = SourceOptions::of_folder(folder, wanted)?;
    if let Some(path) = file {
        options.file = Some(SourceOptions::read(path)?);
    }
    options.urls = urls;
    Ok(feeds::sources(&options, SystemClock.now())?)
}

fn list_sources(sources: &[FeedSource]) -> Result<Exit> {
    for source in sources {
        anstream::println!("{:<36} {}", source.name, source.url);
    }
    Ok(Exit::Done)
}

async fn sync(folder: &IntelFolder, sources: Vec<FeedSource>) -> Result<Exit> {
    let Some(_turn) = folder.download_turn()? else {
        bail!("another process, such as a server, is downloading feeds into {}", folder.path().display());
    };
    let progress = Progress::new(sources.len() as u64, "downloading feeds", false);
    let mut failed = Vec::new();
    for source in sources {
        match feeds::sync_one(folder, &source, SystemClock.now()).await {
            Ok(Some(imported)) => progress.step(&format!("{}: generation {}", source.name, imported.generation)),
            Ok(None) => progress.step(&format!("{}: unchanged", source.name)),
            Err(error) => {
                progress.step(&format!("{}: {error}", source.name));
                anstream::eprintln!("pratique: {} was not refreshed, its old data stays: {error}", source.name);
                failed.push(FailedSource { name: source.name, reason: error.to_string() });
            }
        }
    }
    progress.finish();
    let failed_count = failed.len();
    feeds::keep_last_round(folder, SystemClock.now(), failed)?;
    if failed_count > 0 {
        bail!("{failed_count} feeds could not be refreshed");
    }
    Ok(Exit::Done)
}

fn status(format: StatusFormat, intel: IntelArgument) -> Result<Exit> {
    let library = Library::open(&folders::intelligence(intel.intel)?)?;
    let loaded = library.current();
    let feeds = loaded.intelligence.feeds();
    let generation = loaded.intelligence.generation();
    match format {
        StatusFormat::Json => {
            let body = json!({ "version": 1, "generation": generation, "feeds": feeds });
            anstream::println!("{}", serde_json::to_string_pretty(&body)?);
        }
        StatusFormat::Table => {
            anstream::println!("generation {generation}, {} feeds", feeds.len());
            feeds.iter().for_each(status_line);
            if feeds.is_empty() {
                anstream::println!("nothing is loaded: `pratique feeds sync`, or `pratique feeds import --from DIR`");
            }
        }
    }
    Ok(Exit::Done)
}

fn status_line(feed: &FeedMeta) {
    let now = SystemClock.now();
    let age_hours = now.duration_since(feed.imported_at).as_hours();
    let stale = if feed.is_stale(now) { "  STALE" } else { "" };
    anstream::println!("{:<36} {:>8} records  imported {age_hours} h ago{stale}", feed.id, feed.records);
    if let Some(error) = &feed.error {
        anstream::println!("  last import failed: {error}");
    }
    for (what, count) in &feed.skipped {
        anstream::println!("  {count} records left out: {what}");
    }
    for (why, count) in &feed.limited {
        anstream::println!("  {count} records {why}");
    }
}

/// What every generation after `since` changed.
fn changes(since: u64, format: StatusFormat, intel: IntelArgument) -> Result<Exit> {
    let library = Library::open(&folders::intelligence(intel.intel)?)?;
    let now = library.current().intelligence.generation();
    if since > now {
        bail!("generation {since} is not there yet: the one in force is {now}");
    }
    let Some(changes) = library.changes_since(since)? else {
        bail!("what changed since generation {since} is not known any more");
    };
    match format {
        StatusFormat::Json => {
            let packages: Vec<String> =
                changes.packages.iter().map(|(release, name)| format!("{release} {name}")).collect();
            let hashes: Vec<Checksum> = changes.hashes.iter().map(Checksum::of_key).collect();
            let body = json!({ "version": 1, "since": since, "generation": now, "packages": packages,
                "vulnerabilities": changes.vulnerabilities, "hashes": hashes });
            anstream::println!("{}", serde_json::to_string_pretty(&body)?);
        }
        StatusFormat::Table => {
            for (release, name) in &changes.packages {
                anstream::println!("package        {release} {name}");
            }
            changes.vulnerabilities.iter().for_each(|id| anstream::println!("vulnerability  {id}"));
            let checksums = changes.hashes.iter().map(Checksum::of_key);
            checksums.for_each(|checksum| anstream::println!("hash           {checksum}"));
        }
    }
    Ok(Exit::Done)
}

fn remove(feed: &str, intel: IntelArgument) -> Result<Exit> {
    for id in feeds::remove(&folder(intel)?, feed)? {
        anstream::println!("removed {id}");
    }
    Ok(Exit::Done)
}

fn verify(intel: IntelArgument) -> Result<Exit> {
    let checked = folder(intel)?.verify()?;
    anstream::println!("{checked} feeds are whole");
    Ok(Exit::Done)
}
