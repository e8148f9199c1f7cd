//! What tests put into a store: registries, leases, images, inventories, issues.

use model::detector::Detector;
use model::discovery::{ResolvedContent, ResolvedImage, ResolvedManifest, SeenTag};
use model::evidence::Evidence;
use model::inventory::{ImageFile, OsRelease};
use model::issue::{DesiredIssue, IssueKey, Transition};
use model::job::{ImageState, JobOutcome, JobWork, Lease};
use model::layer::{ImageConfig, LayerMedia};
use model::package::Distro;
use model::registry::{InitialScan, Registry, RegistryConfig, RegistryKind, ScanMode, ScopeGlobs};
use model::*;
use store::traits::SharedStore;
use store::types::*;

/// A minute: every lease of the tests is this long unless it says otherwise.
pub(crate) const MINUTE_MS: u32 = 60_000;

/// A store and short ways to fill it.
pub(crate) struct World {
    pub(crate) store: SharedStore,
}

/// Seconds after the tests' beginning of time, and a microsecond.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond((1_700_000_000 + second) * 1_000_000 + 1).unwrap()
}

/// The digest of a name.
pub(crate) fn digest(name: &str) -> Digest {
    // FNV-1a over 32 differently seeded bytes: enough to be distinct, and sorted unlike the names.
    let byte = |seed: usize| {
        let step = |hash: u64, b: u8| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ (seed as u64).wrapping_mul(0x9e37_79b9), step);
        (hash >> 32).to_le_bytes()[seed % 4]
    };
    Digest::from_bytes(std::array::from_fn(byte))
}

pub(crate) fn config(name: &str) -> RegistryConfig {
    RegistryConfig {
        name: name.to_owned(),
        kind: RegistryKind::DockerV2,
        url: format!("https://{name}.example"),
        ca_certificate: None,
        plain_http: false,
        skip_tls_verify: false,
        repositories: Vec::new(),
        scan_mode: ScanMode::Cloud,
        agent_group: None,
        initial_scan: InitialScan::All,
        scope: ScopeGlobs::default(),
        platforms: Vec::new(),
        newest_per_repository: None,
        schedule_seconds: 3600,
        enabled: true,
    }
}

pub(crate) fn brokered(name: &str, group: &str) -> RegistryConfig {
    RegistryConfig { scan_mode: ScanMode::Broker, agent_group: Some(group.to_owned()), ..config(name) }
}

pub(crate) fn group(name: &str) -> Reader {
    Reader::Group(name.to_owned())
}

pub(crate) fn versions(fingerprint: &str) -> Vec<DetectorVersion> {
    let version = |detector| DetectorVersion { detector, fingerprint: fingerprint.to_owned() };
    Detector::ALL.into_iter().map(version).collect()
}

pub(crate) fn platform(architecture: &str) -> Platform {
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
}

pub(crate) fn seen(tag: &str, name: &str) -> SeenTag {
    SeenTag { tag: tag.to_owned(), digest: digest(name), wanted: true, why_not: None }
}

pub(crate) fn resolved(name: &str) -> ResolvedImage {
    let layer = |index: u32| Layer {
        index,
        blob: digest(&format!("{name} layer {index}")),
        diff_id: digest(&format!("{name} diff {index}")),
        media: LayerMedia::TarGzip,
        bytes: 1000,
        instruction: Some("RUN true".to_owned()),
    };
    ResolvedImage {
        digest: digest(name),
        config_digest: digest(&format!("{name} config")),
        platform: platform("amd64"),
        configuration: ImageConfig { os: "linux".to_owned(), architecture: "amd64".to_owned(), ..Default::default() },
        layers: vec![layer(0), layer(1)],
        why_not: None,
    }
}

/// The manifest of one image.
pub(crate) fn manifest(name: &str) -> ResolvedManifest {
    manifest_of(name, ResolvedContent::Image { image: Box::new(resolved(name)) })
}

pub(crate) fn manifest_of(name: &str, content: ResolvedContent) -> ResolvedManifest {
    ResolvedManifest {
        digest: digest(name),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        content,
    }
}

/// An index of images of other platforms.
pub(crate) fn index(name: &str, members: &[(&str, &str)]) -> ResolvedManifest {
    let member =
        |(name, architecture): &(&str, &str)| ResolvedImage { platform: platform(architecture), ..resolved(name) };
    let images = members.iter().map(member).collect();
    manifest_of(name, ResolvedContent::Index { images, skipped: Vec::new() })
}

/// An Alpine package.
pub(crate) fn key(name: &str, version: &str) -> PackageKey {
    PackageKey {
        distro: Some(Distro { id: "alpine".to_owned(), version: "3.10.2".to_owned() }),
        architecture: Some("x86_64".to_owned()),
        ..PackageKey::new(PackageFormat::Apk, name, version)
    }
}

