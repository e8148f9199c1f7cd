//! The header of a package, as databases keep it: an index of tags, and a store of their values (RPM's file format,
//! "Header"; in a database without the eight bytes of magic in front).
//!
//! Not here: what the tags mean. Invariant: nothing outside the blob is read, and nothing is copied.

use super::pages::Order;

/// Numbers of the tags that are read (`rpmtag.h`).
pub(super) mod tag {
    /// Name.
    pub(crate) const NAME: u32 = 1000;
    /// Version.
    pub(crate) const VERSION: u32 = 1001;
    /// Release.
    pub(crate) const RELEASE: u32 = 1002;
    /// Epoch; absent more often than not.
    pub(crate) const EPOCH: u32 = 1003;
    /// Licence, one text.
    pub(crate) const LICENSE: u32 = 1014;
    /// Architecture.
    pub(crate) const ARCH: u32 = 1022;
    /// For every file its state: 0 when it is there as the package brought it.
    pub(crate) const FILESTATES: u32 = 1029;
    /// For every file its type and permission bits.
    pub(crate) const FILEMODES: u32 = 1030;
    /// For every file its digest in hexadecimal digits, empty for what has no content.
    pub(crate) const FILEDIGESTS: u32 = 1035;
    /// For every file whether it is configuration, a ghost, …
    pub(crate) const FILEFLAGS: u32 = 1037;
    /// Name of the file of the source package.
    pub(crate) const SOURCERPM: u32 = 1044;
    /// For every file what `rpm --verify` compares.
    pub(crate) const FILEVERIFYFLAGS: u32 = 1045;
    /// For every file the index of its folder.
    pub(crate) const DIRINDEXES: u32 = 1116;
    /// For every file its name in the folder.
    pub(crate) const BASENAMES: u32 = 1117;
    /// The folders, with a slash at the end.
    pub(crate) const DIRNAMES: u32 = 1118;
    /// The algorithm of the files' digests; MD5 when absent.
    pub(crate) const FILEDIGESTALGO: u32 = 5011;
    /// The module that the package belongs to.
    pub(crate) const MODULARITYLABEL: u32 = 5096;
}

/// The types of values that are read (RPM's file format, "Header", "type").
mod kind {
    pub(super) const CHAR: u32 = 1;
    pub(super) const INT16: u32 = 3;
    pub(super) const INT32: u32 = 4;
    pub(super) const STRING: u32 = 6;
    pub(super) const STRING_ARRAY: u32 = 8;
    /// One text per language; the first is the untranslated one.
    pub(super) const I18N_STRING: u32 = 9;
}

/// Entries of one header. RPM refuses more as well.
const ENTRIES_MAX: usize = 65_535;
const ENTRY_BYTES: usize = 16;

/// One entry of the index.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

/// A header whose frame is sound; its values are checked when they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    index: &'a [[u8; ENTRY_BYTES]],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    /// Takes a blob apart. Errors say what is wrong with it.
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "a header that is cut off";
        let number = |at| Order::Big.u32(blob, at).and_then(|number| usize::try_from(number).ok()).ok_or(SHORT);
        let (entries, store_bytes) = (number(0)?, number(4)?);
        if entries == 0 || entries > ENTRIES_MAX {
            return Err("a header with no tags, or with more than 65535");
        }
        let (index, store) = blob[8..].split_at_checked(entries * ENTRY_BYTES).ok_or(SHORT)?;
        match store.len() {
            length if length < store_bytes => Err(SHORT),
            length if length > store_bytes => Err("a header that is shorter than its place"),
            _ => Ok(Self { index: index.as_chunks().0, store }),
        }
    }

    /// The entry of a tag. Entries that installing a package added stand behind those that the package was built with,
    /// and replace them.
    fn entry(&self, tag: u32) -> Option<Entry> {
        let tag = tag.to_be_bytes();
        let entry = self.index.iter().rfind(|entry| entry.starts_with(&tag))?;
        let number = |at| Order::Big.u32(entry, at).expect("an entry has four numbers");
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Some(Entry { kind: number(4), offset: size(number(8)), count: size(number(12)) })
    }

    /// The texts of a tag.
    pub(super) fn texts(&self, tag: u32) -> Result<Option<Texts<'a>>, &'static str> {
        let Some(Entry { kind, offset, count }) = self.entry(tag) else { return Ok(None) };
        let count = match kind {
            kind::STRING => 1,
            kind::STRING_ARRAY | kind::I18N_STRING => count,
            _ => return Err("a text that is of another type"),
        };
        let rest = self.store.get(offset..).ok_or("a text outside of its header")?;
        let ends = memchr::memchr_iter(0, rest).take(count).count();
        if ends == count { Ok(Some(Texts { rest, count })) } else { Err("a text without an end") }
    }

    /// The first text of a tag.
    pub(super) fn text(&self, tag: u32) -> Result<Option<&'a [u8]>, &'static str> {
        Ok(self.texts(tag)?.and_then(|mut texts| texts.next()))
    }

    /// The numbers of a tag.
    pub(super) fn numbers(
        &self,
        tag: u32,
    ) -> Result<Option<impl ExactSizeIterator<Item = u32> + use<'a>>, &'static str> {
        let Some(Entry { kind, offset, count }) = self.entry(tag) else { return Ok(None) };
        if kind != kind::INT32 {
            return Err("a number that is of another type");
        }
        let end = count.checked_mul(4).and_then(|bytes| bytes.checked_add(offset));
        let bytes = end.and_then(|end| self.store.get(offset..end)).ok_or("a number outside of its header")?;
        Ok(Some(bytes.as_chunks().0.iter().map(|number| u32::from_be_bytes(*number))))
    }
}

