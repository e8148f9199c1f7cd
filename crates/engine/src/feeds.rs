//! Brings documents of the world into an intelligence folder: from files, folders, archives and addresses.
//!
//! Not here: what documents mean (`intel`), where segments lie (`store::intel_folder`), sockets (`remote`).
//!
//! Invariant: an import replaces exactly the feeds that the source holds; a document that is broken as a whole
//! leaves its feed as it was, with the reason beside it.

pub(crate) mod notes;
mod rounds;
mod schedule;
mod sources;
mod sync;

pub use rounds::{FailedSource, Outcome, Progress, Round, Rounds, keep_last_round};
pub(crate) use schedule::keep as keep_schedule;
pub use schedule::{FeedOptions, Jitter};
pub use sources::{FeedSource, SOURCES_FILE, SourceForm, SourceOptions, sources};
pub use sync::{DOWNLOAD_BYTES_MAX, download, sync_one};

use crate::intelligence::note_changes;
use crate::{Error, ErrorKind, Result};
use analyze::archive::{self, Walked};
use intel::{CompiledFeed, Compiler, FeedMeta, Intake};
use model::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use store::intel_folder::IntelFolder;

/// The largest single document, in bytes, after decompression.
pub const DOCUMENT_BYTES_MAX: u64 = 1 << 30;

/// The most files of one source folder.
pub const FILES_MAX: usize = 1_000_000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// The generation that is in force now.
    pub generation: u64,
    /// There was no generation before it.
    pub is_first: bool,
    /// The feeds that were replaced.
    pub feeds: Vec<FeedMeta>,
    /// Documents that were not recognised, by path.
    pub unrecognised: Vec<String>,
    /// Documents that are broken, by path, with the feed that keeps its old data and the reason.
    pub failed: Vec<FailedDocument>,
    /// Packages whose advisories changed, as `ecosystem:release name`, sorted.
    pub changed_packages: Vec<String>,
    /// File digests that were added to, or taken from, a list.
    pub changed_hashes: usize,
    /// Vulnerabilities whose exploitation data changed.
    pub changed_vulnerabilities: usize,
}

/// A document that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDocument {
    /// Where it lies.
    pub path: String,
    /// The feed that it belongs to.
    pub feed: String,
    /// Why, for people.
    pub reason: String,
}

/// Imports a file or a folder.
///
/// # Errors
/// When the source cannot be read or the folder cannot be written. Broken documents are no error.
pub fn import(folder: &IntelFolder, source: &Path, now: Timestamp) -> Result<Imported> {
    let mut intake = Import { compiler: Compiler::new(now), out: Imported::default() };
    for path in files(source)? {
        let hint = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().into_owned();
        let hint = if hint.is_empty() { file_name(&path) } else { hint };
        intake.file(&path, &hint)?;
    }
    intake.install(folder)
}

/// Imports documents that are in memory: name and content.
///
/// # Errors
/// When the folder cannot be written.
pub fn import_documents(folder: &IntelFolder, documents: &[(String, Vec<u8>)], now: Timestamp) -> Result<Imported> {
    let mut intake = Import { compiler: Compiler::new(now), out: Imported::default() };
    for (name, bytes) in documents {
        intake.bytes(bytes, name)?;
    }
    intake.install(folder)
}

/// Removes feeds by id or by a pattern that ends in `*`. Returns the ids that were removed.
///
/// # Errors
/// `NotFound` when no feed fits.
pub fn remove(folder: &IntelFolder, pattern: &str) -> Result<Vec<String>> {
    let ids: Vec<String> =
        folder.current()?.feeds.into_iter().map(|feed| feed.id).filter(|id| fits(id, pattern)).collect();
    if ids.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no feed is called {pattern:?}: `pratique feeds status` lists them"),
        ));
    }
    let number = folder.install(Vec::new(), &ids)?;
    note_changes(folder, number)?;
    Ok(ids)
}

fn fits(id: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => id == pattern,
    }
}

struct Import {
    compiler: Compiler,
    out: Imported,
}

