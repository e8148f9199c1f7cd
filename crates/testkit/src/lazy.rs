//! Layers that can be read in part: eStargz, zstd:chunked, and gzip layers with a SOCI ztoc.
//!
//! Written after the formats' own documents: `docs/estargz.md` of containerd/stargz-snapshotter,
//! `pkg/chunked/internal/minimal/compression.go` of containers/storage, `ztoc/fbs/ztoc.fbs` and
//! `ztoc/compression/gzip_zinfo.h` of awslabs/soci-snapshotter.

use crate::image::{BuiltLayer, Entry, LayerBuilder, Packing, sha256, write_padded};
use bytes::Bytes;
use serde_json::{Value, json};
use tar::EntryType;

/// How the content of files is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Files are cut into parts of this size.
    pub part_bytes: usize,
    /// eStargz: a stream is not ended before it holds so much (`innerOffset`).
    pub stream_bytes_min: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { part_bytes: 4 << 20, stream_bytes_min: 0 }
    }
}

impl LayerBuilder {
    /// The layer as eStargz.
    pub fn estargz(&self, cut: Cut) -> BuiltLayer {
        self.estargz_with(cut, |_| {})
    }

    /// The same with a table of contents that was changed; its digest is right.
    pub fn estargz_with(&self, cut: Cut, change: impl FnOnce(&mut Value)) -> BuiltLayer {
        let mut writer = Writer::new(Packing::Gzip, cut);
        let mut rows = Vec::new();
        for entry in self.entries() {
            let parts = writer.entry(entry);
            rows.extend(estargz_rows(entry, &parts));
        }
        writer.flush();
        let mut table = json!({ "version": 1, "entries": rows });
        change(&mut table);
        let table = table.to_string().into_bytes();
        let digest = sha256(&table);
        let start = writer.blob.len();
        let file = Entry::file("stargz.index.json", table);
        file.write_headers(&mut writer.pending);
        write_padded(&mut writer.pending, &file.content);
        writer.pending.extend_from_slice(&[0; 1024]);
        writer.flush();
        writer.blob.extend_from_slice(&estargz_footer(start));
        let layer = BuiltLayer::from_blob(
            writer.blob.into(),
            sha256(&writer.plain),
            Packing::Gzip.media_type(),
            self.history(),
        );
        layer.annotation("containerd.io/snapshot/stargz/toc.digest", &digest.to_string())
    }

    /// The layer as zstd:chunked.
    pub fn zstd_chunked(&self, cut: Cut) -> BuiltLayer {
        self.zstd_chunked_with(cut, |_| {})
    }

    /// The same with a table of contents that was changed; its digest is right.
    ///
    /// # Panics
    /// Never: memory is written to.
    pub fn zstd_chunked_with(&self, cut: Cut, change: impl FnOnce(&mut Value)) -> BuiltLayer {
        let mut writer = Writer::new(Packing::Zstd, cut);
        let mut rows = Vec::new();
        for entry in self.entries() {
            let parts = writer.entry(entry);
            rows.extend(zstd_rows(entry, &parts));
        }
        writer.pending.extend_from_slice(&[0; 1024]);
        writer.flush();
        let mut table = json!({ "version": 1, "entries": rows });
        change(&mut table);
        let table = table.to_string().into_bytes();
        let packed = Packing::Zstd.pack(&table);
        skippable(&mut writer.blob, &packed);
        let position = format!("{}:{}:{}:1", writer.blob.len() - packed.len(), packed.len(), table.len());
        let mut footer: Vec<u8> = [writer.blob.len() - packed.len(), packed.len(), table.len(), 1, 0, 0, 0]
            .into_iter()
            .flat_map(|number| (number as u64).to_le_bytes())
            .collect();
        footer.extend_from_slice(b"GNUlInUx");
        skippable(&mut writer.blob, &footer);
        let layer = BuiltLayer::from_blob(
            writer.blob.into(),
            sha256(&writer.plain),
            Packing::Zstd.media_type(),
            self.history(),
        );
        layer
            .annotation("io.github.containers.zstd-chunked.manifest-position", &position)
            .annotation("io.github.containers.zstd-chunked.manifest-checksum", &sha256(&packed).to_string())
    }

