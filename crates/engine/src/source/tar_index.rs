//! An archive file as a table of members, read at random and never unpacked.

use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// More members than this are refused.
const MEMBERS_MAX: usize = 100_000;

/// The members of one tar archive: name → where its bytes lie.
pub(super) struct TarIndex {
    file: Arc<File>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone)]
enum Member {
    Bytes { offset: u64, bytes: u64 },
    Link(String),
}

/// Bytes of one member.
pub(super) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Section {
    pub(super) const fn bytes_left(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..room], self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl TarIndex {
    /// Lists an archive, plain or gzip. A compressed one is unpacked to an unlinked file of at most `spool_max` bytes.
    pub(super) fn open(path: &Path, spool_max: u64) -> Result<Self> {
        let fail = |e: io::Error| {
            let kind = if e.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Malformed };
            Error::because(kind, format!("the archive {} cannot be read", path.display()), e)
        };
        let mut file = File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.is_dir() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{} is a folder, not an archive (for a layout folder write oci:PATH)", path.display()),
            ));
        }
        let mut magic = [0; 4];
        let read = file.read(&mut magic).map_err(fail)?;
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        let packed = magic[..read].starts_with(&[0x1f, 0x8b]) || magic[..read] == [0x28, 0xb5, 0x2f, 0xfd];
        let file = if packed { unpack(file, spool_max).map_err(fail)? } else { file };
        let members = list(&file).map_err(fail)?;
        if members.is_empty() {
            return Err(Error::new(ErrorKind::Malformed, format!("the archive {} has no members", path.display())));
        }
        Ok(Self { file: Arc::new(file), members })
    }

    /// Opens a member, following links inside the archive a few steps.
    pub(super) fn open_member(&self, name: &str) -> Result<Section> {
        let mut name = clean(name);
        for _ in 0..8 {
            match self.members.get(&name) {
                Some(Member::Bytes { offset, bytes }) => {
                    return Ok(Section { file: Arc::clone(&self.file), offset: *offset, left: *bytes });
                }
                Some(Member::Link(target)) => name.clone_from(target),
                None => return Err(Error::new(ErrorKind::NotFound, format!("the archive has no member {name:?}"))),
            }
        }
        Err(Error::new(ErrorKind::Malformed, format!("the archive's links around {name:?} go in circles")))
    }

    /// Reads a small member whole.
    pub(super) fn read_member(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
        let mut section = self.open_member(name)?;
        if section.left > bytes_max {
            let text = format!("{name:?} in the archive has {} bytes; at most {bytes_max} are read", section.left);
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let expected = section.left;
        let mut out = Vec::new();
        section
            .read_to_end(&mut out)
            .map_err(|e| Error::because(ErrorKind::Malformed, format!("{name:?} in the archive cannot be read"), e))?;
        if out.len() as u64 != expected {
            return Err(Error::new(ErrorKind::Malformed, format!("the archive ends inside {name:?}")));
        }
        Ok(out)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }
}

fn unpack(file: File, spool_max: u64) -> io::Result<File> {
    let mut out = tempfile::tempfile()?;
    let mut input = super::unpacked(file, spool_max)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => break,
            read => out.write_all(&buffer[..read])?,
        }
    }
    out.seek(SeekFrom::Start(0))?;
    Ok(out)
}

fn list(file: &File) -> io::Result<BTreeMap<String, Member>> {
    let size = file.metadata()?.len();
    let mut archive = tar::Archive::new(file.try_clone()?);
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let (offset, bytes) = (entry.raw_file_position(), entry.size());
            if offset.saturating_add(bytes) > size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends inside {name:?}")));
            }
            members.insert(name, Member::Bytes { offset, bytes });
        } else if let (true, Some(target)) = (kind.is_symlink() || kind.is_hard_link(), entry.link_name_bytes()) {
            let target = String::from_utf8_lossy(&target).into_owned();
            let base = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
            members.insert(name.clone(), Member::Link(clean(&format!("{base}/{target}"))));
        }
        if members.len() > MEMBERS_MAX {
            return Err(io::Error::other(format!("it has more than {MEMBERS_MAX} members")));
        }
    }
    Ok(members)
}

/// Removes `.` and empty parts, and lets `..` end at the root.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
