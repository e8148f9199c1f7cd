//! Errata as OVAL definitions (OVAL language 5.11): Oracle's `oracle-oval`, Azure Linux's `azure-linux-3.0`.
//!
//! A definition has criteria, a tree of AND and OR over tests; a test names an object (a package) and a state (a version
//! and how it compares). Here the tree is read for what an RPM feed says with it: under which module, which package
//! below (or up to) which version. Tests for architectures and signing keys narrow nothing that matters to a verdict.
//!
//! Which module a branch of the tree is about is in the comment of its test, as Oracle writes it (`Module nodejs:18 is
//! enabled`); its release in the comment `Oracle Linux 8 is installed`. Azure's release is in the packages' own release
//! tag (`.azl3`, `.cm2`), and some of its states name a build with the fix for each of several series
//! (`0:1.17.13-2,1.18.8-2,1.21.6-1.azl3`).

use super::xml::{self, Element};
use super::{
    Document, Draft, Feed, Parsed, Scope, add_version, cves_in, date, feed_id, plain, shown, summary, web_page,
};
use crate::cvss;
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, End, Interval, Key, Level, Says, Statement, Stream};
use model::{Ecosystem, EcosystemRelease, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Reads OVAL definitions.
pub(super) struct Oval;

const ROOT: &str = "oval_definitions";

/// Who wrote the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Producer {
    Oracle,
    Azure,
}

impl Feed for Oval {
    fn kind(&self) -> FeedKind {
        FeedKind::Oval
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        if xml::root(document.bytes)? != ROOT {
            return None;
        }
        match producer(document.bytes)? {
            Producer::Oracle => Some("oracle-oval".to_owned()),
            Producer::Azure => {
                let release = azure_release(document.bytes).unwrap_or_else(|| "unknown".to_owned());
                Some(feed_id(&format!("azure-linux-{release}")))
            }
        }
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let id = self.recognise(document).ok_or("it is not a document of OVAL definitions")?;
        let producer = producer(document.bytes).ok_or("it does not say who wrote it")?;
        let tests = Tests::read(document.bytes)?;
        let mut parsed = Parsed::new(id, FeedKind::Oval, Scope::Whole);
        xml::elements(document.bytes, &[ROOT, "generator"], |field| {
            if field.name == "timestamp" {
                parsed.modified = date(field.text());
            }
        })?;
        let azure = (producer == Producer::Azure).then(|| azure_release(document.bytes)).flatten();
        let mut collected: BTreeMap<String, Draft> = BTreeMap::new();
        xml::elements(document.bytes, &[ROOT, "definitions"], |definition| {
            let reader = Definition { producer, tests: &tests, azure: azure.as_deref(), element: &definition };
            match reader.read() {
                Ok(draft) => merge(&mut collected, draft),
                Err(why) => {
                    parsed.broken.push(format!("{}: {why}", shown(definition.attribute("id").unwrap_or_default())));
                }
            }
        })?;
        if collected.is_empty() {
            return Err(match parsed.broken.first() {
                Some(why) => format!("not one of its definitions can be read; {why}"),
                None => "it has no definitions".to_owned(),
            });
        }
        parsed.drafts = collected.into_values().collect();
        Ok(vec![parsed])
    }
}

/// Azure has one definition for each package of a CVE.
fn merge(collected: &mut BTreeMap<String, Draft>, draft: Draft) {
    match collected.get_mut(&draft.advisory.id) {
        Some(known) => {
            known.modified = known.modified.max(draft.modified);
            known.statements.extend(draft.statements);
        }
        None => drop(collected.insert(draft.advisory.id.clone(), draft)),
    }
}

fn producer(bytes: &[u8]) -> Option<Producer> {
    let has = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    if has("com.oracle.elsa") {
        Some(Producer::Oracle)
    } else if has("com.microsoft.azurelinux") || has("com.microsoft.cbl-mariner") {
        Some(Producer::Azure)
    } else {
        None
    }
}

/// `6.6.3-3.azl3` was built for 3.0, `1.2-1.cm2` for 2.0.
fn azure_release(bytes: &[u8]) -> Option<String> {
    [&b".azl"[..], b".cm"].into_iter().find_map(|tag| {
        memchr::memmem::find_iter(bytes, tag).find_map(|at| {
            let rest = &bytes[at + tag.len()..];
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let ends = rest.get(digits) == Some(&b'<');
            (ends && (1..=2).contains(&digits)).then(|| format!("{}.0", String::from_utf8_lossy(&rest[..digits])))
        })
    })
}

