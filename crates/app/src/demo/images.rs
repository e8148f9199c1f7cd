//! The demo's images, built in memory: each shows one kind of trouble. Their bytes are the same in every run.

use super::registry::{Content, digest};
use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::Digest;
use serde_json::{Value, json};
use std::io::Write;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Built on this day, whenever the demo runs.
const CREATED: &str = "2026-11-01T08:00:00Z";

/// A script that nobody knows to be bad when it is scanned.
pub(crate) const QUIET_SCRIPT: &str = "#!/bin/sh\n# collects build metrics\nexec /opt/runner/metrics --upload \"$@\"\n";

/// A layer: archive, digests, and the instruction that made it.
struct Layer {
    blob: Vec<u8>,
    diff_id: Digest,
    instruction: &'static str,
}

enum Entry<'a> {
    File(&'a str, Vec<u8>, u32),
    Whiteout(&'a str),
}

fn layer(instruction: &'static str, entries: &[Entry<'_>]) -> Result<Layer> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let (path, content, mode) = match entry {
            Entry::File(path, content, mode) => ((*path).to_owned(), content.as_slice(), *mode),
            Entry::Whiteout(path) => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                (format!("{folder}/.wh.{name}"), [].as_slice(), 0o644)
            }
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, path, content).context("a sample layer cannot be built")?;
    }
    let bytes = archive.into_inner().context("a sample layer cannot be built")?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&bytes).context("a sample layer cannot be packed")?;
    Ok(Layer {
        blob: packed.finish().context("a sample layer cannot be packed")?,
        diff_id: digest(&bytes),
        instruction,
    })
}

/// One image: layers and what its configuration says besides.
struct Recipe<'a> {
    architecture: &'a str,
    layers: &'a [&'a Layer],
    config: Value,
    /// Steps that made no layer.
    steps: &'a [&'a str],
}

fn image(content: &mut Content, recipe: &Recipe<'_>) -> Result<(Digest, usize)> {
    let mut history: Vec<Value> =
        recipe.layers.iter().map(|layer| json!({ "created": CREATED, "created_by": layer.instruction })).collect();
    history
        .extend(recipe.steps.iter().map(|step| json!({ "created": CREATED, "created_by": step, "empty_layer": true })));
    let diff_ids: Vec<String> = recipe.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let config = serde_json::to_vec(&json!({
        "created": CREATED,
        "os": "linux",
        "architecture": recipe.architecture,
        "config": recipe.config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    }))?;
    let config_bytes = config.len();
    let config = content.blob(config);
    let layers: Vec<Value> = recipe
        .layers
        .iter()
        .map(
            |layer| json!({ "mediaType": LAYER, "digest": content.blob(layer.blob.clone()), "size": layer.blob.len() }),
        )
        .collect();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config, "size": config_bytes },
        "layers": layers,
    }))?;
    let bytes = manifest.len();
    Ok((content.manifest(MANIFEST, manifest), bytes))
}

/// Builds every sample image.
pub(crate) fn build() -> Result<Content> {
    let mut content = Content::default();
    let alpine = alpine_base()?;
    web(&mut content, &alpine)?;
    api(&mut content)?;
    runner(&mut content, &alpine)?;
    stray(&mut content, &alpine)?;
    Ok(content)
}

fn alpine_base() -> Result<Layer> {
    let release = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.10.2\nPRETTY_NAME=\"Alpine Linux v3.10\"\n";
    let packages = [
        ("musl", "1.1.22-r3", "musl"),
        ("busybox", "1.30.1-r2", "busybox"),
        ("libcrypto1.1", "1.1.1c-r0", "openssl"),
        ("libssl1.1", "1.1.1c-r0", "openssl"),
    ];
    layer(
        "/bin/sh -c #(nop) ADD file:fe64057fbb83dccb960efabbf1cd8777920ef279a7fa8dbca0a8801c651bdf7c in / ",
        &[
            Entry::File("etc/os-release", release.into(), 0o644),
            Entry::File("lib/apk/db/installed", apk(&packages), 0o644),
            Entry::File("bin/su", b"#!/bin/sh\nexec /bin/busybox su \"$@\"\n".to_vec(), 0o4755),
        ],
    )
}

fn apk(packages: &[(&str, &str, &str)]) -> Vec<u8> {
    let stanza = |(name, version, origin): &(&str, &str, &str)| {
        format!("P:{name}\nV:{version}\nA:x86_64\nS:1\nI:1\nT:{name}\nL:MIT\no:{origin}\n\n")
    };
    packages.iter().map(stanza).collect::<String>().into_bytes()
}

