//! Errata of RPM repositories, `updateinfo.xml`: `amazon-2023`, `amazon-2-kernel-5.15`, `fedora-43`,
//! `updateinfo-rocky-linux-9`.
//!
//! The form is that of createrepo_c's update records, which yum and dnf read. A document is one repository of one
//! architecture. Each update lists the packages that it brings, so that an older one of the same name is affected. A
//! `module` element in a collection says of which module stream its packages are.
//!
//! Amazon Linux 2 has repositories beside the core ("extras"), in which newer branches of a package of the core live: a
//! kernel 5.15 beside 4.14. Their names end in the version that the branch begins with, and nothing in an installed
//! package says where it comes from. So a fix of the topic `kernel-5.15` is one for versions from 5.15 on.

use super::xml::{self, Element};
use super::{
    Document, Draft, Feed, Parsed, Scope, add_version, cves_in, date, feed_id, plain, rpm_version, shown, summary,
    web_page,
};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, End, Interval, Key, Level, Says, Statement};
use model::{Ecosystem, EcosystemRelease, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// Reads `updateinfo.xml`.
pub(super) struct Updateinfo;

/// Release, name and module of a package.
type Named = (EcosystemRelease, String, Option<String>);
/// The version that a branch begins with, and the fixed ones.
type Fixed = (Option<String>, Vec<String>);

impl Feed for Updateinfo {
    fn kind(&self) -> FeedKind {
        FeedKind::Updateinfo
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        if xml::root(document.bytes)? != "updates" {
            return None;
        }
        let after = |start: &str, end: u8| {
            let at = memchr::memmem::find(document.bytes, start.as_bytes())? + start.len();
            let rest = &document.bytes[at..];
            std::str::from_utf8(&rest[..memchr::memchr(end, rest)?]).ok()
        };
        let of_collection = || repository(after("<collection short=\"", b'"')?).map(|found| found.feed);
        let of_id = || {
            let ecosystem = clone_of(after("<id>", b'<')?.trim())?;
            let release = after("release=\"", b'"').and_then(rhel_release)?;
            Some(feed_id(&format!("updateinfo-{ecosystem}-{release}")))
        };
        Some(of_collection().or_else(of_id).unwrap_or_else(|| "updateinfo".to_owned()))
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let id = self.recognise(document).ok_or("it is not an updateinfo document")?;
        let mut parsed = Parsed::new(id, FeedKind::Updateinfo, Scope::Part);
        let mut seen = 0u64;
        xml::elements(document.bytes, &["updates"], |update| {
            seen += 1;
            read(&update, &mut parsed);
        })?;
        match (seen, parsed.drafts.is_empty() && parsed.skipped.is_empty(), parsed.broken.first()) {
            (0, _, _) => Err("it has no updates".to_owned()),
            (_, true, Some(why)) => Err(format!("not one of its updates can be read; {why}")),
            (_, true, None) | (_, false, _) => Ok(vec![parsed]),
        }
    }
}

/// Where a repository's errata lie, relative to its folder, as its `repomd.xml` says; `None` when it has none or is no
/// such index.
pub fn updateinfo_of(repomd: &[u8]) -> Option<String> {
    let mut found = None;
    let read = xml::elements(repomd, &["repomd"], |data| {
        if data.name == "data" && data.attribute("type") == Some("updateinfo") {
            found = data.child("location").and_then(|location| location.attribute("href")).map(str::to_owned);
        }
    });
    read.ok().and(found)
}

/// A repository as the short name of its collection tells it.
struct Repository {
    feed: FeedId,
    /// `None` for one whose packages are not those of a distribution that is supported.
    release: Option<EcosystemRelease>,
    /// The version that its branch begins with.
    from: Option<String>,
}

fn repository(short: &str) -> Option<Repository> {
    let release = |ecosystem, release: &str| Some(EcosystemRelease { ecosystem, release: Some(release.to_owned()) });
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if short == "amazon-linux-ami" {
        let release = release(Ecosystem::AmazonLinux, "1");
        return Some(Repository { feed: "amazon-1".to_owned(), release, from: None });
    }
    if let Some(rest) = short.strip_prefix("amazon-linux-") {
        let (version, topic) = rest.split_once("---").map_or((rest, None), |(version, topic)| (version, Some(topic)));
        let from = topic.filter(|_| version == "2").and_then(trailing_version);
        let feed = feed_id(&format!("amazon-{}", rest.replace("---", "-")));
        return digits(version).then(|| Repository { feed, release: release(Ecosystem::AmazonLinux, version), from });
    }
    if let Some(version) = short.strip_prefix("EL-").or_else(|| short.strip_prefix("EPEL-")) {
        return Some(Repository { feed: feed_id(&format!("epel-{version}")), release: None, from: None });
    }
    let rest = short.strip_prefix('F')?;
    let (version, kind) = rest.strip_suffix('M').map_or((rest, ""), |version| (version, "-modular"));
    let feed = format!("fedora-{version}{kind}");
    digits(version).then(|| Repository { feed, release: release(Ecosystem::Fedora, version), from: None })
}

/// `kernel-5.15` begins with 5.15, `postgresql14` with 14, `docker` with any.
fn trailing_version(topic: &str) -> Option<String> {
    let at = topic.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |at| at + 1);
    let version = topic.get(at..)?.trim_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// Distributions that rebuild Red Hat's and write errata of their own, by the first letters of an id.
fn clone_of(id: &str) -> Option<Ecosystem> {
    match id.get(..4)? {
        "RLSA" | "RXSA" | "RLBA" | "RXBA" | "RLEA" | "RXEA" => Some(Ecosystem::RockyLinux),
        "ALSA" | "ALBA" | "ALEA" => Some(Ecosystem::AlmaLinux),
        _ => None,
    }
}

/// `12.el9_2`, `3.module+el8.7.0+21037` and `1.el8` are of 9, 8 and 8.
fn rhel_release(release: &str) -> Option<&str> {
    let rest = release.split(['.', '+', '_']).find_map(|part| part.strip_prefix("el"))?;
    (!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())).then_some(rest)
}

