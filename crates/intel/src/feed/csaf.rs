//! Statements of Red Hat and SUSE in the Common Security Advisory Framework 2.0: `redhat-vex`, `redhat-csaf`, `suse-vex`,
//! `suse-csaf`.
//!
//! A VEX document is one CVE, an advisory document one erratum; both are read alike. The product tree (CSAF 2.0, section
//! 3.2.2) names platforms and components, its relationships put a component on a platform; the product status (section
//! 3.2.3.9) says what holds for such a pair, remediations and threats why and how bad.
//!
//! | status | becomes |
//! |---|---|
//! | `fixed`, `first_fixed`, `recommended` | fixed in the component's version |
//! | `known_affected`, `first_affected`, `last_affected` | affected; the remediation `no_fix_planned` says that it will not be fixed, `none_available` with "deferred" that the fix is put off |
//! | `known_not_affected` | not affected |
//! | `under_investigation` | undecided |
//!
//! Red Hat names source packages where there is no fix (`arch=src`) and installed packages where there is one; a source
//! whose build with the fix is in the same document is not taken as affected. SUSE names installed packages. Modules are
//! in a package URL's `rpmmod`, in a component `nodejs:18/nodejs`, or in a relationship to a module (`pkg:rpmmod/…`).

use super::outline::string_field;
use super::purl::PurlParts;
use super::release::{self, Target};
use super::{
    Document, Draft, Feed, Lenient, Parsed, Scope, add_version, date, feed_id, nullable, plain, rpm_version, shown,
    summary, web_page,
};
use crate::cvss;
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Level, Says, Statement, Stream, is_cve};
use model::advisory::Outlook;
use model::{Ecosystem, EcosystemRelease, Severity};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Reads CSAF documents.
pub(super) struct Csaf;

/// How far the publisher is looked for; it stands in the first object of a document.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How many relationships lead from a product to its platform: a component of a module of a platform is two.
const CHAIN_MAX: usize = 4;
/// How deep the branches of a product tree are nested.
const BRANCHES_DEPTH_MAX: usize = 16;

#[derive(Deserialize)]
struct Csaf20 {
    document: Head,
    #[serde(default)]
    product_tree: Tree,
    #[serde(default, deserialize_with = "nullable")]
    vulnerabilities: Vec<Lenient<Vulnerability>>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default, deserialize_with = "nullable")]
    title: String,
    #[serde(default)]
    aggregate_severity: Option<Text>,
    tracking: Tracking,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Tracking {
    id: String,
    #[serde(default)]
    current_release_date: Option<String>,
    #[serde(default)]
    initial_release_date: Option<String>,
}

#[derive(Deserialize, Default)]
struct Tree {
    #[serde(default, deserialize_with = "nullable")]
    branches: Vec<Branch>,
    #[serde(default, deserialize_with = "nullable")]
    relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(default, deserialize_with = "nullable")]
    branches: Vec<Branch>,
    #[serde(default)]
    product: Option<Product>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    product_identification_helper: Helper,
}

#[derive(Deserialize, Default)]
struct Helper {
    #[serde(default)]
    cpe: Option<String>,
    #[serde(default)]
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Relationship {
    full_product_name: FullName,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    cve: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    title: String,
    #[serde(default)]
    release_date: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    product_status: BTreeMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "nullable")]
    remediations: Vec<Remediation>,
    #[serde(default, deserialize_with = "nullable")]
    threats: Vec<Threat>,
    #[serde(default, deserialize_with = "nullable")]
    scores: Vec<Score>,
    #[serde(default, deserialize_with = "nullable")]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Remediation {
    category: String,
    #[serde(default, deserialize_with = "nullable")]
    details: String,
    #[serde(default, deserialize_with = "nullable")]
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Threat {
    category: String,
    #[serde(default, deserialize_with = "nullable")]
    details: String,
    #[serde(default, deserialize_with = "nullable")]
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    cvss_v3: Option<Vector>,
    #[serde(default)]
    cvss_v2: Option<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    vector_string: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default, deserialize_with = "nullable")]
    category: String,
    #[serde(default, deserialize_with = "nullable")]
    url: String,
}

