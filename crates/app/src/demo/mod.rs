//! `pratique demo`: a self-contained tour. The registry and its images are samples; everything else is the product:
//! discovery, reading, matching, judging, the page. Needs nothing but this binary.

mod images;
mod registry;

use crate::arguments::DemoArguments;
use crate::command::serve::{EngineSetup, engine_setup, wait_for_signal};
use crate::exit::Exit;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use engine::feeds::FeedOptions;
use engine::service::Engine;
use engine::task::evaluate::{Bench, Cause, ImageVerdict};
use engine::workplace::local::readers_of;
use model::finding::FindingKind;
use model::issue::IssueState;
use model::policy::{PolicyKind, PolicySet, TrustedImages};
use model::registry::{InitialScan, Registry, RegistryConfig, RegistryKind, RegistryStatus, ScanMode, ScopeGlobs};
use model::{PackageKey, Scope};
use registry::SampleRegistry;
use secrecy::SecretString;
use server::{Server, ServerOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::types::{ImageFilter, IssueCount, Page};
use tokio_util::sync::CancellationToken;

/// Records that ship with the program; `intelligence/README.md` names their sources.
const INTELLIGENCE: [(&str, &str); 8] = [
    ("alpine-secdb/v3.10/main.json", include_str!("intelligence/alpine-secdb-v3.10-main.json")),
    ("alpine-secdb/v3.10/community.json", include_str!("intelligence/alpine-secdb-v3.10-community.json")),
    ("debian-tracker/data.json", include_str!("intelligence/debian-tracker.json")),
    ("osv/PYSEC-2019-10.json", include_str!("intelligence/osv-PYSEC-2019-10.json")),
    ("osv/PYSEC-2019-11.json", include_str!("intelligence/osv-PYSEC-2019-11.json")),
    ("osv/PYSEC-2019-12.json", include_str!("intelligence/osv-PYSEC-2019-12.json")),
    ("osv/GHSA-jf85-cpcp-j695.json", include_str!("intelligence/osv-GHSA-jf85-cpcp-j695.json")),
    ("kev/known_exploited_vulnerabilities.json", include_str!("intelligence/cisa-kev.json")),
];

/// Far more than the sample needs; a demo that hangs should say so.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(arguments: DemoArguments) -> Result<Exit> {
    let data = tempfile::tempdir().context("no temporary folder can be made")?;
    let sample = SampleRegistry::start(images::build()?).await?;
    let setup = EngineSetup {
        data: data.path(),
        workers: 4,
        spool_max: 256 << 20,
        deny_private: false,
        clamd: None,
        memory_max: None,
        feeds: FeedOptions::default(),
    };
    let engine = Engine::start(engine_setup(setup).await?).await?;
    let tour = Tour { engine: Arc::clone(&engine), sample };
    tour.prepare().await?;
    let page = if arguments.once { None } else { Some(open_page(&arguments, &engine, data.path()).await?) };
    let registry = tour.connect().await?;
    tour.wait(registry.id).await?;
    tour.summarise(&registry).await?;
    tour.next_morning().await?;
    if let Some(page) = page {
        anstream::println!("\nThe page is open at {}\nPress Ctrl-C to end; everything is thrown away then.", page.link);
        wait_for_signal().await;
        page.stop.cancel();
        page.task.await.context("the page was cut off")??;
    }
    engine.stop().await;
    Ok(Exit::Done)
}

struct OpenPage {
    link: String,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), server::Error>>,
}

async fn open_page(arguments: &DemoArguments, engine: &Arc<Engine>, data: &std::path::Path) -> Result<OpenPage> {
    let given = std::env::var("PRATIQUE_ADMIN_TOKEN").ok().filter(|t| !t.is_empty()).map(SecretString::from);
    let options = ServerOptions {
        listen: arguments.listen,
        tls: None,
        admin_token: given,
        deny_private: false,
        data: data.to_owned(),
    };
    let server = Server::bind(options, Arc::clone(engine)).await?;
    let link = server.setup_link().unwrap_or_else(|| format!("http://{}/", server.address()));
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone()));
    Ok(OpenPage { link, stop, task })
}