/// A web front end on an old Alpine: vulnerable packages, one of them exploited in the wild, and root.
fn web(content: &mut Content, alpine: &Layer) -> Result<()> {
    let packages = [
        ("musl", "1.1.22-r3", "musl"),
        ("busybox", "1.30.1-r2", "busybox"),
        ("expat", "2.2.7-r0", "expat"),
        ("libcrypto1.1", "1.1.1c-r0", "openssl"),
        ("libssl1.1", "1.1.1c-r0", "openssl"),
        ("php7", "7.3.10-r0", "php7"),
        ("php7-fpm", "7.3.10-r0", "php7"),
    ];
    let php = layer(
        "/bin/sh -c apk add php7 php7-fpm expat",
        &[
            Entry::File("lib/apk/db/installed", apk(&packages), 0o644),
            Entry::File("var/www/index.php", b"<?php echo 'hello';\n".to_vec(), 0o644),
        ],
    )?;
    let recipe = Recipe {
        architecture: "amd64",
        layers: &[alpine, &php],
        config: json!({ "Cmd": ["php-fpm7", "-F"], "ExposedPorts": { "9000/tcp": {} } }),
        steps: &["/bin/sh -c #(nop)  CMD [\"php-fpm7\" \"-F\"]"],
    };
    let (digest, _) = image(content, &recipe)?;
    content.tag("shop/web", "1.0", digest);
    content.tag("shop/web", "latest", digest);
    Ok(())
}

/// A service for two platforms: old Django, old glibc, and a secret that was "deleted" in the next layer.
fn api(content: &mut Content) -> Result<()> {
    let base = layer("/bin/sh -c #(nop) ADD file:9a4c2d5ef1f0e0f5b6cc8a2c8c3d6a5b in / ", &[
        Entry::File(
            "etc/os-release",
            b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n".to_vec(),
            0o644,
        ),
        Entry::File("var/lib/dpkg/status", dpkg(), 0o644),
    ])?;
    let django = "Metadata-Version: 2.1\nName: Django\nVersion: 2.2.0\nLicense: BSD\n";
    let key = ["AKIA", "Q3EGRMV5WPTZ7LKD"].concat();
    let secret = ["wJx3kq9TzLr0Vb5mYh2N", "Pd8sGf6AcEuRoXi1QaKt"].concat();
    let env = format!("AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\n");
    let app = layer(
        "COPY . /app # buildkit",
        &[
            Entry::File("app/.env", env.into_bytes(), 0o600),
            Entry::File("usr/lib/python3/dist-packages/Django-2.2.0.dist-info/METADATA", django.into(), 0o644),
        ],
    )?;
    let clean = layer("RUN /bin/sh -c rm /app/.env # buildkit", &[Entry::Whiteout("app/.env")])?;
    let mut members = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let recipe = Recipe {
            architecture,
            layers: &[&base, &app, &clean],
            config: json!({ "User": "1000:1000", "Entrypoint": ["python3", "-m", "api"], "Healthcheck": { "Test": ["CMD", "true"] } }),
            steps: &["USER 1000:1000"],
        };
        let (digest, bytes) = image(content, &recipe)?;
        let platform = json!({ "os": "linux", "architecture": architecture });
        members.push(json!({ "mediaType": MANIFEST, "digest": digest, "size": bytes, "platform": platform }));
    }
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": members }))?;
    let index = content.manifest(INDEX, index);
    content.tag("shop/api", "2.1", index);
    Ok(())
}

fn dpkg() -> Vec<u8> {
    let packages = [
        ("libc6", "2.36-9+deb12u1", "glibc"),
        ("libc-bin", "2.36-9+deb12u1", "glibc"),
        ("zlib1g", "1:1.2.13.dfsg-1", "zlib"),
    ];
    let stanza = |(name, version, source): &(&str, &str, &str)| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nSource: {source}\nVersion: {version}\nDescription: {name}\n\n"
        )
    };
    packages.iter().map(stanza).collect::<String>().into_bytes()
}

/// A build runner: an old lodash, the EICAR test file, and a script that looks harmless.
fn runner(content: &mut Content, alpine: &Layer) -> Result<()> {
    let lodash = br#"{"name":"lodash","version":"4.17.4","license":"MIT"}"#.to_vec();
    // The anti-malware test file (eicar.org), put together here so that the program itself is not flagged.
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!", "$H+H*"].concat();
    let tools = layer(
        "RUN npm install && ./fetch-tools.sh # buildkit",
        &[
            Entry::File("opt/runner/node_modules/lodash/package.json", lodash, 0o644),
            Entry::File("opt/runner/samples/eicar.com", eicar.into_bytes(), 0o755),
            Entry::File("opt/runner/collect.sh", QUIET_SCRIPT.into(), 0o755),
        ],
    )?;
    let recipe = Recipe {
        architecture: "amd64",
        layers: &[alpine, &tools],
        config: json!({ "User": "root", "Cmd": ["/opt/runner/run"], "ExposedPorts": { "22/tcp": {} } }),
        steps: &[],
    };
    let (digest, _) = image(content, &recipe)?;
    content.tag("tools/runner", "nightly", digest);
    Ok(())
}

/// An image that no one has approved.
fn stray(content: &mut Content, alpine: &Layer) -> Result<()> {
    let recipe = Recipe { architecture: "amd64", layers: &[alpine], config: json!({ "Cmd": ["/bin/sh"] }), steps: &[] };
    let (digest, _) = image(content, &recipe)?;
    content.tag("mirror/unknown", "7", digest);
    Ok(())
}
