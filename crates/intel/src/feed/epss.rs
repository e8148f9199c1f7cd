//! FIRST's Exploit Prediction Scoring System, the daily file: `epss`.
//!
//! CSV `cve,epss,percentile`, with a line `#model_version:…,score_date:…` before it since 2022; the first year's files
//! have neither that line nor percentiles (FIRST, "EPSS Data and Statistics"). One day is the whole feed.

use super::{Document, Feed, Parsed, Scope, date, shown};
use crate::compile::pack;
use crate::meta::{FeedId, FeedKind};
use crate::record::{Key, Likelihood, is_cve};

/// Reads the daily file.
pub(super) struct Epss;

const ID: &str = "epss";
/// More rows than there are CVEs by an order of magnitude.
const ROWS_MAX: usize = 5_000_000;
/// How many broken rows are named one by one.
const BROKEN_MAX: usize = 1_000;

impl Feed for Epss {
    fn kind(&self) -> FeedKind {
        FeedKind::Epss
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let mut lines = document.bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.next()?;
        let header = if first.starts_with(b"#model_version:") { lines.next()? } else { first };
        header.starts_with(b"cve,epss").then(|| ID.to_owned())
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        // Rows need not be of one length, so that a missing end shows nowhere else.
        if document.bytes.last() != Some(&b'\n') {
            return Err("its last line is cut short".to_owned());
        }
        let mut parsed = Parsed::new(ID.to_owned(), FeedKind::Epss, Scope::Whole);
        let text = std::str::from_utf8(document.bytes).map_err(|e| format!("it is not text: {e}"))?;
        for (index, line) in text.lines().enumerate() {
            if index >= ROWS_MAX {
                return Err(format!("it has more than {ROWS_MAX} lines"));
            }
            if let Some(remark) = line.strip_prefix('#') {
                parsed.modified = remark.split(',').find_map(|part| date(part.strip_prefix("score_date:")?));
            } else if !line.starts_with("cve,") && !line.trim().is_empty() {
                read(line, &mut parsed);
            }
        }
        match (parsed.singles.is_empty(), parsed.broken.first()) {
            (true, Some(why)) => Err(format!("not one line of it can be read; {why}")),
            (true, None) => Err("it has no scores".to_owned()),
            (false, _) => Ok(vec![parsed]),
        }
    }
}

fn read(line: &str, parsed: &mut Parsed) {
    let mut fields = line.trim_end().split(',');
    let (cve, score) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let probability = score.parse::<f64>().ok().filter(|score| (0.0..=1.0).contains(score));
    match probability.filter(|_| is_cve(cve)) {
        Some(probability) => {
            parsed.singles.push((Key::Likely(cve.to_owned()), None, pack(&Likelihood { probability })));
        }
        None if parsed.broken.len() < BROKEN_MAX => parsed.broken.push(format!("{:?} is no score", shown(line))),
        None => parsed.skip("broken row after the first thousand"),
    }
}