    /// A gzip layer and the ztoc about it. Unpacking can begin every `span_bytes` bytes of the archive, seldom where a
    /// byte begins.
    pub fn soci(&self, span_bytes: usize) -> (BuiltLayer, Bytes) {
        let tar = self.tar();
        let packed = gzip_with_places(&tar, span_bytes);
        let ztoc = ztoc(self.entries(), &tar, &packed);
        let layer = BuiltLayer::from_blob(packed.blob.into(), sha256(&tar), Packing::Gzip.media_type(), self.history());
        (layer, ztoc.into())
    }
}

/// The last bytes of an eStargz blob whose table of contents begins at `start`.
pub fn estargz_footer(start: usize) -> Vec<u8> {
    let mut footer = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 26, 0, b'S', b'G', 22, 0];
    footer.extend_from_slice(format!("{start:016x}STARGZ").as_bytes());
    footer.extend_from_slice(&[1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    footer
}

/// Where a part of a file came to lie.
struct Placed {
    offset: usize,
    end: usize,
    inner: usize,
    at: usize,
    bytes: usize,
}

struct Writer {
    packing: Packing,
    cut: Cut,
    blob: Vec<u8>,
    /// What is not packed yet.
    pending: Vec<u8>,
    /// Everything, unpacked.
    plain: Vec<u8>,
}

impl Writer {
    const fn new(packing: Packing, cut: Cut) -> Self {
        Self { packing, cut, blob: Vec::new(), pending: Vec::new(), plain: Vec::new() }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.blob.extend_from_slice(&self.packing.pack(&self.pending));
            self.plain.append(&mut self.pending);
        }
    }

    fn entry(&mut self, entry: &Entry) -> Vec<Placed> {
        entry.write_headers(&mut self.pending);
        let mut placed = Vec::new();
        let mut at = 0;
        for part in entry.content.chunks(self.cut.part_bytes) {
            if self.packing == Packing::Zstd || self.pending.len() >= self.cut.stream_bytes_min {
                self.flush();
            }
            let (offset, inner) = (self.blob.len(), self.pending.len());
            self.pending.extend_from_slice(part);
            if self.packing == Packing::Zstd {
                self.flush();
            }
            placed.push(Placed { offset, end: self.blob.len(), inner, at, bytes: part.len() });
            at += part.len();
        }
        let padding = entry.content.len().next_multiple_of(512) - entry.content.len();
        self.pending.resize(self.pending.len() + padding, 0);
        placed
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryType::Directory => "dir",
        EntryType::Symlink => "symlink",
        EntryType::Link => "hardlink",
        EntryType::Char => "char",
        EntryType::Block => "block",
        EntryType::Fifo => "fifo",
        _ => "reg",
    }
}

fn row(entry: &Entry) -> Value {
    let mut row = json!({
        "name": String::from_utf8_lossy(&entry.path),
        "type": kind(entry),
        "mode": entry.mode,
        "uid": entry.owner.0,
        "gid": entry.owner.1,
        "modtime": "1970-01-01T00:00:00Z",
    });
    if !entry.link.is_empty() {
        row["linkName"] = json!(String::from_utf8_lossy(&entry.link));
    }
    if !entry.content.is_empty() {
        row["size"] = json!(entry.content.len());
        row["digest"] = json!(sha256(&entry.content).to_string());
    }
    row
}

fn estargz_rows(entry: &Entry, parts: &[Placed]) -> Vec<Value> {
    let mut rows = vec![row(entry)];
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            rows.push(json!({ "name": String::from_utf8_lossy(&entry.path), "type": "chunk" }));
        }
        let row = &mut rows[at];
        let content = &entry.content[part.at..part.at + part.bytes];
        row["offset"] = json!(part.offset);
        row["chunkDigest"] = json!(sha256(content).to_string());
        if part.inner > 0 {
            row["innerOffset"] = json!(part.inner);
        }
        if at > 0 {
            row["chunkOffset"] = json!(part.at);
        }
        if at + 1 < parts.len() {
            row["chunkSize"] = json!(part.bytes);
        }
    }
    rows
}

