//! Ends of support from endoflife.date: `end-of-life` for the document of all products, `end-of-life-<product>` for one.
//!
//! Field names: the site's API v1 (`/api/v1/products/full`, `/api/v1/products/<product>`): `eolFrom` is the last day of
//! security fixes for everyone, `eoesFrom` the last day of the support that is sold or given beyond it. Only operating
//! systems are used, those that an os-release `ID` stands for.

use super::{Document, Feed, Lenient, Parsed, Scope, date, feed_id, nullable, plain, shown, summary};
use crate::compile::pack;
use crate::meta::{FeedId, FeedKind};
use crate::record::{Key, Lifecycle};
use model::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Reads the API's documents.
pub(super) struct EndOfLife;

const ID: &str = "end-of-life";

/// The site's names of operating systems, with the os-release `ID`s of images.
const PRODUCTS: [(&str, &[&str]); 16] = [
    ("almalinux", &["almalinux"]),
    ("alpine-linux", &["alpine"]),
    ("alpinelinux", &["alpine"]),
    ("amazon-linux", &["amzn"]),
    ("azure-linux", &["azurelinux", "mariner"]),
    ("centos", &["centos"]),
    ("debian", &["debian"]),
    ("fedora", &["fedora"]),
    ("opensuse", &["opensuse-leap"]),
    ("oracle-linux", &["ol"]),
    ("photon", &["photon"]),
    ("rhel", &["rhel"]),
    ("rocky-linux", &["rocky"]),
    ("sles", &["sles", "sle-bci"]),
    ("ubuntu", &["ubuntu"]),
    ("openeuler", &["openEuler"]),
];

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    generated_at: Option<String>,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(default)]
    total: Option<u64>,
    result: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Lenient<Product>>),
    One(Product),
}

#[derive(Deserialize)]
struct Product {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    label: String,
    #[serde(default, deserialize_with = "nullable")]
    releases: Vec<Lenient<Release>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Release {
    name: String,
    #[serde(default)]
    release_date: Option<String>,
    #[serde(default)]
    eol_from: Option<String>,
    #[serde(default)]
    eoes_from: Option<String>,
}

impl Feed for EndOfLife {
    fn kind(&self) -> FeedKind {
        FeedKind::EndOfLife
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        if !outline.has("schema_version") || !outline.has("result") {
            return None;
        }
        // Of one product the result is an object, whose first key is its name.
        let is_one = outline.inner_keys().any(|key| key == b"name");
        let name = || super::outline::string_field(document.bytes, "name");
        Some(if is_one { feed_id(&format!("{ID}-{}", name().unwrap_or_default())) } else { ID.to_owned() })
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let answer: Answer = serde_json::from_slice(document.bytes)
            .map_err(|e| format!("it is not a whole answer of endoflife.date's API: {e}"))?;
        let (id, products) = match answer.result {
            OneOrMany::Many(products) => (ID.to_owned(), products),
            OneOrMany::One(product) => (feed_id(&format!("{ID}-{}", product.name)), vec![Lenient::Good(product)]),
        };
        let mut parsed = Parsed::new(id, FeedKind::EndOfLife, Scope::Whole);
        parsed.modified = answer.generated_at.or(answer.last_modified).as_deref().and_then(date);
        let listed = products.len() as u64;
        if let Some(total) = answer.total.filter(|total| *total != listed) {
            parsed.broken.push(format!("the answer says that it has {total} products and has {listed}"));
        }
        for product in products {
            match product {
                Lenient::Good(product) => read(product, &mut parsed),
                Lenient::Bad(IgnoredAny) => {
                    parsed.broken.push("a product is not in the form it should have".to_owned())
                }
            }
        }
        Ok(vec![parsed])
    }
}

fn read(product: Product, parsed: &mut Parsed) {
    let Some((_, ids)) = PRODUCTS.iter().find(|(name, _)| *name == product.name) else {
        return parsed.skip("product that is no supported operating system");
    };
    let label = summary(&product.label).unwrap_or_else(|| shown(&product.name));
    for release in product.releases {
        match release {
            Lenient::Good(release) => match lifecycle(&release, &label) {
                Ok(Some(lifecycle)) => parsed.singles.extend(ids.iter().map(|id| {
                    let key = Key::Lifecycle((*id).to_owned(), release.name.clone());
                    (key, None, pack(&lifecycle))
                })),
                Ok(None) => parsed.skip("release without an end of support"),
                Err(why) => parsed.broken.push(format!("{label} {}: {why}", shown(&release.name))),
            },
            Lenient::Bad(IgnoredAny) => {
                parsed.broken.push(format!("{label}: a release is not in the form it should have"))
            }
        }
    }
}

fn lifecycle(release: &Release, label: &str) -> Result<Option<Lifecycle>, String> {
    plain("a release's name", &release.name)?;
    let day = |what: &str, text: &Option<String>| match text {
        Some(text) => {
            let found: Option<Timestamp> = date(text);
            found.map(|at| Some(at.as_second())).ok_or_else(|| format!("{what} is not a date: {:?}", shown(text)))
        }
        None => Ok(None),
    };
    let Some(until) = day("eolFrom", &release.eol_from)? else { return Ok(None) };
    let released = day("releaseDate", &release.release_date)?;
    if released.is_some_and(|released| released > until) {
        return Err("its support ends before it begins".to_owned());
    }
    let extended_until = day("eoesFrom", &release.eoes_from)?.filter(|day| *day > until);
    Ok(Some(Lifecycle { name: label.to_owned(), released, until, extended_until }))
}
