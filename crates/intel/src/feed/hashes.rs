//! Lists of SHA-256 digests of known bad files, in files named `*hashes*`: `hashes-<file stem>`.
//!
//! CSV `sha256,name,source` (a header line is allowed), or one digest per line. Lines that begin with `#` are remarks.

use super::{Document, Feed, Parsed, SUMMARY_CHARS_MAX, Scope, feed_id};
use crate::meta::{FeedId, FeedKind};
use crate::record::Listed;
use model::Digest;

/// Reads hash lists.
pub(super) struct Hashes;

impl Feed for Hashes {
    fn kind(&self) -> FeedKind {
        FeedKind::Hashes
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let name = document.file_name();
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        let first = document.bytes.trim_ascii_start().first()?;
        // Markup and JSON are no lists, whatever the file is called.
        let is_text = !matches!(first, b'<' | b'{' | b'[') && !document.bytes.contains(&0);
        (is_text && stem.to_ascii_lowercase().contains("hashes")).then(|| feed_id(&format!("hashes-{stem}")))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let id = self.recognise(document).ok_or("it is not a list of digests")?;
        let mut parsed = Parsed::new(id, FeedKind::Hashes, Scope::Part);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(document.bytes);
        for (index, row) in reader.byte_records().enumerate() {
            let row = row.map_err(|e| format!("it is not a CSV file: {e}"))?;
            let text = |at: usize| row.get(at).map(String::from_utf8_lossy).unwrap_or_default();
            let digest = text(0);
            let digest = digest.strip_prefix("sha256:").unwrap_or(&digest);
            if digest.is_empty() || (index == 0 && digest.eq_ignore_ascii_case("sha256")) {
                continue;
            }
            match Digest::from_hex(digest) {
                Ok(digest) => parsed.digests.push((digest, listed(&text(1), &text(2)))),
                Err(why) => parsed.broken.push(format!("line {}: {why}", row.position().map_or(0, |p| p.line()))),
            }
        }
        match (parsed.digests.is_empty(), parsed.broken.first()) {
            (true, Some(first)) => Err(format!("not one line of it has a SHA-256 digest; {first}")),
            (true, None) => Err("the list is empty".to_owned()),
            (false, _) => Ok(vec![parsed]),
        }
    }
}

fn listed(name: &str, source: &str) -> Listed {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(SUMMARY_CHARS_MAX).collect::<String>();
    let name = clean(name);
    Listed {
        name: if name.is_empty() { "known bad file".to_owned() } else { name },
        source: Some(clean(source)).filter(|source| !source.is_empty()),
    }
}