/// Where a tar archive's magic stands, and what it is (POSIX.1-2017, pax, "ustar Interchange Format").
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// Enough of a document to tell an archive.
const HEAD_BYTES: usize = 512;

impl Import {
    fn file(&mut self, path: &Path, hint: &str) -> Result<()> {
        let open = || File::open(path).map_err(|e| unreadable(path, e));
        self.input(open()?, open()?, hint);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], hint: &str) -> Result<()> {
        self.input(Cursor::new(bytes), Cursor::new(bytes), hint);
        Ok(())
    }

    /// One source file: a zip archive, a tar archive in any packing, or a document in any packing. `again` is the same
    /// bytes from their beginning.
    fn input<R: Read + Seek>(&mut self, mut input: R, again: R, hint: &str) {
        self.compiler.take_touched();
        let mut magic = [0; 4];
        let head = input.by_ref().take(4).read(&mut magic);
        match head.and_then(|n| input.seek(SeekFrom::Start(0)).map(|_| n)) {
            Ok(4) if archive::is_zip(&magic) => {
                let limits = analyze::Limits::default();
                let walked = archive::zip_members(input, &limits, |name, content| self.member(hint, name, content));
                return self.walked(walked, hint);
            }
            Ok(_) => {}
            Err(error) => return self.broken(hint, &Error::because(ErrorKind::Malformed, "cannot be read", error)),
        }
        match document_of(input) {
            Ok(Unpacked::Document(bytes)) => self.document(hint, &bytes),
            Ok(Unpacked::Tar) => {
                let limits = analyze::Limits::default();
                let walked = archive::tar_members(again, &limits, |name, content| self.member(hint, name, content));
                self.walked(walked, hint);
            }
            Err(error) => self.broken(hint, &Error::because(ErrorKind::Malformed, "cannot be unpacked", error)),
        }
    }

    fn member(&mut self, hint: &str, name: &str, content: &mut dyn Read) -> std::result::Result<(), analyze::Error> {
        let mut bytes = Vec::new();
        let torn = |e| analyze::Error::because(analyze::ErrorKind::Malformed, "a member cannot be read", e);
        content.read_to_end(&mut bytes).map_err(torn)?;
        // Archives of repositories have a readme, signatures, checksums and lists beside the records.
        if !is_beside(name) {
            self.document(&format!("{hint}/{name}"), &bytes);
        }
        Ok(())
    }

    /// Of an archive that ends early, or is above a limit, only a part was seen: what it was about is not replaced.
    fn walked(&mut self, walked: std::result::Result<Walked, analyze::Error>, hint: &str) {
        let touched = self.compiler.take_touched();
        match walked {
            Ok(walked) => {
                for (name, why) in walked.broken {
                    self.broken(&format!("{hint}/{name}"), &Error::new(ErrorKind::Malformed, why));
                }
            }
            Err(error) => {
                let error = crate::error::from_analyze(error);
                for feed in &touched {
                    self.compiler.abandon(feed);
                    let failed = FailedDocument { path: hint.to_owned(), feed: feed.clone(), reason: error.full() };
                    self.out.failed.push(failed);
                }
                if touched.is_empty() {
                    self.broken(hint, &error);
                }
            }
        }
    }

    fn document(&mut self, hint: &str, bytes: &[u8]) {
        match self.compiler.document(hint, bytes) {
            Intake::Recognised(_) => {}
            Intake::Unrecognised => self.out.unrecognised.push(hint.to_owned()),
            Intake::Failed { feed, reason } => {
                self.out.failed.push(FailedDocument { path: hint.to_owned(), feed, reason });
            }
        }
    }

    fn broken(&mut self, hint: &str, error: &Error) {
        self.out.failed.push(FailedDocument { path: hint.to_owned(), feed: String::new(), reason: error.full() });
    }

    fn install(self, folder: &IntelFolder) -> Result<Imported> {
        let Self { compiler, mut out } = self;
        let before = folder.current()?;
        let mut replaced: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
        for CompiledFeed { meta, segment } in compiler.finish() {
            let text = serde_json::to_string(&meta)
                .map_err(|e| Error::because(ErrorKind::Internal, "the description of a feed cannot be written", e))?;
            replaced.insert(meta.id.clone(), (text, segment));
            out.feeds.push(meta);
        }
        note_failed(folder, &before, &out.failed, &replaced)?;
        let rows: Vec<(String, String, Vec<u8>)> =
            replaced.into_iter().map(|(id, (meta, bytes))| (id, meta, bytes)).collect();
        out.generation = if rows.is_empty() { before.number } else { folder.install(rows, &[])? };
        if out.generation > before.number {
            let changes = note_changes(folder, out.generation)?;
            out.is_first = before.number == 0;
            out.changed_packages = changes.packages.iter().map(|(release, name)| format!("{release} {name}")).collect();
            out.changed_hashes = changes.hashes.len();
            out.changed_vulnerabilities = changes.vulnerabilities.len();
        }
        Ok(out)
    }
}