impl<'a> Header<'a> {
    /// The values of a tag that has `width` bytes for each.
    fn array(&self, tag: u32, wanted: u32, width: usize) -> Result<Option<&'a [u8]>, &'static str> {
        let Some(Entry { kind, offset, count }) = self.entry(tag) else { return Ok(None) };
        if kind != wanted {
            return Err("a number that is of another type");
        }
        let end = count.checked_mul(width).and_then(|bytes| bytes.checked_add(offset));
        end.and_then(|end| self.store.get(offset..end)).map(Some).ok_or("a number outside of its header")
    }

    /// The numbers of two bytes of a tag.
    pub(super) fn shorts(&self, tag: u32) -> Result<Option<Vec<u16>>, &'static str> {
        let bytes = self.array(tag, kind::INT16, 2)?;
        Ok(bytes.map(|bytes| bytes.as_chunks().0.iter().map(|number| u16::from_be_bytes(*number)).collect()))
    }

    /// The numbers of one byte of a tag.
    pub(super) fn bytes(&self, tag: u32) -> Result<Option<&'a [u8]>, &'static str> {
        self.array(tag, kind::CHAR, 1)
    }
}

/// Texts of one tag, in order.
#[derive(Debug, Clone)]
pub(super) struct Texts<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.count = self.count.checked_sub(1)?;
        let end = memchr::memchr(0, self.rest)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Texts<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of entries (tag, kind, offset, count) and a store.
    fn blob(entries: &[[u32; 4]], store: &[u8]) -> Vec<u8> {
        let size = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let index: Vec<u8> = entries.iter().flatten().flat_map(|number| number.to_be_bytes()).collect();
        [&size(entries.len())[..], &size(store.len()), &index, store].concat()
    }

    fn check(entry: [u32; 4], store: &[u8], expect: &str) {
        let blob = blob(&[entry], store);
        let header = Header::parse(&blob).unwrap();
        let said = match header.texts(entry[0]) {
            Ok(texts) => {
                texts.unwrap().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>().join("|")
            }
            Err(what) => what.to_owned(),
        };
        assert_eq!(said, expect);
    }

    #[test]
    fn header_texts_are_read() {
        check([1000, 6, 0, 1], b"bash\0", "bash");
        check([1000, 6, 2, 7], b"x\0bash\0", "bash");
        check([1117, 8, 0, 3], b"a\0\0b\0", "a||b");
        check([1014, 9, 0, 2], b"MIT\0MIT, aber deutsch\0", "MIT|MIT, aber deutsch");
        check([1000, 6, 0, 1], b"bash", "a text without an end");
        check([1117, 8, 0, u32::MAX], b"a\0", "a text without an end");
        check([1000, 6, 6, 1], b"bash\0", "a text outside of its header");
        check([1000, 6, u32::MAX, 1], b"bash\0", "a text outside of its header");
        check([1000, 7, 0, 1], b"bash\0", "a text that is of another type");
    }

    #[test]
    fn header_numbers_are_read() {
        let check = |entry: [u32; 4], expect: Result<&[u32], &'static str>| {
            let blob = blob(&[entry], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]);
            let numbers = Header::parse(&blob).unwrap().numbers(entry[0]).map(|numbers| numbers.unwrap().collect());
            assert_eq!(numbers, expect.map(<[u32]>::to_vec));
        };
        check([1003, 4, 0, 1], Ok(&[1]));
        check([1003, 4, 0, 2], Ok(&[1, 0xffff_fffe]));
        check([1003, 4, 8, 0], Ok(&[]));
        check([1003, 4, 0, 3], Err("a number outside of its header"));
        check([1003, 4, u32::MAX, u32::MAX], Err("a number outside of its header"));
        check([1003, 3, 0, 1], Err("a number that is of another type"));
    }

    #[test]
    fn header_entries_behind_replace_those_before() {
        let blob = blob(&[[1000, 6, 0, 1], [1000, 6, 2, 1]], b"a\0b\0");
        let header = Header::parse(&blob).unwrap();
        assert_eq!(header.text(1000), Ok(Some(&b"b"[..])));
        assert_eq!(header.text(1001), Ok(None));
    }

    #[test]
    fn header_frame_is_checked() {
        let good = blob(&[[1000, 6, 0, 1]], b"a\0");
        for end in 0..good.len() {
            assert_eq!(Header::parse(&good[..end]).unwrap_err(), "a header that is cut off");
        }
        let check = |index: u32, store: u32, expect: &str| {
            let bytes = [&index.to_be_bytes()[..], &store.to_be_bytes(), &good[8..]].concat();
            assert_eq!(Header::parse(&bytes).unwrap_err(), expect);
        };
        check(0, 2, "a header with no tags, or with more than 65535");
        check(u32::MAX, 2, "a header with no tags, or with more than 65535");
        check(65_535, 2, "a header that is cut off");
        check(1, u32::MAX, "a header that is cut off");
        check(1, 1, "a header that is shorter than its place");
    }
}
