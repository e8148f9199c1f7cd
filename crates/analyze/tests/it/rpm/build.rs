//! Builders of RPM databases: the same headers as SQLite, as NDB and as a Berkeley DB hash.

/// A package as a header describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) epoch: Option<u32>,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) arch: Option<&'static str>,
    pub(crate) source: Option<String>,
    pub(crate) license: Option<&'static str>,
    pub(crate) module: Option<&'static str>,
    /// Folder, with a slash at its end, and name.
    pub(crate) files: Vec<(&'static str, &'static str)>,
    /// Bytes of a script, to make the header larger.
    pub(crate) filler: usize,
    /// More values, behind the others, which they replace.
    pub(crate) more: Vec<(u32, Value)>,
}

/// A value of a header: its type, its count and its bytes.
pub(crate) type Value = (u32, usize, Vec<u8>);

pub(crate) fn text(text: &str) -> Value {
    (6, 1, [text.as_bytes(), b"\0"].concat())
}

fn texts<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Value {
    (8, texts.clone().count(), texts.flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect())
}

pub(crate) fn numbers(numbers: &[u32]) -> Value {
    (4, numbers.len(), numbers.iter().flat_map(|number| number.to_be_bytes()).collect())
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

impl Package {
    /// The line that `rpm -qa` prints with the format of `FORMAT`.
    pub(crate) fn line(&self) -> String {
        let or_none = |text: Option<&str>| text.unwrap_or("(none)").to_owned();
        let Self { name, version, release, .. } = self;
        let (epoch, arch, source) = (self.epoch.unwrap_or(0), or_none(self.arch), or_none(self.source.as_deref()));
        format!("{name} {epoch} {version} {release} {arch} {source} {}", or_none(self.license))
    }

    fn values(&self) -> Vec<(u32, Value)> {
        let mut folders: Vec<&str> = self.files.iter().map(|(folder, _)| *folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let index = |folder: &str| u32_of(folders.iter().position(|known| *known == folder).unwrap());
        let indexes: Vec<u32> = self.files.iter().map(|(folder, _)| index(folder)).collect();
        let mut values = vec![(1000, text(&self.name)), (1001, text(&self.version)), (1002, text(&self.release))];
        values.extend(self.epoch.map(|epoch| (1003, numbers(&[epoch]))));
        values.extend(self.license.map(|license| (1014, text(license))));
        values.push((1021, text("linux")));
        values.extend(self.arch.map(|arch| (1022, text(arch))));
        let script: String = (0..self.filler).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
        values.push((1024, text(&script)));
        values.extend(self.source.as_ref().map(|source| (1044, text(source))));
        if !self.files.is_empty() {
            values.push((1116, numbers(&indexes)));
            values.push((1117, texts(self.files.iter().map(|(_, name)| *name))));
            values.push((1118, texts(folders.iter().copied())));
        }
        values.extend(self.module.map(|module| (5096, text(module))));
        values.extend(self.more.iter().cloned());
        values
    }

    /// The header as databases keep it, with the region mark (tag 63) that rpm asks for.
    pub(crate) fn header(&self) -> Vec<u8> {
        let values = self.values();
        let mut store = Vec::new();
        let mut index = Vec::new();
        let mut entry = |tag: u32, kind: u32, offset: u32, count: usize| {
            index.extend([tag, kind, offset, u32_of(count)].into_iter().flat_map(u32::to_be_bytes));
        };
        let entries = values.len() + 1;
        let mut offsets = Vec::new();
        for (tag, (kind, count, bytes)) in &values {
            if *kind == 4 {
                store.resize(store.len().next_multiple_of(4), 0);
            }
            offsets.push((*tag, *kind, u32_of(store.len()), *count));
            store.extend_from_slice(bytes);
        }
        entry(63, 7, u32_of(store.len()), 16);
        offsets.into_iter().for_each(|(tag, kind, offset, count)| entry(tag, kind, offset, count));
        let trailer = [63, 7, u32_of(entries * 16).wrapping_neg(), 16];
        store.extend(trailer.into_iter().flat_map(u32::to_be_bytes));
        [&u32_of(entries).to_be_bytes()[..], &u32_of(store.len()).to_be_bytes(), &index, &store].concat()
    }
}

/// Packages of every sort: with and without epoch, module, files; headers of 300 bytes to 200 KiB.
pub(crate) fn packages(count: usize) -> Vec<Package> {
    let package = |at: usize| Package {
        name: format!("package-{at:03}"),
        epoch: [None, Some(0), Some(1), None, Some(4_294_967_295)][at % 5],
        version: format!("{}.{}~rc{}", at % 7, at, at % 3),
        release: format!("{}.el{}_{}", at % 11 + 1, at % 3 + 7, at % 4),
        arch: Some(["x86_64", "noarch", "aarch64"][at % 3]),
        source: Some(format!("source-{}-{}-{}.src.rpm", at / 3, at % 7, at % 5 + 1)),
        license: [Some("MIT"), Some("GPLv2+ and BSD"), None][at % 3],
        module: at.is_multiple_of(10).then_some("nodejs:14:8030020201124152102:229f0a1c"),
        files: if at.is_multiple_of(4) {
            vec![("/usr/bin/", "tool"), ("/usr/share/doc/", "README"), ("/usr/bin/", "other")]
        } else {
            Vec::new()
        },
        filler: match at % 50 {
            49 => 200_000,
            at => at * at * 7,
        },
        more: Vec::new(),
    };
    (0..count).map(package).collect()
}

/// The headers, numbered from 1, with a gap where packages were removed.
pub(crate) fn headers(packages: &[Package]) -> Vec<(u32, Vec<u8>)> {
    (1..).zip(packages).map(|(number, package)| (number + number / 10, package.header())).collect()
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// An SQLite database, written by hand ("Database File Format").
pub(crate) struct Sqlite {
    page_bytes: usize,
    pages: Vec<Vec<u8>>,
}

impl Sqlite {
    /// The file: the schema on page 1, an empty table `Name` on page 2, then `Packages`.
    pub(crate) fn build(headers: &[(u32, Vec<u8>)], page_bytes: usize) -> Vec<u8> {
        let mut file = Self { page_bytes, pages: vec![vec![0; page_bytes]; 2] };
        file.pages[1] = file.leaf(0, &[]);
        let cells: Vec<_> =
            headers.iter().map(|(number, header)| (u64::from(*number), file.cell(*number, header))).collect();
        let root = file.tree(cells);
        let sql = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY,blob BLOB NOT NULL)";
        let name = schema_row(
            1,
            "Name",
            2,
            "CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)",
        );
        file.pages[0] = file.leaf(100, &[name, schema_row(2, "Packages", root, sql)]);
        let count = u32_of(file.pages.len()).to_be_bytes();
        let page = &mut file.pages[0];
        put(page, 0, b"SQLite format 3\0");
        let size = if page_bytes == 65_536 { 1 } else { u16::try_from(page_bytes).unwrap() };
        put(page, 16, &size.to_be_bytes());
        put(page, 18, &[1, 1, 0, 64, 32, 32, 0, 0, 0, 1]);
        put(page, 28, &count);
        put(page, 40, &[0, 0, 0, 1, 0, 0, 0, 4]);
        put(page, 56, &[0, 0, 0, 1]);
        put(page, 92, &[0, 0, 0, 1]);
        file.pages.concat()
    }

    fn cell(&mut self, number: u32, header: &[u8]) -> Vec<u8> {
        let types = [vec![0], varint(12 + 2 * header.len())].concat();
        let record = [varint(types.len() + 1), types, header.to_vec()].concat();
        let mut cell = [varint(record.len()), varint(usize::try_from(number).unwrap())].concat();
        let usable = self.page_bytes;
        if record.len() <= usable - 35 {
            cell.extend(record);
            return cell;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let best = least + (record.len() - least) % (usable - 4);
        let (here, rest) = record.split_at(if best <= usable - 35 { best } else { least });
        cell.extend_from_slice(here);
        let parts: Vec<&[u8]> = rest.chunks(usable - 4).collect();
        cell.extend((u32_of(self.pages.len()) + 1).to_be_bytes());
        for (at, part) in parts.iter().enumerate() {
            let next = if at + 1 < parts.len() { u32_of(self.pages.len()) + 2 } else { 0 };
            let mut page = [&next.to_be_bytes()[..], part].concat();
            page.resize(usable, 0);
            self.pages.push(page);
        }
        cell
    }

    /// Cells from the end of the page, their places in order from its start.
    fn node(&self, start: usize, kind: u8, last: &[u8], cells: &[Vec<u8>]) -> Vec<u8> {
        let mut page = vec![0; self.page_bytes];
        let mut end = self.page_bytes;
        let list = start + 8 + last.len();
        for (at, cell) in cells.iter().enumerate() {
            end -= cell.len();
            put(&mut page, end, cell);
            put(&mut page, list + 2 * at, &u16::try_from(end).unwrap().to_be_bytes());
        }
        page[start] = kind;
        put(&mut page, start + 3, &u16::try_from(cells.len()).unwrap().to_be_bytes());
        put(&mut page, start + 5, &u16::try_from(end % 65_536).unwrap().to_be_bytes());
        put(&mut page, start + 8, last);
        page
    }

    fn leaf(&self, start: usize, cells: &[Vec<u8>]) -> Vec<u8> {
        self.node(start, 13, &[], cells)
    }

    /// Leaves, then levels above them until there is one page: the root.
    fn tree(&mut self, cells: Vec<(u64, Vec<u8>)>) -> u32 {
        let room = self.page_bytes - 12;
        let mut level = Vec::new();
        for group in grouped(cells, room) {
            let last = group.last().map_or(0, |(number, _)| *number);
            let page = self.leaf(0, &group.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>());
            self.pages.push(page);
            level.push((last, u32_of(self.pages.len())));
        }
        while level.len() > 1 {
            let cell = |(number, child): (u64, u32)| {
                (number, [&child.to_be_bytes()[..], &varint(usize::try_from(number).unwrap())].concat())
            };
            let groups = grouped(level.into_iter().map(cell).collect(), room);
            level = Vec::new();
            for mut group in groups {
                let (last, child) = group.pop().unwrap();
                let page = self.node(0, 5, &child[..4], &group.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>());
                self.pages.push(page);
                level.push((last, u32_of(self.pages.len())));
            }
        }
        level[0].1
    }
}

/// Cells that fit on a page together, in order. No group but a single one has one cell: a page above needs two children.
fn grouped(cells: Vec<(u64, Vec<u8>)>, room: usize) -> Vec<Vec<(u64, Vec<u8>)>> {
    let mut groups: Vec<Vec<_>> = vec![Vec::new()];
    let mut left = room;
    for cell in cells {
        let bytes = cell.1.len() + 2;
        if bytes > left {
            groups.push(Vec::new());
            left = room;
        }
        left -= bytes;
        groups.last_mut().unwrap().push(cell);
    }
    groups
}

fn schema_row(number: usize, name: &str, root: u32, sql: &str) -> Vec<u8> {
    let kind = |text: &str| varint(13 + 2 * text.len());
    let types = [kind("table"), kind(name), kind(name), vec![4], kind(sql)].concat();
    let values = [b"table", name.as_bytes(), name.as_bytes(), &root.to_be_bytes(), sql.as_bytes()].concat();
    let record = [varint(types.len() + 1), types, values].concat();
    [varint(record.len()), varint(number), record].concat()
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(number & 0x7f).unwrap()];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u64, 0_u64), |(a, b), byte| {
        let a = (a + u64::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    u32::try_from(b << 16 | a).unwrap()
}

/// An NDB file: pages of slots, the first of them free, then blobs with a hole between two of them.
pub(crate) fn ndb(headers: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let slot_pages = (headers.len() + 5).div_ceil(256);
    let mut slots = Vec::new();
    let mut slot = |numbers: [u32; 3]| {
        slots.extend_from_slice(b"Slot");
        slots.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    };
    slot([0, 0, 0]);
    let first = slot_pages * 256;
    let mut blobs: Vec<u8> = Vec::new();
    for (at, (number, header)) in headers.iter().enumerate() {
        if at == 3 {
            blobs.extend([0xaa; 160]);
        }
        let blocks = (16 + header.len() + 12).div_ceil(16);
        slot([*number, u32_of(first + blobs.len() / 16), u32_of(blocks)]);
        let start = blobs.len();
        blobs.extend_from_slice(b"BlbS");
        blobs.extend([*number, 7, u32_of(header.len())].into_iter().flat_map(u32::to_le_bytes));
        blobs.extend_from_slice(header);
        blobs.resize(start + blocks * 16 - 12, 0);
        let sum = adler32(&blobs[start..]);
        blobs.extend([sum, u32_of(header.len())].into_iter().flat_map(u32::to_le_bytes));
        blobs.extend_from_slice(b"BlbE");
    }
    (headers.len() + 3..slot_pages * 256).for_each(|_| slot([0, 0, 0]));
    let mut file = b"RpmP".to_vec();
    file.extend([0, 9, u32_of(slot_pages), 1000, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    [file, slots, blobs].concat()
}

/// A Berkeley DB hash, in either byte order.
pub(crate) struct Bdb {
    big: bool,
    page_bytes: usize,
    pages: Vec<Vec<u8>>,
}

impl Bdb {
    /// The file: `buckets` buckets whose groups of pages lie between overflow pages; headers above a quarter of a page lie
    /// on those, as Berkeley DB has it; a bucket goes on on other pages when one is full.
    pub(crate) fn build(headers: &[(u32, Vec<u8>)], page_bytes: usize, buckets: u32, big: bool) -> Vec<u8> {
        let mut file = Self { big, page_bytes, pages: vec![vec![0; page_bytes]] };
        let groups = u32::BITS - (buckets - 1).leading_zeros() + 1;
        let share = headers.len().div_ceil(usize::try_from(groups).unwrap());
        let mut parts = headers.chunks(share);
        let mut items = vec![(0, file.here(&file.long(1000)))];
        let mut spares = vec![0_u32; 32];
        for group in 0..groups {
            let first = if group == 0 { 0 } else { 1 << (group - 1) };
            spares[usize::try_from(group).unwrap()] = u32_of(file.pages.len()) - first;
            (0..first.max(1)).for_each(|_| file.bucket_page());
            for (number, header) in parts.next().unwrap_or_default() {
                let item = if header.len() > page_bytes / 4 { file.elsewhere(header) } else { file.here(header) };
                items.push((*number, item));
            }
        }
        for (number, value) in items {
            let bucket = number % buckets;
            let spare = spares[usize::try_from(u32::BITS - bucket.leading_zeros()).unwrap()];
            file.insert(bucket + spare, number, &value);
        }
        file.pages.push(vec![0; page_bytes]);
        file.meta(buckets, &spares);
        file.pages.concat()
    }

    fn long(&self, number: u32) -> [u8; 4] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn short(&self, number: usize) -> [u8; 2] {
        let number = u16::try_from(number % 65_536).unwrap();
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn here(&self, bytes: &[u8]) -> Vec<u8> {
        [&[1], bytes].concat()
    }

    fn elsewhere(&mut self, header: &[u8]) -> Vec<u8> {
        let first = u32_of(self.pages.len());
        let parts: Vec<&[u8]> = header.chunks(self.page_bytes - 26).collect();
        for (at, part) in parts.iter().enumerate() {
            let number = first + u32_of(at);
            let next = if at + 1 < parts.len() { number + 1 } else { 0 };
            let previous = if at > 0 { number - 1 } else { 0 };
            let mut page = self.page(number, (previous, next), (1, part.len()), 7);
            put(&mut page, 26, part);
            self.pages.push(page);
        }
        [&[3, 0, 0, 0][..], &self.long(first), &self.long(u32_of(header.len()))].concat()
    }

    fn page(&self, number: u32, (previous, next): (u32, u32), (entries, offset): (usize, usize), kind: u8) -> Vec<u8> {
        let mut page = vec![0; self.page_bytes];
        put(&mut page, 8, &self.long(number));
        put(&mut page, 12, &self.long(previous));
        put(&mut page, 16, &self.long(next));
        put(&mut page, 20, &self.short(entries));
        put(&mut page, 22, &self.short(offset));
        page[25] = kind;
        page
    }

    fn bucket_page(&mut self) {
        let page = self.page(u32_of(self.pages.len()), (0, 0), (0, self.page_bytes), 13);
        self.pages.push(page);
    }

    fn u32_at(&self, page: u32, at: usize) -> u32 {
        let bytes = self.pages[usize::try_from(page).unwrap()][at..at + 4].try_into().unwrap();
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u16_at(&self, page: u32, at: usize) -> usize {
        let bytes = self.pages[usize::try_from(page).unwrap()][at..at + 2].try_into().unwrap();
        usize::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn insert(&mut self, mut number: u32, key: u32, value: &[u8]) {
        let key = self.here(&self.long(key));
        loop {
            let entries = self.u16_at(number, 20);
            let end = if entries == 0 { self.page_bytes } else { self.u16_at(number, 26 + 2 * (entries - 1)) };
            if 26 + 2 * (entries + 2) + key.len() + value.len() <= end {
                let (key_at, value_at) = (end - key.len(), end - key.len() - value.len());
                let (count, places) = (self.short(entries + 2), [self.short(key_at), self.short(value_at)].concat());
                let offset = self.short(value_at);
                let page = &mut self.pages[usize::try_from(number).unwrap()];
                put(page, key_at, &key);
                put(page, value_at, value);
                put(page, 20, &count);
                put(page, 22, &offset);
                put(page, 26 + 2 * entries, &places);
                return;
            }
            let next = self.u32_at(number, 16);
            number = if next == 0 { self.append(number) } else { next };
        }
    }

    /// A further page of a bucket.
    fn append(&mut self, last: u32) -> u32 {
        let number = u32_of(self.pages.len());
        let page = self.page(number, (last, 0), (0, self.page_bytes), 13);
        self.pages.push(page);
        let next = self.long(number);
        put(&mut self.pages[usize::try_from(last).unwrap()], 16, &next);
        number
    }

    fn meta(&mut self, buckets: u32, spares: &[u32]) {
        let high_mask = buckets.next_power_of_two().max(2) - 1;
        let last = u32_of(self.pages.len()) - 1;
        let size = u32_of(self.page_bytes);
        // Magic number, version, size of a page, last page, highest bucket, masks, and the places of the groups.
        let fields = [
            (12, 0x0006_1561),
            (16, 9),
            (20, size),
            (32, last),
            (72, buckets - 1),
            (76, high_mask),
            (80, high_mask >> 1),
        ];
        let places = (0..).zip(spares).map(|(at, spare)| (96 + 4 * at, *spare));
        for (at, number) in fields.into_iter().chain(places) {
            let number = self.long(number);
            put(&mut self.pages[0], at, &number);
        }
        self.pages[0][25] = 8;
    }
}