/// Whose document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    RedHat,
    Suse,
}

impl Vendor {
    fn of(bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
        if !has("\"csaf_version\"") {
            None
        } else if has("\"https://www.redhat.com") {
            Some(Self::RedHat)
        } else if has("\"https://www.suse.com") {
            Some(Self::Suse)
        } else {
            None
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::RedHat => "redhat",
            Self::Suse => "suse",
        }
    }
}

impl Feed for Csaf {
    fn kind(&self) -> FeedKind {
        FeedKind::Csaf
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let vendor = document.outline.has("document").then(|| Vendor::of(document.bytes))??;
        let is_erratum = string_field(document.bytes, "id").is_some_and(|id| !id.starts_with("CVE-"));
        Some(feed_of(vendor, is_erratum))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let vendor = Vendor::of(document.bytes).ok_or("it does not say who published it")?;
        let csaf: Csaf20 =
            serde_json::from_slice(document.bytes).map_err(|e| format!("it is not a whole CSAF document: {e}"))?;
        let id = plain("the document's id", &csaf.document.tracking.id)?;
        let is_erratum = !is_cve(id);
        let mut parsed = Parsed::new(feed_of(vendor, is_erratum), FeedKind::Csaf, Scope::Part);
        let tracking = &csaf.document.tracking;
        parsed.modified = tracking.current_release_date.as_deref().and_then(date);
        let products = Products::of(&csaf.product_tree)?;
        let mut drafts = Vec::new();
        for vulnerability in &csaf.vulnerabilities {
            match vulnerability {
                Lenient::Good(vulnerability) => {
                    let reader = Reader { vendor, csaf: &csaf, products: &products, is_erratum, vulnerability };
                    match reader.draft(&mut parsed) {
                        Ok(draft) => drafts.push(draft),
                        Err(why) => parsed.broken.push(format!("{}: {why}", shown(id))),
                    }
                }
                Lenient::Bad(IgnoredAny) => {
                    parsed.broken.push(format!("{}: a vulnerability is not in the form it should have", shown(id)));
                }
            }
        }
        if drafts.is_empty() {
            match parsed.broken.first() {
                Some(why) => return Err(format!("not one vulnerability of it can be read; {why}")),
                None => parsed.skip("document without a vulnerability"),
            }
        }
        parsed.drafts = if is_erratum { joined(drafts, id) } else { drafts };
        Ok(vec![parsed])
    }
}

fn feed_of(vendor: Vendor, is_erratum: bool) -> FeedId {
    feed_id(&format!("{}-{}", vendor.as_str(), if is_erratum { "csaf" } else { "vex" }))
}

/// An erratum that says the same about all its CVEs is one advisory; else it is one for each.
fn joined(mut drafts: Vec<Draft>, id: &str) -> Vec<Draft> {
    let is_one = drafts.windows(2).all(|pair| pair[0].statements == pair[1].statements);
    if !is_one {
        for draft in &mut drafts {
            draft.advisory.id = format!("{id} ({})", draft.advisory.cves.join(", "));
        }
        return drafts;
    }
    drafts
        .into_iter()
        .reduce(|mut known, more| {
            known.advisory.cves.extend(more.advisory.cves);
            known.advisory.cves.sort();
            known.advisory.cves.dedup();
            known.advisory.rating = known.advisory.rating.max(more.advisory.rating);
            // Each vector is about one of the CVEs, and an advisory cannot say about which.
            known.advisory.cvss.clear();
            known
        })
        .into_iter()
        .collect()
}

/// The product tree by id.
struct Products<'a> {
    products: HashMap<&'a str, &'a Product>,
    relationships: HashMap<&'a str, &'a Relationship>,
}

