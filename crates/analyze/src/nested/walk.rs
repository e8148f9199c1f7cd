//! The walk through one file of a layer and everything inside it, depth first, below the limits.

use super::form::{Form, HEAD_BYTES, is_cpio, is_tar};
use super::name::{inside, unpacked};
use super::{Budget, Visitor, cpio};
use crate::archive;
use crate::decompress::{Caps, Decompressor, Stop, WholeGzip};
use crate::limits::Limits;
use crate::tar::{Broken, Member, MemberKind, Walker};
use crate::{Error, ErrorKind};
use model::{GapReason, LayerPath};
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// The archive that is looked into.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) path: &'a LayerPath,
    /// How many archives lie around it.
    pub(super) depth: u32,
}

/// Buffer in front of a packed tar or cpio archive.
const BUFFER_BYTES: usize = 64 << 10;
/// Where a zip archive's end mark can be, with the longest comment (APPNOTE.TXT, section 4.3.16).
const ZIP_END_BYTES: usize = 22 + 65_535;
/// A buffer keeps this much from member to member.
const KEPT_BYTES: usize = 4 << 20;

pub(super) struct Walk<'a> {
    pub(super) limits: &'a Limits,
    pub(super) budget: &'a mut Budget,
    pub(super) visitor: &'a mut dyn Visitor,
    /// Bytes that may still come out of this file, and how many might at first.
    pub(super) file_left: u64,
    pub(super) file_max: u64,
    /// Bytes of archives around the current one that are held unpacked.
    pub(super) held: u64,
    /// A limit of the whole file or layer was met: nothing more is looked at.
    pub(super) stopped: bool,
}

