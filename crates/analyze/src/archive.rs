//! Opens archives of documents (zip, tar), member by member, below caps.
//!
//! Not here: layers ([`crate::read_layer`]), and what the documents mean. Invariant: a member's name is a text for
//! people and for recognising documents; it is never used as the name of a file.

use crate::decompress::{Caps, Decompressor, Stop};
use crate::limits::Limits;
use crate::tar::{Broken, Member, MemberKind, Walker};
use crate::zip_directory::{self, Directory};
use crate::{Error, ErrorKind};
use std::io::{self, BufReader, Read, Seek};

/// What walking an archive saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walked {
    /// Members that were handed on in full.
    pub members: u64,
    /// Members that could not be read, with the reason, in archive order; at most a hundred are named.
    pub broken: Vec<(String, String)>,
    /// How many could not be read.
    pub broken_count: u64,
}

impl Walked {
    const NAMED_MAX: usize = 100;

    fn count_broken(&mut self, name: &str, why: String) {
        self.broken_count += 1;
        if self.broken.len() < Self::NAMED_MAX {
            self.broken.push((name.to_owned(), why));
        }
    }
}

/// Does it begin as a zip archive does (APPNOTE.TXT, section 4.3.7)? An empty archive does too.
pub fn is_zip(head: &[u8]) -> bool {
    matches!(head, [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..])
}

/// Hands every file of a zip archive to `visit`, with its name and a reader of its content that never gives more
/// than the limits allow. A member that is broken or above a limit is counted and named, the others go on.
///
/// # Errors
/// When the archive as a whole cannot be read, has more members or bytes than the limits, or `visit` fails.
pub fn zip_members<R: Read + Seek>(
    input: R,
    limits: &Limits,
    visit: impl FnMut(&str, &mut dyn Read) -> Result<(), Error>,
) -> Result<Walked, Error> {
    zip_members_where(input, limits, |_| true, visit)
}

/// As [`zip_members`], for the members whose name `wants` accepts; the others are not opened.
///
/// # Errors
/// As [`zip_members`].
pub fn zip_members_where<R: Read + Seek>(
    mut input: R,
    limits: &Limits,
    wants: impl Fn(&str) -> bool,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), Error>,
) -> Result<Walked, Error> {
    let unreadable = |error| Error::because(ErrorKind::Malformed, "the zip archive cannot be read", error);
    let mut directory = Directory::open(&mut input).map_err(unreadable)?;
    let mut member = zip_directory::Member::default();
    let mut walked = Walked::default();
    let mut budget = limits.archive_bytes_max;
    let mut seen = 0;
    while directory.next(&mut input, &mut member).map_err(unreadable)? {
        seen += 1;
        if seen > limits.archive_members_max {
            return Err(over(format!("more than {} members", limits.archive_members_max)));
        }
        if !member.is_file || !wants(&member.name) {
            continue;
        }
        let content = match directory.open_member(&mut input, &member) {
            Ok(content) => content,
            Err(error) => {
                walked.count_broken(&member.name, error.to_string());
                continue;
            }
        };
        let mut content = Capped::new(content, limits, member.packed_bytes, budget);
        let result = visit(&member.name, &mut content);
        budget -= content.bytes_out;
        // A visitor that fails because its reader did says nothing new.
        match content.failed.take() {
            Some(Failed::Budget) => {
                return Err(over(format!("its members unpack to more than {} bytes", limits.archive_bytes_max)));
            }
            Some(Failed::Member(why)) => walked.count_broken(&member.name, why),
            None => {
                result?;
                walked.members += 1;
            }
        }
    }
    Ok(walked)
}

fn over(what: String) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("the archive is above a limit: {what}"))
}

