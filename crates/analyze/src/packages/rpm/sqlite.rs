//! RPM's database in SQLite: a table `Packages` with the columns `hnum` and `blob`. Read with a b-tree reader of our own
//! ("Database File Format", sections 1.2, 1.3, 1.6 and 2): a library in C has no business with hostile files.
//!
//! Not here: indexes, the list of free pages, SQL, and the write-ahead log, apart from telling that one is in use.

use super::pages::{Order, Pages, is_page_size};
use super::{Fault, Intake, Spot};

/// The first bytes of the file.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";

/// The size of the file's header, in bytes.
const HEADER_BYTES: usize = 100;
/// The table that holds the schema begins on the first page.
const SCHEMA_ROOT: u32 = 1;
const TABLE: &[u8] = b"Packages";

/// Reads every row of `Packages`.
pub(super) fn read(content: &[u8], intake: &mut Intake<'_, '_>) {
    let mut database = match Database::open(content, intake) {
        Ok(database) => database,
        Err(fault) => return intake.fault(fault),
    };
    let mut root = None;
    database.walk(SCHEMA_ROOT, &mut |row| match row.and_then(|row| row.root_of(TABLE)) {
        Ok(found) => root = root.or(found),
        Err(fault) => intake.fault(fault),
    });
    let Some(root) = root else {
        return intake.fault(Fault::malformed("no table of packages", Spot::Database));
    };
    database.walk(root, &mut |row| match row.and_then(|row| Ok((row.number, row.blob()?))) {
        Ok((number, blob)) => intake.header(number, blob),
        Err(fault) => intake.fault(fault),
    });
}

/// Does a write-ahead log hold a frame (section 4.1)? A log that was emptied, or made and never written to, has none.
pub(super) fn log_has_frames(content: &[u8]) -> bool {
    const FRAME_AT: usize = 32;
    let magic = Order::Big.u32(content, 0);
    let salt = content.get(16..24);
    matches!(magic, Some(0x377f_0682 | 0x377f_0683))
        && salt.is_some()
        && content.get(FRAME_AT + 8..FRAME_AT + 16) == salt
}

/// A row of a table: its number, and its record.
#[derive(Debug, Clone, Copy)]
struct Row<'r> {
    number: u64,
    record: &'r [u8],
}

/// A value of a record (section 2.1), as far as it is of interest.
enum Value<'r> {
    Integer(i64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
    Other,
}

impl<'r> Row<'r> {
    /// The value of a column, counted from 0.
    fn value(&self, column: usize) -> Result<Value<'r>, Fault> {
        value(self.record, column).ok_or(Fault::malformed("a row that is cut off", Spot::Package(self.number)))
    }

    /// Where the table `name` begins, if this row of the schema describes it (section 2.6).
    fn root_of(&self, name: &[u8]) -> Result<Option<u32>, Fault> {
        let fault = |what| Fault::malformed(what, Spot::Page(SCHEMA_ROOT.into()));
        let text = |column| match value(self.record, column) {
            Some(Value::Text(text)) => Ok(text),
            Some(Value::Integer(_) | Value::Blob(_) | Value::Other) | None => Err(fault("a schema that is broken")),
        };
        if text(0)? != b"table" || !text(1)?.eq_ignore_ascii_case(name) {
            return Ok(None);
        }
        match value(self.record, 3) {
            Some(Value::Integer(root)) => u32::try_from(root).map(Some).map_err(|_| fault("a schema that is broken")),
            Some(Value::Text(_) | Value::Blob(_) | Value::Other) | None => Err(fault("a schema that is broken")),
        }
    }

    /// The second column: the header of a package. The first is the row's number, and not kept in the record.
    fn blob(&self) -> Result<&'r [u8], Fault> {
        match self.value(1)? {
            Value::Blob(blob) => Ok(blob),
            Value::Integer(_) | Value::Text(_) | Value::Other => {
                Err(Fault::malformed("a row without a header", Spot::Package(self.number)))
            }
        }
    }
}

