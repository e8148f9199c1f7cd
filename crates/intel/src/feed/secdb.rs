//! Alpine's secdb (`alpine-secdb-v3.10-main`), and Wolfi's, Chainguard's and
//! MinimOS's, which have the same form.
//!
//! A document is one repository of one release. It lists, by source package (origin), versions and what each fixed.
//! A package that is older than a listed version has what that version fixed. Version `0` lists what the package never
//! had. A vulnerability listed under several versions of one package was not gone before the newest of them, so a
//! package is affected while it is older than that one. Every listed version that is newer than the installed one is
//! given as a fixed version: the newest first, because only that one ends it, then the others ascending.
//!
//! An entry is a text with one or more ids and remarks: `CVE-2018-3620 CVE-2018-3646 XSA-273`,
//! `CVE-2017-2616 (+ regression fix)`, `CVE-????-?????  XSA-284`. Each CVE in it is one vulnerability, the other ids
//! are its aliases; without a CVE the first id is the vulnerability. Remarks in parentheses are not read. The form
//! is described by the `secfixes` comment of Alpine's APKBUILD reference; the ids are free text there.

use super::outline::string_field;
use super::{Document, Draft, Feed, Lenient, Parsed, Scope, feed_id, nullable, plain};
use crate::meta::{FeedId, FeedKind};
use crate::name;
use crate::record::{Advisory, Key, Says, Statement, cve_prefix};
use model::{Ecosystem, EcosystemRelease};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};

/// Reads secdb documents.
pub(super) struct Secdb;

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    distroversion: Option<String>,
    reponame: String,
    #[serde(default)]
    urlprefix: Option<String>,
    /// `null` in a repository without fixes.
    packages: Option<Vec<Lenient<Listing>>>,
}

#[derive(Deserialize)]
struct Listing {
    pkg: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    secfixes: BTreeMap<String, Option<Vec<Lenient<String>>>>,
}

/// What is collected about one vulnerability.
#[derive(Default)]
struct Fixes {
    aliases: BTreeSet<String>,
    /// Versions that fixed it, by package.
    packages: BTreeMap<String, BTreeSet<String>>,
}

impl Feed for Secdb {
    fn kind(&self) -> FeedKind {
        FeedKind::Secdb
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let outline = &document.outline;
        let fields = ["distroversion", "reponame", "urlprefix", "apkurl"];
        let found = fields.iter().filter(|field| outline.has(field)).count();
        // Of a document that was cut short, fewer may be left.
        if found < if outline.is_complete() { 3 } else { 2 } {
            return None;
        }
        let field = |name| string_field(document.bytes, name);
        let found = target(field("distroversion").as_deref(), field("urlprefix").as_deref());
        let vendor = found.map(|(release, _)| release.ecosystem.as_str()).unwrap_or("alpine");
        let parts = [field("distroversion"), field("reponame")].into_iter().flatten().collect::<Vec<_>>().join("-");
        Some(feed_id(format!("{vendor}-secdb-{parts}").trim_end_matches('-')))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let repository: Repository =
            serde_json::from_slice(document.bytes).map_err(|e| format!("it is not a whole secdb document: {e}"))?;
        let version = repository.distroversion.as_deref();
        let (release, page) = target(version, repository.urlprefix.as_deref()).ok_or_else(|| {
            format!("it does not say which release it is for: distroversion is {:?}", version.unwrap_or_default())
        })?;
        plain("reponame", &repository.reponame)?;
        let parts = version.map(|v| format!("{v}-")).unwrap_or_default();
        let id = feed_id(&format!("{}-secdb-{parts}{}", release.ecosystem, repository.reponame));
        let mut parsed = Parsed::new(id, FeedKind::Secdb, Scope::Whole);
        let mut fixes: BTreeMap<String, Fixes> = BTreeMap::new();
        for listing in repository.packages.unwrap_or_default() {
            match listing {
                Lenient::Good(listing) => read_package(listing.pkg, &mut fixes, &mut parsed),
                Lenient::Bad(IgnoredAny) => parsed.broken.push("a package is not in the form it should have".into()),
            }
        }
        parsed.drafts = fixes.into_iter().map(|(id, fixes)| draft(id, fixes, &release, page)).collect();
        Ok(vec![parsed])
    }
}

/// The release that a document is for, and the page of a vulnerability.
fn target(distroversion: Option<&str>, urlprefix: Option<&str>) -> Option<(EcosystemRelease, Option<&'static str>)> {
    if let Some(version) = distroversion {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_numbered =
            version.strip_prefix('v').is_some_and(|v| v.split('.').count() == 2 && v.split('.').all(digits));
        return (is_numbered || version == "edge").then(|| {
            let release = EcosystemRelease { ecosystem: Ecosystem::Alpine, release: Some(version.to_owned()) };
            (release, Some("https://security.alpinelinux.org/vuln/"))
        });
    }
    let host = urlprefix?.split("://").nth(1)?.split('/').next()?;
    match host {
        "packages.wolfi.dev" => Some((EcosystemRelease::of(Ecosystem::Wolfi), None)),
        "packages.mini.dev" => Some((EcosystemRelease::of(Ecosystem::MinimOs), None)),
        "packages.cgr.dev" => Some((EcosystemRelease::of(Ecosystem::Chainguard), None)),
        _ => None,
    }
}

