//! Small facts written by hand: the examples of checks.

use model::inventory::ImageFile;
use model::layer::{Empty, Healthcheck, HistoryEntry, ImageConfig, Layer, LayerMedia, RootFs, RuntimeConfig};
use model::observation::{AccountFact, CacheFact, FileModeFact, ObservationKind, PasswordState};
use model::{
    Detector, DetectorVersion, Digest, Evidence, ImageInventory, LayerPath, Observation, Package, PackageFormat,
    PackageKey,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A few facts about an image; everything that is not said is unremarkable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snippet {
    /// `USER`; absent means `app`.
    pub user: Option<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `22/tcp`.
    pub ports: Vec<String>,
    /// Mount points.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The health check's test.
    pub healthcheck: Vec<String>,
    /// History lines, each of which made a layer.
    pub history: Vec<String>,
    /// `4755 usr/bin/su`: octal mode, path.
    pub files: Vec<String>,
    /// `0777 srv`: octal mode, path of a folder.
    pub folders: Vec<String>,
    /// `var/cache/apk 3 12000`: folder, files, bytes.
    pub caches: Vec<String>,
    /// `etc/passwd root 0 elsewhere /bin/sh`: file, name, number or `-`, password, shell or `-`.
    pub accounts: Vec<String>,
    /// When the image was built.
    pub created: Option<String>,
    /// Names of operating-system packages.
    pub packages: Vec<String>,
}

impl Snippet {
    /// The facts of an image with these, as every detector would report them.
    pub fn inventory(&self) -> ImageInventory {
        let layers: Vec<Layer> = self.history.iter().zip(0..).map(|(line, index)| layer(index, line)).collect();
        let configuration = ImageConfig {
            created: self.created.as_ref().and_then(|text| text.parse().ok()),
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
            config: self.runtime(),
            rootfs: RootFs { diff_ids: layers.iter().map(|l| l.diff_id).collect() },
            history: self
                .history
                .iter()
                .map(|line| HistoryEntry { created_by: line.clone(), ..HistoryEntry::default() })
                .collect(),
            annotations: BTreeMap::new(),
        };
        let version = |detector| DetectorVersion { detector, fingerprint: "example".to_owned() };
        ImageInventory {
            layers,
            configuration,
            os: None,
            packages: self.packages.iter().map(|name| package(name)).collect(),
            observations: self.observations(),
            files: self.files.iter().map(|text| file(text)).collect(),
            gaps: Vec::new(),
            detectors: Detector::ALL.map(version).to_vec(),
        }
    }

    fn observations(&self) -> Vec<Observation> {
        let folders = self.folders.iter().filter_map(|text| folder(text));
        let caches = self.caches.iter().filter_map(|text| cache(text));
        let accounts = self.accounts.iter().filter_map(|text| account(text));
        folders.chain(caches).chain(accounts).collect()
    }

    fn runtime(&self) -> RuntimeConfig {
        let marks = |texts: &[String]| texts.iter().map(|text| (text.clone(), Empty {})).collect();
        RuntimeConfig {
            user: self.user.clone().unwrap_or_else(|| "app".to_owned()),
            env: self.env.clone(),
            exposed_ports: marks(&self.ports),
            volumes: marks(&self.volumes),
            labels: self.labels.clone(),
            healthcheck: (!self.healthcheck.is_empty()).then(|| Healthcheck { test: self.healthcheck.clone() }),
            ..RuntimeConfig::default()
        }
    }
}

fn layer(index: u32, line: &str) -> Layer {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&index.to_be_bytes());
    let digest = Digest::from_bytes(bytes);
    Layer { index, blob: digest, diff_id: digest, media: LayerMedia::Tar, bytes: 0, instruction: Some(line.to_owned()) }
}

fn package(name: &str) -> Package {
    let evidence = Evidence {
        layer: Some(0),
        path: Some(LayerPath::from("lib/apk/db/installed")),
        line: None,
        removed_in: None,
        history: None,
    };
    Package {
        key: PackageKey::new(PackageFormat::Apk, name, "1.0-r0"),
        evidence: vec![evidence],
        licenses: Vec::new(),
        owner: None,
    }
}

fn observation(path: &str, kind: ObservationKind) -> Observation {
    let evidence =
        Evidence { layer: Some(0), path: Some(LayerPath::from(path)), line: None, removed_in: None, history: None };
    Observation { detector: Detector::Files, kind, evidence }
}

fn folder(text: &str) -> Option<Observation> {
    let (mode, path) = text.split_once(' ')?;
    let mode = u32::from_str_radix(mode, 8).ok()?;
    Some(observation(path, ObservationKind::FolderMode(FileModeFact { mode, uid: 0, gid: 0 })))
}

fn cache(text: &str) -> Option<Observation> {
    let [path, files, bytes] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let fact = CacheFact { files: files.parse().ok()?, bytes: bytes.parse().ok()? };
    Some(observation(path, ObservationKind::Cache(fact)))
}

fn account(text: &str) -> Option<Observation> {
    let [path, name, uid, password, shell] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let password = match password {
        "empty" => PasswordState::Empty,
        "elsewhere" => PasswordState::Elsewhere,
        "locked" => PasswordState::Locked,
        "set" => PasswordState::Set,
        _ => return None,
    };
    let shell = (shell != "-").then(|| shell.to_owned());
    let fact = AccountFact { name: name.to_owned(), uid: uid.parse().ok(), shell, password };
    Some(observation(path, ObservationKind::Account(fact)))
}

fn file(text: &str) -> ImageFile {
    let (mode, path) = text.split_once(' ').unwrap_or(("0", text));
    ImageFile {
        path: LayerPath::from(path),
        layer: 0,
        removed_in: None,
        mode: u32::from_str_radix(mode, 8).unwrap_or_default(),
        uid: 0,
        bytes: 1,
        sha256: None,
        checksums: Vec::new(),
    }
}
