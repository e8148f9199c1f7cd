//! Lists of digests of known bad files, in files named `*hashes*`: `hashes-<file stem>`.
//!
//! Text: CSV, with a header line that names its columns (`sha256` or `sha256_hash`, `sha1`, `md5`, `name` or `signature`
//! or `file_name`, `source` or `reporter`) or as `digest,name,source` without one; one digest per line is the shortest
//! form. Lines that begin with `#` are remarks; one that names columns counts as a header, as in the exports of
//! MalwareBazaar (bazaar.abuse.ch/export). JSON: an array of digests or of objects with the same names as fields, or an
//! object with such an array as `hashes` or `data`.
//!
//! A row counts by the strongest digest that it has. Every file that is worth a digest is known by its SHA-256; by SHA-1
//! and MD5 only those are known for which a package database needs them, so rows without a SHA-256 are counted apart.

use super::{Document, Feed, Parsed, SUMMARY_CHARS_MAX, Scope, feed_id};
use crate::meta::{FeedId, FeedKind};
use crate::record::Listed;
use model::Digest;
use model::checksum::{Checksum, ChecksumAlgorithm};
use serde_json::{Map, Value};

/// Reads hash lists.
pub(super) struct Hashes;

/// How many broken rows are named one by one.
const BROKEN_MAX: usize = 1_000;
/// Remarks in which a header is looked for.
const REMARKS_MAX: usize = 100;
/// Strongest first.
const DIGEST_FIELDS: [&str; 7] = ["sha256", "sha256_hash", "hash", "sha1", "sha1_hash", "md5", "md5_hash"];
const NAME_FIELDS: [&str; 4] = ["name", "signature", "malware", "file_name"];
const SOURCE_FIELDS: [&str; 2] = ["source", "reporter"];

/// Why a row without a SHA-256 cannot be matched with every file.
const SHA1_ALONE: &str = "known by SHA-1 alone: matched only with programs in system folders of layers that apk fills, or \
                          that show no package manager";
const MD5_ALONE: &str = "known by MD5 alone: matched only with programs in system folders of layers that dpkg fills, or that \
                         show no package manager";

impl Feed for Hashes {
    fn kind(&self) -> FeedKind {
        FeedKind::Hashes
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let name = document.file_name();
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        let first = document.bytes.trim_ascii_start().first()?;
        // Markup is no list, whatever the file is called; JSON is one when it says so of itself.
        let is_json = matches!(first, b'{' | b'[');
        let is_list = if is_json {
            memchr::memmem::find(document.bytes, b"sha256").is_some() || name.ends_with("hashes.json")
        } else {
            *first != b'<' && !document.bytes.contains(&0)
        };
        (is_list && stem.to_ascii_lowercase().contains("hashes")).then(|| feed_id(&format!("hashes-{stem}")))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let id = self.recognise(document).ok_or("it is not a list of digests")?;
        let mut parsed = Parsed::new(id, FeedKind::Hashes, Scope::Part);
        if matches!(document.bytes.trim_ascii_start().first(), Some(b'{' | b'[')) {
            read_json(document.bytes, &mut parsed)?;
        } else {
            read_text(document.bytes, &mut parsed)?;
        }
        match (parsed.digests.is_empty(), parsed.broken.first()) {
            (false, _) => Ok(vec![parsed]),
            (true, Some(first)) => Err(format!("not one line of it has a digest; {first}")),
            (true, None) => Err("the list is empty".to_owned()),
        }
    }
}

/// Which columns of a table may say what, best first.
struct Columns {
    digest: Vec<usize>,
    name: Vec<usize>,
    source: Vec<usize>,
}

impl Columns {
    fn bare() -> Self {
        Self { digest: vec![0], name: vec![1], source: vec![2] }
    }

    /// Reads a header; `None` for a row that is none.
    fn of(row: &csv::ByteRecord) -> Option<Self> {
        let cells: Vec<String> = row.iter().map(|cell| cell_text(cell).to_lowercase()).collect();
        let find = |names: &[&str]| -> Vec<usize> {
            names.iter().filter_map(|name| cells.iter().position(|cell| cell == name)).collect()
        };
        let digest = find(&DIGEST_FIELDS);
        (!digest.is_empty()).then(|| Self { digest, name: find(&NAME_FIELDS), source: find(&SOURCE_FIELDS) })
    }

