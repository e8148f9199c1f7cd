//! Photon OS's CVE lists: `photon-4.0`.
//!
//! An array of rows `cve_id`, `pkg`, `cve_score`, `aff_ver`, `res_ver`, `status`, one document per release
//! (`cve_data_photon4.0.json`). Which release it is for is in the builds (`8.16.0-1.ph4`) and in the file's name. Rows
//! without a CVE (`UNK-1`, `BDSA-…`) name nothing that anybody else knows and are left out.

use super::{Document, Draft, Feed, Lenient, Parsed, Scope, add_version, feed_id, plain, shown};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Says, Statement, is_cve};
use model::{Ecosystem, EcosystemRelease, Severity};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Reads Photon's lists.
pub(super) struct Photon;

/// How far the fields of the first row are looked for.
const HEAD_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
struct Row {
    cve_id: String,
    pkg: String,
    #[serde(default)]
    cve_score: Option<f64>,
    #[serde(default)]
    res_ver: String,
    status: String,
}

impl Feed for Photon {
    fn kind(&self) -> FeedKind {
        FeedKind::Photon
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let head = document.bytes.trim_ascii_start();
        let head = &head[..head.len().min(HEAD_BYTES_MAX)];
        let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
        let is_list = head.first() == Some(&b'[') && has("\"cve_id\"") && has("\"pkg\"") && has("\"aff_ver\"");
        is_list.then(|| feed_id(&format!("photon-{}", release(document).unwrap_or_else(|| "unknown".to_owned()))))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let release = release(document).ok_or("neither a build in it nor its name says for which release it is")?;
        let rows: Vec<Lenient<Row>> = serde_json::from_slice(document.bytes)
            .map_err(|e| format!("it is not a whole CVE list of Photon OS: {e}"))?;
        let mut parsed = Parsed::new(feed_id(&format!("photon-{release}")), FeedKind::Photon, Scope::Whole);
        let release = EcosystemRelease { ecosystem: Ecosystem::PhotonOs, release: Some(release) };
        let mut found: BTreeMap<String, BTreeMap<String, (Says, Option<Severity>)>> = BTreeMap::new();
        for row in rows {
            match row {
                Lenient::Good(row) if is_cve(&row.cve_id) => match says(&row) {
                    Ok(says) => add(found.entry(row.cve_id.clone()).or_default(), &row, says),
                    Err(why) => parsed.broken.push(format!("{} {}: {why}", row.cve_id, shown(&row.pkg))),
                },
                Lenient::Good(_) => parsed.skip("row without a CVE"),
                Lenient::Bad(IgnoredAny) => parsed.broken.push("a row is not in the form it should have".to_owned()),
            }
        }
        if found.is_empty() {
            return Err(match parsed.broken.first() {
                Some(why) => format!("not one row of it can be read; {why}"),
                None => "it has no CVE".to_owned(),
            });
        }
        let draft = |(cve, packages): (String, BTreeMap<String, (Says, Option<Severity>)>)| {
            let statement = |(name, (says, rating))| {
                (Key::Package(release.clone(), name), Statement { rating, ..Statement::new(says) })
            };
            let statements = packages.into_iter().map(statement).collect();
            Draft { modified: None, advisory: Advisory::new(cve), statements, rated: None }
        };
        parsed.drafts = found.into_iter().map(draft).collect();
        Ok(vec![parsed])
    }
}

fn add(known: &mut BTreeMap<String, (Says, Option<Severity>)>, row: &Row, says: Says) {
    let rating = row.cve_score.filter(|score| (0.1..=10.0).contains(score)).map(Severity::from_cvss);
    match (known.get_mut(&row.pkg), says) {
        (Some((Says::FixedIn(versions), _)), Says::FixedIn(more)) => {
            more.into_iter().for_each(|version| add_version(versions, version));
        }
        (Some((Says::FixedIn(_), _)), Says::NotAffected | Says::Undetermined(_)) => {}
        (_, says) => drop(known.insert(row.pkg.clone(), (says, rating))),
    }
}

fn says(row: &Row) -> Result<Says, String> {
    plain("a package's name", &row.pkg)?;
    match row.status.as_str() {
        "Fixed" if row.res_ver == "NA" => Ok(Says::Undetermined("fixed, without saying in which version".to_owned())),
        "Fixed" => Ok(Says::FixedIn(vec![plain("res_ver", &row.res_ver)?.to_owned()])),
        "Not Affected" => Ok(Says::NotAffected),
        other => Err(format!("unknown status {:?}", shown(other))),
    }
}

/// `photon4.0` in the name, or `.ph4` at the end of a build.
fn release(document: &Document<'_>) -> Option<String> {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let of_build = memchr::memmem::find_iter(document.bytes, b".ph").find_map(|at| {
        let rest = &document.bytes[at + 3..];
        let count = digits(rest);
        let ends = matches!(rest.get(count), Some(b'"' | b' '));
        (ends && (1..=2).contains(&count)).then(|| format!("{}.0", String::from_utf8_lossy(&rest[..count])))
    });
    of_build.or_else(|| {
        let (_, rest) = document.file_name().split_once("photon")?;
        let count = digits(rest.as_bytes());
        (count > 0 && rest[count..].starts_with(".0")).then(|| format!("{}.0", &rest[..count]))
    })
}