fn zstd_rows(entry: &Entry, parts: &[Placed]) -> Vec<Value> {
    let mut rows = vec![row(entry)];
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            rows.push(json!({ "name": String::from_utf8_lossy(&entry.path), "type": "chunk" }));
        } else {
            rows[0]["endOffset"] = json!(parts.last().map(|last| last.end));
        }
        let row = &mut rows[at];
        row["offset"] = json!(part.offset);
        if parts.len() > 1 {
            let content = &entry.content[part.at..part.at + part.bytes];
            row["chunkOffset"] = json!(part.at);
            row["chunkSize"] = json!(part.bytes);
            row["chunkDigest"] = json!(sha256(content).to_string());
        }
    }
    rows
}

fn skippable(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18]);
    out.extend_from_slice(&u32::try_from(content.len()).expect("a small frame").to_le_bytes());
    out.extend_from_slice(content);
}

/// A gzip member and the places where its blocks begin.
struct WithPlaces {
    blob: Vec<u8>,
    /// Offset of the first whole byte, offset in the plain bytes, bits of the byte before.
    places: Vec<(usize, usize, u8)>,
}

/// Literals and copies from far back in fixed codes (RFC 1951, section 3.2.6), so that blocks end wherever they do.
fn gzip_with_places(plain: &[u8], span_bytes: usize) -> WithPlaces {
    let mut bits = BitWriter { bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], free: 0 };
    let mut places = Vec::new();
    for (at, block) in plain.chunks(span_bytes).enumerate() {
        let start = at * span_bytes;
        places.push((bits.bytes.len(), start, bits.free));
        bits.number(u32::from(start + block.len() == plain.len()), 1);
        bits.number(1, 2);
        let mut here = start;
        while here < start + block.len() {
            let rest = &plain[here..(start + block.len()).min(here + 3)];
            let before = here.checked_sub(WINDOW_BYTES).map(|from| &plain[from..from + 3]);
            if rest.len() == 3 && before == Some(rest) {
                bits.code(1, 7);
                bits.code(29, 5);
                bits.number((1 << 13) - 1, 13);
                here += 3;
            } else {
                match plain[here] {
                    byte @ 0..=143 => bits.code(0x30 + u32::from(byte), 8),
                    byte => bits.code(0x190 + u32::from(byte) - 144, 9),
                }
                here += 1;
            }
        }
        bits.code(0, 7);
    }
    let mut crc = flate2::Crc::new();
    crc.update(plain);
    let mut blob = bits.bytes;
    blob.extend_from_slice(&crc.sum().to_le_bytes());
    blob.extend_from_slice(&u32::try_from(plain.len()).unwrap_or_default().to_le_bytes());
    WithPlaces { blob, places }
}

const WINDOW_BYTES: usize = 32 << 10;

struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not taken.
    free: u8,
}

impl BitWriter {
    fn number(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let last = self.bytes.last_mut().expect("there is a byte");
            *last |= u8::from(value >> at & 1 == 1) << (8 - self.free);
            self.free -= 1;
        }
    }

    fn code(&mut self, code: u32, count: u32) {
        for at in (0..count).rev() {
            self.number(code >> at & 1, 1);
        }
    }
}

