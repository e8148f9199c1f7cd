//! When a check hits: the typed conditions that `rules/checks` can use.

use super::history::{Command, Step};
use crate::finding::{cut, file_evidence};
use crate::glob::Globs;
use model::inventory::ImageFile;
use model::observation::{AccountFact, ObservationKind, PasswordState};
use model::tuning::Parameter;
use model::{Detector, Evidence, ImageInventory, ImageRef, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One place that a check hits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    /// Where.
    pub(crate) evidence: Evidence,
    /// What is there, for people.
    pub(crate) what: String,
}

/// A condition over the facts of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Condition {
    /// The first process runs as root.
    UserIsRoot {},
    /// There is no health check, or it is switched off.
    NoHealthcheck {},
    /// A port is exposed that is one of these.
    ExposedPort { ports: Vec<u16> },
    /// A mount point is declared that is one of these.
    Volume { paths: Vec<String> },
    /// An environment variable has one of these names (globs, any case), and a value that is none of these (globs).
    EnvironmentName { names: Vec<String>, harmless_values: Vec<String> },
    /// An environment variable has exactly one of these settings (`NAME=value`).
    EnvironmentSetting { settings: Vec<String> },
    /// None of these labels is set.
    LabelMissing { labels: Vec<String> },
    /// The base image is named by a label, and its tag is `latest`.
    LatestBase {},
    /// A file has any of these permission bits (octal), and lies under none of these folders.
    FileMode { any: String, outside: Vec<String> },
    /// A folder has any of these permission bits (octal), none of those in `without`, and lies under none of these
    /// folders.
    FolderMode { any: String, without: String, outside: Vec<String> },
    /// One of these programs or scripts (globs over paths) is in the image.
    ProgramPresent { paths: Vec<String> },
    /// Caches of package managers hold at least so many bytes, together.
    CacheKept { bytes_min: u64 },
    /// An account can be entered without a password.
    AccountWithoutPassword {},
    /// An account other than these has the rights of root.
    AccountWithUidZero { except: Vec<String> },
    /// The image was built so many days ago, by its own word.
    OlderThan { days: u32 },
    /// An operating-system package with one of these names (globs) is installed.
    PackageInstalled { names: Vec<String> },
    /// A file was brought in by `ADD`, other than the root file system of a base image.
    AddInstruction {},
    /// A `RUN` has a command like one of `any`, that is not also like one of `but`, in a step without a command like
    /// one of `unless`.
    Run {
        any: Vec<String>,
        #[serde(default)]
        but: Vec<String>,
        #[serde(default)]
        unless: Vec<String>,
    },
    /// A `RUN` pipes the output of one program into another.
    Pipe { from: Vec<String>, into: Vec<String> },
}

/// A document is a table: the condition stands in one, as it does in a check.
#[derive(Serialize, Deserialize)]
struct Whole<C> {
    when: C,
}