/// A feed whose new document is broken keeps its data, and says what happened.
fn note_failed(
    folder: &IntelFolder,
    before: &store::intel_folder::InstalledGeneration,
    failed: &[FailedDocument],
    replaced: &BTreeMap<String, (String, Vec<u8>)>,
) -> Result<()> {
    // Of several broken documents of a feed the first one is told.
    let mut reasons: BTreeMap<&str, String> = BTreeMap::new();
    for document in failed.iter().filter(|document| !replaced.contains_key(&document.feed)) {
        let named = document.reason.starts_with(&document.path);
        let reason = || if named { document.reason.clone() } else { format!("{}: {}", document.path, document.reason) };
        reasons.entry(&document.feed).or_insert_with(reason);
    }
    let rows = before.feeds.iter().filter_map(|feed| {
        let reason = reasons.get(feed.id.as_str())?;
        Some((serde_json::from_str::<FeedMeta>(&feed.meta_json).ok()?, notes::Seen::Failed(reason)))
    });
    notes::note(folder, rows)
}

/// Every file of a source, sorted. Symbolic links inside a folder are not followed.
fn files(source: &Path) -> Result<Vec<PathBuf>> {
    let kind = std::fs::metadata(source).map_err(|e| unreadable(source, e))?;
    if kind.is_file() {
        return Ok(vec![source.to_path_buf()]);
    }
    let mut out = Vec::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, e))? {
            let entry = entry.map_err(|e| unreadable(&folder, e))?;
            let kind = entry.file_type().map_err(|e| unreadable(&entry.path(), e))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                out.push(entry.path());
            }
            if out.len() > FILES_MAX {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    format!("{} holds more than {FILES_MAX} files", source.display()),
                ));
            }
        }
    }
    out.sort();
    Ok(out)
}

/// What a file holds that is no zip archive.
enum Unpacked {
    Document(Vec<u8>),
    /// A tar archive, which is walked rather than read whole.
    Tar,
}

/// Reads a document that may be packed with gzip, zstd, xz or bzip2.
fn document_of<R: Read>(input: R) -> std::io::Result<Unpacked> {
    let mut stream = crate::source::unpacked(input, DOCUMENT_BYTES_MAX)?;
    let mut out = Vec::new();
    stream.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut out)?;
    let (at, magic) = TAR_MAGIC;
    if out.get(at..at + magic.len()) == Some(magic) {
        return Ok(Unpacked::Tar);
    }
    stream.read_to_end(&mut out)?;
    Ok(Unpacked::Document(out))
}

/// The content of a small file that may be packed.
fn unpacked_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| unreadable(path, e))?;
    let mut out = Vec::new();
    let unpacked = crate::source::unpacked(file, bytes_max).and_then(|mut stream| stream.read_to_end(&mut out));
    unpacked.map_err(|e| unreadable(path, e))?;
    Ok(out)
}

/// Signatures, checksums and other files that lie beside records and are none.
fn is_beside(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let ends = [".asc", ".sig", ".sha256", ".sha512", ".md", ".html", ".gitignore"];
    ends.iter().any(|end| name.ends_with(end)) || matches!(name, "LICENSE" | "index.txt" | "changes.csv")
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::because(ErrorKind::NotFound, format!("{} cannot be read", path.display()), error)
}
