//! RPM's database in Berkeley DB (`Packages`): a hash from a package's number to its header, in the byte order of the
//! machine that wrote it (Berkeley DB's `db_page.h`, versions 8 to 10 of its hash).
//!
//! Not here: b-trees, duplicates, checksums and encryption, none of which RPM uses for packages.

use super::pages::{Order, Pages, is_page_size};
use super::{Fault, Intake, Spot};

/// The magic number of a hash, and of a b-tree.
const HASH_MAGIC: u32 = 0x0006_1561;
const BTREE_MAGIC: u32 = 0x0005_3162;
const MAGIC_AT: usize = 12;

/// The part of the first page that describes the hash.
const META_BYTES: usize = 224;
/// The header of every other page.
const PAGE_HEADER_BYTES: usize = 26;

/// Types of pages.
const PAGE_UNUSED: u8 = 0;
const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH_META: u8 = 8;
const PAGE_HASH: u8 = 13;

/// Types of items.
const ITEM_HERE: u8 = 1;
const ITEM_ELSEWHERE: u8 = 3;

/// Does the file have the magic number of Berkeley DB's hashes or b-trees, in either byte order?
pub(super) fn has_magic(content: &[u8]) -> bool {
    order_of(content).is_some()
}

/// The byte order, and whether it is a hash.
fn order_of(content: &[u8]) -> Option<(Order, bool)> {
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.u32(content, MAGIC_AT)? {
        HASH_MAGIC => Some((order, true)),
        BTREE_MAGIC => Some((order, false)),
        _ => None,
    })
}

/// Reads the header of every package of the hash.
pub(super) fn read(content: &[u8], intake: &mut Intake<'_, '_>) {
    let mut database = match Database::open(content, intake) {
        Ok(database) => database,
        Err(fault) => return intake.fault(fault),
    };
    // Every bucket has a page of its own.
    let bucket_max = u32::try_from(database.pages.count()).unwrap_or(u32::MAX).saturating_sub(1);
    if database.bucket_max > bucket_max {
        intake.fault(Fault::malformed("more buckets than pages", Spot::Database));
    }
    for bucket in 0..=database.bucket_max.min(bucket_max) {
        if let Err(fault) = database.bucket(bucket, intake) {
            intake.fault(fault);
        }
    }
}

struct Database<'a> {
    order: Order,
    pages: Pages<'a>,
    bucket_max: u32,
    /// Buckets are added in groups that double their count; this is what is added to the number of a bucket of each
    /// group for the number of its page.
    spares: [u32; 32],
    /// A header that lies on several pages.
    scratch: Vec<u8>,
}

/// A page, with its number and its header taken apart.
struct Page<'a> {
    number: u32,
    bytes: &'a [u8],
    next: u32,
    entries: u16,
    /// On an overflow page the length of what lies on it.
    offset: u16,
    kind: u8,
}

impl<'a> Database<'a> {
    /// Reads the first page. Notes when the file is shorter than it says.
    fn open(content: &'a [u8], intake: &mut Intake<'_, '_>) -> Result<Self, Fault> {
        let malformed = |what| Fault::malformed(what, Spot::Database);
        let meta = content.get(..META_BYTES).ok_or(malformed("the file is cut off"))?;
        let (order, is_hash) = order_of(meta).ok_or(malformed("not a Berkeley DB hash"))?;
        let number = |at| order.u32(meta, at).unwrap_or_default();
        if !is_hash {
            return Err(Fault::unsupported("a b-tree, which is not supported"));
        }
        if !(8..=10).contains(&number(16)) {
            return Err(Fault::unsupported("a version of the file format that is not supported"));
        }
        if meta[24] != 0 || meta[26] & 1 != 0 {
            return Err(Fault::unsupported("encryption or checksums, which are not supported"));
        }
        let page_bytes = usize::try_from(number(20)).unwrap_or(usize::MAX);
        if meta[25] != PAGE_HASH_META || !is_page_size(page_bytes) {
            return Err(malformed("a first page that describes no hash"));
        }
        let pages = Pages::new(content, page_bytes, 0);
        let is_short = usize::try_from(number(32)).map_or(true, |last| last >= pages.count());
        if is_short || !content.len().is_multiple_of(page_bytes) {
            intake.fault(malformed("the file is cut off"));
        }
        let spares = std::array::from_fn(|at| number(96 + 4 * at));
        Ok(Self { order, pages, bucket_max: number(72), spares, scratch: Vec::new() })
    }

