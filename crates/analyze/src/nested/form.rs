//! Is it an archive, and of which form? Told by the first bytes; names only tell archives that begin with a program.

use crate::archive;
use crate::decompress::Packing;
use model::LayerPath;

/// How many of a file's first bytes tell its form: the first block of a tar archive.
pub(crate) const HEAD_BYTES: usize = 512;

/// A form of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// zip and everything that is one: jar, war, whl, nupkg (APPNOTE.TXT, section 4.3.7).
    Zip,
    /// A program with a zip archive at its end, going by the name: executable jars, zipapps.
    ZipBehind,
    /// tar with the magic of POSIX or GNU.
    Tar,
    /// A Debian package: an `ar` archive whose first member says so (deb(5)).
    Deb,
    /// cpio, the "new ASCII" format (cpio(5)).
    Cpio,
    /// An RPM package: a lead, two headers and a packed cpio archive (RPM's file format).
    Rpm,
    /// A packed file: a packed tar archive, or anything else.
    Packed,
    /// A form that is recognised and not opened.
    Unsupported(&'static str),
}

/// Endings of names of zip archives that may have a program in front.
const BEHIND: [&[u8]; 7] = [b".jar", b".war", b".ear", b".whl", b".pyz", b".zip", b".pex"];
/// Endings of names of packed archives, which a list of bad files may name.
const PACKED: [&[u8]; 9] =
    [b".tgz", b".tar.gz", b".tar.xz", b".txz", b".tar.bz2", b".tbz2", b".tar.zst", b".crate", b".apk"];

impl Form {
    /// The form of a file, or `None` when it is no archive.
    pub(crate) fn of(path: &LayerPath, head: &[u8]) -> Option<Self> {
        let form = match head {
            _ if archive::is_zip(head) => Self::Zip,
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', rest @ ..] if rest.starts_with(b"debian-binary") => {
                Self::Deb
            }
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Self::Cpio,
            [b'0', b'7', b'0', b'7', b'0', b'7', b'0' | b'1', ..] if head.len() > 76 => Self::Unsupported("cpio (odc)"),
            [0xed, 0xab, 0xee, 0xdb, ..] => Self::Rpm,
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Unsupported("7z"),
            [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => Self::Unsupported("rar"),
            [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Self::Unsupported("cab"),
            [b'L', b'Z', b'I', b'P', 0 | 1, ..] => Self::Unsupported("lzip"),
            [b'x', b'a', b'r', b'!', 0, 28, ..] => Self::Unsupported("xar"),
            // RFC 1952, section 2.3: the method is always 8, three flags are reserved.
            [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => Self::Packed,
            [0x1f, 0x8b, ..] => return None,
            // Frames to be skipped, which open a Zstandard stream as well, open other files more often.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return None,
            _ if is_tar(head) => Self::Tar,
            _ => match Packing::of(head) {
                Ok(Packing::Plain) if is_behind(path, head) => Self::ZipBehind,
                Ok(Packing::Plain) => return None,
                Ok(Packing::Gzip | Packing::Zstd | Packing::Xz | Packing::Bzip2) => Self::Packed,
                Err(name) => Self::Unsupported(name),
            },
        };
        Some(form)
    }

    /// Is a file of this form something that a list of bad files may name, and not just a packed text?
    pub(crate) fn is_of_interest(self, path: &LayerPath) -> bool {
        match self {
            Self::Zip | Self::ZipBehind | Self::Tar | Self::Deb | Self::Rpm => true,
            Self::Cpio | Self::Unsupported(_) => false,
            Self::Packed => ends_in(path, &PACKED),
        }
    }
}

/// POSIX.1-2017 `pax`, "ustar Interchange Format": the magic at byte 257. GNU's differs behind it.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.len() >= HEAD_BYTES && head[257..].starts_with(b"ustar")
}

/// Is this a cpio archive that is read?
pub(super) fn is_cpio(head: &[u8]) -> bool {
    matches!(head, [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..])
}

fn is_behind(path: &LayerPath, head: &[u8]) -> bool {
    (head.starts_with(b"#!") || head.starts_with(b"\x7fELF") || head.starts_with(b"MZ")) && ends_in(path, &BEHIND)
}

fn ends_in(path: &LayerPath, endings: &[&[u8]]) -> bool {
    let name = path.file_name();
    endings
        .iter()
        .any(|ending| name.len() > ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_the_first_bytes() {
        let check = |path: &str, head: &[u8], expect: Option<Form>| {
            assert_eq!(Form::of(&LayerPath::from(path), head), expect, "{path} {head:?}");
        };
        check("a", b"PK\x03\x04", Some(Form::Zip));
        check("a.jar", b"#!/bin/sh\n", Some(Form::ZipBehind));
        check("a.sh", b"#!/bin/sh\n", None);
        check("a.deb", b"!<arch>\ndebian-binary   ", Some(Form::Deb));
        check("usr/lib/libc.a", b"!<arch>\n/               ", None);
        check("a", b"\x1f\x8b\x08\x00", Some(Form::Packed));
        check("a", b"\x1f\x8b\x07\x00", None);
        check("a", b"\xfd7zXZ\0", Some(Form::Packed));
        check("a", b"BZh91AY&SY", Some(Form::Packed));
        check("a", b"\x28\xb5\x2f\xfd", Some(Form::Packed));
        check("a", b"\x04\x22\x4d\x18", Some(Form::Unsupported("lz4")));
        check("a", b"Rar!\x1a\x07\x01\x00", Some(Form::Unsupported("rar")));
        check("a", b"070701", Some(Form::Cpio));
        check("a", b"", None);
        check("a", b"text", None);
        let mut block = [0; HEAD_BYTES];
        block[257..262].copy_from_slice(b"ustar");
        check("a", &block, Some(Form::Tar));
        check("a", &block[..511], None);
    }
}
