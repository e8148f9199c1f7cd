//! Gathers what documents of any form say about packages, and counts what could not be understood.

use super::{Sbom, SbomFormat, SbomLimits, SbomPackage};
use model::inventory::OsRelease;
use model::package::{Distro, SourcePackage};
use model::purl::Purl;
use model::{Detector, EcosystemRelease, Gap, GapReason, LayerPath, PackageFormat, PackageKey, Platform, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// One component as a document describes it.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// What it is called, for people.
    pub(super) name: Option<String>,
    /// Its version.
    pub(super) version: Option<String>,
    /// Its package URL.
    pub(super) purl: Option<String>,
    /// Licences as found.
    pub(super) licenses: Vec<String>,
    /// Files that it was found in.
    pub(super) paths: Vec<String>,
    /// The source package's name and version, where the document tells them beside the package URL.
    pub(super) source: Option<(String, String)>,
}

/// Everything that was read so far.
pub(super) struct Collector {
    components_max: usize,
    pub(super) name: Option<String>,
    pub(super) created: Option<Timestamp>,
    pub(super) platform: Option<Platform>,
    pub(super) os: Option<OsRelease>,
    packages: BTreeMap<PackageKey, (BTreeSet<String>, BTreeSet<LayerPath>)>,
    seen: usize,
    /// What could not be understood: why, how often, and the first that it happened to.
    misses: BTreeMap<String, (u64, String)>,
    /// Gaps that the document itself tells.
    pub(super) told: Vec<Gap>,
    /// The document says of itself that it is incomplete.
    pub(super) is_incomplete: bool,
}

/// Distinct sentences about what could not be understood; more share one.
const MISSES_MAX: usize = 200;

/// Gaps that the document itself tells and that are kept.
const TOLD_MAX: usize = 10_000;

impl Collector {
    pub(super) fn new(limits: &SbomLimits) -> Self {
        Self {
            components_max: limits.components_max,
            name: None,
            created: None,
            platform: None,
            os: None,
            packages: BTreeMap::new(),
            seen: 0,
            misses: BTreeMap::new(),
            told: Vec::new(),
            is_incomplete: false,
        }
    }

    /// May one more component be read? One that may not is counted.
    pub(super) fn has_room(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        self.seen <= self.components_max
    }

    /// The component that there was room for did not come.
    pub(super) const fn was_the_end(&mut self) {
        self.seen = self.seen.saturating_sub(1);
    }

    /// Takes the operating system; the first one counts.
    pub(super) fn system(&mut self, id: &str, version: &str, name: Option<&str>) {
        if self.os.is_none() {
            let id = os_id(id).to_owned();
            let name = name.map_or_else(|| format!("{id} {version}").trim_end().to_owned(), str::to_owned);
            self.os = Some(OsRelease { id, version: version.to_owned(), name });
        }
    }

    /// Takes a gap as a document of our own tells it. What the intelligence could not say then is told anew.
    pub(super) fn gap(&mut self, gap: Gap) {
        let was_judgement =
            matches!(gap.reason, GapReason::NoAdvisories | GapReason::NoEndOfLife | GapReason::StaleFeed);
        let concerns = !matches!(gap.detector, Some(Detector::Secrets | Detector::Malware | Detector::Configuration));
        if concerns && !was_judgement && self.told.len() < TOLD_MAX {
            self.told.push(gap);
        }
    }

    /// Takes a package.
    pub(super) fn package(&mut self, component: Component) {
        let Some(purl) = component.purl.as_deref() else {
            let name = match (&component.name, &component.version) {
                (Some(name), Some(version)) => format!("{name} {version}"),
                (Some(name), None) => name.clone(),
                (None, _) => "one without a name".to_owned(),
            };
            return self.miss("without a package URL, so that nobody can tell what they are".to_owned(), name);
        };
        if is_image(purl) {
            return;
        }
        let mut key = match Purl::to_key(purl) {
            Ok(key) => key,
            Err(_) => return self.unreadable(purl),
        };
        if let Some((name, version)) = component.source {
            key.source = Some(SourcePackage { name, version });
        }
        let (licenses, paths) = self.packages.entry(key).or_default();
        licenses.extend(component.licenses);
        paths.extend(component.paths.iter().filter_map(|path| LayerPath::normalise(path.as_bytes()).ok()));
    }

    fn unreadable(&mut self, purl: &str) {
        let kind =
            purl.strip_prefix("pkg:").map(|rest| rest.trim_start_matches('/')).and_then(|rest| rest.split('/').next());
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let is_word = !kind.is_empty()
            && kind.len() <= 40
            && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
        let why = if is_word && PackageFormat::from_purl_type(&kind).is_none() {
            format!("of the package type {kind}, which is not known")
        } else {
            "whose package URL cannot be read, or has no version".to_owned()
        };
        self.miss(why, purl.to_owned());
    }

    fn miss(&mut self, why: String, example: String) {
        let why = if self.misses.len() < MISSES_MAX || self.misses.contains_key(&why) {
            why
        } else {
            "that could not be understood for other reasons".to_owned()
        };
        let example = example.chars().take(200).collect();
        let (count, _) = self.misses.entry(why).or_insert((0, example));
        *count += 1;
    }

