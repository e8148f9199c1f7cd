//! Lists of digests of known bad files, in files named `*hashes*`: `hashes-<file stem>`.
//!
//! Text: CSV, with a header line that names its columns (`sha256` or `sha256_hash`, `name` or `signature` or
//! `file_name`, `source` or `reporter`) or as `digest,name,source` without one; one digest per line is the shortest
//! form. Lines that begin with `#` are remarks. JSON: an array of digests or of objects with the same names as fields,
//! or an object with such an array as `hashes` or `data`.
//!
//! Files are known by their SHA-256. Rows that only have a SHA-1 or an MD5 are counted, because nothing can be looked
//! up by them.

use super::{Document, Feed, Parsed, SUMMARY_CHARS_MAX, Scope, feed_id};
use crate::meta::{FeedId, FeedKind};
use crate::record::Listed;
use model::Digest;
use serde_json::{Map, Value};

/// Reads hash lists.
pub(super) struct Hashes;

/// How many broken rows are named one by one.
const BROKEN_MAX: usize = 1_000;
const DIGEST_FIELDS: [&str; 6] = ["sha256", "sha256_hash", "hash", "sha1", "sha1_hash", "md5"];
const WEAK_FIELDS: [&str; 4] = ["sha1", "sha1_hash", "md5", "md5_hash"];
const NAME_FIELDS: [&str; 4] = ["name", "signature", "malware", "file_name"];
const SOURCE_FIELDS: [&str; 2] = ["source", "reporter"];

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
        match (parsed.digests.is_empty(), parsed.broken.first(), parsed.skipped.is_empty()) {
            (false, _, _) => Ok(vec![parsed]),
            (true, Some(first), _) => Err(format!("not one line of it has a SHA-256 digest; {first}")),
            (true, None, false) => Err("not one line of it has a SHA-256 digest, only weaker ones".to_owned()),
            (true, None, true) => Err("the list is empty".to_owned()),
        }
    }
}

/// Which column of a table is which.
struct Columns {
    digest: usize,
    name: Option<usize>,
    source: Option<usize>,
}

impl Columns {
    const BARE: Self = Self { digest: 0, name: Some(1), source: Some(2) };

    /// Reads a header; `None` for a row that is none.
    fn of(row: &csv::ByteRecord) -> Option<Self> {
        let cells: Vec<String> = row.iter().map(|cell| clean(&String::from_utf8_lossy(cell)).to_lowercase()).collect();
        let find = |names: &[&str]| names.iter().find_map(|name| cells.iter().position(|cell| cell == name));
        Some(Self { digest: find(&DIGEST_FIELDS)?, name: find(&NAME_FIELDS), source: find(&SOURCE_FIELDS) })
    }
}

fn read_text(bytes: &[u8], parsed: &mut Parsed) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut columns = Columns::BARE;
    for (index, row) in reader.byte_records().enumerate() {
        let row = row.map_err(|e| format!("it is not a CSV file: {e}"))?;
        if let (0, Some(found)) = (index, Columns::of(&row)) {
            columns = found;
            continue;
        }
        let text = |at: usize| row.get(at).map(String::from_utf8_lossy).unwrap_or_default();
        let digest = text(columns.digest);
        if !digest.is_empty() {
            let optional = |at: Option<usize>| at.map(&text).unwrap_or_default();
            let line = row.position().map_or(0, |position| position.line());
            add(&digest, &optional(columns.name), &optional(columns.source), &format!("line {line}"), parsed);
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
                let digest = text(&DIGEST_FIELDS);
                let digest = if digest.is_empty() { text(&WEAK_FIELDS) } else { digest };
                add(digest, text(&NAME_FIELDS), text(&SOURCE_FIELDS), &place, parsed);
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
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
    match (Digest::from_hex(hex), hex.len()) {
        (Ok(digest), _) => parsed.digests.push((digest, listed(name, source))),
        (Err(_), 40) if is_hex => parsed.skip("SHA-1 digest, by which no file is known"),
        (Err(_), 32) if is_hex => parsed.skip("MD5 digest, by which no file is known"),
        (Err(why), _) => broken(format!("{place}: {why}"), parsed),
    }
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