struct Tour {
    engine: Arc<Engine>,
    sample: SampleRegistry,
}

impl Tour {
    /// Loads the intelligence, and switches on the policy that knows which repositories are trusted.
    async fn prepare(&self) -> Result<()> {
        let documents: Vec<(String, Vec<u8>)> =
            INTELLIGENCE.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        let now = self.engine.office.clock.now();
        let imported = engine::feeds::import_documents(self.engine.library.folder(), &documents, now)?;
        if let Some(broken) = imported.failed.first() {
            bail!("the intelligence that ships with the program is broken: {}: {}", broken.path, broken.reason);
        }
        let records: u64 = imported.feeds.iter().map(|feed| feed.records).sum();
        anstream::println!("intelligence: {} feeds, {records} records", imported.feeds.len());
        self.engine.office.store.put_policies(&demo_policies(), "demo", now).await?;
        Ok(())
    }

    async fn connect(&self) -> Result<Registry> {
        let config = RegistryConfig {
            name: "sample".into(),
            kind: RegistryKind::DockerV2,
            url: self.sample.address.to_string(),
            ca_certificate: None,
            plain_http: true,
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
        };
        let office = &self.engine.office;
        let registry = office.store.add_registry(&config, None, "demo", office.clock.now()).await?;
        self.engine.registries_changed();
        Ok(registry)
    }

