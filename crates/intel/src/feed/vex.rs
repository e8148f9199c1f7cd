//! Canonical's OpenVEX documents about Ubuntu: `ubuntu-vex`.
//!
//! A document is one CVE or one security notice; a statement says one thing about many products (OpenVEX 0.2.0,
//! "Statement"). The products with `arch=source` and a `distro` are source packages of a release, `esm-infra/xenial` of
//! its support for subscribers of Ubuntu Pro; the others repeat them for each binary package. Their version is the fixed
//! one where the status is `fixed`, else the newest of the release.

use super::purl::PurlParts;
use super::{
    Document, Draft, Feed, Lenient, Parsed, Scope, add_version, cves_in, date, nullable, plain, shown, summary,
    web_page,
};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Level, Says, Statement, Stream};
use model::advisory::Outlook;
use model::{Ecosystem, EcosystemRelease, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Reads OpenVEX documents.
pub(super) struct Vex;

const ID: &str = "ubuntu-vex";

#[derive(Deserialize)]
struct OpenVex {
    metadata: Metadata,
    statements: Vec<Lenient<Stated>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "@id", default, deserialize_with = "nullable")]
    id: String,
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Stated {
    vulnerability: Vulnerability,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    products: Vec<Product>,
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    action_statement: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    description: String,
    #[serde(default, deserialize_with = "nullable")]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(rename = "@id")]
    id: String,
}

impl Feed for Vex {
    fn kind(&self) -> FeedKind {
        FeedKind::Vex
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        let has = |text: &str| memchr::memmem::find(document.bytes, text.as_bytes()).is_some();
        let is_vex = outline.has("metadata") && has("openvex.dev/ns") && has("\"Canonical Ltd.\"");
        (is_vex && (outline.has("statements") || !outline.is_complete())).then(|| ID.to_owned())
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let vex: OpenVex =
            serde_json::from_slice(document.bytes).map_err(|e| format!("it is not a whole OpenVEX document: {e}"))?;
        let mut parsed = Parsed::new(ID.to_owned(), FeedKind::Vex, Scope::Part);
        parsed.modified = vex.metadata.timestamp.as_deref().and_then(date);
        let id = vex.metadata.id.rsplit('/').next().unwrap_or_default();
        let mut collected = Collected::default();
        for stated in vex.statements {
            let said = match stated {
                Lenient::Good(stated) => collected.add(&stated, &mut parsed),
                Lenient::Bad(IgnoredAny) => Err("a statement is not in the form it should have".to_owned()),
            };
            if let Err(why) = said {
                parsed.broken.push(format!("{}: {why}", shown(id)));
            }
        }
        match (collected.advisory, parsed.broken.first()) {
            (None, Some(why)) => return Err(format!("not one statement of it can be read; {why}")),
            (None, None) => parsed.skip("document without a statement"),
            (Some(advisory), _) => {
                let statements = collected.packages.into_iter().map(|(at, says)| statement(at, says)).collect();
                parsed.drafts.push(Draft { modified: parsed.modified, advisory, statements, rated: None });
            }
        }
        Ok(vec![parsed])
    }
}

/// Release, stream and source package.
type At = (EcosystemRelease, Option<Stream>, String);

/// What the statements of one document say together. They are all about one vulnerability.
#[derive(Default)]
struct Collected {
    advisory: Option<Advisory>,
    packages: BTreeMap<At, Says>,
}

impl Collected {
    fn add(&mut self, stated: &Stated, parsed: &mut Parsed) -> Result<(), String> {
        let name = plain("the vulnerability's name", &stated.vulnerability.name)?;
        if self.advisory.is_none() {
            self.advisory = Some(advisory(name, stated));
        }
        for product in &stated.products {
            let Some(purl) = PurlParts::read(&product.id).filter(|purl| purl.qualifier("arch") == Some("source"))
            else {
                continue;
            };
            let Some((release, stream)) = purl.qualifier("distro").and_then(release) else {
                parsed.skip("product that is not a package of a supported release");
                continue;
            };
            let at = (release, stream, plain("a package's name", &purl.name)?.to_owned());
            let says = says(stated, &purl)?;
            match (self.packages.get_mut(&at), says) {
                (Some(Says::FixedIn(known)), Says::FixedIn(more)) => {
                    more.into_iter().for_each(|version| add_version(known, version));
                }
                // A fix says more than that there is none.
                (Some(Says::FixedIn(_)), _) => {}
                (_, says) => drop(self.packages.insert(at, says)),
            }
        }
        Ok(())
    }
}