impl Condition {
    /// The detectors whose facts it looks at.
    pub(crate) const fn detectors(&self) -> &'static [Detector] {
        match self {
            Self::UserIsRoot {}
            | Self::NoHealthcheck {}
            | Self::ExposedPort { .. }
            | Self::Volume { .. }
            | Self::EnvironmentName { .. }
            | Self::EnvironmentSetting { .. }
            | Self::LabelMissing { .. }
            | Self::LatestBase {}
            | Self::AddInstruction {}
            | Self::OlderThan { .. }
            | Self::Run { .. }
            | Self::Pipe { .. } => &[Detector::Configuration],
            Self::FileMode { .. }
            | Self::FolderMode { .. }
            | Self::ProgramPresent { .. }
            | Self::CacheKept { .. }
            | Self::AccountWithoutPassword {}
            | Self::AccountWithUidZero { .. } => &[Detector::Configuration, Detector::Files],
            Self::PackageInstalled { .. } => &[Detector::Configuration, Detector::Packages],
        }
    }

    /// The condition with some of its parameters replaced.
    pub(crate) fn with_parameters(&self, parameters: &BTreeMap<String, Parameter>) -> Result<Self, String> {
        let (name, mut own) = self.table().ok_or_else(|| "has no parameters".to_owned())?;
        for (name, value) in parameters {
            if !own.contains_key(name) {
                let known: Vec<&str> = own.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(format!("has no parameter {name}; it has {known}"));
            }
            own.insert(name.clone(), toml::Value::try_from(value).map_err(|error| error.to_string())?);
        }
        let tagged = toml::Table::from_iter([(name, toml::Value::Table(own))]);
        let whole = toml::Table::from_iter([("when".to_owned(), toml::Value::Table(tagged))]);
        let read: Result<Whole<Self>, _> = whole.try_into();
        read.map(|whole| whole.when).map_err(|error| format!("the parameters do not fit: {}", error.message()))
    }

    /// Names and values of the parameters, as they stand in a document.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let own = self.table().map(|(_, own)| own).unwrap_or_default();
        own.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    /// The condition's name in a document, and its parameters.
    fn table(&self) -> Option<(String, toml::Table)> {
        let whole = toml::Table::try_from(Whole { when: self }).ok()?;
        let when = whole.into_iter().next()?.1.try_into::<toml::Table>().ok()?;
        let (name, own) = when.into_iter().next()?;
        Some((name, own.try_into().ok()?))
    }

    /// When time alone makes it hit.
    pub(crate) fn boundary(&self, inventory: &ImageInventory) -> Option<Timestamp> {
        match self {
            Self::OlderThan { days } => aged_at(inventory, *days),
            Self::UserIsRoot {}
            | Self::NoHealthcheck {}
            | Self::ExposedPort { .. }
            | Self::Volume { .. }
            | Self::EnvironmentName { .. }
            | Self::EnvironmentSetting { .. }
            | Self::LabelMissing { .. }
            | Self::LatestBase {}
            | Self::FileMode { .. }
            | Self::FolderMode { .. }
            | Self::ProgramPresent { .. }
            | Self::CacheKept { .. }
            | Self::AccountWithoutPassword {}
            | Self::AccountWithUidZero { .. }
            | Self::PackageInstalled { .. }
            | Self::AddInstruction {}
            | Self::Run { .. }
            | Self::Pipe { .. } => None,
        }
    }

    /// Every place that it hits.
    pub(crate) fn hits(&self, inventory: &ImageInventory, steps: &[Step], now: Timestamp) -> Vec<Hit> {
        match self {
            Self::UserIsRoot {} => user(inventory),
            Self::NoHealthcheck {} => healthcheck(inventory),
            Self::ExposedPort { ports } => exposed(inventory, ports),
            Self::Volume { paths } => volumes(inventory, paths),
            Self::EnvironmentName { names, harmless_values } => environment(inventory, names, harmless_values),
            Self::EnvironmentSetting { settings } => settings_of(inventory, settings),
            Self::LabelMissing { labels } => labels_missing(inventory, labels),
            Self::LatestBase {} => latest_base(inventory),
            Self::FileMode { any, outside } => files(inventory, any, outside),
            Self::FolderMode { any, without, outside } => folders(inventory, any, without, outside),
            Self::ProgramPresent { paths } => programs(inventory, paths),
            Self::CacheKept { bytes_min } => caches(inventory, *bytes_min),
            Self::AccountWithoutPassword {} => accounts_without_password(inventory),
            Self::AccountWithUidZero { except } => accounts_with_uid_zero(inventory, except),
            Self::OlderThan { days } => older(inventory, *days, now),
            Self::PackageInstalled { names } => packages(inventory, names),
            Self::AddInstruction {} => additions(steps),
            Self::Run { any, but, unless } => runs(steps, any, but, unless),
            Self::Pipe { from, into } => pipes(steps, from, into),
        }
    }
}

/// A place in the configuration: `USER root`, `ENV NAME`.
fn entry(entry: String, what: String) -> Hit {
    Hit { evidence: Evidence { layer: None, path: None, line: None, removed_in: None, history: Some(entry) }, what }
}

fn at_step(step: &Step, what: String) -> Hit {
    Hit { evidence: step.evidence(), what }
}