    /// Waits until everything is discovered, read and judged.
    async fn wait(&self, id: model::Id<model::id::kind::Registry>) -> Result<()> {
        let progress = Progress::new(0, "scanning", false);
        let started = tokio::time::Instant::now();
        loop {
            let store = &self.engine.office.store;
            let registry = store.registry(&Scope::All, id).await?;
            if registry.status == RegistryStatus::Error {
                bail!("the sample registry cannot be discovered: {}", registry.reason);
            }
            let counts = store.registry_counts(&Scope::All, id).await?;
            let done = counts.scanned + counts.partial + counts.failed;
            progress.set(done, counts.images, &format!("{done} of {} images read", counts.images));
            if registry.discovered_at.is_some() && self.engine.is_idle().await? {
                progress.finish();
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("the sample was not read within {} seconds", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn summarise(&self, registry: &Registry) -> Result<()> {
        let store = &self.engine.office.store;
        let counts = store.registry_counts(&Scope::All, registry.id).await?;
        anstream::println!(
            "\nDiscovered   {} repositories, {} tags, {} images",
            counts.repositories,
            counts.tags,
            counts.images
        );
        let views = store.repositories(&Scope::All, registry.id, &Page::first(100)).await?;
        for view in views {
            anstream::println!("             {:<20} {} tags, {} images", view.name, view.tags, view.images);
        }
        anstream::println!(
            "Scanned      {} images ({} with gaps, {} failed)",
            counts.scanned + counts.partial,
            counts.partial,
            counts.failed
        );
        let (findings, gaps) = self.findings(registry).await?;
        anstream::println!("\nFindings");
        for kind in FindingKind::ALL {
            anstream::println!("  {:<18} {:>4}", kind.as_str(), findings.get(&kind).copied().unwrap_or_default());
        }
        anstream::println!("\nWhat could not be seen: {gaps} gaps");
        self.issues().await
    }

    /// Open findings by kind over all images. Untrusted images are found by the policies, so their issues are counted.
    async fn findings(&self, registry: &Registry) -> Result<(BTreeMap<FindingKind, u64>, usize)> {
        let office = &self.engine.office;
        let loaded = self.engine.library.current();
        let readers = readers_of(&registry.config);
        let mut counts: BTreeMap<FindingKind, u64> = BTreeMap::new();
        let mut gaps = 0;
        for image in office.store.images(&Scope::All, &ImageFilter::default(), &Page::first(100)).await? {
            let Some(stored) = office.store.inventory(&Scope::All, &image.digest, &readers).await? else { continue };
            let keys: Vec<PackageKey> = stored.inventory.packages.iter().map(|p| p.key.clone()).collect();
            let matches = office.store.matches(&keys).await?.into_iter().collect();
            let (tuning, now) = (policy::CompiledTuning::default(), office.clock.now());
            let place = policy::Place { digest: Some(image.digest), repositories: &[] };
            let bench = Bench { intelligence: &loaded.intelligence, tuning: &tuning, place, now };
            let verdict = ImageVerdict::new(&stored.inventory, &matches, &bench)?;
            gaps += verdict.gaps.len();
            for finding in verdict.findings {
                *counts.entry(finding.kind).or_default() += 1;
            }
        }
        for count in self.open_issues().await?.iter().filter(|c| c.kind == FindingKind::UntrustedImage) {
            *counts.entry(FindingKind::UntrustedImage).or_default() += count.count;
        }
        Ok((counts, gaps))
    }

    async fn open_issues(&self) -> Result<Vec<IssueCount>> {
        let mut counts = self.engine.office.store.issue_counts(&Scope::All).await?;
        counts.retain(|count| count.state == IssueState::Open);
        Ok(counts)
    }

    async fn issues(&self) -> Result<()> {
        let policies = self.engine.office.store.policies().await?.unwrap_or_default();
        let counts = self.open_issues().await?;
        let total: u64 = counts.iter().map(|count| count.count).sum();
        anstream::println!("\nOpen issues  {total}");
        for kind in PolicyKind::ALL {
            let ids: Vec<&str> = policies.policies.iter().filter(|p| p.kind == kind).map(|p| p.id.as_str()).collect();
            let open: u64 = counts.iter().filter(|c| ids.contains(&c.policy.as_str())).map(|c| c.count).sum();
            anstream::println!("  {:<18} {open:>4}", kind.as_str());
        }
        Ok(())
    }

    /// A file that was scanned becomes known bad: judged again, with no request to the registry.
    async fn next_morning(&self) -> Result<()> {
        let before: u64 = self.open_issues().await?.iter().map(|count| count.count).sum();
        let requests = self.sample.requests();
        let hash = registry::digest(images::QUIET_SCRIPT.as_bytes()).hex();
        let list = format!("sha256,name,source\n{hash},Sample.Exfiltration.Script,demo\n");
        let office = &self.engine.office;
        let documents = [("hashes-next-morning.csv".to_owned(), list.into_bytes())];
        let imported = engine::feeds::import_documents(self.engine.library.folder(), &documents, office.clock.now())?;
        self.until_judged(imported.generation).await?;
        let after: u64 = self.open_issues().await?.iter().map(|count| count.count).sum();
        anstream::println!(
            "\nThe next morning a hash list names a script that was scanned before:\n  {} new issue, {} requests to the registry",
            after.saturating_sub(before),
            self.sample.requests() - requests
        );
        self.engine.evaluate_because(Cause::Asked("demo".into()));
        Ok(())
    }

    async fn until_judged(&self, generation: u64) -> Result<()> {
        let started = tokio::time::Instant::now();
        while self.engine.office.store.judged_generation().await? != Some(generation) {
            if started.elapsed() > PATIENCE {
                bail!("the new intelligence was not judged within {} seconds", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// The default policies, with the sample's repositories as the trusted ones.
fn demo_policies() -> PolicySet {
    let mut set = policy::default_policies();
    for policy in set.policies.iter_mut().filter(|p| p.kind == PolicyKind::TrustedImages) {
        policy.enabled = true;
        policy.trusted = Some(TrustedImages {
            repositories: vec!["sample/shop/*".into(), "sample/tools/*".into()],
            ..TrustedImages::default()
        });
    }
    set
}
