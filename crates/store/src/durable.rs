//! Files that are there whole or not at all: written beside their place, synced, renamed, folder synced.
//!
//! Not here: what the files mean. Invariant: a reader of `path` sees the old content or the new one, never a part,
//! whatever moment the power fails.

use crate::{Error, ErrorKind, Result};
use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::path::{Path, PathBuf};

/// Start of the name of a file that is still being written; such files are nobody's data.
pub(crate) const PARTIAL_PREFIX: &str = ".partial-";

/// Writes `bytes` to `path`, replacing what is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path)?;
    let mut partial = partial_in(folder)?;
    let done = partial.write_all(bytes).and_then(|()| partial.as_file().sync_all());
    done.map_err(|e| io_error(e, "cannot write", path))?;
    partial.persist(path).map_err(|e| io_error(e.error, "cannot put in place", path))?;
    sync_folder(folder)
}

/// Writes `bytes` to `path` unless there is a file already. Returns whether it was written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let folder = folder_of(path)?;
    let mut partial = partial_in(folder)?;
    let done = partial.write_all(bytes).and_then(|()| partial.as_file().sync_all());
    done.map_err(|e| io_error(e, "cannot write", path))?;
    match partial.persist_noclobber(path) {
        Ok(_) => sync_folder(folder).map(|()| true),
        Err(e) if e.error.kind() == IoKind::AlreadyExists => Ok(false),
        Err(e) => Err(io_error(e.error, "cannot put in place", path)),
    }
}

/// Makes a folder with its parents, and makes it last.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(e) if e.kind() == IoKind::AlreadyExists => Ok(()),
        Err(e) => Err(io_error(e, "cannot make the folder", path)),
    }
}

/// Makes renames and removals in a folder last.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| io_error(e, "cannot sync the folder", path))
}

/// Reads a whole file of at most `bytes_max` bytes; `None` when there is none.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(e, "cannot open", path)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|e| io_error(e, "cannot read", path))?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("{} is larger than {bytes_max} bytes", path.display());
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    Ok(Some(bytes))
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == IoKind::NotFound => Ok(()),
        Err(e) => Err(io_error(e, "cannot remove", path)),
    }
}

/// The names in a folder, sorted; none when there is no folder. Names that are not UTF-8 are not ours.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error(e, "cannot list", folder)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io_error(e, "cannot list", folder))?;
        found.extend(entry.file_name().into_string());
    }
    found.sort();
    Ok(found)
}

/// Waits for, and holds until dropped, the exclusive lock that the file at `path` stands for.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|e| io_error(e, "cannot open the lock", path))?;
    file.lock().map_err(|e| io_error(e, "cannot take the lock", path))?;
    Ok(file)
}

/// Takes the exclusive lock that the file at `path` stands for, held until dropped; `None` when somebody has it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|e| io_error(e, "cannot open the lock", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(io_error(e, "cannot take the lock", path)),
    }
}

/// An I/O error with the path in its text, and the kind that a caller may branch on.
pub(crate) fn io_error(error: std::io::Error, what: &str, path: &Path) -> Error {
    let kind = match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded | IoKind::FileTooLarge => ErrorKind::LimitExceeded,
        IoKind::NotFound => ErrorKind::NotFound,
        IoKind::Interrupted | IoKind::TimedOut | IoKind::WouldBlock => ErrorKind::Transient,
        _ => ErrorKind::Internal,
    };
    Error::because(kind, format!("{what} {}", path.display()), error)
}

fn folder_of(path: &Path) -> Result<&Path> {
    path.parent().ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{} names no file", path.display())))
}

fn partial_in(folder: &Path) -> Result<tempfile::NamedTempFile> {
    let made = tempfile::Builder::new().prefix(PARTIAL_PREFIX).tempfile_in(folder);
    made.map_err(|e| io_error(e, "cannot make a file in", folder))
}

/// The place of a file named by a digest: `FOLDER/xx/…`, so that no folder grows without bound.
pub(crate) fn fan_out(folder: &Path, name: &str) -> PathBuf {
    folder.join(name.get(..2).unwrap_or("00")).join(name)
}