fn user(inventory: &ImageInventory) -> Vec<Hit> {
    let user = inventory.configuration.config.user.trim();
    let name = user.split(':').next().unwrap_or_default();
    match name {
        "" => vec![entry("USER".to_owned(), "USER is not set, so the first process runs as root".to_owned())],
        "root" | "0" => vec![entry(format!("USER {user}"), format!("USER is {user}"))],
        _ => Vec::new(),
    }
}

fn healthcheck(inventory: &ImageInventory) -> Vec<Hit> {
    let test = inventory.configuration.config.healthcheck.as_ref().map(|h| h.test.as_slice()).unwrap_or_default();
    match test.first().map(String::as_str) {
        None => vec![entry("HEALTHCHECK".to_owned(), "HEALTHCHECK is not set".to_owned())],
        Some("NONE") => vec![entry("HEALTHCHECK NONE".to_owned(), "HEALTHCHECK is switched off".to_owned())],
        Some(_) => Vec::new(),
    }
}

fn exposed(inventory: &ImageInventory, ports: &[u16]) -> Vec<Hit> {
    let number = |text: &str| text.split('/').next().and_then(|n| n.parse::<u16>().ok());
    let exposed = inventory.configuration.config.exposed_ports.keys();
    let bad = exposed.filter(|text| number(text).is_some_and(|n| ports.contains(&n)));
    bad.map(|text| entry(format!("EXPOSE {text}"), format!("port {text} is exposed"))).collect()
}

fn volumes(inventory: &ImageInventory, paths: &[String]) -> Vec<Hit> {
    let declared = inventory.configuration.config.volumes.keys();
    let bad = declared.filter(|path| paths.iter().any(|p| p == path.trim_end_matches('/')));
    bad.map(|path| entry(format!("VOLUME {path}"), format!("{path} is a mount point"))).collect()
}

/// Name and value of every variable. The value is never shown.
fn variables(inventory: &ImageInventory) -> impl Iterator<Item = (&str, &str)> {
    inventory.configuration.config.env.iter().filter_map(|line| line.split_once('='))
}

fn environment(inventory: &ImageInventory, names: &[String], harmless: &[String]) -> Vec<Hit> {
    let (names, harmless) = (Globs::caseless(names), Globs::caseless(harmless));
    variables(inventory)
        .filter(|(name, value)| names.matches(name) && !value.trim().is_empty() && !harmless.matches(value.trim()))
        .map(|(name, _)| entry(format!("ENV {name}"), format!("ENV {name} has a value")))
        .collect()
}

fn settings_of(inventory: &ImageInventory, settings: &[String]) -> Vec<Hit> {
    let fits = |(name, value): &(&str, &str)| {
        settings
            .iter()
            .filter_map(|s| s.split_once('='))
            .any(|(n, v)| n == *name && v.eq_ignore_ascii_case(value.trim()))
    };
    variables(inventory)
        .filter(fits)
        .map(|(name, value)| entry(format!("ENV {name}"), format!("ENV {name} is {}", cut(value.trim(), 20))))
        .collect()
}

fn labels_missing(inventory: &ImageInventory, labels: &[String]) -> Vec<Hit> {
    let present = &inventory.configuration.config.labels;
    if labels.iter().any(|label| present.get(label).is_some_and(|value| !value.trim().is_empty())) {
        return Vec::new();
    }
    vec![entry("LABEL".to_owned(), format!("none of the labels {} is set", labels.join(", ")))]
}

/// OCI image annotations, "Pre-Defined Annotation Keys": the name of the base image, which builders copy into a label.
const BASE_LABEL: &str = "org.opencontainers.image.base.name";

fn latest_base(inventory: &ImageInventory) -> Vec<Hit> {
    let Some(name) = inventory.configuration.config.labels.get(BASE_LABEL) else { return Vec::new() };
    let latest = name
        .trim()
        .parse::<ImageRef>()
        .is_ok_and(|base| base.digest.is_none() && base.tag.as_deref() == Some("latest"));
    if latest {
        vec![entry(format!("LABEL {BASE_LABEL}"), format!("the base image is {}", cut(name, 100)))]
    } else {
        Vec::new()
    }
}