impl<'a> Products<'a> {
    fn of(tree: &'a Tree) -> Result<Self, String> {
        let mut found = Self { products: HashMap::new(), relationships: HashMap::new() };
        let mut open: Vec<(&Branch, usize)> = tree.branches.iter().map(|branch| (branch, 0)).collect();
        while let Some((branch, depth)) = open.pop() {
            if depth > BRANCHES_DEPTH_MAX {
                return Err(format!("the branches of its product tree are nested deeper than {BRANCHES_DEPTH_MAX}"));
            }
            if let Some(product) = &branch.product {
                found.products.insert(&product.product_id, product);
            }
            open.extend(branch.branches.iter().map(|inner| (inner, depth + 1)));
        }
        for relationship in &tree.relationships {
            found.relationships.insert(&relationship.full_product_name.product_id, relationship);
        }
        Ok(found)
    }

    /// The component, the platform, and the module between them, of a product that a status names.
    fn resolve(&self, id: &str) -> Option<(&'a str, &'a Product, Option<String>)> {
        let relationship = self.relationships.get(id)?;
        let component = relationship.product_reference.as_str();
        let mut at = relationship.relates_to_product_reference.as_str();
        let mut module = None;
        for _ in 0..CHAIN_MAX {
            match self.relationships.get(at) {
                Some(next) => {
                    module = module.or_else(|| self.module(&next.product_reference));
                    at = &next.relates_to_product_reference;
                }
                None => return Some((component, self.products.get(at)?, module)),
            }
        }
        None
    }

    fn purl(&self, component: &str) -> Option<PurlParts> {
        self.products.get(component)?.product_identification_helper.purl.as_deref().and_then(PurlParts::read)
    }

    /// `nodejs:18` of the component `nodejs:18:8090020231212:a75119d5`.
    fn module(&self, component: &str) -> Option<String> {
        match self.purl(component) {
            Some(purl) if purl.kind == "rpmmod" => {
                let stream = purl.version.as_deref()?.split(':').next()?;
                Some(format!("{}:{stream}", purl.name))
            }
            Some(_) => None,
            None => {
                let mut parts = component.split(':');
                Some(format!("{}:{}", parts.next()?, parts.next()?))
            }
        }
    }
}

/// A component of a distribution.
#[derive(Debug, PartialEq, Eq)]
struct Component {
    name: String,
    version: Option<String>,
    is_source: bool,
    module: Option<String>,
}

/// What is collected about one package.
#[derive(Default)]
struct Collected {
    fixed: Vec<String>,
    open: Option<(Outlook, Option<String>)>,
    not_affected: bool,
    undetermined: bool,
    rating: Option<Severity>,
}

/// Release, stream, name, level and module.
type At = (EcosystemRelease, Option<Stream>, String, Level, Option<String>);

struct Reader<'a> {
    vendor: Vendor,
    csaf: &'a Csaf20,
    products: &'a Products<'a>,
    is_erratum: bool,
    vulnerability: &'a Vulnerability,
}

