//! `pratique scan REF`: one image, no server.

use crate::arguments::{PlatformArgument, ScanArguments, Scanner, ShowArgument, Transport};
use crate::exit::Exit;
use crate::folders;
use crate::malware_rules;
use crate::progress::Progress;
use crate::secret_rules;
use crate::tuning_file;
use analyze::sbom::SbomLimits;
use analyze::{DetectorOptions, Detectors};
use anyhow::{Context, Result, bail};
use engine::clock::{Clock, SystemClock};
use engine::intelligence::Library;
use engine::single::{self, Judged, LayerRead, LazyRead, ReadStatistics, SingleScan};
use engine::source::{self, OpenImage, OpenOptions, PlatformChoice, SbomDocument, Source};
use engine::task::scan::{Reading, share_memory};
use model::extraction::ExtractionRules;
use model::policy::PolicySet;
use model::ports::Inspector;
use model::registry::Credentials;
use model::tuning::Tuning;
use model::{Detector, Digest, ImageInventory, Timestamp};
use policy::{CompiledTuning, GateInput, GateResult, Place, Scanners, Show};
use remote::clamd::{Clamd, ClamdAddress, ClamdOptions};
use report::scan::{RenderOptions, ScanInput, ScanReport, Statistics};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use store::DiskSpool;
use store::fact_cache::FactCache;

/// Layers of the image that are read side by side, if the memory allows it.
const LAYERS_AT_ONCE_MAX: usize = 4;

/// The cache of facts is kept below this.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// Facts of one-image scans are not shared with anyone, and the fingerprint of a secret is not shown.
const LOCAL_SECRET_KEY: [u8; 32] = *b"pratique: one image, no server.\0";

pub(crate) async fn run(arguments: ScanArguments) -> Result<Exit> {
    let target = Target::read(&arguments.reference)?;
    let scanners = Chosen::new(&arguments.scanners, arguments.lazy)?;
    let policies = arguments.policy.as_deref().map(read_policies).transpose()?;
    let tuning = arguments.tuning.as_deref().map(tuning_file::read).transpose()?.unwrap_or_default();
    // The rules are compiled while the registry answers.
    let compiling = match &target {
        Target::Image(_) => Some(compile(detector_options(&arguments, &scanners)?)),
        Target::Sbom(_) => None,
    };
    let images = match &target {
        Target::Image(source) => open_images(&arguments, source).await?,
        Target::Sbom(_) => Vec::new(),
    };
    let library = Library::open(&folders::intelligence(arguments.intel.clone())?)?;
    let known = !library.current().intelligence.feeds().is_empty();
    if !known && scanners.named.contains(&Scanner::Vulnerabilities) {
        bail!(
            "no intelligence is loaded, so vulnerabilities cannot be looked for: run `pratique feeds sync` or `pratique feeds import`"
        );
    }
    let scan =
        Scan { arguments: &arguments, scanners, policies, tuning, library, now: SystemClock.now(), target: &target };
    let mut reports = Vec::new();
    let mut exit = Exit::Done;
    let mut add = |(report, gate): (ScanReport, GateResult)| {
        tell(&report, &gate);
        if !gate.passes() {
            exit = Exit::Refused;
        }
        reports.push(report);
    };
    if let Some(compiling) = compiling {
        let reading = scan.reading(compiling.await??)?;
        for image in &images {
            add(scan.image(image, &reading).await?);
        }
    }
    if let Target::Sbom(document) = &target {
        add(scan.sbom(document)?);
    }
    write_reports(&arguments, &reports)?;
    Ok(exit)
}

/// What is scanned.
enum Target {
    Image(Source),
    Sbom(Box<SbomDocument>),
}

impl Target {
    fn read(reference: &str) -> Result<Self> {
        Ok(match source::sbom_file(reference)? {
            Some(path) => Self::Sbom(Box::new(source::read_sbom_file(&path, &SbomLimits::default())?)),
            None => Self::Image(reference.parse()?),
        })
    }
}

fn detector_options(arguments: &ScanArguments, scanners: &Chosen) -> Result<DetectorOptions> {
    let mut rules = secret_rules::read(&arguments.secret_rules)?;
    if let Some(folder) = arguments.yara.as_deref().filter(|_| scanners.has(Scanner::Malware)) {
        rules.documents.extend(malware_rules::read(folder)?);
    }
    let limits = analyze::Limits { spooled_bytes_max: arguments.spool_max, ..analyze::Limits::default() };
    Ok(DetectorOptions { secret_key: LOCAL_SECRET_KEY, limits, rules })
}

fn compile(options: DetectorOptions) -> tokio::task::JoinHandle<Result<Detectors, analyze::Error>> {
    tokio::task::spawn_blocking(move || Detectors::new(options))
}

