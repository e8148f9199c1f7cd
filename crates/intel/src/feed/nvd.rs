//! NVD's CVE records: pages of the API 2.0 (`nvd`) and the yearly files in the same form (`nvd-2024`, `nvd-modified`).
//!
//! Field names: NVD's "CVE API" documentation and its JSON schema `cve_api_json_2.0`. What is used: the CVSS vectors,
//! NVD's own apart from those of others, whether a CVE is rejected or disputed, and what its configurations say of
//! software without a package manager ([`configurations`]). All other packages are left to feeds that know them.
//!
//! Several feeds may hold one CVE: the feed whose id sorts last counts, so that `nvd-modified` overrides the years.

use super::configurations::{self, Affected};
use super::{Document, Draft, Feed, Lenient, Parsed, Scope, date, feed_id, nullable, plain, shown, summary};
use crate::compile::pack;
use crate::cvss;
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Rated, Says, Statement, is_cve};
use model::advisory::CvssScore;
use model::{Ecosystem, EcosystemRelease, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Reads NVD's documents.
pub(super) struct Nvd;

/// NVD's name among the sources of a vector.
const OWN_SOURCE: &str = "nvd@nist.gov";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    results_per_page: Option<u64>,
    #[serde(default)]
    timestamp: Option<String>,
    vulnerabilities: Vec<Lenient<Item>>,
}

#[derive(Deserialize)]
struct Item {
    cve: Record,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    descriptions: Vec<Lenient<Description>>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    vuln_status: String,
    #[serde(default, deserialize_with = "nullable")]
    cve_tags: Vec<Tags>,
    #[serde(default, deserialize_with = "nullable")]
    metrics: Metrics,
    #[serde(default, deserialize_with = "configurations::read")]
    configurations: Affected,
}

#[derive(Deserialize)]
struct Description {
    lang: String,
    value: String,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Metrics {
    #[serde(rename = "cvssMetricV40", default, deserialize_with = "nullable")]
    v40: Vec<Lenient<Metric>>,
    #[serde(rename = "cvssMetricV31", default, deserialize_with = "nullable")]
    v31: Vec<Lenient<Metric>>,
    #[serde(rename = "cvssMetricV30", default, deserialize_with = "nullable")]
    v30: Vec<Lenient<Metric>>,
    #[serde(rename = "cvssMetricV2", default, deserialize_with = "nullable")]
    v2: Vec<Lenient<Metric>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    source: String,
    cvss_data: CvssData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CvssData {
    vector_string: String,
}

impl Feed for Nvd {
    fn kind(&self) -> FeedKind {
        FeedKind::Nvd
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        let is_page = outline.has("format") && outline.has("resultsPerPage") && outline.has("startIndex");
        is_page.then(|| {
            let name = document.file_name().to_ascii_lowercase();
            let part = name.split_once("cve-2.0-").map(|(_, rest)| rest.split('.').next().unwrap_or_default());
            let is_part = |part: &&str| *part == "modified" || part.bytes().all(|b| b.is_ascii_digit());
            part.filter(is_part).map_or_else(|| "nvd".to_owned(), |part| feed_id(&format!("nvd-{part}")))
        })
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let id = self.recognise(document).ok_or("it is not a page of NVD's CVE API")?;
        let page: Page = serde_json::from_slice(document.bytes)
            .map_err(|e| format!("it is not a whole page of NVD's CVE API 2.0: {e}"))?;
        let mut parsed = Parsed::new(id, FeedKind::Nvd, Scope::Part);
        let listed = page.vulnerabilities.len() as u64;
        if let Some(count) = page.results_per_page.filter(|count| *count != listed) {
            parsed.broken.push(format!("the page says that it has {count} CVEs and has {listed}"));
        }
        parsed.modified = page.timestamp.as_deref().and_then(date);
        for item in page.vulnerabilities {
            match item {
                Lenient::Good(item) => read(item.cve, &mut parsed),
                Lenient::Bad(IgnoredAny) => parsed.broken.push("a CVE is not in the form it should have".to_owned()),
            }
        }
        Ok(vec![parsed])
    }
}

fn read(mut record: Record, parsed: &mut Parsed) {
    if !is_cve(&record.id) {
        return parsed.broken.push(format!("{:?} is not a CVE id", shown(&record.id)));
    }
    let mut rated = Rated {
        rejected: record.vuln_status == "Rejected",
        disputed: record.cve_tags.iter().flat_map(|tags| &tags.tags).any(|tag| tag == "disputed"),
        ..Rated::default()
    };
    let modified = record.last_modified.as_deref().and_then(date);
    parsed.modified = parsed.modified.max(modified);
    parsed.drafts.extend(draft(&mut record, &rated, modified));
    parsed.broken.extend(record.configurations.broken.iter().map(|why| format!("{}: {why}", record.id)));
    let Metrics { v40, v31, v30, v2 } = record.metrics;
    for metric in v40.into_iter().chain(v31).chain(v30).chain(v2) {
        match metric {
            Lenient::Good(metric) => add(metric, &record.id, &mut rated, parsed),
            Lenient::Bad(IgnoredAny) => parsed.broken.push(format!("{}: a metric has no vector", record.id)),
        }
    }
    cvss::sort(&mut rated.cvss);
    rated.others.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.vector.cmp(&y.vector)));
    rated.others.dedup();
    parsed.singles.push((Key::Rated(record.id), modified, pack(&rated)));
}

/// What a CVE says of packages; `None` when it speaks of none that is known.
fn draft(record: &mut Record, rated: &Rated, modified: Option<Timestamp>) -> Option<Draft> {
    let said = std::mem::take(&mut record.configurations.statements);
    let at = |name: &str| Key::Package(EcosystemRelease::of(Ecosystem::Generic), name.to_owned());
    let statements: Vec<_> =
        said.into_iter().map(|(name, says)| (at(name), Statement::new(Says::Configured(says)))).collect();
    let english = record.descriptions.iter().find_map(|description| match description {
        Lenient::Good(Description { lang, value }) if lang == "en" => summary(value),
        Lenient::Good(_) | Lenient::Bad(IgnoredAny) => None,
    });
    let advisory = Advisory {
        url: Some(format!("https://nvd.nist.gov/vuln/detail/{}", record.id)),
        summary: english,
        published: record.published.as_deref().and_then(date).map(Timestamp::as_second),
        withdrawn: rated.rejected,
        disputed: rated.disputed,
        ..Advisory::new(&*record.id)
    };
    (!statements.is_empty()).then_some(Draft { modified, advisory, statements, rated: None })
}

fn add(metric: Metric, id: &str, rated: &mut Rated, parsed: &mut Parsed) {
    let score: Option<CvssScore> = cvss::score(&metric.cvss_data.vector_string);
    match (score, plain("the source of a vector", &metric.source)) {
        (Some(score), Ok(OWN_SOURCE)) => rated.cvss.push(score),
        (Some(score), Ok(source)) => rated.others.push((source.to_owned(), score)),
        (None, _) => {
            parsed.broken.push(format!("{id}: {:?} is no CVSS vector", shown(&metric.cvss_data.vector_string)))
        }
        (_, Err(why)) => parsed.broken.push(format!("{id}: {why}")),
    }
}