impl Reader<'_> {
    fn draft(&self, parsed: &mut Parsed) -> Result<Draft, String> {
        let Vulnerability { cve, title, release_date, scores, references, .. } = self.vulnerability;
        let head = &self.csaf.document;
        let cve = cve.as_deref().filter(|cve| is_cve(cve));
        let statements = self.statements(parsed)?;
        let vector = |score: &Score| {
            let vector = score.cvss_v3.as_ref().or(score.cvss_v2.as_ref())?;
            cvss::score(&vector.vector_string)
        };
        let mut scores: Vec<_> = scores.iter().filter_map(vector).collect();
        cvss::sort(&mut scores);
        let published =
            head.tracking.initial_release_date.as_ref().filter(|_| self.is_erratum).or(release_date.as_ref());
        let published = published.or(head.tracking.initial_release_date.as_ref());
        let impact = || self.vulnerability.threats.iter().find_map(impact);
        let page = references.iter().find(|r| r.category == "self").and_then(|r| web_page(&r.url));
        let advisory = Advisory {
            cves: cve.map(str::to_owned).into_iter().collect(),
            url: if self.is_erratum { self.erratum_page() } else { page },
            summary: summary(title).or_else(|| summary(&head.title)),
            published: published.and_then(|text| date(text)).map(|at| at.as_second()),
            is_erratum: self.is_erratum,
            cvss: scores,
            rating: head.aggregate_severity.as_ref().and_then(|s| s.text.parse().ok()).or_else(impact),
            ..Advisory::new(&head.tracking.id)
        };
        Ok(Draft { modified: parsed.modified, advisory, statements, rated: None })
    }

    fn erratum_page(&self) -> Option<String> {
        let id = &self.csaf.document.tracking.id;
        (self.vendor == Vendor::RedHat).then(|| web_page(&format!("https://access.redhat.com/errata/{id}")))?
    }

    fn statements(&self, parsed: &mut Parsed) -> Result<Vec<(Key, Statement)>, String> {
        let outlooks = self.outlooks();
        let ratings = self.ratings();
        let mut found: BTreeMap<At, Collected> = BTreeMap::new();
        let mut fixed_sources: BTreeSet<(EcosystemRelease, String, Option<String>)> = BTreeSet::new();
        for (status, ids) in &self.vulnerability.product_status {
            let says_fixed = matches!(status.as_str(), "fixed" | "first_fixed" | "recommended");
            for id in ids {
                let Some((target, component)) = self.product(id, says_fixed) else {
                    parsed.skip("product that is not a package of a supported release");
                    continue;
                };
                let name = plain("a package's name", &component.name)?.to_owned();
                if says_fixed && component.is_source {
                    fixed_sources.insert((target.release, name, component.module));
                    continue;
                }
                let level = if component.is_source { Level::Source } else { Level::Binary };
                let at = (target.release, target.stream, name, level, component.module);
                let known = found.entry(at).or_default();
                known.rating = known.rating.max(ratings.get(id.as_str()).copied());
                match (status.as_str(), component.version) {
                    ("fixed" | "first_fixed" | "recommended", Some(version)) => {
                        add_version(&mut known.fixed, plain("a version", &version)?.to_owned());
                    }
                    ("fixed" | "first_fixed" | "recommended" | "under_investigation", _) => known.undetermined = true,
                    ("known_affected" | "first_affected" | "last_affected", _) => {
                        known.open = Some(outlooks.get(id.as_str()).cloned().unwrap_or((Outlook::Open, None)));
                    }
                    ("known_not_affected", _) => known.not_affected = true,
                    (other, _) => return Err(format!("unknown product status {:?}", shown(other))),
                }
            }
        }
        found.retain(|(release, stream, name, level, module), _| {
            let source = (release.clone(), name.clone(), module.clone());
            *level != Level::Source || stream.is_some() || !fixed_sources.contains(&source)
        });
        add_minor_builds(&mut found);
        Ok(found.into_iter().map(|(at, collected)| statement(at, collected)).collect())
    }

    /// What will become of an affected product, by id.
    fn outlooks(&self) -> HashMap<&str, (Outlook, Option<String>)> {
        let mut found = HashMap::new();
        for remediation in &self.vulnerability.remediations {
            let is_deferred = remediation.details.to_ascii_lowercase().contains("defer");
            let outlook = match remediation.category.as_str() {
                "no_fix_planned" => Outlook::WillNotFix,
                "none_available" if is_deferred => Outlook::Deferred,
                "none_available" => Outlook::Open,
                _ => continue,
            };
            // "Affected" says no more than the status does.
            let note = summary(&remediation.details).filter(|note| note != "Affected");
            found.extend(remediation.product_ids.iter().map(|id| (id.as_str(), (outlook, note.clone()))));
        }
        found
    }

    fn ratings(&self) -> HashMap<&str, Severity> {
        let rated = self.vulnerability.threats.iter().filter_map(|threat| Some((threat, impact(threat)?)));
        rated.flat_map(|(threat, rating)| threat.product_ids.iter().map(move |id| (id.as_str(), rating))).collect()
    }

    fn product(&self, id: &str, says_fixed: bool) -> Option<(Target, Component)> {
        let (component, platform, module) = self.products.resolve(id)?;
        let target = match self.vendor {
            Vendor::RedHat => red_hat(platform.product_identification_helper.cpe.as_deref()?)?,
            Vendor::Suse => suse(&platform.name)?,
        };
        let purl = self.products.purl(component);
        let mut found = match &purl {
            Some(purl) => of_purl(purl)?,
            None => of_text(component, says_fixed)?,
        };
        found.module = found.module.or(module);
        Some((target, found))
    }
}