/// How a version compares with the one of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// One test about a package's version.
struct Test {
    package: String,
    operation: Operation,
    version: String,
}

/// The tests about versions, by id.
struct Tests(BTreeMap<String, Test>);

impl Tests {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let id = |element: &Element| element.attribute("id").map(str::to_owned);
        let mut names = BTreeMap::new();
        xml::elements(bytes, &[ROOT, "objects"], |object| {
            if let (Some(id), Some(name)) = (id(&object), object.child("name")) {
                names.insert(id, name.text().to_owned());
            }
        })?;
        let mut states = BTreeMap::new();
        xml::elements(bytes, &[ROOT, "states"], |state| {
            let evr = state.child("evr");
            let evr = evr.and_then(|evr| Some((operation(evr.attribute("operation")?)?, evr.text().to_owned())));
            if let (Some(id), Some(evr)) = (id(&state), evr) {
                states.insert(id, evr);
            }
        })?;
        let mut found = BTreeMap::new();
        xml::elements(bytes, &[ROOT, "tests"], |test| {
            let object = test.child("object").and_then(|o| names.get(o.attribute("object_ref")?));
            let state = test.child("state").and_then(|s| states.get(s.attribute("state_ref")?));
            if let (Some(id), Some(package), Some((operation, version))) = (id(&test), object, state) {
                let test = Test { package: package.clone(), operation: *operation, version: version.clone() };
                found.insert(id, test);
            }
        })?;
        Ok(Self(found))
    }
}

fn operation(word: &str) -> Option<Operation> {
    Some(match word {
        "less than" => Operation::Less,
        "less than or equal" => Operation::LessOrEqual,
        "greater than" => Operation::Greater,
        "greater than or equal" => Operation::GreaterOrEqual,
        "equals" => Operation::Equal,
        _ => return None,
    })
}

struct Definition<'a> {
    producer: Producer,
    tests: &'a Tests,
    azure: Option<&'a str>,
    element: &'a Element,
}

/// Under what the tests of a branch hold, and about which package.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Branch {
    release: Option<String>,
    module: Option<String>,
    package: String,
}

/// Fixed versions, or intervals, of one package.
#[derive(Default)]
struct Collected {
    fixed: Vec<String>,
    intervals: Vec<Interval>,
}

type Packages = BTreeMap<Branch, Collected>;