async fn open_images(arguments: &ScanArguments, source: &Source) -> Result<Vec<OpenImage>> {
    let images = source::open(source, &open_options(arguments)?).await?;
    if images.len() > 1 && !arguments.format.holds_several() {
        return Err(one_image_a_document(arguments, &images).into());
    }
    Ok(images)
}

/// A bill of materials is about one image.
fn one_image_a_document(arguments: &ScanArguments, images: &[OpenImage]) -> engine::Error {
    let platforms: Vec<String> = images.iter().map(|image| image.resolved.platform.to_string()).collect();
    let text = format!(
        "a document of the format {} is about one image, and {} has several: choose one with --platform {}",
        arguments.format.as_str(),
        arguments.reference,
        platforms.join("|")
    );
    engine::Error::new(engine::ErrorKind::Usage, text)
}

/// Which scanners run.
struct Chosen {
    named: BTreeSet<Scanner>,
    all: bool,
    lazy: bool,
}

/// What can be looked for without reading every byte.
const LAZY: [Scanner; 3] = [Scanner::Configuration, Scanner::Packages, Scanner::Vulnerabilities];

impl Chosen {
    /// Reading in part leaves out the scanners that need every byte; to ask for one of them by name is refused.
    fn new(named: &[Scanner], lazy: bool) -> Result<Self> {
        let mut set: BTreeSet<Scanner> = named.iter().copied().collect();
        if lazy && set.iter().any(|scanner| !LAZY.contains(scanner)) {
            let text = "--lazy downloads only what the package analyzers want, and secrets and malware need every byte: \
                        leave out --lazy, or secrets and malware";
            return Err(engine::Error::new(engine::ErrorKind::Usage, text).into());
        }
        if set.contains(&Scanner::Vulnerabilities) {
            set.insert(Scanner::Packages);
        }
        if lazy && set.is_empty() {
            anstream::eprintln!("pratique: note: --lazy does not look for secrets and malware, which need every byte");
        }
        Ok(Self { all: set.is_empty(), lazy, named: set })
    }

    fn has(&self, scanner: Scanner) -> bool {
        if self.all { !self.lazy || LAZY.contains(&scanner) } else { self.named.contains(&scanner) }
    }

    fn detectors(&self) -> BTreeSet<Detector> {
        let mut out = BTreeSet::from([Detector::Files]);
        if self.has(Scanner::Packages) || self.has(Scanner::Malware) {
            out.insert(Detector::Packages);
        }
        if self.has(Scanner::Secrets) {
            out.insert(Detector::Secrets);
        }
        if self.has(Scanner::Malware) {
            out.insert(Detector::Malware);
        }
        if self.has(Scanner::Configuration) {
            out.insert(Detector::Configuration);
        }
        out
    }

    fn judged(&self) -> Scanners {
        Scanners {
            vulnerabilities: self.has(Scanner::Vulnerabilities),
            secrets: self.has(Scanner::Secrets),
            malware: self.has(Scanner::Malware),
            configuration: self.has(Scanner::Configuration),
        }
    }

    fn not_run(&self) -> Vec<String> {
        let words = [
            (Scanner::Configuration, "configuration"),
            (Scanner::Malware, "malware"),
            (Scanner::Packages, "packages"),
            (Scanner::Secrets, "secrets"),
            (Scanner::Vulnerabilities, "vulnerabilities"),
        ];
        words.into_iter().filter(|(scanner, _)| !self.has(*scanner)).map(|(_, word)| word.to_owned()).collect()
    }
}

/// clamd, as the port that reading asks.
pub(crate) fn inspector(address: ClamdAddress) -> Arc<dyn Inspector> {
    Arc::new(Clamd::new(ClamdOptions::new(address)))
}

/// Reads a policy file.
pub(crate) fn read_policies(path: &Path) -> Result<PolicySet> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("the policy file {} cannot be read", path.display()))?;
    policy::parse_policies(&text).with_context(|| format!("the policy file {} cannot be used", path.display()))
}

fn open_options(arguments: &ScanArguments) -> Result<OpenOptions> {
    let platform = match &arguments.platform {
        None => PlatformChoice::Host,
        Some(PlatformArgument::All) => PlatformChoice::All,
        Some(PlatformArgument::One(platform)) => PlatformChoice::One(platform.clone()),
    };
    transport_options(&arguments.transport, platform, arguments.spool_max)
}