fn read_package(package: Package, fixes: &mut BTreeMap<String, Fixes>, parsed: &mut Parsed) {
    if let Err(why) = plain("a package's name", &package.name) {
        parsed.broken.push(why);
        return;
    }
    for (version, entries) in package.secfixes {
        if let Err(why) = plain("a version", &version) {
            parsed.broken.push(format!("{}: {why}", package.name));
            continue;
        }
        for entry in entries.unwrap_or_default() {
            let ids = match &entry {
                Lenient::Good(text) if text.len() <= super::TEXT_BYTES_MAX => ids(text),
                Lenient::Good(_) | Lenient::Bad(IgnoredAny) => Ids::default(),
            };
            if ids.vulnerabilities.is_empty() {
                parsed.broken.push(format!("{} {version}: an entry without an id", package.name));
            }
            for vulnerability in ids.vulnerabilities {
                let known = fixes.entry(vulnerability).or_default();
                known.aliases.extend(ids.aliases.iter().cloned());
                known.packages.entry(package.name.clone()).or_default().insert(version.clone());
            }
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ids {
    vulnerabilities: Vec<String>,
    aliases: Vec<String>,
}

fn ids(entry: &str) -> Ids {
    // Seen in the wild: `CVE_2019-2426`, `CVE 2018-16859`, `CVE-2019-19451.patch`, `CVE-2017-17434-1`.
    let text = entry.split('(').next().unwrap_or_default().replace("CVE_", "CVE-").replace("CVE ", "CVE-");
    let mut found = Ids::default();
    for token in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|t| is_id(t)) {
        match cve_prefix(token) {
            Some(cve) => found.vulnerabilities.push(cve.to_owned()),
            None => found.aliases.push(token.to_owned()),
        }
    }
    if found.vulnerabilities.is_empty() && !found.aliases.is_empty() {
        found.vulnerabilities.push(found.aliases.remove(0));
    }
    found.vulnerabilities.dedup();
    found
}

/// Capitals, a hyphen and at least one digit: `XSA-284`, `TALOS-2019-0844`. GitHub's ids need not have a digit.
fn is_id(token: &str) -> bool {
    let Some((kind, rest)) = token.split_once('-') else { return false };
    let legible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    !kind.is_empty()
        && kind.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && rest.chars().all(legible)
        && (kind == "GHSA" || rest.contains(|c: char| c.is_ascii_digit()))
}

fn draft(id: String, fixes: Fixes, release: &EcosystemRelease, page: Option<&str>) -> Draft {
    let statement = |versions: BTreeSet<String>| {
        let versions: Vec<String> = versions.into_iter().filter(|version| version != "0").collect();
        let says = if versions.is_empty() { Says::NotAffected } else { Says::FixedIn(versions) };
        Statement::new(says)
    };
    let key = |package: &str| Key::Package(release.clone(), name::normalise(release.ecosystem, package));
    let statements = fixes.packages.into_iter().map(|(package, v)| (key(&package), statement(v))).collect();
    let advisory = Advisory {
        cves: cve_prefix(&id).map(str::to_owned).into_iter().collect(),
        others: fixes.aliases.into_iter().filter(|alias| *alias != id).collect(),
        url: page.map(|page| format!("{page}{id}")),
        summary: None,
        published: None,
        withdrawn: false,
        disputed: false,
        is_erratum: false,
        malicious: false,
        cvss: Vec::new(),
        rating: None,
        id,
    };
    Draft { modified: None, advisory, statements, rated: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secdb_entries_are_read_as_ids() {
        let check = |entry: &str, vulnerabilities: &[&str], aliases: &[&str]| {
            let found = ids(entry);
            assert_eq!((found.vulnerabilities, found.aliases), (owned(vulnerabilities), owned(aliases)), "{entry}");
        };
        check("CVE-2019-1547", &["CVE-2019-1547"], &[]);
        check("CVE-2017-2616 (+ regression fix)", &["CVE-2017-2616"], &[]);
        check("CVE-2018-3620 CVE-2018-3646 XSA-273", &["CVE-2018-3620", "CVE-2018-3646"], &["XSA-273"]);
        check("CVE-????-?????  XSA-284", &["XSA-284"], &[]);
        check("CVE-2019-5060 TALOS-2019-0844", &["CVE-2019-5060"], &["TALOS-2019-0844"]);
        check("CVE_2019-2426", &["CVE-2019-2426"], &[]);
        check("CVE 2018-16859", &["CVE-2018-16859"], &[]);
        check("CVE-2017-17434-1", &["CVE-2017-17434"], &[]);
        check("CVE-2017-5754 XSA-254 XPTI", &["CVE-2017-5754"], &["XSA-254"]);
        check("nothing to see", &[], &[]);
        check("", &[], &[]);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }
}
