//! Refreshes feeds from their addresses.
//!
//! Not here: which addresses ([`sources`](super::sources)), sockets (`remote`), what documents mean (`intel`).
//!
//! Invariant: a feed whose source could not be fetched or read keeps its records, and says since when and why; one whose
//! source has not changed is as fresh as if it had been fetched again.

use super::notes::{self, Seen};
use super::sources::{FeedSource, SourceForm};
use super::{Imported, import, unreadable};
use crate::intelligence::opens;
use crate::{Error, ErrorKind, Result};
use intel::FeedMeta;
use model::{Digest, Timestamp};
use remote::download::{DownloadOptions, Downloaded, Downloader, Validators};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use store::intel_folder::{InstalledFeed, IntelFolder};

/// The most that one download may have, in bytes. The largest archive that is published has about 400 MB.
pub const DOWNLOAD_BYTES_MAX: u64 = 4 << 30;
/// The most that an index, a list of mirrors or a pointer may have, in bytes.
const INDEX_BYTES_MAX: u64 = 4 << 20;
/// How much of a file is read at once for its digest.
const DIGEST_BUFFER_BYTES: usize = 256 << 10;
/// Who reads documents.
const READER: &str = env!("CARGO_PKG_VERSION");

/// Downloads a document into a folder.
///
/// # Errors
/// When it cannot be fetched.
pub async fn download(url: &str, into: &Path) -> Result<PathBuf> {
    let file = into.join(name_of(url));
    downloader(url)?.fetch(url, &file, None, DOWNLOAD_BYTES_MAX).await.map_err(crate::error::from_remote)?;
    Ok(file)
}

/// The last part of an address's path: the name that its document is recognised by, if it needs one.
fn name_of(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').find(|part| !part.is_empty() && *part != "." && *part != "..").unwrap_or("document")
}

/// Plain HTTP is taken when the address says so: the user wrote it.
fn downloader(url: &str) -> Result<Downloader> {
    let options = DownloadOptions { plain_http: url.starts_with("http://"), ..DownloadOptions::default() };
    Downloader::new(&options).map_err(crate::error::from_remote)
}

/// Refreshes the feeds of one source; `None` when it has not changed since the last time.
///
/// # Errors
/// When it cannot be fetched or read; the old data stays, with the reason beside it.
pub async fn sync_one(folder: &IntelFolder, source: &FeedSource, now: Timestamp) -> Result<Option<Imported>> {
    let synced = fetch_and_import(folder, source, now).await;
    match &synced {
        Ok(Some(_)) => {}
        Ok(None) => note_of_source(folder, source, Seen::Unchanged(now))?,
        Err(error) => note_of_source(folder, source, Seen::Failed(&error.full()))?,
    }
    synced
}

/// Compiling a large feed takes seconds of a processor, which tasks beside it should not wait for.
async fn import_beside(folder: &IntelFolder, path: &Path, now: Timestamp) -> Result<Imported> {
    let (folder, path) = (folder.clone(), path.to_owned());
    tokio::task::spawn_blocking(move || import(&folder, &path, now))
        .await
        .map_err(|e| Error::because(ErrorKind::Internal, "an import was cut off", e))?
}

async fn fetch_and_import(folder: &IntelFolder, source: &FeedSource, now: Timestamp) -> Result<Option<Imported>> {
    let last = LastFetch::read(folder, &source.url);
    if let Some(path) = source.url.strip_prefix("file:") {
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        return import_if_changed(folder, source, path, (last, now)).await;
    }
    let temporary = tempfile::tempdir_in(folder.path()).map_err(|e| unreadable(folder.path(), e))?;
    let url = document_url(source, temporary.path()).await?;
    let file = temporary.path().join(name_of(&url));
    let known = last.usable(folder)?.map(|last| last.validators.clone());
    let fetched = downloader(&url)?.fetch(&url, &file, known.as_ref(), DOWNLOAD_BYTES_MAX).await;
    let validators = match fetched.map_err(crate::error::from_remote)? {
        Downloaded::NotModified => return Ok(None),
        Downloaded::File { validators, .. } => validators,
    };
    let imported = checked(import_beside(folder, &file, now).await?, source)?;
    LastFetch::of(&imported, validators, None).write(folder, &source.url)?;
    Ok(Some(imported))
}

