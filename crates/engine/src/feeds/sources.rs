//! Where feeds are served, and how a user says that they are served elsewhere.
//!
//! Not here: fetching ([`sync`](super::sync)).
//!
//! Invariant: every source has an address that can be replaced by name; nothing is fetched from an address that is not
//! in the list that [`sources`] gives.

use crate::{Error, ErrorKind, Result};
use model::Timestamp;
use serde::Deserialize;
use std::path::Path;
use store::intel_folder::IntelFolder;

/// A public address of one or more feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSource {
    /// The feed's id, or the name of several.
    pub name: String,
    /// The feeds that come from it: ids, a final `*` fits any end.
    pub feeds: Vec<String>,
    /// Where it is served: `https://`, `http://`, or `file:` with the path of a file or a folder.
    pub url: String,
    /// What is at the address.
    pub form: SourceForm,
    /// Fetched only when it is asked for by name or has an address of the user's: because it takes long, gigabytes, most
    /// of them about what another feed says as well, or because its address may have nothing.
    pub on_demand: bool,
}

/// What is at the address of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceForm {
    /// The document itself, or an archive of documents.
    Document,
    /// An RPM repository's `repomd.xml`, which names its `updateinfo`.
    Repository,
    /// A list of addresses of one RPM repository, of which the first is used.
    MirrorList,
    /// A text that is the name of the document, which lies beside it.
    Pointer,
}

impl FeedSource {
    fn new(name: &str, feeds: &[&str], url: impl Into<String>) -> Self {
        let feeds = feeds.iter().map(|feed| (*feed).to_owned()).collect();
        Self { name: name.to_owned(), feeds, url: url.into(), form: SourceForm::Document, on_demand: false }
    }

    /// One feed of the same name.
    fn one(name: &str, url: impl Into<String>) -> Self {
        Self::new(name, &[name], url)
    }

    const fn form(mut self, form: SourceForm) -> Self {
        self.form = form;
        self
    }

    const fn on_demand(mut self) -> Self {
        self.on_demand = true;
        self
    }

    /// Does this feed come from it?
    pub(super) fn gives(&self, feed: &str) -> bool {
        self.feeds.iter().any(|pattern| super::fits(feed, pattern))
    }
}