impl Walk<'_> {
    pub(super) fn explore(&mut self, at: &At<'_>, content: &[u8]) {
        let Some(form) = Form::of(at.path, &content[..content.len().min(HEAD_BYTES)]) else { return };
        if at.depth >= self.limits.nested_depth_max {
            let detail = format!("lies inside more than {} other archives", self.limits.nested_depth_max);
            return self.visitor.gap(at.path, GapReason::TooMany, format!("{detail}; it is not opened"));
        }
        match form {
            Form::Zip => self.zip(at, content),
            Form::ZipBehind if has_zip_end(content) => self.zip(at, content),
            Form::ZipBehind => {}
            Form::Tar => self.tar(at, content),
            Form::Cpio => self.cpio(at, content),
            Form::Deb => self.deb(at, content),
            Form::Rpm => match rpm_payload(content) {
                Some(payload) => self.packed(at, payload, b"payload"),
                None => self.malformed(at.path, "the rpm package's headers do not fit together"),
            },
            Form::Packed => self.packed(at, content, &unpacked(at.path)),
            Form::Unsupported(name) => {
                let detail = format!("an archive of the form {name}, which is not opened");
                self.visitor.gap(at.path, GapReason::Unsupported, detail);
            }
        }
    }

    fn malformed(&mut self, path: &LayerPath, why: impl std::fmt::Display) {
        self.visitor.gap(path, GapReason::Malformed, format!("the archive cannot be read to its end: {why}"));
    }

    /// Counts a member and its bytes. False when a limit is used up, and says so.
    fn admit(&mut self, at: &At<'_>, bytes: u64) -> bool {
        if self.stopped {
            return false;
        }
        let limits = self.limits;
        let (reason, detail) = if self.budget.members == 0 {
            (GapReason::TooMany, format!("more than {} members of archives in this layer", limits.nested_members_max))
        } else if bytes > self.file_left {
            let max = self.file_max;
            (GapReason::ExpandsTooFar, format!("the file it lies in unpacks to more than {max} bytes"))
        } else if bytes > self.budget.bytes {
            let max = limits.nested_layer_bytes_max;
            (GapReason::ExpandsTooFar, format!("the archives of this layer unpack to more than {max} bytes"))
        } else {
            self.budget.members -= 1;
            self.budget.bytes -= bytes;
            self.file_left -= bytes;
            return true;
        };
        self.stopped = true;
        self.visitor.gap(at.path, reason, format!("{detail}: the rest is not looked at"));
        false
    }

    /// A member that is too large to be held: a gap, if anybody wanted it.
    fn too_large(&mut self, path: &LayerPath, bytes: u64, head: &[u8]) {
        let head = &head[..head.len().min(HEAD_BYTES)];
        if Form::of(path, head).is_some() || self.visitor.wants(path, bytes, head) {
            let max = self.limits.nested_member_bytes_max;
            let detail = format!("a member of {bytes} bytes or more, the limit is {max}");
            self.visitor.gap(path, GapReason::FileTooLarge, detail);
        }
    }

    /// Shows a member, and looks into it.
    fn offer(&mut self, at: &At<'_>, path: &LayerPath, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        self.visitor.member(path, content);
        let bytes = content.len() as u64;
        if Form::of(path, &content[..content.len().min(HEAD_BYTES)]).is_none() {
            return;
        }
        if self.held + bytes > self.limits.nested_held_bytes_max {
            let max = self.limits.nested_held_bytes_max;
            let detail = format!("archives inside one another take more than {max} bytes; it is not opened");
            return self.visitor.gap(path, GapReason::FileTooLarge, detail);
        }
        self.held += bytes;
        self.explore(&At { path, depth: at.depth + 1 }, content);
        self.held -= bytes;
    }

    fn zip(&mut self, at: &At<'_>, content: &[u8]) {
        let limits = Limits {
            archive_member_bytes_max: self.limits.nested_member_bytes_max + 1,
            // Counted here, over all archives of the file.
            archive_bytes_max: u64::MAX,
            archive_members_max: u64::MAX,
            ..self.limits.clone()
        };
        let mut buffer = Vec::new();
        let walked = archive::zip_members(Cursor::new(content), &limits, |name, member| {
            let path = inside(at.path, name.as_bytes());
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
            let max = self.limits.nested_member_bytes_max;
            // What cannot be read is counted as broken by the archive.
            if member.take(max + 1).read_to_end(&mut buffer).is_err() {
                return Ok(());
            }
            if !self.admit(at, buffer.len() as u64) {
                return Err(Error::new(ErrorKind::LimitExceeded, "no room"));
            }
            if buffer.len() as u64 > max {
                self.too_large(&path, buffer.len() as u64, &buffer);
            } else {
                self.offer(at, &path, &buffer);
            }
            Ok(())
        });
        match walked {
            Ok(walked) => self.broken_members(at, walked),
            Err(_) if self.stopped => {}
            Err(error) if error.kind == ErrorKind::LimitExceeded => {
                self.visitor.gap(at.path, GapReason::ExpandsTooFar, error.to_string());
            }
            Err(error) => self.visitor.gap(at.path, GapReason::Malformed, error.to_string()),
        }
    }

    /// Members of a zip archive that could not be read: encrypted, packed with an unknown method, damaged.
    fn broken_members(&mut self, at: &At<'_>, walked: archive::Walked) {
        const NAMED_MAX: usize = 20;
        let named = walked.broken.len().min(NAMED_MAX);
        for (name, why) in walked.broken.into_iter().take(NAMED_MAX) {
            let reason = match why.as_str() {
                why if why.starts_with("unpacks to more than") => GapReason::ExpandsTooFar,
                why if why.contains("assword") || why.to_ascii_lowercase().contains("support") => {
                    GapReason::Unsupported
                }
                _ => GapReason::Malformed,
            };
            self.visitor.gap(&inside(at.path, name.as_bytes()), reason, format!("cannot be read: {why}"));
        }
        if walked.broken_count > named as u64 {
            let detail = format!("{} more members cannot be read", walked.broken_count - named as u64);
            self.visitor.gap(at.path, GapReason::Malformed, detail);
        }
    }

    fn tar<R: BufRead>(&mut self, at: &At<'_>, source: R) {
        let mut walker = Walker::new(source, self.limits.extension_bytes_max);
        let mut member = Member::new();
        let mut buffer = Vec::new();
        loop {
            match walker.next(&mut member) {
                Ok(true) => {}
                Ok(false) => return,
                Err(broken) => return self.broken(at, broken),
            }
            if !self.admit(at, member.bytes) {
                return;
            }
            if member.kind != MemberKind::File || member.bytes == 0 {
                continue;
            }
            let path = inside(at.path, &member.name);
            if member.sparse {
                let detail = "stored as a sparse file, which is not looked into".to_owned();
                self.visitor.gap(&path, GapReason::Unsupported, detail);
                continue;
            }
            if member.bytes > self.limits.nested_member_bytes_max {
                self.too_large(&path, member.bytes, walker.head(HEAD_BYTES));
                continue;
            }
            buffer.shrink_to(KEPT_BYTES);
            let ((), cut) = walker.whole(&mut buffer, |content, _| self.offer(at, &path, content));
            if let Some(broken) = cut {
                return self.broken(at, broken);
            }
        }
    }

    fn broken(&mut self, at: &At<'_>, broken: Broken) {
        match broken {
            Broken::Input(error) => self.failed(at, &error),
            other => self.malformed(at.path, other.text()),
        }
    }

    /// The stream in front of an archive ended with an error.
    fn failed(&mut self, at: &At<'_>, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::FileTooLarge => GapReason::ExpandsTooFar,
            io::ErrorKind::Unsupported => GapReason::Unsupported,
            _ => GapReason::Malformed,
        };
        self.visitor.gap(at.path, reason, format!("the archive cannot be read to its end: {error}"));
    }

    fn cpio<R: BufRead>(&mut self, at: &At<'_>, source: R) {
        let mut walker = cpio::Walker::new(source);
        let mut buffer = Vec::new();
        loop {
            let member = match walker.next() {
                Ok(Some(member)) => member,
                Ok(None) => return,
                Err(error) => return self.failed(at, &error),
            };
            if !self.admit(at, member.bytes) {
                return;
            }
            if !member.is_file() || member.bytes == 0 {
                continue;
            }
            let path = inside(at.path, &member.name);
            let is_large = member.bytes > self.limits.nested_member_bytes_max;
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
            if let Err(error) = walker.read(&mut buffer, if is_large { HEAD_BYTES as u64 } else { u64::MAX }) {
                return self.failed(at, &error);
            }
            if is_large {
                self.too_large(&path, member.bytes, &buffer);
            } else {
                self.offer(at, &path, &buffer);
            }
        }
    }

    /// An `ar` archive (ar(5)): members behind headers of sixty bytes, each at an even place.
    fn deb(&mut self, at: &At<'_>, content: &[u8]) {
        const HEADER_BYTES: usize = 60;
        let mut rest = &content[8..];
        while rest.len() > 1 {
            let Some((header, body)) = rest.split_at_checked(HEADER_BYTES).filter(|(h, _)| h.ends_with(b"`\n")) else {
                return self.malformed(at.path, "a member's header is broken");
            };
            let bytes = std::str::from_utf8(header[48..58].trim_ascii()).ok().and_then(|text| text.parse().ok());
            let Some(bytes) = bytes.filter(|bytes: &usize| *bytes <= body.len()) else {
                return self.malformed(at.path, "the archive ends inside a member");
            };
            let name = header[..16].trim_ascii_end();
            let path = inside(at.path, name.strip_suffix(b"/").unwrap_or(name));
            if !self.admit(at, 0) {
                return;
            }
            // Nothing is unpacked yet: the member is a part of what is held already.
            let held = std::mem::take(&mut self.held);
            self.offer(at, &path, &body[..bytes]);
            self.held = held;
            rest = body.get(bytes + bytes % 2..).unwrap_or_default();
        }
    }

    /// A packed tar or cpio archive, whose members lie right inside; or one packed file.
    fn packed(&mut self, at: &At<'_>, content: &[u8], name: &[u8]) {
        let room = self.file_left.min(self.budget.bytes);
        if self.small_gzip(at, content, name, room) {
            return;
        }
        let caps = Caps { bytes_max: room.saturating_add(1), ..Caps::archive(self.limits) };
        let mut stream = match Decompressor::of_size(content, caps, content.len()) {
            Ok(stream) => stream,
            Err((stop, _)) => return self.failed(at, &stop.into()),
        };
        let mut head = vec![0; HEAD_BYTES];
        let mut filled = 0;
        let result = stream.fill(&mut head, &mut filled);
        head.truncate(filled);
        if let Err(stop) = result {
            // What came out before is looked at all the same, as it is of longer files.
            if !is_tar(&head) && !is_cpio(&head) && self.admit(at, head.len() as u64) {
                self.offer(at, &inside(at.path, name), &head);
            }
            self.failed(at, &stop.into());
        } else if is_tar(&head) {
            self.tar(at, BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(stream)));
        } else if is_cpio(&head) {
            self.cpio(at, BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(stream)));
        } else {
            self.packed_file(at, head, stream, name);
        }
    }

    /// One small file, packed in the usual way: nearly all packed files of a distribution's documentation. False, and
    /// nothing is done, for all others.
    fn small_gzip(&mut self, at: &At<'_>, content: &[u8], name: &[u8], room: u64) -> bool {
        let limits = self.limits;
        let bytes_max = room.min(limits.nested_member_bytes_max).min(limits.ratio_from_bytes);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(KEPT_BYTES);
        let mut gzip = std::mem::replace(&mut self.budget.gzip, WholeGzip::new());
        let unpacked = gzip.unpack(content, bytes_max).filter(|unpacked| !is_tar(unpacked) && !is_cpio(unpacked));
        let is_done = unpacked.is_some();
        if let Some(unpacked) = unpacked
            && self.admit(at, unpacked.len() as u64)
        {
            self.offer(at, &inside(at.path, name), unpacked);
        }
        self.budget.gzip = gzip;
        is_done
    }

    fn packed_file(&mut self, at: &At<'_>, head: Vec<u8>, stream: Decompressor<&[u8]>, name: &[u8]) {
        let path = inside(at.path, name);
        let max = self.limits.nested_member_bytes_max;
        let mut content = head;
        let known = content.len() as u64;
        let result = if known < HEAD_BYTES as u64 {
            Ok(0)
        } else {
            stream.take(max.saturating_add(1).saturating_sub(known)).read_to_end(&mut content)
        };
        if !self.admit(at, content.len() as u64) {
            return;
        }
        if content.len() as u64 > max {
            return self.too_large(&path, content.len() as u64, &content);
        }
        self.offer(at, &path, &content);
        if let Err(error) = result {
            self.failed(at, &error);
        }
    }
}

/// Does a zip archive end here?
fn has_zip_end(content: &[u8]) -> bool {
    let tail = &content[content.len().saturating_sub(ZIP_END_BYTES)..];
    memchr::memmem::rfind(tail, b"PK\x05\x06").is_some()
}

/// What follows the lead and the two headers of an RPM package (RPM's file format): the first header is padded to a
/// multiple of eight.
fn rpm_payload(content: &[u8]) -> Option<&[u8]> {
    const LEAD_BYTES: usize = 96;
    let mut rest = content.get(LEAD_BYTES..)?;
    for is_signature in [true, false] {
        let number = |at: usize| {
            let bytes: [u8; 4] = rest.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        };
        if !rest.starts_with(&[0x8e, 0xad, 0xe8, 1]) {
            return None;
        }
        let bytes = number(8)?.checked_mul(16)?.checked_add(number(12)?)?.checked_add(16)?;
        let bytes = if is_signature { bytes.checked_next_multiple_of(8)? } else { bytes };
        rest = rest.get(bytes..)?;
    }
    Some(rest)
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Self {
        Self::Input(stop.into())
    }
}