fn advisory(name: &str, stated: &Stated) -> Advisory {
    let is_notice = !name.starts_with("CVE-");
    let page = if is_notice {
        format!("https://ubuntu.com/security/notices/{name}")
    } else {
        format!("https://ubuntu.com/security/{name}")
    };
    let mut advisory = Advisory::new(name);
    // A CVE's aliases are addresses of pages about it, a notice's are its CVEs.
    if is_notice {
        let cves: std::collections::BTreeSet<String> =
            stated.vulnerability.aliases.iter().flat_map(|alias| cves_in(alias)).collect();
        advisory.cves = cves.into_iter().collect();
    }
    Advisory {
        url: web_page(&page),
        summary: summary(&stated.vulnerability.description),
        published: stated.timestamp.as_deref().and_then(date).map(Timestamp::as_second),
        is_erratum: is_notice,
        ..advisory
    }
}

/// OpenVEX 0.2.0, "Status labels". Whether a fix will come is said in words.
fn says(stated: &Stated, purl: &PurlParts) -> Result<Says, String> {
    Ok(match stated.status.as_str() {
        "fixed" => match &purl.version {
            Some(version) => Says::FixedIn(vec![plain("a version", version)?.to_owned()]),
            None => Says::Undetermined("fixed, without saying in which version".to_owned()),
        },
        "not_affected" => Says::NotAffected,
        "under_investigation" => Says::Undetermined("under investigation".to_owned()),
        "affected" => {
            let words = stated.action_statement.to_ascii_lowercase();
            let outlook = if words.contains("deferred") || words.contains("postponed") {
                Outlook::Deferred
            } else if words.contains("ignored") || words.contains("will not be fixed") || words.contains("end of life")
            {
                Outlook::WillNotFix
            } else {
                Outlook::Open
            };
            Says::Open { outlook, note: summary(&stated.action_statement).filter(|_| outlook != Outlook::Open) }
        }
        other => return Err(format!("unknown status {:?}", shown(other))),
    })
}

fn statement((release, stream, name): At, says: Says) -> (Key, Statement) {
    (Key::Package(release, name), Statement { level: Level::Source, stream, ..Statement::new(says) })
}

/// `jammy`, or `esm-apps/bionic`. Builds for FIPS and real-time kernels are packages of their own.
fn release(distro: &str) -> Option<(EcosystemRelease, Option<Stream>)> {
    let (kind, codename) = distro.rsplit_once('/').map_or((None, distro), |(kind, codename)| (Some(kind), codename));
    let stream = match kind {
        None => None,
        Some(kind) if kind.starts_with("esm-") => Some(super::release::ubuntu_pro()),
        Some(_) => return None,
    };
    let number = NUMBERS.iter().find(|(name, _)| *name == codename)?.1;
    Some((EcosystemRelease { ecosystem: Ecosystem::Ubuntu, release: Some(number.to_owned()) }, stream))
}

/// Ubuntu's releases by codename (Ubuntu wiki, "Releases").
const NUMBERS: [(&str, &str); 27] = [
    ("precise", "12.04"),
    ("quantal", "12.10"),
    ("raring", "13.04"),
    ("saucy", "13.10"),
    ("trusty", "14.04"),
    ("utopic", "14.10"),
    ("vivid", "15.04"),
    ("wily", "15.10"),
    ("xenial", "16.04"),
    ("yakkety", "16.10"),
    ("zesty", "17.04"),
    ("artful", "17.10"),
    ("bionic", "18.04"),
    ("cosmic", "18.10"),
    ("disco", "19.04"),
    ("eoan", "19.10"),
    ("focal", "20.04"),
    ("groovy", "20.10"),
    ("hirsute", "21.04"),
    ("impish", "21.10"),
    ("jammy", "22.04"),
    ("kinetic", "22.10"),
    ("lunar", "23.04"),
    ("mantic", "23.10"),
    ("noble", "24.04"),
    ("oracular", "24.10"),
    ("plucky", "25.04"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distro_qualifiers_name_release_and_support() {
        let check = |distro: &str, expect: &str, is_pro: bool| {
            let found = release(distro).map(|(release, stream)| (release.to_string(), stream.is_some()));
            assert_eq!(found.unwrap_or_default(), (expect.to_owned(), is_pro), "{distro}");
        };
        check("jammy", "Ubuntu:22.04", false);
        check("esm-infra-legacy/trusty", "Ubuntu:14.04", true);
        check("esm-apps/bionic", "Ubuntu:18.04", true);
        check("fips-updates/focal", "", false);
        check("unknown", "", false);
    }
}