/// Releases of Alpine whose secdb is synchronised.
const ALPINE_RELEASES: [&str; 9] = ["v3.16", "v3.17", "v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "v3.23", "v3.24"];
/// Releases of Fedora whose errata are synchronised, with the folder that they lie in: where support has ended that is the
/// archive.
const FEDORA_RELEASES: [(&str, &str); 4] =
    [("41", "archive/fedora"), ("42", "archive/fedora"), ("43", "fedora"), ("44", "fedora")];
/// Releases of Photon OS whose lists are synchronised.
const PHOTON_RELEASES: [&str; 3] = ["3.0", "4.0", "5.0"];
/// Releases of Azure Linux and CBL-Mariner whose errata are synchronised.
const AZURE_RELEASES: [(&str, &str); 2] =
    [("azure-linux-3.0", "azurelinux-3.0-oval.xml"), ("azure-linux-2.0", "cbl-mariner-2.0-oval.xml")];
/// Topics of Amazon Linux 2 ("extras") whose packages are in images.
const AMAZON_EXTRAS: [&str; 12] = [
    "docker",
    "java-openjdk11",
    "java-openjdk17",
    "mariadb10.5",
    "nginx1",
    "php8.2",
    "postgresql14",
    "python3.8",
    "redis6",
    "ruby3.0",
    "tomcat9",
    "kernel-5.10",
];
/// The first year of NVD's files; earlier CVEs are in that of 2002.
const NVD_FIRST_YEAR: i16 = 2002;

/// Ecosystems that osv.dev serves as one archive each, with the feed ids that they make. The distributions among them
/// whose own feeds say more are not taken from there.
const OSV_ECOSYSTEMS: [(&str, &str); 25] = [
    ("osv-npm", "npm"),
    ("osv-pypi", "PyPI"),
    ("osv-go", "Go"),
    ("osv-maven", "Maven"),
    ("osv-crates.io", "crates.io"),
    ("osv-rubygems", "RubyGems"),
    ("osv-packagist", "Packagist"),
    ("osv-nuget", "NuGet"),
    ("osv-bitnami", "Bitnami"),
    ("osv-cran", "CRAN"),
    ("osv-hackage", "Hackage"),
    ("osv-hex", "Hex"),
    ("osv-julia", "Julia"),
    ("osv-pub", "Pub"),
    ("osv-swifturl", "SwiftURL"),
    ("osv-ghc", "GHC"),
    ("osv-github-actions", "GitHub%20Actions"),
    ("osv-almalinux", "AlmaLinux"),
    ("osv-rocky-linux", "Rocky%20Linux"),
    ("osv-ubuntu", "Ubuntu"),
    ("osv-red-hat", "Red%20Hat"),
    ("osv-suse", "SUSE"),
    ("osv-opensuse", "openSUSE"),
    ("osv-openeuler", "openEuler"),
    ("osv-minimos", "MinimOS"),
];

/// Sources by what a user says beside the built-in list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Only these, by name; a final `*` fits any end. Empty: all.
    pub wanted: Vec<String>,
    /// The text of a file of sources (TOML): `[[source]]` with `name`, `url` and, where they differ, `feeds` and `form`.
    /// A name of the built-in list replaces its address, another one is added.
    pub file: Option<String>,
    /// Addresses by name, before those of the file.
    pub urls: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    #[serde(default)]
    source: Vec<SourceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceEntry {
    name: String,
    url: String,
    feeds: Option<Vec<String>>,
    form: Option<SourceForm>,
}

/// The name of the file of sources in an intelligence folder.
pub const SOURCES_FILE: &str = "sources.toml";
/// The most that a file of sources may have, in bytes.
const SOURCES_FILE_BYTES_MAX: u64 = 1 << 20;

impl SourceOptions {
    /// What an intelligence folder says: its [`SOURCES_FILE`], if it has one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn of_folder(folder: &IntelFolder, wanted: &[String]) -> Result<Self> {
        let path = folder.path().join(SOURCES_FILE);
        let file = if path.exists() { Some(Self::read(&path)?) } else { None };
        Ok(Self { wanted: wanted.to_vec(), file, urls: Vec::new() })
    }

    /// The text of a file of sources.
    ///
    /// # Errors
    /// When it cannot be read, is no text or larger than a megabyte.
    pub fn read(path: &Path) -> Result<String> {
        let bytes = super::unpacked_file(path, SOURCES_FILE_BYTES_MAX)?;
        String::from_utf8(bytes)
            .map_err(|e| Error::because(ErrorKind::Usage, format!("{} is no text", path.display()), e))
    }
}

/// The sources that a synchronisation fetches, in the order of the list. `now` tells which years NVD has files for.
///
/// # Errors
/// `Usage` when a wanted name fits none, or a source that the user names cannot be read.
pub fn sources(options: &SourceOptions, now: Timestamp) -> Result<Vec<FeedSource>> {
    let mut all = built_in(now);
    if let Some(text) = &options.file {
        let file: SourceFile = toml::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Usage, format!("the file of sources cannot be read: {e}")))?;
        file.source.into_iter().try_for_each(|entry| set(&mut all, entry))?;
    }
    for (name, url) in &options.urls {
        set(&mut all, SourceEntry { name: name.clone(), url: url.clone(), feeds: None, form: None })?;
    }
    let wanted = &options.wanted;
    if let Some(unknown) = wanted.iter().find(|pattern| !all.iter().any(|s| super::fits(&s.name, pattern))) {
        let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
        let text = format!("no feed is called {unknown:?}; there are: {}", names.join(", "));
        return Err(Error::new(ErrorKind::Usage, text));
    }
    let is_wanted = |s: &FeedSource| wanted.iter().any(|pattern| super::fits(&s.name, pattern));
    all.retain(|s| if wanted.is_empty() { !s.on_demand } else { is_wanted(s) });
    Ok(all)
}