    /// A header that stands in a remark: the first line that names a column for digests and another one.
    fn of_remarks(bytes: &[u8]) -> Option<Self> {
        let remarks = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).take_while(|l| l.is_empty() || l[0] == b'#');
        let read = |line: &[u8]| {
            let text = line.strip_prefix(b"#")?.trim_ascii();
            let row = reader(text).byte_records().next()?.ok()?;
            Self::of(&row).filter(|_| row.len() > 1)
        };
        remarks.take(REMARKS_MAX).find_map(read)
    }
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).comment(Some(b'#')).trim(csv::Trim::All).from_reader(bytes)
}

/// A cell without the quotation marks that a blank in front of them keeps, and without "n/a".
fn cell_text(cell: &[u8]) -> String {
    let text = clean(&String::from_utf8_lossy(cell));
    let text = text.trim().trim_matches('"').trim();
    if text.eq_ignore_ascii_case("n/a") { String::new() } else { text.to_owned() }
}

fn read_text(bytes: &[u8], parsed: &mut Parsed) -> Result<(), String> {
    let mut columns = Columns::of_remarks(bytes).unwrap_or_else(Columns::bare);
    for (index, row) in reader(bytes).byte_records().enumerate() {
        let row = row.map_err(|e| format!("it is not a CSV file: {e}"))?;
        if let (0, Some(found)) = (index, Columns::of(&row)) {
            columns = found;
            continue;
        }
        let text = |columns: &[usize]| {
            let mut cells = columns.iter().filter_map(|at| row.get(*at)).map(cell_text);
            cells.find(|cell| !cell.is_empty()).unwrap_or_default()
        };
        let digest = text(&columns.digest);
        if !digest.is_empty() {
            let line = row.position().map_or(0, |position| position.line());
            add(&digest, &text(&columns.name), &text(&columns.source), &format!("line {line}"), parsed);
        }
    }
    Ok(())
}

fn read_json(bytes: &[u8], parsed: &mut Parsed) -> Result<(), String> {
    let whole: Value = serde_json::from_slice(bytes).map_err(|e| format!("it is not a whole list: {e}"))?;
    let list = match whole {
        Value::Array(list) => list,
        Value::Object(mut fields) => ["hashes", "data"]
            .into_iter()
            .find_map(|name| match fields.remove(name) {
                Some(Value::Array(list)) => Some(list),
                Some(_) | None => None,
            })
            .ok_or("it has no array of digests")?,
        _ => return Err("it has no array of digests".to_owned()),
    };
    for (index, entry) in list.iter().enumerate() {
        let place = format!("entry {}", index + 1);
        match entry {
            Value::String(digest) => add(digest, "", "", &place, parsed),
            Value::Object(fields) => {
                let text = |names: &[&str]| names.iter().find_map(|name| string(fields, name)).unwrap_or_default();
                add(text(&DIGEST_FIELDS), text(&NAME_FIELDS), text(&SOURCE_FIELDS), &place, parsed);
            }
            _ => broken(format!("{place}: it is not a digest"), parsed),
        }
    }
    Ok(())
}

fn string<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn add(digest: &str, name: &str, source: &str, place: &str, parsed: &mut Parsed) {
    let prefixes = ["sha256:", "sha1:", "md5:"];
    let hex = prefixes.iter().find_map(|prefix| digest.strip_prefix(prefix)).unwrap_or(digest);
    let weak = |algorithm| Checksum::from_hex(algorithm, hex.as_bytes());
    let key = match Digest::from_hex(hex) {
        Ok(digest) => digest,
        Err(why) => {
            let sha1 = weak(ChecksumAlgorithm::Sha1).map(|checksum| (checksum, SHA1_ALONE));
            let found = sha1.or_else(|| weak(ChecksumAlgorithm::Md5).map(|checksum| (checksum, MD5_ALONE)));
            let Some((checksum, limit)) = found else { return broken(format!("{place}: {why}"), parsed) };
            parsed.limit(limit);
            checksum.key()
        }
    };
    parsed.digests.push((key, listed(name, source)));
}

fn broken(what: String, parsed: &mut Parsed) {
    if parsed.broken.len() < BROKEN_MAX {
        parsed.broken.push(what);
    } else {
        parsed.skip("broken row after the first thousand");
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SUMMARY_CHARS_MAX).collect()
}

fn listed(name: &str, source: &str) -> Listed {
    let name = clean(name);
    Listed {
        name: if name.is_empty() { "known bad file".to_owned() } else { name },
        source: Some(clean(source)).filter(|source| !source.is_empty()),
    }
}