/// Hands every file of a tar archive, plain or compressed with gzip or zstd, to `visit`, as [`zip_members`] does.
///
/// # Errors
/// When the input fails, the archive is broken or above a limit, or `visit` fails.
pub fn tar_members<R: Read>(
    input: R,
    limits: &Limits,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), Error>,
) -> Result<Walked, Error> {
    let stream = Decompressor::new(input, Caps::archive(limits)).map_err(|(stop, _)| stopped(stop))?;
    let mut source = BufReader::with_capacity(TAR_BUFFER_BYTES, stream);
    let mut walker = Walker::new(&mut source, limits.extension_bytes_max);
    let mut member = Member::new();
    let mut walked = Walked::default();
    let mut content = Vec::new();
    let mut seen = 0;
    while walker.next(&mut member).map_err(broken)? {
        seen += 1;
        if seen > limits.archive_members_max {
            return Err(over(format!("more than {} members", limits.archive_members_max)));
        }
        if member.kind != MemberKind::File || member.sparse {
            continue;
        }
        let name = String::from_utf8_lossy(&member.name).into_owned();
        if member.bytes > limits.archive_member_bytes_max {
            let why = format!("{} bytes, the limit is {}", member.bytes, limits.archive_member_bytes_max);
            walked.count_broken(&name, why);
            continue;
        }
        let (result, cut) = walker.whole(&mut content, |bytes, complete| match complete {
            true => visit(&name, &mut &*bytes),
            false => Ok(()),
        });
        result?;
        if let Some(cut) = cut {
            return Err(broken(cut));
        }
        walked.members += 1;
    }
    // What follows the last member holds the checksum of what came before it.
    io::copy(&mut source, &mut io::sink()).map_err(|error| broken(Broken::Input(error)))?;
    Ok(walked)
}

const TAR_BUFFER_BYTES: usize = 256 << 10;

fn broken(broken: Broken) -> Error {
    match broken {
        Broken::Input(error) => {
            let kind = match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::Unsupported => ErrorKind::Malformed,
                io::ErrorKind::FileTooLarge => ErrorKind::LimitExceeded,
                _ => ErrorKind::Input,
            };
            Error::because(kind, "the tar archive cannot be read", error)
        }
        other => Error::new(ErrorKind::Malformed, format!("the tar archive is broken: {}", other.text())),
    }
}

fn stopped(stop: Stop) -> Error {
    broken(Broken::Input(stop.into()))
}

enum Failed {
    /// The member is broken or above a limit of its own.
    Member(String),
    /// The archive's own limit is used up.
    Budget,
}

/// A member's content: never more than the limits allow, and it remembers why it stopped.
struct Capped<R> {
    inner: R,
    bytes_out: u64,
    bytes_max: u64,
    packed_bytes: u64,
    ratio: (u64, u64),
    budget: u64,
    failed: Option<Failed>,
}

impl<R: Read> Capped<R> {
    const fn new(inner: R, limits: &Limits, packed_bytes: u64, budget: u64) -> Self {
        Self {
            inner,
            bytes_out: 0,
            bytes_max: limits.archive_member_bytes_max,
            packed_bytes,
            ratio: (limits.ratio_max, limits.ratio_from_bytes),
            budget,
            failed: None,
        }
    }

    fn over_limit(&self, bytes_out: u64) -> Option<Failed> {
        let (ratio_max, ratio_from_bytes) = self.ratio;
        if bytes_out > self.budget {
            return Some(Failed::Budget);
        }
        if bytes_out > self.bytes_max {
            return Some(Failed::Member(format!("unpacks to more than the limit of {} bytes", self.bytes_max)));
        }
        let allowed = self.packed_bytes.max(1).saturating_mul(ratio_max);
        (bytes_out > ratio_from_bytes && bytes_out > allowed)
            .then(|| Failed::Member(format!("unpacks to more than {ratio_max} times its {} bytes", self.packed_bytes)))
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed.is_some() {
            return Err(io::Error::other("the member cannot be read any further"));
        }
        let n = match self.inner.read(buffer) {
            Ok(n) => n,
            Err(error) => {
                self.failed = Some(Failed::Member(error.to_string()));
                return Err(error);
            }
        };
        let bytes_out = self.bytes_out + n as u64;
        if let Some(failed) = self.over_limit(bytes_out) {
            self.failed = Some(failed);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes_out = bytes_out;
        Ok(n)
    }
}