/// How a registry is reached.
pub(crate) fn transport_options(
    transport: &Transport,
    platform: PlatformChoice,
    spool_bytes_max: u64,
) -> Result<OpenOptions> {
    let plain_http = transport.plain_http || transport.insecure;
    let skip_tls_verify = transport.skip_tls_verify || transport.insecure;
    let credentials = credentials(transport)?;
    if credentials.is_some() && (plain_http || skip_tls_verify) {
        anstream::eprintln!("pratique: warning: the password is sent over a connection that is not protected");
    }
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    Ok(OpenOptions {
        platform,
        plain_http,
        skip_tls_verify,
        ca_certificate: transport.ca.as_deref().map(read).transpose()?,
        credentials,
        user_agent: remote::server_user_agent(),
        spool_bytes_max,
    })
}

fn credentials(transport: &Transport) -> Result<Option<Credentials>> {
    let Some(username) = transport.username.clone() else { return Ok(None) };
    Ok(Some(Credentials { username, password: password(transport.password_stdin)? }))
}

/// The first line of standard input, or `PRATIQUE_PASSWORD`.
pub(crate) fn password(from_stdin: bool) -> Result<String> {
    if !from_stdin {
        return std::env::var("PRATIQUE_PASSWORD")
            .context("a user name needs a password: --password-stdin, or PRATIQUE_PASSWORD");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the password cannot be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What is judged, in the words of the report.
struct Judging<'a> {
    reference: &'a str,
    digest: Option<&'a Digest>,
    config_digest: Option<&'a Digest>,
    /// What policies know it by.
    identity: Digest,
}

struct Scan<'a> {
    arguments: &'a ScanArguments,
    scanners: Chosen,
    policies: Option<PolicySet>,
    tuning: Tuning,
    library: Library,
    now: Timestamp,
    target: &'a Target,
}

