//! CISA's catalogue of known exploited vulnerabilities: `cisa-kev`.
//!
//! Field names: the catalogue's JSON schema. It names CVEs, not packages: it enriches what other feeds say.

use super::{Document, Feed, Lenient, Parsed, Scope, date};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Exploited, is_cve};
use serde::Deserialize;

/// Reads the catalogue.
pub(super) struct Kev;

const ID: &str = "cisa-kev";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Catalogue {
    #[serde(default)]
    date_released: Option<String>,
    #[serde(default)]
    count: Option<u64>,
    vulnerabilities: Vec<Lenient<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve: String,
    date_added: String,
    #[serde(default)]
    due_date: Option<String>,
    #[serde(default)]
    known_ransomware_campaign_use: Option<String>,
}

impl Feed for Kev {
    fn kind(&self) -> FeedKind {
        FeedKind::Kev
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        let is_kev = outline.has("catalogVersion") && (outline.has("vulnerabilities") || outline.has("dateReleased"));
        is_kev.then(|| ID.to_owned())
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let catalogue: Catalogue =
            serde_json::from_slice(document.bytes).map_err(|e| format!("it is not a whole KEV catalogue: {e}"))?;
        let listed = catalogue.vulnerabilities.len() as u64;
        let mut parsed = Parsed::new(ID.to_owned(), FeedKind::Kev, Scope::Whole);
        if let Some(count) = catalogue.count.filter(|count| *count != listed) {
            parsed.broken.push(format!("the catalogue says that it has {count} entries and has {listed}"));
        }
        parsed.modified = catalogue.date_released.as_deref().and_then(date);
        for entry in catalogue.vulnerabilities {
            match read(entry) {
                Ok((cve, exploited)) => drop(parsed.exploited.insert(cve, exploited)),
                Err(why) => parsed.broken.push(why),
            }
        }
        Ok(vec![parsed])
    }
}

fn read(entry: Lenient<Entry>) -> Result<(String, Exploited), String> {
    let Lenient::Good(entry) = entry else { return Err("an entry is not in the form it should have".to_owned()) };
    let id: String = entry.cve.chars().take(40).collect();
    if !is_cve(&entry.cve) {
        return Err(format!("{id:?} is not a CVE id"));
    }
    let added = date(&entry.date_added).ok_or_else(|| format!("{id}: dateAdded is not a date"))?;
    let exploited = Exploited {
        added: added.as_second(),
        due: entry.due_date.as_deref().and_then(date).map(|due| due.as_second()),
        ransomware: entry.known_ransomware_campaign_use.as_deref() == Some("Known"),
    };
    Ok((entry.cve, exploited))
}