    /// Puts everything in order.
    pub(super) fn finish(mut self, format: SbomFormat, version: String) -> Sbom {
        let is_explained = !self.told.is_empty();
        let mut gaps = std::mem::take(&mut self.told);
        let gap = |reason, detail| Gap { scope: SCOPE.to_owned(), detector: Some(Detector::Packages), reason, detail };
        for (why, (count, example)) in &self.misses {
            gaps.push(gap(GapReason::Unsupported, format!("{} {why}; the first is {example:?}", components(*count))));
        }
        if self.seen > self.components_max {
            let text = format!(
                "the document has {} components, more than the limit of {}: the rest was not read",
                self.seen, self.components_max
            );
            gaps.push(gap(GapReason::TooMany, text));
        }
        if self.is_incomplete && !is_explained {
            let text = "the document says of itself that it is incomplete".to_owned();
            gaps.push(gap(GapReason::Unreadable, text));
        }
        let packages = std::mem::take(&mut self.packages);
        let mut settled: BTreeMap<PackageKey, (BTreeSet<String>, BTreeSet<LayerPath>)> = BTreeMap::new();
        for (mut key, (licenses, paths)) in packages {
            settle(&mut key, self.os.as_ref());
            let entry = settled.entry(key).or_default();
            entry.0.extend(licenses);
            entry.1.extend(paths);
        }
        let os = self.os.take().or_else(|| common_system(settled.keys()));
        gaps.extend(unknown_release(settled.keys()).map(|text| gap(GapReason::UnknownOs, text)));
        gaps.extend(unsupported(os.as_ref()).map(|text| gap(GapReason::UnsupportedOs, text)));
        gaps.sort();
        gaps.dedup();
        let package = |(key, (licenses, paths)): (PackageKey, (BTreeSet<String>, BTreeSet<LayerPath>))| SbomPackage {
            key,
            licenses: licenses.into_iter().collect(),
            paths: paths.into_iter().collect(),
        };
        let packages = settled.into_iter().map(package).collect();
        Sbom { format, version, name: self.name, created: self.created, platform: self.platform, os, packages, gaps }
    }
}

/// The scope of gaps about a document as a whole.
const SCOPE: &str = "bill of materials";

fn components(count: u64) -> String {
    if count == 1 { "1 component".to_owned() } else { format!("{count} components") }
}

/// Names of an image as a whole (purl types `oci` and `docker`): no package.
fn is_image(purl: &str) -> bool {
    ["pkg:oci/", "pkg:docker/"].iter().any(|prefix| purl.starts_with(prefix))
}

/// The os-release `ID` of names that other tools write in package URLs and operating-system components (purl
/// specification, types `deb`, `rpm`: the vendor; Trivy's operating-system families).
fn os_id(name: &str) -> &str {
    match name {
        "redhat" => "rhel",
        "amazon" => "amzn",
        "oracle" | "oraclelinux" => "ol",
        "rocky-linux" | "rockylinux" => "rocky",
        "alma" => "almalinux",
        "cbl-mariner" => "mariner",
        "azure" => "azurelinux",
        "suse linux enterprise server" | "suse" => "sles",
        "opensuse.leap" | "opensuse leap" => "opensuse-leap",
        "opensuse.tumbleweed" => "opensuse-tumbleweed",
        "openeuler" => "openEuler",
        other => other,
    }
}

/// Fills in what a database would have told: the release, and the source package.
fn settle(key: &mut PackageKey, os: Option<&OsRelease>) {
    if !key.format.is_os() {
        return;
    }
    let known = |distro: &Distro| EcosystemRelease::of_distro(distro).is_some();
    let told = key.distro.take().map(|distro| Distro { id: os_id(&distro.id).to_owned(), version: distro.version });
    // A qualifier may hold a code name or a bare number; the operating system's own component knows better.
    key.distro = match (told, os) {
        (Some(told), Some(os)) if !known(&told) || told.version.is_empty() && told.id == os.id => Some(os.distro()),
        (Some(told), _) => Some(told),
        (None, os) => os.map(OsRelease::distro),
    };
    key.source.get_or_insert_with(|| SourcePackage { name: key.name.clone(), version: key.version.clone() });
}

/// The release that most packages name, when the document has no component for it.
fn common_system<'a>(keys: impl Iterator<Item = &'a PackageKey>) -> Option<OsRelease> {
    let mut counts: BTreeMap<&Distro, u64> = BTreeMap::new();
    for distro in keys.filter_map(|key| key.distro.as_ref()) {
        *counts.entry(distro).or_default() += 1;
    }
    let (distro, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    let name = format!("{} {}", distro.id, distro.version).trim_end().to_owned();
    Some(OsRelease { id: distro.id.clone(), version: distro.version.clone(), name })
}

fn unknown_release<'a>(keys: impl Iterator<Item = &'a PackageKey>) -> Option<String> {
    let mut without = keys.filter(|key| key.format.is_os() && key.distro.is_none());
    let first = without.next()?;
    let count = 1 + without.count() as u64;
    Some(format!(
        "{} of an operating system whose release the document does not tell; the first is {}: they cannot be matched",
        components(count),
        first.name
    ))
}

fn unsupported(os: Option<&OsRelease>) -> Option<String> {
    let os = os.filter(|os| EcosystemRelease::of_distro(&os.distro()).is_none())?;
    Some(format!("operating system {:?} ({}) is not supported: its packages are not matched", os.id, os.name))
}