fn ztoc(entries: &[Entry], tar: &[u8], packed: &WithPlaces) -> Vec<u8> {
    let blob = &packed.blob;
    let mut checkpoints = u32::try_from(packed.places.len()).expect("few places").to_le_bytes().to_vec();
    checkpoints.extend_from_slice(&4_u64.to_le_bytes());
    let mut digests = Vec::new();
    for (at, &(start, out, bits)) in packed.places.iter().enumerate() {
        checkpoints.extend_from_slice(&(start as u64).to_le_bytes());
        checkpoints.extend_from_slice(&(out as u64).to_le_bytes());
        checkpoints.push(bits);
        let before = &tar[out.saturating_sub(WINDOW_BYTES)..out];
        checkpoints.resize(checkpoints.len() + WINDOW_BYTES - before.len(), 0);
        checkpoints.extend_from_slice(before);
        let end = packed.places.get(at + 1).map_or(blob.len(), |next| next.0);
        digests.push(sha256(&blob[start - usize::from(bits > 0)..end]).to_string());
    }
    let mut flat = FlatWriter::default();
    let mut files = Vec::new();
    let mut position = 0;
    for entry in entries {
        let mut headers = Vec::new();
        entry.write_headers(&mut headers);
        position += headers.len();
        let fields = vec![
            (0, Field::Bytes(entry.path.clone())),
            (1, Field::Bytes(kind(entry).as_bytes().to_vec())),
            (2, Field::Long(position as u64)),
            (3, Field::Long(entry.content.len() as u64)),
            (4, Field::Bytes(entry.link.clone())),
            (5, Field::Long(entry.mode.into())),
            (6, Field::Int(u32::try_from(entry.owner.0).unwrap_or_default())),
            (7, Field::Int(u32::try_from(entry.owner.1).unwrap_or_default())),
        ];
        files.push(fields);
        position += entry.content.len().next_multiple_of(512);
    }
    let digests = digests.into_iter().map(|digest| Field::Bytes(digest.into_bytes())).collect();
    let information = vec![(2, Field::List(digests)), (3, Field::Bytes(checkpoints))];
    let table = vec![(0, Field::List(files.into_iter().map(Field::Table).collect()))];
    flat.root(vec![
        (0, Field::Bytes(b"0.9".to_vec())),
        (2, Field::Long(blob.len() as u64)),
        (3, Field::Long(tar.len() as u64)),
        (4, Field::Table(table)),
        (5, Field::Table(information)),
    ]);
    flat.0
}

/// A value of a FlatBuffer.
enum Field {
    Int(u32),
    Long(u64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Table(Vec<(usize, Self)>),
}

/// Writes a FlatBuffer front to back: what is pointed at comes after what points.
#[derive(Default)]
struct FlatWriter(Vec<u8>);

impl FlatWriter {
    fn root(&mut self, fields: Vec<(usize, Field)>) {
        self.0.extend_from_slice(&[0; 4]);
        self.value(0, Field::Table(fields));
    }

    /// Writes a value at the end and points at it from `from`.
    fn value(&mut self, from: usize, value: Field) {
        let mut at = self.0.len();
        match value {
            Field::Bytes(bytes) => {
                self.0.extend_from_slice(&u32::try_from(bytes.len()).expect("a small list").to_le_bytes());
                self.0.extend_from_slice(&bytes);
            }
            Field::List(values) => {
                self.0.extend_from_slice(&u32::try_from(values.len()).expect("a small list").to_le_bytes());
                let slots = self.0.len();
                self.0.resize(slots + 4 * values.len(), 0);
                for (number, value) in values.into_iter().enumerate() {
                    self.value(slots + 4 * number, value);
                }
            }
            Field::Table(fields) => at = self.table(fields),
            Field::Int(_) | Field::Long(_) => unreachable!("numbers stand in their tables"),
        }
        let distance = u32::try_from(at - from).expect("a small buffer");
        self.0[from..from + 4].copy_from_slice(&distance.to_le_bytes());
    }

    fn table(&mut self, fields: Vec<(usize, Field)>) -> usize {
        let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or_default();
        let list = self.0.len();
        let mut offsets = vec![0_u16; slots];
        let mut end = 4_u16;
        for (slot, field) in &fields {
            offsets[*slot] = end;
            end += if matches!(field, Field::Long(_)) { 8 } else { 4 };
        }
        let list_bytes = u16::try_from(4 + 2 * slots).expect("few fields");
        for number in [list_bytes, end].into_iter().chain(offsets.clone()) {
            self.0.extend_from_slice(&number.to_le_bytes());
        }
        let at = self.0.len();
        self.0.extend_from_slice(&i32::try_from(at - list).expect("few fields").to_le_bytes());
        self.0.resize(at + usize::from(end), 0);
        for (slot, field) in fields {
            let place = at + usize::from(offsets[slot]);
            match field {
                Field::Int(number) => self.0[place..place + 4].copy_from_slice(&number.to_le_bytes()),
                Field::Long(number) => self.0[place..place + 8].copy_from_slice(&number.to_le_bytes()),
                Field::Bytes(_) | Field::List(_) | Field::Table(_) => self.value(place, field),
            }
        }
        at
    }
}