/// One column of a record: a list of types, then the values.
fn value(record: &[u8], column: usize) -> Option<Value<'_>> {
    let (types_end, mut at) = varint(record)?;
    let types = record.get(..usize::try_from(types_end).ok()?)?;
    let mut start = types.len();
    for current in 0..=column {
        let (kind, bytes) = varint(types.get(at..)?)?;
        at += bytes;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            text_or_blob => (text_or_blob - 12) / 2,
        };
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let bytes = record.get(start..end)?;
        if current == column {
            return Some(match kind {
                0 | 7 => Value::Other,
                1..=6 => Value::Integer(integer(bytes)),
                8 | 9 => Value::Integer(i64::from(kind == 9)),
                kind if kind % 2 == 0 => Value::Blob(bytes),
                _ => Value::Text(bytes),
            });
        }
        start = end;
    }
    None
}

/// A number with a sign, the highest byte first.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte))
}

/// A number of one to nine bytes (section 1.6), and how many they are.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for at in 0..8 {
        let byte = *bytes.get(at)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    Some((number << 8 | u64::from(*bytes.get(8)?), 9))
}

struct Database<'a> {
    pages: Pages<'a>,
    /// Bytes of a page that are not reserved for extensions.
    usable: usize,
    /// A record that lies on several pages.
    scratch: Vec<u8>,
}

/// A page of a table's b-tree.
struct Node<'a> {
    number: u32,
    page: &'a [u8],
    /// Where the cells lie.
    cells: &'a [[u8; 2]],
    /// The last child; leaves have none.
    last: Option<u32>,
}

/// A cell of a leaf: a row, of which only the beginning may be here.
struct Cell<'a> {
    number: u64,
    record_bytes: usize,
    here: &'a [u8],
    /// The page on which the rest begins.
    rest: Option<u32>,
    /// The size of the cell itself.
    bytes: usize,
}

impl<'a> Database<'a> {
    /// Reads the header (section 1.3). Notes when the file is shorter than it says.
    fn open(content: &'a [u8], intake: &mut Intake<'_, '_>) -> Result<Self, Fault> {
        let header = content.get(..HEADER_BYTES).ok_or(Fault::malformed("a header that is cut off", Spot::Database))?;
        let number = |at| Order::Big.u32(header, at).unwrap_or_default();
        let page_bytes = match Order::Big.u16(header, 16) {
            Some(1) => 65_536,
            size => usize::from(size.unwrap_or_default()),
        };
        let usable = page_bytes.saturating_sub(header[20].into());
        if !is_page_size(page_bytes) || usable < 480 {
            return Err(Fault::malformed("a page size that SQLite does not have", Spot::Database));
        }
        if header[19] > 2 {
            return Err(Fault::unsupported("a version of the file format that is not supported"));
        }
        if number(56) > 1 {
            return Err(Fault::unsupported("texts that are not in UTF-8, which is not supported"));
        }
        let pages = Pages::new(content, page_bytes, 1);
        // The header's own count of pages holds when the same change wrote both (section 1.3.7).
        let is_counted = number(24) == number(92);
        let is_short = is_counted && usize::try_from(number(28)).is_ok_and(|count| pages.count() < count);
        if is_short || !content.len().is_multiple_of(page_bytes) {
            intake.fault(Fault::malformed("the file is cut off", Spot::Database));
        }
        Ok(Self { pages, usable, scratch: Vec::new() })
    }

    /// Shows every row of a table, in order, or what is wrong.
    fn walk(&mut self, root: u32, visit: &mut dyn FnMut(Result<Row<'_>, Fault>)) {
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            match self.node(number) {
                Err(fault) => visit(Err(fault)),
                Ok(node) if node.last.is_none() => self.leaf(&node, visit),
                Ok(node) => {
                    waiting.extend(node.last);
                    let children = node.cells.iter().rev().map(|cell| Order::Big.u32(node.page, offset(*cell)));
                    waiting.extend(children.map(Option::unwrap_or_default));
                }
            }
        }
    }