impl Definition<'_> {
    fn read(&self) -> Result<Draft, String> {
        let (advisory, published) = self.advisory()?;
        let mut packages = Packages::new();
        for criteria in self.element.all("criteria") {
            self.walk(criteria, Branch::default(), &mut packages)?;
        }
        if packages.is_empty() {
            return Err("it has no test about a package's version".to_owned());
        }
        let statements = packages.into_iter().map(|(at, found)| self.statement(at, found)).collect::<Result<_, _>>()?;
        Ok(Draft { modified: published, advisory, statements, rated: None })
    }

    fn advisory(&self) -> Result<(Advisory, Option<Timestamp>), String> {
        let metadata = self.element.child("metadata").ok_or("it has no metadata")?;
        let is_cve = |r: &&Element| r.attribute("source") == Some("CVE");
        let ids = metadata.all("reference").filter(is_cve).filter_map(|r| r.attribute("ref_id"));
        let cves: BTreeSet<String> = ids.flat_map(cves_in).collect();
        let own = metadata.all("reference").find(|r| !is_cve(r));
        let id = match (own.and_then(|r| r.attribute("ref_id")), cves.first()) {
            (Some(id), _) => plain("its id", id)?.to_owned(),
            (None, Some(cve)) => cve.clone(),
            (None, None) => return Err("it names neither an advisory nor a CVE".to_owned()),
        };
        let details = metadata.child("advisory").unwrap_or(metadata);
        let issued = details.child("issued").and_then(|issued| issued.attribute("date")).and_then(date);
        let published = issued.or_else(|| date(metadata.text_of("advisory_date")));
        let page = own.or_else(|| metadata.child("reference"));
        let mut cvss = scores(details);
        cvss::sort(&mut cvss);
        let advisory = Advisory {
            cves: cves.into_iter().collect(),
            url: page.and_then(|r| r.attribute("ref_url")).and_then(web_page),
            summary: summary(metadata.text_of("title")),
            published: published.map(Timestamp::as_second),
            is_erratum: self.producer == Producer::Oracle,
            cvss,
            rating: details.text_of("severity").parse().ok(),
            ..Advisory::new(id)
        };
        Ok((advisory, published))
    }

    /// The tree is only as deep as the XML reader lets it be.
    fn walk(&self, criteria: &Element, mut branch: Branch, out: &mut Packages) -> Result<(), String> {
        let mut bounds: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
        for criterion in criteria.all("criterion") {
            let comment = criterion.attribute("comment").unwrap_or_default();
            if let Some(release) = comment.strip_prefix("Oracle Linux ").and_then(|c| c.strip_suffix(" is installed")) {
                branch.release = Some(plain("a release", release)?.to_owned());
            } else if let Some(module) = comment.strip_prefix("Module ").and_then(|c| c.strip_suffix(" is enabled")) {
                branch.module = Some(plain("a module", module)?.to_owned());
            } else if let Some(test) = criterion.attribute("test_ref").and_then(|id| self.tests.0.get(id)) {
                bounds.entry(&test.package).or_default().push(test);
            }
        }
        for (package, tests) in bounds {
            let package = plain("a package's name", package)?.to_owned();
            add(&tests, out.entry(Branch { package, ..branch.clone() }).or_default())?;
        }
        criteria.all("criteria").try_for_each(|inner| self.walk(inner, branch.clone(), out))
    }

    fn statement(&self, branch: Branch, found: Collected) -> Result<(Key, Statement), String> {
        let (ecosystem, release) = match self.producer {
            Producer::Oracle => (Ecosystem::OracleLinux, branch.release),
            Producer::Azure => (Ecosystem::AzureLinux, self.azure.map(str::to_owned)),
        };
        let release = Some(release.ok_or_else(|| format!("it does not say for which release of {ecosystem} it is"))?);
        let stream = found.fixed.iter().find_map(|version| special_build(version));
        let says = if found.intervals.is_empty() {
            Says::FixedIn(found.fixed)
        } else {
            let fixed = found.fixed.into_iter().map(|fixed| Interval { from: None, end: End::Fixed(fixed) });
            let intervals = found.intervals.into_iter().chain(fixed).collect();
            Says::Ranges { intervals, versions: Vec::new(), unclear: None }
        };
        let level = if self.producer == Producer::Oracle { Level::Binary } else { Level::Either };
        let key = Key::Package(EcosystemRelease { ecosystem, release }, branch.package);
        Ok((key, Statement { level, module: branch.module, stream, ..Statement::new(says) }))
    }
}

/// Oracle publishes builds for Ksplice, which patches what runs, and for FIPS, as errata of their own: they only clear
/// builds of their own kind.
fn special_build(version: &str) -> Option<Stream> {
    let kinds = [(".ksplice", "Oracle Ksplice"), ("_fips", "Oracle Linux FIPS")];
    let (marker, name) = kinds.into_iter().find(|(marker, _)| version.contains(marker))?;
    Some(Stream { name: name.to_owned(), marker: marker.to_owned(), clears_only: true })
}

/// The tests that stand together about one package: at most one lower and one upper bound.
fn add(tests: &[&Test], out: &mut Collected) -> Result<(), String> {
    let (mut from, mut end) = (None, None);
    for test in tests {
        let version = plain("a version", &test.version)?;
        let version = version.strip_prefix("0:").unwrap_or(version).trim().to_owned();
        if version.contains(',') {
            if test.operation != Operation::Less {
                return Err(format!("it compares with a list of versions, {:?}", shown(&version)));
            }
            for interval in series(&version)? {
                if !out.intervals.contains(&interval) {
                    out.intervals.push(interval);
                }
            }
            continue;
        }
        match test.operation {
            Operation::Less => end = Some(End::Fixed(version)),
            Operation::LessOrEqual => end = Some(End::Last(version, None)),
            // "Later than" has no form of its own; that its own bound counts as affected errs on the safe side.
            Operation::Greater | Operation::GreaterOrEqual => from = Some(version),
            Operation::Equal => (from, end) = (Some(version.clone()), Some(End::Last(version, None))),
        }
    }
    match (from, end) {
        (None, Some(End::Fixed(fixed))) => add_version(&mut out.fixed, fixed),
        (None, None) => {}
        (from, end) => {
            let interval = Interval { from, end: end.unwrap_or(End::Never) };
            if !out.intervals.contains(&interval) {
                out.intervals.push(interval);
            }
        }
    }
    Ok(())
}