pub(crate) fn evidence(layer: u32, path: &str) -> Evidence {
    Evidence { layer: Some(layer), path: Some(LayerPath::from(path)), line: None, removed_in: None, history: None }
}

pub(crate) fn file(path: &str, content: &str) -> ImageFile {
    ImageFile {
        path: LayerPath::from(path),
        layer: 1,
        removed_in: None,
        mode: 0o755,
        uid: 0,
        bytes: 3,
        sha256: Some(digest(content)),
        checksums: Vec::new(),
    }
}

/// The inventory of an image with these packages.
pub(crate) fn inventory(name: &str, packages: &[PackageKey]) -> ImageInventory {
    let image = resolved(name);
    let package = |key: &PackageKey| Package {
        key: key.clone(),
        evidence: vec![evidence(0, &format!("lib/{name}/{}", key.name))],
        licenses: vec!["MIT".to_owned()],
        owner: None,
    };
    let mut packages: Vec<Package> = packages.iter().map(package).collect();
    packages.sort_by_key(|p| p.key.purl());
    ImageInventory {
        layers: image.layers,
        configuration: image.configuration,
        os: Some(OsRelease { id: "alpine".to_owned(), version: "3.10.2".to_owned(), name: "Alpine".to_owned() }),
        packages,
        observations: Vec::new(),
        files: vec![file("bin/sh", &format!("{name} sh"))],
        gaps: vec![Gap {
            scope: "layer 0".to_owned(),
            detector: Some(Detector::Secrets),
            reason: GapReason::FileTooLarge,
            detail: "big".to_owned(),
        }],
        detectors: versions("1"),
    }
}

pub(crate) fn matched(vulnerability: &str) -> Match {
    Match {
        vulnerability: vulnerability.to_owned(),
        aliases: vec!["ALPINE-1".to_owned()],
        advisories: Vec::new(),
        verdict: Verdict::Affected { fixed: vec!["2".to_owned()], outlook: advisory::Outlook::Open },
        severity: Severity::High,
        severity_source: "none".to_owned(),
        summary: None,
        cvss: vec![advisory::CvssScore { vector: "CVSS:3.1/AV:N".to_owned(), score: 7.1 }],
        kev: None,
        epss: Some(0.123_456_789),
        published: Some(at(0)),
        fixed_at: None,
        malicious: false,
        because: "1 < 2".to_owned(),
    }
}

pub(crate) fn desired(registry: &str, repository: &str, rule: &str, severity: Severity) -> DesiredIssue {
    let key = IssueKey {
        policy: "p".to_owned(),
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        subject: "apk/openssl".to_owned(),
        rule: rule.to_owned(),
    };
    let finding = Finding {
        kind: FindingKind::Vulnerability,
        id: rule.to_owned(),
        aliases: Vec::new(),
        title: rule.to_owned(),
        severity,
        severity_source: "none".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        evidence: vec![evidence(0, "lib/apk/db/installed")],
        because: String::new(),
        remediation: String::new(),
        vulnerability: None,
    };
    let (kind, tags, digests) = (FindingKind::Vulnerability, vec!["1".to_owned()], vec![digest("app")]);
    DesiredIssue { key, kind, severity, finding, tags, digests, fails: false }
}

pub(crate) fn page(limit: u32, cursor: Option<String>) -> Page {
    Page { limit, cursor }
}