/// An address in place of another is that of the document itself, unless the entry says otherwise: a mirror has it, and
/// not what leads to it.
fn set(all: &mut Vec<FeedSource>, entry: SourceEntry) -> Result<()> {
    let SourceEntry { name, url, feeds, form } = entry;
    let is_address = ["https://", "http://", "file:"].iter().any(|scheme| url.starts_with(scheme));
    if name.is_empty() || !is_address {
        let text = format!("the source {name:?} has the address {url:?}: expected https://, http:// or file:");
        return Err(Error::new(ErrorKind::Usage, text));
    }
    let form = form.unwrap_or(SourceForm::Document);
    match all.iter_mut().find(|source| source.name == name) {
        Some(known) => {
            (known.url, known.form, known.on_demand) = (url, form, false);
            known.feeds = feeds.unwrap_or_else(|| std::mem::take(&mut known.feeds));
        }
        None => {
            let feeds = feeds.unwrap_or_else(|| vec![name.clone()]);
            all.push(FeedSource { name, feeds, url, form, on_demand: false });
        }
    }
    Ok(())
}

fn built_in(now: Timestamp) -> Vec<FeedSource> {
    let mut all = vec![
        FeedSource::one(
            "cisa-kev",
            "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
        ),
        FeedSource::one("epss", "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"),
        FeedSource::one("end-of-life", "https://endoflife.date/api/v1/products/full"),
        FeedSource::one("debian-tracker", "https://security-tracker.debian.org/tracker/data/json"),
        FeedSource::one("ubuntu-vex", "https://security-metadata.canonical.com/vex/vex-all.tar.xz"),
        FeedSource::one("oracle-oval", "https://linux.oracle.com/security/oval/com.oracle.elsa-all.xml.bz2"),
        FeedSource::one("arch", "https://security.archlinux.org/issues/all.json"),
        FeedSource::one("redhat-vex", "https://security.access.redhat.com/data/csaf/v2/vex/archive_latest.txt")
            .form(SourceForm::Pointer)
            .on_demand(),
        FeedSource::one("suse-vex", "https://ftp.suse.com/pub/projects/security/csaf-vex.tar.bz2").on_demand(),
        FeedSource::new("wolfi", &["wolfi-secdb-*"], "https://packages.wolfi.dev/os/security.json"),
        FeedSource::new("chainguard", &["chainguard-secdb-*"], "https://packages.cgr.dev/chainguard/security.json"),
        // Its publisher has ended operations on 2026-10-22 (anchore/vunnel issue 1318): osv.dev has the last records.
        FeedSource::new("minimos", &["minimos-secdb-*"], "https://packages.mini.dev/advisories/secdb/security.json")
            .on_demand(),
    ];
    for release in ALPINE_RELEASES {
        for repository in ["main", "community"] {
            let url = format!("https://secdb.alpinelinux.org/{release}/{repository}.json");
            all.push(FeedSource::one(&format!("alpine-secdb-{release}-{repository}"), url));
        }
    }
    all.extend(rpm_repositories());
    for release in PHOTON_RELEASES {
        let url = format!("https://packages.broadcom.com/photon/photon_cve_metadata/cve_data_photon{release}.json");
        all.push(FeedSource::one(&format!("photon-{release}"), url));
    }
    for (name, file) in AZURE_RELEASES {
        let folder = "https://raw.githubusercontent.com/microsoft/AzureLinuxVulnerabilityData/main";
        all.push(FeedSource::one(name, format!("{folder}/{file}")));
    }
    for (name, ecosystem) in OSV_ECOSYSTEMS {
        let url = format!("https://osv-vulnerabilities.storage.googleapis.com/{ecosystem}/all.zip");
        all.push(FeedSource::one(name, url));
    }
    // An ecosystem of the OSV schema that osv.dev has no source for (`source.yaml` of google/osv.dev): for a publisher of
    // the user's, or until it has one.
    all.push(
        FeedSource::one("osv-conancenter", "https://osv-vulnerabilities.storage.googleapis.com/ConanCenter/all.zip")
            .on_demand(),
    );
    let nvd = "https://nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0";
    let this_year = now.strftime("%Y").to_string().parse().unwrap_or(NVD_FIRST_YEAR);
    for year in NVD_FIRST_YEAR..=this_year {
        all.push(FeedSource::one(&format!("nvd-{year}"), format!("{nvd}-{year}.json.gz")));
    }
    all.push(FeedSource::one("nvd-modified", format!("{nvd}-modified.json.gz")));
    all
}