/// Imports what lies on this machine, unless it is what was imported last.
async fn import_if_changed(
    folder: &IntelFolder,
    source: &FeedSource,
    path: &Path,
    (last, now): (LastFetch, Timestamp),
) -> Result<Option<Imported>> {
    let owned = path.to_owned();
    // Taken before the import: a file that is replaced meanwhile is another one in the next round.
    let content = tokio::task::spawn_blocking(move || content_digest(&owned))
        .await
        .map_err(|e| Error::because(ErrorKind::Internal, "reading a source was cut off", e))??;
    if last.usable(folder)?.is_some_and(|last| last.content.as_deref() == Some(&content)) {
        return Ok(None);
    }
    let imported = checked(import_beside(folder, path, now).await?, source)?;
    LastFetch::of(&imported, Validators::default(), Some(content)).write(folder, &source.url)?;
    Ok(Some(imported))
}

/// The SHA-256 of the names and contents of every file of a source, hexadecimal. Times do not count: copies of a mirror
/// keep or change them as they please.
fn content_digest(source: &Path) -> Result<String> {
    let mut all = Sha256::new();
    let mut buffer = vec![0; DIGEST_BUFFER_BYTES];
    for path in super::files(source)? {
        let mut one = Sha256::new();
        let mut file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        loop {
            match file.read(&mut buffer).map_err(|e| unreadable(&path, e))? {
                0 => break,
                n => one.update(&buffer[..n]),
            }
        }
        let name = path.strip_prefix(source).unwrap_or(&path).as_os_str().as_encoded_bytes();
        all.update((name.len() as u64).to_le_bytes());
        all.update(name);
        all.update(one.finalize());
    }
    Ok(Digest::from_bytes(all.finalize().into()).hex())
}

/// What an address gave when it was last read; nothing when that is not known.
struct LastFetch(Option<Fetched>);

#[derive(Serialize, Deserialize)]
struct Fetched {
    #[serde(flatten)]
    validators: Validators,
    /// Of a source on this machine: the [`content_digest`] that it had.
    #[serde(default)]
    content: Option<String>,
    /// The version of the program that read it. Another one may read more in the same bytes.
    #[serde(default)]
    reader: String,
    /// The feeds that came from it, whatever its source is called.
    #[serde(default)]
    feeds: Vec<String>,
    /// The feeds whose documents in it are broken: that it has nothing newer makes them no better.
    #[serde(default)]
    failed: Vec<String>,
}

impl LastFetch {
    fn of(imported: &Imported, validators: Validators, content: Option<String>) -> Self {
        let feeds: Vec<String> = imported.feeds.iter().map(|feed| feed.id.clone()).collect();
        let failed = imported.failed.iter().map(|document| document.feed.clone()).filter(|id| !feeds.contains(id));
        let (failed, reader) = (failed.collect(), READER.to_owned());
        Self(Some(Fetched { validators, content, reader, feeds, failed }))
    }

    /// What it gave, if that is still in force and can be read: otherwise an unchanged source is read all the same.
    fn usable(&self, folder: &IntelFolder) -> Result<Option<&Fetched>> {
        let Some(last) = self.0.as_ref().filter(|last| last.reader == READER && !last.feeds.is_empty()) else {
            return Ok(None);
        };
        let current = folder.current()?.feeds;
        let readable = |id: &String| current.iter().any(|feed| feed.id == *id && opens(&feed.bytes));
        Ok(last.feeds.iter().all(readable).then_some(last))
    }

    fn broke(&self, feed: &str) -> bool {
        self.0.as_ref().is_some_and(|last| last.failed.iter().any(|id| id == feed))
    }

