//! Brings documents of the world into an intelligence folder: from files, folders, archives and addresses.
//!
//! Not here: what documents mean (`intel`), where segments lie (`store::intel_folder`), sockets (`remote`).
//!
//! Invariant: an import replaces exactly the feeds that the source holds; a document that is broken as a whole
//! leaves its feed as it was, with the reason beside it.

use crate::intelligence::note_changes;
use crate::{Error, ErrorKind, Result};
use analyze::archive;
use intel::{CompiledFeed, Compiler, FeedMeta, Intake};
use model::Timestamp;
use remote::download::{DownloadOptions, Downloaded, Downloader, Validators};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
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

/// A public address of one or more feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSource {
    /// The feed's id, or the name of several.
    pub name: String,
    /// Where it is served.
    pub url: String,
}

/// Releases of Alpine whose secdb is synchronised.
const ALPINE_RELEASES: [&str; 8] = ["v3.16", "v3.17", "v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "v3.23"];

/// Ecosystems that osv.dev serves as one archive each, with the feed ids that they make.
const OSV_ECOSYSTEMS: [(&str, &str); 10] = [
    ("osv-npm", "npm"),
    ("osv-pypi", "PyPI"),
    ("osv-go", "Go"),
    ("osv-maven", "Maven"),
    ("osv-rubygems", "RubyGems"),
    ("osv-packagist", "Packagist"),
    ("osv-nuget", "NuGet"),
    ("osv-almalinux", "AlmaLinux"),
    ("osv-rocky-linux", "Rocky%20Linux"),
    ("osv-ubuntu", "Ubuntu"),
];

/// Where the feeds that are always of use are served; with `wanted`, only those whose name fits (a final `*` fits any end).
///
/// # Errors
/// `Usage` when a wanted name fits none.
pub fn sources(wanted: &[String]) -> Result<Vec<FeedSource>> {
    let source = |name: String, url: String| FeedSource { name, url };
    let mut all = vec![
        source(
            "cisa-kev".into(),
            "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json".into(),
        ),
        source("debian-tracker".into(), "https://security-tracker.debian.org/tracker/data/json".into()),
    ];
    for release in ALPINE_RELEASES {
        for repository in ["main", "community"] {
            let url = format!("https://secdb.alpinelinux.org/{release}/{repository}.json");
            all.push(source(format!("alpine-secdb-{release}-{repository}"), url));
        }
    }
    for (name, ecosystem) in OSV_ECOSYSTEMS {
        all.push(source(
            name.to_owned(),
            format!("https://osv-vulnerabilities.storage.googleapis.com/{ecosystem}/all.zip"),
        ));
    }
    if let Some(unknown) = wanted.iter().find(|pattern| !all.iter().any(|s| fits(&s.name, pattern))) {
        let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
        return Err(Error::new(
            ErrorKind::Usage,
            format!("no feed is called {unknown:?}; there are: {}", names.join(", ")),
        ));
    }
    all.retain(|s| wanted.is_empty() || wanted.iter().any(|pattern| fits(&s.name, pattern)));
    Ok(all)
}

/// Downloads a document into a folder.
///
/// # Errors
/// When it cannot be fetched.
pub async fn download(url: &str, into: &Path) -> Result<PathBuf> {
    let file = into.join(url.rsplit('/').find(|part| !part.is_empty()).unwrap_or("document"));
    downloader(url)?.fetch(url, &file, None, DOCUMENT_BYTES_MAX).await.map_err(crate::error::from_remote)?;
    Ok(file)
}

/// Plain HTTP is taken when the address says so: the user wrote it.
fn downloader(url: &str) -> Result<Downloader> {
    let options = DownloadOptions { plain_http: url.starts_with("http://"), ..DownloadOptions::default() };
    Downloader::new(&options).map_err(crate::error::from_remote)
}

/// Refreshes one feed from its address; `None` when it has not changed since the last time.
///
/// # Errors
/// When it cannot be fetched; the old data stays.
pub async fn sync_one(folder: &IntelFolder, source: &FeedSource, now: Timestamp) -> Result<Option<Imported>> {
    let state =
        folder.path().join("sync").join(format!("{}.json", crate::intelligence::sha256_hex(source.url.as_bytes())));
    let known: Option<Validators> = std::fs::read(&state).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let temporary = tempfile::tempdir_in(folder.path()).map_err(|e| unreadable(folder.path(), e))?;
    let file = temporary.path().join(source.url.rsplit('/').next().unwrap_or("document"));
    let fetched = downloader(&source.url)?.fetch(&source.url, &file, known.as_ref(), DOCUMENT_BYTES_MAX).await;
    let validators = match fetched.map_err(crate::error::from_remote)? {
        Downloaded::NotModified => return Ok(None),
        Downloaded::File { validators, .. } => validators,
    };
    let imported = import(folder, &file, now)?;
    if let Some(broken) = imported.failed.first().filter(|_| imported.feeds.is_empty()) {
        return Err(Error::new(ErrorKind::Malformed, broken.reason.clone()));
    }
    if imported.feeds.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, format!("{} serves nothing that is recognised", source.url)));
    }
    let text = serde_json::to_vec(&validators)
        .map_err(|e| Error::because(ErrorKind::Internal, "validators cannot be written", e))?;
    let parent = state.parent().expect("joined with a file name");
    std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&state, text)).map_err(|e| unreadable(&state, e))?;
    Ok(Some(imported))
}