fn files(inventory: &ImageInventory, any: &str, outside: &[String]) -> Vec<Hit> {
    let bits = u32::from_str_radix(any, 8).unwrap_or_default();
    let elsewhere = |file: &&ImageFile| !is_under(&file.path.to_string(), outside);
    let hit = |file: &ImageFile| Hit {
        evidence: file_evidence(inventory, file.layer, &file.path, None),
        what: format!("{} has mode {:o}", file.path, file.mode & 0o7777),
    };
    inventory
        .files
        .iter()
        .filter(|file| file.removed_in.is_none() && file.mode & bits != 0)
        .filter(elsewhere)
        .map(hit)
        .collect()
}

/// Does a path lie under one of these folders, or name one?
fn is_under(path: &str, folders: &[String]) -> bool {
    let under = |folder: &String| path.strip_prefix(folder.as_str());
    folders.iter().filter_map(under).any(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn folders(inventory: &ImageInventory, any: &str, without: &str, outside: &[String]) -> Vec<Hit> {
    let octal = |text: &str| u32::from_str_radix(text, 8).unwrap_or_default();
    let (any, without) = (octal(any), octal(without));
    let mut out = Vec::new();
    for observation in &inventory.observations {
        let ObservationKind::FolderMode(fact) = &observation.kind else { continue };
        let Some(path) = observation.evidence.path.as_ref().map(ToString::to_string) else { continue };
        if fact.mode & any != 0 && fact.mode & without == 0 && !is_under(&path, outside) {
            let what = format!("the folder {path} has mode {:o}", fact.mode & 0o7777);
            out.push(Hit { evidence: observation.evidence.clone(), what });
        }
    }
    out
}

fn programs(inventory: &ImageInventory, paths: &[String]) -> Vec<Hit> {
    let globs = Globs::new(paths);
    let live = inventory.files.iter().filter(|file| file.removed_in.is_none());
    live.filter(|file| globs.matches(&file.path.to_string()))
        .map(|file| Hit {
            evidence: file_evidence(inventory, file.layer, &file.path, None),
            what: format!("{} is in the image", file.path),
        })
        .collect()
}

fn caches(inventory: &ImageInventory, bytes_min: u64) -> Vec<Hit> {
    let mut total = 0_u64;
    let mut out = Vec::new();
    for observation in &inventory.observations {
        let ObservationKind::Cache(fact) = &observation.kind else { continue };
        total = total.saturating_add(fact.bytes);
        let path = observation.evidence.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = format!("{path} holds {} files of {} bytes", fact.files, fact.bytes);
        out.push(Hit { evidence: observation.evidence.clone(), what });
    }
    if total < bytes_min { Vec::new() } else { out }
}

/// What passwd(5) and shadow(5) of the flattened image say.
fn accounts(inventory: &ImageInventory) -> impl Iterator<Item = (&AccountFact, &Evidence)> {
    let live = inventory.observations.iter().filter(|seen| seen.evidence.removed_in.is_none());
    live.filter_map(|seen| {
        let ObservationKind::Account(fact) = &seen.kind else { return None };
        Some((fact, &seen.evidence))
    })
}

/// An account without a shell cannot be entered, with or without a password.
fn accounts_without_password(inventory: &ImageInventory) -> Vec<Hit> {
    let enterable = |name: &str| {
        let shells: Vec<&str> =
            accounts(inventory).filter(|(a, _)| a.name == name).filter_map(|(a, _)| a.shell.as_deref()).collect();
        shells.is_empty() || shells.iter().any(|shell| !shell.ends_with("/nologin") && !shell.ends_with("/false"))
    };
    let empty = accounts(inventory).filter(|(account, _)| account.password == PasswordState::Empty);
    empty
        .filter(|(account, _)| enterable(&account.name))
        .map(|(account, evidence)| Hit {
            evidence: evidence.clone(),
            what: format!("the account {} has no password", cut(&account.name, 60)),
        })
        .collect()
}

fn accounts_with_uid_zero(inventory: &ImageInventory, except: &[String]) -> Vec<Hit> {
    let known: BTreeSet<&str> = except.iter().map(String::as_str).collect();
    let root = accounts(inventory).filter(|(account, _)| account.uid == Some(0) && !known.contains(&*account.name));
    root.map(|(account, evidence)| Hit {
        evidence: evidence.clone(),
        what: format!("the account {} has the number 0", cut(&account.name, 60)),
    })
    .collect()
}

/// Builds that leave no trace of their time say a time near 1970, or 1980 where ZIP files are involved.
const PLAUSIBLE_SECONDS: i64 = 345_427_200;

/// When the image is so many days old; `None` when it does not say when it was built.
fn aged_at(inventory: &ImageInventory, days: u32) -> Option<Timestamp> {
    let created = inventory.configuration.created.filter(|at| at.as_second() > PLAUSIBLE_SECONDS)?;
    created.checked_add(jiff::SignedDuration::from_hours(i64::from(days) * 24)).ok()
}

fn older(inventory: &ImageInventory, days: u32, now: Timestamp) -> Vec<Hit> {
    match (aged_at(inventory, days), inventory.configuration.created) {
        (Some(at), Some(created)) if at <= now => {
            let age = now.duration_since(created).as_hours() / 24;
            vec![entry(
                "created".to_owned(),
                format!("the image was built on {}, {age} days ago", created.strftime("%F")),
            )]
        }
        (Some(_) | None, _) => Vec::new(),
    }
}

fn packages(inventory: &ImageInventory, names: &[String]) -> Vec<Hit> {
    let globs = Globs::new(names);
    let mut out = Vec::new();
    for package in inventory.packages.iter().filter(|p| p.key.format.is_os() && globs.matches(&p.key.name)) {
        for evidence in package.evidence.iter().take(1) {
            let what = format!("{} {} is installed", package.key.name, package.key.version);
            out.push(Hit { evidence: evidence.clone(), what });
        }
    }
    out
}

/// A base image's root file system is an `ADD` too (`ADD file:… in /`): the first layer, into the root.
fn additions(steps: &[Step]) -> Vec<Hit> {
    let is_root = |step: &Step| {
        let target = step.arguments.split_whitespace().last().unwrap_or_default();
        target == "/" && step.layer.is_none_or(|layer| layer == 0)
    };
    steps
        .iter()
        .filter(|step| step.instruction == "ADD" && !is_root(step))
        .map(|step| at_step(step, format!("ADD {}", cut(&step.arguments, 100))))
        .collect()
}

fn runs(steps: &[Step], any: &[String], but: &[String], unless: &[String]) -> Vec<Hit> {
    let like = |command: &Command, patterns: &[String]| patterns.iter().any(|p| command.follows(p));
    let mut out = Vec::new();
    for step in steps.iter().filter(|step| !step.commands.iter().any(|c| like(c, unless))) {
        let found = step.commands.iter().filter(|c| like(c, any) && !like(c, but));
        out.extend(found.map(|c| at_step(step, format!("RUN {}", cut(&c.words.join(" "), 100)))));
    }
    out
}

fn pipes(steps: &[Step], from: &[String], into: &[String]) -> Vec<Hit> {
    let is = |command: &Command, programs: &[String]| programs.iter().any(|p| p == command.program());
    let mut out = Vec::new();
    for step in steps {
        let mut source: Option<&Command> = None;
        for command in &step.commands {
            // `curl … | sudo -E bash -` runs the shell just as well.
            let runs = is(command, into)
                || command.program() == "sudo" && command.words[1..].iter().any(|w| into.iter().any(|p| p == w));
            if let Some(fetch) = source.filter(|_| runs) {
                let what = format!("RUN {} | {}", cut(&fetch.words.join(" "), 80), command.program());
                out.push(at_step(step, what));
            }
            source = match source {
                Some(fetch) if command.piped_on => Some(fetch),
                _ if command.piped_on && is(command, from) => Some(command),
                _ => None,
            };
        }
    }
    out
}