impl World {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store }
    }

    pub(crate) async fn registry(&self, name: &str) -> Registry {
        self.store.add_registry(&config(name), None, "ann", at(0)).await.unwrap()
    }

    pub(crate) async fn brokered(&self, name: &str, group: &str) -> Registry {
        self.store.add_registry(&brokered(name, group), None, "ann", at(0)).await.unwrap()
    }

    pub(crate) async fn enqueue(&self, work: JobWork, reader: Reader) -> u64 {
        let job = NewJob { work, reader, priority: 0, run_after: at(0) };
        self.store.enqueue(&[job], at(0)).await.unwrap()
    }

    /// A lease on exactly this work.
    pub(crate) async fn lease(&self, work: JobWork, reader: Reader) -> Lease {
        let job = NewJob { work: work.clone(), reader: reader.clone(), priority: 1_000_000, run_after: at(0) };
        assert_eq!(self.store.enqueue(&[job], at(0)).await.unwrap(), 1, "{work:?} is live already");
        let lease = self.store.lease("test", &[reader], &[work.kind()], u32::MAX, at(0)).await.unwrap().unwrap();
        assert_eq!(lease.work, work);
        lease
    }

    pub(crate) async fn discovery(&self, registry: &Registry, reader: Reader) -> Lease {
        self.lease(JobWork::Discover { registry: registry.id }, reader).await
    }

    pub(crate) async fn scan(&self, registry: &Registry, image: &str, reader: Reader) -> Lease {
        let work = JobWork::Scan { registry: registry.id, repository: "app".to_owned(), digest: digest(image) };
        self.lease(work, reader).await
    }

    pub(crate) async fn done(&self, lease: &Lease) {
        self.store.finish(lease, &JobOutcome::Done, at(1)).await.unwrap();
    }

    /// Records tags and manifests of a repository: each image is the manifest of a tag of the same name.
    pub(crate) async fn images_in(&self, registry: &Registry, repository: &str, reader: Reader, images: &[&str]) {
        let lease = self.discovery(registry, reader).await;
        let tags: Vec<_> = images.iter().map(|name| seen(name, name)).collect();
        self.store.record_tags(&lease, repository, &tags, at(1)).await.unwrap();
        for name in images {
            self.store.record_manifest(&lease, repository, &manifest(name), at(1)).await.unwrap();
        }
        self.done(&lease).await;
    }

    /// Commits an inventory by one reader.
    pub(crate) async fn commit(&self, registry: &Registry, image: &str, reader: Reader, inventory: &ImageInventory) {
        let lease = self.scan(registry, image, reader.clone()).await;
        let image = digest(image);
        let commit = InventoryCommit {
            image: &image,
            reader: &reader,
            inventory,
            versions: &inventory.detectors,
            state: ImageState::Scanned,
        };
        self.store.commit_inventory(&lease, &commit, at(2)).await.unwrap();
        self.done(&lease).await;
    }

    /// A registry `name` with the repository `app` and read images in it, judged, so that nothing is marked.
    pub(crate) async fn scanned(&self, name: &str, images: &[&str]) -> Registry {
        let registry = self.registry(name).await;
        self.images_in(&registry, "app", Reader::Server, images).await;
        for image in images {
            let packages = [key("musl", "1.1"), key(&format!("only-in-{image}"), "1")];
            self.commit(&registry, image, Reader::Server, &inventory(image, &packages)).await;
        }
        self.judge_all().await;
        registry
    }

    /// The names of the repositories that are marked.
    pub(crate) async fn marked(&self) -> Vec<String> {
        let marked = self.store.repositories_to_judge(100).await.unwrap();
        marked.into_iter().map(|r| format!("{}/{}", r.registry_name, r.repository)).collect()
    }

    /// Clears every mark with empty judgements.
    pub(crate) async fn judge_all(&self) {
        for target in self.store.repositories_to_judge(100).await.unwrap() {
            self.store.apply_judgement(&judgement(target, Vec::new()), at(3)).await.unwrap();
        }
    }

    /// The target of a judgement, marked now.
    pub(crate) async fn target(&self, registry: &Registry, repository: &str) -> RepositoryToJudge {
        let which = Touch::Repository(registry.id, repository.to_owned());
        assert_eq!(self.store.touch_repositories(which, at(3)).await.unwrap(), 1);
        let marked = self.store.repositories_to_judge(1000).await.unwrap();
        marked.into_iter().find(|t| t.registry == registry.id && t.repository == repository).unwrap()
    }

    /// Writes transitions.
    pub(crate) async fn judge(
        &self,
        registry: &Registry,
        repository: &str,
        transitions: Vec<Transition>,
        now: Timestamp,
    ) -> IssueDelta {
        let target = self.target(registry, repository).await;
        self.store.apply_judgement(&judgement(target, transitions), now).await.unwrap()
    }

    pub(crate) async fn only_issue(&self) -> (Issue, Vec<String>) {
        let issues = self.store.issues(&Scope::All, &IssueFilter::default(), &Page::first(10)).await.unwrap();
        assert_eq!(issues.len(), 1);
        let (issue, history) = self.store.issue(&Scope::All, issues[0].id).await.unwrap();
        (issue, history.into_iter().map(|h| format!("{} {}: {}", h.by, h.what, h.why)).collect())
    }

    pub(crate) async fn image(&self, name: &str) -> ImageView {
        self.store.image(&Scope::All, &digest(name)).await.unwrap()
    }

    /// The tags of a registry as `repository:tag` with their view.
    pub(crate) async fn tags(&self, registry: &Registry) -> Vec<(String, TagView)> {
        let all = Page::first(1000);
        let tags = self.store.tags(&Scope::All, registry.id, &TagFilter::default(), &all).await.unwrap();
        tags.into_iter().map(|t| (t.cursor(), t)).collect()
    }
}

/// A judgement with nothing but transitions.
pub(crate) fn judgement(target: RepositoryToJudge, transitions: Vec<Transition>) -> Judgement {
    Judgement {
        target,
        transitions,
        due_days: [Some(1), Some(7), Some(30), None, None, None],
        counters: Vec::new(),
        next_boundary: None,
        evaluation: None,
        reason: "new intelligence".to_owned(),
    }
}