fn read(update: &Element, parsed: &mut Parsed) {
    let id = update.text_of("id");
    if update.attribute("type") != Some("security") {
        return parsed.skip("update that is not about security");
    }
    match draft(update, id, parsed) {
        Ok(Some(draft)) => {
            parsed.modified = parsed.modified.max(draft.modified);
            parsed.drafts.push(draft);
        }
        Ok(None) => {}
        Err(why) => parsed.broken.push(format!("{}: {why}", shown(id))),
    }
}

fn draft(update: &Element, id: &str, parsed: &mut Parsed) -> Result<Option<Draft>, String> {
    let id = plain("the update's id", id)?;
    let packages = packages(update, id, parsed)?;
    if packages.is_empty() {
        parsed.skip("update without packages of a supported release");
        return Ok(None);
    }
    let day = |name: &str| update.child(name).and_then(|at| at.attribute("date")).and_then(date);
    let issued = day("issued");
    let rating: Option<Severity> = update.text_of("severity").parse().ok();
    let own = [update.text_of("summary"), update.text_of("title"), update.text_of("description")];
    let advisory = Advisory {
        cves: cves(update).into_iter().collect(),
        url: page(update, id),
        summary: own.into_iter().find_map(summary),
        published: issued.map(|at| at.as_second()),
        is_erratum: true,
        // Fedora's `None` says that nobody has rated it.
        rating: rating.filter(|rating| *rating != Severity::Negligible),
        ..Advisory::new(id)
    };
    let statements = packages.into_iter().map(|(named, fixed)| statement(named, fixed)).collect();
    Ok(Some(Draft { modified: day("updated").or(issued), advisory, statements, rated: None }))
}

fn statement((release, name, module): Named, (from, versions): Fixed) -> (Key, Statement) {
    let says = match from {
        Some(from) => {
            let interval = |fixed: String| Interval { from: Some(from.clone()), end: End::Fixed(fixed) };
            let intervals = versions.into_iter().map(interval).collect();
            Says::Ranges { intervals, versions: Vec::new(), unclear: None }
        }
        None => Says::FixedIn(versions),
    };
    (Key::Package(release, name), Statement { level: Level::Binary, module, ..Statement::new(says) })
}

fn packages(update: &Element, id: &str, parsed: &mut Parsed) -> Result<BTreeMap<Named, Fixed>, String> {
    let mut found: BTreeMap<Named, Fixed> = BTreeMap::new();
    for collection in update.all("pkglist").flat_map(|list| list.all("collection")) {
        let known = repository(collection.attribute("short").unwrap_or_default());
        let module = collection
            .child("module")
            .and_then(|module| Some(format!("{}:{}", module.attribute("name")?, module.attribute("stream")?)));
        for package in collection.all("package").filter(|package| package.attribute("arch") != Some("src")) {
            let field = |name| plain(name, package.attribute(name).unwrap_or_default());
            let (name, version, build) = (field("name")?, field("version")?, field("release")?);
            let release = match &known {
                Some(Repository { release: Some(release), .. }) => release.clone(),
                Some(Repository { release: None, .. }) => {
                    parsed.skip("package of a repository that is no part of a supported distribution");
                    continue;
                }
                None => clone_release(id, build)?,
            };
            let version = rpm_version(package.attribute("epoch"), version, build);
            let from = known.as_ref().and_then(|known| bound(known.from.as_deref()?, &version));
            let key = (release, name.to_owned(), module.clone());
            let (_, versions) = found.entry(key).or_insert_with(|| (from, Vec::new()));
            add_version(versions, version);
        }
    }
    Ok(found)
}