    fn read(folder: &IntelFolder, url: &str) -> Self {
        Self(std::fs::read(Self::path(folder, url)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn gave(&self, feed: &str) -> bool {
        self.0.as_ref().is_some_and(|last| last.feeds.iter().any(|id| id == feed))
    }

    fn write(&self, folder: &IntelFolder, url: &str) -> Result<()> {
        let text = serde_json::to_vec(&self.0)
            .map_err(|e| Error::because(ErrorKind::Internal, "what an address gave cannot be written", e))?;
        let path = Self::path(folder, url);
        let parent = path.parent().expect("joined with a file name");
        std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text)).map_err(|e| unreadable(&path, e))
    }

    fn path(folder: &IntelFolder, url: &str) -> PathBuf {
        folder.path().join("sync").join(format!("{}.json", crate::intelligence::sha256_hex(url.as_bytes())))
    }
}

/// An import that brought nothing is a failure, with the best reason that there is.
fn checked(imported: Imported, source: &FeedSource) -> Result<Imported> {
    if !imported.feeds.is_empty() {
        return Ok(imported);
    }
    let text = match imported.failed.first() {
        Some(broken) => broken.reason.clone(),
        None => format!("{} serves nothing that is recognised", source.url),
    };
    Err(Error::new(ErrorKind::Malformed, text))
}

/// Follows what leads to a source's document.
async fn document_url(source: &FeedSource, temporary: &Path) -> Result<String> {
    let mut url = source.url.clone();
    let mut form = source.form;
    loop {
        if form == SourceForm::Document {
            return Ok(url);
        }
        let file = temporary.join("index");
        downloader(&url)?.fetch(&url, &file, None, INDEX_BYTES_MAX).await.map_err(crate::error::from_remote)?;
        let bytes = super::unpacked_file(&file, INDEX_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let next = match form {
            SourceForm::Document => None,
            SourceForm::Pointer => beside(&url, text.trim()),
            SourceForm::MirrorList => {
                let base = text
                    .lines()
                    .map(str::trim)
                    .find(|line| line.starts_with("https://") || line.starts_with(scheme(&url)));
                base.map(|base| format!("{}/repodata/repomd.xml", base.trim_end_matches('/')))
            }
            SourceForm::Repository => intel::updateinfo_of(&bytes).and_then(|path| {
                let base = url.strip_suffix("repodata/repomd.xml")?;
                is_plain(&path).then(|| format!("{base}{path}"))
            }),
        };
        form = if form == SourceForm::MirrorList { SourceForm::Repository } else { SourceForm::Document };
        url = next.ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{url} does not lead to a document")))?;
    }
}

/// A list that came over plain HTTP may name plain HTTP, another may not.
fn scheme(url: &str) -> &'static str {
    if url.starts_with("http://") { "http://" } else { "https://" }
}

/// The address of a file in the same folder.
fn beside(url: &str, name: &str) -> Option<String> {
    let (folder, _) = url.rsplit_once('/')?;
    (is_plain(name) && !name.contains('/')).then(|| format!("{folder}/{name}"))
}

/// A relative path that stays below its folder.
fn is_plain(path: &str) -> bool {
    let legible = |b: u8| b.is_ascii_alphanumeric() || b"._-/+~".contains(&b);
    !path.is_empty() && path.len() <= 512 && path.bytes().all(legible) && !path.starts_with('/') && !path.contains("..")
}

/// Notes what was seen of a source, for each of its feeds that are in force.
fn note_of_source(folder: &IntelFolder, source: &FeedSource, seen: Seen<'_>) -> Result<()> {
    let feeds = folder.current()?.feeds;
    let last = LastFetch::read(folder, &source.url);
    let is_seen = |feed: &&InstalledFeed| match seen {
        Seen::Unchanged(_) if last.broke(&feed.id) => false,
        Seen::Unchanged(_) | Seen::Failed(_) => source.gives(&feed.id) || last.gave(&feed.id),
    };
    let rows = feeds.iter().filter(is_seen).filter_map(|feed| {
        let meta = serde_json::from_str::<FeedMeta>(&feed.meta_json).ok()?;
        Some((meta, seen))
    });
    notes::note(folder, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_index_stay_below_it() {
        let check = |path: &str, expect: bool| assert_eq!(is_plain(path), expect, "{path}");
        check("repodata/74f58a91-updateinfo.xml.zst", true);
        check("../../other", false);
        check("/etc/passwd", false);
        check("https://elsewhere.example.org/x", false);
        check("", false);
        assert_eq!(
            beside("https://a.example.org/v/latest.txt", "x.tar.zst").unwrap(),
            "https://a.example.org/v/x.tar.zst"
        );
        assert_eq!(beside("https://a.example.org/v/latest.txt", "b/x"), None);
    }

    #[test]
    fn names_of_addresses_are_names_of_files() {
        let check = |url: &str, expect: &str| assert_eq!(name_of(url), expect, "{url}");
        check("https://a.example.org/x/all.zip?y=/z", "all.zip");
        check("https://a.example.org/x/", "x");
        check("https://a.example.org/..", "a.example.org");
    }
}