struct Import {
    compiler: Compiler,
    out: Imported,
}

impl Import {
    fn file(&mut self, path: &Path, hint: &str) -> Result<()> {
        let mut file = File::open(path).map_err(|e| unreadable(path, e))?;
        let mut magic = [0; 4];
        let read = file.read(&mut magic).map_err(|e| unreadable(path, e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| unreadable(path, e))?;
        match &magic[..read] {
            b"PK\x03\x04" => self.zip(file, hint),
            _ => {
                let bytes = unpack(file).map_err(|e| unreadable(path, e));
                match bytes {
                    Ok(bytes) => self.document(hint, &bytes),
                    Err(error) => self.broken(hint, &error),
                }
                Ok(())
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8], hint: &str) -> Result<()> {
        if bytes.starts_with(b"PK\x03\x04") {
            return self.zip(std::io::Cursor::new(bytes), hint);
        }
        match unpack(bytes) {
            Ok(bytes) => self.document(hint, &bytes),
            Err(error) => self.broken(hint, &Error::because(ErrorKind::Malformed, "cannot be decompressed", error)),
        }
        Ok(())
    }

    fn zip<R: Read + Seek>(&mut self, file: R, hint: &str) -> Result<()> {
        let walked = archive::zip_members(file, &analyze::Limits::default(), |name, content| {
            let mut bytes = Vec::new();
            let torn = |e| analyze::Error::because(analyze::ErrorKind::Malformed, "a member cannot be read", e);
            content.read_to_end(&mut bytes).map_err(torn)?;
            self.document(&format!("{hint}/{name}"), &bytes);
            Ok(())
        });
        match walked {
            Ok(walked) => {
                for (name, why) in walked.broken {
                    self.broken(&format!("{hint}/{name}"), &Error::new(ErrorKind::Malformed, why));
                }
            }
            Err(error) => self.broken(hint, &crate::error::from_analyze(error)),
        }
        Ok(())
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
        mark_failed(&before, &out.failed, &mut replaced)?;
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
fn mark_failed(
    before: &store::intel_folder::InstalledGeneration,
    failed: &[FailedDocument],
    replaced: &mut BTreeMap<String, (String, Vec<u8>)>,
) -> Result<()> {
    for document in failed {
        let Some(feed) = before.feeds.iter().find(|feed| feed.id == document.feed) else { continue };
        if replaced.contains_key(&feed.id) {
            continue;
        }
        let Ok(mut meta) = serde_json::from_str::<FeedMeta>(&feed.meta_json) else { continue };
        meta.error = Some(format!("{}: {}", document.path, document.reason));
        let text = serde_json::to_string(&meta)
            .map_err(|e| Error::because(ErrorKind::Internal, "the description of a feed cannot be written", e))?;
        let bytes: &[u8] = (*feed.bytes).as_ref();
        replaced.insert(feed.id.clone(), (text, bytes.to_vec()));
    }
    Ok(())
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

/// Reads a document that may be packed with gzip or zstd.
fn unpack<R: Read>(input: R) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    crate::source::unpacked(input, DOCUMENT_BYTES_MAX)?.read_to_end(&mut out)?;
    Ok(out)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::because(ErrorKind::NotFound, format!("{} cannot be read", path.display()), error)
}