fn rpm_repositories() -> Vec<FeedSource> {
    let amazon = "https://cdn.amazonlinux.com";
    let mirrors = |name: &str, path: String| {
        FeedSource::one(name, format!("{amazon}/{path}/x86_64/mirror.list")).form(SourceForm::MirrorList)
    };
    let mut all = vec![
        mirrors("amazon-2", "2/core/latest".to_owned()),
        mirrors("amazon-2023", "al2023/core/mirrors/latest".to_owned()),
        // The preview of 2023, which no longer gets fixes.
        mirrors("amazon-2022", "al2022/core/mirrors/latest".to_owned()).on_demand(),
    ];
    for topic in AMAZON_EXTRAS {
        all.push(mirrors(&format!("amazon-2-{topic}"), format!("2/extras/{topic}/latest")));
    }
    for (release, tree) in FEDORA_RELEASES {
        let folder = format!("https://dl.fedoraproject.org/pub/{tree}/linux/updates/{release}/Everything/x86_64");
        let source = FeedSource::one(&format!("fedora-{release}"), format!("{folder}/repodata/repomd.xml"));
        all.push(source.form(SourceForm::Repository));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2030-02-15T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn every_built_in_source_has_a_name_of_its_own_and_a_safe_address() {
        let all = built_in(now());
        let mut names: Vec<&str> = all.iter().map(|source| source.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|source| source.url.starts_with("https://") && !source.feeds.is_empty()));
        assert!(names.contains(&"nvd-2030") && !names.contains(&"nvd-2031"));
        let default = sources(&SourceOptions::default(), now()).unwrap();
        assert!(default.iter().all(|source| !["redhat-vex", "minimos", "osv-conancenter"].contains(&&*source.name)));
        let url_of = |name: &str| all.iter().find(|source| source.name == name).map(|source| source.url.as_str());
        let fedora = "https://dl.fedoraproject.org/pub/fedora/linux/updates/44/Everything/x86_64/repodata/repomd.xml";
        assert_eq!(url_of("fedora-44"), Some(fedora));
        assert_eq!(url_of("fedora-42"), Some(&*fedora.replace("pub/fedora", "pub/archive/fedora").replace("44", "42")));
    }

    #[test]
    fn addresses_are_replaced_and_added_by_name() {
        let options = SourceOptions {
            wanted: vec!["redhat-vex".to_owned(), "ours*".to_owned(), "epss".to_owned()],
            file: Some(
                "[[source]]\nname = \"redhat-vex\"\nurl = \"https://mirror.example.org/vex.tar.zst\"\n\
                 [[source]]\nname = \"ours\"\nurl = \"file:/srv/feeds\"\nfeeds = [\"hashes-*\"]\n"
                    .to_owned(),
            ),
            urls: vec![("epss".to_owned(), "http://127.0.0.1/epss.csv.gz".to_owned())],
        };
        let found = sources(&options, now()).unwrap();
        let row = |s: &FeedSource| (s.name.clone(), s.url.clone(), s.form, s.feeds.join(","));
        let rows: Vec<_> = found.iter().map(row).collect();
        let expect = |name: &str, url: &str, feeds: &str| {
            (name.to_owned(), url.to_owned(), SourceForm::Document, feeds.to_owned())
        };
        assert_eq!(
            rows,
            [
                expect("epss", "http://127.0.0.1/epss.csv.gz", "epss"),
                expect("redhat-vex", "https://mirror.example.org/vex.tar.zst", "redhat-vex"),
                expect("ours", "file:/srv/feeds", "hashes-*"),
            ]
        );
        assert!(found[2].gives("hashes-team") && !found[2].gives("epss"));
    }

    #[test]
    fn sources_that_make_no_sense_are_refused() {
        let check = |options: SourceOptions, expect: &str| {
            let error = sources(&options, now()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage);
            assert!(error.full().contains(expect), "{}", error.full());
        };
        let file = |text: &str| SourceOptions { file: Some(text.to_owned()), ..SourceOptions::default() };
        check(SourceOptions { wanted: vec!["nothing".to_owned()], ..SourceOptions::default() }, "no feed is called");
        check(file("[[source]]\nname = \"a\"\nurl = \"/etc/passwd\""), "expected https://");
        check(file("[[source]]\nname = \"a\""), "url");
        check(file("[[sources]]\n"), "unknown field");
    }
}