fn impact(threat: &Threat) -> Option<Severity> {
    (threat.category == "impact").then(|| threat.details.trim().parse().ok())?
}

/// A package that was fixed for several minor releases of one release, `3.9.18-3.el9_4.5` and then `3.9.19-8.el9`, is
/// fixed in the builds of each: those of an older one that have its fix are cleared, though the newest is newer.
fn add_minor_builds(found: &mut BTreeMap<At, Collected>) {
    let mut added: BTreeMap<At, Collected> = BTreeMap::new();
    for ((release, stream, name, level, module), collected) in found.iter() {
        if stream.is_some() || collected.fixed.len() < 2 {
            continue;
        }
        for version in &collected.fixed {
            let Some(stream) = release::minor_of_build(version) else { continue };
            let at = (release.clone(), Some(stream), name.clone(), *level, module.clone());
            let known = added.entry(at).or_default();
            known.rating = collected.rating;
            add_version(&mut known.fixed, version.clone());
        }
    }
    for (at, collected) in added {
        found.entry(at).or_insert(collected);
    }
}

fn statement((release, stream, name, level, module): At, found: Collected) -> (Key, Statement) {
    let says = if !found.fixed.is_empty() {
        Says::FixedIn(found.fixed)
    } else if let Some((outlook, note)) = found.open {
        Says::Open { outlook, note }
    } else if found.not_affected && !found.undetermined {
        Says::NotAffected
    } else {
        Says::Undetermined("under investigation".to_owned())
    };
    (Key::Package(release, name), Statement { level, module, stream, rating: found.rating, ..Statement::new(says) })
}

/// The platform `cpe:/a:redhat:enterprise_linux:9::appstream`; layered products are not those of an image's release.
fn red_hat(cpe: &str) -> Option<Target> {
    let product = cpe.strip_prefix("cpe:/o:redhat:").or_else(|| cpe.strip_prefix("cpe:/a:redhat:"))?;
    release::red_hat(product)
}

/// The platform `SUSE Linux Enterprise Module for Basesystem 15 SP5` or `openSUSE Leap 15.5`.
fn suse(name: &str) -> Option<Target> {
    if let Some(rest) = name.strip_prefix("openSUSE ") {
        let release = rest.strip_prefix("Leap ").or_else(|| Some("Tumbleweed").filter(|t| *t == rest))?;
        let release = EcosystemRelease { ecosystem: Ecosystem::OpenSuse, release: Some(release.to_owned()) };
        return Some(Target { release, stream: None });
    }
    release::suse(name.strip_prefix("SUSE ")?)
}

fn of_purl(purl: &PurlParts) -> Option<Component> {
    let is_source = matches!(purl.qualifier("arch"), Some("src" | "nosrc"));
    match purl.kind.as_str() {
        "rpm" => {
            let version = purl.version.as_deref().map(|version| match version.rsplit_once('-') {
                Some((version, release)) => rpm_version(purl.qualifier("epoch"), version, release),
                None => version.to_owned(),
            });
            let module = purl.qualifier("rpmmod").and_then(|nsvc| {
                let mut parts = nsvc.split(':');
                Some(format!("{}:{}", parts.next()?, parts.next()?))
            });
            // `nodejs:18/nodejs` as a package of that module.
            let of_namespace = purl.namespace.split_once('/').map(|(_, module)| module.to_owned());
            Some(Component { name: purl.name.clone(), version, is_source, module: module.or(of_namespace) })
        }
        // `pkg:rpmmod/redhat/ruby:2.6/ruby` is the source package ruby of that module; others are modules as a whole.
        "rpmmod" => {
            let (_, module) = purl.namespace.split_once('/')?;
            Some(Component { name: purl.name.clone(), version: None, is_source: true, module: Some(module.to_owned()) })
        }
        _ => None,
    }
}