impl Scan<'_> {
    fn reading(&self, mut detectors: Detectors) -> Result<Reading> {
        let wants_malware = self.scanners.has(Scanner::Malware);
        secret_rules::refuse(detectors.problems())?;
        malware_rules::tell(detectors.problems());
        tuning_file::tell_unknown(&self.tuning, &detectors);
        let inspector = self.arguments.clamd.clone().filter(|_| wants_malware).map(inspector);
        if inspector.is_some() {
            detectors = detectors.inspected();
        }
        let (layers_at_once, memory) = share_memory(self.arguments.memory_max, LAYERS_AT_ONCE_MAX);
        Ok(Reading {
            detectors: Arc::new(detectors),
            spool: Arc::new(DiskSpool::new(&std::env::temp_dir(), self.arguments.spool_max)?),
            inspector,
            layers_at_once,
            memory,
        })
    }

    async fn image(&self, image: &OpenImage, reading: &Reading) -> Result<(ScanReport, GateResult)> {
        let only = self.scanners.detectors();
        let cache = self.cache();
        let progress = Progress::new(image.resolved.layers.len() as u64, "reading layers", false);
        let single = SingleScan {
            reading,
            only: &only,
            cache: cache.as_ref(),
            lazy: self.arguments.lazy,
            now: self.now,
            progress: &|layer| {
                let (number, of, bytes) = (layer.index + 1, layer.of, layer.bytes);
                progress.step(&format!("layer {number} of {of}: {bytes} bytes, {}", how(layer)));
            },
        };
        let read = single.read(image).await;
        progress.finish();
        let (inventory, statistics) = read?;
        let judging = Judging {
            reference: &image.reference,
            digest: image.digest.as_ref(),
            config_digest: Some(&image.resolved.config_digest),
            identity: image.resolved.digest,
        };
        self.judge(inventory, &judging, self.statistics(&statistics))
    }

    /// A bill of materials, in the place of an image. What it cannot tell is a gap for the scanners that were asked for.
    fn sbom(&self, document: &SbomDocument) -> Result<(ScanReport, GateResult)> {
        let started = std::time::Instant::now();
        let options = DetectorOptions {
            secret_key: LOCAL_SECRET_KEY,
            limits: analyze::Limits::default(),
            rules: ExtractionRules::default(),
        };
        let version = Detectors::new(options)?.version(Detector::Packages);
        let mut inventory = analyze::sbom::inventory(&document.sbom, version);
        let only = self.scanners.detectors();
        inventory.gaps.retain(|gap| gap.detector.is_none_or(|detector| only.contains(&detector)));
        let judging = Judging {
            reference: &self.arguments.reference,
            digest: None,
            config_digest: None,
            identity: document.digest,
        };
        let read = ReadStatistics { duration: started.elapsed(), ..ReadStatistics::default() };
        self.judge(inventory, &judging, self.statistics(&read))
    }

    fn judge(
        &self,
        mut inventory: ImageInventory,
        judging: &Judging<'_>,
        statistics: Statistics,
    ) -> Result<(ScanReport, GateResult)> {
        inventory.packages.retain(|_| self.scanners.has(Scanner::Packages) || self.scanners.has(Scanner::Malware));
        let show = match self.arguments.show {
            ShowArgument::Open => Show::Open,
            ShowArgument::All => Show::All,
        };
        let (host, repository, _) = self.named();
        let tuning = CompiledTuning::new(&self.tuning);
        let repositories = [format!("{host}/{repository}")];
        let judged = single::judge(
            &inventory,
            &self.library,
            &single::Judging {
                scanners: self.scanners.judged(),
                show,
                tuning: &tuning,
                place: Place { digest: Some(judging.identity), repositories: &repositories },
                now: self.now,
            },
        )?;
        let gate = self.gate(judging.identity, &inventory, &judged);
        let mut findings = judged.findings.clone();
        findings.extend(gate.untrusted.iter().cloned());
        let report = ScanReport::new(ScanInput {
            reference: judging.reference,
            digest: judging.digest,
            config_digest: judging.config_digest,
            inventory: &inventory,
            findings: &findings,
            gaps: &judged.gaps,
            statistics,
        });
        let report = report.with_base(tuning.told_base(&inventory.configuration).as_ref());
        Ok((report, gate))
    }

    fn cache(&self) -> Option<FactCache> {
        if self.arguments.no_cache {
            return None;
        }
        let opened = folders::facts_cache().and_then(|folder| Ok(FactCache::open(&folder, CACHE_BYTES_MAX)?));
        opened.inspect_err(|error| tracing::warn!("the cache of facts cannot be used: {error:#}")).ok()
    }

    fn statistics(&self, read: &ReadStatistics) -> Statistics {
        let loaded = self.library.current();
        let known = !loaded.intelligence.feeds().is_empty();
        Statistics {
            not_run: self.scanners.not_run(),
            duration_ms: u64::try_from(read.duration.as_millis()).unwrap_or(u64::MAX),
            layers_read: read.layers_read,
            layers_cached: read.layers_cached,
            bytes_read: read.bytes_read,
            bytes_not_read: read.bytes_not_read,
            bytes_uncompressed: read.bytes_uncompressed,
            intelligence_generation: known.then(|| loaded.intelligence.generation()),
            program: format!("pratique {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// What policies and settings know the image by: registry, repository and tags.
    fn named(&self) -> (&str, &str, Vec<String>) {
        match self.target {
            Target::Image(Source::Registry(reference)) => {
                (&reference.registry, &reference.repository, reference.tag.iter().cloned().collect())
            }
            Target::Image(Source::OciFolder(..) | Source::OciArchive(..) | Source::DockerArchive(..))
            | Target::Sbom(_) => ("local", "image", Vec::new()),
        }
    }

    fn gate(&self, digest: Digest, inventory: &ImageInventory, judged: &Judged) -> GateResult {
        let (host, repository, tags) = self.named();
        let diff_ids: Vec<_> = inventory.layers.iter().map(|layer| layer.diff_id).collect();
        policy::gate(&GateInput {
            host,
            repository,
            tags: &tags,
            digest,
            diff_ids: &diff_ids,
            findings: &judged.findings,
            gaps: &judged.gaps,
            policies: self.policies.as_ref(),
            fail_on: self.arguments.fail_on,
            fail_on_gap: self.arguments.fail_on_gap,
            now: self.now,
        })
    }
}

/// How a layer was read.
fn how(layer: &LayerRead) -> String {
    match &layer.lazy {
        Some(LazyRead::Part(Some(cost))) => {
            format!(
                "read in part: {} downloaded, {} not, in {} files",
                cost.bytes_read, cost.bytes_left, cost.members_left
            )
        }
        Some(LazyRead::Part(None)) => "known in part".to_owned(),
        Some(LazyRead::Whole(why)) => format!("read as a whole: {why}"),
        None if layer.cached => "known".to_owned(),
        None => "read".to_owned(),
    }
}

/// Reasons go to standard error, so that a report on standard output stays whole.
fn tell(report: &ScanReport, gate: &GateResult) {
    for note in &gate.notes {
        anstream::eprintln!("pratique: note: {note}");
    }
    for reason in &gate.reasons {
        anstream::eprintln!("pratique: {} fails: {reason}", report.image.reference);
    }
}

fn write_reports(arguments: &ScanArguments, reports: &[ScanReport]) -> Result<()> {
    let colour =
        arguments.output.is_none() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let options = RenderOptions { width, colour, pretty: true, now: Some(SystemClock.now()) };
    let text = match (reports, &arguments.platform) {
        ([report], None | Some(PlatformArgument::One(_))) => report::scan::render(report, arguments.format, &options),
        (reports, _) => report::scan::render_all(reports, arguments.format, &options),
    };
    match &arguments.output {
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("the report cannot be written")
        }
        Some(path) => write_whole(path, text.as_bytes()),
    }
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("the report cannot be written to {}", path.display());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
