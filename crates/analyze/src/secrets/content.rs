//! Tells once what a file holds: text, UTF-16 text, other bytes, or bytes in which nothing can be read.
//!
//! Invariant: the decision looks at the first [`HEAD_BYTES`] only, so it costs the same for any file.

use std::borrow::Cow;

/// How many bytes are looked at to tell text from binary, as git does.
const HEAD_BYTES: usize = 8000;

/// What a part of a file holds, as rules see it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Text in ASCII, UTF-8 or another encoding of bytes that contains ASCII.
    Text(Cow<'a, [u8]>),
    /// Machine code, databases, serialised data.
    Binary(&'a [u8]),
    /// Compressed or encoded: what is inside cannot be read from here.
    Opaque,
}

/// Beginnings of files whose bytes are compressed: archives, pictures, sound, video, fonts.
const OPAQUE: &[&[u8]] = &[
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"BZh",
    b"PK\x03\x04",
    b"7z\xbc\xaf\x27\x1c",
    b"\x04\x22\x4d\x18",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"OggS",
    b"fLaC",
    b"wOFF",
    b"wOF2",
    b"ID3",
    b"\x1aE\xdf\xa3",
];

/// Ends of the names of such files, so that they need not even be kept in memory.
const OPAQUE_NAMES: &[&[u8]] = &[
    b".gz", b".xz", b".bz2", b".zst", b".lz4", b".7z", b".png", b".jpg", b".jpeg", b".gif", b".webp", b".ico", b".mp3",
    b".mp4", b".ogg", b".webm", b".woff", b".woff2", b".ttf", b".otf", b".eot", b".mo", b".gmo", b".whl", b".jar",
    b".zip", b".apk", b".deb", b".rpm",
];

/// What kind of content a file has; told by its beginning, it holds for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentKind {
    /// See [`Content::Text`].
    Text,
    /// Text in UTF-16, in one or the other order of bytes.
    Utf16 { is_little_endian: bool },
    /// See [`Content::Binary`].
    Binary,
    /// See [`Content::Opaque`].
    Opaque,
}

impl ContentKind {
    /// Tells the kind of the file that begins so.
    pub(crate) fn of(beginning: &[u8]) -> Self {
        let head = &beginning[..beginning.len().min(HEAD_BYTES)];
        if OPAQUE.iter().any(|magic| head.starts_with(magic)) {
            return Self::Opaque;
        }
        match (utf16(head), memchr::memchr(0, head)) {
            (Some(kind), _) => kind,
            (None, Some(_)) => Self::Binary,
            (None, None) => Self::Text,
        }
    }

    /// Reads a part of a file of this kind; of UTF-16 one that begins with a whole unit.
    pub(super) fn read(self, bytes: &[u8]) -> Content<'_> {
        match self {
            Self::Text => Content::Text(Cow::Borrowed(bytes)),
            Self::Utf16 { is_little_endian: true } => Content::Text(Cow::Owned(from_utf16(bytes, u16::from_le_bytes))),
            Self::Utf16 { is_little_endian: false } => Content::Text(Cow::Owned(from_utf16(bytes, u16::from_be_bytes))),
            Self::Binary => Content::Binary(bytes),
            Self::Opaque => Content::Opaque,
        }
    }
}

/// Does the name say that the file's bytes are compressed?
pub(super) fn is_opaque_name(name: &[u8]) -> bool {
    let end = name.iter().rposition(|b| *b == b'.').map_or(&[][..], |at| &name[at..]);
    OPAQUE_NAMES.iter().any(|opaque| end.eq_ignore_ascii_case(opaque))
}

/// Is it UTF-16, and in which order of bytes? By its mark (RFC 2781, section 3.2), else by the zeros of ASCII.
fn utf16(head: &[u8]) -> Option<ContentKind> {
    const SAMPLE: usize = 256;
    const LITTLE: ContentKind = ContentKind::Utf16 { is_little_endian: true };
    const BIG: ContentKind = ContentKind::Utf16 { is_little_endian: false };
    match head {
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => return Some(LITTLE),
        [0xfe, 0xff, ..] => return Some(BIG),
        _ => {}
    }
    let sample = &head[..head.len().min(SAMPLE) & !1];
    if sample.len() < 16 {
        return None;
    }
    let zeros = |odd: usize| sample.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let all = sample.len() / 2;
    match (zeros(0), zeros(1)) {
        (0, high) if high * 10 >= all * 9 => Some(LITTLE),
        (high, 0) if high * 10 >= all * 9 => Some(BIG),
        _ => None,
    }
}

fn from_utf16(bytes: &[u8], decode: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| decode([pair[0], pair[1]]));
    let mut out = Vec::with_capacity(bytes.len() / 2);
    let mut buffer = [0; 4];
    for unit in char::decode_utf16(units) {
        let c = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn content_is_told_by_its_first_bytes() {
        assert_eq!(ContentKind::of(b"plain\n"), ContentKind::Text);
        assert_eq!(ContentKind::of(b"\xff\xffnot utf-8"), ContentKind::Text);
        assert_eq!(ContentKind::of(b"\x7fELF\0\0"), ContentKind::Binary);
        assert_eq!(ContentKind::of(b"\x1f\x8b\x08\0"), ContentKind::Opaque);
    }

    #[test]
    fn utf16_is_read_with_and_without_its_mark() {
        let text = "password = \u{e9}t\u{e9}\n";
        for bytes in [
            encode(&format!("\u{feff}{text}"), u16::to_le_bytes),
            encode(&format!("\u{feff}{text}"), u16::to_be_bytes),
            encode(text, u16::to_le_bytes),
            encode(text, u16::to_be_bytes),
        ] {
            let Content::Text(read) = ContentKind::of(&bytes).read(&bytes) else { panic!("{bytes:?}") };
            assert!(read.ends_with(text.as_bytes()), "{read:?}");
        }
    }

    #[test]
    fn compressed_names_are_known() {
        assert!(is_opaque_name(b"a.PNG"));
        assert!(!is_opaque_name(b"png"));
        assert!(!is_opaque_name(b"a.gz.txt"));
    }
}