/// A component without a package URL: `samba-libs-4.19.4-1.22` where a version has to be there, else a bare name.
fn of_text(component: &str, says_fixed: bool) -> Option<Component> {
    let bare = Component { name: component.to_owned(), version: None, is_source: false, module: None };
    let split = component.rsplit_once('-').and_then(|(rest, release)| {
        let (name, version) = rest.rsplit_once('-')?;
        let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        (begins(version) && begins(release)).then_some((name, version, release))
    });
    match split {
        Some((name, version, release)) => {
            let version = Some(rpm_version(None, version, release));
            Some(Component { name: name.to_owned(), version, ..bare })
        }
        None if says_fixed => None,
        None => Some(bare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_told_from_their_names() {
        let check = |text: &str, says_fixed: bool, expect: Option<(&str, Option<&str>)>| {
            let found = of_text(text, says_fixed).map(|found| (found.name, found.version));
            let expect = expect.map(|(name, version)| (name.to_owned(), version.map(str::to_owned)));
            assert_eq!(found, expect, "{text}");
        };
        check(
            "samba-libs-4.19.4+git.339.acf1ccaa02-1.22",
            true,
            Some(("samba-libs", Some("4.19.4+git.339.acf1ccaa02-1.22"))),
        );
        check("libdcerpc-binding0-32bit", false, Some(("libdcerpc-binding0-32bit", None)));
        check("libdcerpc-binding0-32bit", true, None);
    }

    #[test]
    fn modules_are_told_from_package_urls() {
        let check = |purl: &str, name: &str, version: Option<&str>, module: Option<&str>, is_source: bool| {
            let found = of_purl(&PurlParts::read(purl).unwrap()).unwrap();
            let expect = Component {
                name: name.to_owned(),
                version: version.map(str::to_owned),
                is_source,
                module: module.map(str::to_owned),
            };
            assert_eq!(found, expect, "{purl}");
        };
        let nodejs =
            "pkg:rpm/redhat/nodejs@18.19.0-1.module%2Bel8.9.0%2B1?arch=x86_64&epoch=1&rpmmod=nodejs:18:8090:a7";
        check(nodejs, "nodejs", Some("1:18.19.0-1.module+el8.9.0+1"), Some("nodejs:18"), false);
        check("pkg:rpmmod/redhat/ruby:2.6/ruby", "ruby", None, Some("ruby:2.6"), true);
        check("pkg:rpm/redhat/libtiff?arch=src", "libtiff", None, None, true);
        check("pkg:rpm/redhat/libtiff@4.4.0-12.el9?arch=x86_64", "libtiff", Some("4.4.0-12.el9"), None, false);
    }

    #[test]
    fn platforms_are_releases() {
        let check = |found: Option<Target>, expect: &str, stream: &str| {
            let (release, name) = found.map_or_else(Default::default, |found| {
                (found.release.to_string(), found.stream.map(|stream| stream.name).unwrap_or_default())
            });
            assert_eq!((release.as_str(), name.as_str()), (expect, stream));
        };
        check(red_hat("cpe:/a:redhat:enterprise_linux:9::appstream"), "Red Hat:9", "");
        check(red_hat("cpe:/o:redhat:rhel_eus:9.2::baseos"), "Red Hat:9", "RHEL EUS 9.2");
        check(red_hat("cpe:/a:redhat:openshift:4.14::el9"), "", "");
        check(suse("openSUSE Leap 15.5"), "openSUSE:15.5", "");
        check(suse("openSUSE Tumbleweed"), "openSUSE:Tumbleweed", "");
        check(suse("SUSE Linux Enterprise Module for Basesystem 15 SP5"), "SUSE:15.5", "");
        check(suse("SUSE Linux Enterprise Server 15 SP2-LTSS"), "SUSE:15.2", "SUSE LTSS");
        check(suse("SUSE OpenStack Cloud 9"), "", "");
    }
}