/// The stretches below a list of builds that have the fix, one for each series, which is told by two numbers. A series
/// that is not named counts with the next one that is, which errs on the safe side. The epoch stands once before the
/// list, the distribution's tag once after it.
fn series(list: &str) -> Result<Vec<Interval>, String> {
    let unread = || format!("its list of versions {:?} cannot be read", shown(list));
    let (epoch, builds) =
        list.split_once(':').map_or((String::new(), list), |(epoch, rest)| (format!("{epoch}:"), rest));
    let (_, last) = builds.rsplit_once('-').ok_or_else(unread)?;
    let tag = last.find('.').map_or("", |dot| &last[dot..]);
    let mut found: Vec<Interval> = Vec::new();
    let mut from = None;
    let mut known: Option<(u64, u64)> = None;
    for build in builds.split(',').map(str::trim) {
        let (version, release) = build.split_once('-').ok_or_else(unread)?;
        let mut numbers = version.split('.').map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(second))) = (numbers.next(), numbers.next()) else { return Err(unread()) };
        if known.is_some_and(|known| known >= (first, second)) {
            return Err(unread());
        }
        let release = release.strip_suffix(tag).unwrap_or(release);
        found.push(Interval { from: from.take(), end: End::Fixed(format!("{epoch}{version}-{release}{tag}")) });
        from = Some(format!("{epoch}{first}.{}", second.saturating_add(1)));
        known = Some((first, second));
    }
    Ok(found)
}

/// `7.8/CVSS:3.1/AV:N/…` and `7.8/AV:N/…`: the score stands before the vector.
fn scores(details: &Element) -> Vec<model::advisory::CvssScore> {
    let vectors = details.all("cve").flat_map(|cve| ["cvss3", "cvss2"].into_iter().filter_map(|v| cve.attribute(v)));
    vectors.filter_map(|text| cvss::score(text.split_once('/')?.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_releases_are_told_by_their_builds() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(azure_release(text.as_bytes()).as_deref(), expect);
        check("<evr>0:6.6.3-3.azl3</evr>", Some("3.0"));
        check("<evr>0:1.2-1.cm2</evr>", Some("2.0"));
        check("a.cmake <evr>1.cm1</evr>", Some("1.0"));
        check("nothing", None);
    }

    #[test]
    fn lists_of_builds_are_read_by_series() {
        let check = |list: &str, expect: &[(Option<&str>, &str)]| {
            let read = series(list).unwrap();
            let found: Vec<(Option<&str>, &str)> = read
                .iter()
                .map(|interval| match &interval.end {
                    End::Fixed(fixed) => (interval.from.as_deref(), fixed.as_str()),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(found, expect, "{list}");
        };
        check(
            "1.17.13-2,1.18.8-2,1.21.6-1.azl3",
            &[(None, "1.17.13-2.azl3"), (Some("1.18"), "1.18.8-2.azl3"), (Some("1.19"), "1.21.6-1.azl3")],
        );
        check("1:2.0.1-1, 2.2.3-4.cm2", &[(None, "1:2.0.1-1.cm2"), (Some("1:2.1"), "1:2.2.3-4.cm2")]);
        for list in ["1.18.8-2,1.17.13-2.azl3", "1.17.1-1,1.17.13-2.azl3", "1.17,1.18-1", ",", "a.b-1,1.2-1", "1.2-1,"]
        {
            assert!(series(list).is_err(), "{list}");
        }
    }

    #[test]
    fn builds_for_ksplice_only_clear_their_own() {
        assert!(special_build("2:2.17-307.0.1.ksplice1.el7_9.2").is_some_and(|stream| stream.clears_only));
        assert!(special_build("10:3.6.16-4.0.1.el8_fips").is_some());
        assert!(special_build("3.6.16-4.el8").is_none());
    }
}