    fn page(&mut self, number: u32) -> Result<Page<'a>, Fault> {
        let bytes = self.pages.take(number)?;
        let long = |at| self.order.u32(bytes, at).unwrap_or_default();
        let short = |at| self.order.u16(bytes, at).unwrap_or_default();
        let page = Page { number, bytes, next: long(16), entries: short(20), offset: short(22), kind: bytes[25] };
        // A page of a bucket that nothing was ever put into may be all zeros.
        let is_blank = page.kind == PAGE_UNUSED && page.entries == 0 && page.next == 0;
        if long(8) != number && !is_blank {
            return Err(Fault::malformed("a page that carries another number", Spot::Page(number.into())));
        }
        Ok(page)
    }

    /// Reads the pages of a bucket.
    fn bucket(&mut self, bucket: u32, intake: &mut Intake<'_, '_>) -> Result<(), Fault> {
        // Bucket 0 is group 0, bucket 1 group 1, buckets 2 and 3 group 2, 4 to 7 group 3, …
        let group = u32::BITS - bucket.leading_zeros();
        let spare = usize::try_from(group).ok().and_then(|group| self.spares.get(group));
        let number = spare.and_then(|spare| bucket.checked_add(*spare));
        let mut next = number.ok_or(Fault::malformed("more buckets than pages", Spot::Database))?;
        loop {
            let page = self.page(next)?;
            match page.kind {
                PAGE_HASH | PAGE_HASH_UNSORTED => self.items(&page, intake),
                PAGE_UNUSED if page.entries == 0 => {}
                _ => return Err(Fault::malformed("not a page of a hash", Spot::Page(next.into()))),
            }
            if page.next == 0 {
                return Ok(());
            }
            next = page.next;
        }
    }

    /// Reads the pairs of a key and a value on a page. Items lie one before the other from the end of the page.
    fn items(&mut self, page: &Page<'a>, intake: &mut Intake<'_, '_>) {
        let mut end = page.bytes.len();
        let start_min = PAGE_HEADER_BYTES + 2 * usize::from(page.entries);
        let mut key = None;
        for index in 0..usize::from(page.entries) {
            let start = self.order.u16(page.bytes, PAGE_HEADER_BYTES + 2 * index).map(usize::from);
            let Some(start) = start.filter(|start| (start_min..end).contains(start)) else {
                return intake.fault(Fault::malformed("items that overlap", Spot::Page(page.number.into())));
            };
            let item = &page.bytes[start..end];
            end = start;
            match key.take() {
                None => key = Some(item),
                Some(key) => {
                    if let Err(fault) = self.pair(page.number, key, item, intake) {
                        intake.fault(fault);
                    }
                }
            }
        }
        if key.is_some() {
            intake.fault(Fault::malformed("a key without a value", Spot::Page(page.number.into())));
        }
    }

    fn pair(&mut self, page: u32, key: &[u8], value: &'a [u8], intake: &mut Intake<'_, '_>) -> Result<(), Fault> {
        let spot = Spot::Page(page.into());
        let [ITEM_HERE, number @ ..] = key else {
            return Err(Fault::malformed("a key that is no package number", spot));
        };
        let number = (number.len() == 4).then(|| self.order.u32(number, 0)).flatten();
        let number = number.ok_or(Fault::malformed("a key that is no package number", spot))?;
        // Under number 0 the highest number that was given out is kept.
        if number == 0 {
            return Ok(());
        }
        match value {
            [ITEM_HERE, header @ ..] => intake.header(number.into(), header),
            [ITEM_ELSEWHERE, ..] => {
                let header = self.elsewhere(number, value)?;
                intake.header(number.into(), header);
            }
            _ => return Err(Fault::malformed("a value of a type that is not known", Spot::Package(number.into()))),
        }
        Ok(())
    }

    /// Puts together a value that lies on overflow pages.
    fn elsewhere(&mut self, package: u32, item: &[u8]) -> Result<&[u8], Fault> {
        let fault = |what| Fault::malformed(what, Spot::Package(package.into()));
        let (next, length) =
            self.order.u32(item, 4).zip(self.order.u32(item, 8)).ok_or(fault("a value that is cut off"))?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.pages.file_bytes());
        let length = length.ok_or(fault("a value that is larger than the file"))?;
        self.scratch.clear();
        let mut next = next;
        while next != 0 {
            let page = self.page(next)?;
            let end = PAGE_HEADER_BYTES + usize::from(page.offset);
            let part = page.bytes.get(PAGE_HEADER_BYTES..end).filter(|_| page.kind == PAGE_OVERFLOW);
            let part = part.ok_or(Fault::malformed("not a page of a value", Spot::Page(next.into())))?;
            self.scratch.extend_from_slice(part);
            next = page.next;
        }
        if self.scratch.len() == length {
            Ok(&self.scratch)
        } else {
            Err(fault("a value of another length than it says"))
        }
    }
}