    /// A page of a table (section 1.6).
    fn node(&mut self, number: u32) -> Result<Node<'a>, Fault> {
        let page = &self.pages.take(number)?[..self.usable];
        let fault = |what| Fault::malformed(what, Spot::Page(number.into()));
        let start = if number == 1 { HEADER_BYTES } else { 0 };
        let (cells_at, last) = match page[start] {
            13 => (start + 8, None),
            5 => (start + 12, Order::Big.u32(page, start + 8)),
            _ => return Err(fault("not a page of a table")),
        };
        let count = Order::Big.u16(page, start + 3).unwrap_or_default();
        let cells = page.get(cells_at..cells_at + 2 * usize::from(count));
        let cells = cells.ok_or(fault("more cells than there is room for"))?.as_chunks().0;
        Ok(Node { number, page, cells, last })
    }

    fn leaf(&mut self, node: &Node<'a>, visit: &mut dyn FnMut(Result<Row<'_>, Fault>)) {
        let mut room = node.page.len();
        for cell in node.cells {
            let fault = |what| Fault::malformed(what, Spot::Page(node.number.into()));
            match self.cell(node.page, offset(*cell)).ok_or(fault("a cell that is cut off")) {
                Err(fault) => visit(Err(fault)),
                Ok(cell) if cell.bytes > room => return visit(Err(fault("cells that overlap"))),
                Ok(cell) => {
                    room -= cell.bytes;
                    visit(self.record(&cell).map(|record| Row { number: cell.number, record }));
                }
            }
        }
    }

    /// A cell of a leaf. How much of the record lies in it follows from the record's size (section 1.6).
    fn cell(&self, page: &'a [u8], at: usize) -> Option<Cell<'a>> {
        let cell = page.get(at..)?;
        let (record_bytes, size_bytes) = varint(cell)?;
        let (number, number_bytes) = varint(&cell[size_bytes..])?;
        let record_bytes = usize::try_from(record_bytes).ok()?;
        let start = size_bytes + number_bytes;
        let whole_max = self.usable - 35;
        if record_bytes <= whole_max {
            let here = cell.get(start..start + record_bytes)?;
            return Some(Cell { number, record_bytes, here, rest: None, bytes: start + record_bytes });
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let best = least + (record_bytes - least) % (self.usable - 4);
        let end = start + if best <= whole_max { best } else { least };
        let rest = Some(Order::Big.u32(cell, end)?);
        Some(Cell { number, record_bytes, here: &cell[start..end], rest, bytes: end + 4 })
    }

    /// The whole record of a cell, put together from its pages where there are several.
    fn record(&mut self, cell: &Cell<'a>) -> Result<&[u8], Fault> {
        let Some(mut next) = cell.rest else { return Ok(cell.here) };
        let fault = |what| Fault::malformed(what, Spot::Package(cell.number));
        if cell.record_bytes > self.pages.file_bytes() {
            return Err(fault("a row that is larger than the file"));
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(cell.here);
        while self.scratch.len() < cell.record_bytes {
            let page = self.pages.take(next)?;
            next = Order::Big.u32(page, 0).unwrap_or_default();
            let missing = cell.record_bytes - self.scratch.len();
            self.scratch.extend_from_slice(&page[4..self.usable][..missing.min(self.usable - 4)]);
        }
        Ok(&self.scratch)
    }
}

/// Where a cell lies on its page.
fn offset(cell: [u8; 2]) -> usize {
    u16::from_be_bytes(cell).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_numbers_are_read() {
        let check = |bytes: &[u8], expect: Option<(u64, usize)>| assert_eq!(varint(bytes), expect, "{bytes:?}");
        check(&[0x00], Some((0, 1)));
        check(&[0x7f, 0xff], Some((127, 1)));
        check(&[0x81, 0x00], Some((128, 2)));
        check(&[0xff; 9], Some((u64::MAX, 9)));
        check(&[0xff; 8], None);
        check(&[], None);
        assert_eq!(integer(&[0xff]), -1);
        assert_eq!(integer(&[0x01, 0x00]), 256);
        assert_eq!(integer(&[0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN);
        assert_eq!(integer(&[]), 0);
    }

    #[test]
    fn sqlite_log_is_in_use_when_a_frame_carries_its_salt() {
        let mut log = vec![0; 32 + 24 + 512];
        log[..4].copy_from_slice(&0x377f_0682_u32.to_be_bytes());
        log[16..24].copy_from_slice(b"saltsalt");
        assert!(!log_has_frames(&log));
        log[40..48].copy_from_slice(b"saltsalt");
        assert!(log_has_frames(&log));
        assert!(!log_has_frames(&log[..32]));
        assert!(!log_has_frames(&[0; 64]));
        assert!(!log_has_frames(b""));
    }
}