/// The lower bound, with the epoch of the fixed version, when that is of the branch: the branch's first version says
/// nothing about packages that are numbered otherwise.
fn bound(from: &str, version: &str) -> Option<String> {
    let (epoch, rest) = version.split_once(':').map_or((None, version), |(epoch, rest)| (Some(epoch), rest));
    let is_of_branch = rest.strip_prefix(from)?.starts_with(['.', '-']);
    is_of_branch.then(|| epoch.map_or_else(|| from.to_owned(), |epoch| format!("{epoch}:{from}")))
}

fn clone_release(id: &str, build: &str) -> Result<EcosystemRelease, String> {
    let ecosystem = clone_of(id).ok_or("it is of a repository that is not known")?;
    let release = rhel_release(build).ok_or_else(|| format!("{build} does not say for which release it was built"))?;
    Ok(EcosystemRelease { ecosystem, release: Some(release.to_owned()) })
}

/// Errata name their CVEs as references; Fedora's name them in the titles of bug reports, or only in what people read.
fn cves(update: &Element) -> BTreeSet<String> {
    let references = || update.all("references").flat_map(|list| list.all("reference"));
    let named = references().filter(|reference| reference.attribute("type") == Some("cve"));
    let mut found: BTreeSet<String> = named.filter_map(|r| r.attribute("id")).flat_map(cves_in).collect();
    if found.is_empty() {
        found.extend(references().filter_map(|r| r.attribute("title")).flat_map(cves_in));
        found.extend(cves_in(update.text_of("title")));
    }
    if found.is_empty() {
        found.extend(cves_in(update.text_of("description")));
    }
    found
}

fn page(update: &Element, id: &str) -> Option<String> {
    if id.starts_with("FEDORA-") {
        return web_page(&format!("https://bodhi.fedoraproject.org/updates/{id}"));
    }
    let mut references = update.all("references").flat_map(|list| list.all("reference"));
    references.find(|r| r.attribute("type") == Some("self"))?.attribute("href").and_then(web_page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_tell_the_repository() {
        let check = |short: &str, expect: Option<(&str, &str, &str)>| {
            let found = repository(short).map(|found| {
                let release = found.release.map(|release| release.to_string()).unwrap_or_default();
                (found.feed, release, found.from.unwrap_or_default())
            });
            let expect = expect.map(|(feed, release, from)| (feed.to_owned(), release.to_owned(), from.to_owned()));
            assert_eq!(found, expect, "{short}");
        };
        check("amazon-linux-ami", Some(("amazon-1", "Amazon Linux:1", "")));
        check("amazon-linux-2", Some(("amazon-2", "Amazon Linux:2", "")));
        check("amazon-linux-2---kernel-5.15", Some(("amazon-2-kernel-5.15", "Amazon Linux:2", "5.15")));
        check("amazon-linux-2---docker", Some(("amazon-2-docker", "Amazon Linux:2", "")));
        check("amazon-linux-2023---nvidia", Some(("amazon-2023-nvidia", "Amazon Linux:2023", "")));
        check("F43", Some(("fedora-43", "Fedora:43", "")));
        check("F38M", Some(("fedora-38-modular", "Fedora:38", "")));
        check("EL-6", Some(("epel-6", "", "")));
        check("rocky-linux-9-x86-64-baseos-rpms", None);
    }

    #[test]
    fn branches_begin_with_the_version_of_their_name() {
        let check = |from: &str, version: &str, expect: Option<&str>| {
            assert_eq!(bound(from, version).as_deref(), expect, "{from} {version}");
        };
        check("5.15", "5.15.43-20.123.amzn2", Some("5.15"));
        check("14", "1:14.9-1.amzn2", Some("1:14"));
        check("5.1", "5.15.43-20.123.amzn2", None);
        check("14", "2.3-1", None);
    }

    #[test]
    fn builds_tell_the_release_of_red_hat() {
        let check = |build: &str, expect: Option<&str>| assert_eq!(rhel_release(build), expect, "{build}");
        check("12.el9_2", Some("9"));
        check("3.module+el8.7.0+21037", Some("8"));
        check("1.fc40", None);
    }
}
